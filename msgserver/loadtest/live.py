"""
How it is going, while it goes: a picture of a few lines on a terminal, a line now and
then elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TextIO

from attrs import define, field, frozen
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from msgserver.loadtest.figures import BUSY
from msgserver.loadtest.plan import Plan
from msgserver.loadtest.results import TROUBLES, latencyOf
from msgserver.loadtest.units import percent, seconds

EVERY = 5.0
"""Seconds between two lines, where there is no terminal."""

_BAR = 40

_NARROW = 76
"""Columns that the picture takes. A terminal that has fewer has lines."""


@define
class _Told:
    """What a process has told last."""

    connected: int = 0
    counts: Counter[str] = field(factory=Counter, converter=Counter)
    cpu: float = 0.0


@frozen
class Glance:
    """
    How it is going, all processes together.

    @ivar rate: answers a second, since the last glance.
    @ivar typical: the latency that half of them did not exceed, or None where there are none.
    @ivar slow: that which 99 % did not exceed.
    @ivar busiest: the share of a core that the busiest process has taken.
    """

    time: float
    connected: int
    rate: float
    typical: float | None
    slow: float | None
    cuts: int
    troubles: int
    busiest: float


class Progress:
    """
    Puts together what processes tell.

    @param now: tells the time, in seconds.
    """

    def __init__(self, processes: int, now: Callable[[], float]) -> None:
        self._told = [_Told() for _ in range(processes)]
        self._levels: Counter[int] = Counter()
        self._now = now
        self._start = self._last = now()
        self._answered = 0

    def start(self) -> None:
        """Count the time from now on: the processes have begun."""
        self._start = self._last = self._now()

    def tell(self, number: int, told: dict[str, Any]) -> None:
        """Take what the process of that number tells; see L{msgserver.loadtest.worker}."""
        self._told[number] = _Told(told["connected"], told["counts"], told["cpu"])
        self._levels.update({int(level): count for level, count in told["levels"].items()})

    @property
    def elapsed(self) -> float:
        """The seconds since L{start}, or since this was made."""
        return self._now() - self._start

    def glance(self) -> Glance:
        """Look at what has come since the last look."""
        now = self._now()
        counts: Counter[str] = Counter()
        for told in self._told:
            counts.update(told.counts)
        passed, self._last = now - self._last, now
        came, self._answered = counts["answered"] - self._answered, counts["answered"]
        levels, self._levels = self._levels, Counter()
        return Glance(
            now - self._start,
            sum(told.connected for told in self._told),
            came / passed if passed else 0.0,
            _percentile(levels, 0.5),
            _percentile(levels, 0.99),
            counts["cuts"],
            sum(counts[trouble] for trouble in TROUBLES),
            max(told.cpu for told in self._told),
        )


def _percentile(levels: Counter[int], share: float) -> float | None:
    left = share * levels.total()
    for level in sorted(levels):
        left -= levels[level]
        if left <= 0:
            return latencyOf(level + 1)
    return None


def phaseOf(plan: Plan, time: float) -> str:
    """Say what is being done at a time, in seconds since the start."""
    if time < plan.ramp:
        return "users come"
    left = plan.ramp + plan.duration - time
    return f"{left:,.0f} s left" if left > 0 else "waiting for the last answers"


def lineOf(plan: Plan, glance: Glance) -> str:
    """Write a glance as a line."""
    latency = "no answers"
    if glance.typical is not None and glance.slow is not None:
        latency = f"p50 {seconds(glance.typical)}, p99 {seconds(glance.slow)}"
    return (
        f"{glance.time:.0f} s ({phaseOf(plan, glance.time)}): {glance.connected:,} of"
        f" {plan.users:,} connected, {glance.rate:,.0f} requests/s, {latency},"
        f" {glance.cuts:,} cuts, {glance.troubles:,} troubles, tester at {percent(glance.busiest)}"
    )


class Display:
    """
    Shows how it is going.

    @param file: where; a picture that changes if it is a terminal, and lines if not.
    """

    def __init__(self, plan: Plan, progress: Progress, file: TextIO) -> None:
        self._plan = plan
        self._progress = progress
        self._console = Console(file=file)
        self._file = file
        self._shown = 0.0
        self._live: Live | None = None
        isPicture = self._console.is_terminal and not self._console.is_dumb_terminal
        if isPicture and self._console.width >= _NARROW:
            # Twisted's reactor has the time; a thread that draws would take it from the tester.
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def show(self) -> None:
        """Show how it is going now; called more often than that is needed."""
        if self._live is not None:
            self._live.update(_picture(self._plan, self._progress.glance()), refresh=True)
            return
        now = self._progress.elapsed
        if now - self._shown >= EVERY:
            self._shown = now
            print(lineOf(self._plan, self._progress.glance()), file=self._file, flush=True)

    def close(self) -> None:
        """Show nothing more."""
        if self._live is not None:
            self._live.stop()


def _picture(plan: Plan, glance: Glance) -> Group:
    whole = plan.ramp + plan.duration
    head = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=whole, completed=min(glance.time, whole), width=_BAR)
    head.add_row(bar, Text(f"{glance.time:.0f} s", "bold"), Text(phaseOf(plan, glance.time)))
    body = Table.grid(padding=(0, 3))
    troubles = Text(f"{glance.troubles:,}", "bold red" if glance.troubles else "green")
    busy = Text(f"{percent(glance.busiest)}", "bold red" if glance.busiest >= BUSY else "")
    latency = [
        Text("-" if each is None else seconds(each)) for each in (glance.typical, glance.slow)
    ]
    names = ("requests/s", "p50", "p99", "connected", "cuts", "troubles", "tester")
    body.add_row(*(Text(name, "dim") for name in names))
    body.add_row(
        Text(f"{glance.rate:,.0f}", "bold"),
        *latency,
        f"{glance.connected:,} of {plan.users:,}",
        f"{glance.cuts:,}",
        troubles,
        busy,
    )
    return Group(head, body)
