"""What L{msgserver.msgservice} tells handlers that ask for more: who connects, and the end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from zope.interface import implementer

from msgserver.interfaces import INoticesClosing, INoticesConnections, User
from msgserver.msgprotocol import MsgFactory
from msgserver.msgservice import MsgService
from tests.gates import ONE, GateCase, Handler


@implementer(INoticesConnections, INoticesClosing)
class Curious(Handler):
    """Wants to know it all."""

    def connected(self, user: User) -> Any:
        """Write it down, and do as the test says."""
        answer = self._called("connected", user)
        return answer(user) if callable(answer) else answer

    def gateClosed(self) -> Any:
        """Write it down."""
        return self._called("gateClosed", None)


class CuriousCase(GateCase):
    """A gate with such a handler."""

    def setUp(self) -> None:
        super().setUp()
        self.handler = Curious()
        self.service = MsgService(
            self.handler, b"sample", self.clock, self.directory, lifeLimits=self.lifeLimits
        )
        self.factory = MsgFactory(self.service, self.clock, self.gateLimits)
        self.service.startService()


class ConnectionsTests(CuriousCase):
    """L{INoticesConnections}."""

    def test_everyConnection(self) -> None:
        """Each connection that is accepted is told, once, whatever it replaces."""
        user = self.login()
        self.connect(user).lose()
        self.connect(user, 2)
        self.connect(user, 3)
        told = [("connected", user), ("disconnected", user), ("connected", user)]
        self.assertEqual(self.called("connected", "disconnected"), [*told, ("connected", user)])

    def test_refused(self) -> None:
        """One that is refused is not."""
        user = self.login()
        self.connect(user, 2)
        self.assertRaises(self.failureException, self.connect, user, 1)
        self.assertEqual(self.called("connected"), [("connected", user)])

    def test_fails(self) -> None:
        """What it raises, at once or later, is logged; the connection stands."""
        for answer in (ZeroDivisionError(), _failed()):
            self.handler.answers["connected"] = answer
            client = self.connect(self.login())
            client.ask(ONE, b"hello")
            self.assertEqual(client.heard(), [b"hello\x01" + ONE])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_logsOut(self) -> None:
        """It may end the login then and there: the handshake has its answer, and no more."""
        user = self.login()
        self.handler.answers["connected"] = self.handler.gate.logout
        client = self.connect(user)
        self.turn()
        self.assertTrue(client.isClosed)
        self.assertEqual(self.called("loggedOut"), [("loggedOut", user)])


class ClosingTests(CuriousCase):
    """L{INoticesClosing}."""

    def test_last(self) -> None:
        """It is told when no login is left, and waited for."""
        user = self.login()
        finished: Deferred[None] = Deferred()
        self.handler.answers["gateClosed"] = finished
        stopped = self.stop()
        self.assertEqual(
            self.called("loggedOut", "gateClosed"), [("loggedOut", user), ("gateClosed", None)]
        )
        self.clock.advance(9)
        self.assertNoResult(stopped)
        self.assertEqual(self.directory.unregistered, [])
        finished.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.directory.unregistered, [self.service])

    def test_notForEver(self) -> None:
        """Not for longer than C{drain_timeout}, which is told."""
        self.handler.answers["gateClosed"] = Deferred()
        with capturedLogs() as events:
            stopped = self.stop()
            self.clock.advance(self.lifeLimits.drainTimeout - 0.01)
            self.assertNoResult(stopped)
            self.clock.advance(0.01)
        self.successResultOf(stopped)
        self.assertIn("gateClosed takes longer", " ".join(str(formatEvent(e)) for e in events))

    def test_fails(self) -> None:
        """What it raises is logged, and the gate stops."""
        self.handler.answers["gateClosed"] = ZeroDivisionError()
        self.successResultOf(self.stop())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


def _failed() -> Deferred[None]:
    failed: Deferred[None] = Deferred()
    failed.errback(ZeroDivisionError())
    return failed
