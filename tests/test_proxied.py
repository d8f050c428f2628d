"""
Tests for L{msgserver.proxied}: the PROXY header, both versions.
"""

from __future__ import annotations

import struct
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from msgserver.proxied import (
    LONGEST_HEADER,
    LONGEST_LINE,
    Header,
    ProxiedEndpoint,
    ProxiedFactory,
    parseHeader,
)

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def binary(command: int, family: int, content: bytes) -> bytes:
    """Write a header of version 2."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(content)) + content


def hosts(family: int, source: str, destination: str, *ports: int) -> bytes:
    """Write what a header of version 2 says of two hosts."""
    packed = inet_pton(family, source) + inet_pton(family, destination)
    return packed + struct.pack("!HH", *ports)


FOUR = hosts(AF_INET, "192.0.2.1", "10.0.0.7", 1025, 443)
SIX = hosts(AF_INET6, "2001:db8::1", "fd00::7", 1025, 443)
FOURS = IPv4Address("TCP", "192.0.2.1", 1025), IPv4Address("TCP", "10.0.0.7", 443)
SIXES = IPv6Address("TCP", "2001:db8::1", 1025), IPv6Address("TCP", "fd00::7", 443)
UNIX = b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")
NOBODY = None, None

# Each header, and whom it says.
HEADERS: dict[bytes, tuple[IAddress | None, IAddress | None]] = {
    b"PROXY TCP4 192.0.2.1 10.0.0.7 1025 443\r\n": FOURS,
    b"PROXY TCP6 2001:db8::1 fd00::7 1025 443\r\n": SIXES,
    b"PROXY TCP6 2001:0DB8:0:0:0:0:0:1 fd00::0007 1025 443\r\n": SIXES,
    b"PROXY UNKNOWN\r\n": NOBODY,
    b"PROXY UNKNOWN ffff::1 whatever it may be\r\n": NOBODY,
    b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n": NOBODY,
    binary(0x21, 0x11, FOUR): FOURS,
    binary(0x21, 0x21, SIX): SIXES,
    # What stands behind the addresses is for others.
    binary(0x21, 0x11, FOUR + b"\x04\x00\x01x"): FOURS,
    binary(0x21, 0x11, FOUR.ljust(LONGEST_HEADER - 16)): FOURS,
    binary(0x21, 0x31, UNIX): (UNIXAddress(b"/run/a"), UNIXAddress(b"/run/b")),
    binary(0x20, 0x00, b""): NOBODY,
    binary(0x20, 0x11, FOUR): NOBODY,
    binary(0x20, 0x99, b"x"): NOBODY,
    binary(0x21, 0x00, b""): NOBODY,
    binary(0x21, 0x00, b"\x04\x00\x01x"): NOBODY,
}

WRONG = (
    *(b"x", b"PROXZ", b"proxy TCP4 ", b"\r\n\r\n\x01", b"\x16\x03\x01", b" PROXY"),
    b"PROXY TCP5 192.0.2.1 10.0.0.7 1025 443\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.7 1025\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.7 1025 443 1\r\n",
    b"PROXY TCP4  192.0.2.1 10.0.0.7 1025 443\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.7 1025 x\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.7 1025 65536\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.7 -1 443\r\n",
    b"PROXY TCP4 192.0.2.256 10.0.0.7 1025 443\r\n",
    b"PROXY TCP4 2001:db8::1 fd00::7 1025 443\r\n",
    b"PROXY TCP6 192.0.2.1 10.0.0.7 1025 443\r\n",
    b"PROXY TCP4 \xff\xfe 10.0.0.7 1025 443\r\n",
    b"PROXY TCP4\r\n",
    b"PROXY \r\n",
    b"PROXY UNKNOWNX\r\n",
    b"PROXY TCP4 192.0.2.1 10.0.0.7 1025 443\n".ljust(LONGEST_LINE),
    b"PROXY UNKNOWN ".ljust(LONGEST_LINE, b"f"),
    b"PROXY UNKNOWN ".ljust(LONGEST_LINE - 1, b"f") + b"\r\n",
    binary(0x11, 0x11, FOUR),
    binary(0x22, 0x11, FOUR),
    binary(0x21, 0x12, FOUR),
    binary(0x21, 0x10, FOUR),
    binary(0x21, 0x41, FOUR),
    binary(0x21, 0x11, FOUR[:-1]),
    binary(0x21, 0x21, SIX[:-1]),
    binary(0x21, 0x31, UNIX[:-1]),
    binary(0x21, 0x11, FOUR.ljust(LONGEST_HEADER - 15)),
)


class ParseTests(SynchronousTestCase):
    """L{parseHeader}"""

    def test_headers(self) -> None:
        """Each says whom; what stands behind it is no part of it."""
        for data, (source, destination) in HEADERS.items():
            header = Header(len(data), source, destination)
            self.assertEqual(parseHeader(data), header)
            self.assertEqual(parseHeader(data + b"PROXY\r\nmore"), header)

    def test_tooShort(self) -> None:
        """None of them is known before its last byte."""
        for data in HEADERS:
            for end in range(len(data)):
                self.assertIsNone(parseHeader(data[:end]), data[:end])

    def test_wrong(self) -> None:
        """What is none is refused, by its first byte that cannot be one's at the latest."""
        for data in WRONG:
            self.assertRaises(ValueError, parseHeader, data)
            self.assertRaises(ValueError, parseHeader, data.ljust(LONGEST_HEADER))

    def test_wrongAtOnce(self) -> None:
        """Nobody waits for the rest of what is none."""
        for data in (b"P\r", b"\rP", b"\x00", *WRONG[:6]):
            self.assertRaises(ValueError, parseHeader, data)

    @given(
        st.binary(max_size=64), st.sampled_from([b"", b"PROXY TCP4 ", b"PROXY TCP6 ", SIGNATURE])
    )
    @example(b"\x21\x11\xff\xff", SIGNATURE)
    def test_anything(self, data: bytes, start: bytes) -> None:
        """Whatever comes is a header, or the beginning of one, or refused in good order."""
        try:
            header = parseHeader(start + data)
        except ValueError:
            return
        self.assertTrue(header is None or header.size <= len(start + data))

    def test_bounded(self) -> None:
        """However long one goes on without end, it is refused."""
        for data in (b"PROXY " + b"x" * LONGEST_LINE, binary(0x21, 0x11, bytes(LONGEST_HEADER))):
            self.assertRaises(ValueError, parseHeader, data[:LONGEST_LINE])


