"""
A gate that the benchmarks tell what to do: to admit logins, to collect garbage, to count.

What tells it is a client like any other, with a login of its own: the orders are requests.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen

from bench.echoes import BACKLOG
from bench.handlers import SERVER
from bench.servers import BenchError, Program, Server
from msgserver import MsgHandler, User
from msgserver.interfaces import IMsgGate
from msgserver.msgprotocol import GateLimits
from msgserver.wire.framing import PacketReader
from msgserver.wire.gate import Connected, GateClient, Response, requestPacket

_CONFIG = """
[gate]
servername = "{server}"
listen = ["tcp:0:interface=127.0.0.1:backlog={backlog}"]
handler = "bench.controlled:Controlled"
maxclient = {maxclient}
"""

ORDER = b"order "
"""What orders begin with."""

_CONTROLLER = 0
"""The login that gives the orders."""

_PATIENCE = 60.0
"""Seconds that an order may take."""


def loginOf(number: int) -> tuple[User, bytes]:
    """
    Give a login, always the same of a number: who it is, and the secret (of the classic suite).

    Its names are as long as others are: 8 bytes of uid, 16 of subid.
    """
    return User(b"%08d" % number, b"%016d" % number, SERVER), b"%08d" % number


class Controlled(MsgHandler):
    """
    Does as it is told. A request that is no order, as they begin with L{ORDER}, is its own answer.

    - C{admit FIRST COUNT}: admit the logins of these numbers
    - C{collect}: collect garbage
    - C{give SIZE}: an answer of so many bytes
    - C{count}: tell how many requests there were, no others of these orders but C{give} counted,
      and how many logins have a connection
    """

    _requests = 0

    def gateOpened(self, gate: IMsgGate) -> None:
        """See L{IMsgHandler.gateOpened}."""
        super().gateOpened(gate)
        gate.login(*loginOf(_CONTROLLER))

    def requestReceived(self, user: User, content: bytes) -> bytes:
        """See L{IMsgHandler.requestReceived}."""
        if not content.startswith(ORDER):
            self._requests += 1
            return content
        order, *numbers = content.removeprefix(ORDER).split(b" ")
        if order == b"admit":
            first, count = map(int, numbers)
            for number in range(first, first + count):
                self.gate.login(*loginOf(number))
            return b""
        if order == b"collect":
            gc.collect()
            return b""
        if order == b"give":
            self._requests += 1
            return bytes(int(numbers[0]))
        connected = sum(self.gate.ip(each) is not None for each in self.gate.online())
        return b"%d %d" % (self._requests, connected)


@frozen
class Look:
    """
    What is in a gate.

    @ivar requests: how many requests there were so far, orders not counted.
    @ivar connected: how many logins have a connection.
    """

    requests: int
    connected: int


class ControlledGate:
    """
    A gate that does as it is told, from the side of who tells it.

    @ivar port: where it listens, on 127.0.0.1.
    """

    def __init__(self, program: Program, port: int) -> None:
        self.port = port
        self._program = program
        self._packets = PacketReader()
        self._orders = 0
        user, secret = loginOf(_CONTROLLER)
        self._client = GateClient(user, secret, index=1)
        self._stream = socket.create_connection(("127.0.0.1", port), _PATIENCE)
        self._stream.sendall(self._client.hello)
        if not isinstance(self._next(), Connected):
            raise BenchError("the gate does not take orders")

    @property
    def cpuSeconds(self) -> float:
        """The CPU time that it has taken so far."""
        return self._program.cpuSeconds

    def admit(self, first: int, count: int) -> None:
        """Have it admit the logins of these numbers."""
        self._order(b"admit %d %d" % (first, count))

    def look(self) -> Look:
        """Tell what there is in it at this moment."""
        requests, connected = map(int, self._order(b"count").split())
        # This one's own is not counted.
        return Look(requests, connected - 1)

    def memory(self) -> int:
        """
        Tell the memory that is its own, after collecting garbage: see L{Program.ownBytes}.
        """
        self._order(b"collect")
        return self._program.ownBytes

    def check(self) -> None:
        """See to it that nothing has failed in it."""
        self._program.check()

    def close(self) -> None:
        """Give no further orders."""
        self._stream.close()

    def _order(self, order: bytes) -> bytes:
        self._orders += 1
        session = self._orders.to_bytes(4, "big")
        try:
            self._stream.sendall(requestPacket(session, ORDER + order))
            response = self._next()
        except OSError as error:
            self._program.check()
            raise BenchError(f"the gate does not {order.decode()}: {error}") from error
        if not isinstance(response, Response) or response.session != session:
            raise BenchError(f"no answer to {order!r}, but {response!r}")
        if not response.isAnswer:
            raise BenchError(f"the gate failed to {order!r}")
        return response.content

    def _next(self) -> Connected | Response:
        while (event := self._client.nextEvent()) is None:
            data = self._stream.recv(4096)
            if not data:
                raise BenchError("the gate has closed the connection of who orders it")
            self._client.feed(data)
        return event


@contextmanager
def controlledGate(connections: int, core: int | None = None) -> Iterator[ControlledGate]:
    """
    Run a gate that does as it is told, all defaults but how many connections it takes.

    @param connections: how many there will be at once, at most. Those that are closed, and of
        which the gate has not heard yet, are not counted: where there are few, the default is
        enough for them.
    @param core: the one that it may run on; None: any.
    """
    with TemporaryDirectory() as folder:
        maxclient = max(connections + 1, GateLimits().maxclient)
        config = _CONFIG.format(server=SERVER.decode(), backlog=BACKLOG, maxclient=maxclient)
        server = Server("gate", Path(folder), config, core=core)
        try:
            gate = ControlledGate(server, server.portOf("gate"))
            try:
                yield gate
            finally:
                gate.close()
        finally:
            server.stop()
