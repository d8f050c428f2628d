"""
What a page in Chinese says in digits and in lists is what its original says, and none of it was
left in English. The rest of what can be compared is L{tests.test_docs_translations}'s.
"""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.pages import read
from tests.test_docs_translations import TRANSLATIONS, sectionPairs

_CODE = re.compile(r"`[^`]+`")
_LINK = re.compile(r"\]\([^)]+\)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])\d[\d,.]*\d|(?<![\w.,])\d(?![\w.,]*\d)")
_ITEM = re.compile(r"^(?:-|\d+\.) ", re.MULTILINE)
_ENGLISH = re.compile(r"(?:[A-Za-z]{2,} ){4,}")


def plain(text: str) -> str:
    """Give a text without code, and without where its links lead."""
    return _LINK.sub("]", _CODE.sub("", _FENCED.sub("", text)))


class ChineseTests(SynchronousTestCase):
    """The pages side by side."""

    def test_readme(self) -> None:
        """The README is one of them."""
        self.assertEqual(TRANSLATIONS.get("README.md"), "README.zh.md")

    def test_numbers(self) -> None:
        """Each number of the README stands in the same section."""
        for page, translation, ours, theirs in sectionPairs():
            if page == "README.md":
                found, expected = (set(_NUMBER.findall(plain(x.text))) for x in (theirs, ours))
                self.assertEqual(found, expected, f"{translation}, {theirs.heading}")

    def test_items(self) -> None:
        """Lists have as many items."""
        for _, translation, ours, theirs in sectionPairs():
            found, expected = (
                len(re.findall(r"^(?:-|\d+\.) ", each.text, re.MULTILINE))
                for each in (theirs, ours)
            )
            self.assertEqual(found, expected, f"{translation}, {theirs.heading}")

    def test_isChinese(self) -> None:
        """No sentence was left in English."""
        for translation in TRANSLATIONS.values():
            self.assertEqual(_ENGLISH.findall(plain(read(translation))), [], translation)
