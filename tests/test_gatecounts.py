"""
L{msgserver.gatecounts}, in a gate: why logins end, and how long clients are away.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.logger import LogEvent, capturedLogs, formatEvent

from msgserver.gatecounts import LogoutReason
from msgserver.histograms import Histogram
from msgserver.interfaces import User
from msgserver.msgservice import LifeLimits
from msgserver.sessions import SessionLimits
from msgserver.wire.gate import GateClient, requestPacket
from tests.gates import ONE, SECRET, TWO, Client, GateCase


def saw(histogram: Histogram) -> tuple[int, float]:
    """Tell how many values there were, and their sum."""
    return sum(histogram.counts), histogram.sum


class CountsCase(GateCase):
    """A gate that is listened to."""

    lifeLimits = LifeLimits(awayTimeout=60.0)

    def setUp(self) -> None:
        super().setUp()
        self._events = self.enterContext(capturedLogs())

    def events(self, *names: str) -> list[LogEvent]:
        """Give the events of these names so far."""
        return [event for event in self._events if event.get("event") in names]


class ReasonTests(CountsCase):
    """U2: one line tells that a login has ended, and why; so does a count."""

    def assertEnded(self, user: User, reason: LogoutReason) -> None:
        """See one login ended, for that reason."""
        (event,) = self.events("logout")
        self.assertEqual(
            (event["uid"], event["subid"], event["reason"]), (user.uid, user.subid, reason.value)
        )
        self.assertEqual(formatEvent(event), f"{user} is logged out: {reason.value}")
        ended = {each: count for each, count in self.service.counts.logouts.items() if count}
        self.assertEqual(ended, {reason: 1})

    def test_nothing(self) -> None:
        """All reasons are there from the start."""
        self.assertEqual(self.service.counts.logouts, dict.fromkeys(LogoutReason, 0))

    def test_logout(self) -> None:
        """The handler has ended it; once, however often it says so."""
        user = self.login()
        self.handler.gate.logout(user)
        self.handler.gate.logout(user)
        self.assertEnded(user, LogoutReason.LOGOUT)

    def test_kick(self) -> None:
        """U3: it was kicked, and that is a line of its own."""
        user = self.login()
        self.successResultOf(self.service.kick(user.uid, user.subid))
        self.assertEnded(user, LogoutReason.KICK)
        (kick,) = self.events("kick")
        self.assertEqual((kick["uid"], kick["subid"]), (user.uid, user.subid))

    def test_logoutWhileKicked(self) -> None:
        """U3: a handler that ends it when it is kicked does not make that a logout."""
        user = self.login()
        gate = self.handler.gate
        self.handler.kicked = gate.logout  # type: ignore[method-assign]  # scripted
        self.successResultOf(self.service.kick(user.uid, user.subid))
        self.assertEnded(user, LogoutReason.KICK)

    def test_away(self) -> None:
        """U2: it was away for too long."""
        user = self.login()
        self.clock.advance(60)
        self.assertEnded(user, LogoutReason.AWAY)

    def test_shutdown(self) -> None:
        """B5: the gate stops, and says at the end how many that were."""
        user = self.login()
        self.successResultOf(self.stop())
        self.assertEnded(user, LogoutReason.SHUTDOWN)
        (event,) = self.events("gate_drained")
        self.assertEqual(event["logins"], 1)

    def test_draining(self) -> None:
        """An operator's order is a line, and so is its end."""
        for isDraining in (True, False):
            self.assertIs(self.service.isOpen, isDraining)
            self.service.setDraining(isDraining)
        names = [event["event"] for event in self.events("gate_draining", "gate_open")]
        self.assertEqual(names, ["gate_draining", "gate_open"])


class ForgottenTests(CountsCase):
    """S7."""

    sessionLimits = SessionLimits(increasing=True)

    def test_forgotten(self) -> None:
        """It was asked for what it no longer knows."""
        user = self.login()
        client = self.connect(user)
        client.ask(TWO, b"hello")
        client.ask(ONE, b"hello")
        self.turn()
        (event,) = self.events("logout")
        self.assertEqual(event["reason"], "forgotten")
        self.assertEqual(self.service.counts.logouts[LogoutReason.FORGOTTEN], 1)


