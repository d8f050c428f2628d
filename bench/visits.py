"""
Many clients who connect to a gate, shake hands, ask what they have prepared, and go.

Plain sockets, one epoll set for them all, everything to be sent made beforehand, and every
answer compared with what it must be.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from attrs import frozen

from bench.controlled import loginOf
from bench.servers import BenchError
from msgserver.errors import GateStatus
from msgserver.wire.framing import SESSION_SIZE, packet
from msgserver.wire.gate import ANSWERED, GateClient, requestPacket, responsePacket

_PATIENCE = 120.0
"""Seconds that all visits of one call may take together."""

_CLOSING = 2.0
"""Seconds in which a connection must be closed that was replaced."""

_SIZE = 256 * 1024
"""Bytes to read at once."""

_SOURCES = 100
"""
From how many addresses clients connect, in turn. Of one, the ports run out: each of those that
were closed lately is kept from use for a minute.
"""

_BIND_ADDRESS_NO_PORT = 24
"""Linux's IP_BIND_ADDRESS_NO_PORT: the port is chosen as late as for clients that do not bind."""

OK = packet(GateStatus.OK.value)
"""What a gate says to a handshake that it accepts."""


@frozen
class Visit:
    """
    One connection of a login.

    @ivar login: the number of the login: see L{loginOf}.
    @ivar sent: the handshake, and what is asked behind it.
    @ivar expected: what the gate must answer, all of it.
    """

    login: int
    sent: bytes
    expected: bytes = OK


@frozen
class VisitLoad:
    """
    What became of some visits, all of which got the right answers.

    @ivar seconds: how long they took together.
    @ivar latencies: of each, in seconds, from its connection on until it had all answers.
    @ivar cpuSeconds: what of the time the clients spent themselves.
    """

    seconds: float
    latencies: list[float]
    cpuSeconds: float


def helloOf(login: int, index: int) -> bytes:
    """Make a handshake of a login."""
    return GateClient(*loginOf(login), index).hello


def contentOf(session: bytes, size: int) -> bytes:
    """Make a request's content, another for each session."""
    return (session * (size // len(session) + 1))[:size]


def visitOf(login: int, index: int, sessions: Iterable[int], size: int) -> Visit:
    """
    Prepare a visit that asks for echoes.

    @param sessions: of the requests, as numbers.
    @param size: of their contents, in bytes.
    """
    sent, expected = [helloOf(login, index)], [OK]
    for number in sessions:
        session = number.to_bytes(SESSION_SIZE, "big")
        content = contentOf(session, size)
        sent.append(requestPacket(session, content))
        expected.append(responsePacket(session, ANSWERED, content))
    return Visit(login, b"".join(sent), b"".join(expected))


class _Visitor:
    __slots__ = ("visit", "begun", "ended", "stream", "_isConnected", "_got", "_size")

    def __init__(self, port: int, visit: Visit, number: int) -> None:
        self.visit = visit
        self.ended = 0.0
        self._isConnected = False
        self._got: list[bytes] = []
        self._size = 0
        self.stream = socket.socket()
        self.stream.setblocking(False)
        self.stream.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        self.stream.bind((f"127.0.1.{1 + number % _SOURCES}", 0))
        self.begun = time.perf_counter()
        self.stream.connect_ex(("127.0.0.1", port))

    def goOn(self, epoll: select.epoll) -> bool:
        """Send or read; say whether everything is there that is expected."""
        if not self._isConnected:
            if (failure := self.stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) != 0:
                raise OSError(failure, "cannot connect")
            self._isConnected = True
            if self.stream.send(self.visit.sent) != len(self.visit.sent):
                raise BenchError("a short send: too much for one visit")
            epoll.modify(self.stream, select.EPOLLIN)
            return False
        data = self.stream.recv(_SIZE)
        self._got.append(data)
        self._size += len(data)
        if data and self._size < len(self.visit.expected):
            return False
        self.ended = time.perf_counter()
        if (got := b"".join(self._got)) != self.visit.expected:
            raise BenchError(f"login {self.visit.login} was answered {got[:80]!r}")
        return True


class Visits:
    """
    Connections to a gate, those that stay open included.

    @param port: where the gate listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: deque[socket.socket] = deque()
        self._count = 0

    def make(self, visits: Iterable[Visit], concurrency: int, staying: int = 0) -> VisitLoad:
        """
        Make visits; one has its answers, and another begins.

        @param concurrency: how many at once. There must be more logins in turn than that.
        @param staying: how many connections stay open, the latest; the gate must have closed
            those before them, as they have been replaced (H4). 0: none does, each is closed
            when it has its answers.
        @raise BenchError: one was not answered as it must be.
        """
        waiting = iter(visits)
        latencies: list[float] = []
        visitors: dict[int, _Visitor] = {}
        cpu, begun = time.process_time(), time.perf_counter()
        with select.epoll() as epoll:
            try:
                self._begin(epoll, visitors, waiting, concurrency)
                while visitors:
                    left = begun + _PATIENCE - time.perf_counter()
                    ready = epoll.poll(left) if left > 0 else []
                    if not ready:
                        raise BenchError(f"{len(visitors)} visits not done after {_PATIENCE:g} s")
                    for descriptor, _ in ready:
                        if self._goOn(epoll, visitors[descriptor]):
                            visitor = visitors.pop(descriptor)
                            latencies.append(visitor.ended - visitor.begun)
                            self._leave(epoll, visitor.stream, staying)
                            self._begin(epoll, visitors, waiting, 1)
            finally:
                for visitor in visitors.values():
                    visitor.stream.close()
        seconds = time.perf_counter() - begun
        return VisitLoad(seconds, latencies, time.process_time() - cpu)

    @property
    def streams(self) -> list[socket.socket]:
        """Those that stay open, in the order in which they had their answers. They block."""
        for stream in self._open:
            stream.setblocking(True)
        return list(self._open)

    def close(self) -> None:
        """Close those that stay open."""
        while self._open:
            self._open.popleft().close()

    def _begin(
        self,
        epoll: select.epoll,
        visitors: dict[int, _Visitor],
        waiting: Iterator[Visit],
        count: int,
    ) -> None:
        for visit in islice(waiting, count):
            self._count += 1
            try:
                visitor = _Visitor(self._port, visit, self._count)
            except OSError as error:
                raise BenchError(f"no socket for login {visit.login}: {error}") from error
            visitors[visitor.stream.fileno()] = visitor
            epoll.register(visitor.stream, select.EPOLLOUT)

    def _goOn(self, epoll: select.epoll, visitor: _Visitor) -> bool:
        try:
            return visitor.goOn(epoll)
        except OSError as error:
            raise BenchError(f"login {visitor.visit.login} could not connect: {error}") from error

    def _leave(self, epoll: select.epoll, stream: socket.socket, staying: int) -> None:
        if not staying:
            stream.close()
            return
        epoll.unregister(stream)
        self._open.append(stream)
        if len(self._open) > staying:
            checkClosed(self._open.popleft())


def checkClosed(stream: socket.socket) -> None:
    """
    Close a connection that the other end is closing.

    @raise BenchError: it has not closed it, after some time.
    """
    with stream:
        stream.settimeout(_CLOSING)
        try:
            data = stream.recv(1)
        except ConnectionResetError:
            return
        except TimeoutError:
            raise BenchError("a connection that was replaced is still open") from None
        if data:
            raise BenchError("a connection that was replaced was sent something")
