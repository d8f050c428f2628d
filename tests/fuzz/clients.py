"""
Both client ends, in front of servers that say anything.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectError, ConnectionClosed, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.errors import GateStatus, LoginStatus
from msgserver.testing import MemoryTransport
from tests.fuzz.lines import MOST_SEGMENTS, SEGMENT
from tests.fuzz.network import PIECE
from tests.fuzz.plays import Data, Number, Verb
from tests.fuzz.stages import Part
from tests.fuzz.watching import see

SECONDS = Number(0, 60, (0, 1, 2, 5, 9, 10, 11, 30))
STATUS = Data(
    (b"200 MQ==", *(status.value for status in LoginStatus), b"200 ", b"200 1", b"200  MQ==")
    + (b"500 Internal", b"200 " + b"A" * 8188, b" ", b"401 unauthorized")
)
ADDRESS = Data(
    (b"gate.example.org:8888", b"[::1]:1", b"::1:1", b"host", b":1", b"host:0", b"host:65536", b"")
    + (b"host:\xd9\xa1", b"\xff\xfe:1", b"host:1 ", b"[]:1", b"host:+1", b"a:\xc2\xb2")
)
RAW = Data(
    (b"\x00", b"\xff\xff", b"\x00\x00", b"\x00\x05\x02abcd", b"\x00\x04abcd", b"\n" * 9)
    + (b"x" * 9000, b"x" * 70_000, b"SSH-2.0-x\r\n", b"\x00\x05\x01abcd", b"\x00\x05\x00abcd")
)
VERDICT = Data(
    (GateStatus.OK.value, *(status.value for status in GateStatus), b"", b"200 ok", b"500")
    + (b"200 OK ", b"x" * 65_535)
)

FAR = IPv4Address("TCP", "192.0.2.9", 8888)

MAY_FAIL_WITH = (ConnectionClosed, ConnectError, CancelledError)
"""How a connection fails, where the server is not to blame."""


class Far:
    """
    One connection of a client's, from the server's side.

    @ivar heard: all that the client has written.
    @ivar said: all that the client was told.
    @ivar isLost: the client was told that the connection is lost.
    """

    def __init__(self, protocol: IProtocol) -> None:
        self._protocol = protocol
        self.transport = MemoryTransport()
        self.heard = bytearray()
        self.said = bytearray()
        self.isLost = False
        self.transport.connect(protocol)
        self.listen()

    def listen(self) -> None:
        """Take what the client has written."""
        self.heard += self.transport.take()

    def say(self, data: bytes, size: int) -> None:
        """
        Have the client read, in pieces.

        @param size: the bytes of each; 0: all at once.
        """
        step = min(max(size or SEGMENT, len(data) // MOST_SEGMENTS), SEGMENT)
        for start in range(0, len(data), step):
            if self.isLost or self.transport.disconnected or self.transport.disconnecting:
                return
            piece = data[start : start + step]
            self.said += piece
            self._protocol.dataReceived(piece)
            self.listen()

    def settle(self) -> None:
        """Lose the connection, where the client has closed it."""
        if self.transport.disconnecting or self.transport.disconnected:
            self.lose(ConnectionDone())

    def lose(self, reason: Exception) -> None:
        """Lose the connection."""
        if not self.isLost:
            self.isLost = True
            self.transport.connected = False
            self._protocol.connectionLost(Failure(reason))


@implementer(IStreamClientEndpoint)
class Servers(Part):
    """
    Where a client connects to, and what any server can do to it.

    @ivar all: the connections so far.
    @ivar isAway: nobody listens at the moment.
    @ivar attempts: how often the client has tried to connect.
    """

    verbs = {
        "say": Verb((RAW,), 3),
        "split": Verb((PIECE,), 1),
        "lose": Verb((Number(0, 1, (0, 1)),), 3),
        "wait": Verb((SECONDS,), 4),
    }

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.all: list[Far] = []
        self.isAway = False
        self._size = 0
        self.attempts = 0

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See L{IStreamClientEndpoint.connect}."""
        self.attempts += 1
        if self.isAway:
            return fail(ConnectError())
        protocol = protocolFactory.buildProtocol(FAR)
        assert protocol is not None
        self.all.append(Far(protocol))
        return succeed(protocol)

    @property
    def far(self) -> Far | None:
        """The latest connection."""
        return self.all[-1] if self.all else None

    def say(self, data: bytes) -> None:
        """Say something on the latest connection."""
        if self.far is not None:
            self.far.say(data, self._size)

    def play_say(self, data: bytes) -> None:
        """Say anything."""
        self.say(data)

    def play_split(self, size: int) -> None:
        """Cut what is said into pieces."""
        self._size = size

    def play_lose(self, isClean: int) -> None:
        """Lose the latest connection."""
        if self.far is not None:
            self.far.lose(ConnectionDone() if isClean else ConnectionLost())

    def settle(self) -> None:
        """Let what follows by itself happen."""
        for _ in range(2):
            for far in self.all:
                far.settle()
            self._clock.advance(0)

    def play_wait(self, seconds: int) -> None:
        """Let time pass, half a second at a time."""
        for _ in range(2 * seconds):
            self._clock.advance(0.5)
            self.settle()

    def checkClosed(self) -> None:
        """See that the client has let go of every connection."""
        left = sum(not far.isLost for far in self.all)
        see(not left, f"{left} connections are left")
        timers = self._clock.getDelayedCalls()
        see(not timers, f"timers are left: {timers}")
