"""
What the options of a command line may be: each of these reads one, and complains in a few words.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from math import isfinite
from typing import Any

from msgserver.loadtest.dialogue import KINDS, parseExpectation

MAX_PEM = 1 << 24
"""The most bytes of a file of certificates: all that the world trusts take a fiftieth of it."""

MAX_RATE = 1_000_000
"""How many requests a second may be scheduled: no process asks as many."""

_DIGITS = 18
"""How many digits a number has, at most: there is a number of them that Python does not read."""


def textOf(path: str) -> str:
    """Read a file of text, such as PEM."""
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_PEM + 1).decode("ascii")
    except OSError as error:
        raise ArgumentTypeError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ArgumentTypeError(f"{path} is no PEM file") from None
    if len(text) > MAX_PEM:
        raise ArgumentTypeError(f"{path} has more than {MAX_PEM:,} bytes, and is no PEM file")
    return text


def name(text: str) -> str:
    """Read a name."""
    if not text:
        raise ArgumentTypeError("a name is wanted")
    return text


def label(text: str) -> str:
    """Read a name that is text."""
    try:
        name(text).encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError("a name is wanted, in UTF-8") from None
    return text


def expectation(text: str) -> str:
    """Read what an answer must be."""
    try:
        parseExpectation(text)
    except ValueError:
        raise ArgumentTypeError(f"{KINDS} is wanted") from None
    return text


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    return number if isfinite(number) else -1.0


def secondsOf(text: str) -> float:
    """Read a time, 0 or more."""
    number = _number(text)
    if number < 0 or "-" in text:
        raise ArgumentTypeError("a number of seconds is wanted")
    return number


def positive(text: str) -> float:
    """Read a number above 0."""
    number = _number(text)
    if number <= 0:
        raise ArgumentTypeError("a number above 0 is wanted")
    return number


def rate(text: str) -> float:
    """Read how many requests a second."""
    number = _number(text)
    if not 0 < number <= MAX_RATE:
        raise ArgumentTypeError(f"a number above 0, and at most {MAX_RATE:,}, is wanted")
    return number


def share(text: str) -> float:
    """Read a share, 0 to 1, or in percent."""
    number = _number(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= number <= 1:
        raise ArgumentTypeError("a share is wanted: 5%, or 0.05")
    return number


def whole(least: int, most: int) -> Callable[[str], int]:
    """Make a reader of whole numbers."""

    def read(text: str) -> int:
        isNumber = text.isascii() and text.isdecimal() and len(text) <= _DIGITS
        number = int(text) if isNumber else -1
        if not least <= number <= most:
            raise ArgumentTypeError(f"a number from {least:,} to {most:,} is wanted")
        return number

    return read


def rangeOf(read: Callable[[str], Any]) -> Callable[[str], tuple[Any, Any]]:
    """Make a reader of one value, or of two with a dash between them."""

    def readBoth(text: str) -> tuple[Any, Any]:
        least, dash, most = text.partition("-")
        pair = read(least), read(most if dash else least)
        if pair[0] > pair[1]:
            raise ArgumentTypeError("the least is wanted first, and then the most")
        return pair

    return readBoth
