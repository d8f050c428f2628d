"""
The load of the benchmarks where there is no C compiler: the twin of bench/generator.c.

The same command line, commands and answers: see there. C{python -m bench.generator}
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from bench.histogram import Histogram
from bench.loadconnection import (
    LENGTH_SIZE,
    PATIENCE,
    SESSION_BITS,
    Connection,
    LoadError,
    Writer,
)

GREETING_AT_ONCE = 40
"""Connections that shake hands at once: fewer than the usual backlog of 50."""

BURST = 64
"""How many requests of a schedule that lags behind are sent before answers are looked at."""

LARGEST_CONTENT = 65_530
"""Bytes of a content, so that a gate's response is a packet."""

OTHER_FILES = 64
"""Descriptors that are no connections."""

USAGE = "usage: generator PORT CONNECTIONS DEPTH SIZE echo|gate HELLOS|-"

MOST_SECONDS, MOST_RATE = 1e6, 1e9
"""What a command may ask for is less than that."""


class Generator:
    """
    All connections, and what is measured of them.

    @ivar outstanding: requests, on all connections.
    @ivar greeting: connections whose handshake is not answered yet.
    """

    def __init__(self, port: int, depth: int, writer: Writer) -> None:
        self.port = port
        self.depth = depth
        self.writer = writer
        self.epoll = select.epoll()
        self.outstanding = self.greeting = 0
        self._connections: list[Connection] = []
        self._byDescriptor: dict[int, Connection] = {}
        self._begin(0.0, False)

    def connect(self, count: int, hellos: Sequence[bytes] | None) -> None:
        """Connect, and shake hands, or send a first request where there are no handshakes."""
        for number in range(count):
            connection = Connection(self, number, None if hellos is None else hellos[number])
            self._connections.append(connection)
            self._byDescriptor[connection.stream.fileno()] = connection
            if hellos is None:
                connection.ask(1, time.perf_counter())
            else:
                self.greeting += 1
            while self.outstanding + self.greeting >= GREETING_AT_ONCE:
                self._turn(1.0, False)
        while self.outstanding + self.greeting:
            self._turn(1.0, False)

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            connection.stream.close()
        self.epoll.close()

    def closed(self, seconds: float) -> dict[str, float]:
        """Keep C{depth} requests outstanding on each connection."""
        self._begin(seconds, True)
        for connection in self._connections:
            connection.ask(self.depth, time.perf_counter())
        while (now := time.perf_counter()) < self._end or self.outstanding:
            self._turn(min(self._end - now, 1.0) if now < self._end else 1.0, False)
        self._lookAtWindow(now)
        return self._figures()

    def open(self, seconds: float, rate: float) -> dict[str, float]:
        """Send so many requests a second, on schedule."""
        self._begin(seconds, False)
        total, number = int(seconds * rate), 0
        while (now := time.perf_counter()) < self._end or number < total or self.outstanding:
            self._lookAtWindow(now)
            due, burst = now + 1.0, 0
            while number < total and burst < BURST:
                due = self._start + number / rate
                if due > now:
                    break
                self._connections[number % len(self._connections)].ask(1, due)
                number += 1
                burst += 1
            if now < self._end < due:
                due = self._end
            self._turn(max(due - now, 0.0) if burst < BURST else 0.0, True)
        self._lookAtWindow(now)
        return self._figures()

    def answered(self, count: int, now: float) -> bool:
        """Note answers, and say whether they make room for as many more requests."""
        self._progress = now
        self.outstanding -= count
        if now >= self._end:
            return False
        self._answered += count
        return self._refills

    def _begin(self, seconds: float, refills: bool) -> None:
        self.latencies = Histogram()
        self._refills = refills
        self._answered, self._waited, self._isOver = 0, 0.0, False
        self._cpu = time.process_time()
        self._start = self._progress = time.perf_counter()
        self._end = self._start + seconds

    def _turn(self, patience: float, isExact: bool) -> None:
        """Wait for something to be read or sent, so many seconds at most, and do it."""
        ready = self.epoll.poll(0) if isExact else []
        if not ready and patience > 0:
            before = time.perf_counter()
            # Its own poll counts in milliseconds, which is too coarse for a schedule.
            if not isExact:
                ready = self.epoll.poll(patience)
            elif select.select([self.epoll], [], [], patience)[0]:
                ready = self.epoll.poll(0)
            after = time.perf_counter()
            self._waited += max(min(after, self._end) - before, 0.0)
            self._lookAtWindow(after)
            if not ready and after > self._progress + PATIENCE:
                self._giveUp()
        for descriptor, events in ready:
            connection = self._byDescriptor[descriptor]
            if events & select.EPOLLOUT:
                connection.pushHeld()
            if events & ~select.EPOLLOUT:
                connection.readOnce()

    def _giveUp(self) -> None:
        for each in self._connections:
            if each.outstanding or each.isGreeting:
                raise LoadError(
                    f"connection {each.number}: nothing was answered for {PATIENCE:g} s"
                )

    def _lookAtWindow(self, now: float) -> None:
        """Note what the window took, as soon as it is over."""
        if not self._isOver and now >= self._end:
            self._isOver = True
            self._cpu = time.process_time() - self._cpu

    def _figures(self) -> dict[str, float]:
        seconds = self._end - self._start
        # Waiting that found something at once was work; being kept from the CPU is neither.
        waited = min(self._waited, max(seconds - self._cpu, 0.0))
        return {
            "requests": self._answered,
            "seconds": seconds,
            "p50": self.latencies.percentile(0.5),
            "p99": self.latencies.percentile(0.99),
            "p999": self.latencies.percentile(0.999),
            "max": self.latencies.most,
            "cpu": self._cpu,
            "idle": waited / seconds,
        }


