"""
A connection of the Python generator, and its requests, which were written beforehand.

There are only so many of these: after as many requests, a session and its content come again.
"""

from __future__ import annotations

import random
import select
import socket
import time
from typing import Protocol

from bench.histogram import Histogram

PATIENCE = 10.0
"""Seconds for which nothing may be answered until that is given up."""

READ_SIZE = 256 * 1024
"""Bytes that are read at once."""

LENGTH_SIZE, SESSION_SIZE, FLAG_SIZE = 2, 4, 1
"""Of a packet's length field, a session and a flag, in bytes."""

CONTENTS = 1 << 16
"""Contents are parts of as many random bytes, each of which some content begins with."""

SESSION_BITS = 16
"""The lower bits of a session are a connection's counter, the upper ones its number."""

LEAST_WRITTEN = 16
"""How many requests of a connection are written beforehand, at least; a power of two."""


# One for all, as making room for so much anew costs more than what is done with it.
_buffer = bytearray(READ_SIZE)
_view = memoryview(_buffer)


class LoadError(Exception):
    """Something was not answered, or not as it must be."""


class Writer:
    """
    Writes requests, and the responses that they must have.

    @param size: of a content, in bytes.
    @param isGate: whether a response has a flag.
    """

    def __init__(self, size: int, isGate: bool) -> None:
        self._size = size
        self._isGate = isGate
        self._contents = random.Random(0).randbytes(CONTENTS + size)
        self.requestSize = LENGTH_SIZE + size + SESSION_SIZE
        self.responseSize = self.requestSize + FLAG_SIZE * isGate

    def write(self, sessions: range) -> tuple[bytes, bytes]:
        """Write what is sent and what must come back, for all of these sessions, in order."""
        requests = b"".join(self._packets(sessions, b""))
        if not self._isGate:
            return requests, requests
        return requests, b"".join(self._packets(sessions, b"\x01"))

    def _packets(self, sessions: range, flag: bytes) -> list[bytes]:
        length = (self._size + len(flag) + SESSION_SIZE).to_bytes(LENGTH_SIZE, "big")
        packets = []
        for session in sessions:
            at = session * 0x85EBCA6B >> 16 & CONTENTS - 1
            content = self._contents[at : at + self._size]
            packets.append(length + content + flag + session.to_bytes(SESSION_SIZE, "big"))
        return packets


class Owner(Protocol):
    """
    What connections have in common.

    @ivar depth: how many requests each has outstanding in a closed loop.
    @ivar outstanding: requests, on all connections.
    @ivar greeting: connections whose handshake is not answered yet.
    """

    port: int
    depth: int
    writer: Writer
    epoll: select.epoll
    latencies: Histogram
    outstanding: int
    greeting: int

    def answered(self, count: int, now: float) -> bool:
        """Note answers, and say whether they make room for as many more requests."""


