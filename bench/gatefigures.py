"""
What is made of a measured load: figures, tables, targets, and what to think of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from attrs import frozen

from bench.figures import Rounds, Row, Spread, spreads
from bench.gatecontenders import BARE
from bench.loads import LoadFigures
from bench.workloads import Workload

FULL = 5.0
"""A load that was idle for less of the time, in percent, was what was measured."""

QUIET = 10.0
"""How much of the machine, in percent, other programs may take before that is said."""

PROMPT = 5.0
"""How long, in percent of the time, a server may wait for its core before that is said."""

KEPT_UP = 98.0
"""How much of a schedule, in percent, must have been answered in its time."""

ROWS = (
    Row("rate", "requests/s", hasRatio=True),
    Row("cpu", "CPU µs", 1, hasRatio=True),
    Row("p50", "p50 ms", 2),
    Row("p99", "p99 ms", 2),
    Row("p999", "p99.9 ms", 2),
    Row("peak", "peak MB", 1),
)
"""What is printed of each contender; the CPU time is the server's, for each request."""

Results = dict[str, dict[str, list[dict[str, float]]]]
"""By the names of the workload and of the contender, the figures of each round."""


def figuresOf(
    workload: Workload,
    load: LoadFigures,
    cpuSeconds: float,
    waitSeconds: float,
    peakBytes: int,
    machine: tuple[float, float],
) -> dict[str, float]:
    """
    Make the figures of L{ROWS}, and those that L{notesOn} looks at.

    @param cpuSeconds: what the server took for the load.
    @param waitSeconds: for how long another had its core meanwhile.
    @param machine: seconds that the cores were busy meanwhile, and that they were there.
    """
    busy, available = machine
    # Both clocks are coarse, and so this may come out a little below nothing.
    others = max(0.0, busy - cpuSeconds - load.cpu)
    return {
        "rate": load.rate,
        # What was outstanding at the end is answered, too, before the load comes back.
        "cpu": cpuSeconds / max(1, load.requests + workload.outstanding) * 1e6,
        "p50": load.p50 * 1e3,
        "p99": load.p99 * 1e3,
        "p999": load.p999 * 1e3,
        "peak": peakBytes / 1e6,
        "loadIdle": load.idle * 100,
        "heldUp": min(1.0, waitSeconds / load.seconds) * 100,
        "othersBusy": others / max(available, busy, 1e-9) * 100,
    }


def tableOf(rounds: Rounds, titles: Mapping[str, str]) -> str:
    """
    Write a table: a line for each contender, and what it has to the first one's figures.

    @param titles: what to call each contender.
    """
    (first, *_) = rounds
    told = spreads(ROWS, rounds)
    lines = [["", *(cell for row in ROWS for cell in _headOf(row))]]
    for name in rounds:
        line = [titles[name]]
        for row in ROWS:
            line.append(told[row.key]["figures"][name].write(row.digits))
            if row.hasRatio:
                ratio = told[row.key]["ratios"].get(name)
                line.append("1" if name == first else "" if ratio is None else ratio.write(2))
        lines.append(line)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _headOf(row: Row) -> list[str]:
    return [row.title, ": echo"] if row.hasRatio else [row.title]


def notesOn(workload: Workload, rounds: Rounds, titles: Mapping[str, str]) -> list[str]:
    """Say where the figures are those of something else than the servers."""
    told = {
        name: {key: median(each[key] for each in figures) for key in figures[0]}
        for name, figures in rounds.items()
    }
    notes = []
    if full := [titles[name] for name in told if told[name]["loadIdle"] < FULL]:
        notes.append(f"the generator was the bottleneck of: {'; '.join(full)}")
    others = max(figures["othersBusy"] for figures in told.values())
    heldUp = max(figures["heldUp"] for figures in told.values())
    if others > QUIET or heldUp > PROMPT:
        notes.append(
            f"other programs took up to {others:.0f} % of the machine, and held servers up for up"
            f" to {heldUp:.0f} % of the time: compare CPU µs rather than requests/s"
        )
    if workload.rate is not None:
        for name in told:
            kept = told[name]["rate"] / workload.rate * 100
            if kept < KEPT_UP:
                notes.append(f"{titles[name]} kept up with {kept:.0f} % of the schedule")
    return notes


@frozen
class Target:
    """
    What must come out.

    @ivar row: the key of a figure in L{ROWS}.
    @ivar least: how often the other's figure it must be at least; None: not compared.
    @ivar most: what the figure itself must not exceed, where it is not compared.
    @ivar isCompiled: for which of the two it is; None: for both.
    """

    workload: str
    contender: str
    least: float | None = None
    than: str = BARE
    row: str = "rate"
    most: float | None = None
    isCompiled: bool | None = None


_NAIVE = "naive"
_UNBATCHED = "ours-no-batched-reads"

TARGETS = (
    *(Target(name, "ours", 2.0) for name in ("64x1x16", "512x1x64", "5000x1x64")),
    *(Target(name, _UNBATCHED, 1.5) for name in ("64x1x16", "512x1x64", "5000x1x64")),
    *(Target(name, "ours", 1.1, isCompiled=False) for name in ("64x16x16", "512x16x64")),
    *(Target(name, "ours", 1.8, isCompiled=True) for name in ("64x16x16", "512x16x64")),
    Target("64x1x16-late", "ours", 1.2),
    Target("64x16x16-late", "ours", 0.25),
    Target("64x16x16-async", "ours", 0.6),
    Target("64x1x16", "ours", 3.0, than=_NAIVE),
    Target("64x16x16", "ours", 7.0, than=_NAIVE),
    Target("open-20000", "ours", row="p99", most=5.0),
)
"""What this program is meant to reach, on a machine that has a core for each side."""


@frozen
class Verdict:
    """
    What came of a target, and whether it is reached.

    @ivar figure: the figure, or the ratio where it is compared.
    @ivar byCpu: how many times as many requests each second of CPU time made, where it is.
    """

    target: Target
    figure: Spread
    byCpu: Spread | None
    isMet: bool

    def write(self, titles: Mapping[str, str]) -> str:
        """Write it as a line."""
        target = self.target
        (row,) = (row for row in ROWS if row.key == target.row)
        if self.byCpu is None:
            text = f"{row.title}: {self.figure.write(row.digits)}, at most {target.most:g}"
        else:
            text = f"{row.title}: {self.figure.write(2)} × {titles[target.than]}"
            text += f", at least {target.least:g}; by CPU time {self.byCpu.write(2)}"
        verdict = "met" if self.isMet else "MISSED"
        return f"{verdict:6}  {target.workload}, {titles[target.contender]}: {text}"


def judge(results: Results, isCompiled: bool, targets: Sequence[Target] = TARGETS) -> list[Verdict]:
    """
    Compare the results with the targets, as far as they have what is needed for it.

    @param isCompiled: whether ours was.
    """
    verdicts = []
    for target in targets:
        measured = results.get(target.workload, {})
        if target.contender not in measured or target.isCompiled not in (None, isCompiled):
            continue
        own = measured[target.contender]
        if target.most is not None:
            spread = Spread.of([each[target.row] for each in own])
            verdicts.append(Verdict(target, spread, None, spread.median <= target.most))
        elif target.least is not None and target.than in measured:
            pairs = list(zip(own, measured[target.than], strict=True))
            spread = Spread.of([a[target.row] / b[target.row] for a, b in pairs])
            byCpu = Spread.of([b["cpu"] / a["cpu"] for a, b in pairs])
            verdicts.append(Verdict(target, spread, byCpu, spread.median >= target.least))
    return verdicts
