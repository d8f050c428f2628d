"""
Tests for L{msgserver.wire.framing}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import ProtocolError
from msgserver.wire.framing import (
    MAX_LINE,
    MAX_PACKET,
    MAX_REQUEST,
    MAX_RESPONSE,
    LineReader,
    PacketReader,
    measurePackets,
    packet,
)
from tests.wire import arrivals


def drain(reader: LineReader | PacketReader) -> list[bytes]:
    """Take every message that is complete."""
    messages = []
    while (message := reader.next()) is not None:
        messages.append(message)
    return messages


class LineReaderTests(SynchronousTestCase):
    """Lines of the login conversation (L)."""

    def test_lines(self) -> None:
        """However a stream arrives, its lines are the same; the last may be unfinished (L)."""
        for chunks in arrivals(b"one\n\n\r\n three\nfour"):
            reader = LineReader()
            lines = []
            for chunk in chunks:
                reader.feed(chunk)
                lines += drain(reader)
            self.assertEqual(lines, [b"one", b"", b"\r", b" three"])
            reader.feed(b"!\n")
            self.assertEqual(drain(reader), [b"four!"])

    def test_nothingFed(self) -> None:
        """Where nothing was fed there is no line, not even an empty one."""
        reader = LineReader()
        self.assertIsNone(reader.next())
        reader.feed(b"")
        self.assertIsNone(reader.next())

    def test_longest(self) -> None:
        """A line of exactly 8 KiB is a line; without its end it may still become one (L1)."""
        self.assertEqual(MAX_LINE, 8192)
        reader = LineReader()
        reader.feed(b"x" * 8192)
        self.assertIsNone(reader.next())
        reader.feed(b"\nnext\n")
        self.assertEqual(drain(reader), [b"x" * 8192, b"next"])

    def test_tooLong(self) -> None:
        """A line of 8,193 bytes is refused, whether its end has come or not (L1)."""
        for line in (b"x" * 8193, b"x" * 8193 + b"\n", b"x" * 8193 + b"\nnext\n"):
            reader = LineReader()
            reader.feed(line)
            self.assertRaises(ProtocolError, reader.next)

    def test_tooLongByteByByte(self) -> None:
        """The 8,193rd byte of a line is the one that is refused (L1)."""
        reader = LineReader()
        for _ in range(8192):
            reader.feed(b"x")
            self.assertIsNone(reader.next())
        reader.feed(b"x")
        self.assertRaises(ProtocolError, reader.next)

    def test_longestByteByByte(self) -> None:
        """Its line end does not count to a line of 8 KiB (L1)."""
        reader = LineReader()
        for _ in range(8192):
            reader.feed(b"x")
            self.assertIsNone(reader.next())
        reader.feed(b"\n")
        self.assertEqual(reader.next(), b"x" * 8192)

    def test_tooLongBehindOthers(self) -> None:
        """The lines in front of one that is too long are given first (L1)."""
        reader = LineReader(limit=3)
        reader.feed(b"a\nabc\nabcd\n")
        self.assertEqual([reader.next(), reader.next()], [b"a", b"abc"])
        self.assertRaises(ProtocolError, reader.next)


class PacketReaderTests(SynchronousTestCase):
    """Packets of the gate: a 2-byte big-endian length, then that many bytes (H)."""

    def test_packets(self) -> None:
        """However a stream arrives, its packets are the same; the last may be unfinished (H)."""
        stream = b"\x00\x03one" + b"\x00\x00" + b"\x01\x00" + b"x" * 256 + b"\x00\x02f"
        for chunks in arrivals(stream):
            reader = PacketReader()
            packets = []
            for chunk in chunks:
                reader.feed(chunk)
                packets += drain(reader)
            self.assertEqual(packets, [b"one", b"", b"x" * 256])
            reader.feed(b"4")
            self.assertEqual(drain(reader), [b"f4"])

    def test_nothingFed(self) -> None:
        """Neither nothing nor half a length is a packet."""
        reader = PacketReader()
        self.assertIsNone(reader.next())
        reader.feed(b"\x00")
        self.assertIsNone(reader.next())

    def test_longest(self) -> None:
        """A packet of 65,535 bytes is one; its length says no more (H)."""
        reader = PacketReader()
        reader.feed(b"\xff\xff" + b"x" * 65534)
        self.assertIsNone(reader.next())
        reader.feed(b"y")
        self.assertEqual(reader.next(), b"x" * 65534 + b"y")

    def test_limit(self) -> None:
        """A packet at the limit is given; one past it is refused on its length alone (B4)."""
        reader = PacketReader(limit=3)
        reader.feed(b"\x00\x03abc\x00\x04")
        self.assertEqual(reader.next(), b"abc")
        self.assertRaises(ProtocolError, reader.next)

    def test_rest(self) -> None:
        """What was fed and not given is handed over once, whole packets and parts of one."""
        reader = PacketReader()
        reader.feed(b"\x00\x01a\x00\x01b\x00\x05c")
        self.assertEqual(reader.next(), b"a")
        self.assertEqual(reader.rest(), b"\x00\x01b\x00\x05c")
        self.assertEqual(reader.rest(), b"")
        self.assertIsNone(reader.next())


class PacketTests(SynchronousTestCase):
    """L{packet}, and the sizes that follow from it."""

    def test_packet(self) -> None:
        """The length stands in front, big-endian (H)."""
        self.assertEqual(packet(b""), b"\x00\x00")
        self.assertEqual(packet(b"200 OK"), b"\x00\x06200 OK")
        self.assertEqual(packet(b"x" * 258)[:3], b"\x01\x02x")
        self.assertEqual(packet(b"x" * 65535), b"\xff\xff" + b"x" * 65535)

    def test_tooLong(self) -> None:
        """What two bytes cannot count is no packet."""
        self.assertRaises(ValueError, packet, b"x" * 65536)

    def test_sizes(self) -> None:
        """Content is up to 65,531 bytes up and 65,530 down (S)."""
        self.assertEqual((MAX_PACKET, MAX_REQUEST, MAX_RESPONSE), (65535, 65531, 65530))


class MeasureTests(SynchronousTestCase):
    """Where the first requests of a stream end."""

    def test_everyCount(self) -> None:
        """So many as may be, up to those that are there as a whole."""
        packets = [packet(b"x" * size) for size in (4, 5, 100, 4)]
        for most in range(6):
            for whole in range(5):
                for behind in (b"", b"\x00", b"\x00\x05", b"\x00\x05abcd"):
                    data = b"".join(packets[:whole]) + behind
                    count = min(most, whole)
                    end = len(b"".join(packets[:count]))
                    self.assertEqual(measurePackets(data, most, 100), (count, end, whole > most))

    def test_noRequest(self) -> None:
        """What no request can be ends it: that and all behind it is for others to judge (S3)."""
        for content in (b"", b"abc", b"x" * 101):
            for most in (1, 2):
                data = packet(b"abcd") + packet(content) + packet(b"abcd")
                self.assertEqual(measurePackets(data, most, 100), (1, len(data), False))
        self.assertEqual(measurePackets(b"\x00\x65", 1, 100), (0, 2, False))
