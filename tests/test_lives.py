"""What the handler does in the middle of a login's life, and who else waits for it (U)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from msgserver.interfaces import User
from tests.gates import GateCase


class DisconnectedTests(GateCase):
    """What C{disconnected} finds, and may do."""

    def test_isAway(self) -> None:
        """U1: the user is away already when the handler hears of it."""
        seen: list[tuple[str | None, int]] = []
        user = self.login()

        def disconnected(user: User) -> None:
            seen.append((self.handler.gate.ip(user), self.service.describe().load.connections))

        self.patch(self.handler, "disconnected", disconnected)
        client = self.connect(user)
        self.assertEqual(self.handler.gate.ip(user), "192.0.2.1")
        client.lose()
        self.assertEqual(seen, [(None, 0)])

    def test_logsOut(self) -> None:
        """U1, U2: it may log the user out: once, and with nothing left to wait for."""
        user = self.login()
        self.patch(self.handler, "disconnected", lambda user: self.handler.gate.logout(user))
        self.connect(user).lose()
        self.assertEqual(self.handler.calls[-1:], [("loggedOut", user)])
        self.assertEqual(len(self.called("loggedOut")), 1)
        self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SecondKickTests(GateCase):
    """A kick while another of the same login is under way."""

    def test_waitsToo(self) -> None:
        """U3, L4: whoever kicks is told when the login has ended, and not before."""
        saved: Deferred[Any] = Deferred()
        self.handler.answers["kicked"] = saved
        user = self.login()
        kicks = [self.service.kick(user.uid, user.subid) for _ in range(2)]
        for kick in kicks:
            self.assertNoResult(kick)
        saved.callback(None)
        for kick in kicks:
            self.successResultOf(kick)
        self.assertEqual(self.called("kicked"), [("kicked", user)])
        self.assertEqual(self.called("loggedOut"), [("loggedOut", user)])
