"""
Tests for L{msgserver.limits}: what strangers may hold (B1), and for how long (H3, L1).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.limits import AddressLimits, ConnectionLimits, FailureLimits, LoginFailures


class ConnectionLimitsTests(SynchronousTestCase):
    """Three connections at once, ten seconds each to prove itself."""

    def setUp(self) -> None:
        """Make the limits, and note whose time ran out."""
        self.clock = Clock()
        self.over: list[str] = []
        self.limits: ConnectionLimits[str] = ConnectionLimits(self.clock, 3, 10, self.over.append)

    def open(self, names: str) -> list[bool]:
        """Open a connection for each letter."""
        return [self.limits.opened(name) for name in names]

    def test_exactly(self) -> None:
        """B1: exactly C{maxclient} are taken in; each one more is refused and counted."""
        self.assertEqual(self.open("abcde"), [True, True, True, False, False])
        self.assertEqual((len(self.limits), self.limits.hits["maxclient"]), (3, 2))

    def test_none(self) -> None:
        """B1: where none are allowed, none are."""
        limits: ConnectionLimits[str] = ConnectionLimits(self.clock, 0, 10, self.over.append)
        self.assertFalse(limits.opened("a"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_placeAgain(self) -> None:
        """B1: a connection that closes makes room for one."""
        self.open("abcd")
        self.limits.closed("b")
        self.assertEqual(self.open("ef"), [True, False])

    def test_refusedClose(self) -> None:
        """B1: a refused connection's close makes room for nobody."""
        self.open("abcd")
        self.limits.closed("d")
        self.assertEqual((self.open("e"), len(self.limits)), ([False], 3))

    def test_closedTwice(self) -> None:
        """B1: a connection that closes twice makes room for one."""
        self.open("abc")
        self.limits.closed("a")
        self.limits.closed("a")
        self.assertEqual(self.open("de"), [True, False])

    def test_expired(self) -> None:
        """L1, H3: a connection that proves nothing is told of when its time is over, once."""
        self.open("a")
        self.clock.advance(5)
        self.open("b")
        self.clock.advance(4.9)
        self.assertEqual(self.over, [])
        self.clock.advance(0.1)
        self.assertEqual(self.over, ["a"])
        self.clock.pump([1] * 20)
        self.assertEqual(self.over, ["a", "b"])

    def test_expiredHoldsItsPlace(self) -> None:
        """B1: a connection whose time is over counts until it is closed."""
        self.open("abc")
        self.clock.advance(10)
        self.assertEqual(self.open("d"), [False])
        self.limits.closed("a")
        self.assertEqual(self.open("e"), [True])

    def test_proved(self) -> None:
        """H3: a connection that has proved itself has time, and counts."""
        self.open("abc")
        self.limits.proved("b")
        self.clock.advance(100)
        self.assertEqual((self.over, len(self.limits)), (["a", "c"], 3))

    def test_nothingLeft(self) -> None:
        """Closed connections leave neither a timer nor a count; refused ones never had them."""
        self.open("abcd")
        for name in "abcd":
            self.limits.closed(name)
        self.assertEqual((len(self.limits), self.clock.getDelayedCalls()), (0, []))
        self.clock.advance(100)
        self.assertEqual(self.over, [])

    def test_refusedHasNoTimer(self) -> None:
        """A refused connection is never told of: it is closed already."""
        self.open("abcd")
        self.clock.advance(100)
        self.assertEqual(self.over, ["a", "b", "c"])


def at(host: str, port: int = 1) -> IAddress:
    """Give a peer's address."""
    return IPv6Address("TCP", host, port) if ":" in host else IPv4Address("TCP", host, port)


HERE, THERE, LOCAL = at("192.0.2.1"), at("192.0.2.2"), at("127.0.0.1")
PROXY = at("10.0.0.1", 40_000)


class StrangerCase(SynchronousTestCase):
    """Six connections at once, three of strangers, two of an address, four in a row from there."""

    def setUp(self) -> None:
        """Make the limits, and note who is over which."""
        self.clock = Clock()
        self.over: list[tuple[str, str]] = []
        self.failures = LoginFailures(self.clock, FailureLimits(addressFree=2))
        self.addresses = AddressLimits(self.clock, 2, 1, 4, 100)
        self.limits: ConnectionLimits[str] = ConnectionLimits(
            self.clock,
            6,
            10,
            deadline="some_timeout",
            maxStrangers=3,
            addresses=self.addresses,
            failures=self.failures,
            over=lambda connection, limit: self.over.append((connection, limit)),
        )

    def open(self, names: str, peer: object = LOCAL, **options: Any) -> list[bool]:
        """Open a connection for each letter."""
        return [self.limits.opened(name, peer, **options) for name in names]

    def close(self, names: str) -> None:
        """Close the connection of each letter."""
        for name in names:
            self.limits.closed(name)

    def assertNothingLeft(self) -> None:
        """See that nothing is held."""
        counts = len(self.limits), self.limits.strangers, len(self.addresses._open)
        self.assertEqual((counts, self.clock.getDelayedCalls()), ((0, 0, 0), []))
        self.assertEqual(self.limits._unnamed, {})


