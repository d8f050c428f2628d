"""
Connections to a port, from the side of their client: what is sent, in which pieces, and when
what comes back is read.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from zope.interface import implementer

from msgserver.testing import MemoryTransport
from tests.fuzz.watching import see

SEND_BUFFER = 64 * 1024
"""How much a transport takes before it tells its producer to stop, in bytes: as Twisted's."""

SEGMENT = 64 * 1024
"""The most that arrives at once, in bytes: as Twisted reads."""

MOST_SEGMENTS = 3000
"""The most pieces that one action is cut into; what is left then comes at once."""


class Pipe(MemoryTransport):
    """
    The server's transport. It pushes back when its client does not read, as a real one does.

    @ivar written: all that the server has written.
    @ivar waiting: the bytes of it that the client has not read.
    @ivar stalledSince: when the producer was told to stop, in seconds; None while it may go on.
    @ivar closedSince: when the server began to close, in seconds; None before.
    """

    def __init__(self, clock: Clock, peer: str) -> None:
        super().__init__(peer)
        self._clock = clock
        self.written = bytearray()
        self.waiting = 0
        self.stalledSince: float | None = None
        self.closedSince: float | None = None

    def write(self, data: bytes) -> None:
        """Take what the server writes."""
        super().write(data)
        taken = self.take()
        self.written += taken
        self.waiting += len(taken)
        if self.waiting > SEND_BUFFER and self.producer is not None and self.stalledSince is None:
            self.stalledSince = self._clock.seconds()
            self.producer.pauseProducing()

    def readAll(self) -> None:
        """Have the client read everything."""
        self.waiting = 0
        if self.stalledSince is not None:
            self.stalledSince = None
            if self.producer is not None:
                self.producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Let go of the producer: nobody is stalled any more."""
        super().unregisterProducer()
        self.stalledSince = None

    @property
    def isClosing(self) -> bool:
        """The server has begun to close, one way or another."""
        return self.closedSince is not None

    def loseConnection(self) -> None:
        """Close once all is sent."""
        self._closes()
        super().loseConnection()

    def loseWriteConnection(self) -> None:
        """Close the sending side once all is sent."""
        self._closes()
        super().loseWriteConnection()

    def abortConnection(self) -> None:
        """Close at once."""
        self._closes()
        super().abortConnection()

    def _closes(self) -> None:
        if self.closedSince is None:
            self.closedSince = self._clock.seconds()


@implementer(ISSLTransport)
class SecurePipe(Pipe):
    """
    A transport with TLS: what came in one segment is delivered to its end, even where reading
    was paused meanwhile, or the connection closed.
    """

    def getPeerCertificate(self) -> None:
        """Clients have none."""


class Sending:
    """
    How the clients of a stage send.

    @ivar size: the bytes of each piece; 0: as large as they come.
    """

    def __init__(self) -> None:
        self.size = 0
        self._spoilt: dict[int, int] = {}

    def spoil(self, place: int, mask: int) -> None:
        """Damage a byte of what is sent next."""
        self._spoilt[place] = mask

    def reset(self) -> None:
        """Send whole and sound from now on."""
        self.size = 0
        self._spoilt.clear()

    def prepare(self, data: bytes) -> bytes:
        """Damage what is to be damaged."""
        if self._spoilt and data:
            damaged = bytearray(data)
            for place, mask in self._spoilt.items():
                damaged[place % len(damaged)] ^= mask
            self._spoilt.clear()
            return bytes(damaged)
        return data


class Line:
    """
    One connection to a port.

    @ivar opened: when, in seconds.
    @ivar sent: what the server was given of what the client has sent.
    @ivar largest: the bytes of the largest piece of that.
    @ivar isReading: the client reads what it is sent.
    @ivar isLost: the server was told that the connection is lost.
    """

    def __init__(
        self,
        clock: Clock,
        factory: Factory[Any],
        sending: Sending,
        peer: str,
        isSecure: bool = False,
    ) -> None:
        self._sending = sending
        self._isSecure = isSecure
        self.opened = clock.seconds()
        self.pipe = SecurePipe(clock, peer) if isSecure else Pipe(clock, peer)
        self.sent = bytearray()
        self.largest = 0
        self.isReading = True
        self.isLost = False
        self._isHeld = False
        self._held = b""
        self._pieces: list[bytes] = []
        protocol = factory.buildProtocol(None)
        assert protocol is not None
        self.protocol: Any = protocol
        self.pipe.connect(protocol)

    def send(self, data: bytes) -> None:
        """Send, or hold it for the segment to come."""
        self._held += self._sending.prepare(data)
        if not self._isHeld:
            self._release()

    def hold(self) -> None:
        """Gather what is sent into one segment, until L{go}."""
        self._isHeld = True

    def go(self) -> None:
        """Send what was held."""
        self._isHeld = False
        self._release()

    def _release(self) -> None:
        data, self._held = self._held, b""
        size = self._sending.size or SEGMENT
        size = min(max(size, len(data) // MOST_SEGMENTS), SEGMENT)
        self._pieces += [data[start : start + size] for start in range(0, len(data), size)]
        self.deliver()

    def deliver(self) -> None:
        """Hand over what the server wants to read."""
        pieces, self._pieces = self._pieces, []
        while pieces:
            # A connection that was cut, or is about to be closed, delivers nothing any more.
            if self.isLost or self.pipe.disconnected:
                return
            if not self._isSecure:
                if self.pipe.disconnecting:
                    return
                if not self.pipe.isReading:
                    self._pieces = pieces
                    return
            piece = pieces.pop(0)
            self.largest = max(self.largest, len(piece))
            before = len(self.pipe.written)
            self.arriving(piece)
            self.sent += piece
            self.protocol.dataReceived(piece)
            self.arrived(before)

    def arriving(self, piece: bytes) -> None:
        """Take note of a piece, just before the server does."""

    def arrived(self, before: int) -> None:
        """Look at what came of it; the server had written C{before} bytes."""

    def settle(self) -> None:
        """Let the network do what it does by itself."""
        for _ in range(100):
            if self.isLost:
                return
            if self.isReading and (self.pipe.waiting or self.pipe.stalledSince is not None):
                self.pipe.readAll()
            if self.pipe.disconnected or (self.pipe.disconnecting and not self.pipe.waiting):
                self.lose()
            elif self._pieces and self.pipe.isReading:
                self.deliver()
            elif not self.isReading or not self.pipe.waiting:
                return
        see(False, "a connection never settles")

    def lose(self) -> None:
        """Lose the connection."""
        if not self.isLost:
            self.isLost = True
            self.pipe.lose()
