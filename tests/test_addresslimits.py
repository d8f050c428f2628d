"""
Tests for L{msgserver.addresslimits}: whose address it is, and what one address may do.
"""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.addresslimits import AddressLimits, Networks, Rate, Table, plainHost


class PlainHostTests(SynchronousTestCase):
    """How an address is written."""

    def test_plain(self) -> None:
        """Without its port; one of IPv4 within IPv6 as what it is."""
        for peer, host in (
            (IPv4Address("TCP", "192.0.2.7", 1), "192.0.2.7"),
            (IPv6Address("TCP", "2001:db8::7", 1), "2001:db8::7"),
            (IPv6Address("TCP", "::ffff:192.0.2.7", 1), "192.0.2.7"),
            (IPv6Address("TCP", "::ffff:0:7", 1), "::ffff:0:7"),
            (UNIXAddress(b"/run/a"), None),
            (None, None),
        ):
            self.assertEqual(plainHost(peer), host)


class NetworksTests(SynchronousTestCase):
    """Which addresses are one customer's, and which no limit holds for."""

    def assertSame(self, *hosts: str) -> bytes:
        """See several spellings taken for one address."""
        keys = {Networks(()).keyOf(host) for host in hosts}
        self.assertEqual(len(keys), 1, hosts)
        (key,) = keys
        assert key is not None
        return key

    def test_ipv4(self) -> None:
        """Each address of IPv4 is one, as it is, or within IPv6."""
        one = self.assertSame("192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207")
        self.assertNotEqual(one, self.assertSame("192.0.2.8"))

    def test_ipv6(self) -> None:
        """Each /64 of IPv6 is one, however its addresses are spelt."""
        one = self.assertSame("2001:db8:0:7::1", "2001:DB8:0:7:ffff::2", "2001:db8:0:7:1:2:3:4")
        self.assertNotEqual(one, self.assertSame("2001:db8:0:8::1"))
        self.assertNotEqual(one, self.assertSame("2001:db8:0:6:ffff:ffff:ffff:ffff"))

    def test_zone(self) -> None:
        """The link that a local address is on is no part of it."""
        self.assertSame("fe80::1%eth0", "fe80::1%2", "fe80::2")

    def test_noAddress(self) -> None:
        """What is no address is nobody's, and nothing holds for it."""
        for host in (None, "", "unknown", "localhost", "192.0.2", "192.0.2.7.", ":", "1:2", "%"):
            self.assertIsNone(Networks(()).keyOf(host), host)
        self.assertIsNone(Networks(()).keyOf("192.0.2.7\0"))

    def test_unlimited(self) -> None:
        """No limit holds for loopback, unless it is said otherwise."""
        networks = Networks()
        for host in ("127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"):
            self.assertIsNone(networks.keyOf(host), host)
            self.assertIsNotNone(Networks(["10.0.0.0/8"]).keyOf(host), host)
        for host in ("126.255.255.255", "128.0.0.0", "::2", "0.0.0.1", "::ffff:128.0.0.0"):
            self.assertIsNotNone(networks.keyOf(host), host)

    def test_unlimitedNetworks(self) -> None:
        """An unlimited network is as large as it says, smaller than a /64 included."""
        for network, within, without in (
            ("192.0.2.64/26", "192.0.2.127", "192.0.2.128"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("2001:db8::7", "2001:db8::7", "2001:db8::8"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"),
            ("::/0", "2001:db8::7", "192.0.2.7"),
            ("0.0.0.0/0", "192.0.2.7", "2001:db8::7"),
        ):
            networks = Networks([network])
            self.assertIsNone(networks.keyOf(within), network)
            self.assertIsNotNone(networks.keyOf(without), network)

    def test_wrongNetwork(self) -> None:
        """What is no network is found at once."""
        self.assertRaises(ValueError, Networks, ["10.0.0.1/8"])


class TableTests(SynchronousTestCase):
    """A table of three entries."""

    def setUp(self) -> None:
        """Make it."""
        self.table: Table[str, int] = Table(3)
        for number, key in enumerate("abc"):
            self.table.put(key, number)

    def test_bounded(self) -> None:
        """Past three, the one that was longest not put there goes."""
        self.table.put("a", 7)
        self.table.put("d", 3)
        self.assertEqual(dict(self.table), {"c": 2, "a": 7, "d": 3})

    def test_lookedAt(self) -> None:
        """To be looked at is not to be put there."""
        self.assertEqual(self.table.get("a"), 0)
        self.table.put("d", 3)
        self.assertEqual(list(self.table), ["b", "c", "d"])

    def test_tidy(self) -> None:
        """Stale ones go, the oldest first, two at a time."""
        self.table.tidy(lambda value: value > 0)
        self.assertEqual(list(self.table), ["a", "b", "c"])
        self.table.tidy(lambda value: True)
        self.assertEqual(list(self.table), ["c"])
        self.table.tidy(lambda value: True)
        self.table.tidy(lambda value: True)
        self.assertEqual(list(self.table), [])


class RateTests(SynchronousTestCase):
    """A bucket of tokens."""

    def test_clockSetBack(self) -> None:
        """A clock that is set back gives nothing and takes nothing, and time goes on from there."""
        rate = Rate(2, 10)
        self.assertAlmostEqual(rate.tokens((3.0, 1000.0), 900.0), 3.0)
        self.assertAlmostEqual(rate.tokens((3.0, 900.0), 901.0), 5.0)

    @settings(derandomize=True, deadline=None)
    @given(
        st.sampled_from([0.5, 1.0, 4.0, 10.0, 1000.0]),
        st.integers(1, 20),
        st.lists(st.integers(0, 5000), max_size=60),
    )
    def test_model(self, rate: float, burst: int, waits: list[int]) -> None:
        """
        Whatever the times, in milliseconds, between those who ask: as many get in as by exact
        arithmetic.
        """
        clock = Clock()
        limits = AddressLimits(clock, 10**9, rate, burst, 100)
        tokens, now = Fraction(burst), Fraction(0)
        for wait in waits:
            passed = Fraction(wait, 1000)
            now += passed
            clock.rightNow = float(now)
            tokens = min(Fraction(burst), tokens + passed * Fraction(rate))
            self.assertEqual(limits.opened(b"key") is None, tokens >= 1)
            if tokens >= 1:
                tokens -= 1


class AddressLimitsTests(SynchronousTestCase):
    """Three connections at once, two a second and five at once, for a hundred addresses."""

    def setUp(self) -> None:
        """Make the limits."""
        self.clock = Clock()
        self.limits = AddressLimits(self.clock, 3, 2, 5, 100)

    def open(self, key: bytes, count: int = 1) -> list[str | None]:
        """Open connections."""
        return [self.limits.opened(key) for _ in range(count)]

    def visit(self, key: bytes, count: int = 1) -> list[str | None]:
        """Open connections, each of which closes before the next."""
        limits = []
        for _ in range(count):
            limits += self.open(key)
            if limits[-1] is None:
                self.limits.closed(key)
        return limits

    def test_atOnce(self) -> None:
        """Three at once; who closes one may open another; others are others."""
        self.assertEqual(self.open(b"a", 4), [None, None, None, "address_maxclient"])
        self.assertEqual(self.open(b"b"), [None])
        self.limits.closed(b"a")
        self.assertEqual(self.open(b"a"), [None])

    def test_inTheLongRun(self) -> None:
        """Five in a row, then two a second; five again after a while."""
        self.assertEqual(self.visit(b"a", 6), [None] * 5 + ["address_rate"])
        self.assertEqual(self.visit(b"b"), [None])
        self.clock.advance(0.4)
        self.assertEqual(self.visit(b"a"), ["address_rate"])
        self.clock.advance(0.1)
        self.assertEqual(self.visit(b"a", 2), [None, "address_rate"])
        self.clock.advance(1000)
        self.assertEqual(self.visit(b"a", 6), [None] * 5 + ["address_rate"])

    def test_refusedCostNothing(self) -> None:
        """Who goes on trying gets in as often as who does not."""
        self.visit(b"a", 5)
        count = 0
        for _ in range(1000):
            self.clock.advance(0.01)
            count += self.visit(b"a") == [None]
        self.assertEqual(count, 20)

    def test_bounded(self) -> None:
        """A flood from many addresses takes no more entries than there may be."""
        for number in range(1000):
            self.assertEqual(self.visit(b"%d" % number), [None])
        self.assertEqual(len(self.limits), 100)

    def test_floodFreesNobody(self) -> None:
        """Who goes on trying is not forgotten for a flood of others."""
        self.visit(b"a", 6)
        for number in range(1000):
            self.visit(b"%d" % number)
            if number % 50 == 0:
                self.assertEqual(self.visit(b"a"), ["address_rate"])

    def test_floodAndOpen(self) -> None:
        """Nor are connections that are open forgotten: each still counts, and is let go."""
        self.open(b"a", 3)
        for number in range(1000):
            self.visit(b"%d" % number)
        self.assertEqual(self.open(b"a"), ["address_maxclient"])
        for _ in range(3):
            self.limits.closed(b"a")
        self.assertEqual(self.open(b"a"), [None])

    def test_nothingLeft(self) -> None:
        """What may begin anew is forgotten as others come."""
        for number in range(50):
            self.visit(b"%d" % number)
        self.clock.advance(2.5)
        for _ in range(30):
            self.visit(b"a")
        self.assertEqual(len(self.limits), 1)
        self.assertEqual(self.limits._open, {})