class StrangerTests(StrangerCase):
    """Who has not proved himself (B1)."""

    def test_oldestGoes(self) -> None:
        """One too many costs the oldest stranger its place, and is in; that is counted."""
        self.assertEqual(self.open("abcde"), [True] * 5)
        self.assertEqual(self.over, [("a", "max_strangers"), ("b", "max_strangers")])
        self.assertEqual(self.limits.hits, {"max_strangers": 2})
        self.assertEqual(self.limits.strangers, 3)

    def test_notTheProved(self) -> None:
        """Who has proved himself goes for no stranger, whether or not his time runs on."""
        self.open("abc")
        self.limits.proved("a")
        self.limits.known("b")
        self.open("def")
        self.assertEqual(self.over, [("c", "max_strangers")])

    def test_flood(self) -> None:
        """A flood that goes on for ever keeps nobody out who proves himself at once."""
        for number in range(100):
            self.assertTrue(self.limits.opened(f"flood {number}", LOCAL))
            if number % 10 == 0:
                user = f"user {number}"
                self.assertTrue(self.limits.opened(user, LOCAL))
                self.limits.known(user)
                self.limits.closed(user)
            while self.over:
                self.limits.closed(self.over.pop()[0])
        self.assertEqual(self.limits.hits["maxclient"], 0)

    def test_maxclient(self) -> None:
        """B1: where all places are taken, the one who comes is the one to go."""
        self.open("abc")
        for name in "abc":
            self.limits.known(name)
        self.open("def")
        self.assertEqual(self.open("g"), [False])
        self.assertEqual(self.over, [("g", "maxclient")])

    def test_deadline(self) -> None:
        """L1, H3: who is out of time is told of by the config's name of that, and counted."""
        self.open("ab")
        self.limits.known("a")
        self.limits.proved("b")
        self.clock.advance(10)
        self.assertEqual(self.over, [("a", "some_timeout")])
        self.assertEqual(self.limits.hits, {"some_timeout": 1})

    def test_outOfTimeIsNotTheOldest(self) -> None:
        """Who is being closed already is not what makes room."""
        self.open("a")
        self.clock.advance(5)
        self.open("bc")
        self.clock.advance(5)
        self.open("de")
        self.assertEqual(self.over, [("a", "some_timeout"), ("b", "max_strangers")])

    def test_evictedHoldsItsPlace(self) -> None:
        """B1: who has been closed to make room counts until it is closed."""
        self.open("abcdef")
        self.assertEqual(self.open("g"), [False])
        self.limits.closed("a")
        self.assertEqual(self.open("h"), [True])

    def test_closed(self) -> None:
        """However it ended, a close undoes what the opening did, and nothing else."""
        self.open("ab", HERE)
        self.open("c", HERE)
        self.open("de", THERE)
        self.open("f", PROXY, isProxied=True)
        self.limits.proved("b")
        self.clock.advance(10)
        self.close("cabdeff")
        self.assertNothingLeft()


