"""
A connection of Twisted's in memory, whose kernel does as the test says, and who writes to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.simulation.network import Pipe, Reactor, Socket, Transport, TwistedEnd

PLENTY = 1 << 30
"""Room for everything, in bytes."""


class ScriptedSocket(Socket):
    """
    A socket whose next sends go as the test says.

    @ivar script: how many bytes each takes, or the number of the error that it fails with.
    @ivar sends: how many bytes each was offered.
    """

    def __init__(self, incoming: Pipe, outgoing: Pipe) -> None:
        Socket.__init__(self, incoming, outgoing)
        self.budget = PLENTY
        self.script: list[int | OSError] = []
        self.sends: list[int] = []

    def send(self, data: bytes) -> int:
        """Send as the script says; then, as much as there is room for."""
        self.sends.append(len(data))
        if not self.script:
            return Socket.send(self, data)
        step = self.script.pop(0)
        if isinstance(step, OSError):
            raise step
        if step == 0:
            return 0
        taken: int = Socket.send(self, data[:step])
        return taken


class Line:
    """
    A connection of Twisted's, from its server's side, and all that its kernel knows.

    @ivar down: what has left for the client.
    """

    def __init__(self, protocol: Protocol, reactor: Reactor, room: int = PLENTY) -> None:
        self.up, self.down = Pipe(PLENTY), Pipe(room)
        self.socket = ScriptedSocket(self.up, self.down)
        self.reactor = reactor
        self.transport = Transport(self.socket, protocol, reactor, "192.0.2.1")
        self.end = TwistedEnd(self.transport, reactor)
        protocol.makeConnection(self.transport)

    @property
    def waiting(self) -> int:
        """How many bytes the transport holds back."""
        transport: Any = self.transport
        waiting: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
        return waiting

    def turn(self) -> None:
        """Let the reactor read and write, so far as it wants to."""
        self.reactor.advance(0)
        if self.end.canRead():
            self.end.read()
        if self.end.canWrite():
            self.end.write()

    def taken(self, size: int = PLENTY) -> bytes:
        """Have the client read so many bytes of what has left."""
        data, self.down.data = self.down.data[:size], self.down.data[size:]
        return data

    def drained(self, size: int = PLENTY) -> bytes:
        """Have the client read all there is and will be, so many bytes at a time."""
        data = b""
        while piece := self.taken(size):
            data += piece
            self.turn()
        return data


@implementer(IPushProducer)
class Writer(Protocol):
    """
    Who writes, and what it is told.

    @ivar told: each call that it had, in their order.
    @ivar whenResumed: what it does when it may go on.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.whenResumed: Callable[[], object] = bool

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")
        self.whenResumed()

    def stopProducing(self) -> None:
        self.told.append("stop")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.told.append(f"lost: {type(reason.value).__name__}")
