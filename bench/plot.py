"""
A picture of the results that are kept: C{python -m bench.plot}.

It shows, for each workload and contender, how many requests a second there were to one of the
bare Twisted echo: a dot for each release, the newest the darkest, and how far its rounds lie
apart. The scale is logarithmic, so that twice as fast is as far to the right as twice as slow
is to the left.
"""

from __future__ import annotations

import json
import re
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

from attrs import frozen

from bench.gatecontenders import BARE
from bench.gates import RESULTS
from bench.workloads import CLOSED

_LABELS = 250
"""Pixels for the names, to the left of the scale."""
_SCALE = 650
_RIGHT = 30
_ROW = 16
_HEAD = 26
_TOP = 96
_BOTTOM = 40

_STEPS = (1, 2, 5)
"""The marks of the scale, in each power of ten."""

_PALEST = 0.25
"""How dark the dots of the oldest release are; those of the newest are at 1."""

_COLOURS = ("#1f6f8b", "#b3541e", "#4f772d", "#7b2d8b", "#333333", "#a67c00", "#c2185b")
"""By what comes first, for each contender; those that are more begin anew."""


@frozen
class Point:
    """How a contender compares with the bare echo: the median of the rounds, and their ends."""

    median: float
    least: float
    most: float


@frozen
class Release:
    """
    What was measured of a release.

    @ivar titles: what to call each contender, by its name.
    @ivar points: by the names of the workload and the contender.
    """

    version: str
    titles: Mapping[str, str]
    points: Mapping[tuple[str, str], Point]

    @classmethod
    def read(cls, version: str, results: Mapping[str, Any]) -> Release:
        """
        Take it from what L{bench.gates} has written.

        @raise ValueError: it has not.
        """
        try:
            points = {
                (workload, contender): Point(**ratio)
                for workload, rows in results["summary"].items()
                for contender, ratio in rows["rate"]["ratios"].items()
            }
            return cls(version, results["titles"], points)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no results of bench.gates: {error!r}") from None


def readReleases(folder: Path) -> list[Release]:
    """
    Read all results that are kept, the oldest release first.

    @raise ValueError: a file is none of L{bench.gates}.
    """
    releases = []
    for file in sorted(folder.glob("*.json"), key=lambda file: _orderOf(file.stem)):
        try:
            releases.append(Release.read(file.stem, json.loads(file.read_text())))
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
    return releases


def _orderOf(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def draw(releases: Sequence[Release]) -> str:
    """
    Draw the picture, as SVG.

    @param releases: the oldest first; there are ratios in at least one.
    """
    points = {place: point for release in releases for place, point in release.points.items()}
    # The newest release's name for each, and the order that it has them in.
    titles = {name: title for release in releases for name, title in release.titles.items()}
    titles.pop(BARE, None)
    colours = {name: _COLOURS[n % len(_COLOURS)] for n, name in enumerate(titles)}
    every = [point for release in releases for point in release.points.values()]
    axis = _Axis.of([point.least for point in every] + [point.most for point in every])
    parts: list[str] = []
    y = _TOP
    for workload in CLOSED:
        rows = [name for name in titles if (workload.name, name) in points]
        if not rows:
            continue
        parts.append(_text(10, y + 17, f"{workload.name}: {workload.title}", weight="bold"))
        y += _HEAD
        for name in rows:
            parts.append(_text(_LABELS - 10, y + 12, titles[name], anchor="end"))
            for release, opacity in zip(releases, _opacities(len(releases)), strict=True):
                point = release.points.get((workload.name, name))
                if point is not None:
                    parts += _dot(axis, y + _ROW / 2, point, colours[name], opacity)
            y += _ROW
    height = y + _BOTTOM
    width = _LABELS + _SCALE + _RIGHT
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            f' viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            _text(10, 24, "Requests a second, to one of a bare Twisted echo", size=16),
            _text(10, 44, "Dots: medians; lines: from the least round to the most."),
            _text(10, 62, "Releases, from pale to dark: " + ", ".join(r.version for r in releases)),
            *axis.draw(_TOP, y),
            *parts,
            "</svg>",
            "",
        ]
    )


@frozen
class _Axis:
    """A logarithmic scale between two powers of ten, or parts of such."""

    low: float
    high: float

    @classmethod
    def of(cls, ratios: Sequence[float]) -> _Axis:
        """Make one that has room for all of these, and for 1."""
        marks = list(_marks(min(1.0, *ratios), max(1.0, *ratios)))
        return cls(marks[0], marks[-1])

    def x(self, ratio: float) -> float:
        """Tell where a ratio is."""
        share = (log10(ratio) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return _LABELS + share * _SCALE

    def draw(self, top: float, bottom: float) -> Iterator[str]:
        """Draw its marks, and their lines from top to bottom."""
        for mark in _marks(self.low, self.high):
            x = self.x(mark)
            colour = "#444444" if mark == 1 else "#dddddd"
            yield (f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{colour}"/>')
            for y in (top - 6, bottom + 18):
                yield _text(x, y, f"{mark:g}×", anchor="middle")


def _marks(low: float, high: float) -> Iterator[float]:
    """Give the marks from the last that is not above C{low} to the first not below C{high}."""
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    marks = [step * 10.0**power for power in powers for step in _STEPS]
    first = max(mark for mark in marks if mark <= low)
    last = min(mark for mark in marks if mark >= high)
    if first == last:
        last = marks[marks.index(first) + 1]
    return (mark for mark in marks if first <= mark <= last)


def _opacities(count: int) -> list[float]:
    return [1 - (1 - _PALEST) * (count - 1 - n) / max(1, count - 1) for n in range(count)]


def _dot(axis: _Axis, y: float, point: Point, colour: str, opacity: float) -> list[str]:
    common = f'opacity="{opacity:.2f}"'
    ends = [axis.x(ratio) for ratio in (point.least, point.most)]
    return [
        f'<line x1="{ends[0]:.1f}" y1="{y}" x2="{ends[1]:.1f}" y2="{y}" stroke="{colour}"'
        f' stroke-width="2" {common}/>',
        f'<circle cx="{axis.x(point.median):.1f}" cy="{y}" r="4" fill="{colour}" {common}>'
        f"<title>{point.median:.2f} ({point.least:.2f}–{point.most:.2f})</title></circle>",
    ]


def _text(
    x: float, y: float, text: str, anchor: str = "start", size: int = 12, weight: str = "normal"
) -> str:
    style = f'text-anchor="{anchor}" font-size="{size}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def main(arguments: Sequence[str]) -> None:
    """Draw what there is."""
    about = "Draw the results that are kept as one picture."
    parser = ArgumentParser("python -m bench.plot", description=about)
    add = parser.add_argument
    add("--results", type=Path, default=RESULTS, help="the folder that they are in")
    add("--to", type=Path, metavar="FILE", help="the picture (gates.svg in that folder)")
    options = parser.parse_args(arguments)
    try:
        releases = readReleases(options.results)
        if not any(release.points for release in releases):
            raise ValueError(
                f"{options.results}: there are no results yet; make some by"
                " 'python -m bench.gates --release'"
            )
        file = options.to or options.results / "gates.svg"
        file.write_text(draw(releases))
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
    print(file)


if __name__ == "__main__":
    main(sys.argv[1:])
