"""
What has come of it, as tables for a terminal or a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from msgserver.loadtest.figures import PERCENTILES, Figures
from msgserver.loadtest.latencies import Latencies
from msgserver.loadtest.statuses import Status
from msgserver.loadtest.units import percent, seconds

LATENCY_TITLES = {
    "all": "all requests",
    "steady": "on one connection",
    "cut": "across a break",
    "turn": "away between turns",
    "login": "logins",
    "back": "time to be back",
    "pause": "from turn to turn",
    "late": "sent late by",
}
"""What each of L{msgserver.loadtest.results.LATENCIES} is called."""

HEAD = ("count", *(f"p{each:g}" for each in PERCENTILES), "max")


_COLUMN = 25

_TABLE = 120
"""Columns that the table of latencies may take, at the least."""


class _Console(Console):
    """Leaves it to its caller what to do where nobody reads any more."""

    def on_broken_pipe(self) -> None:
        """See C{Console.on_broken_pipe}; called while that is handled."""
        raise


def latencyRows(figures: Figures) -> list[tuple[str, Latencies]]:
    """List the latencies that are of interest, by their titles."""
    found = figures.results.latencies
    apart = [name for name in ("cut", "turn") if found[name].count]
    names = ["all", "steady", *apart] if apart else ["all"]
    names += [name for name in ("login", "back", "pause") if found[name].count]
    # In a closed loop, a request is due when it is sent.
    names += ["late"] if figures.plan.isOpen else []
    return [(LATENCY_TITLES[name], found[name]) for name in names]


def cells(latencies: Latencies) -> list[str]:
    """Write the figures of L{HEAD}."""
    values = [latencies.percentile(each) for each in PERCENTILES]
    return [f"{latencies.count:,}", *map(seconds, [*values, latencies.max])]


def caution(figures: Figures) -> str:
    """Say which percentiles are of too few to be any; empty where all are."""
    least = min(latencies.count for _, latencies in latencyRows(figures))
    if least >= 1000:
        return ""
    return "Of fewer than 1,000, p99.9 is the longest; of fewer than 100, p99 is, too."


def facts(figures: Figures) -> list[tuple[str, str]]:
    """List what else there is to know."""
    counts = figures.results.counts
    told = [
        ("requests a second", f"{figures.rate:,.0f}, for {seconds(figures.results.seconds)}"),
        ("asked, answered, right", _join(counts[name] for name in ("asked", "answered", "right"))),
        ("logins", f"{counts['logins']:,}, {figures.loginRate:,.0f} a second while they came"),
        ("connections cut", f"{counts['cuts']:,}, back again {counts['back']:,}"),
    ]
    if figures.plan.takesTurns:
        plan = figures.plan
        few = f"{plan.connections:,} of {plan.users:,} users at a time, {plan.turn:g} s each"
        told.append(("turns", f"{counts['turns']:,} over, {few}"))
    for number, effort in enumerate(figures.results.efforts, 1):
        waited = "" if effort.waited is None else f", waited {percent(effort.waitedShare)}"
        lag = f", timers up to {seconds(effort.longestLag)} late"
        told.append((f"tester {number}", f"{percent(effort.share)} of a core{waited}{lag}"))
    if figures.serverCpu is not None:
        told.append(("server", f"{percent(figures.serverCpu)} of a core"))
    return told


def _join(numbers: Iterable[int]) -> str:
    return ", ".join(f"{number:,}" for number in numbers)


def write(figures: Figures, file: TextIO) -> None:
    """Write it."""
    console = _Console(file=file, highlight=False)
    console.print()
    width = console.width
    # Better a line that the terminal breaks than a figure that is cut off.
    console.width = max(width, _TABLE)
    console.print(_latencyTable(figures))
    console.width = width
    # In a pipe, a line is a line: whoever reads it may be a program.
    isSoft = not console.is_terminal
    for title, value in facts(figures):
        text = Text.assemble((f"{title:<{_COLUMN}}", "bold"), value)
        console.print(text, soft_wrap=isSoft)
    for text in _remarks(figures):
        console.print(text, soft_wrap=isSoft)


def _remarks(figures: Figures) -> Iterator[Text]:
    for example in figures.results.examples:
        number = f" {example.number}" if example.number else ""
        asked = f" {example.asked}" if example.asked else ""
        yield Text(f"{example.kind}: {example.user}{number}{asked}: {example.told}")
    for reason, count in figures.results.reasons.most_common():
        yield Text(f"{count:,} failed attempts to connect or log in: {reason}")
    for note in figures.notes:
        yield Text(f"Note: {note}", "yellow")
    yield Text(figures.method, "dim")
    if told := caution(figures):
        yield Text(told, "dim")
    isVerified = figures.status == Status.VERIFIED
    yield Text(figures.verdict, "bold green" if isVerified else "bold red")


def _latencyTable(figures: Figures) -> Table:
    table = Table("latency", box=None, pad_edge=False, header_style="bold")
    for name in HEAD:
        table.add_column(name, justify="right", no_wrap=True)
    for title, latencies in latencyRows(figures):
        table.add_row(title, *cells(latencies))
    return table