class Connection:
    """
    A connection, and its requests.

    Of each session of its own that there is, C{starts} says when its request was sent, as of
    C{time.perf_counter}; 0: there is none outstanding.

    @param hello: what is sent first, and answered C{200 OK}; L{None}: no handshake.
    """

    __slots__ = (
        "stream",
        "number",
        "isGreeting",
        "outstanding",
        "_owner",
        "_requests",
        "_responses",
        "_starts",
        "_next",
        "_due",
        "_rest",
        "_held",
    )

    def __init__(self, owner: Owner, number: int, hello: bytes | None) -> None:
        self._owner = owner
        self.number = number
        self.outstanding = 0
        self.isGreeting = hello is not None
        self._starts: list[float] = []
        self._next = self._due = 0
        self._rest = self._held = b""
        wanted = 1 << (4 * owner.depth - 1).bit_length()
        self._widen(min(max(wanted, LEAST_WRITTEN), 1 << SESSION_BITS))
        try:
            self.stream = socket.create_connection(("127.0.0.1", owner.port), PATIENCE)
        except OSError as error:
            raise self._error(error.strerror or str(error)) from None
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream.setblocking(False)
        owner.epoll.register(self.stream, select.EPOLLIN)
        if hello is not None:
            self._push(hello)

    def ask(self, count: int, start: float) -> None:
        """Send so many requests; their latency counts from the start that is given."""
        self.outstanding += count
        self._owner.outstanding += count
        size = self._owner.writer.requestSize
        while count:
            first = self._next
            last = min(first + count, len(self._starts))
            if any(self._starts[first:last]):
                self._widen(2 * len(self._starts))
                continue
            self._starts[first:last] = [start] * (last - first)
            self._next = last % len(self._starts)
            self._push(self._requests[first * size : last * size])
            count -= last - first

    def readOnce(self) -> None:
        """Read once, and answer all that was answered by as many new requests in one go."""
        try:
            size = self.stream.recv_into(_buffer)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._lost(error.strerror) from None
        if not size:
            raise self._lost("closed by the server")
        now = time.perf_counter()
        data = self._rest + _view[:size]
        if self.isGreeting:
            data = self._takeVerdict(data)
        count = 0 if self.isGreeting else self._takeResponses(data, now)
        self._rest = data[count * self._owner.writer.responseSize :]
        self.outstanding -= count
        if self._owner.answered(count, now):
            self.ask(count, now)

    def pushHeld(self) -> None:
        """Send more of what the socket did not take before."""
        held, self._held = self._held, b""
        self._owner.epoll.modify(self.stream, select.EPOLLIN)
        self._push(held)

    def _push(self, data: bytes) -> None:
        if not self._held:
            try:
                data = data[self.stream.send(data) :]
            except BlockingIOError:
                pass
            except OSError as error:
                raise self._lost(error.strerror) from None
            if not data:
                return
            self._owner.epoll.modify(self.stream, select.EPOLLIN | select.EPOLLOUT)
        self._held += data

    def _widen(self, count: int) -> None:
        """Make there be so many sessions; the new ones come next, as the others are in use."""
        if count > 1 << SESSION_BITS:
            raise self._error("more requests than can be kept account of")
        first = self.number << SESSION_BITS
        writer = self._owner.writer
        self._requests, self._responses = writer.write(range(first, first + count))
        self._next = len(self._starts)
        self._starts += [0.0] * (count - len(self._starts))

    def _takeVerdict(self, data: bytes) -> bytes:
        length = LENGTH_SIZE + int.from_bytes(data[:LENGTH_SIZE], "big")
        if len(data) < max(length, LENGTH_SIZE + 1):
            return data
        verdict = data[LENGTH_SIZE:length]
        if verdict != b"200 OK":
            text = verdict[:100].decode("ascii", "replace")
            raise self._error(f"its handshake was answered '{text}'")
        self.isGreeting = False
        self._owner.greeting -= 1
        return data[length:]

    def _takeResponses(self, data: bytes, now: float) -> int:
        """Verify all whole responses, and give their number."""
        size = self._owner.writer.responseSize
        taken = 0
        # As long as they are in the order of the requests, they are one comparison, or two
        # where the sessions begin anew in between.
        while count := min(len(data) // size - taken, len(self._starts) - self._due):
            first, last = self._due, self._due + count
            starts = self._starts[first:last]
            due = self._responses[first * size : last * size]
            if not all(starts) or not data.startswith(due, taken * size):
                break
            self._starts[first:last] = [0.0] * count
            self._due = last % len(self._starts)
            self._count(starts, now)
            taken += count
        return taken + self._takeEach(data[taken * size :], now)

    def _count(self, starts: list[float], now: float) -> None:
        add = self._owner.latencies.add
        if starts[0] == starts[-1]:
            add(max(now - starts[0], 0.0), len(starts))
        else:
            for start in starts:
                add(max(now - start, 0.0))

    def _takeEach(self, data: bytes, now: float) -> int:
        size = self._owner.writer.responseSize
        count = 0
        for at in range(0, len(data) - LENGTH_SIZE + 1, size):
            length = LENGTH_SIZE + int.from_bytes(data[at : at + LENGTH_SIZE], "big")
            if length != size:
                told, due = length - LENGTH_SIZE, size - LENGTH_SIZE
                raise self._error(f"a response of {told} bytes, where {due} are due")
            if len(data) - at < size:
                break
            index = self._verify(data[at : at + size])
            self._count([self._starts[index]], now)
            self._starts[index] = 0.0
            self._due = (index + 1) % len(self._starts)
            count += 1
        return count

    def _verify(self, response: bytes) -> int:
        """Compare a response with what it must be, and tell where its request is kept."""
        session = int.from_bytes(response[-SESSION_SIZE:], "big")
        index = session - (self.number << SESSION_BITS)
        if not 0 <= index < len(self._starts) or not self._starts[index]:
            raise self._error(
                f"a response of session {session}, of which no request is outstanding"
            )
        size = len(response)
        due = self._responses[index * size : (index + 1) * size]
        if response == due:
            return index
        flag = response[-SESSION_SIZE - FLAG_SIZE]
        if size > self._owner.writer.requestSize and flag != 1:
            raise self._error(f"the response of session {session} has flag {flag}")
        raise self._error(f"the response of session {session} has another content")

    def _lost(self, reason: str | None) -> LoadError:
        return self._error(f"{reason}, with {self.outstanding} requests not answered")

    def _error(self, reason: str) -> LoadError:
        return LoadError(f"connection {self.number}: {reason}")
