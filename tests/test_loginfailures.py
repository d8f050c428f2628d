"""
Tests for L{msgserver.loginfailures}: who must wait, for how long, and who need not.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.addresslimits import Networks
from msgserver.errors import NotAcceptable
from msgserver.loginfailures import Attempt, FailureLimits, LoginFailures

HOME, AWAY, LOCAL = "192.0.2.1", "203.0.113.1", "127.0.0.1"


class FailureCase(SynchronousTestCase):
    """Three failures of a user are free, ten of an address; waits of 1 to 8 seconds."""

    limits = FailureLimits(3, 10, 1.0, 8.0, 100.0, 50)

    def setUp(self) -> None:
        """Make it."""
        self.clock = Clock()
        self.failures = LoginFailures(self.clock, self.limits)

    def begin(self, uid: bytes | None = b"alice", host: str | None = AWAY) -> Attempt:
        """Begin an attempt, which may be made."""
        return self.failures.begin(uid, host)

    def giveWrong(
        self, count: int = 1, uid: bytes | None = b"alice", host: str | None = AWAY
    ) -> None:
        """Give so many wrong tokens, each when it is time."""
        for _ in range(count):
            while self.isHeld(uid, host):
                self.clock.advance(0.5)
            self.begin(uid, host).failed()

    def isHeld(self, uid: bytes | None = b"alice", host: str | None = AWAY) -> bool:
        """Say whether an attempt would come too early; it is none."""
        try:
            self.begin(uid, host).dropped()
        except NotAcceptable:
            return True
        return False

    def wait(self, uid: bytes | None = b"alice", host: str | None = AWAY) -> float:
        """Tell for how long the next attempt is refused, in half seconds."""
        seconds = 0.0
        while self.isHeld(uid, host):
            self.clock.advance(0.5)
            seconds += 0.5
        return seconds

    def addressHeld(self, host: str) -> bool:
        """Say whether an address is not even listened to."""
        return self.failures.isHeld(Networks().keyOf(host))


class UserTests(FailureCase):
    """What a user's failures lead to."""

    def test_growing(self) -> None:
        """Three are free; then each wait is twice the last, up to the longest."""
        self.giveWrong(2)
        self.assertEqual(self.wait(), 0)
        waits = []
        for _ in range(6):
            self.giveWrong()
            waits.append(self.wait())
        self.assertEqual(waits, [1, 2, 4, 8, 8, 8])

    def test_counted(self) -> None:
        """Each that comes too early is counted, and does not put off the next."""
        self.giveWrong(3)
        for _ in range(4):
            self.assertRaises(NotAcceptable, self.begin)
            self.clock.advance(0.24)
        self.clock.advance(0.04)
        self.begin()
        self.assertEqual(self.failures.hits, {"free_failures": 4})

    def test_perUser(self) -> None:
        """Others need not wait for it; from wherever it comes, the user must."""
        self.giveWrong(3)
        self.assertFalse(self.isHeld(b"bob"))
        self.assertTrue(self.isHeld(host=HOME))
        self.assertTrue(self.isHeld(host=LOCAL))
        self.assertTrue(self.isHeld(host=None))

    def test_success(self) -> None:
        """Who gets in begins anew, and leaves nothing."""
        self.giveWrong(4)
        self.clock.advance(2)
        self.begin().succeeded(b"alice")
        self.giveWrong(2)
        self.assertFalse(self.isHeld())
        self.begin().succeeded(b"alice")
        self.assertEqual(len(self.failures._users), 0)

    def test_decay(self) -> None:
        """All is forgotten a while after the last failure, and not before."""
        self.giveWrong(5)
        self.clock.advance(99)
        self.giveWrong()
        self.assertEqual(self.wait(), 8)
        self.clock.advance(92.5)
        self.giveWrong(2)
        self.assertFalse(self.isHeld())

    def test_sideBySide(self) -> None:
        """Guessing side by side is no way around: who has no answer yet counts as failed."""
        attempts = [self.begin() for _ in range(3)]
        self.assertTrue(self.isHeld())
        for attempt in attempts:
            attempt.failed()
        self.assertEqual(self.wait(), 1)
        attempts = [self.begin()]
        self.assertRaises(NotAcceptable, self.begin)
        attempts[0].failed()
        self.assertEqual(self.wait(), 2)

    def test_sideBySideSuccess(self) -> None:
        """One who gets in makes nothing of what others are still at."""
        guesses = [self.begin(host=AWAY) for _ in range(2)]
        self.begin(host=HOME).succeeded(b"alice")
        for guess in guesses:
            guess.failed()
        self.giveWrong()
        self.assertTrue(self.isHeld())

    def test_takenBack(self) -> None:
        """What has no verdict by no fault of the client's is none, as if it had not been."""
        self.giveWrong(2)
        for _ in range(10):
            self.begin().dropped()
        self.assertFalse(self.isHeld())
        self.giveWrong()
        self.clock.advance(1)
        self.begin().dropped()
        self.assertFalse(self.isHeld())

    def test_left(self) -> None:
        """A client that goes before the answer has not failed, however often it does so."""
        self.giveWrong(2)
        for _ in range(100):
            self.begin().left()
        self.assertFalse(self.isHeld())
        self.assertFalse(self.addressHeld(AWAY))

    def test_leftEarly(self) -> None:
        """But where there is a wait, it has the handler asked no more often than it may."""
        self.giveWrong(3)
        self.clock.advance(1)
        self.begin().left()
        self.assertEqual(self.wait(), 1)
        self.begin().left()
        self.assertEqual(self.wait(), 1)

    def test_once(self) -> None:
        """An attempt ends once; what is said of it later is nothing."""
        attempt = self.begin()
        attempt.dropped()
        attempt.failed()
        attempt.left()
        self.assertEqual(len(self.failures), 0)
        for _ in range(3):
            attempt = self.begin()
            attempt.failed()
            attempt.dropped()
            attempt.left()
        self.assertTrue(self.isHeld())

    def test_endsLate(self) -> None:
        """An attempt that ends when it is long forgotten counts, once, and never below zero."""
        old = [self.begin() for _ in range(2)]
        self.clock.advance(100)
        new = [self.begin() for _ in range(2)]
        for attempt in old + new:
            attempt.dropped()
        for attempt in [self.begin() for _ in range(3)]:
            attempt.failed()
        self.assertTrue(self.isHeld())

    def test_clockSetBack(self) -> None:
        """A clock that is set back keeps nobody out."""
        self.clock.advance(1000)
        self.giveWrong(3)
        self.clock.rightNow -= 500
        self.assertFalse(self.isHeld())

    def test_longUid(self) -> None:
        """What is kept of a uid is short, however long a stranger makes it."""
        uid = b"x" * 6000
        self.giveWrong(3, uid)
        self.assertTrue(self.isHeld(uid))
        self.assertFalse(self.isHeld(uid + b"x"))
        self.assertEqual({len(key) for key in self.failures._users._table}, {16})

    def test_manyDoublings(self) -> None:
        """Thousands of failures are no larger a number than a wait."""
        record = self.begin()._parts[0][2]
        record.failed = 10**6
        self.assertEqual(self.wait(), 8)

    def test_unknownUser(self) -> None:
        """Where nobody says who logs in, failures are the address's alone."""
        self.giveWrong(9, None)
        self.assertFalse(self.isHeld(None))
        self.giveWrong(1, None)
        self.assertTrue(self.isHeld(None))
        self.assertFalse(self.isHeld(None, HOME))

    def test_bounded(self) -> None:
        """A flood of names takes no more entries than there may be; those in use stay."""
        self.giveWrong(3)
        for number in range(500):
            host = f"198.51.{number % 100}.{number % 7}"
            self.begin(b"%d" % number, host).failed()
        self.assertEqual((len(self.failures._users), len(self.failures._addresses)), (50, 50))

    def test_forgottenUnderWay(self) -> None:
        """An attempt whose entry a flood has driven out counts all the same when it fails."""
        attempts = [self.begin() for _ in range(3)]
        for number in range(60):
            self.begin(b"%d" % number, None).failed()
        for attempt in attempts:
            attempt.failed()
        self.assertTrue(self.isHeld())

    def test_nothingLeft(self) -> None:
        """What is forgotten leaves no entry, once others come."""
        for number in range(20):
            self.giveWrong(1, b"%d" % number, None)
        self.clock.advance(100)
        for _ in range(20):
            self.begin(b"bob", None).succeeded(b"bob")
        self.assertEqual(len(self.failures), 0)


