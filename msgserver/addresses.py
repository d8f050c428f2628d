"""
The addresses of a gate: where clients are sent to, and one for each of its processes.

The strings C{{host}} and C{{port}} in what a config says of a gate stand for the address of
the process that reads it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import TypeAlias

from attrs import frozen
from twisted.internet.endpoints import quoteStringArgument

from msgserver.configvalues import isNot

HostAndPort: TypeAlias = tuple[str, int]
"""A host, empty where none is said and without the brackets of IPv6; and a port."""

_HOST = r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+"
_ADDRESS = re.compile(rf"({_HOST}):([0-9]{{1,5}})")
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_PLACEHOLDERS = ("{host}", "{port}")


@frozen
class Address:
    """Where clients are sent to; a string of ASCII, because it goes over the wire (L5)."""

    def __str__(self) -> str:
        return 'a string of the form "host:port", with a port from 1 to 65535, or ""'

    def read(self, value: object) -> str:
        if value == "":
            return ""
        if not isinstance(value, str):
            raise isNot(self, value)
        # Any address will do here: what they come to be is read once more.
        match = _ADDRESS.fullmatch(value.replace("{host}", "a").replace("{port}", "1"))
        if match is None or not _isPort(int(match[2])):
            raise isNot(self, value)
        return value


@frozen
class Addresses:
    """Where the processes of a gate are, in their order."""

    def __str__(self) -> str:
        return 'a list of strings, each "port", "first-last" (ports) or "host:port"'

    def read(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise isNot(self, value)
        try:
            expanded = expandAddresses(value)
        except ValueError:
            raise isNot(self, value) from None
        for (host, port), count in Counter(expanded).most_common(1):
            if count > 1:
                place = f"{host}:{port}" if host else port
                raise ValueError(f"must name each once, not {place} {count} times")
        return tuple(value)


def expandAddresses(texts: Sequence[str]) -> tuple[HostAndPort, ...]:
    """
    List the addresses that C{texts} say.

    @raise ValueError: one of them is none of what L{Addresses} allows.
    """
    return tuple(chain.from_iterable(map(_expand, texts)))


def placeholderIn(text: str) -> str:
    """Tell the first of the placeholders that C{text} has; nothing where it has none."""
    return next((each for each in _PLACEHOLDERS if each in text), "")


def fillEndpoint(text: str, address: HostAndPort) -> str:
    """
    Put an address into an endpoint string.

    @raise ValueError: the address has no host, and the string wants one.
    """
    return _fill(text, quoteStringArgument(address[0]), address[1])


def fillAddress(text: str, address: HostAndPort) -> str:
    """
    Put an address into one that clients are told.

    @raise ValueError: what that makes is no address.
    """
    host, port = address
    filled = _fill(text, f"[{host}]" if ":" in host else host, port)
    return Address().read(filled)


def _fill(text: str, host: str, port: int) -> str:
    if not host and "{host}" in text:
        raise ValueError(f'"{text}" has a {{host}}, but the address "{port}" has none')
    return text.replace("{host}", host).replace("{port}", str(port))


def _expand(text: str) -> list[HostAndPort]:
    if match := _ADDRESS.fullmatch(text):
        found = [(match[1].strip("[]"), int(match[2]))]
    elif match := _PORTS.fullmatch(text):
        found = [("", port) for port in range(int(match[1]), int(match[2] or match[1]) + 1)]
    else:
        found = []
    if not found or not all(_isPort(port) for _, port in found):
        raise ValueError(f'"{text}" is no address')
    return found


def _isPort(number: int) -> bool:
    return 1 <= number <= 0xFFFF