def splitHellos(data: bytes, count: int) -> list[bytes]:
    """
    Split handshake packets that stand back to back.

    @raise LoadError: there are not so many.
    """
    hellos: list[bytes] = []
    while len(hellos) < count:
        size = LENGTH_SIZE + int.from_bytes(data[:LENGTH_SIZE], "big")
        if len(data) < max(size, LENGTH_SIZE + 1):
            raise LoadError(f"there are only {len(hellos)} handshakes for {count} connections")
        hellos.append(data[:size])
        data = data[size:]
    return hellos


def allowFiles(connections: int) -> None:
    """
    Raise this process's limit of open files, where it is too low.

    @raise LoadError: that is not allowed.
    """
    needed = connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY:
        hard = max(hard, needed)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    except (OSError, ValueError):
        text = f"{connections} connections need more files than this process may open"
        raise LoadError(text) from None


def obey(generator: Generator, line: str) -> dict[str, float]:
    """
    Do what a line says, and give the figures.

    @raise LoadError: it says nothing that is known, or something went wrong.
    """
    try:
        match line.split():
            case ["closed", seconds] if 0 < float(seconds) < MOST_SECONDS:
                return generator.closed(float(seconds))
            case ["open", seconds, rate] if (
                0 < float(seconds) < MOST_SECONDS and 0 < float(rate) < MOST_RATE
            ):
                return generator.open(float(seconds), float(rate))
    except ValueError:
        pass
    raise LoadError(f"there is no command {line.rstrip()!r}")


def _number(name: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdecimal()) or not least <= int(text) <= most:
        _misused(f"generator: {name}: {text!r} is no number from {least} to {most}")
    return int(text)


def _misused(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(2)


def _say(told: Mapping[str, float | str]) -> None:
    print(json.dumps(told), flush=True)


def main(arguments: Sequence[str]) -> None:
    """Connect, say so, and do what the lines of standard input say."""
    if len(arguments) != 6:
        _misused(USAGE)
    port = _number("PORT", arguments[0], 1, 65_535)
    count = _number("CONNECTIONS", arguments[1], 1, 1 << 32 - SESSION_BITS)
    depth = _number("DEPTH", arguments[2], 1, 1 << SESSION_BITS)
    size = _number("SIZE", arguments[3], 0, LARGEST_CONTENT)
    kind = arguments[4]
    if kind not in ("echo", "gate"):
        _misused(f"generator: KIND: {kind!r} is neither echo nor gate")
    try:
        hellos = None
        if arguments[5] != "-":
            hellos = splitHellos(Path(arguments[5]).read_bytes(), count)
        allowFiles(count)
        generator = Generator(port, depth, Writer(size, kind == "gate"))
        generator.connect(count, hellos)
        _say({"connected": count})
        for line in sys.stdin:
            _say(obey(generator, line))
    except (LoadError, OSError) as error:
        _say({"error": str(error)})
        # What is left to be closed is many connections, which ends sooner like this.
        os._exit(1)


if __name__ == "__main__":
    # As it ends any program that does not mind it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main(sys.argv[1:])
