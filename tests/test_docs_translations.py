"""
A page in Chinese keeps up with the page that it translates.

No test reads Chinese. But what is not prose is the same on both pages: the code, the names, the
shape, and where the links lead. So a change of the one page that the other has not had shows here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from posixpath import dirname, join, normpath

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.pages import PAGES, ROOT, blocks, read

TRANSLATIONS = {
    "README.md": "README.zh.md",
    "docs/tutorial.md": "docs/tutorial.zh.md",
}
"""Each page that there is in Chinese too, and that one."""

_ORIGINALS = {translation: page for page, translation in TRANSLATIONS.items()}

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.*)\n", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)]+)\)")
_CODE = re.compile(r"`([^`]+)`")


@frozen
class Section:
    """
    What is under a heading, up to the next one of whichever level, without its blocks of code.

    @ivar level: of the heading; 1 is the title's.
    """

    level: int
    heading: str
    text: str

    @property
    def anchor(self) -> str:
        """What a link to it ends in, as sites that show Markdown make it of the heading."""
        return re.sub(r"[^\w\- ]", "", self.heading.lower()).replace(" ", "-")


def sections(page: str) -> list[Section]:
    """List the sections of a page, in their order."""
    _, *parts = _HEADING.split(_FENCED.sub("", read(page)))
    return [
        Section(len(level), heading, text)
        for level, heading, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    ]


def sectionPairs() -> Iterator[tuple[str, str, Section, Section]]:
    """Give each section of a page with the one in its place on the translation, and both pages."""
    for page, translation in TRANSLATIONS.items():
        for ours, theirs in zip(sections(page), sections(translation), strict=True):
            yield page, translation, ours, theirs


def targets(page: str, text: str) -> list[str]:
    """
    List where the links of a part of a page lead, sorted, as the page in English would say it.

    What leads to a translation is told as the same place of its original. The links between a
    page and its own translation are left out: each has but the one to the other.

    @raise ValueError: a link leads to a heading that its page does not have.
    """
    found = []
    for link in _LINK.findall(text):
        if link.startswith("https://"):
            found.append(link)
            continue
        file, _, anchor = link.partition("#")
        target = normpath(join(dirname(page), file)) if file else page
        original = _ORIGINALS.get(target, target)
        if file and not anchor and original == _ORIGINALS.get(page, page):
            continue
        found.append(f"{original}#{_inEnglish(target, anchor)}")
    return sorted(found)


def _inEnglish(target: str, anchor: str) -> str:
    """Give the anchor on the original that is in the place of one on a translation."""
    if not anchor or target not in _ORIGINALS:
        return anchor
    place = [section.anchor for section in sections(target)].index(anchor)
    return sections(_ORIGINALS[target])[place].anchor


def _names(text: str) -> list[str]:
    # Lines are broken elsewhere in Chinese.
    return sorted({" ".join(name.split()) for name in _CODE.findall(text)})


def _rows(text: str) -> list[list[str]]:
    """Give the names in each row of the tables."""
    return [_names(line) for line in text.splitlines() if line.startswith("|")]


class TranslationTests(SynchronousTestCase):
    """Two pages that say the same have the same in them."""

    def test_known(self) -> None:
        """Each page in Chinese is looked at here."""
        found = {*ROOT.glob("*.zh.md"), *ROOT.glob("docs/**/*.zh.md")}
        self.assertEqual({str(path.relative_to(ROOT)) for path in found}, set(_ORIGINALS))

    def test_tested(self) -> None:
        """What is translated is a page that has tests, which so hold for the translation."""
        self.assertLessEqual(set(TRANSLATIONS), set(PAGES))

    def test_blocks(self) -> None:
        """The blocks of code are the same, in the same order, to the byte."""
        for page, translation in TRANSLATIONS.items():
            ours, theirs = (
                [(block.language, block.code) for block in blocks(each)]
                for each in (page, translation)
            )
            self.assertEqual(theirs, ours, translation)

    def test_headings(self) -> None:
        """There are as many headings, at the same levels, and no two of them the same."""
        for page, translation in TRANSLATIONS.items():
            ours, theirs = sections(page), sections(translation)
            self.assertEqual([each.level for each in theirs], [each.level for each in ours])
            self.assertEqual(len({each.anchor for each in theirs}), len(theirs), translation)

    def test_links(self) -> None:
        """Each section has the links of its original, to the same places."""
        for page, translation, ours, theirs in sectionPairs():
            place = f"{translation}, {theirs.heading}"
            self.assertEqual(targets(translation, theirs.text), targets(page, ours.text), place)

    def test_names(self) -> None:
        """Each section tells of the same names, options and values."""
        for _, translation, ours, theirs in sectionPairs():
            place = f"{translation}, {theirs.heading}"
            self.assertEqual(_names(theirs.text), _names(ours.text), place)

    def test_tables(self) -> None:
        """The tables have the same rows, in the same order, by the names in them."""
        for _, translation, ours, theirs in sectionPairs():
            place = f"{translation}, {theirs.heading}"
            self.assertEqual(_rows(theirs.text), _rows(ours.text), place)

    def test_eachOther(self) -> None:
        """A reader of either page finds the other, above its first section."""
        for page, translation in TRANSLATIONS.items():
            for here, there in ((page, translation), (translation, page)):
                links = _LINK.findall(sections(here)[0].text)
                found = {normpath(join(dirname(here), link)) for link in links}
                self.assertIn(there, found, f"{here} has no link to {there}")