class HomeTests(FailureCase):
    """Nobody keeps a user out of where the user is at home."""

    def test_home(self) -> None:
        """Where the user has last logged in, the failures of others are no matter."""
        self.begin(host=HOME).succeeded(b"alice")
        self.giveWrong(5)
        self.assertTrue(self.isHeld())
        self.assertFalse(self.isHeld(host=HOME))

    def test_longAgo(self) -> None:
        """However long ago that was."""
        self.begin(host=HOME).succeeded(b"alice")
        self.clock.advance(10_000)
        self.giveWrong(5)
        self.assertFalse(self.isHeld(host=HOME))

    def test_last(self) -> None:
        """It is where it was last, and nowhere else."""
        self.begin(host=HOME).succeeded(b"alice")
        self.begin(host="192.0.2.2").succeeded(b"alice")
        self.giveWrong(3)
        self.assertTrue(self.isHeld(host=HOME))
        self.assertFalse(self.isHeld(host="192.0.2.2"))

    def test_otherUsers(self) -> None:
        """Each has a home of its own; nobody has one by failing, or by claiming another's name."""
        self.begin(b"bob", host=HOME).succeeded(b"bob")
        self.begin(b"alice", host=HOME).succeeded(b"bob")
        self.giveWrong(3)
        self.assertTrue(self.isHeld(host=HOME))
        self.assertTrue(self.isHeld(host=AWAY))

    def test_claimedName(self) -> None:
        """To log in as oneself under another's name makes nothing of the other's failures."""
        self.giveWrong(2)
        self.begin(b"alice").succeeded(b"bob")
        self.giveWrong()
        self.assertTrue(self.isHeld())

    def test_unlimitedIsNoHome(self) -> None:
        """An address that may be anybody's, such as a proxy's, is nobody's home."""
        self.begin(host=LOCAL).succeeded(b"alice")
        self.giveWrong(3, host=LOCAL)
        self.assertTrue(self.isHeld(host=LOCAL))

    def test_guessingAtHome(self) -> None:
        """At home one must wait as well, once the address itself has failed too often."""
        self.begin(host=HOME).succeeded(b"alice")
        self.giveWrong(10, host=HOME)
        self.assertTrue(self.isHeld(host=HOME))
        self.assertEqual(self.failures.hits["address_free_failures"], 1)


