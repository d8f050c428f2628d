"""
Reads of many connections in one turn of the reactor, by an epoll set of our own.

For each connection that has something to read, the reactor prepares a log context, looks at the
flags of the event, and keeps books; that is a third of what a small request costs. Here the
reactor sees one descriptor, the set, and whenever that is readable, the connections that are
readable are read, one after the other, and nothing else.

It takes the place of the reactor for the connections in it, which say to it what they say to a
reactor: read, do not read. What is not a plain read (an end, an error, an exception) is left to
the reactor itself: the connection goes back there. So closing, half-closing and aborting are as
they are anywhere in Twisted.

Linux only, and for plain TCP connections only; others stay with the reactor.
"""

from __future__ import annotations

import select
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_MOST = 512
"""
Connections served in one turn, at most. Those that were not come first in the next, since the
kernel's list goes round; and timers and everything else come in between.
"""


def hasReadSets(reactor: object) -> bool:
    """Say whether there can be a L{ReadSet} with this reactor, on this system."""
    return hasattr(select, "epoll") and IReactorFDSet.providedBy(reactor)


@implementer(IReadDescriptor)
class ReadSet:
    """
    An epoll set, one descriptor to the reactor, and a reactor to its connections.

    @param reactor: the real one; see L{hasReadSets}.
    """

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        # All else that a connection wants of its reactor is the real one's affair.
        self.addWriter = reactor.addWriter
        self.removeWriter = reactor.removeWriter
        self.callLater = reactor.callLater

    def __len__(self) -> int:
        return len(self._connections)

    def adopt(self, connection: Connection) -> None:
        """Have a connection that is being read be read here from now on."""
        self._move(connection, self)

    # What the connections want of their reactor

    def addReader(self, connection: Connection) -> None:
        """See L{IReactorFDSet.addReader}."""
        descriptor = connection.fileno()
        if descriptor in self._connections:
            return
        if not self._connections:
            self._reactor.addReader(self)
        self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLRDHUP)
        self._connections[descriptor] = connection

    def removeReader(self, connection: Connection) -> None:
        """See L{IReactorFDSet.removeReader}."""
        descriptor = connection.fileno()
        if self._connections.get(descriptor) is not connection:
            return
        del self._connections[descriptor]
        self._epoll.unregister(descriptor)
        if not self._connections:
            self._reactor.removeReader(self)

    # What the reactor wants of its descriptors

    def fileno(self) -> int:
        """See C{IFileDescriptor.fileno}."""
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """See C{ILoggingContext.logPrefix}."""
        return "ReadSet"

    def doRead(self) -> None:
        """Read what there is, of each connection once, and have it served."""
        connections = self._connections
        for descriptor, event in self._epoll.poll(0, _MOST):
            connection = connections.get(descriptor)
            if connection is None:
                continue  # One that came before it in this turn has had it closed.
            try:
                data = b""
                if event == select.EPOLLIN:
                    try:
                        data = connection.socket.recv(connection.bufferSize)
                    except OSError:
                        pass  # The reactor will see for itself.
                if data:
                    connection.protocol.dataReceived(data)
                else:
                    self._handBack(connection)
            except BaseException:
                # As the reactor does.
                failure = Failure()
                self.log.failure("a connection failed", failure)
                self._lose(connection, failure)

    def connectionLost(self, reason: Failure) -> None:
        """See C{IFileDescriptor.connectionLost}: the reactor has ended, and all of it with it."""
        for connection in list(self._connections.values()):
            self._lose(connection, reason)

    def _lose(self, connection: Connection, reason: Failure) -> None:
        try:
            connection.connectionLost(reason)
        except BaseException:
            # As the reactor does, so that the others go on.
            self.log.failure("a connection failed at its end")

    def _handBack(self, connection: Connection) -> None:
        self._move(connection, self._reactor)

    def _move(self, connection: Connection, reactor: Any) -> None:
        connection.stopReading()
        connection.reactor = reactor
        connection.startReading()
