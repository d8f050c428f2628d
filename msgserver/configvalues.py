"""
What a setting may be: the kinds of values, strict in their types.

A kind reads what C{tomllib} gives, and its text completes the sentence "must be ...". A value
that is none of the kind is a C{ValueError} that says so, and what the value is. What is in a table,
or in place of one, is never told, nor is a key: these are secrets, or may hold some (L6).
"""

from __future__ import annotations

import json
import re
from ipaddress import ip_network
from typing import Any, Protocol

from attrs import frozen

YEAR = 365 * 24 * 3600
"""The longest time that a setting takes, in seconds."""

_HIGHEST_RATE = 1_000_000
_DOTTED_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_KEY_LENGTHS = (16, 256)
_LONGEST_SHOWN = 60


class Kind(Protocol):
    """A kind of values."""

    def __str__(self) -> str:
        """Say what is allowed."""

    def read(self, value: object) -> object:
        """
        Turn what a TOML file says into the setting's value.

        @raise ValueError: it is not allowed; with what is.
        """


def about(
    kind: Kind, doc: str, unit: str = "", example: str = "", isLimit: bool | None = None
) -> dict[str, Any]:
    """
    Gather what is to be known of a setting, as the metadata of its attribute.

    @param unit: of its number; empty where it is none.
    @param example: what an example says where there is no default.
    @param isLimit: something happens past its number; None where it is one if it has a unit.
    """
    isLimit = bool(unit) if isLimit is None else isLimit
    return {"kind": kind, "doc": doc, "unit": unit, "example": example, "isLimit": isLimit}


@frozen
class WholeNumber:
    """
    An integer.

    @ivar most: the greatest allowed, or None where there is no such.
    """

    least: int
    most: int | None = None

    def __str__(self) -> str:
        if self.most is None:
            return f"a whole number, {self.least} or more"
        return f"a whole number from {self.least} to {self.most}"

    def read(self, value: object) -> int:
        # A bool is an int to Python, but true is no number to whoever writes a file.
        if not isinstance(value, int) or isinstance(value, bool) or value < self.least:
            raise isNot(self, value)
        if self.most is not None and value > self.most:
            raise isNot(self, value)
        return value


