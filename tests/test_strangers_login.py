"""
What strangers may do at the login port: each limit, what is counted and logged of it, and that
others get through meanwhile (B1, L1). What each does exactly is tested in L{test_limits}.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import LogEvent, LogLevel, capturedLogs
from zope.interface import implementer

from msgserver.errors import Forbidden, NotAcceptable, Unauthorized
from msgserver.interfaces import (
    Admission,
    ILogins,
)
from msgserver.loginprotocol import LoginLimits
from msgserver.proxied import ProxiedFactory
from msgserver.wire.classic import ClassicSuite
from tests.callers import PROXY, UNNAMED, Caller, LoginCase, header, randomBytes


class LoginStrangerTests(LoginCase):
    """Strangers at the login port."""

    limits = LoginLimits(
        maxclient=6, maxStrangers=3, addressMaxclient=3, addressRate=1, addressBurst=4
    )

    def test_flood(self) -> None:
        """A flood of silent connections keeps nobody out, and each is closed in the end."""
        flood = [self.connect(peer=f"203.0.113.{number}") for number in range(3)]
        for number in range(20):
            self.assertEqual(self.login(peer=f"192.0.2.{number}"), "200")
            oldest = flood.pop(0)
            self.assertTrue(oldest.isAborted)
            oldest.lose()
            flood.append(self.connect(peer=f"198.51.100.{number}"))
        self.assertEqual(self.factory.limits.hits, {"max_strangers": 20})
        self.clock.advance(10)
        for caller in flood:
            self.assertTrue(caller.isAborted)
            caller.lose()
        self.assertEqual(self.factory.limits.hits, {"max_strangers": 20, "login_timeout": 3})
        self.assertOutcomes(_200=20, limit=20, timeout=3)
        self.assertEqual((len(self.factory.limits), self.clock.getDelayedCalls()), (0, []))

    def test_proved(self) -> None:
        """L1: who has sent the proof is no stranger any more; the deadline runs on."""
        self.handler.hangs = True
        users = [self.connect(peer=f"192.0.2.{number}") for number in range(3)]
        for user in users:
            user.call()
        self.assertEqual((len(self.factory.limits), self.factory.limits.strangers), (3, 0))
        for number in range(3):
            self.connect(peer=f"203.0.113.{number}")
        self.assertFalse(any(user.isAborted for user in users))
        self.clock.advance(10)
        self.assertTrue(all(user.isAborted for user in users))

    def test_keyIsNoProof(self) -> None:
        """Who has sent a key, and no proof, is a stranger still."""
        caller = self.connect()
        caller.send(b64encode(randomBytes(8)) + b"\n")
        self.assertEqual(self.factory.limits.strangers, 1)
        caller.send(b64encode(bytes(8)) + b"\n")
        self.assertEqual(self.factory.limits.strangers, 1)
        self.assertOutcomes(_401=1)

    def test_evictedIsNotHeard(self) -> None:
        """What comes from a connection that was closed to make room is not looked at."""
        first = self.connect()
        for number in range(3):
            self.connect(peer=f"203.0.113.{number}")
        self.assertTrue(first.isAborted)
        first.call()
        self.assertEqual(self.handler.asked, 0)
        first.lose()
        self.assertOutcomes(limit=1)

    def test_addressMaxclient(self) -> None:
        """Three connections of an address; others get in; and so does he, when one has gone."""
        callers = [self.connect() for _ in range(4)]
        self.assertEqual([each.isAborted for each in callers], [False, False, False, True])
        self.assertEqual(callers[3].call(), "")
        self.assertEqual(self.login(b"bob:right", "192.0.2.2"), "200")
        callers[3].lose()
        callers[2].lose()
        self.clock.advance(1)
        self.assertEqual(self.login(), "200")
        self.assertEqual(self.factory.limits.hits["address_maxclient"], 1)
        self.assertOutcomes(_200=2, limit=2, lost=1)

    def test_addressRate(self) -> None:
        """Four in a row of an address, then one a second; others have their own."""
        self.assertEqual([self.login() for _ in range(5)], ["200"] * 4 + ["closed"])
        self.assertEqual(self.login(b"bob:right", "192.0.2.2"), "200")
        self.clock.advance(1)
        self.assertEqual([self.login() for _ in range(2)], ["200", "closed"])
        self.assertEqual(self.factory.limits.hits, {"address_rate": 2})

    def test_ipv6(self) -> None:
        """A /64 is one address, and an IPv4 address within IPv6 is what it is."""
        hosts = [f"2001:db8::{number}" for number in range(4)]
        hosts += ["::ffff:192.0.2.1"] * 2 + ["192.0.2.1"] * 2
        statuses = [self.login(b"bob:right", host) for host in [*hosts, "2001:db8::9", "192.0.2.1"]]
        self.assertEqual(statuses, ["200"] * 8 + ["closed"] * 2)

    def test_loopback(self) -> None:
        """None of it holds for loopback."""
        self.assertEqual([self.login(peer="127.0.0.1") for _ in range(50)], ["200"] * 50)

    def test_line(self) -> None:
        """L1: a line that is too long is counted, and so is what came of it, once."""
        caller = self.connect()
        caller.send(b"A" * 8193)
        caller.send(b"A" * 8193)
        caller.lose()
        self.assertEqual(self.factory.limits.hits, {"line": 1})
        self.assertOutcomes(malformed=1)

    def test_outcomes(self) -> None:
        """Every connection counts once, at its verdict or at its end."""

        @implementer(ILogins)
        class Logins:
            def login(self, token: bytes, secret: bytes, peer: str) -> Deferred[Admission]:
                return answers.pop(0)

        answers: list[Deferred[Admission]] = [
            succeed(Admission(b"1")),
            fail(Unauthorized("no")),
            fail(Forbidden("no")),
            fail(NotAcceptable("no")),
            Deferred(),
            Deferred(),
        ]
        self.factory = self.makeFactory(Logins())
        for number in range(4):
            self.login(peer=f"192.0.2.{number}")
        self.assertOutcomes(_200=1, _401=1, _403=1, _406=1)
        self.login(peer="192.0.2.5")
        silent = self.connect(peer="192.0.2.6")
        silent.call()
        self.clock.advance(10)
        silent.lose()
        self.connect(peer="192.0.2.7").lose()
        self.assertOutcomes(_200=1, _401=1, _403=1, _406=1, lost=2, timeout=1)

    def test_twins(self) -> None:
        """B1: the factories of several listeners share what there may be, and what is counted."""
        twin = self.factory.at(isProxied=False, suites=[ClassicSuite()])
        other = self.factory.at(isProxied=True, suites=[])
        self.assertIs(twin.limits, other.limits)
        self.assertEqual(Caller(twin, b"alice:right", "192.0.2.1").call(), "200")
        self.assertOutcomes(_200=1)
        self.assertFalse(self.factory.isProxied)
        self.assertTrue(other.isProxied)


class LoginProxiedTests(LoginCase):
    """The login port behind a proxy."""

    limits = LoginLimits(addressMaxclient=2, addressRate=1, addressBurst=2)

    def setUp(self) -> None:
        """Put the proxy's header before it."""
        LoginCase.setUp(self)
        inner = self.factory.at(isProxied=True, suites=[ClassicSuite()])
        self.proxied = ProxiedFactory(inner)

    def caller(self, first: bytes) -> Caller:
        """Connect by way of the proxy, which says this of it."""
        return Caller(self.proxied, b"alice:right", PROXY, first)

    def test_each(self) -> None:
        """The limits hold for each client of the proxy, and not for the proxy."""
        for number in range(10):
            caller = self.caller(header(f"192.0.2.{number}"))
            self.assertEqual(caller.call(), "200")
            caller.lose()
        callers = [self.caller(header("192.0.2.99")) for _ in range(3)]
        self.assertEqual([each.call() for each in callers[:2]], ["200", "200"])
        self.assertFalse(callers[2].isAborted)  # Nobody knows whose it is, before it says a word.
        self.assertNotEqual(callers[2].call(), "200")
        self.assertTrue(callers[2].isAborted)
        self.assertEqual(self.factory.limits.hits, {"address_rate": 1})
        self.assertOutcomes(_200=12, limit=1)

    def test_proxyItself(self) -> None:
        """A proxy that names nobody, as at a check of health, has no limit of an address."""
        for _ in range(10):
            self.assertEqual(self.caller(UNNAMED).call(), "200")

    def test_logged(self) -> None:
        """What is logged, and what is told to the service, is the client's address."""
        with capturedLogs() as events:
            self.assertEqual(self.caller(header("2001:db8::7")).call(), "200")
            Caller(self.proxied, b"alice:wrong", PROXY, header("192.0.2.7")).call()
        peers = [event["peer"] for event in events if "peer" in event]
        self.assertEqual(peers, ["2001:db8::7", "192.0.2.7"])

    def test_silent(self) -> None:
        """L1: what says nothing, or no whole header, is closed in time."""
        callers = [self.caller(b""), self.caller(header("192.0.2.7")[:-1])]
        self.clock.advance(10)
        self.assertEqual([each.isAborted for each in callers], [True, True])
        self.assertEqual(self.factory.limits.hits, {"login_timeout": 2})


