"""A client's responses come in any pieces, and several in one (S)."""

from __future__ import annotations

from msgserver.wire.gate import responsePacket
from tests.peers import ONE, TWO, MsgClientTestCase


class PiecesTests(MsgClientTestCase):
    """What one piece of the stream holds."""

    responses = responsePacket(ONE, b"\x01", b"first") + responsePacket(TWO, b"\x01", b"second")

    def test_together(self) -> None:
        """S1: each response of a piece is taken, not the first alone."""
        gate = self.connected()
        answers = [self.client.request(content) for content in (b"a", b"b")]
        gate.say(self.responses)
        self.assertEqual(list(map(self.successResultOf, answers)), [b"first", b"second"])

    def test_behindTheVerdict(self) -> None:
        """H2: so are those that come in one piece with C{200 OK}."""
        gate = self.connected()
        answers = [self.client.request(content) for content in (b"a", b"b")]
        gate.lose()
        gate = self.connect()
        gate.handshake()
        gate.say(b"\x00\x06200 OK" + self.responses)
        self.assertEqual(list(map(self.successResultOf, answers)), [b"first", b"second"])

    def test_byteByByte(self) -> None:
        """A response is taken when its last byte is there."""
        gate = self.connected()
        answers = [self.client.request(content) for content in (b"a", b"b")]
        for byte in self.responses:
            gate.say(bytes([byte]))
        self.assertEqual(list(map(self.successResultOf, answers)), [b"first", b"second"])
