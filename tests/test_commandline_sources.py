"""
Tests for L{msgserver.commandline.sources}: where lines come from.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from msgserver.commandline import sources
from msgserver.commandline.options import parse
from msgserver.commandline.sources import (
    MAX_LINE,
    PROMPT,
    Given,
    Interrupted,
    Line,
    Piped,
    Prompted,
    Source,
    chooseSource,
)
from msgserver.commandline.statuses import Status
from msgserver.commandparts import Complaint
from tests.commandlines import runInLoop

OPTIONS = parse([])


class Opened(io.StringIO):
    """A file with a descriptor, which may be a terminal."""

    def __init__(self, descriptor: int = 0, isTerminal: bool = False) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._isTerminal = isTerminal

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return self._isTerminal


def linesOf(source: Source) -> list[str]:
    """Give all lines of a source."""

    async def main() -> list[str]:
        lines = []
        while (line := await source.next()) is not None:
            lines.append(line.text)
        return lines

    return runInLoop(main())


class GivenTests(SynchronousTestCase):
    """Lines that are all there."""

    def write(self, content: bytes) -> str:
        """Write a script."""
        path: str = self.mktemp()
        Path(path).write_bytes(content)
        return path

    def complaint(self, **options: Any) -> str:
        """See a command line complained of, as a mistake."""
        complaint = self.assertRaises(
            Complaint, chooseSource, evolve(OPTIONS, **options), Opened(), Opened()
        )
        self.assertEqual(complaint.status, Status.MISTAKEN)
        return str(complaint)

    def test_arguments(self) -> None:
        """Those of the command line are carried out in their order, and nothing is read."""
        options = evolve(OPTIONS, commands=("send a", "", "wait"))
        source = chooseSource(options, None, None)
        self.assertEqual(linesOf(source), ["send a", "", "wait"])
        self.assertFalse(source.isTyped)

    def test_script(self) -> None:
        """So are those of a script; ends of lines may be as DOS has them, and the last missing."""
        path = self.write(b"send a\r\n# no\n\nsend \xff")
        source = chooseSource(evolve(OPTIONS, script=path), None, None)
        self.assertEqual(linesOf(source), ["send a", "# no", "", "send \udcff"])

    def test_mistakes(self) -> None:
        """A mistake anywhere is found ahead, and told with its place."""
        self.assertEqual(
            self.complaint(commands=("send a", "sent b")),
            """-c 'sent b': "sent" is no command; "help" lists them""",
        )
        path = self.write(b"send a\n\nsleep soon\n")
        self.assertTrue(self.complaint(script=path).startswith(f"{path}:3: how long?"))

    def test_noScript(self) -> None:
        """A script that cannot be read, or is beyond all bounds, is a mistake."""
        self.assertIn("No such file", self.complaint(script="nothing"))
        self.patch(sources, "MAX_SCRIPT", 3)
        self.assertIn("more than 3 bytes", self.complaint(script=self.write(b"wait")))

    def test_noInput(self) -> None:
        """A process that was started without an input has nothing to do."""
        self.assertEqual(linesOf(chooseSource(OPTIONS, None, None)), [])


class PipedTests(SynchronousTestCase):
    """Lines as they come."""

    def pipe(self) -> tuple[int, int]:
        """Make a pipe."""
        ends = os.pipe()
        for end in ends:
            self.addCleanup(self.close, end)
        return ends

    def close(self, descriptor: int) -> None:
        """Close a descriptor, if it is open."""
        try:
            os.close(descriptor)
        except OSError:
            pass

    def test_pipe(self) -> None:
        """A line is given when it is whole, before the next is there."""
        reader, writer = self.pipe()
        source = Piped(reader)

        async def main() -> None:
            os.write(writer, b"send a\nsend ")
            self.assertEqual(await source.next(), Line("send a", "line 1"))
            os.write(writer, b"b\r\nsend c")
            self.assertEqual(await source.next(), Line("send b", "line 2"))
            os.close(writer)
            self.assertEqual(await source.next(), Line("send c", "line 3"))
            self.assertEqual(await source.next(), None)

        runInLoop(main())
        self.assertTrue(os.get_blocking(reader))

    def test_file(self) -> None:
        """A file is read as a pipe is, also an empty one."""
        path = self.mktemp()
        Path(path).write_bytes(b"send a\n\nsend b\n")
        for name, lines in ((path, ["send a", "", "send b"]), (os.devnull, [])):
            descriptor = os.open(name, os.O_RDONLY)
            self.addCleanup(os.close, descriptor)
            source = chooseSource(OPTIONS, Opened(descriptor), Opened())
            self.assertEqual(linesOf(source), lines)

    def test_longest(self) -> None:
        """A line without an end is not read for ever."""
        self.patch(sources, "MAX_LINE", 10)
        reader, writer = self.pipe()
        os.write(writer, b"send a\nsend 456789\n" + b"x" * 11)
        source = Piped(reader)

        async def main() -> None:
            await source.next()
            await source.next()
            await source.next()

        complaint = self.assertRaises(Complaint, runInLoop, main())
        self.assertEqual(complaint.status, Status.MISTAKEN)
        self.assertEqual(str(complaint), "line 3: more than 10 bytes")
        self.assertGreater(MAX_LINE, 2 * 65531 + 4)

    def test_unreadable(self) -> None:
        """What cannot be read, such as a folder, is complained of."""
        descriptor = os.open(".", os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        complaint = self.assertRaises(Complaint, linesOf, Piped(descriptor))
        self.assertIn("cannot read commands", str(complaint))


class FakeSession:
    """A prompt at which somebody types these things."""

    def __init__(self, *typed: str | BaseException) -> None:
        self._typed = iter(typed)
        self.prompts: list[str] = []

    async def prompt_async(self, prompt: str, **options: object) -> str:
        """Give the next."""
        self.prompts.append(prompt)
        typed = next(self._typed)
        if isinstance(typed, BaseException):
            raise typed
        return typed


class PromptTests(SynchronousTestCase):
    """Prompts, and when there is one."""

    def test_prompted(self) -> None:
        """Lines are typed until the end of the input."""
        session = FakeSession("send a", "", EOFError())
        source = Prompted(session)
        self.assertEqual(linesOf(source), ["send a", ""])
        self.assertEqual(session.prompts, [PROMPT] * 3)
        self.assertTrue(source.isTyped)

    def test_interrupted(self) -> None:
        """Ctrl-C at the prompt is an interrupt."""
        self.assertRaises(Interrupted, linesOf, Prompted(FakeSession(KeyboardInterrupt())))

    def test_plain(self) -> None:
        """Without prompt_toolkit there is a plain prompt."""
        path = self.mktemp()
        Path(path).write_bytes(b"send a\n")
        descriptor = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        terminal = Opened(descriptor, isTerminal=True)
        with patch.dict(os.environ, TERM="xterm"), patch.dict(sys.modules, prompt_toolkit=None):
            source = chooseSource(OPTIONS, terminal, terminal)
        self.assertEqual(linesOf(source), ["send a"])
        self.assertEqual(terminal.getvalue(), f"{PROMPT * 2}\n")
        self.assertTrue(source.isTyped)
        with source.shownAbove():
            pass

    def test_noTerminal(self) -> None:
        """There is a prompt only where both ends are terminals, and no script is asked for."""
        pipe, terminal = Opened(), Opened(isTerminal=True)
        for options, stdin, stdout in (
            (OPTIONS, pipe, terminal),
            (OPTIONS, terminal, pipe),
            (OPTIONS, terminal, None),
            (evolve(OPTIONS, script="-"), terminal, terminal),
            (evolve(OPTIONS, commands=("wait",)), terminal, terminal),
        ):
            source = chooseSource(options, stdin, stdout)
            self.assertFalse(source.isTyped)
            self.assertIsInstance(source, (Piped, Given))
