"""
The pages of the code, which pydoctor makes within the site; and how it links to those of others.
"""

from __future__ import annotations

import ast
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path

from attrs import frozen
from pydoctor.driver import main as pydoctor  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.logging import getLogger
from zope.interface.interface import InterfaceClass

import msgserver

_logger = getLogger(__name__)

_PACKAGE = Path(msgserver.__file__).parent
_TWISTED = "https://docs.twisted.org/en/stable/api/"

_PYTHON = "https://docs.python.org/3/library/"
_PAGES = {"asyncio.Future": "asyncio-future"}
"""Of Python's modules that have several pages, which has what."""


@frozen
class Named:
    """
    What has a place on a site of somebody else's.

    @ivar kind: what Sphinx calls it: C{class}, C{method} and so on.
    @ivar page: where it is, within the site.
    """

    name: str
    kind: str
    page: str


def twistedNames() -> Iterator[Named]:
    """Tell where Twisted's pages have what is imported here, or named in full."""
    for module, name in sorted(set(_importsOfTwisted())):
        # There is no reactor yet, nor shall there be one.
        value = getattr(import_module(module), name, None)
        if isinstance(value, type | InterfaceClass):
            page = f"{module}.{name}.html"
            yield Named(f"{module}.{name}", "class", page)
            members = value.names(all=True) if isinstance(value, InterfaceClass) else dir(value)
            for member in members:
                yield Named(f"{module}.{name}.{member}", "method", f"{page}#{member}")
        elif callable(value):
            yield Named(f"{module}.{name}", "function", f"{module}.html#{name}")


def _importsOfTwisted() -> Iterator[tuple[str, str]]:
    for text in _sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("twisted."):
                yield from ((str(node.module), alias.name) for alias in node.names)
        # And those that a docstring names in full.
        yield from re.findall(r"L\{(twisted(?:\.[a-z]\w*)+)\.([A-Z]\w*)", text)


def pythonNames() -> Iterator[Named]:
    """Tell where Python's pages have what a docstring names in full."""
    found = {name for text in _sources() for name in re.findall(r"L\{([a-z][\w.]*)\}", text)}
    for name in sorted(found):
        module, _, rest = name.partition(".")
        if module in sys.stdlib_module_names and _has(import_module(module), rest):
            page = next((_PAGES[each] for each in _PAGES if name.startswith(each)), module)
            yield Named(name, "attribute" if rest else "module", f"{page}.html#{name}")


def _has(value: object, path: str) -> bool:
    for name in path.split(".") if path else ():
        if not hasattr(value, name):
            return False
        value = getattr(value, name)
    return True


def _sources() -> Iterator[str]:
    for file in _PACKAGE.rglob("*.py"):
        yield file.read_text(encoding="utf-8")


def writeInventory(file: Path, names: Iterable[Named]) -> None:
    """
    Write what pydoctor must know to link to the pages of somebody else.

    They serve such files themselves, but nothing is fetched to make the site.
    """
    lines = [f"{each.name} py:{each.kind} -1 {each.page} -\n" for each in names]
    head = b"# Sphinx inventory version 2\n# Project: \n# Version: \n# zlib\n"
    file.write_bytes(head + zlib.compress("".join(lines).encode()))


def makePages(app: Sphinx, config: Config) -> None:
    """Have the pages of the code made, so that others can link to them."""
    folder = Path(app.outdir, "api")
    links: list[str] = []
    Path(app.doctreedir).mkdir(parents=True, exist_ok=True)
    for url, names in ((_TWISTED, twistedNames()), (_PYTHON, pythonNames())):
        file = Path(app.doctreedir, f"{len(links)}.inv")
        writeInventory(file, names)
        links.append(f"--intersphinx-file={file}::{url}")
    arguments = [
        *("--quiet", "--make-html", "--docformat=epytext", f"--html-output={folder}"),
        *(f"--project-name={config.project}", f"--project-version={config.release}"),
        "--project-url=../index.html",
        f"--project-base-dir={_PACKAGE.parent}",
        *links,
        str(_PACKAGE),
    ]
    with redirect_stdout(StringIO()) as said:
        pydoctor(arguments)
    for line in said.getvalue().splitlines():
        _logger.warning("pydoctor: %s", line)
    # As Sphinx has it: where it is read is not where it is linked to.
    config.intersphinx_mapping["api"] = ("api", str(folder / "objects.inv"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.connect("config-inited", makePages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
