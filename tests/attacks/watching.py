"""What a process holds before, during and after; read from /proc, so on Linux only."""

from __future__ import annotations

import os
import re
from pathlib import Path

from attrs import frozen
from twisted.internet.task import LoopingCall

from tests.endtoend.clusters import CLOCK

_INTERVAL = 0.1
"""Seconds between two looks."""

_TICKS = os.sysconf("SC_CLK_TCK")


@frozen
class Usage:
    """
    What a process holds.

    @ivar memory: bytes of it that are in memory (RSS).
    @ivar cpuSeconds: the time of processors that it has taken so far.
    """

    memory: int
    descriptors: int
    cpuSeconds: float


def usageOf(pid: int) -> Usage:
    """
    Look at a process.

    @raise OSError: it has ended.
    """
    place = Path(f"/proc/{pid}")
    match = re.search(r"^VmRSS:\s+(\d+) kB$", (place / "status").read_text(), re.M)
    if match is None:
        raise ProcessLookupError(f"process {pid} has ended")
    # The fields behind the name, which is in brackets and may hold anything.
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    cpuSeconds = (int(fields[11]) + int(fields[12])) / _TICKS
    return Usage(int(match[1]) * 1024, len(os.listdir(place / "fd")), cpuSeconds)


@frozen
class Period:
    """
    What a process held for a while.

    @ivar memory: the most, in bytes; C{descriptors} likewise.
    @ivar cpu: how much of one processor it took; more than 1 where its threads took several.
    """

    memory: int
    descriptors: int
    cpu: float


class Watch:
    """
    Looks at a process all the time.

    @param pid: which.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._call = LoopingCall(self._look)
        self._call.clock = CLOCK
        self._seen: list[Usage] = []
        self._begun = 0.0

    def begin(self) -> None:
        """Begin a period."""
        self._seen = [usageOf(self._pid)]
        self._begun = CLOCK.seconds()
        self._call.start(_INTERVAL)

    def end(self) -> Period:
        """End it, and tell."""
        self._call.stop()
        self._look()
        seconds = CLOCK.seconds() - self._begun
        return Period(
            max(each.memory for each in self._seen),
            max(each.descriptors for each in self._seen),
            (self._seen[-1].cpuSeconds - self._seen[0].cpuSeconds) / seconds,
        )

    def _look(self) -> None:
        self._seen.append(usageOf(self._pid))
