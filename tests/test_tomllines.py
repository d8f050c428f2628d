"""
Tests for L{msgserver.tomllines}: where each key of a TOML document stands.
"""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from msgserver.tomllines import KeyPath, locateKeys


class LocateKeysTests(SynchronousTestCase):
    """Documents as people write them."""

    def assertLines(self, source: str, lines: dict[str, int]) -> None:
        """See exactly these keys found, written with dots, on these lines."""
        tomllib.loads(source)
        found = {".".join(path): line for path, line in locateKeys(source).items()}
        self.assertEqual(found, lines)

    def test_empty(self) -> None:
        """Where nothing is, nothing is found."""
        self.assertLines("", {})
        self.assertLines("\n# key = 1\n\n", {})

    def test_sections(self) -> None:
        """Keys belong to the header above them, and a table is where its header is."""
        self.assertLines(
            'top = 1\n\n[gate] # a comment\nlisten = "tcp:1"\r\n  maxclient = 5\n[ login ]\nx=1.5',
            {"top": 1, "gate": 3, "gate.listen": 4, "gate.maxclient": 5, "login": 6, "login.x": 7},
        )

    def test_dotted(self) -> None:
        """A dotted key names the tables on its way, and so does a header."""
        self.assertLines("a . b.c = 1\n", {"a.b.c": 1, "a": 1, "a.b": 1})
        self.assertLines("\n[a.b]\nc = 2", {"a.b": 2, "a": 2, "a.b.c": 3})

    def test_headerAfterwards(self) -> None:
        """A table that is named before its header is where its header is."""
        self.assertLines(
            "[gate.options]\nx = 1\n[gate]\ny = 2",
            {"gate.options": 1, "gate": 3, "gate.options.x": 2, "gate.y": 4},
        )

    def test_quotedKeys(self) -> None:
        """A quoted key is what it says, not how it is written."""
        self.assertEqual(
            locateKeys("'a.b' = 1\n\"c\\u0064\" . e = 2"),
            {("a.b",): 1, ("cd", "e"): 2, ("cd",): 2},
        )

    def test_strings(self) -> None:
        """What looks like a key inside of a string is none, whatever quotes are in it."""
        self.assertLines(
            'a = "x = 1 # \\" ["\nb = \'\\\'\nc = """\n[d]\ne = 1\n\\""" """""\n'
            "f = '''\n[g]\n''''\nh = 1",
            {"a": 1, "b": 2, "c": 3, "f": 7, "h": 10},
        )

    def test_quotesAtTheEnd(self) -> None:
        """One or two quotes before the three that close a string begin no other."""
        for quote in "\"'":
            for extra in (quote, quote * 2):
                closing = quote * 3 + extra
                self.assertLines(
                    f"a = {quote * 3}x{closing}\nb = {quote}{quote}\nc = {quote}x{quote}",
                    {"a": 1, "b": 2, "c": 3},
                )

    def test_arrays(self) -> None:
        """What is in an array has no path, however many lines it takes."""
        self.assertLines(
            'a = [ # ]\n  "x]",\n  [1, 2], {b = 1},\n]\nc = [[]]\nd = []',
            {"a": 1, "c": 5, "d": 6},
        )

    def test_inlineTables(self) -> None:
        """Keys of an inline table are found, on the lines that they are on."""
        self.assertLines(
            'a = { b = 1, "c" = { d.e = [\n1 ] }, f = """\n""", g = 1979-05-27 07:32:00Z }\nh = {}',
            {
                **{"a": 1, "a.b": 1, "a.c": 1, "a.c.d": 1, "a.c.d.e": 1},
                **{"a.f": 2, "a.g": 3, "h": 4},
            },
        )

    def test_arraysOfTables(self) -> None:
        """A table that is written several times is where it is written last."""
        self.assertLines("[[a]]\nb = 1\n[[a]]\nb = 2", {"a": 3, "a.b": 4})


_SCALARS = [
    *("1", "-1.5e3", "0x1F", "true", "nan", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00.5"),
    *('"a = [1] # \\" {"', "'\\'", '""', "''", '"""x"y""z"""', '""""a" """""', "'''a\n'b'''''"),
    *('"""a""""', "'''a''''"),
    *('"""\n[table]\nkey = 1\n\\\\"""', '"é\\u00e9"', "07:32:00"),
]
_BLANKS = ["", " ", "\t"]
_NEWLINES = ["\n", "\r\n", "\n\n", "  # a = 'b\n", ' # """ [\r\n\n']


class _Document:
    """A valid TOML document, written as it is drawn, with where its keys are."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.source = ""
        self.lines: dict[KeyPath, int] = {}
        self._draw = draw
        self._names = 0
        self._keyValues(())
        for _ in range(draw(st.integers(0, 3))):
            opening, closing = draw(st.sampled_from([("[", "]"), ("[[", "]]")]))
            self.source += draw(st.sampled_from(_BLANKS)) + opening
            path = self._key(())
            self.source += closing
            self._oneOf(_NEWLINES)
            self._keyValues(path)

    def _oneOf(self, texts: list[str]) -> None:
        self.source += self._draw(st.sampled_from(texts))

    def _keyValues(self, table: KeyPath) -> None:
        for _ in range(self._draw(st.integers(0, 3))):
            self._keyValue(table)
            self._oneOf(_NEWLINES)

    def _keyValue(self, table: KeyPath | None) -> None:
        self._oneOf(_BLANKS)
        path = self._key(table)
        self.source += "="
        self._oneOf(_BLANKS)
        self._value(None if table is None else path)

    def _key(self, table: KeyPath | None) -> KeyPath:
        """Write a key, of one part or several; each name is there once only."""
        line = 1 + self.source.count("\n")
        path = table or ()
        for number in range(self._draw(st.integers(1, 3))):
            self._names += 1
            name = (
                f"{self._draw(st.sampled_from(['k', '-1', 'a.b', 'é ', '#[', '=']))}{self._names}"
            )
            quotes = ["", '"', "'"] if name.isascii() and name.strip("-_").isalnum() else ['"', "'"]
            quote = self._draw(st.sampled_from(quotes))
            self.source += f"{'.' if number else ''}{quote}{name}{quote}"
            path += (name,)
            if table is not None:
                self.lines[path] = line
        self._oneOf(_BLANKS)
        return path

    def _value(self, path: KeyPath | None, depth: int = 3) -> None:
        kind = self._draw(st.sampled_from(["scalar", "array", "table"])) if depth else "scalar"
        if kind == "scalar":
            self._oneOf(_SCALARS)
            return
        self.source += "[" if kind == "array" else "{"
        for number in range(self._draw(st.integers(0, 3))):
            self.source += "," if number else ""
            if kind == "array":
                self._oneOf(_BLANKS + _NEWLINES)
                self._value(None, depth - 1)
                self._oneOf(_BLANKS + _NEWLINES)
            else:
                self._keyValue(path)
        self.source += " ]" if kind == "array" else " }"


@st.composite
def _documents(draw: st.DrawFn) -> _Document:
    return _Document(draw)


class PropertyTests(SynchronousTestCase):
    """Documents as nobody writes them."""

    @given(_documents())
    def test_everyDocument(self, document: _Document) -> None:
        """Every key of every valid document is found, on its line, and nothing else is."""
        tomllib.loads(document.source)
        self.assertEqual(locateKeys(document.source), document.lines)
