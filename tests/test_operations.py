"""
Tests for L{msgserver.operations}: what a login server does for operators.
"""

from __future__ import annotations

from gc import collect
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from msgserver.cluster import GateLoad, GateReport, LoginRecord, LoginReport
from msgserver.errors import Forbidden, GateUnavailable, UserNotFound
from msgserver.loginservice import LoginService
from msgserver.testing import MemoryGate
from tests.loginserver import LoginServerCase, kicked

SAMPLE = "sample@192.0.2.9:8888"
LATER = 1_700_000_000.0
"""Seconds since 1970."""


class DrainingGate(MemoryGate):
    """A gate that tells the login side when it drains, before it answers, as gates do."""

    def __init__(self, service: LoginService) -> None:
        MemoryGate.__init__(self)
        self._service = service

    def setDraining(self, isDraining: bool) -> Deferred[None]:
        """See L{IGate.setDraining}."""
        self._service.draining(self, isDraining)
        return MemoryGate.setDraining(self, isDraining)


class OperationsCase(LoginServerCase):
    """
    Tests that need more gates: C{west}, of the server name C{sample}, and C{other}, which has
    no address.
    """

    def setUp(self) -> None:
        """Make them, at a time that is worth telling."""
        super().setUp()
        self.operations = self.service.operations
        self.clock.rightNow = LATER
        self.west, self.other = DrainingGate(self.service), DrainingGate(self.service)
        self.register(self.west, b"sample", address="west:8888", weight=2)
        self.register(self.other, b"other")

    def outlooks(self) -> list[tuple[str, str, str, int]]:
        """Tell what is known of the gates without asking them."""
        return [
            (each.name, each.server, each.state.value, each.logins)
            for each in self.operations.states()
        ]

    def assertFails(self, asked: Deferred[Any], error: type[Exception], text: str) -> None:
        """See an operator told no, and why."""
        self.assertRegex(str(self.failureResultOf(asked, error).value), text)


class StatesTests(OperationsCase):
    """What is known of gates without asking them."""

    def test_states(self) -> None:
        """Each one's logins, and whether it is given more of them."""
        self.loggedIn(b"other", b"alice")
        self.successResultOf(self.service.draining(self.gate, True))
        self.west.isLate = True
        self.assertEqual(
            self.outlooks(),
            [
                ("other", "other", "open", 1),
                (SAMPLE, "sample", "draining", 0),
                ("sample@west:8888", "sample", "late", 0),
            ],
        )
        self.assertEqual([gate.asked for gate in (self.gate, self.west)], [[], []])

    def test_lateAndDraining(self) -> None:
        """One that takes no logins takes none, late or not."""
        self.successResultOf(self.service.draining(self.west, True))
        self.west.isLate = True
        self.assertEqual(self.outlooks()[2][2], "draining")

    def test_lateLately(self) -> None:
        """One that did not answer in time is late for a while."""
        self.west.answers = [Deferred(lambda _: None)]
        asked = self.operations.gates()
        self.clock.advance(2)
        self.successResultOf(asked)
        self.assertEqual(self.outlooks()[2][2], "late")
        self.clock.advance(3600)
        self.assertEqual(self.outlooks()[2][2], "open")

    def test_gone(self) -> None:
        """One that is gone is not told of."""
        self.successResultOf(self.service.unregister(self.other))
        self.assertEqual([each[0] for each in self.outlooks()], [SAMPLE, "sample@west:8888"])


class GatesTests(OperationsCase):
    """What is told of gates."""

    def test_gates(self) -> None:
        """Each is told of with what the login side knows, and what it says itself."""
        self.loggedIn(b"other", b"alice")
        self.loggedIn(b"other", b"bob")
        self.successResultOf(self.service.draining(self.gate, True))
        self.other.answers = [succeed(GateLoad(3, 2, 1))]
        self.assertEqual(
            self.successResultOf(self.operations.gates()),
            [
                GateReport("other", b"other", None, 1, False, 2, GateLoad(3, 2, 1)),
                GateReport(SAMPLE, b"sample", "192.0.2.9:8888", 1, True, 0, GateLoad()),
                GateReport("sample@west:8888", b"sample", "west:8888", 2, False, 0, GateLoad()),
            ],
        )

    def test_none(self) -> None:
        """Where there is none there is nothing to tell."""
        for gate in (self.gate, self.west, self.other):
            self.service.unregister(gate)
        self.assertEqual(self.successResultOf(self.operations.gates()), [])

    def test_fails(self) -> None:
        """One that fails in an unexpected way is told of without its load, and logged."""
        self.gate.answers = [fail(KeyError("a bug"))]
        reports = self.successResultOf(self.operations.gates())
        self.assertEqual([report.load for report in reports], [GateLoad(), None, GateLoad()])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_noAnswer(self) -> None:
        """One that does not answer in time, or is away, has no load; all are asked at once."""
        letGo: list[object] = []
        self.other.answers = [Deferred(letGo.append)]
        self.west.answers = [Deferred(letGo.append)]
        self.gate.answers = [fail(GateUnavailable("away"))]
        told = self.operations.gates()
        self.clock.advance(1.9)
        self.assertNoResult(told)
        self.clock.advance(0.1)
        self.assertEqual([report.load for report in self.successResultOf(told)], [None] * 3)
        self.assertEqual(len(letGo), 2)

    def test_isLate(self) -> None:
        """One that did not answer in time is asked for logins last, as after any question."""
        self.west.answers = [Deferred()]
        told = self.operations.gates()
        self.clock.advance(2)
        self.successResultOf(told)
        for uid in (b"a", b"b"):
            self.loggedIn(uid=uid)
        self.assertEqual(self.west.asked, [])

    def test_givenUp(self) -> None:
        """An operator who no longer waits leaves nothing behind, and nothing unhandled."""
        for gate in (self.gate, self.west, self.other):
            gate.answers = [Deferred()]
        told = self.operations.gates()
        told.cancel()
        self.failureResultOf(told)
        collect()
        self.assertEqual(self.flushLoggedErrors(), [])


