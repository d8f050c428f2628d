"""docs/design.md: its code runs, and its layers are those of the code."""

from __future__ import annotations

import re
from importlib.util import find_spec

from msgserver.config import settings
from tests.pages import ROOT, PageTestCase, read, tables
from tests.test_layers import ALLOWED, PURE

PAGE = "docs/design.md"


class DesignTests(PageTestCase):
    """What the page says of the code."""

    page = PAGE
    proved = {"talk": "test_talk"}

    def test_all(self) -> None:
        """Everything that is defined is used here."""
        self.proveAll()

    def test_talk(self) -> None:
        """Both ends of a login come to an end with each other."""
        admitted = self.shown["talk"](b"a token")
        self.assertEqual((admitted.subid, admitted.address), (b"7", "127.0.0.1:8888"))

    def test_layers(self) -> None:
        """Each layer's modules are there, and none imports what stands below it in the table."""
        above: list[str] = []
        below = [
            (layer, re.findall(r"`msgserver\.([\w.]+)`", modules))
            for layer, modules, _ in tables(PAGE, "## The layers")
        ]
        self.assertGreater(len(below), 5)
        for place, (layer, modules) in enumerate(below):
            later = {name for _, names in below[place + 1 :] for name in names}
            for module in modules:
                self.assertIsNotNone(find_spec(f"msgserver.{module}"), module)
                self.assertEqual(set(ALLOWED[module].split()) & later, set(), (layer, module))
            above += modules
        self.assertEqual(above[-1], "tap")

    def test_pure(self) -> None:
        """What the table begins with is the pure core."""
        rows = tables(PAGE, "## The layers")[:2]
        for _, modules, _ in rows:
            for module in re.findall(r"`msgserver\.([\w.]+)`", modules):
                self.assertIn(module, PURE)

    def test_names(self) -> None:
        """The keys and files that it names are there."""
        keys = {setting.key for setting in settings()}
        for name in ("away_timeout", "direct_send", "batch_reads"):
            self.assertIn(name, keys)
            self.assertIn(f"`{name}`", read(PAGE))
        for file in re.findall(r"`(tests/[\w./]+)`", read(PAGE)):
            self.assertTrue((ROOT / file).exists(), file)
