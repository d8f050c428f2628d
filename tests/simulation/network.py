"""
A network in memory, of which every byte moves when the simulation says so, and not before.

What is simulated is the kernel and what is below it. Above stands Twisted's own code: its
buffers, its flow control, its way of closing, half-closing and aborting a connection.
"""

from __future__ import annotations

import errno
import socket
from typing import Any, Protocol, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.posixbase import _DisconnectSelectableMixin
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer


class Reactor(_DisconnectSelectableMixin, Clock):
    """
    A clock, and who waits to read and to write.

    @ivar readers: the transports that want what arrives.
    @ivar writers: the transports that have something to send.
    """

    def __init__(self) -> None:
        Clock.__init__(self)
        self.readers: dict[object, None] = {}
        self.writers: dict[object, None] = {}

    def addReader(self, transport: object) -> None:
        """See L{IReactorFDSet.addReader}."""
        self.readers[transport] = None

    def removeReader(self, transport: object) -> None:
        """See L{IReactorFDSet.removeReader}."""
        self.readers.pop(transport, None)

    def addWriter(self, transport: object) -> None:
        """See L{IReactorFDSet.addWriter}."""
        self.writers[transport] = None

    def removeWriter(self, transport: object) -> None:
        """See L{IReactorFDSet.removeWriter}."""
        self.writers.pop(transport, None)

    def passTime(self, seconds: float) -> None:
        """Let time pass, so that each timer sees the moment at which it was due."""
        end = self.seconds() + seconds
        while True:
            self._sortCalls()
            if not self.calls or self.calls[0].getTime() > end:
                break
            self.advance(max(0.0, self.calls[0].getTime() - self.seconds()))
        self.rightNow = end


class Pipe:
    """
    One direction of a connection: what was sent and has not been read.

    @ivar capacity: how many bytes it takes.
    @ivar isEnded: the sender has closed; the end comes behind the bytes.
    @ivar isReset: the connection is broken; the reader may learn that before it has the bytes.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.data = b""
        self.isEnded = False
        self.isReset = False


class Socket:
    """
    One end of a connection, with what a kernel does.

    @ivar budget: how many bytes the next C{recv} or C{send} moves at most.
    """

    def __init__(self, incoming: Pipe, outgoing: Pipe) -> None:
        self.incoming = incoming
        self.outgoing = outgoing
        self.budget = 0
        self.isClosed = False
        self._lingers = True

    def fileno(self) -> int:
        """Give a number that stands for an open file."""
        return -1 if self.isClosed else 1

    def setblocking(self, isBlocking: bool) -> None:
        """Nothing blocks here."""

    def setsockopt(self, level: int, option: int, value: object) -> None:
        """Take note of the one option that matters here: a close is to be a reset."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self._lingers = False

    def recv(self, size: int) -> bytes:
        """Read what has arrived."""
        incoming = self.incoming
        if incoming.data:
            size = min(size, self.budget)
            data, incoming.data = incoming.data[:size], incoming.data[size:]
            return data
        if incoming.isReset:
            raise OSError(errno.ECONNRESET, "reset")
        if incoming.isEnded:
            return b""
        raise OSError(errno.EWOULDBLOCK, "nothing there")

    def send(self, data: bytes) -> int:
        """Send as much as there is room for."""
        outgoing = self.outgoing
        if outgoing.isReset or outgoing.isEnded:
            raise OSError(errno.EPIPE, "broken")
        size = min(len(data), self.budget, outgoing.capacity - len(outgoing.data))
        if size <= 0:
            raise OSError(errno.EWOULDBLOCK, "no room")
        outgoing.data += bytes(data[:size])
        return size

    def shutdown(self, how: int) -> None:
        """Close the sending side, or both."""
        self.outgoing.isEnded = True

    def close(self) -> None:
        """Close; what lies unread makes it a reset (RFC 2525, section 2.17)."""
        if not self._lingers or self.incoming.data:
            self.outgoing.isReset = True
        self.isClosed = True
        self.outgoing.isEnded = True
        self.incoming.data = b""
        # Whoever sends to it from now on is told of it.
        self.incoming.isReset = True


class End(Protocol):
    """One end of a link, whatever stands on it."""

    socket: Socket

    def canRead(self) -> bool:
        """Say whether it would look at what arrives."""

    def canWrite(self) -> bool:
        """Say whether it has something to send, or to close."""

    def read(self) -> None:
        """Look at what has arrived, so far as the socket's budget goes."""

    def write(self) -> None:
        """Send, so far as the socket's budget goes."""


