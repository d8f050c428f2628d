"""
A gate connection (H, S), both ends, as bytes in and bytes out.

The server's end stops at the verdict on the handshake: from then on the connection's
bytes go to L{msgserver.sessions}, the hot path, as they come.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

from attrs import frozen

from msgserver.errors import (
    BadRequest,
    GateStatus,
    IndexExpired,
    InvalidState,
    ProtocolError,
    Refused,
    Unauthorized,
    UserNotFound,
)
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.framing import (
    MAX_PACKET,
    MAX_REQUEST,
    PACKET_LENGTH,
    SESSION_SIZE,
    PacketReader,
    packet,
)
from msgserver.wire.modern import ModernSuite
from msgserver.wire.naming import Handshake, User, encode64, handshakeText, parseHandshake

FAILED, ANSWERED = b"\x00", b"\x01"
"""The flag of a response: the handler failed, or answered (S)."""


class _Suite(Protocol):
    """What a suite does for a handshake; the length of the secret tells which it is."""

    @property
    def secretSize(self) -> int:
        """The bytes of a secret."""

    def handshakeMac(self, text: bytes, secret: bytes) -> bytes:
        """Compute the mac of a text."""

    def isHandshakeMac(self, mac: bytes, text: bytes, secret: bytes) -> bool:
        """Say in constant time whether C{mac} is the one of C{text}."""


_ALL: tuple[_Suite, ...] = (ClassicSuite(), ModernSuite())
_SUITES = {suite.secretSize: suite for suite in _ALL}


def handshakeMac(text: bytes, secret: bytes) -> bytes:
    """
    Compute the mac of a handshake's text, by the suite that the secret's length tells.

    @raise InvalidState: no suite makes secrets of that length.
    """
    return _suiteOf(secret).handshakeMac(text, secret)


def isProvedBy(handshake: Handshake, secret: bytes) -> bool:
    """
    Say, in constant time, whether the handshake's mac is the one of its text (H).

    @raise InvalidState: no suite makes secrets of that length.
    """
    return _suiteOf(secret).isHandshakeMac(handshake.mac, handshake.text, secret)


def checkSecret(secret: bytes) -> None:
    """
    See that handshakes can be proved with C{secret}.

    @raise InvalidState: no suite makes secrets of that length.
    """
    _suiteOf(secret)


def _suiteOf(secret: bytes) -> _Suite:
    try:
        return _SUITES[len(secret)]
    except KeyError:
        raise InvalidState(f"no suite makes secrets of {len(secret)} bytes") from None


def requestPacket(session: bytes, content: bytes) -> bytes:
    """
    Write a request (S).

    @param session: 4 bytes.
    @param content: 0 to L{MAX_REQUEST} bytes.
    @raise ValueError: one of them has another length.
    """
    if len(session) != SESSION_SIZE:
        raise ValueError(f"a session has {SESSION_SIZE} bytes, not {len(session)}")
    if len(content) > MAX_REQUEST:
        raise ValueError(f"a request takes at most {MAX_REQUEST} bytes, not {len(content)}")
    return packet(content + session)


def responsePacket(session: bytes, flag: bytes, content: bytes) -> bytes:
    """
    Write a response (S).

    @param flag: L{ANSWERED} or L{FAILED}.
    @param content: 0 to L{msgserver.wire.framing.MAX_RESPONSE} bytes; the caller has seen to it.
    """
    length = PACKET_LENGTH.pack(len(content) + 1 + SESSION_SIZE)
    return b"".join((length, content, flag, session))


class _State(Enum):
    HANDSHAKE = auto()
    VERDICT = auto()
    CONNECTED = auto()
    CLOSED = auto()


class GateServer:
    """
    The server's end of a connection up to the verdict on its handshake.

    @param limit: the longest packet accepted, in bytes (B4).
    """

    def __init__(self, limit: int = MAX_PACKET) -> None:
        self._packets = PacketReader(limit)
        self._state = _State.HANDSHAKE

    def feed(self, data: bytes) -> None:
        """Take what the client sent; what comes behind the handshake waits (H2)."""
        if self._state is not _State.CLOSED:
            self._packets.feed(data)

    def nextEvent(self) -> Handshake | None:
        """
        Give the handshake when it is complete; nothing further before L{accept}.

        @raise BadRequest: it is none; L{refuse} has it said to the client.
        @raise ProtocolError: it is longer than the limit. The connection is over.
        """
        if self._state is not _State.HANDSHAKE:
            return None
        try:
            content = self._packets.next()
            if content is None:
                return None
            self._state = _State.VERDICT
            return parseHandshake(content)
        except (BadRequest, ProtocolError):
            self._close()
            raise

    def accept(self) -> tuple[bytes, bytes]:
        """Give the packet that tells the client so, and what it sent behind its handshake."""
        self._state = _State.CONNECTED
        return packet(GateStatus.OK.value), self._packets.rest()

    def refuse(self, refusal: Refused) -> bytes:
        """Give the packet that tells the client no; what it sent, and sends, is nothing (H2)."""
        self._close()
        # Unauthorized is said alike on both wires.
        return packet(refusal.status.value)

    def _close(self) -> None:
        self._state = _State.CLOSED
        self._packets.rest()


@frozen
class Connected:
    """The client's event: the handshake was accepted."""


@frozen
class Response:
    """
    The client's event: the answer to the request of the same session.

    @ivar isAnswer: true for flag 1, the handler's answer; false for flag 0, its failure.
    """

    session: bytes
    isAnswer: bool
    content: bytes


_REFUSALS: dict[bytes, type[Refused]] = {
    refusal.status.value: refusal
    for refusal in (BadRequest, Unauthorized, IndexExpired, UserNotFound)
}


class GateClient:
    """
    The client's end of one connection: send L{hello}, feed what arrives, take the events.

    Requests may follow the hello at once; where the gate refuses, it has not looked at them (H2).

    @param secret: what the login left both ends with.
    @param index: greater than that of the login's every earlier handshake.
    """

    def __init__(self, user: User, secret: bytes, index: int) -> None:
        text = handshakeText(user, index)
        self.hello = packet(b"%b:%b" % (text, encode64(handshakeMac(text, secret))))
        self._packets = PacketReader()
        self._state = _State.HANDSHAKE

    def feed(self, data: bytes) -> None:
        """Take what the gate sent."""
        if self._state is not _State.CLOSED:
            self._packets.feed(data)

    def nextEvent(self) -> Connected | Response | None:
        """
        Give the next event, or None until more has been fed.

        @raise Refused: the gate said no, in its own words.
        @raise ProtocolError: this is no gate.
        """
        if self._state is _State.CLOSED:
            return None
        content = self._packets.next()
        if content is None:
            return None
        if self._state is _State.CONNECTED:
            return self._readResponse(content)
        if content == GateStatus.OK.value:
            self._state = _State.CONNECTED
            return Connected()
        self._state = _State.CLOSED
        refusal = _REFUSALS.get(content)
        if refusal is None:
            raise ProtocolError("an answer to the handshake that no gate gives")
        raise refusal(content.decode())

    def _readResponse(self, content: bytes) -> Response:
        body, flag, session = (
            content[: -SESSION_SIZE - 1],
            content[-SESSION_SIZE - 1 : -SESSION_SIZE],
            content[-SESSION_SIZE:],
        )
        if flag not in (FAILED, ANSWERED):
            self._state = _State.CLOSED
            raise ProtocolError("a response without a flag of 0 or 1")
        return Response(session, flag == ANSWERED, body)
