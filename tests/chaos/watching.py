"""What a client sends, and on which connections: as seen from outside, between it and TCP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from time import monotonic_ns

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.errors import GateStatus
from msgserver.wire.framing import PACKET_LENGTH, SESSION_SIZE, packet
from tests.chaos.orders import nameOf

_OK = packet(GateStatus.OK.value)

_NAME_ROOM = 128
"""How many bytes of a request hold its name, at most."""


class Watch:
    """
    What is seen of one client.

    @param counts: what is counted, by its name; many clients share it.
    @ivar sent: called with the username and the name of each request, when it is first sent.
    @ivar onAccepted: called with nothing whenever the gate has said yes.
    @ivar connectedAt: when the last connection was made, in nanoseconds of the machine's
        monotonic clock: before its handshake was sent.
    """

    def __init__(self, counts: Counter[str], sent: Callable[[bytes, bytes], object]) -> None:
        self.counts = counts
        self.sent = sent
        self.onAccepted: Callable[[], object] = lambda: None
        self.connectedAt = 0
        self.username = b""
        self.hasBeenAccepted = False
        self.sessions: set[bytes] = set()

    def handshake(self, username: bytes) -> None:
        """Take note of a handshake."""
        if username != self.username:
            self.username = username
            self.hasBeenAccepted = False
            self.sessions.clear()

    def accepted(self) -> None:
        """Take note that the gate has said yes."""
        self.counts["accepted"] += 1
        self.onAccepted()
        self.counts["reconnections"] += self.hasBeenAccepted
        self.hasBeenAccepted = True

    def request(self, session: bytes, content: bytes) -> None:
        """Take note of a request, or of the beginning of one."""
        if session in self.sessions:
            self.counts["asked again"] += 1
        else:
            self.sessions.add(session)
            self.sent(self.username, nameOf(content))


class _Watched(ProtocolWrapper):
    """One connection."""

    def __init__(
        self, factory: WrappingFactory[_Watched], wrapped: IProtocol, watch: Watch
    ) -> None:
        super().__init__(factory, wrapped)
        self._watch = watch
        self._isGreeted = False
        self._heard = b""

    def connectionMade(self) -> None:
        """Take note of the time."""
        self._watch.connectedAt = monotonic_ns()
        super().connectionMade()

    def write(self, data: bytes) -> None:
        """Look at what is sent: always whole packets."""
        start = 0
        while start < len(data):
            (length,) = PACKET_LENGTH.unpack_from(data, start)
            start += PACKET_LENGTH.size
            stop = start + length
            if self._isGreeted:
                tail = stop - SESSION_SIZE
                content = data[start : min(tail, start + _NAME_ROOM)]
                self._watch.request(data[tail:stop], content)
            else:
                self._isGreeted = True
                self._watch.handshake(data[start:stop].split(b":")[0])
            start = stop
        super().write(data)

    def dataReceived(self, data: bytes) -> None:
        """Look for the gate's verdict."""
        if len(self._heard) < len(_OK):
            self._heard = (self._heard + data)[: len(_OK)]
            if self._heard == _OK:
                self._watch.accepted()
        super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Count it."""
        self._watch.counts["lost"] += 1
        super().connectionLost(reason)


class _Watching(WrappingFactory[_Watched]):
    """Makes them."""

    noisy = False

    def __init__(self, wrapped: IProtocolFactory, watch: Watch) -> None:
        super().__init__(wrapped)
        self._watch = watch

    def buildProtocol(self, addr: IAddress | None) -> _Watched:
        """Make one."""
        wrapped = self.wrappedFactory.buildProtocol(addr)
        assert wrapped is not None
        return _Watched(self, wrapped, self._watch)


@implementer(IStreamClientEndpoint)
class WatchedEndpoint:
    """Connects as another endpoint does, and has a client's connections watched."""

    def __init__(self, endpoint: IStreamClientEndpoint, watch: Watch) -> None:
        self._endpoint = endpoint
        self._watch = watch

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See L{IStreamClientEndpoint.connect}."""
        self._watch.counts["attempts"] += 1
        return self._endpoint.connect(_Watching(protocolFactory, self._watch))