class Transport(Connection):
    """
    Twisted's TCP connection on a L{Socket}.

    @ivar pushedBackSince: when it last asked its producer to stop, in seconds.
    @ivar pushBacks: how often it has done so.
    """

    def __init__(self, end: Socket, protocol: IProtocol, reactor: Reactor, peer: str) -> None:
        Connection.__init__(self, cast(Any, end), protocol, cast(Any, reactor))
        self.end = end
        self.pushedBackSince = 0.0
        self.pushBacks = 0
        self._reactor = reactor
        self._peer = peer
        self.connected = 1
        self.startReading()

    def _maybePauseProducer(self) -> None:
        wasPushedBack = self.producerPaused
        Connection._maybePauseProducer(self)
        if self.producerPaused and not wasPushedBack:
            self._pushedBack()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Have a producer: a pull producer is one that has more than the socket takes."""
        Connection.registerProducer(self, producer, streaming)
        if not streaming:
            self._pushedBack()

    def _pushedBack(self) -> None:
        self.pushedBackSince = self._reactor.seconds()
        self.pushBacks += 1

    @property
    def isAborted(self) -> bool:
        """Whether it was told to close at once."""
        return self._aborting

    @property
    def isClosing(self) -> bool:
        """Whether it was told to close, in whichever way."""
        return bool(self._aborting or self.disconnecting or self._writeDisconnecting)

    @property
    def isReading(self) -> bool:
        """Whether it wants what arrives."""
        return self in self._reactor.readers

    @property
    def isPushedBack(self) -> bool:
        """Whether it has asked its producer to stop."""
        return self.producer is not None and (self.producerPaused or not self.streamingProducer)

    def getPeer(self) -> IPv4Address:
        """See L{ITransport.getPeer}."""
        return IPv4Address("TCP", self._peer, 54321)

    def getHost(self) -> IPv4Address:
        """See L{ITransport.getHost}."""
        return IPv4Address("TCP", "198.51.100.1", 8888)


class TwistedEnd:
    """An end with a transport of Twisted's, and what its reactor does for it."""

    def __init__(self, transport: Transport, reactor: Reactor) -> None:
        self.transport = transport
        self.socket = transport.end
        self._reactor = reactor

    def canRead(self) -> bool:
        """See L{End.canRead}."""
        return self.transport in self._reactor.readers

    def canWrite(self) -> bool:
        """See L{End.canWrite}."""
        return self.transport in self._reactor.writers

    def read(self) -> None:
        """See L{End.read}."""
        self._do(self.transport.doRead, isRead=True)

    def write(self) -> None:
        """See L{End.write}."""
        self._do(self.transport.doWrite, isRead=False)

    def _do(self, event: Any, isRead: bool) -> None:
        why = event()
        if why is not None and why != 0:
            self._reactor._disconnectSelectable(self.transport, why, isRead)


class Link:
    """
    One connection.

    @ivar client: the end of who has connected.
    @ivar server: the end of who was connected to; None until it has accepted.
    @ivar isStuck: nothing is read at the client's end, as where nobody reads there; and
    @ivar isHeld: nothing at the server's.
    """

    def __init__(self, number: int, port: Port, capacity: int) -> None:
        self.number = number
        self.port = port
        up, down = Pipe(capacity), Pipe(capacity)
        self.clientSocket = Socket(down, up)
        self.serverSocket = Socket(up, down)
        self.client: End | None = None
        self.server: TwistedEnd | None = None
        self.isStuck = False
        self.isHeld = False

    @property
    def ends(self) -> list[End]:
        """Both ends, so far as they are there."""
        return [end for end in (self.client, self.server) if end is not None]

    @property
    def isOver(self) -> bool:
        """Whether both ends have closed."""
        return self.clientSocket.isClosed and self.serverSocket.isClosed

    def cut(self) -> None:
        """Break it: what is on its way is lost, and both ends find out when they find out."""
        for end in (self.clientSocket, self.serverSocket):
            end.incoming.data = b""
            end.incoming.isEnded = False
            end.incoming.isReset = True


class Port:
    """
    A listening port.

    @ivar factory: what makes the protocols; None once it has closed.
    """

    def __init__(self, name: str, factory: Any) -> None:
        self.name = name
        self.factory: Any | None = factory


@implementer(IStreamClientEndpoint)
class Endpoint:
    """Where Twisted's clients connect to a port."""

    def __init__(self, network: Network, port: Port, owner: str) -> None:
        self._network = network
        self._port = port
        self._owner = owner

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See L{IStreamClientEndpoint.connect}."""
        dial = Dial(self._port, protocolFactory, self._owner)
        dial.done = Deferred(lambda _: self._network.dials.remove(dial))
        self._network.dials.append(dial)
        return dial.done


class Dial:
    """A connection that a client of Twisted's is waiting for."""

    done: Deferred[IProtocol]

    def __init__(self, port: Port, factory: IProtocolFactory, owner: str) -> None:
        self.port = port
        self.factory = factory
        self.owner = owner


class Network:
    """
    All connections there are.

    @param capacity: how many bytes a connection takes in each direction.
    @ivar links: those that are not over.
    @ivar dials: those that clients are waiting for.
    """

    def __init__(self, reactor: Reactor, capacity: int) -> None:
        self.reactor = reactor
        self.capacity = capacity
        self.links: list[Link] = []
        self.dials: list[Dial] = []
        self._count = 0

    def newLink(self, port: Port) -> Link:
        """Make a connection without anyone at its ends."""
        self._count += 1
        link = Link(self._count, port, self.capacity)
        self.links.append(link)
        return link

    def answer(self, dial: Dial) -> Link | None:
        """Have a client's connection succeed; fail where nobody listens."""
        self.dials.remove(dial)
        if dial.port.factory is None:
            dial.done.errback(Failure(ConnectionRefusedError()))
            return None
        link = self.newLink(dial.port)
        protocol = dial.factory.buildProtocol(IPv4Address("TCP", dial.port.name, 1))
        assert protocol is not None
        transport = Transport(link.clientSocket, protocol, self.reactor, dial.port.name)
        link.client = TwistedEnd(transport, self.reactor)
        protocol.makeConnection(transport)
        dial.done.callback(protocol)
        return link

    def refuse(self, dial: Dial) -> None:
        """Have a client's connection fail."""
        self.dials.remove(dial)
        dial.done.errback(Failure(ConnectionRefusedError()))

    def sweep(self) -> None:
        """Forget the connections that are over."""
        self.links = [link for link in self.links if not link.isOver]