class UsersTests(OperationsCase):
    """What is told of logins."""

    def test_users(self) -> None:
        """All are told of, in the order of their uids, whoever made them and when."""
        self.loggedIn(b"other", b"bob")
        self.clock.advance(1.5)
        self.loggedIn(b"other", b"alice")
        self.adopt(self.gate, LoginRecord(b"carol", b"7", 12_500_000))
        self.assertEqual(
            self.operations.users(),
            [
                LoginReport(b"alice", b"2", "other", LATER + 1.5),
                LoginReport(b"bob", b"1", "other", LATER),
                LoginReport(b"carol", b"7", SAMPLE, 12.5),
            ],
        )

    def test_ofOne(self) -> None:
        """So are those of one uid; of one that is nowhere there are none."""
        self.loggedIn(b"other", b"alice")
        self.loggedIn(b"other", b"bob")
        self.assertEqual(
            self.operations.users(b"alice"), [LoginReport(b"alice", b"1", "other", LATER)]
        )
        self.assertEqual(self.operations.users(b"carol"), [])


class KickTests(OperationsCase):
    """Ending logins (U3, U4)."""

    multilogin = True

    def setUp(self) -> None:
        """Log alice in at two gates, at one of them twice; and bob."""
        super().setUp()
        self.adopt(self.gate, LoginRecord(b"alice", b"7", 1_000_000))
        self.adopt(
            self.other,
            LoginRecord(b"alice", b"8", 2_000_000),
            LoginRecord(b"alice", b"9", 3_000_000),
            LoginRecord(b"bob", b"8", 4_000_000),
        )
        self.seven = LoginReport(b"alice", b"7", SAMPLE, 1.0)
        self.eight = LoginReport(b"alice", b"8", "other", 2.0)
        self.nine = LoginReport(b"alice", b"9", "other", 3.0)

    def test_all(self) -> None:
        """U4: all logins of the uid are kicked, by their subids, and nobody else's."""
        ended = self.successResultOf(self.operations.kick(b"alice"))
        self.assertEqual(ended, [self.seven, self.eight, self.nine])
        self.assertEqual(kicked(self.gate), [(b"alice", b"7")])
        self.assertEqual(kicked(self.other), [(b"alice", b"8"), (b"alice", b"9")])
        self.assertEqual([report.uid for report in self.operations.users()], [b"bob"])

    def test_one(self) -> None:
        """U4: or one alone, where its subid is given."""
        self.assertEqual(self.successResultOf(self.operations.kick(b"alice", b"8")), [self.eight])
        self.assertEqual((kicked(self.gate), kicked(self.other)), ([], [(b"alice", b"8")]))
        self.assertEqual(self.operations.users(b"alice"), [self.seven, self.nine])

    def test_waits(self) -> None:
        """U3: it is done when every gate says so; they are asked at once."""
        first: Deferred[None] = Deferred()
        second: Deferred[None] = Deferred()
        self.gate.answers, self.other.answers = [first], [second]
        ended = self.operations.kick(b"alice")
        self.assertEqual(len(kicked(self.other)), 2)
        second.callback(None)
        self.assertNoResult(ended)
        self.assertEqual(self.operations.users(b"alice"), [self.seven])
        first.callback(None)
        self.assertEqual(len(self.successResultOf(ended)), 3)

    def test_unknown(self) -> None:
        """A uid or a subid that is not logged in is an answer of its own; no gate is asked."""
        for uid, subid in ((b"carol", None), (b"alice", b"1"), (b"bob", b"7")):
            self.assertFails(self.operations.kick(uid, subid), UserNotFound, "no such login")
        self.assertEqual((self.gate.asked, self.other.asked), ([], []))

    def test_gateAway(self) -> None:
        """What could not be kicked is told, and still listed, so that it can be tried again."""
        self.gate.answers = [fail(GateUnavailable("away"))]
        self.assertFails(self.operations.kick(b"alice"), GateUnavailable, "try again")
        self.assertEqual(self.operations.users(b"alice"), [self.seven])
        self.assertEqual(self.successResultOf(self.operations.kick(b"alice")), [self.seven])

    def test_late(self) -> None:
        """So it is where a gate does not answer in time."""
        self.other.answers = [Deferred()]
        ended = self.operations.kick(b"alice", b"9")
        self.clock.advance(4.9)
        self.assertNoResult(ended)
        self.clock.advance(0.1)
        self.assertFails(ended, GateUnavailable, "try again")
        self.assertIn(self.nine, self.operations.users())

    def test_fails(self) -> None:
        """And where a gate fails in an unexpected way, which is logged."""
        for error in (KeyError("a bug"), Forbidden("no kick here")):
            self.gate.answers = [fail(error)]
            self.assertFails(self.operations.kick(b"alice", b"7"), GateUnavailable, "try again")
            self.assertEqual([each.value for each in self.flushLoggedErrors()], [error])

    def test_givenUp(self) -> None:
        """An operator who no longer waits leaves nothing behind, and nothing unhandled."""
        self.gate.answers, self.other.answers = [Deferred()], [Deferred(), Deferred()]
        ended = self.operations.kick(b"alice")
        ended.cancel()
        self.failureResultOf(ended)
        collect()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(len(self.operations.users(b"alice")), 3)


