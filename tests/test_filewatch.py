"""
Tests for L{msgserver.filewatch}: what is read from files is read again when they change.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from msgserver.filewatch import LOOK_INTERVAL, Watched


class WatchedTests(SynchronousTestCase):
    """L{Watched}"""

    def setUp(self) -> None:
        """Make a file, and read it."""
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = self.folder / "file"
        self.file.write_text("first")
        self.clock = Clock()
        self.looks = 0
        self.befores: list[str | None] = []
        self.watched = Watched("the words", self.files, self.read, self.clock)
        self.events: Any = self.enterContext(capturedLogs())

    def files(self) -> Sequence[str]:
        """List the file."""
        self.looks += 1
        return [str(self.file)]

    def read(self, before: str | None) -> str:
        """Read it; what is empty, or says wrong, cannot be used."""
        self.befores.append(before)
        try:
            text = self.file.read_text()
        except OSError as error:
            raise ValueError(str(error.strerror)) from None
        if not text or text.startswith("wrong"):
            raise ValueError(f"there is\n{text!r}")
        return text

    def later(self) -> str:
        """Ask when it is time to look."""
        self.clock.advance(LOOK_INTERVAL)
        return self.watched.current()

    def lines(self) -> list[tuple[str, str]]:
        """Give the level and the text of what was logged since this was asked."""
        found = [(event["log_level"].name, formatEvent(event)) for event in self.events]
        self.assertNotIn("log_failure", {key for event in self.events for key in event})
        self.events.clear()
        return found

    def refused(self, complaint: str) -> list[tuple[str, str]]:
        """Give the line that says that changed files cannot be used."""
        text = "the words have changed, but cannot be used; those of before stay in use: "
        return [("error", text + complaint)]

    def test_first(self) -> None:
        """They are read at once, and what is wrong then is raised."""
        self.assertEqual((self.watched.current(), self.befores), ("first", [None]))
        self.file.write_text("")
        self.assertRaises(ValueError, Watched, "the words", self.files, self.read, self.clock)

    def test_unchanged(self) -> None:
        """Files that stay as they are are looked at, and not read."""
        self.assertEqual(self.later(), "first")
        self.assertEqual((self.looks, len(self.befores), self.lines()), (2, 1, []))

    def test_changed(self) -> None:
        """Those that change are read, and that is told once."""
        self.file.write_text("second one")
        self.assertEqual((self.later(), self.later()), ("second one", "second one"))
        self.assertEqual(self.befores, [None, "first"])
        self.assertEqual(self.lines(), [("info", "the words have changed, and are in use")])

    def test_seldom(self) -> None:
        """However often it is asked, it looks once in a while."""
        self.file.write_text("second one")
        for _ in range(1000):
            self.assertEqual(self.watched.current(), "first")
        self.clock.advance(LOOK_INTERVAL - 0.001)
        self.assertEqual((self.watched.current(), self.looks), ("first", 1))
        self.clock.advance(0.001)
        for _ in range(1000):
            self.assertEqual(self.watched.current(), "second one")
        self.assertEqual(self.looks, 2)

    def test_clockSetBack(self) -> None:
        """A clock that goes back does not keep it from looking."""
        self.file.write_text("second one")
        self.clock.rightNow = -86400
        self.assertEqual(self.watched.current(), "second one")
        self.assertEqual((self.watched.current(), self.looks), ("second one", 2))

    def test_sameSize(self) -> None:
        """A file of the same size is another if it was written at another time."""
        self.file.write_text("other")
        os.utime(self.file, ns=(0, 1))
        self.assertEqual(self.later(), "other")

    def test_replaced(self) -> None:
        """So is one that took its place, though of the same size and time."""
        other = self.folder / "other"
        other.write_text("other")
        status = self.file.stat()
        os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
        other.replace(self.file)
        self.assertEqual(self.later(), "other")

    def test_linkedAnew(self) -> None:
        """And one that a link leads to now."""
        first = self.file.rename(self.folder / "first")
        self.file.symlink_to(first)
        self.later()
        second = self.folder / "other"
        second.write_text("other")
        (self.folder / "link").symlink_to(second)
        (self.folder / "link").replace(self.file)
        self.assertEqual(self.later(), "other")

    def test_broken(self) -> None:
        """What cannot be used replaces nothing, and that is told once, in a line."""
        self.file.write_text("wrong")
        for _ in range(3):
            self.assertEqual(self.later(), "first")
        self.assertEqual(self.lines(), self.refused("there is 'wrong'"))

    def test_brokenAgain(self) -> None:
        """Each further change that cannot be used is told."""
        for text in ("wrong", "wrong twice"):
            self.file.write_text(text)
            self.assertEqual((self.later(), self.later()), ("first", "first"))
            self.assertEqual(self.lines(), self.refused(f"there is {text!r}"))

    def test_mended(self) -> None:
        """What is right again is used."""
        self.file.write_text("")
        self.later()
        self.lines()
        self.file.write_text("second one")
        self.assertEqual(self.later(), "second one")
        self.assertEqual(self.lines(), [("info", "the words have changed, and are in use")])
        self.assertEqual(self.befores, [None, "first", "first"])

    def test_mendedUnseen(self) -> None:
        """What can be used only later, though nobody has touched it, is used then."""
        self.file.write_text("second one")
        refuse = True

        def read(before: str | None) -> str:
            if refuse and before:
                raise ValueError("not now")
            return self.file.read_text()

        self.watched = Watched("the words", self.files, read, self.clock)
        self.file.write_text("the third")
        self.assertEqual(self.later(), "second one")
        refuse = False
        self.assertEqual(self.later(), "the third")

    def test_gone(self) -> None:
        """A file that is gone is such a change, and so is its folder."""
        self.file.unlink()
        self.assertEqual(self.later(), "first")
        self.assertEqual(self.lines(), self.refused("No such file or directory"))

    def test_notListed(self) -> None:
        """So is a folder that cannot be read any more."""
        folder = self.folder / "folder"
        folder.mkdir()

        def read(before: str | None) -> str:
            try:
                return ", ".join(os.listdir(folder))
            except OSError as error:
                raise ValueError(str(error.strerror)) from None

        (folder / "a").touch()
        watched = Watched("the names", lambda: os.listdir(folder), read, self.clock)
        shutil.rmtree(folder)
        for _ in range(2):
            self.clock.advance(LOOK_INTERVAL)
            self.assertEqual(watched.current(), "a")
        self.assertEqual(len(self.lines()), 1)
