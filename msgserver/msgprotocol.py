"""
Gate connections: L{msgserver.wire.gate} and L{msgserver.sessions} on a transport.
"""

from __future__ import annotations

from collections import Counter
from copy import copy
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
from msgserver.limits import (
    LOOPBACK,
    AddressLimits,
    ConnectionLimits,
    Networks,
    RequestMeter,
    RequestRate,
    plainHost,
)
from msgserver.readset import ReadSet
from msgserver.sessions import Connection
from msgserver.strangerlog import StrangerLog
from msgserver.wire.framing import MAX_PACKET
from msgserver.wire.gate import GateServer
from msgserver.wire.naming import Handshake

_DEADLINE = "handshake_timeout"
"""The config key of the time that a handshake may take."""

_STALL = "stall_timeout"
"""The config key of the time that answers may be left unread."""


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
    @ivar maxStrangers: connections at once that have not shaken hands.
    @ivar addressMaxclient: connections at once of one address.
    @ivar addressRate: connections a second of one address in the long run.
    @ivar addressBurst: connections of one address before that holds.
    @ivar addressTable: addresses that this is remembered for.
    @ivar unlimited: the networks that no limit of an address holds for.
    @ivar requestRate: requests a second of one login in the long run; 0: as many as it likes.
    @ivar requestBurst: requests of one login before that holds.
    """

    maxclient: int = 1024
    handshakeTimeout: float = 10.0
    stallTimeout: float = 30.0
    maxPacket: int = MAX_PACKET
    nodelay: bool = True
    maxStrangers: int = 512
    addressMaxclient: int = 256
    addressRate: float = 20.0
    addressBurst: int = 200
    addressTable: int = 65536
    unlimited: tuple[str, ...] = LOOPBACK
    requestRate: float = 0.0
    requestBurst: int = 256


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

    # Not set for each connection, as it is memory.
    _isJudged = False
    _meter: RequestMeter | None = None

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
        """Wait for the handshake, unless the client may not be here."""
        factory, peer = self.factory, self.transport.getPeer()
        # Behind a PROXY header this is the proxy, which is all that is known before it.
        self.peer = plainHost(peer)
        isIn = factory.limits.opened(self, peer, isProxied=factory.isProxied)
        if isIn and ITCPTransport.providedBy(self.transport):
            # A phone that vanishes says nothing; only the kernel's probes find out.
            self.transport.setTcpKeepAlive(True)
            self.transport.setTcpNoDelay(factory.nodelay)

    def dataReceived(self, data: bytes) -> None:
        """Take in the handshake; once it is accepted, L{_serve} stands here instead."""
        if self._isJudged or (self.factory.isProxied and not self._isWelcome()):
            return
        try:
            self._conversation.feed(data)
            handshake = self._conversation.nextEvent()
            if handshake is not None:
                self._handshakeReceived(handshake)
        except Refused as refusal:
            self._refused(refusal)
        except ProtocolError as error:
            # There is one, and it is about packets.
            self.factory.limits.hits["max_packet"] += 1
            self._tellLimit("max_packet", str(error))
            self._judge("malformed")
            self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of the login, if it is this connection's still (H4)."""
        self._isClosing = True
        self._discardInput()
        self._write = _discard
        self._judge("lost")
        self.factory.limits.closed(self)
        self.factory.stalls.stop(self)
        if self._connection is not None:
            self.factory.connections.disconnect(self._connection)
            # The two name each other: what does not go in circles is freed now.
            self._connection = None

    def over(self, limit: str) -> None:
        """
        Close at once.

        @param limit: the config key of the limit that the connection is over (B1, B3, H3).
        """
        self._tellLimit(limit, "closed")
        self._judge("timeout" if limit == _DEADLINE else "limit")
        self._discardInput()
        self.abort()

    def stalled(self) -> None:
        """Close at once: answers that nobody reads, or a close that takes too long (B3)."""
        self.factory.limits.hits[_STALL] += 1
        self.over(_STALL)

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
        if self._meter is not None:
            self._serveMetered(b"")
        self._adjustReading()

    def stopProducing(self) -> None:
        """The connection is lost; L{connectionLost} says so too."""

    def _isWelcome(self) -> bool:
        """Find out who is there, as the proxy has said it, and whether he may be."""
        peer = self.transport.getPeer()
        self.peer = plainHost(peer)
        return self.factory.limits.named(self, peer)

    def _tellLimit(self, limit: str, what: str) -> None:
        self.factory.strangers.info(
            "{peer}: {what} ({which})", event="limit", which=limit, what=what, peer=self.peer
        )

    def _refused(self, refusal: Refused) -> None:
        status = refusal.status.value[:3].decode()
        self._judge(status)
        self.factory.strangers.info(
            "{peer}: handshake refused ({status}): {reason}",
            event="handshake_refusal",
            status=status,
            reason=str(refusal),
            peer=self.peer,
        )
        self.transport.write(self._conversation.refuse(refusal))
        self._close()

    def _judge(self, outcome: str) -> None:
        """Count what has come of the handshake, once."""
        if not self._isJudged:
            self._isJudged = True
            self.factory.handshakes[outcome] += 1

    def _handshakeReceived(self, handshake: Handshake) -> None:
        self._connection = self.factory.connections.connect(handshake, self)
        self.factory.limits.proved(self)
        self._judge("200")
        accepted, behind = self._conversation.accept()
        del self._conversation  # Nothing more is fed: what it holds is memory of every connection.
        self._write = self.factory.attach(self.transport, self)
        # The hot path: from here on a batch is one call away from the transport.
        self.dataReceived = self._serve  # type: ignore[method-assign]  # on purpose, see above
        rate = self.factory.rate
        if rate is not None:
            self.dataReceived = self._serveMetered  # type: ignore[method-assign]  # as above
            self._meter = RequestMeter(rate, self._connection.login, self._turnCame)
            behind = self._meter.take(behind)
        answers = self._connection.receive(behind)
        # In one piece: a transport that takes only a part of the first has no requests begun.
        self._write(accepted + answers)
        if self.factory.connections.isAwaited(self._connection):
            if answers:
                self.factory.connections.answered(self._connection)
            elif not self._isClosing:
                self._tellOfFirst(self._connection)
        self._adjust(self._connection)

    def _tellOfFirst(self, connection: Connection) -> None:
        """Tell when the first answers leave. From the second on, nothing stands in between."""
        write = self._write

        def writeFirst(answers: bytes) -> None:
            self._write = write
            write(answers)
            self.factory.connections.answered(connection)

        self._write = writeFirst

    def _serveMetered(self, data: bytes) -> None:
        """Serve no more than the login's rate allows; the rest waits, and no more is read."""
        if self._meter is None or self._isClosing:
            return  # What is replaced does not touch its login's rate either (H4).
        due = self._meter.take(data)
        if due:
            self._serve(due)
        self._adjustReading()

    def _turnCame(self) -> None:
        if not self._isStalled:  # If it is, that goes on with these as well.
            self._serveMetered(b"")

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
        if self._meter is not None:
            isWaiting = isWaiting or self._meter.isWaiting
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
        if self._meter is not None:
            self._meter.stop()
            self._meter = None


