"""
Tests for L{msgserver.remote.gates}: the login server and a gate, as each sees the other.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.logger import capturedLogs
from twisted.spread import pb
from zope.interface.verify import verifyObject

from msgserver.cluster import GateLoad, GateReport, IGate, LoginRecord, Registration
from msgserver.errors import Forbidden, GateUnavailable, InvalidState, NotAcceptable
from msgserver.remote.door import OPERATOR, identityOf
from msgserver.remote.gates import pack, reportOf, unpack
from msgserver.remote.link import Link
from msgserver.remote.servers import GateEnd
from msgserver.testing import MemoryGate
from tests.remote.links import (
    GATE_TIMEOUT,
    OPERATOR_KEY,
    OTHER_KEY,
    SAMPLE,
    TIMES,
    ControlCase,
    warnings,
)

ALICE = LoginRecord(b"alice", b"1", 10)
BOB = LoginRecord(b"bob \x00\xff", b"", 2**53)


class GateCase(ControlCase):
    """
    Tests that need a gate that is connected, and has registered.

    @ivar memory: the gate itself.
    @ivar admitted: the logins that it was asked for and has got.
    """

    def setUp(self) -> None:
        super().setUp()
        self.memory = MemoryGate()
        self.admitted: list[LoginRecord] = []
        self.link, self.desk = self.entered()
        self.resultOf(self.register(self.link, self.desk))

    def register(self, link: Link, desk: pb.RemoteReference, weight: int = 3) -> Deferred[Any]:
        """Register the gate."""
        end = GateEnd(self.memory, link, self.clock, self.admitted.append, self.memory.replaced)
        return link.call(desk, "register", end, "192.0.2.9:8888", weight, True, (4, 5, 6))

    @property
    def gate(self) -> IGate:
        """The gate as the login server sees it."""
        return self.directory.gate

    def call(self, method: str, *arguments: object) -> Deferred[Any]:
        """Call the login server."""
        return self.link.call(self.desk, method, *arguments)

    def login(self, uid: bytes = b"alice", epoch: int = 10) -> Deferred[bytes]:
        """Have the login server ask for a login, and the gate hear of it."""
        login = self.gate.login(uid, b"8 secret", epoch)
        self.turn()
        return login


class LoginTests(GateCase):
    """A login, asked of a gate in another process."""

    def test_interface(self) -> None:
        """It is a gate as any."""
        verifyObject(IGate, self.gate)

    def test_login(self) -> None:
        """Uid, secret and epoch reach the gate; its subid comes back, and it is told."""
        epoch = 1_700_000_000_000_000
        self.assertEqual(self.resultOf(self.login(BOB.uid, epoch)), b"1")
        self.assertEqual(self.memory.asked, [("login", BOB.uid, b"8 secret")])
        self.assertEqual(self.memory.epochs, [epoch])
        self.assertEqual(self.admitted, [LoginRecord(BOB.uid, b"1", epoch)])
        self.assertQuietBut()

    def assertQuietBut(self) -> None:
        """No timer is left but that of the pings."""
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_refused(self) -> None:
        """What the gate fails with arrives as itself; nobody is told of a login."""
        for error in (Forbidden("no"), GateUnavailable("drains"), NotAcceptable("what")):
            self.memory.answers = [fail(error)]
            self.assertFails(self.login(), type(error), str(error))
        self.memory.answers = [fail(ValueError("a bug"))]
        self.assertFails(self.login(), GateUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.admitted, [])
        self.assertEqual([asked[0] for asked in self.memory.asked], ["login"] * 4)
        self.assertQuietBut()

    def test_cancelled(self) -> None:
        """A login that nobody waits for any more is ended when its answer comes."""
        promised: Deferred[bytes] = Deferred()
        self.memory.answers = [promised]
        login = self.login()
        login.cancel()
        self.failureResultOf(login, CancelledError)
        promised.callback(b"the subid")
        self.turn()
        self.assertEqual(self.memory.asked[1:], [("kick", b"alice", b"the subid")])
        self.assertFalse(self.link.isLost)

    def test_cancelledInVain(self) -> None:
        """Where its answer is no, or the link is lost, there is nothing to end."""
        for answer in (Forbidden("no"), None):
            promised: Deferred[bytes] = Deferred()
            self.memory.answers = [promised]
            login = self.login()
            login.cancel()
            self.failureResultOf(login, CancelledError)
            if answer is None:
                self.place.cut()
            else:
                promised.errback(answer)
            self.turn()
            self.assertEqual(self.memory.asked[-1][0], "login")

    def test_lost(self) -> None:
        """A login that the link is lost before it can be told of is ended by the gate."""
        promised: Deferred[bytes] = Deferred()
        self.memory.answers = [promised]
        login = self.login()
        self.place.cut()
        self.assertFails(login, GateUnavailable, "the link is lost")
        promised.callback(b"the subid")
        self.assertEqual(self.memory.asked[1:], [("kick", b"alice", b"the subid")])
        self.assertEqual(self.admitted, [])
        self.assertQuiet()

    def test_deadline(self) -> None:
        """A gate gives up a login itself when the login server has given it up."""
        cancelled: list[object] = []
        self.memory.answers = [Deferred(cancelled.append)]
        login = self.login()
        self.wait(GATE_TIMEOUT - 0.25)
        self.assertNoResult(login)
        self.assertEqual(cancelled, [])
        self.wait(0.25)
        self.assertFails(login, GateUnavailable, "the gate took too long")
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.admitted, [])

    def test_dead(self) -> None:
        """A gate whose link is lost is unavailable, whatever is asked of it."""
        gate = self.gate
        self.place.cut()
        for asked in (
            gate.login(b"alice", b"8 secret", 1),
            gate.kick(b"alice", b"1"),
            gate.setDraining(True),
            gate.load(),
        ):
            self.assertFails(asked, GateUnavailable, "the link is lost")
        gate.replaced()
        self.assertEqual(self.memory.asked, [])


class OtherQuestionsTests(GateCase):
    """What else is asked of a gate in another process."""

    def test_kick(self) -> None:
        """A kick is done when the gate has done it, and has no deadline of its own here."""
        promised: Deferred[None] = Deferred()
        self.memory.answers = [promised]
        kick = self.gate.kick(b"alice", b"1")
        self.wait(60)
        self.assertEqual(self.memory.asked, [("kick", b"alice", b"1")])
        self.assertNoResult(kick)
        promised.callback(None)
        self.assertIsNone(self.resultOf(kick))

    def test_setDraining(self) -> None:
        """So is draining, and taking logins again."""
        for isDraining in (True, False):
            promised: Deferred[None] = Deferred()
            self.memory.answers = [promised]
            told = self.gate.setDraining(isDraining)
            self.turn()
            self.assertIs(self.memory.isDraining, isDraining)
            self.assertNoResult(told)
            promised.callback(None)
            self.assertIsNone(self.resultOf(told))

    def test_load(self) -> None:
        """What the gate is doing arrives as it was said."""
        self.memory.answers = [Deferred()]
        self.memory.answers[0].callback(GateLoad(7, 8, 9))
        self.assertEqual(self.resultOf(self.gate.load()), GateLoad(7, 8, 9))

    def test_failures(self) -> None:
        """What fails arrives as itself."""
        gate = self.gate
        for ask in (
            lambda: gate.kick(b"alice", b"1"),
            lambda: gate.setDraining(True),
            lambda: gate.load(),
        ):
            self.memory.answers = [fail(GateUnavailable("not now"))]
            self.assertFails(ask(), GateUnavailable, "not now")

    def test_replaced(self) -> None:
        """A gate that another has taken the place of is told so, and its link is closed."""
        self.gate.replaced()
        self.turn()
        self.assertTrue(self.memory.isReplaced)
        self.assertTrue(self.place.wire.isLost)
        self.assertEqual(self.directory.unregistered, [self.gate])
        self.assertQuiet()

    def test_watched(self) -> None:
        """A gate that is frozen is unregistered within C{pingInterval} and C{answer} seconds."""
        self.wait(60)
        self.assertEqual(self.directory.unregistered, [])
        self.place.hold()
        self.wait(TIMES.pingInterval + TIMES.answer)
        self.assertEqual(self.directory.unregistered, [self.gate])


class DeskTests(GateCase):
    """What a gate tells the login server."""

    def test_register(self) -> None:
        """It is registered with what it says, by the name that it has proved, without logins."""
        self.assertEqual(
            self.directory.registrations,
            [Registration(b"sample", "192.0.2.9:8888", 3, True, GateLoad(4, 5, 6))],
        )
        other, desk = self.entered(identityOf(b"other"), OTHER_KEY)
        self.resultOf(other.call(desk, "register", desk, None, 1, False, (0, 0, 0)))
        self.assertEqual(self.directory.registrations[1:], [Registration(b"other")])

    def test_spaces(self) -> None:
        """A server name may have spaces in it."""
        self.factory.keys._keys[identityOf(b"a name")] = b"key"
        other, desk = self.entered(identityOf(b"a name"), b"key")
        self.resultOf(other.call(desk, "register", desk, None, 1, False, (0, 0, 0)))
        self.assertEqual(self.directory.registrations[-1].servername, b"a name")

    def test_twice(self) -> None:
        """One link registers one gate, once."""
        self.assertFails(
            self.register(self.link, self.desk), InvalidState, "this gate has registered already"
        )
        self.assertEqual(len(self.directory.registrations), 1)
        self.resultOf(self.call("loggedOut", b"alice", b"1"))

    def test_never(self) -> None:
        """A peer that holds the key and does not register is let go of in time."""
        link, _ = self.entered()
        operator, _ = self.entered(OPERATOR, OPERATOR_KEY)
        with capturedLogs() as events:
            self.wait(TIMES.proof)
        self.assertEqual((link.isLost, operator.isLost, self.link.isLost), (True, False, False))
        self.assertEqual(len([each for each in warnings(events) if "not register" in each]), 1)

    def test_weight(self) -> None:
        """A weight by which no login could be weighed is refused."""
        for weight in (0, -1):
            link, desk = self.entered()
            self.assertFails(
                self.register(link, desk, weight), InvalidState, "a gate's weight is 1 or more"
            )
        self.assertEqual(len(self.directory.registrations), 1)

    def test_notRegistered(self) -> None:
        """Before that, nothing else is taken from it."""
        other, desk = self.entered()
        for method, *arguments in (
            ("adopt", []),
            ("draining", True),
            ("loggedOut", b"alice", b"1"),
            ("unregister",),
        ):
            self.assertFails(
                other.call(desk, method, *arguments),
                InvalidState,
                "this gate has not registered",
            )
        directory = self.directory
        self.assertEqual(
            (directory.adopted, directory.drained, directory.ended, directory.unregistered),
            ([], [], [], []),
        )
        self.assertIsNone(self.resultOf(other.call(desk, "ping")))

    def test_adopt(self) -> None:
        """Logins arrive as they are; those that are superseded come back."""
        self.assertEqual(self.resultOf(self.call("adopt", pack([ALICE, BOB]))), [])
        self.assertEqual(self.directory.adopted, [ALICE, BOB])
        self.directory.superseded = [BOB, ALICE]
        self.assertEqual(unpack(self.resultOf(self.call("adopt", pack([])))), [BOB, ALICE])

    def test_tells(self) -> None:
        """So do its draining, its logouts, and its leave."""
        self.resultOf(self.call("draining", True))
        self.resultOf(self.call("draining", False))
        self.assertEqual(self.directory.drained, [True, False])
        self.resultOf(self.call("loggedOut", BOB.uid, BOB.subid))
        self.assertEqual(self.directory.ended, [(BOB.uid, BOB.subid)])
        self.resultOf(self.call("unregister"))
        self.assertEqual(self.directory.unregistered, [self.gate])

    def test_lost(self) -> None:
        """A gate whose link is lost is unregistered; who has not registered is not."""
        self.entered()
        gate = self.gate
        with capturedLogs() as events:
            self.place.cut()
        self.assertEqual(self.directory.unregistered, [gate])
        self.assertEqual(warnings(events), [])
        self.assertQuiet()

    def test_eachItsOwn(self) -> None:
        """Each gate is its own, whatever its name."""
        link, desk = self.entered(SAMPLE)
        self.resultOf(self.register(link, desk))
        first, second = self.directory.gates
        self.assertIsNot(first, second)
        link.close()
        self.turn()
        self.assertEqual(self.directory.unregistered, [second])
        self.resultOf(self.call("unregister"))
        self.assertEqual(self.directory.unregistered, [second, first])


class FormTests(ControlCase):
    """What crosses the link, laid out."""

    def test_logins(self) -> None:
        """Logins are laid out flat, and made again."""
        self.assertEqual(pack([ALICE, BOB]), [b"alice", b"1", 10, BOB.uid, b"", BOB.epoch])
        for logins in ([], [ALICE], [ALICE, BOB, ALICE]):
            self.assertEqual(unpack(pack(logins)), logins)
        self.assertRaises(ValueError, unpack, pack([ALICE])[:2])

    def test_reports(self) -> None:
        """A report of a gate is made again, whether it has answered or not."""
        for load in (None, GateLoad(1, 2, 3)):
            report = GateReport("sample@a:1", b"sample", "a:1", 2, True, 9, load)
            parts = ("sample@a:1", b"sample", "a:1", 2, True, 9, load and (1, 2, 3))
            self.assertEqual(reportOf(parts), report)