class AddressTests(StrangerCase):
    """What an address may do."""

    def test_atOnce(self) -> None:
        """Two connections of an address, and no third."""
        self.assertEqual(self.open("abc", HERE), [True, True, False])
        self.assertEqual(self.over, [("c", "address_maxclient")])
        self.assertEqual(self.open("d", THERE), [True])
        self.limits.closed("c")
        self.assertEqual(self.open("e", HERE), [False])
        self.limits.closed("a")
        self.assertEqual(self.limits.hits, {"address_maxclient": 2})

    def test_refusedTakeNoPlace(self) -> None:
        """Who is refused for his address costs no stranger his place, and takes none."""
        self.open("ab", HERE)
        self.open("c", THERE)
        self.assertEqual(self.open("defg", HERE), [False] * 4)
        self.assertEqual((len(self.limits), self.limits.strangers), (3, 3))
        self.assertNotIn("max_strangers", self.limits.hits)

    def test_inTheLongRun(self) -> None:
        """Four in a row, then one a second."""
        for _ in range(4):
            self.assertEqual(self.open("a", HERE), [True])
            self.limits.closed("a")
        self.assertEqual(self.open("a", HERE), [False])
        self.assertEqual(self.over, [("a", "address_rate")])
        self.limits.closed("a")
        self.clock.advance(1)
        self.assertEqual(self.open("a", HERE), [True])

    def test_maxclientComesFirst(self) -> None:
        """Who finds no place at all has not tried."""
        self.open("abc")
        for name in "abc":
            self.limits.known(name)
        self.open("def")
        self.assertEqual(self.open("ghijkl", HERE), [False] * 6)
        self.close("abcdef")
        self.assertEqual(self.open("ab", HERE), [True, True])

    def test_ipv6(self) -> None:
        """A /64 is one address; IPv4 within IPv6 is IPv4."""
        self.assertEqual(self.open("a", at("2001:db8::1")), [True])
        self.assertEqual(self.open("b", at("2001:db8::2")), [True])
        self.assertEqual(self.open("c", at("2001:db8::3")), [False])
        self.close("abc")
        self.assertEqual(self.open("a", HERE), [True])
        self.assertEqual(self.open("b", at("::ffff:192.0.2.1")), [True])
        self.assertEqual(self.open("c", at("::ffff:192.0.2.1")), [False])

    def test_exempt(self) -> None:
        """None of it holds for loopback, nor for what has no address."""
        for peer in (LOCAL, UNIXAddress(b"/run/a"), None):
            self.assertEqual(self.open("abcdef", peer), [True] * 6)
            self.close("abcdef")
        self.assertEqual(set(self.limits.hits), {"max_strangers"})

    def test_failedLogins(self) -> None:
        """An address from which logins have failed is not listened to while it must wait."""
        for _ in range(2):
            self.failures.begin(None, "192.0.2.1").failed()
        self.assertEqual(self.open("a", HERE), [False])
        self.assertEqual(self.over, [("a", "address_free_failures")])
        self.assertEqual(self.open("b", THERE), [True])
        self.clock.advance(1)
        self.assertEqual(self.open("c", HERE), [True])


class ProxiedTests(StrangerCase):
    """Connections from a proxy, which says whose they are with the first bytes."""

    def test_named(self) -> None:
        """The limits of an address hold from the moment at which it is known."""
        self.assertEqual(self.open("abc", PROXY, isProxied=True), [True] * 3)
        self.assertEqual([self.limits.named(name, HERE) for name in "abc"], [True, True, False])
        self.assertEqual(self.over, [("c", "address_maxclient")])
        self.close("abc")
        self.assertNothingLeft()

    def test_once(self) -> None:
        """It is asked with all that is received, and counts once."""
        self.open("a", PROXY, isProxied=True)
        for _ in range(20):
            self.assertTrue(self.limits.named("a", HERE))
        self.assertEqual(self.open("b", HERE), [True])

    def test_refusedOnce(self) -> None:
        """Nor is a refusal taken back, or counted twice."""
        self.open("ab", HERE)
        self.open("c", PROXY, isProxied=True)
        self.assertFalse(self.limits.named("c", HERE))
        self.limits.closed("c")
        self.limits.closed("a")
        self.assertEqual(self.limits.hits, {"address_maxclient": 1})
        self.assertEqual(self.open("d", HERE), [True])

    def test_proxyItself(self) -> None:
        """A proxy that asks on its own behalf, whether all is well, is nobody's address."""
        for number in range(20):
            name = str(number)
            self.limits.opened(name, PROXY, isProxied=True)
            self.assertTrue(self.limits.named(name, PROXY))
        self.assertEqual(set(self.limits.hits), {"max_strangers", "maxclient"})

    def test_sameHostAsTheProxy(self) -> None:
        """Who is on the proxy's own machine has a port of his own, and an address."""
        self.open("abc", PROXY, isProxied=True)
        peers = [at("10.0.0.1", port) for port in (50_000, 50_001, 50_002)]
        named = [self.limits.named(name, peer) for name, peer in zip("abc", peers, strict=True)]
        self.assertEqual(named, [True, True, False])

    def test_silent(self) -> None:
        """Until then the number of strangers and the deadline bound what a connection holds."""
        self.open("abcd", PROXY, isProxied=True)
        self.limits.closed("a")
        self.clock.advance(10)
        self.assertEqual(self.limits.hits, {"max_strangers": 1, "some_timeout": 3})

    def test_failedLogins(self) -> None:
        """Nor is it listened to where its logins have failed."""
        for _ in range(2):
            self.failures.begin(None, "192.0.2.1").failed()
        self.open("a", PROXY, isProxied=True)
        self.assertFalse(self.limits.named("a", HERE))
        self.assertEqual(self.over, [("a", "address_free_failures")])
