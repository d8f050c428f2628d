"""
Command lines of the benchmarks.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable

import twisted


def number(least: int, most: int) -> Callable[[str], int]:
    """Give the type of an option that takes a whole number from C{least} to C{most}."""

    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise ArgumentTypeError(f"{text!r} is no number from {least} to {most}")
        return int(text)

    return read


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Give the type of an option that takes seconds, from C{least} to C{most}."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not least <= value <= most:
            raise ArgumentTypeError(f"{text!r} are no seconds from {least:g} to {most:g}")
        return value

    return read


def endInOrder() -> None:
    """Have this program end on SIGTERM as on Ctrl-C: what it has started is ended first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def machineFacts() -> dict[str, str | int | float | None]:
    """Tell what this runs on."""
    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "twisted": twisted.__version__,
        "load before": round(os.getloadavg()[0], 2),
    }
