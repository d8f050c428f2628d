"""
What a process of the tester takes itself: of its core, and of its own time.

A tester that is busy all the time measures itself: an answer that lies in a socket is late by its
own fault. So each process tells its share of a core, how late its own timers are, and how long it
waited for a core that another program had.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from msgserver.loadtest.latencies import Latencies

_BEAT = 0.05
"""Seconds between two looks at how late a timer is."""

_SCHEDULED = Path("/proc/self/schedstat")


@frozen
class Effort:
    """
    What a process took while it measured.

    @ivar seconds: how long that was.
    @ivar cpu: the seconds of CPU that it had.
    @ivar waited: the seconds that it could have run and did not, as its core was another's; None
        where the system does not tell.
    @ivar lag: by how many seconds one in a hundred of its timers was late, or more.
    @ivar longestLag: by how many the latest was.
    """

    seconds: float
    cpu: float
    waited: float | None
    lag: float
    longestLag: float

    @property
    def share(self) -> float:
        """The share of a core that it took."""
        return self.cpu / self.seconds if self.seconds else 0.0

    @property
    def waitedShare(self) -> float:
        """The share of the time in which another had its core."""
        return (self.waited or 0.0) / self.seconds if self.seconds else 0.0

    @property
    def busyShare(self) -> float:
        """The share of the time in which it had something to do: the rest is what it has left."""
        return self.share + self.waitedShare


class EffortMeter:
    """
    Measures what this process takes.

    @param now: tells the time.
    @param cpu: tells the seconds of CPU of this process so far.
    @param waited: tells those for which it waited; see L{Effort}.
    """

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
        waited: Callable[[], float | None] | None = None,
    ) -> None:
        self._clock = clock
        self._now = now
        self._cpu = cpu
        self._waited = waited or secondsWaited
        self._lags = Latencies()
        self._beat: IDelayedCall | None = None
        self._begun: tuple[float, float, float | None] | None = None
        self._looked = now(), cpu()

    def begin(self) -> None:
        """Measure from now on."""
        self._begun = self._now(), self._cpu(), self._waited()
        self._wait()

    def share(self) -> float:
        """Tell the share of a core since this was asked last, or made."""
        began, cpu = self._looked
        self._looked = self._now(), self._cpu()
        return (self._looked[1] - cpu) / max(self._looked[0] - began, 1e-9)

    def end(self) -> Effort | None:
        """Tell what was measured, if it was begun."""
        if self._begun is None:
            return None
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        began, cpu, waited = self._begun
        self._begun = None
        waits = self._waited()
        return Effort(
            self._now() - began,
            self._cpu() - cpu,
            None if waits is None or waited is None else waits - waited,
            self._lags.percentile(99),
            self._lags.max,
        )

    def _wait(self) -> None:
        due = self._now() + _BEAT
        self._beat = self._clock.callLater(_BEAT, self._look, due)

    def _look(self, due: float) -> None:
        self._lags.record(max(0.0, self._now() - due))
        self._wait()


def secondsWaited() -> float | None:
    """Tell for how long this process has waited for a core so far; None: nobody knows."""
    try:
        return int(_SCHEDULED.read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return None
