"""
Many connections of one attacker: plain sockets, one epoll set, one thread.

What is done on them, a L{Tactic} says. Here they are opened, from which addresses, and opened
again when they have ended; and it is counted what became of them.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import cycle

from attrs import define, field

SERVER = "127.0.0.1"

_BIND_ADDRESS_NO_PORT = 24
"""Linux: choose the port when it is known where to connect to; Python 3.11 has no name for it."""

_ABORT = struct.pack("ii", 1, 0)
"""Linger for no time: closing resets, and leaves no port behind that waits."""

_AT_ONCE = 64
"""How many connections a raid opens before the others have a turn."""

_TURN = 0.05
"""Seconds that a turn lasts where nothing happens."""

_LOCAL_TROUBLE = 0.2
"""Seconds to wait where this machine has no port or descriptor left."""

_READ = 65536

_LOST = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP


class Tactic:
    """
    What an attacker does on a connection. This one is silent; others override.

    @cvar reads: whether what the server says is read at all.
    """

    reads = True

    def begin(self, line: Line) -> None:
        """Do what comes first, now that the server has accepted."""

    def heard(self, line: Line, data: bytes) -> None:
        """Go on with what the server has said."""

    def tick(self, line: Line) -> None:
        """Do what is done again and again."""

    def lost(self, line: Line) -> None:
        """Take note that the connection is gone, by whichever end."""


@define(eq=False)
class Line:
    """
    One connection of an attacker's.

    @ivar heard: how many bytes the server has said.
    @ivar age: how many ticks it has been open.
    """

    raid: Raid
    stream: socket.socket
    heard: int = 0
    age: int = 0
    isOpen: bool = False
    isDone: bool = False
    _unsent: bytes = field(default=b"", repr=False)

    def send(self, data: bytes) -> None:
        """Send, as soon as the server takes it."""
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        """Send what is left."""
        if self.isDone:
            return
        try:
            sent = self.stream.send(self._unsent) if self._unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self.raid.lost(self)
            return
        self._unsent = self._unsent[sent:]
        self.raid.adjust(self)

    @property
    def isWriting(self) -> bool:
        """There is more to send than the server has taken."""
        return bool(self._unsent)

    def close(self) -> None:
        """Reset the connection: the attacker has had enough of it."""
        self.raid.ended(self, "closed by the attacker")

    def count(self, what: str) -> None:
        """Count something that has happened."""
        self.raid.counts[what] += 1


@define(eq=False)
class Raid:
    """
    Connections to one port that are kept open, so many at once.

    @ivar sources: the addresses that they come from, in turn.
    @ivar atOnce: how many.
    @ivar total: how many are opened in all; 0 for as many as there is time for.
    @ivar pause: seconds from the end of one to the next in its place.
    @ivar buffer: the bytes that the kernel takes for the attacker unread; 0 for its default.
    """

    port: int
    tactic: Tactic
    sources: Sequence[str]
    atOnce: int
    total: int = 0
    pause: float = 0.0
    buffer: int = 0
    counts: Counter[str] = field(factory=Counter, init=False)
    _lines: dict[int, Line] = field(factory=dict, init=False)
    _due: deque[float] = field(factory=deque, init=False)
    _opened: int = field(default=0, init=False)
    _from: Iterator[str] = field(init=False)
    _epoll: select.epoll = field(init=False)

    def begin(self, epoll: select.epoll) -> None:
        """Have every connection due now."""
        self._epoll = epoll
        self._from = cycle(self.sources)
        self._due.extend([0.0] * self.atOnce)

    @property
    def isOver(self) -> bool:
        """All that were to be opened have ended."""
        return 0 < self.total <= self._opened and not self._lines

    def openDue(self, now: float) -> bool:
        """Open some of those which are due; say whether there are more."""
        for _ in range(_AT_ONCE):
            if not self._due or self._due[0] > now or 0 < self.total <= self._opened:
                return False
            self._due.popleft()
            self._open(now)
        return True

    def _open(self, now: float) -> None:
        try:
            stream = socket.socket()
        except OSError:
            self._inTrouble(now)
            return
        stream.setblocking(False)
        stream.setsockopt(socket.SOL_IP, _BIND_ADDRESS_NO_PORT, 1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        if self.buffer:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer)
        try:
            stream.bind((next(self._from), 0))
            stream.connect((SERVER, self.port))
        except BlockingIOError:
            pass
        except OSError:
            stream.close()
            self._inTrouble(now)
            return
        self._opened += 1
        self._lines[stream.fileno()] = Line(self, stream)
        self._epoll.register(stream, select.EPOLLOUT)

    def _inTrouble(self, now: float) -> None:
        self.counts["no port left here"] += 1
        self._due.append(now + _LOCAL_TROUBLE)

    def ready(self, descriptor: int, events: int) -> bool:
        """Go on with a connection where something has happened; say whether it is of this raid."""
        line = self._lines.get(descriptor)
        if line is None:
            return False
        if not line.isOpen:
            self._connected(line)
        elif events & select.EPOLLIN:
            self._read(line)
        elif events & _LOST:
            self.lost(line)
        elif events & select.EPOLLOUT:
            line.flush()
        return True

    def _connected(self, line: Line) -> None:
        if line.stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.ended(line, "refused at once")
            return
        line.isOpen = True
        self.counts["connected"] += 1
        self.adjust(line)
        self.tactic.begin(line)

    def _read(self, line: Line) -> None:
        try:
            data = line.stream.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            line.heard += len(data)
            self.tactic.heard(line, data)
        else:
            self.lost(line)

    def adjust(self, line: Line) -> None:
        """Wait for what can go on now."""
        reading = select.EPOLLIN if self.tactic.reads else select.EPOLLRDHUP
        self._epoll.modify(line.stream, reading | (select.EPOLLOUT if line.isWriting else 0))

    def lost(self, line: Line) -> None:
        """Take note that the server has closed."""
        self.ended(line, "closed after a word" if line.heard else "closed without a word")

    def ended(self, line: Line, how: str) -> None:
        """Let go of a connection, and have the next in its place."""
        if line.isDone:
            return
        line.isDone = True
        self.counts[how] += 1
        del self._lines[line.stream.fileno()]
        self._epoll.unregister(line.stream)
        line.stream.close()
        self._due.append(time.monotonic() + self.pause)
        self.tactic.lost(line)

    def tick(self) -> None:
        """Do on every connection what is done again and again."""
        for line in list(self._lines.values()):
            if line.isOpen:
                line.age += 1
                self.tactic.tick(line)

    def end(self) -> None:
        """Close everything."""
        for line in list(self._lines.values()):
            self.ended(line, "open at the end" if line.isOpen else "not connected")


def attack(raids: Sequence[Raid], seconds: float, tick: float) -> Counter[str]:
    """
    Run raids at the same time until all are over, or the time is up; then close everything.

    @param tick: seconds from one L{Tactic.tick} to the next.
    @return: what all of them counted.
    """
    epoll = select.epoll()
    for raid in raids:
        raid.begin(epoll)
    now = time.monotonic()
    end, nextTick = now + seconds, now + tick
    while now < end and not all(raid.isOver for raid in raids):
        hasMore = [raid.openDue(now) for raid in raids]
        for descriptor, events in epoll.poll(0 if any(hasMore) else _TURN):
            # One of these may have ended on account of another.
            any(raid.ready(descriptor, events) for raid in raids)
        now = time.monotonic()
        if now >= nextTick:
            nextTick += tick
            for raid in raids:
                raid.tick()
    for raid in raids:
        raid.end()
    epoll.close()
    return sum((raid.counts for raid in raids), Counter())
