"""
Many clients who log in, over the classic suite: plain sockets, and one epoll set for them all.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterable, Iterator
from os import urandom

from attrs import frozen

from bench.servers import BenchError
from msgserver.errors import MsgServerError
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.login import Admitted, LoginClient, RandomBytes

_PATIENCE = 120.0
"""Seconds that all logins of one call may take together."""

_SIZE = 4096
"""Bytes to read at once: more than a login server ever sends."""


@frozen
class LoginLoad:
    """
    What became of some logins, all of which were admitted.

    @ivar seconds: how long they took together.
    @ivar latencies: of each, in seconds, from its connection on until it was admitted.
    @ivar cpuSeconds: what of the time the clients spent themselves.
    """

    seconds: float
    latencies: list[float]
    cpuSeconds: float
    admitted: dict[bytes, Admitted]


class OneKey(ClassicSuite):
    """
    The classic suite for clients who all have the same private key, as making it takes time.

    The servers do all of their work, and no two secrets are the same, as their keys are not.
    """

    def __init__(self) -> None:
        self._keys = ClassicSuite.makeKeys(self, urandom)

    def makeKeys(self, randomBytes: RandomBytes) -> tuple[bytes, bytes]:
        """Give the keys."""
        return self._keys


class _Client:
    """One client and its connection."""

    __slots__ = ("uid", "begun", "stream", "_conversation")

    def __init__(self, port: int, uid: bytes, suite: ClassicSuite) -> None:
        self.uid = uid
        self._conversation = LoginClient(suite, uid, urandom)
        self.stream = socket.socket()
        self.stream.setblocking(False)
        self.begun = time.perf_counter()
        # The server speaks first, and so being able to read tells that it is connected.
        self.stream.connect_ex(("127.0.0.1", port))

    def goOn(self) -> Admitted | None:
        """Read and answer; give the verdict, once it is there."""
        data = self.stream.recv(_SIZE)
        if not data:
            return self._conversation.feedEnd()
        self._conversation.feed(data)
        admitted = self._conversation.nextEvent()
        answer = self._conversation.dataToSend()
        # Some dozens of bytes, which an empty buffer takes.
        if answer and self.stream.send(answer) != len(answer):
            raise BenchError("a short send")
        return admitted


def logIn(port: int, uids: Iterable[bytes], concurrency: int) -> LoginLoad:
    """
    Log in each uid, with the uid as its token.

    @param port: where the login server listens.
    @param concurrency: how many at once; one is done, and another begins.
    @raise BenchError: one of them was not admitted.
    """
    waiting = iter(uids)
    suite = OneKey()
    latencies: list[float] = []
    admitted: dict[bytes, Admitted] = {}
    clients: dict[int, _Client] = {}
    cpu, begun = time.process_time(), time.perf_counter()
    with select.epoll() as epoll:
        try:
            _begin(epoll, clients, waiting, concurrency, port, suite)
            while clients:
                left = begun + _PATIENCE - time.perf_counter()
                ready = epoll.poll(left) if left > 0 else []
                if not ready:
                    raise BenchError(f"{len(clients)} logins are not done after {_PATIENCE:g} s")
                for descriptor, _ in ready:
                    client = clients[descriptor]
                    verdict = _goOn(client)
                    if verdict is not None:
                        latencies.append(time.perf_counter() - client.begun)
                        admitted[client.uid] = verdict
                        clients.pop(descriptor).stream.close()
                        _begin(epoll, clients, waiting, 1, port, suite)
        finally:
            for client in clients.values():
                client.stream.close()
    seconds = time.perf_counter() - begun
    return LoginLoad(seconds, latencies, time.process_time() - cpu, admitted)


def _begin(
    epoll: select.epoll,
    clients: dict[int, _Client],
    waiting: Iterator[bytes],
    count: int,
    port: int,
    suite: ClassicSuite,
) -> None:
    """Let so many of those who wait begin, if there are as many."""
    for _, uid in zip(range(count), waiting, strict=False):
        client = _Client(port, uid, suite)
        clients[client.stream.fileno()] = client
        epoll.register(client.stream, select.EPOLLIN)


def _goOn(client: _Client) -> Admitted | None:
    try:
        return client.goOn()
    except (MsgServerError, OSError) as error:
        raise BenchError(f"{client.uid!r} could not log in: {error!r}") from error
