"""Tests for the command line of the fuzzer."""

from __future__ import annotations

import contextlib
import io
import signal
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz import __main__ as command
from tests.fuzz import corpus, engine, guided
from tests.fuzz.__main__ import fuzzAll, parse, replay
from tests.fuzz.crashes import limited
from tests.fuzz.engine import Outcome
from tests.fuzz.targets import TARGETS
from tests.fuzz.watching import Broken

GATE = TARGETS["gate"]
PARSERS = TARGETS["parsers"]


class _FolderCase(SynchronousTestCase):
    """Has a folder of its own."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class ParseTests(_FolderCase):
    """What the command line may say."""

    def assertRefused(self, error: str, *arguments: str) -> None:
        """See that arguments are refused with an error, and the status of all such."""
        printed = io.StringIO()
        with redirect_stderr(printed), self.assertRaises(SystemExit) as caught:
            parse(arguments)
        self.assertEqual(caught.exception.code, 2)
        self.assertIn(error, printed.getvalue().splitlines()[-1])

    def test_seconds(self) -> None:
        """They are a number, above 0, and end."""
        for text in ("0", "-1", "nan", "inf", "soon"):
            self.assertRefused("is no number of seconds above 0", f"--seconds={text}")
        self.assertEqual(parse([f"--working={self.folder}", "--seconds=0.5"]).seconds, 0.5)

    def test_target(self) -> None:
        """A target is one that there is."""
        self.assertRefused("no such target: gat; there are: gate, ", "gat")

    def test_replay(self) -> None:
        """What is played is a file that is there."""
        self.assertRefused("No such file", f"--replay={self.folder / 'missing'}")
        self.assertRefused("Is a directory", f"--replay={self.folder}")

    def test_engine(self) -> None:
        """Where atheris is asked for and missing, it is said how to come by it."""
        self.patch(guided, "isInstalled", lambda: False)
        working = f"--working={self.folder}"
        self.assertRefused(
            "pip install '.[fuzz]', or use --engine own", working, "--engine=atheris"
        )
        self.assertEqual(parse([working]).engine, "auto")

    def test_working(self) -> None:
        """The folder is made, or it is said that it cannot be."""
        working = self.folder / "one" / "two"
        parse([f"--working={working}"])
        self.assertTrue(working.is_dir())
        file = self.folder / "file"
        file.touch()
        self.assertRefused("--working: File exists", f"--working={file}")
        self.assertRefused("--working: Not a directory", f"--working={file / 'one'}")


class ReplayTests(_FolderCase):
    """Playing what is in a file."""

    def replay(self, text: str) -> tuple[int, str, str]:
        """Play a text at the gate; give the status, what is printed, and the warnings."""
        path = self.folder / "gate-0.play"
        path.write_text(text)
        printed, warned = io.StringIO(), io.StringIO()
        with redirect_stdout(printed), redirect_stderr(warned):
            status = replay(list(TARGETS.values()), path)
        return status, printed.getvalue(), warned.getvalue()

    def test_count(self) -> None:
        """It is said how much was played."""
        self.assertEqual(
            self.replay("# a comment\nopen 0\nlose 0\n"),
            (0, "Played 2 actions; nothing is wrong.\n", ""),
        )

    def test_nothing(self) -> None:
        """A file without an action of the target's is warned of."""
        status, printed, warned = self.replay("fly 1\n")
        self.assertEqual((status, printed), (0, "Played 0 actions; nothing is wrong.\n"))
        self.assertIn("is an action of gate", warned)


class FuzzAllTests(_FolderCase):
    """What is said at the end."""

    def fuzzAll(self, *arguments: str) -> tuple[int, list[str]]:
        """Fuzz the parsers; give the status, and the lines that are printed."""
        options = parse(
            [f"--working={self.folder}", "--engine=own", "--seed=7", "--seconds=0.01", *arguments]
        )
        # A play of the tree is enough to have something to say.
        self.patch(corpus, "KEPT", self.folder)
        corpus.add(PARSERS, PARSERS.grammar.read(_anyPlay()), self.folder)
        printed = io.StringIO()
        with redirect_stdout(printed):
            status = fuzzAll([PARSERS], options)
        return status, printed.getvalue().splitlines()

    def test_nothing(self) -> None:
        """Nothing was found; the lines that were not reached are listed on request alone."""
        status, lines = self.fuzzAll()
        self.assertEqual((status, lines[-1]), (0, "Nothing was found."))
        self.assertFalse([line for line in lines if "    not in " in line])
        self.assertTrue([line for line in self.fuzzAll("--verbose")[1] if "    not in " in line])

    def test_interrupted(self) -> None:
        """Ctrl-C is one line, with the seed, and a status of its own."""

        def fuzz(*arguments: object) -> Outcome:
            raise KeyboardInterrupt

        self.patch(engine, "fuzz", fuzz)
        status, lines = self.fuzzAll()
        self.assertEqual(status, 130)
        line = "Interrupted at parsers; the seed is 7. Nothing was found."
        self.assertEqual(lines[1:], [line])

    def test_interruptedWhileShortened(self) -> None:
        """What was found is written down, even where it is not made short any more."""
        play = PARSERS.grammar.read(_anyPlay())

        def fuzz(*arguments: object) -> Outcome:
            return Outcome("own", 1, 1.0, 0, (play, "something"))

        def findIn(*arguments: object) -> str:
            raise KeyboardInterrupt

        self.patch(engine, "fuzz", fuzz)
        self.patch(command, "findIn", findIn)
        status, lines = self.fuzzAll()
        self.assertEqual(status, 130)
        (path,) = self.folder.glob("parsers-*.play")
        self.assertEqual(PARSERS.grammar.read(path.read_bytes()), play)
        self.assertTrue(lines[-1].endswith(f"Found, 1 in all: {path}."), lines[-1])


class LimitedTests(SynchronousTestCase):
    """A play that is interrupted."""

    def test_swallowed(self) -> None:
        """Ctrl-C ends the play even where the code under test has caught it."""
        self.addCleanup(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for error in (None, Broken("an error was logged")):
            with self.assertRaises(KeyboardInterrupt), limited():
                with contextlib.suppress(KeyboardInterrupt):
                    signal.raise_signal(signal.SIGINT)
                if error is not None:
                    raise error
        self.assertIs(signal.getsignal(signal.SIGINT), signal.default_int_handler)


def _anyPlay() -> bytes:
    path = sorted((Path(corpus.__file__).parent / "corpus" / "parsers").iterdir())[0]
    return path.read_bytes()
