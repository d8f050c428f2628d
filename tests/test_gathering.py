"""Answers that come by themselves leave with the next turn, whatever happens meanwhile (S1, S4)."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from msgserver.interfaces import User
from msgserver.sessions import SessionLimits
from msgserver.wire.framing import MAX_RESPONSE
from msgserver.wire.gate import requestPacket
from tests.gates import ONE, TWO, GateCase


class MeanwhileTests(GateCase):
    """What becomes ready while others' answers are being sent."""

    sessionLimits = SessionLimits(maxRunning=1)

    def setUp(self) -> None:
        super().setUp()
        self.promised: dict[bytes, Deferred[bytes]] = {}
        self.patch(self.service._answering, "requestReceived", self.requestReceived)

    def requestReceived(self, user: User, content: bytes) -> object:
        """Promise an answer to C{later}; to C{answer:UID}, answer that user's request."""
        order, _, uid = content.partition(b":")
        if order == b"later":
            promised = self.promised[user.uid] = Deferred()
            return promised
        self.promised.pop(uid).callback(b"at last")
        return b"done"

    def test_noneIsForgotten(self) -> None:
        """S4: what one connection's requests make another's ready leaves in the turn after."""
        alice, bob, carol = (self.connect(self.login(uid)) for uid in (b"alice", b"bob", b"carol"))
        # Alice's second request waits for room (B2), and so runs while answers are sent.
        alice.send(requestPacket(ONE, b"later") + requestPacket(TWO, b"answer:bob"))
        bob.ask(ONE, b"later")
        carol.ask(ONE, b"later")
        for uid in (b"alice", b"carol"):
            self.promised.pop(uid).callback(uid)
        self.turn()
        self.turn()
        self.assertEqual(alice.heard(), [b"alice\x01" + ONE, b"done\x01" + TWO])
        self.assertEqual(carol.heard(), [b"carol\x01" + ONE])
        self.assertEqual(bob.heard(), [b"at last\x01" + ONE])


class SizeTests(GateCase):
    """Answers as long as there are."""

    def test_longestLate(self) -> None:
        """S4: 65,530 bytes are an answer, also when they come late."""
        client = self.connect(self.login())
        client.ask(ONE, b"later:a")
        self.fulfil(b"a", bytes(MAX_RESPONSE))
        self.assertEqual(client.heard(), [bytes(MAX_RESPONSE) + b"\x01" + ONE])

    def test_manyBatches(self) -> None:
        """S1: a client that reads gets all of a large batch, with nothing more to be sent."""
        client = self.connect(self.login())
        sessions = [bytes([0, 0, 0, number]) for number in range(12)]
        client.send(b"".join(requestPacket(each, b"big:65000") for each in sessions))
        self.turn()
        self.assertEqual([each[-4:] for each in client.heard()], sessions)

    def test_othersHaveTheirTurn(self) -> None:
        """B3: between the parts of a large batch others are served, and it is not read."""
        busy, other = self.connect(self.login()), self.connect(self.login(b"bob"))
        sessions = [bytes([0, 0, 0, number]) for number in range(12)]
        busy.send(b"".join(requestPacket(each, b"big:65000") for each in sessions))
        self.assertLess(len(self.handler.requests), len(sessions))
        self.assertFalse(busy.transport.isReading)
        other.ask(ONE, b"me")
        self.assertEqual(other.heard(), [b"me\x01" + ONE])
        self.turn()
        self.assertEqual(len(busy.heard()), len(sessions))
        self.assertTrue(busy.transport.isReading)