class DrainTests(OperationsCase):
    """Having a gate take no new logins."""

    def test_drain(self) -> None:
        """The gate is told, and its report says so; logins go elsewhere until it is undone."""
        report = self.successResultOf(self.operations.setDraining("sample@west:8888", True))
        self.assertEqual(
            report,
            GateReport("sample@west:8888", b"sample", "west:8888", 2, True, 0, GateLoad()),
        )
        self.assertIs(self.west.isDraining, True)
        self.assertEqual((self.gate.isDraining, self.other.isDraining), (None, None))
        for uid in (b"a", b"b"):
            self.loggedIn(uid=uid)
        self.assertEqual(self.west.asked, [])
        report = self.successResultOf(self.operations.setDraining("sample@west:8888", False))
        self.assertEqual((report.isDraining, self.west.isDraining), (False, False))
        self.loggedIn(uid=b"c")
        self.assertEqual(len(self.west.asked), 1)

    def test_names(self) -> None:
        """Its address will do, and its server name where no other has it."""
        for name, gate in (("west:8888", self.west), ("other", self.other)):
            self.assertEqual(
                self.successResultOf(self.operations.setDraining(name, True)).isDraining,
                True,
            )
            self.assertIs(gate.isDraining, True)

    def test_unknown(self) -> None:
        """A name that is no gate's, or several's, is an answer of its own; no gate is told."""
        for name, why in (("nowhere", "nowhere"), ("sample", "name one of them"), ("", "no gate")):
            self.assertFails(self.operations.setDraining(name, True), UserNotFound, why)
        self.assertEqual([self.gate.isDraining, self.west.isDraining], [None, None])

    def test_late(self) -> None:
        """A gate that does not answer in time may or may not have heard it."""
        self.other.answers = [Deferred()]
        drained = self.operations.setDraining("other", True)
        self.clock.advance(4.9)
        self.assertNoResult(drained)
        self.clock.advance(0.1)
        self.assertFails(drained, GateUnavailable, "other did not answer in time")

    def test_away(self) -> None:
        """One that is away is told of as such."""
        self.other.answers = [fail(GateUnavailable("the link is lost"))]
        self.assertFails(
            self.operations.setDraining("other", True), GateUnavailable, "link is lost"
        )

    def test_noLoad(self) -> None:
        """One that does as told, but is slow to tell its load, is told of without."""
        self.other.answers = [succeed(None), Deferred()]
        drained = self.operations.setDraining("other", True)
        self.clock.advance(5)
        self.assertEqual(
            self.successResultOf(drained),
            GateReport("other", b"other", None, 1, True, 0, None),
        )


class LostTests(OperationsCase):
    """A kick where the gate is away."""

    def test_kick(self) -> None:
        """U4: the login cannot be ended now, and ends with the gate's return."""
        alice = LoginRecord(b"alice", b"7", 1)
        self.register(self.gate, b"sample", alice, address="192.0.2.9:8888")
        self.service.unregister(self.gate)
        self.assertFails(self.operations.kick(b"alice", b"7"), UserNotFound, "no such login")
        self.assertFails(self.operations.kick(b"alice"), GateUnavailable, "ends with its return")
        back = self.register(self.gate, b"sample", alice, address="192.0.2.9:8888")
        self.assertEqual(back, [alice])
        self.assertFails(self.operations.kick(b"bob"), UserNotFound, "no such login")
