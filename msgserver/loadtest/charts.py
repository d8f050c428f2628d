"""
The pictures of a report, as SVG that a page can have within it.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from math import log10
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from msgserver.loadtest.figures import Figures
from msgserver.loadtest.latencies import Latencies
from msgserver.loadtest.results import Moment, latencyOf

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, ORANGE, RED, GREEN = "#2f6fb2", "#d9822b", "#c23030", "#2e8a57"

_HEAT = LinearSegmentedColormap.from_list(
    "heat", ["#e3eefa", "#9dc3e6", "#4a8fcb", "#235b98", "#12325c"]
)
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "grid.color": GRID,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
}
_WIDTH = 10.6


def overTime(figures: Figures) -> str:
    """Draw what happened over time: answers a second, how long they took, and connections."""

    def draw(figure: Figure) -> None:
        upper, middle, lower = figure.subplots(
            3, 1, sharex=True, gridspec_kw={"height_ratios": (2, 4, 1.5)}
        )
        moments = figures.results.moments
        times = [number * figures.results.interval for number in range(len(moments) + 1)]
        _drawRate(upper, figures, times)
        _drawHeat(figure, middle, moments, times)
        _drawConnections(figure, lower, figures, times)
        for axes in (upper, middle, lower):
            _markUnmeasured(axes, figures, times[-1])
        lower.set_xlim(0, times[-1] or figures.results.interval)
        lower.set_xlabel("seconds since the start")

    return _svg("time", 7.6, draw)


def percentiles(figures: Figures) -> str:
    """Draw which share of the requests did not take longer than what."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        latencies = figures.results.latencies
        curves = [("all requests", latencies["all"], BLUE, "-")]
        if latencies["cut"].count or latencies["turn"].count:
            curves.append(("on one connection", latencies["steady"], GREEN, "-"))
        if latencies["cut"].count:
            curves.append(("across a break", latencies["cut"], ORANGE, "--"))
        if latencies["turn"].count:
            curves.append(("away between turns", latencies["turn"], RED, ":"))
        for title, each, colour, style in curves:
            _drawCurve(axes, f"{title} ({each.count:,})", each, colour, style)
        _showSeconds(axes)
        most = max(each.count for _, each, _, _ in curves)
        nines = max(2, min(6, int(log10(max(most, 10)))))
        ticks = [0.0, 0.5, 1.0, *map(float, range(2, nines + 1))]
        axes.set_xticks([_place(0), _place(50), *map(float, range(1, nines + 1))])
        labels = ["0 %", "50 %", *(_percentText(number) for number in range(1, nines + 1))]
        axes.set_xticklabels(labels[: len(ticks)])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(0, nines + 0.3)
        axes.set_xlabel("share of the requests that took no longer")
        if latencies["all"].count:
            _addLegend(axes)

    return _svg("percentiles", 3.6, draw)


def _drawCurve(axes: Axes, title: str, latencies: Latencies, colour: str, style: str) -> None:
    points = [(-log10(1 - share), value) for share, value in latencies.curve() if value > 0]
    if points:
        # Beyond the last request there is nothing to be seen.
        points.append((log10(latencies.count) if latencies.count > 1 else 0.0, latencies.max))
        places, values = zip(*sorted(points), strict=True)
        axes.plot(places, values, style, color=colour, label=title, linewidth=1.8)


def _place(percent: float) -> float:
    return -log10(1 - percent / 100)


def _percentText(nines: int) -> str:
    return f"{100 - 100 / 10**nines:.{max(0, nines - 2)}f} %"


def _drawRate(axes: Axes, figures: Figures, times: Sequence[float]) -> None:
    interval = figures.results.interval
    rates = [moment.answers / interval for moment in figures.results.moments]
    axes.stairs(rates, times, fill=True, color=BLUE, alpha=0.25)
    axes.stairs(rates, times, color=BLUE, linewidth=1.4)
    if figures.plan.isOpen:
        axes.axhline(
            figures.plan.rate, color=ORANGE, linestyle="--", linewidth=1.2, label="schedule"
        )
        _addLegend(axes)
    bad = [moment.troubles / interval for moment in figures.results.moments]
    if any(bad):
        axes.stairs(bad, times, fill=True, color=RED, label="troubles")
        _addLegend(axes)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_title("answers a second")


