"""
Gate connections: L{msgserver.wire.gate} and L{msgserver.sessions} on a transport.
"""

from __future__ import annotations

from typing import cast

from attrs import frozen
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.closing import closeDelivering
from msgserver.deadlines import Deadlines
from msgserver.directsend import Write, isPlainTCP, writerFor
from msgserver.errors import ProtocolError, Refused
from msgserver.interfaces import IMsgConnection, IMsgConnections
from msgserver.limits import ConnectionLimits
from msgserver.readset import ReadSet
from msgserver.sessions import Connection
from msgserver.wire.framing import MAX_PACKET
from msgserver.wire.gate import GateServer
from msgserver.wire.naming import Handshake


@frozen
class GateLimits:
    """
    What gate connections may hold.

    @ivar maxclient: connections at once (B1).
    @ivar handshakeTimeout: seconds until a connection must have shaken hands (H3).
    @ivar stallTimeout: seconds that a client may leave its answers unread, and that a close
        may take (B3).
    @ivar maxPacket: the longest packet, in bytes without its length (B4).
    @ivar nodelay: send answers at once rather than wait for more to send (TCP_NODELAY).
    """

    maxclient: int = 1024
    handshakeTimeout: float = 10.0
    stallTimeout: float = 30.0
    maxPacket: int = MAX_PACKET
    nodelay: bool = True


class _IStream(ITCPTransport, IConsumer, IPushProducer):
    """What every transport of a listening endpoint does, for the type checker."""


@implementer(IMsgConnection, IPushProducer)
class MsgProtocol(Protocol):
    """
    One gate connection. It is handed to L{IMsgConnections} with its handshake, and from then
    on carries the batches of one L{Connection}.

    It is its transport's producer: the transport says when the client does not read (B3).
    """

    factory: MsgFactory
    transport: _IStream

    def __init__(self, conversation: GateServer) -> None:
        self.peer: str | None = None
        self._conversation = conversation
        self._connection: Connection | None = None
        self._isStalled = False
        self._isPaused = False
        self._isReading = True
        self._isClosing = False
        # The one way in which a connection's answers leave.
        self._write: Write = _discard

    def connectionMade(self) -> None:
        """Wait for the handshake, unless there are too many connections."""
        if not self.factory.limits.opened(self):
            self.transport.abortConnection()
        elif ITCPTransport.providedBy(self.transport):
            # A phone that vanishes says nothing; only the kernel's probes find out.
            self.transport.setTcpKeepAlive(True)
            self.transport.setTcpNoDelay(self.factory.nodelay)

    def dataReceived(self, data: bytes) -> None:
        """Take in the handshake; once it is accepted, L{_serve} stands here instead."""
        try:
            self._conversation.feed(data)
            handshake = self._conversation.nextEvent()
            if handshake is not None:
                self._handshakeReceived(handshake)
        except Refused as refusal:
            self.factory.log.debug("{peer}: {refusal}", peer=self._address(), refusal=refusal)
            self.transport.write(self._conversation.refuse(refusal))
            self._close()
        except ProtocolError as error:
            self.factory.log.debug("{peer}: {error}", peer=self._address(), error=error)
            self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of the login, if it is this connection's still (H4)."""
        self._isClosing = True
        self._discardInput()
        self._write = _discard
        self.factory.limits.closed(self)
        self.factory.stalls.stop(self)
        if self._connection is not None:
            self.factory.connections.disconnect(self._connection)
            # The two name each other: what does not go in circles is freed now.
            self._connection = None

    def expired(self) -> None:
        """Close at once: no handshake in time (H3), or answers that nobody reads (B3)."""
        self.factory.log.debug("{peer}: out of time", peer=self._address())
        self.abort()

    def flush(self) -> None:
        """Send what is ready; go on with requests that waited (B2, B3)."""
        connection = cast(Connection, self._connection)
        if self._isClosing:
            return
        isWaiting = connection.isFull or connection.hasMore
        if isWaiting and not (self._isStalled or self._isPaused):
            self._serve(b"")
        else:
            self._writeReady(connection)

    def finish(self) -> None:
        """Send what is ready, then close (U2)."""
        if not self._isClosing:
            self._writeReady(cast(Connection, self._connection))
            self._close()

    def abort(self) -> None:
        """Close at once (H4)."""
        # Whatever is ready only now is not to leave past a transport that is given up.
        self._isClosing = True
        self.transport.abortConnection()

    def pause(self) -> None:
        """Begin no further request (B5)."""
        self._isPaused = True
        self._discardInput()
        self._adjustReading()

    def pauseProducing(self) -> None:
        """The transport holds back answers: the client must read before it may ask (B3)."""
        # It says so again with each further answer, which gives the client no further time.
        if not self._isStalled:
            self._isStalled = True
            self.factory.stalls.start(self)
            self._adjustReading()

    def resumeProducing(self) -> None:
        """The client has read everything: go on."""
        self._isStalled = False
        self.factory.stalls.stop(self)
        self.flush()
        self._adjustReading()

    def stopProducing(self) -> None:
        """The connection is lost; L{connectionLost} says so too."""

    def _handshakeReceived(self, handshake: Handshake) -> None:
        self.peer = self._address()
        self._connection = self.factory.connections.connect(handshake, self)
        self.factory.limits.proved(self)
        accepted, behind = self._conversation.accept()
        del self._conversation  # Nothing more is fed: what it holds is memory of every connection.
        self._write = self.factory.attach(self.transport, self)
        # The hot path: from here on a batch is one call away from the transport.
        self.dataReceived = self._serve  # type: ignore[method-assign]  # on purpose, see above
        # In one piece: a transport that takes only a part of the first has no requests begun.
        self._write(accepted + self._connection.receive(behind))
        self._adjust(self._connection)

    def _serve(self, data: bytes) -> None:
        connection = self._connection
        assert connection is not None
        answers = connection.receive(data)
        if answers:
            self._write(answers)
        if connection.isBroken or connection.isFull or connection.hasMore or not self._isReading:
            self._adjust(connection)

    def _adjust(self, connection: Connection) -> None:
        if connection.isBroken:
            self.factory.log.debug("{peer}: a request of no valid length", peer=self.peer)
            self._close()  # S3
        else:
            self._adjustReading()

    def _writeReady(self, connection: Connection) -> None:
        answers = connection.take()
        if answers:
            self._write(answers)

    def _adjustReading(self) -> None:
        connection = self._connection
        isWaiting = connection is not None and (connection.isFull or connection.hasMore)
        shouldRead = not (self._isStalled or self._isPaused or isWaiting) or self._isClosing
        if shouldRead is not self._isReading:
            self._isReading = shouldRead
            if shouldRead:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    def _close(self) -> None:
        """Close once everything written has been delivered."""
        self._isClosing = True
        self._discardInput()
        self.factory.stalls.start(self)
        self._adjustReading()
        self.transport.unregisterProducer()
        closeDelivering(self.transport)

    def _discardInput(self) -> None:
        self.dataReceived = _discard  # type: ignore[method-assign]  # H2: not looked at

    def _address(self) -> str | None:
        # Not before the first bytes: behind a PROXY header it is the proxy's until then.
        return getattr(self.transport.getPeer(), "host", None)


