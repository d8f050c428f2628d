"""
The pages of the documentation, taken apart for their tests.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "docs/tutorial.md",
    "docs/protocol.md",
    "docs/running.md",
    "docs/operating.md",
    "docs/monitoring.md",
    "docs/security.md",
    "docs/handlers.md",
    "docs/agents.md",
    "docs/push.md",
    "docs/load-testing.md",
    "docs/testing.md",
    "docs/migrating.md",
    "docs/clients.md",
    "docs/asyncio.md",
    "docs/command-line.md",
    "docs/guarantees.md",
    "docs/benchmarks.md",
    "docs/deploy.md",
    "docs/tls.md",
    "docs/gates.md",
    "docs/design.md",
    "docs/index.md",
    "docs/reference/config.md",
    "docs/reference/metrics.md",
    "docs/reference/interfaces.md",
)

_FENCE = "```"
_FILE = re.compile(r"\bin `(\w+\.\w+)`", re.IGNORECASE)
_CELL = re.compile(r"(?<!\\)\|")


@frozen
class Block:
    """
    A fenced block of code.

    @ivar place: the page and the line that the block begins at, for whoever must find it.
    @ivar file: the file that the sentence before it says it is, such as C{hello.py}.
    """

    place: str
    language: str
    code: str
    file: str | None


def read(page: str) -> str:
    """Read a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """
    List the blocks of a page, in their order.

    @raise ValueError: a fence is left open, or stands where this does not look for one.
    """
    found: list[Block] = []
    begun: tuple[int, str] | None = None
    lines = read(page).splitlines()
    for number, line in enumerate(lines, 1):
        if not line.startswith(_FENCE):
            if begun is None and line.lstrip().startswith((_FENCE, "~~~")):
                raise ValueError(f"{page}:{number}: a fence that is no plain one")
        elif begun is None:
            begun = number, line.removeprefix(_FENCE)
        else:
            start, language = begun
            code = "".join(f"{line}\n" for line in lines[start : number - 1])
            file = _FILE.search(_paragraph(lines[: start - 1]))
            found.append(Block(f"{page}:{start}", language, code, file[1] if file else None))
            begun = None
    if begun is not None:
        raise ValueError(f"{page}:{begun[0]}: a fence that is left open")
    return found


def blocksOf(language: str) -> list[Block]:
    """List the blocks of a language, on all pages."""
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def shownIn(block: Block) -> list[tuple[str, str]]:
    """Give the commands of a block of C{console}, and what it shows of each."""
    parts = re.split(r"^\$ (.*)\n", block.code, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def tables(page: str, heading: str) -> list[list[str]]:
    """
    Give the rows of the tables under a heading, cell by cell, without their heads.

    @param heading: the whole line, C{## Limits}.
    """
    level = heading.split()[0]
    after = read(page).split(f"\n{heading}\n", 1)[1]
    section = re.split(rf"^{level} ", after, maxsplit=1, flags=re.MULTILINE)[0]
    rows: list[list[str]] = []
    for line in section.splitlines():
        if line.startswith("|---"):
            rows.pop()
        elif line.startswith("|"):
            rows.append([cell.strip() for cell in _CELL.split(line)[1:-1]])
    return rows


def source(block: Block) -> str:
    """Give a block's code so that a traceback tells the lines of its page."""
    line = int(block.place.rpartition(":")[2])
    return "\n" * line + block.code


def count(page: str) -> Mapping[str, int]:
    """Count the blocks of a page by language."""
    counted: dict[str, int] = {}
    for block in blocks(page):
        counted[block.language] = counted.get(block.language, 0) + 1
    return counted


def _paragraph(lines: list[str]) -> str:
    text = "\n".join(lines).rstrip()
    return text.rpartition("\n\n")[2] if text.endswith(":") else ""


class FolderTestCase(SynchronousTestCase):
    """A folder with the files that a page names, and the README's, which all take for granted."""

    def setUp(self) -> None:
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name).resolve()
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        # Configs import handlers from the folder, which the next test must not find.
        self.patch(sys, "path", [*sys.path])
        self.addCleanup(self._forgetModules, set(sys.modules))
        self.savePage("README.md")

    def savePage(self, page: str) -> None:
        """Put the blocks of a page where it says, those that it says it of."""
        for block in blocks(page):
            if block.file is not None:
                (self.folder / block.file).write_text(block.code)

    def _forgetModules(self, known: set[str]) -> None:
        for name in set(sys.modules) - known:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file).is_relative_to(self.folder):
                del sys.modules[name]


class PageTestCase(FolderTestCase):
    """
    Runs the blocks of a page, in their order, as one module.

    @cvar page: which page.
    @cvar proved: each class and function that the page defines, and the test that uses it.
    """

    page = ""
    proved: dict[str, str] = {}

    def setUp(self) -> None:
        super().setUp()
        self.prepare()
        self.savePage(self.page)
        self.shown: dict[str, Any] = {"__name__": "shown"}
        self.defined: list[str] = []
        for block in blocks(self.page):
            if block.language == "python":
                tree = ast.parse(source(block), self.page)
                kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
                self.defined += [node.name for node in tree.body if isinstance(node, kinds)]
                exec(compile(tree, self.page, "exec"), self.shown)

    def prepare(self) -> None:
        """Provide what the page's code imports and a reader would have."""

    def proveAll(self) -> None:
        """See to it that no definition is passed over."""
        self.assertEqual(self.defined, list(self.proved))
        for test in self.proved.values():
            self.assertTrue(hasattr(self, test), test)