class AwayTests(CountsCase):
    """How long clients are away."""

    def setUp(self) -> None:
        super().setUp()
        self.user = self.login()
        self.counts = self.service.counts

    def test_first(self) -> None:
        """A first connection is no reconnection, however late."""
        self.clock.advance(10)
        self.connect(self.user)
        self.assertEqual(saw(self.counts.reconnectGap), (0, 0.0))

    def test_gap(self) -> None:
        """From the loss to the next handshake that is accepted, each time."""
        self.connect(self.user, 1).lose()
        self.clock.advance(2)
        refused = Client(self.factory)
        refused.send(b"\x00\x03abc")
        refused.lose()
        self.clock.advance(1)
        self.connect(self.user, 2).lose()
        self.assertEqual(saw(self.counts.reconnectGap), (1, 3.0))
        self.clock.advance(0.5)
        self.connect(self.user, 3)
        self.assertEqual(saw(self.counts.reconnectGap), (2, 3.5))

    def test_replaced(self) -> None:
        """H4: whose loss was not noticed before was away for no time."""
        old = self.connect(self.user, 1)
        self.clock.advance(5)
        self.connect(self.user, 2)
        old.lose()
        self.assertEqual(saw(self.counts.reconnectGap), (1, 0.0))

    def test_ended(self) -> None:
        """A login that ends while its user is away was never back; nothing of it stays."""
        self.connect(self.user).lose()
        self.handler.gate.logout(self.user)
        self.assertEqual(saw(self.counts.reconnectGap), (0, 0.0))
        self.assertEqual(list(self.held()), [])

    def test_answer(self) -> None:
        """From the loss to the first answer after it, and no further one."""
        self.connect(self.user, 1).lose()
        self.clock.advance(2)
        client = self.connect(self.user, 2)
        self.clock.advance(1)
        client.ask(ONE, b"hello")
        self.clock.advance(1)
        client.ask(TWO, b"hello")
        self.assertEqual(client.heard(), [b"hello\x01" + ONE, b"hello\x01" + TWO])
        self.assertEqual(saw(self.counts.dropToAnswer), (1, 3.0))

    def test_answerLater(self) -> None:
        """When it leaves, not when it was asked for; a handshake is no answer."""
        self.connect(self.user, 1).lose()
        client = self.connect(self.user, 2)
        client.ask(ONE, b"later:x")
        self.clock.advance(4)
        self.assertEqual(saw(self.counts.dropToAnswer), (0, 0.0))
        self.fulfil(b"x", b"hello")
        self.assertEqual(client.heard(), [b"hello\x01" + ONE])
        self.assertEqual(saw(self.counts.dropToAnswer), (1, 4.0))

    def test_answerAtOnce(self) -> None:
        """It may leave together with what was said to the handshake; once, then, too."""
        self.connect(self.user, 1).lose()
        self.clock.advance(2)
        client = Client(self.factory)
        client.send(GateClient(self.user, SECRET, 2).hello + requestPacket(ONE, b"hello"))
        self.assertEqual(client.heard(), [b"200 OK", b"hello\x01" + ONE])
        self.assertEqual(saw(self.counts.dropToAnswer), (1, 2.0))
        self.clock.advance(1)
        client.ask(TWO, b"hello")
        self.assertEqual(saw(self.counts.dropToAnswer), (1, 2.0))

    def test_replay(self) -> None:
        """What was kept is an answer as any (S6)."""
        client = self.connect(self.user, 1)
        client.ask(ONE, b"hello")
        client.lose()
        self.clock.advance(5)
        self.connect(self.user, 2).ask(ONE, b"hello")
        self.assertEqual(saw(self.counts.dropToAnswer), (1, 5.0))

    def test_toldTwice(self) -> None:
        """Whoever tells of a second one is not heard."""
        self.connect(self.user, 1).lose()
        self.connect(self.user, 2)
        login = self.service.find(self.user)
        assert login is not None and login.connection is not None
        self.service.answered(login.connection)
        self.service.answered(login.connection)
        self.assertEqual(saw(self.counts.dropToAnswer), (1, 0.0))

    def test_firstAnswer(self) -> None:
        """There is none for a first connection."""
        self.connect(self.user, 1).ask(ONE, b"hello")
        self.assertEqual(saw(self.counts.dropToAnswer), (0, 0.0))

    def test_nothingInBetween(self) -> None:
        """From the second answer on the connection writes as if nobody counted."""
        first = self.connect(self.user)
        self.assertEqual(first.protocol._write, first.transport.write)
        first.lose()
        client = self.connect(self.user, 2)
        watched = client.protocol._write
        client.ask(ONE, b"hello")
        self.assertNotEqual(client.protocol._write, watched)
        self.assertEqual(client.protocol._write, client.transport.write)

    def test_lostAgain(self) -> None:
        """A connection that is lost without an answer counts for nothing; nothing of it stays."""
        self.connect(self.user, 1).lose()
        client = self.connect(self.user, 2)
        client.lose()
        self.handler.gate.logout(self.user)
        self.assertEqual(saw(self.counts.dropToAnswer), (0, 0.0))
        self.assertEqual(list(self.held()), [])

    def held(self) -> Iterable[Any]:
        """Give what the counts hold on to."""
        for value in vars(self.counts).values():
            if isinstance(value, dict) and value is not self.counts.logouts:
                yield from value


class TallyTests(CountsCase):
    """What its logins have done."""

    def test_tally(self) -> None:
        """Answers are counted, those of logins that have ended included."""
        user = self.login()
        client = self.connect(user)
        client.ask(ONE, b"hello")
        client.ask(TWO, b"later:x")
        self.assertEqual((self.service.tally().answered, self.service.tally().running), (1, 1))
        self.assertEqual(self.service.current.running, 1)
        client.lose()
        self.handler.gate.logout(user)
        self.assertEqual((self.service.tally().requests, self.service.current.logins), (2, 0))
