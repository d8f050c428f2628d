"""
The values of options, each read or refused in one line: what L{argparse} calls a type.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from math import isfinite


def secondsOrNone(text: str) -> float:
    """Read a number of seconds, which may be 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not isfinite(seconds) or seconds < 0:
        raise ArgumentTypeError("a number of seconds is wanted")
    return seconds


def seconds(text: str) -> float:
    """Read a number of seconds over 0."""
    seconds = secondsOrNone(text)
    if not seconds:
        raise ArgumentTypeError("a number of seconds over 0 is wanted")
    return seconds


def number(text: str) -> int:
    """Read a number from 1 up."""
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("a number from 1 up is wanted")
    return int(text)
