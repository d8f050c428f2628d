"""
The site that C{make docs} makes: no warnings, no page that nothing leads to, no link that leads
nowhere, and all of what the code knows of itself.

It is built once for all of these.
"""

from __future__ import annotations

import atexit
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urldefrag

from attrs import define, field, frozen
from twisted.trial.unittest import SynchronousTestCase

import msgserver
from msgserver.config import settings
from tests.pages import PAGES, ROOT, tables
from tests.test_docs_translations import TRANSLATIONS

_SPHINX = "-m sphinx -c docs -b html -n -W --keep-going -q"
"""What C{make docs} calls, but for where it is put."""


@define
class Page(HTMLParser):
    """
    What of a page of HTML matters to links.

    @ivar links: where they lead; C{ids}: what they may lead to.
    @ivar sources: what a browser loads by itself.
    """

    links: list[str] = field(factory=list)
    ids: set[str] = field(factory=set)
    sources: list[str] = field(factory=list)
    language: str = ""
    text: list[str] = field(factory=list)
    paragraphs: list[str] = field(factory=list)
    _isInParagraph: bool = False

    def __attrs_pre_init__(self) -> None:
        HTMLParser.__init__(self)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what leads somewhere."""
        values = {name: value for name, value in attrs if value is not None}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "p":
            self._isInParagraph = True
            self.paragraphs.append("")
        if tag == "html":
            self.language = values.get("lang", "")
        elif tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag in ("script", "img", "iframe") and "src" in values:
            self.sources.append(values["src"])
        elif tag == "link" and "href" in values:
            self.sources.append(values["href"])

    def handle_endtag(self, tag: str) -> None:
        """See where a paragraph ends."""
        if tag == "p":
            self._isInParagraph = False

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text.append(data)
        if self._isInParagraph:
            self.paragraphs[-1] += data


@frozen
class Site:
    """
    The site as it was built.

    @ivar said: what building it wrote.
    @ivar pages: by where they are in it.
    """

    folder: Path
    status: int
    said: str
    pages: dict[str, Page]


_temporary = TemporaryDirectory()
# Trial knows nothing of what comes after a module.
atexit.register(_temporary.cleanup)


@cache
def site() -> Site:
    """Build the site, the first time."""
    folder = Path(_temporary.name, "html")
    finished = subprocess.run(
        [sys.executable, *_SPHINX.split(), "-d", f"{_temporary.name}/doctrees", ".", str(folder)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=240,
    )
    pages = {}
    for file in folder.rglob("*.html"):
        page = Page()
        page.feed(file.read_text(encoding="utf-8"))
        pages[file.relative_to(folder).as_posix()] = page
    return Site(folder, finished.returncode, finished.stdout, pages)


def _isElsewhere(link: str) -> bool:
    return link.startswith(("https:", "http:", "mailto:", "data:"))


class SiteTests(SynchronousTestCase):
    """The site as a whole."""

    maxDiff = None

    def test_noWarnings(self) -> None:
        """It is built without a warning, Sphinx's or pydoctor's."""
        self.assertEqual((site().said, site().status), ("", 0))

    def test_make(self) -> None:
        """C{make docs} builds it as it is built here."""
        self.assertTrue(f"{_SPHINX} " in (ROOT / "Makefile").read_text(), _SPHINX)

    def test_pages(self) -> None:
        """Each page of the documentation is in it, and in the front page's contents."""
        front = "docs/index.html"
        links = site().pages[front].links
        listed = {front, *(_within(f"docs/{urldefrag(link)[0]}") for link in links)}
        for page in (*PAGES, *TRANSLATIONS.values(), "NEWS.md"):
            name = f"{page.removesuffix('.md')}.html"
            self.assertIn(name, site().pages)
            self.assertIn(name, listed)

    def test_links(self) -> None:
        """Each link within it leads to a page that there is, and to a place on it."""
        wrong = []
        for name, page in site().pages.items():
            for link in page.links:
                if link and not _isElsewhere(link):
                    path, anchor = urldefrag(link)
                    target = _within(f"{name}/../{path}") if path else name
                    if not (site().folder / target).exists():
                        wrong.append(f"{name}: {link}")
                    elif anchor and target in site().pages:
                        if unquote(anchor) not in site().pages[target].ids:
                            wrong.append(f"{name}: {link}")
        self.assertEqual(wrong, [])

    def test_noNetwork(self) -> None:
        """Reading it fetches nothing from anywhere else: no fonts, no scripts."""
        for name, page in site().pages.items():
            for source in page.sources:
                self.assertFalse(_isElsewhere(source) or source.startswith("//"), (name, source))

    def test_languages(self) -> None:
        """Pages in Chinese say so, and have no spaces where lines of the source end."""
        for name, page in site().pages.items():
            if not name.startswith("api/") and page.language:
                expected = "zh-CN" if name.endswith(".zh.html") else "en"
                self.assertEqual(page.language, expected, name)
                text = "\0".join(page.paragraphs)
                broken = re.findall("[\u4e00-\u9fff，。：；]\n[\u4e00-\u9fff]+", text)
                self.assertEqual(broken, [], name)


class ReferenceTests(SynchronousTestCase):
    """What is made from the code."""

    def test_settings(self) -> None:
        """Each config key has its place, with what the code says of it."""
        page = site().pages["docs/reference/config.html"]
        text = " ".join("".join(page.text).split())
        for setting in settings():
            self.assertIn(f"setting-{setting.section}.{setting.key}", page.ids)
            default = "Required" if setting.isRequired else f"Default: {setting.defaultText}"
            self.assertIn(f"{setting.doc} Allowed: {setting.range} {default}", text)

    def test_metrics(self) -> None:
        """Each metric has its place, with its kind and its labels."""
        page = site().pages["docs/reference/metrics.html"]
        text = " ".join("".join(page.text).split())
        shown = tables("docs/monitoring.md", "## Metrics")
        for cell, kind, labels, _ in shown:
            name = cell.strip("`")
            self.assertIn(f"metric-{name}", page.ids)
            named = ", ".join(sorted(labels.replace("`", "").split(", "))) or "none"
            # Behind each name there is the sign that links to it.
            said = rf"\b{name}¶ [^¶]*? Kind: {kind} Labels: {named}\b"
            self.assertTrue(re.search(said, text), said)
        self.assertEqual(len([each for each in page.ids if each.startswith("metric-")]), len(shown))

    def test_interfaces(self) -> None:
        """Each name that C{import msgserver} gives leads to its page."""
        page = site().pages["docs/reference/interfaces.html"]
        linked = [link for link in page.links if link.startswith("../../api/")]
        for name in msgserver.__all__:
            self.assertTrue(
                any(link.endswith((f".{name}.html", f"#{name}", f".{name}")) for link in linked),
                name,
            )


def _within(path: str) -> str:
    """Take the dots out of a path, as a browser does."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