def _drawHeat(figure: Figure, axes: Axes, moments: list[Moment], times: Sequence[float]) -> None:
    axes.set_title("latency: how many answers took how long")
    levels = sorted({level for moment in moments for level in moment.levels})
    _showSeconds(axes)
    if not levels:
        return
    span = range(levels[0], levels[-1] + 1)
    edges = [latencyOf(level) for level in (*span, span[-1] + 1)]
    # None are as good as no number: they leave the paper white.
    counts = [[moment.levels[level] or float("nan") for moment in moments] for level in span]
    most = max(max(moment.levels.values(), default=1) for moment in moments)
    mesh = axes.pcolormesh(
        times, edges, counts, cmap=_HEAT, norm=LogNorm(1, max(most, 2)), rasterized=True
    )
    bar = figure.colorbar(mesh, cax=axes.inset_axes((1.012, 0, 0.014, 1)))
    bar.set_label("answers in a cell")
    for axis in (bar.ax.yaxis.set_major_formatter, bar.ax.yaxis.set_minor_formatter):
        axis(FuncFormatter(_count))
    bar.outline.set_visible(False)
    middles = [(one + other) / 2 for one, other in zip(times, times[1:], strict=False)]
    for share, style in ((0.5, "-"), (0.99, "--")):
        values = [_percentile(moment.levels, share) for moment in moments]
        label = f"p{share * 100:g}"
        axes.plot(middles, values, style, color=ORANGE, linewidth=1.3, label=label)
    _addLegend(axes)


def _percentile(levels: Counter[int], share: float) -> float:
    left = share * levels.total()
    for level in sorted(levels):
        left -= levels[level]
        if left <= 0 < levels.total():
            return (latencyOf(level) + latencyOf(level + 1)) / 2
    return float("nan")


def _drawConnections(figure: Figure, axes: Axes, figures: Figures, times: Sequence[float]) -> None:
    moments = figures.results.moments
    axes.set_title("connections: how many are there, and break each second")
    axes.stairs([moment.connected for moment in moments], times, color=GREEN, linewidth=1.4)
    axes.set_ylim(0, figures.plan.connections * 1.08)
    axes.set_ylabel("there", color=GREEN)
    other = axes.twinx()
    other.grid(False)
    interval = figures.results.interval
    cuts = [moment.cuts / interval for moment in moments]
    lost = [moment.lost / interval for moment in moments]
    other.stairs(cuts, times, fill=True, color=ORANGE, alpha=0.55, label="cut by the tester")
    if any(lost):
        other.stairs(lost, times, fill=True, color=RED, alpha=0.7, label="lost otherwise")
    other.set_ylim(0, max([*cuts, *lost, 1]) * 2.2)
    other.set_ylabel("broken/s", color=ORANGE)
    other.spines["right"].set_visible(False)
    _addLegend(other)


def _count(value: float, _: object) -> str:
    """Write how many, where there is room: not all that a logarithmic axis marks."""
    return f"{value:,.0f}" if f"{value:g}"[0] in "125" else ""


def _showSeconds(axes: Axes) -> None:
    """Have an axis of latencies, from microseconds to hours."""
    axes.set_yscale("log")
    # There may be no power of ten between the shortest and the longest.
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(_tick))
    axes.yaxis.set_minor_locator(NullLocator())


def _tick(value: float, _: object) -> str:
    """Write a time on an axis."""
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= size * 0.999:
            return f"{value / size:g} {unit}"
    return ""


def _addLegend(axes: Axes) -> None:
    """Say what is what above the picture, where it hides nothing."""
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=3, borderpad=0.2)


def _markUnmeasured(axes: Axes, figures: Figures, end: float) -> None:
    ramp = figures.plan.ramp
    for begin, close in ((0.0, ramp), (ramp + figures.results.seconds, end)):
        if close > begin:
            axes.axvspan(begin, close, color="#f0f2f5", zorder=0, linewidth=0)


def _svg(name: str, height: float, draw: Callable[[Figure], None]) -> str:
    """
    Draw, and write it as an SVG element.

    @param name: of no other on the page; what is within is named after it.
    """
    style: Any = {**_STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained", dpi=150)
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    # Names are of the whole page: those of one picture must not be another's.
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    # As wide as the page, and in proportion.
    return re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", svg, count=1)
