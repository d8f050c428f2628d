"""
Lines and packets: where one message ends and the next begins.

Both readers are bounded before they buffer (B4, L1): what they hold never exceeds one
message at its limit and the bytes of the last C{feed}.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from msgserver.errors import ProtocolError

MAX_LINE: Final = 8 * 1024
"""The longest line of a login conversation, in bytes, without its line end (L1)."""

MAX_PACKET: Final = 0xFFFF
"""The longest packet, in bytes, without its length: two bytes can say no more."""

PACKET_LENGTH: Final = Struct(">H")
"""A packet's length, in front of it."""

SESSION_SIZE: Final = 4
"""The bytes of a session, at the end of each request and response."""

MAX_REQUEST: Final = MAX_PACKET - SESSION_SIZE
"""The longest content of a request, in bytes."""

MAX_RESPONSE: Final = MAX_REQUEST - 1
"""The longest content of a response, in bytes: a flag goes with it."""


class LineReader:
    """
    Cut a stream into lines.

    @param limit: the longest line accepted, in bytes, without its C{\\n}.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        """Take the stream's next bytes."""
        self._buffer += data

    def next(self) -> bytes | None:
        """
        Give the next line without its C{\\n}, or None until more has been fed.

        @raise ProtocolError: the line is longer than the limit.
        """
        end = self._buffer.find(b"\n", 0, self._limit + 1)
        if end < 0:
            if len(self._buffer) > self._limit:
                raise ProtocolError(f"a line of more than {self._limit} bytes")
            return None
        line = self._buffer[:end]
        self._buffer = self._buffer[end + 1 :]
        return line

    @property
    def isWithinLine(self) -> bool:
        """Some of a line has been fed, or is yet to be given, but not its end."""
        return bool(self._buffer)


class PacketReader:
    """
    Cut a stream into packets.

    @param limit: the longest packet accepted, in bytes, without its length.
    """

    def __init__(self, limit: int = MAX_PACKET) -> None:
        self._limit = limit
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        """Take the stream's next bytes."""
        self._buffer += data

    def next(self) -> bytes | None:
        """
        Give the next packet without its length, or None until more has been fed.

        @raise ProtocolError: a packet announces more than the limit.
        """
        if len(self._buffer) < PACKET_LENGTH.size:
            return None
        (length,) = PACKET_LENGTH.unpack_from(self._buffer)
        if length > self._limit:
            raise ProtocolError(f"a packet of {length} bytes, more than {self._limit}")
        end = PACKET_LENGTH.size + length
        if len(self._buffer) < end:
            return None
        packet = self._buffer[PACKET_LENGTH.size : end]
        self._buffer = self._buffer[end:]
        return packet

    def rest(self) -> bytes:
        """Hand over what has been fed and not given, and hold nothing any more."""
        rest, self._buffer = self._buffer, b""
        return rest


def packet(content: bytes) -> bytes:
    """
    Put its length in front of C{content}: 0 to L{MAX_PACKET} bytes.

    @raise ValueError: the content is too long for a packet.
    """
    if len(content) > MAX_PACKET:
        raise ValueError(f"a packet takes at most {MAX_PACKET} bytes, not {len(content)}")
    return PACKET_LENGTH.pack(len(content)) + content


def measurePackets(data: bytes, most: int, longest: int) -> tuple[int, int, bool]:
    """
    Find the end of the first requests, C{most} of them at most.

    @param data: it begins with a packet.
    @param longest: the longest packet, in bytes without its length. What announces another
        length than a request may have ends the measuring: all from there on belongs to it.
    @return: how many there are, where the last ends, and whether a whole one is behind them.
    """
    count = start = 0
    last = len(data) - PACKET_LENGTH.size
    while start <= last:
        (length,) = PACKET_LENGTH.unpack_from(data, start)
        if not SESSION_SIZE <= length <= longest:
            return count, len(data), False
        end = start + PACKET_LENGTH.size + length
        if end > len(data):
            break
        if count == most:
            return count, start, True
        count += 1
        start = end
    return count, start, False