def _discard(data: bytes) -> None:
    pass


class MsgFactory(Factory["MsgProtocol"]):
    """
    Makes the connections of one gate, over any number of ports.

    @param isDirect: answers are sent at once where the transport allows it; see L{writerFor}.
    @param readSet: where plain TCP connections are read; None: by the reactor, as others are.
    """

    noisy = False
    log = Logger()

    def __init__(
        self,
        connections: IMsgConnections,
        clock: IReactorTime,
        limits: GateLimits,
        *,
        isDirect: bool = True,
        readSet: ReadSet | None = None,
    ) -> None:
        self.connections = connections
        self._isDirect = isDirect
        self._readSet = readSet
        self.nodelay = limits.nodelay
        self.limits: ConnectionLimits[MsgProtocol] = ConnectionLimits(
            clock, limits.maxclient, limits.handshakeTimeout, MsgProtocol.expired
        )
        self.stalls: Deadlines[MsgProtocol] = Deadlines(
            clock, limits.stallTimeout, MsgProtocol.expired
        )
        self._maxPacket = limits.maxPacket

    def buildProtocol(self, addr: IAddress | None) -> MsgProtocol:
        """Make the protocol of one connection."""
        protocol = MsgProtocol(GateServer(self._maxPacket))
        protocol.factory = self
        return protocol

    def attach(self, transport: _IStream, protocol: MsgProtocol) -> Write:
        """Set up a connection whose handshake is accepted; give the way its answers leave."""
        if self._readSet is not None and isPlainTCP(transport):
            self._readSet.adopt(transport)
        return writerFor(transport, protocol, isDirect=self._isDirect)