class AddressTests(FailureCase):
    """What the failures from an address lead to."""

    def test_growing(self) -> None:
        """Ten are free, whoever it was; then none from there is tried, nor even listened to."""
        for number in range(9):
            self.giveWrong(1, b"%d" % number)
        self.assertFalse(self.addressHeld(AWAY))
        self.giveWrong(1, b"9")
        self.assertTrue(self.addressHeld(AWAY))
        self.assertEqual(self.wait(b"bob"), 1)
        self.giveWrong(1, b"bob")
        self.assertEqual(self.wait(b"bob"), 2)
        self.assertFalse(self.addressHeld(HOME))
        self.assertFalse(self.isHeld(b"bob", HOME))

    def test_success(self) -> None:
        """Who gets in from there makes none of them undone."""
        for number in range(9):
            self.giveWrong(1, b"%d" % number)
        for _ in range(20):
            self.begin(b"mallory").succeeded(b"mallory")
        self.assertFalse(self.addressHeld(AWAY))
        self.giveWrong(1, b"9")
        self.assertTrue(self.addressHeld(AWAY))

    def test_sideBySide(self) -> None:
        """Connections that were open before do not get around it."""
        attempts = [self.begin(b"%d" % number) for number in range(10)]
        self.assertTrue(self.isHeld(b"bob"))
        for attempt in attempts:
            attempt.failed()
        self.assertTrue(self.isHeld(b"bob"))
        self.assertEqual(self.failures.hits, {"address_free_failures": 2})

    def test_manyUsersAtOnce(self) -> None:
        """Many who log in at once from one address are not shut out as guessers are."""
        attempts = [self.begin(b"%d" % number) for number in range(10)]
        self.assertFalse(self.addressHeld(AWAY))
        for number, attempt in enumerate(attempts):
            attempt.succeeded(b"%d" % number)
        self.assertFalse(self.isHeld(b"bob"))
        self.assertEqual(len(self.failures), 0)

    def test_ipv6(self) -> None:
        """A /64 is one address."""
        for number in range(10):
            self.giveWrong(1, b"%d" % number, f"2001:db8::{number}")
        self.assertTrue(self.addressHeld("2001:db8::ffff"))
        self.assertFalse(self.addressHeld("2001:db8:0:1::1"))

    def test_exempt(self) -> None:
        """Where no limit of an address holds, this one does not either."""
        for number in range(30):
            self.giveWrong(1, b"%d" % number, LOCAL)
            self.giveWrong(1, b"%d" % -number, None)
        self.assertFalse(self.addressHeld(LOCAL))
        self.assertFalse(self.isHeld(b"bob", LOCAL))
        self.assertFalse(self.isHeld(b"bob", None))

    def test_decay(self) -> None:
        """It is forgotten a while after the last."""
        for number in range(10):
            self.giveWrong(1, b"%d" % number)
        self.clock.advance(100)
        for number in range(9):
            self.giveWrong(1, b"%d" % number)
        self.assertFalse(self.addressHeld(AWAY))


ENDS = ("failed", "dropped", "left", "succeeded")


class ModelTests(SynchronousTestCase):
    """Attempts at one uid, against a model in a few lines."""

    @settings(derandomize=True, deadline=None)
    @given(st.lists(st.sampled_from([0.25, 1.0, 2.0, 4.0, 16.0, "begin", "begin", *ENDS])))
    def test_model(self, steps: list[float | str]) -> None:
        """Whatever happens in which order, the same attempts are refused."""
        clock = Clock()
        failures = LoginFailures(clock, FailureLimits(2, 10, 1.0, 16.0, 1e9, 10))
        underWay: list[Attempt] = []
        failed, since, begun = 0, -1e6, -1e6
        for step in steps:
            now = clock.seconds()
            if isinstance(step, float):
                clock.advance(step)
            elif step == "begin":
                over = failed + len(underWay) - 2
                last = max(since, begun) if underWay else since
                mustWait = over >= 0 and now - last < min(16.0, 2.0**over)
                if mustWait:
                    self.assertRaises(NotAcceptable, failures.begin, b"alice", None)
                else:
                    underWay.append(failures.begin(b"alice", None))
                    begun = now
            elif underWay:
                attempt = underWay.pop(0)
                if step == "succeeded":
                    attempt.succeeded(b"alice")
                    failed = 0
                else:
                    getattr(attempt, step)()
                    failed += step == "failed"
                    if step == "failed" or (step == "left" and failed >= 2):
                        since = now
