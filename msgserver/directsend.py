"""
How answers get to the kernel: at once, where the transport lets us.

C{transport.write} only queues. What is queued leaves in another turn of the reactor, behind two
calls of C{epoll_ctl}, which costs more than everything else that a small request does. A socket
that has room takes the bytes at once instead, and only what it has no room for is queued.

That may be done where nothing stands between the transport and its socket: with a plain TCP
connection of Twisted's. What TLS, a PROXY header, a UNIX socket or a test put in between is
written to as ever, and so are other transports, of whichever reactor.

The two differ in when a peer counts as one that does not read (B3): here it is when the kernel
takes no more, which may be some megabytes; there it is when the transport holds back 64 KiB
besides. And a client that closes its own side behind its requests gets what is answered at once
here; there the reactor sees the end first, and all is kept for when the client is back (S8).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

from twisted.internet.interfaces import IPullProducer, IPushProducer, IUNIXTransport
from twisted.internet.tcp import Connection
from zope.interface import implementer

Write = Callable[[bytes], object]


def isPlainTCP(transport: object) -> TypeGuard[Connection]:
    """Say whether what a transport writes and reads is what its socket does, and nothing else."""
    # What wraps a connection is no Connection itself; UNIX connections are, and say what else.
    isConnection = isinstance(transport, Connection) and not transport.TLS
    return isConnection and not IUNIXTransport.providedBy(transport)


def writerFor(transport: Any, producer: IPushProducer, *, isDirect: bool = True) -> Write:
    """
    Give the one way in which a connection's bytes are to leave from now on.

    @param transport: nothing that was written to it may be waiting.
    @param producer: who writes. It is asked to pause where the peer does not read, and may go
        on, at the latest, when everything written has left.
    @param isDirect: send at once where that can be done.
    """
    if isDirect and isPlainTCP(transport):
        return DirectSend(transport, producer).write
    transport.registerProducer(producer, True)
    write: Write = transport.write
    return write


@implementer(IPullProducer)
class DirectSend:
    """
    Sends through a connection's socket while its transport holds nothing back.

    It is the transport's pull producer for as long as it does: so it learns of the moment when
    everything has left.
    """

    __slots__ = ("_isHeldBack", "_producer", "_send", "_transport")

    def __init__(self, transport: Connection, producer: IPushProducer) -> None:
        self._transport: Any = transport
        self._producer = producer
        self._send = transport.getHandle().send
        self._isHeldBack = False

    def write(self, data: bytes) -> None:
        """Send; what there is no room for waits in the transport."""
        if self._isHeldBack:
            self._transport.write(data)
            return
        try:
            sent = self._send(data)
        except OSError:
            # No room; or the connection is broken, which the transport will find for itself.
            sent = 0
        if sent < len(data):
            self._holdBack(data[sent:])

    def _holdBack(self, rest: bytes) -> None:
        self._transport.write(rest)
        self._transport.registerProducer(self, False)
        # Not before: to register is to be asked once, whatever waits.
        self._isHeldBack = True
        self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        """Send directly again: everything has left."""
        if self._isHeldBack:
            self._isHeldBack = False
            self._transport.unregisterProducer()
            self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is lost, which its protocol learns by itself."""
