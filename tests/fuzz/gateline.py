"""
One connection to the gate, and what must hold of it (H, S, B).
"""

from __future__ import annotations

from collections.abc import Iterator

from msgserver.errors import GateStatus
from msgserver.wire.framing import packet
from msgserver.wire.naming import encode64
from tests.fuzz.handlers import MAX_RUNNING
from tests.fuzz.lines import SEND_BUFFER, Line
from tests.fuzz.references import isBroken, macOf, splitPackets, verdictOn
from tests.fuzz.servers import GATE_LIMITS, MAX_PACKET, Known, Servers
from tests.fuzz.watching import see
from tests.wire.test_properties import held


class GateLine(Line):
    """
    One connection to the gate.

    @ivar servers: what the port belongs to.
    @ivar known: the login that it was accepted for.
    @ivar status: the gate's verdict; None before it.
    """

    servers: Servers
    known: Known | None = None
    status: bytes | None = None
    _expected: tuple[bytes | None, Known | None, int] = (None, None, 0)
    _read = 0
    behind = 0

    def arriving(self, piece: bytes) -> None:
        """Foresee the verdict, from how things are now (H1)."""
        if self.status is None and not self.pipe.isClosing:
            self._expected = verdictOn(bytes(self.sent) + piece, MAX_PACKET, self.servers)

    def arrived(self, before: int) -> None:
        """Compare the verdict with the one foreseen (H)."""
        if self.status is not None:
            return
        expected, known, index = self._expected
        written = bytes(self.pipe.written)
        if expected is None:
            see(not written, f"H: an answer to half a handshake: {written[:80]!r}")
            most = MAX_PACKET + 2
            see(held(self.protocol._conversation) <= most, "B4: more than a packet is held")
            return
        if not expected:
            see(not written and self.pipe.isClosing, "B4: a handshake too long is not closed")
            return
        see(written.startswith(packet(expected)), f"H: {written[:80]!r}, and not {expected!r}")
        self.status = expected
        self._read = len(packet(expected))
        if expected == GateStatus.OK.value:
            assert known is not None
            self.known = known
            self.behind = 2 + int.from_bytes(self.sent[:2], "big")
            known.index = index
        else:
            see(self.pipe.isClosing, "H1: refused and not closed")
            see(len(written) == self._read, "H2: something is said behind a refusal")

    def responses(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Give the session, flag and content of each response that is new."""
        data = bytes(self.pipe.written[self._read :])
        packets, rest = splitPackets(data)
        see(not rest, f"S: half a response: {rest[:80]!r}")
        self._read = len(self.pipe.written)
        for each in packets:
            see(len(each) >= 5, f"S: a response of {len(each)} bytes")
            yield each[-4:], each[-5:-4], each[:-5]

    def check(self, now: float) -> None:
        """See that the connection is as it must be by now."""
        pipe, limits = self.pipe, GATE_LIMITS
        if self.isLost:
            return
        if self.known is None:
            isOld = now - self.opened >= limits.handshakeTimeout
            see(not isOld or pipe.disconnected, "H3: no handshake in time, and open still")
        if pipe.closedSince is not None:
            # A refused one keeps the deadline of H3, the others have that of B3.
            isOld = now - pipe.closedSince >= limits.stallTimeout
            see(not isOld or pipe.disconnected, "B3: a close takes for ever")
        if pipe.stalledSince is not None:
            isOld = now - pipe.stalledSince >= limits.stallTimeout
            see(not isOld or pipe.disconnected, "B3: a client that does not read is still there")
        most = SEND_BUFFER + 65_537 * (3 + MAX_RUNNING)
        see(pipe.waiting <= most, f"B3: {pipe.waiting} bytes wait for one client")
        if self.known is not None and not pipe.isClosing and pipe.isReading:
            broken = isBroken(bytes(self.sent[self.behind :]), MAX_PACKET)
            see(not broken, "S3, B4: a request of no valid length, and open still")


def helloOf(known: Known, index: bytes, mac: bytes) -> bytes:
    """
    Write a handshake.

    @param index: C{next}, C{same}, or what to write in its place.
    @param mac: C{right}, C{wrong}, or what to write in its place.
    """
    numbers = {b"next": b"%d" % (known.index + 1), b"same": b"%d" % known.index}
    text = known.user.username + b":" + numbers.get(index, index)
    right = macOf(text, known.secret)
    wrong = bytes([right[0] ^ 1]) + right[1:]
    macs = {b"right": encode64(right), b"wrong": encode64(wrong), b"right=": encode64(right) + b"="}
    return packet((text + b":" + macs.get(mac, mac))[:65_535])