def _discard(data: bytes) -> None:
    pass


class MsgFactory(Factory["MsgProtocol"]):
    """
    Makes the connections of one gate, over any number of ports.

    @param isDirect: answers are sent at once where the transport allows it; see L{writerFor}.
    @param readSet: where plain TCP connections are read; None: by the reactor, as others are.
    @ivar isProxied: a proxy says whose each connection is, with its first bytes.
    @ivar handshakes: how many connections there have been, by what has come of their handshakes:
        the status that they were told, or C{timeout}, C{malformed}, C{lost} or C{limit}.
    @ivar rate: how often a login may ask; None: as often as it likes.
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
        self.isProxied = False
        self.handshakes: Counter[str] = Counter()
        self.strangers = StrangerLog(self.log, clock)
        self.limits: ConnectionLimits[MsgProtocol] = ConnectionLimits(
            clock,
            limits.maxclient,
            limits.handshakeTimeout,
            deadline=_DEADLINE,
            maxStrangers=limits.maxStrangers,
            addresses=AddressLimits(
                clock,
                limits.addressMaxclient,
                limits.addressRate,
                limits.addressBurst,
                limits.addressTable,
            ),
            networks=Networks(limits.unlimited),
            over=MsgProtocol.over,
        )
        self.stalls: Deadlines[MsgProtocol] = Deadlines(
            clock, limits.stallTimeout, MsgProtocol.stalled
        )
        self.rate: RequestRate | None = None
        if limits.requestRate:
            self.rate = RequestRate(
                clock, limits.requestRate, limits.requestBurst, limits.maxPacket
            )
        self._maxPacket = limits.maxPacket

    def at(self, *, isProxied: bool) -> MsgFactory:
        """Make a factory for one listener, which shares all but this with the others."""
        twin = copy(self)
        twin.isProxied = isProxied
        return twin

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