@frozen
class Seconds:
    """
    A time, in seconds.

    @ivar zeroMeans: what 0 says; empty where 0 is not allowed.
    """

    zeroMeans: str = ""

    def __str__(self) -> str:
        text = f"a number above 0, at most {YEAR} (a year)"
        return f"{text}, or 0: {self.zeroMeans}" if self.zeroMeans else text

    def read(self, value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise isNot(self, value)
        # Asked this way around because no comparison with nan is true.
        if not (0 < value <= YEAR or (self.zeroMeans and value == 0)):
            raise isNot(self, value)
        return float(value)


@frozen
class Rate:
    """
    How often something may happen, in times a second.

    @ivar zeroMeans: what 0 says; empty where 0 is not allowed.
    """

    zeroMeans: str = ""

    def __str__(self) -> str:
        text = f"a number above 0, at most {_HIGHEST_RATE}"
        return f"{text}, or 0: {self.zeroMeans}" if self.zeroMeans else text

    def read(self, value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise isNot(self, value)
        if not (0 < value <= _HIGHEST_RATE or (self.zeroMeans and value == 0)):
            raise isNot(self, value)
        return float(value)


@frozen
class Flag:
    """Yes or no."""

    def __str__(self) -> str:
        return "true or false"

    def read(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise isNot(self, value)
        return value


@frozen
class Name:
    """A string that says something."""

    def __str__(self) -> str:
        return "a string that is not empty"

    def read(self, value: object) -> str:
        if not isinstance(value, str) or not value:
            raise isNot(self, value)
        return value


@frozen
class DottedPath:
    """Where a Python object is to be found."""

    def __str__(self) -> str:
        return 'a string of the form "package.module:Name"'

    def read(self, value: object) -> str:
        if not isinstance(value, str) or not _DOTTED_PATH.fullmatch(value):
            raise isNot(self, value)
        return value


@frozen
class Choice:
    """One of a few words."""

    choices: tuple[str, ...]

    def __str__(self) -> str:
        return " or ".join(f'"{choice}"' for choice in self.choices)

    def read(self, value: object) -> str:
        if value not in self.choices:
            raise isNot(self, value)
        return str(value)


@frozen
class Strings:
    """
    A list of strings, at least one.

    @ivar what: what they are, in the plural.
    @ivar choices: the only ones allowed; empty where any are.
    @ivar emptyMeans: what an empty list says; empty where that is not allowed.
    """

    what: str
    choices: tuple[str, ...] = ()
    emptyMeans: str = ""

    def __str__(self) -> str:
        known = f" ({Choice(self.choices)})" if self.choices else ""
        text = f"a list of one or more {self.what}{known}"
        return f"{text}, or []: {self.emptyMeans}" if self.emptyMeans else text

    def read(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not (value or self.emptyMeans):
            raise isNot(self, value)
        for item in value:
            if not isinstance(item, str) or (self.choices and item not in self.choices):
                raise isNot(self, value)
        if len(set(value)) < len(value):
            raise ValueError(f"must name each once, not {_shown(value)}")
        return tuple(value)


@frozen
class Port:
    """The number of a port."""

    def __str__(self) -> str:
        return "a port, from 1 to 65535"

    def read(self, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 0xFFFF:
            raise isNot(self, value)
        return value


@frozen
class Networks:
    """Addresses by what they begin with."""

    def __str__(self) -> str:
        return 'a list of strings, each an IP address or a network ("10.0.0.0/8", "fd00::/8")'

    def read(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise isNot(self, value)
        for item in value:
            try:
                ip_network(item)
            except ValueError as error:
                raise ValueError(f"must be {self}: {error}") from None
        return tuple(value)


@frozen
class Table:
    """A table, whatever is in it."""

    def __str__(self) -> str:
        return "a table"

    def read(self, value: object) -> dict[str, object]:
        if not isinstance(value, dict):
            # What it is instead is not told: it may well be a secret.
            raise ValueError(f"must be {self}")
        return value


@frozen
class Key:
    """
    A secret that two ends share. It is told to nobody else, not even in a mistake (L6).

    @ivar emptyMeans: what "" says; empty where that is not allowed.
    """

    emptyMeans: str = ""

    def __str__(self) -> str:
        text = "a string of {} to {} printable ASCII characters".format(*_KEY_LENGTHS)
        return f'{text}, or "": {self.emptyMeans}' if self.emptyMeans else text

    def read(self, value: object) -> str:
        if value == "" and self.emptyMeans:
            return ""
        least, most = _KEY_LENGTHS
        if not isinstance(value, str) or not least <= len(value) <= most:
            raise ValueError(f"must be {self}")
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"must be {self}")
        return value


@frozen
class Keys:
    """A table of names, and the key of each."""

    def __str__(self) -> str:
        return f"a table of names and keys, each {Key()}"

    def read(self, value: object) -> dict[str, str]:
        keys = {}
        for name, key in Table().read(value).items():
            try:
                keys[Name().read(name)] = Key().read(key)
            except ValueError:
                raise ValueError(f"must be {self}; that of {_shown(name)} is none") from None
        return keys


@frozen
class PemFile:
    """Where a file of certificates or a private key is."""

    def __str__(self) -> str:
        return 'the path of a PEM file, or ""'

    def read(self, value: object) -> str:
        if not isinstance(value, str):
            raise isNot(self, value)
        return value


def tomlText(value: object) -> str:
    """
    Write a setting's value as TOML.

    @param value: a number, a string, a flag, a tuple of those, or an empty table: of these,
        JSON is TOML.
    """
    return json.dumps(value, ensure_ascii=False)


def isNot(kind: Kind, value: object) -> ValueError:
    """Make the mistake that a value is none of a kind."""
    return ValueError(f"must be {kind}, not {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        text = f"[{', '.join(map(_shown, value))}]"
    elif isinstance(value, bool | str):
        text = tomlText(value)
    else:
        text = str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
