"""
Real reactors that a test drives turn by turn, and connections of theirs on real sockets.

None of them is installed, and none of them runs. What is written to a socket of this machine is
there to be read in the next turn, so that nothing has to sleep.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Server
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from msgserver.readset import ReadSet

KINDS = {
    "asyncio": "asyncioreactor.AsyncioSelectorReactor",
    "epoll": "epollreactor.EPollReactor",
    "poll": "pollreactor.PollReactor",
    "select": "selectreactor.SelectReactor",
}
"""The reactors that a system may have, by the names that twistd has for them."""

PATIENCE = 20.0
"""Seconds until a test gives up on something that should have happened long ago."""

BUFFER = 65536
"""Bytes that a connection is read at once, at most."""

HAS_EPOLL = hasattr(select, "epoll")
"""Whether this system is Linux, in so far as that matters here."""


def makeReactor(kind: str) -> Any:
    """Make a reactor of one of the L{KINDS}."""
    module, name = KINDS[kind].split(".")
    made = getattr(import_module(f"twisted.internet.{module}"), name)
    return made(asyncio.new_event_loop()) if kind == "asyncio" else made()


class Recorder(Protocol):
    """
    Writes down what it hears.

    @ivar pieces: what arrived, piece by piece.
    @ivar reasons: why its connection was lost, each time that it was.
    @ivar reaction: what it does with each piece, besides.
    """

    transport: Any

    def __init__(self, reaction: Callable[[bytes], object] = bytes) -> None:
        self.pieces: list[bytes] = []
        self.reasons: list[type[BaseException] | None] = []
        self.reaction = reaction

    @property
    def heard(self) -> bytes:
        """Everything that arrived."""
        return b"".join(self.pieces)

    def dataReceived(self, data: bytes) -> None:
        """Write it down, and react."""
        self.pieces.append(data)
        self.reaction(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Write down why."""
        self.reasons.append(reason.type)


class ReactorCase(SynchronousTestCase):
    """Tests that need a reactor; C{kind} is its name among L{KINDS}."""

    kind = "epoll"

    def setUp(self) -> None:
        if not HAS_EPOLL:
            self.skipTest("there is no epoll on this system")
        self._ends: list[socket.socket] = []
        # Cleanups run backwards: the reactor ends while its sockets are open.
        self.addCleanup(self._closeEnds)
        self.reactor = self.makeReactor(self.kind)

    def makeReactor(self, kind: str) -> Any:
        """Make a reactor that is ended with the test."""
        reactor = makeReactor(kind)

        def end() -> None:
            reactor.disconnectAll()
            for waker in list(reactor._internalReaders):
                reactor.removeReader(waker)
                waker.connectionLost(None)
            if kind == "asyncio":
                reactor._asyncioEventloop.close()

        self.addCleanup(end)
        return reactor

    def turn(self) -> None:
        """Have one turn: what is due, then what is readable and writable at this moment."""
        self.reactor.iterate(0)

    def until(self, happened: Callable[[], object], what: str) -> None:
        """Have as many turns as it takes."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            if time.monotonic() > deadline:
                self.fail(f"never: {what}")
            self.reactor.iterate(0.05)

    def serve(
        self,
        protocol: Protocol,
        end: socket.socket,
        transport: Any = Server,
        peer: object = ("192.0.2.1", 54321),
    ) -> Any:
        """Connect a protocol, as a port does with what its factory has built."""
        connection = transport(end, protocol, peer, None, 1, self.reactor)
        protocol.makeConnection(connection)
        return connection

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Make a connection within this process: both of its ends, which do not block."""
        return self._keep(*socket.socketpair())

    def tcpPair(self) -> tuple[socket.socket, socket.socket]:
        """Make one that is TCP."""
        with socket.create_server(("127.0.0.1", 0)) as port:
            client = socket.create_connection(port.getsockname(), PATIENCE)
            server, _ = port.accept()
        return self._keep(server, client)

    def renumbered(self, end: socket.socket, number: int) -> socket.socket:
        """Have a socket have a number that is free, as happens when one was closed before."""
        if end.fileno() == number:
            return end
        os.dup2(end.fileno(), number)
        end.close()
        renumbered, _ = self._keep(socket.socket(fileno=number), end)
        return renumbered

    def _closeEnds(self) -> None:
        for end in self._ends:
            end.close()

    def _keep(self, *ends: socket.socket) -> tuple[socket.socket, socket.socket]:
        for end in ends:
            if end.fileno() != -1:
                end.setblocking(False)
        self._ends += ends
        return ends[0], ends[1]


class ReadSetCase(ReactorCase):
    """Tests that need a set, and connections in it."""

    def setUp(self) -> None:
        ReactorCase.setUp(self)
        self.set = ReadSet(self.reactor)

    def adopt(
        self,
        protocol: Recorder | None = None,
        ends: tuple[socket.socket, socket.socket] | None = None,
    ) -> tuple[Recorder, socket.socket]:
        """Make a connection in the set: give its protocol, and the client's end."""
        server, client = ends or self.pair()
        protocol = protocol or Recorder()
        self.set.adopt(self.serve(protocol, server))
        return protocol, client

    def isIn(self, protocol: Recorder) -> bool:
        """Say whether a connection is read by the set, and by nobody else."""
        transport = protocol.transport
        isHere = transport in self.set._connections.values()
        self.assertFalse(isHere and transport in self.reactor.getReaders())
        return isHere


def reset(end: socket.socket) -> None:
    """Close one end of a TCP connection so that the other is told of a reset."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def readNow(end: socket.socket) -> bytes:
    """
    Read everything that is there at this moment; nothing where there is none.

    @raise ConnectionError: the connection is reset.
    """
    data = b""
    try:
        while piece := end.recv(65536):
            data += piece
    except BlockingIOError:
        pass
    return data


def hasEnded(end: socket.socket) -> bool:
    """Say whether the other end has closed, and all of its bytes are read."""
    try:
        return end.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