class LogTests(LoginCase):
    """What is logged of strangers: a line each, and not too many."""

    limits = LoginLimits(addressMaxclient=1000, addressBurst=1000, maxStrangers=1)

    def logged(self, do: Callable[[], object]) -> list[LogEvent]:
        """Tell what is logged meanwhile, debug lines aside."""
        with capturedLogs() as events:
            do()
        return [event for event in events if event["log_level"] is not LogLevel.debug]

    def test_refusals(self) -> None:
        """A refusal is one line, with its status, its reason and the address."""
        for token, status, reason in (
            (b"alice:wrong", "401", "no"),
            (b"alice:wrong", "401", "no"),
            (b"alice:wrong", "401", "no"),
            (b"alice:right", "406", "too many logins of this user have failed"),
        ):
            (event,) = self.logged(lambda token=token: self.login(token))  # type: ignore[misc]
            fields = {name: event[name] for name in ("event", "status", "reason", "peer")}
            expected = {"event": "refusal", "status": status, "reason": reason}
            self.assertEqual(fields, {**expected, "peer": "192.0.2.1"})

    def test_wireRefusals(self) -> None:
        """So it is for one whose lines are wrong."""
        (event,) = self.logged(lambda: self.connect().send(b"nonsense\n"))
        self.assertEqual((event["event"], event["status"]), ("refusal", "401"))

    def test_login(self) -> None:
        """A login is one, too."""
        (event,) = self.logged(self.login)
        self.assertEqual((event["event"], event["peer"]), ("login", "192.0.2.1"))

    def test_limits(self) -> None:
        """And so is a connection over a limit: which, and whose."""
        first = self.connect()
        (event,) = self.logged(lambda: self.connect(peer="192.0.2.2"))
        first.lose()
        which = event["event"], event["which"], event["peer"]
        self.assertEqual(which, ("limit", "max_strangers", "192.0.2.1"))
        (event,) = self.logged(lambda: self.clock.advance(10))
        which = event["event"], event["which"], event["peer"]
        self.assertEqual(which, ("limit", "login_timeout", "192.0.2.2"))

    def test_gone(self) -> None:
        """Who has gone is nobody who was refused."""
        self.handler.hangs = True
        caller = self.connect()
        caller.call()
        self.assertEqual(self.logged(caller.lose), [])

    def test_notTooMany(self) -> None:
        """Strangers cause so many lines and no more, however many they are."""
        flood = self.logged(
            lambda: [self.connect(peer=f"203.0.113.{number % 99}") for number in range(1000)]
        )
        self.assertLess(len(flood), 100)
        self.assertEqual(self.factory.limits.hits["max_strangers"], 999)
        refused = self.logged(
            lambda: [self.login(b"x:y", f"198.51.100.{number % 99}") for number in range(400)]
        )
        self.assertLess(len(refused), 100)

    def tearDown(self) -> None:
        """What was not logged is told at last."""
        self.factory.strangers.flush()
