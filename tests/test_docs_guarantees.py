"""What docs/guarantees.md says of the tests."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.pages import ROOT, read

PAGE = "docs/guarantees.md"


class GuaranteesTests(SynchronousTestCase):
    """Whatever the page names is there."""

    def test_files(self) -> None:
        """Each file and folder exists."""
        names = re.findall(r"`(tests/[\w./]+)`", read(PAGE))
        self.assertGreater(len(names), 10)
        self.assertEqual([name for name in names if not (ROOT / name).exists()], [])

    def test_tests(self) -> None:
        """Each test exists."""
        names = set(re.findall(r"`(test_\w+)`", read(PAGE)))
        self.assertGreater(len(names), 3)
        source = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
        self.assertEqual({name for name in names if f"def {name}(" not in source}, set())

    def test_targets(self) -> None:
        """Each way of testing that is named has its target."""
        makefile = (ROOT / "Makefile").read_text()
        for name in re.findall(r"(?m)^make (\w+)$", read(PAGE)):
            self.assertRegex(makefile, rf"(?m)^{name}:")
