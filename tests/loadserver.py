"""
A server that answers the load of the benchmarks, well or badly.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from itertools import count
from threading import Thread
from typing import BinaryIO, Self

PATIENCE = 30.0
"""Seconds until something that should have happened long ago is given up."""

Answer = Callable[[int, int, bytes, bytes], bytes | None]
"""
What a server sends for a request, of which it is told the connection's number, how many there
were before on it, its content and its session; L{None}: it closes the connection.
"""


def packet(*parts: bytes) -> bytes:
    """Write a packet."""
    body = b"".join(parts)
    return len(body).to_bytes(2, "big") + body


def echo(connection: int, number: int, content: bytes, session: bytes) -> bytes:
    """Answer as an echo does."""
    return packet(content, session)


def serve(connection: int, number: int, content: bytes, session: bytes) -> bytes:
    """Answer as a gate does."""
    return packet(content, b"\x01", session)


class Server:
    """
    A server, threads of this process; a context manager.

    @param verdict: what a handshake is answered; L{None}: there are none.
    @param buffer: bytes that the system takes in for it; L{None}: as many as usual.
    @ivar contents: of all requests, in the order of their arrival.
    """

    def __init__(
        self, answer: Answer, verdict: bytes | None = None, buffer: int | None = None
    ) -> None:
        self.contents: list[bytes] = []
        self._answer = answer
        self._verdict = verdict
        self._listener = socket.socket()
        if buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._threads = [Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # This wakes up who waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a connection is still open"
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            for number in count():
                stream, _ = self._listener.accept()
                thread = Thread(target=self._serve, args=[number, stream], daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: int, stream: socket.socket) -> None:
        with contextlib.suppress(OSError), stream, stream.makefile("rb") as file:
            if self._verdict is not None:
                self._read(file)
                stream.sendall(packet(self._verdict))
            for number in count():
                body = self._read(file)
                if body is None:
                    return
                self.contents.append(body[:-4])
                answer = self._answer(connection, number, body[:-4], body[-4:])
                if answer is None:
                    return
                stream.sendall(answer)

    def _read(self, file: BinaryIO) -> bytes | None:
        length = file.read(2)
        return file.read(int.from_bytes(length, "big")) if length else None


class Reversing:
    """Answers requests by fours, the last one first."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[bytes]] = {}

    def __call__(self, connection: int, number: int, content: bytes, session: bytes) -> bytes:
        """Answer, or put it off."""
        # The first one is there to see whether it is served at all.
        if number == 0:
            return serve(connection, number, content, session)
        waiting = self._waiting.setdefault(connection, [])
        waiting.insert(0, serve(connection, number, content, session))
        if len(waiting) < 4:
            return b""
        answers = b"".join(waiting)
        waiting.clear()
        return answers


class Laggard:
    """Answers the fourth request on a connection after the hundredth."""

    def __init__(self) -> None:
        self._late = b""

    def __call__(self, connection: int, number: int, content: bytes, session: bytes) -> bytes:
        """Answer, or put it off."""
        response = serve(connection, number, content, session)
        if number == 3:
            self._late = response
            return b""
        return response + self._late if number == 99 else response
