"""
Where each key of a TOML document stands, which C{tomllib} does not tell.

This is no parser: it trusts that C{tomllib} has read the document without complaint, and
only tells keys from values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from tomllib import loads
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str, ...]
"""A key's full name, with a part for each table on the way: C{("gate", "maxclient")}."""

_TOKEN = re.compile(
    r"""
    (?P<blank> [^\S\n]+ | \#[^\n]* )
    # Up to two quotes may stand right before the three that close: they are the string's.
  | \"{3} (?: \\. | [^\\] )*? \"{3,5} | '{3} .*? '{3,5}
  | " (?: \\. | [^"\\] )* " | ' [^']* '
  | [][{}=,.\n]
  | [^][{}=,.\s\#"']+
    """,
    re.VERBOSE | re.DOTALL,
)
_END = "\n"


def locateKeys(source: str) -> dict[KeyPath, int]:
    """
    Tell the line, from 1, of each key and table.

    A table with a header is where its header is; one without, where it is first named. Keys
    inside of arrays, arrays of tables written as headers aside, have no path and are left out.

    @param source: what C{tomllib.loads} accepts.
    """
    walk = _Walk(source)
    walk.document()
    return walk.lines


def _tokens(source: str) -> Iterator[tuple[str, int]]:
    line = 1
    for match in _TOKEN.finditer(source):
        text = match.group()
        if match.lastgroup != "blank":
            yield text, line
        line += text.count("\n")
    yield _END, line


class _Walk:
    """One walk over a document, token by token; C{_rest} holds what is ahead, reversed."""

    def __init__(self, source: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._rest = list(_tokens(source))[::-1]

    def document(self) -> None:
        table: KeyPath = ()
        while self._rest:
            if self._next == "[":
                table = self._header()
            elif self._next == _END:
                self._rest.pop()
            else:
                self._keyAndValue(table)

    @property
    def _next(self) -> str:
        return self._rest[-1][0]

    def _header(self) -> KeyPath:
        while self._next == "[":
            _, line = self._rest.pop()
        path = self._key("]")
        self._note(path, line)
        self._skipTo(_END)
        return path

    def _keyAndValue(self, table: KeyPath | None) -> None:
        _, line = self._rest[-1]
        key = self._key("=")
        if table is None:
            self._value(None)
        else:
            self._note(table + key, line)
            self._value(table + key)

    def _key(self, end: str) -> KeyPath:
        parts = []
        while (text := self._rest.pop()[0]) != end:
            if text[0] in "\"'":
                parts.append(loads(f"key = {text}")["key"])
            elif text != ".":
                parts.append(text)
        return tuple(parts)

    def _value(self, path: KeyPath | None) -> None:
        """Pass a value; C{path} is its key's, or None inside of an array."""
        if self._next == "[":
            for _ in self._items("]"):
                self._value(None)
        elif self._next == "{":
            for _ in self._items("}"):
                self._keyAndValue(path)
        else:
            self._skipTo(",", "]", "}", _END)

    def _items(self, end: str) -> Iterator[None]:
        """Stop at the beginning of each item up to the bracket that ends them; pass that."""
        self._rest.pop()
        while self._next != end:
            if self._next in (",", _END):
                self._rest.pop()
            else:
                yield
        self._rest.pop()

    def _skipTo(self, *ends: str) -> None:
        while self._next not in ends:
            self._rest.pop()

    def _note(self, path: KeyPath, line: int) -> None:
        self.lines[path] = line
        for length in range(1, len(path)):
            self.lines.setdefault(path[:length], line)