class Inner(Protocol):
    """
    What is behind the header.

    @ivar heard: each piece, and who was the peer then.
    """

    transport: Any

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, object]] = []
        self.peers: list[object] = []
        self.lost: list[Failure] = []

    def connectionMade(self) -> None:
        """Ask who is there."""
        self.peers.append(self.transport.getPeer())

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.heard.append((data, self.transport.getPeer()))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Keep why."""
        self.lost.append(reason)


PROXY = IPv4Address("TCP", "10.0.0.2", 5)
HERE = IPv4Address("TCP", "10.0.0.3", 6)


class ProxiedTests(SynchronousTestCase):
    """L{ProxiedProtocol}, as an endpoint makes it."""

    def connect(self) -> tuple[Any, Inner, StringTransport]:
        """Let a proxy connect."""
        reactor = MemoryReactorClock()
        inner = Inner()
        listening = ProxiedEndpoint(TCP4ServerEndpoint(reactor, 1)).listen(
            Factory.forProtocol(lambda: inner)
        )
        self.successResultOf(listening)
        factory = reactor.tcpServers[0][1]
        self.assertIsInstance(factory, ProxiedFactory)
        outer = factory.buildProtocol(PROXY)
        assert outer is not None
        transport = StringTransport(peerAddress=PROXY, hostAddress=HERE)
        outer.makeConnection(transport)
        return outer, inner, transport

    def test_pieces(self) -> None:
        """A header may come in any pieces, and with what stands behind it."""
        for data, (source, destination) in HEADERS.items():
            for size in (1, 5, 11, len(data) - 1, len(data), len(data) + 3):
                outer, inner, transport = self.connect()
                stream = data + b"hello"
                for start in range(0, len(stream), size):
                    outer.dataReceived(stream[start : start + size])
                heard = b"".join(piece for piece, _ in inner.heard)
                self.assertEqual(heard, b"hello")
                self.assertEqual({peer for _, peer in inner.heard}, {source or PROXY})
                self.assertEqual(inner.transport.getHost(), destination or HERE)
                self.assertFalse(transport.disconnected)

    def test_noEmptyPiece(self) -> None:
        """A header alone is nothing to hear, but the peer is known."""
        outer, inner, _ = self.connect()
        outer.dataReceived(next(iter(HEADERS)))
        self.assertEqual(inner.heard, [])
        self.assertEqual(inner.transport.getPeer(), FOURS[0])

    def test_connectedAtOnce(self) -> None:
        """What is behind has its transport at once: its deadline holds for the header, too."""
        _, inner, transport = self.connect()
        self.assertEqual(inner.peers, [PROXY])
        inner.transport.abortConnection()
        self.assertTrue(transport.disconnected)

    def test_writes(self) -> None:
        """It may write, too, and its close is a close."""
        outer, inner, transport = self.connect()
        outer.dataReceived(b"PROXY UNKNOWN\r\n?")
        inner.transport.write(b"!")
        self.assertEqual(transport.value(), b"!")
        inner.transport.loseConnection()
        self.assertTrue(transport.disconnecting)

    def test_refused(self) -> None:
        """What is no header closes the connection, and nothing of it is heard or kept."""
        for data in WRONG:
            with capturedLogs() as events:
                outer, inner, transport = self.connect()
                outer.dataReceived(data)
                outer.dataReceived(b"PROXY UNKNOWN\r\nhello")
            self.assertTrue(transport.disconnected, data)
            self.assertEqual(inner.heard, [])
            self.assertEqual([event["log_level"].name for event in events], ["debug"])
            outer.connectionLost(Failure(connectionDone.value))
            self.assertEqual(len(inner.lost), 1)

    def test_oneByteAtATime(self) -> None:
        """Nor is more kept than the longest header has."""
        for data in (b"PROXY " + b"x" * 200, b"PROXY UNKNOWN " + b"x" * 200, binary(0x21, 1, b"")):
            outer, _, transport = self.connect()
            for byte in data:
                outer.dataReceived(bytes([byte]))
            self.assertTrue(transport.disconnected, data)
