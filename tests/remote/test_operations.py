"""
Tests for L{msgserver.remote.operations}: an operator's commands, from another process.
"""

from __future__ import annotations

from typing import Any

from twisted.cred.portal import IRealm
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from zope.interface import implementer

from msgserver.cluster import GateLoad, GateReport, IOperations, LoginReport
from msgserver.errors import GateUnavailable, MsgServerError, Unauthorized, UserNotFound
from msgserver.remote import gates
from msgserver.remote.gates import ControlRealm
from msgserver.remote.operations import RemoteOperations
from tests.remote.links import GATE_TIMEOUT, KEY, OPERATOR_KEY, TIMES, ControlCase, Place

GATE = GateReport("sample@a:1", b"sample", "a:1", 2, False, 9, GateLoad(9, 5, 1))
SILENT = GateReport("other", b"other \xff", None, 1, True, 0, None)


def reports(count: int) -> list[LoginReport]:
    """Make so many reports of logins."""
    return [
        LoginReport(b"user %d" % number, b"\x00\xff", "sample@a:1", number + 0.25)
        for number in range(count)
    ]


@implementer(IOperations)
class Operations:
    """
    Writes down what it is told to do.

    @ivar asked: the commands, in their order.
    @ivar logins: what C{users} gives.
    @ivar error: what the other commands fail with.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.logins: list[LoginReport] = []
        self.error: Exception | None = None

    def gates(self) -> Deferred[list[GateReport]]:
        """See L{IOperations.gates}."""
        return self._answer([GATE, SILENT], "gates")

    def users(self, uid: bytes | None = None) -> list[LoginReport]:
        """See L{IOperations.users}."""
        self.asked.append(("users", uid))
        return self.logins

    def kick(self, uid: bytes, subid: bytes | None = None) -> Deferred[list[LoginReport]]:
        """See L{IOperations.kick}."""
        return self._answer(self.logins, "kick", uid, subid)

    def setDraining(self, gate: str, isDraining: bool) -> Deferred[GateReport]:
        """See L{IOperations.setDraining}."""
        return self._answer(GATE, "setDraining", gate, isDraining)

    def _answer(self, answer: Any, *asked: object) -> Deferred[Any]:
        self.asked.append(asked)
        return succeed(answer) if self.error is None else fail(self.error)


class OperationsCase(ControlCase):
    """Tests that need a login server that takes commands."""

    def makeRealm(self) -> IRealm:
        self.operations = Operations()
        return ControlRealm(self.directory, self.operations, self.clock, TIMES, GATE_TIMEOUT)

    def connect(
        self, *places: tuple[str, Place], key: bytes = OPERATOR_KEY
    ) -> Deferred[RemoteOperations]:
        """Begin to connect."""
        return Deferred.fromCoroutine(RemoteOperations.connect(places, key, self.clock, TIMES))


class CommandTests(OperationsCase):
    """What an operator asks and is told."""

    def setUp(self) -> None:
        super().setUp()
        self.remote = self.resultOf(self.connect(("a", self.place)))

    def test_gates(self) -> None:
        """Reports of gates arrive as they are."""
        self.assertEqual(self.resultOf(self.remote.gates()), [GATE, SILENT])

    def test_users(self) -> None:
        """Reports of logins arrive as they are, all of them or those of one uid."""
        self.operations.logins = reports(3)
        self.assertEqual(self.resultOf(self.remote.users()), reports(3))
        self.assertEqual(self.resultOf(self.remote.users(b"user")), reports(3))
        self.assertEqual(self.operations.asked, [("users", None), ("users", b"user")])

    def test_manyUsers(self) -> None:
        """They come by the page, whole and in order, as they were when they were asked for."""
        self.patch(gates, "PAGE", 4)
        for count in (0, 1, 3, 4, 5, 8, 30):
            self.operations.asked = []
            self.operations.logins = reports(count)
            asked = Deferred.fromCoroutine(self.remote.users())
            self.place.wire.flow()
            self.operations.logins = []
            self.assertEqual(self.resultOf(asked), reports(count))
            self.assertEqual(self.operations.asked, [("users", None)])

    def test_page(self) -> None:
        """A page is of a thousand."""
        self.operations.logins = reports(2500)
        self.assertEqual(self.resultOf(self.remote.users()), reports(2500))
        broker = self.brokerOf(self.place.wire)
        (desk,) = (
            local.object
            for local in broker.localObjects.values()
            if isinstance(local.object, gates.OperatorDesk)
        )
        self.assertEqual([len(desk.remote_users(None, start)) for start in (0, 2000)], [1000, 500])

    def test_kick(self) -> None:
        """A kick names the uid, and one login or all; those that it ended come back."""
        self.operations.logins = reports(2)
        self.assertEqual(self.resultOf(self.remote.kick(b"user")), reports(2))
        self.assertEqual(self.resultOf(self.remote.kick(b"user", b"1")), reports(2))
        self.assertEqual(self.operations.asked, [("kick", b"user", None), ("kick", b"user", b"1")])

    def test_setDraining(self) -> None:
        """A gate is named in text; what it is like then comes back."""
        for isDraining in (True, False):
            self.assertEqual(self.resultOf(self.remote.setDraining("é@a:1", isDraining)), GATE)
        self.assertEqual(
            self.operations.asked, [("setDraining", "é@a:1", True), ("setDraining", "é@a:1", False)]
        )

    def test_errors(self) -> None:
        """What fails fails as itself."""
        errors: list[MsgServerError] = [UserNotFound("no such login"), GateUnavailable("late")]
        for error in errors:
            self.operations.error = error
            for command in (
                self.remote.gates(),
                self.remote.kick(b"user"),
                self.remote.setDraining("sample", True),
            ):
                self.assertFails(command, type(error), str(error))

    def test_notAGate(self) -> None:
        """An operator is no gate, and a gate no operator."""
        for method in ("register", "adopt", "loggedOut"):
            self.assertFails(self.remote._call(method), GateUnavailable)
        link, desk = self.entered()
        for method in ("gates", "users", "setDraining"):
            self.assertFails(link.call(desk, method), GateUnavailable)
        self.assertEqual(self.operations.asked, [])

    def test_lost(self) -> None:
        """A login server that goes away in the middle is unavailable."""
        asked = Deferred.fromCoroutine(self.remote.gates())
        self.place.cut()
        self.assertFails(asked, GateUnavailable, "the link is lost")

    def test_frozen(self) -> None:
        """So is one that does not answer in C{answer} seconds."""
        self.place.hold()
        asked = Deferred.fromCoroutine(self.remote.gates())
        self.wait(TIMES.answer - 0.25)
        self.assertNoResult(asked)
        self.wait(0.25)
        self.assertFails(asked, GateUnavailable)

    def test_close(self) -> None:
        """When the operator is done nothing is left."""
        self.wait(60)
        self.assertFalse(self.place.wire.isLost)
        self.remote.close()
        self.turn()
        self.assertTrue(self.place.wire.isLost)
        self.assertEqual(self.directory.unregistered, [])
        self.assertQuiet()


class ConnectTests(OperationsCase):
    """Which login server takes the commands."""

    def test_first(self) -> None:
        """The first that is there; the others are left alone."""
        away, other = self.makePlace(), self.makePlace()
        other.factory = self.factory
        remote = self.resultOf(self.connect(("away", away), ("here", self.place), ("other", other)))
        self.assertEqual(len(away.attempts), 1)
        self.assertEqual(other.attempts, [])
        self.assertEqual(self.resultOf(remote.gates()), [GATE, SILENT])

    def test_frozen(self) -> None:
        """One that does not speak is as good as away."""
        frozen = self.makePlace()
        frozen.factory = self.factory
        frozen.hold()
        connecting = self.connect(("frozen", frozen), ("here", self.place))
        self.wait(TIMES.answer)
        self.resultOf(self.resultOf(connecting).gates())

    def test_none(self) -> None:
        """Where none is there, it says why, a line for each."""
        self.place.factory = None
        frozen = self.makePlace()
        frozen.factory = self.factory
        frozen.hold()
        connecting = self.connect(("tcp:one", self.place), ("tcp:two", frozen))
        self.wait(TIMES.answer)
        self.assertFails(
            connecting,
            GateUnavailable,
            f"tcp:one: {ConnectionRefusedError()}\ntcp:two: no login server answers there",
        )
        self.assertTrue(frozen.wire.client.disconnected)

    def test_wrongKeyAfterNone(self) -> None:
        """A wrong key at the second does not hide that the first was not there."""
        away = self.makePlace()
        self.assertFails(
            self.connect(("away", away), ("here", self.place), key=KEY),
            Unauthorized,
            f"away: {ConnectionRefusedError()}\nhere: unknown, or a wrong key",
        )

    def test_cancelled(self) -> None:
        """Cancelling it tries no other, and leaves no connection."""
        self.place.hold()
        other = self.makePlace()
        other.factory = self.factory
        connecting = self.connect(("here", self.place), ("other", other))
        self.turn()
        connecting.cancel()
        self.turn()
        self.failureResultOf(connecting, CancelledError)
        self.assertEqual(other.attempts, [])
        self.assertTrue(self.place.wire.client.disconnected)

    def test_nowhere(self) -> None:
        """Where there is none to ask, there is none."""
        self.assertFails(self.connect(), GateUnavailable, "")

    def test_wrongKey(self) -> None:
        """A wrong key is said, with where, and no other login server is tried."""
        other = self.makePlace()
        other.factory = self.factory
        self.assertFails(
            self.connect(("here", self.place), ("other", other), key=KEY),
            Unauthorized,
            "here: unknown, or a wrong key",
        )
        self.assertEqual(other.attempts, [])
        self.assertTrue(self.place.wire.isLost)
        self.assertQuiet()
