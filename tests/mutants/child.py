"""
Run test modules in the folder that this is started in, up to the first failure.

A process of its own, started by L{tests.mutants.trials} as a plain file: what it imports of
C{msgserver} and C{tests} must be that folder's, and nothing of where this file lies. It writes
one line for each thing that happens, as a word and a text, so that there is something to read
even where it does not end by itself.
"""

from __future__ import annotations

import argparse
import importlib
import io
import pkgutil
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn, TextIO

from twisted.trial.reporter import Reporter
from twisted.trial.runner import TestLoader, TrialRunner

PACKAGE = "msgserver"

MOST_MEMORY = 3 * 1024**3
"""The bytes of address space that a fault which never stops making things gets."""

GRACE = 20
"""Seconds that a test which is out of time has for its clean-up, before the process is killed."""


class OutOfTime(BaseException):
    """A test took too long. No C{Exception}: the code under test is not to catch it."""


class Diary:
    """
    What has happened, for whoever started this process.

    @param seconds: how long one test may take.
    """

    def __init__(self, file: TextIO, seconds: int) -> None:
        self._file = file
        self._seconds = seconds
        self._test = "an import"
        signal.signal(signal.SIGALRM, self._outOfTime)
        signal.alarm(seconds)

    def write(self, word: str, text: str = "") -> None:
        """Write a line at once."""
        print(word, text.replace("\n", "\\n"), file=self._file, flush=True)

    def begun(self, test: str) -> None:
        """Take note of the test that runs now, and give it its whole time."""
        self._test = test
        signal.alarm(self._seconds)
        self.write("begun", test)

    def _outOfTime(self, *_: object) -> NoReturn:
        self.write("timeout", self._test)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(GRACE)
        raise OutOfTime(self._test)


class DiaryReporter(Reporter):
    """Writes down each test as it begins, and as it fails."""

    diary: Diary

    def startTest(self, method: Any) -> None:
        """Take note of the test that runs now."""
        self.diary.begun(method.id())
        super().startTest(method)

    def addFailure(self, test: Any, fail: Any) -> None:
        """Take note of a check that has failed."""
        self.diary.write("failed", test.id())
        super().addFailure(test, fail)

    def addError(self, test: Any, error: Any) -> None:
        """Take note of a test that has raised, or of a module that has no tests to give."""
        self.diary.write("failed", test.id())
        super().addError(test, error)

    def addUnexpectedSuccess(self, test: Any, todo: Any = None) -> None:
        """Take note of a test that was expected to fail, and did not."""
        self.diary.write("failed", test.id())
        super().addUnexpectedSuccess(test, todo)


def importAll(root: Path) -> None:
    """
    Import every module of the package.

    @raise ImportError: it is not the one of C{root}.
    @raise BaseException: as the modules do.
    """
    package = importlib.import_module(PACKAGE)
    if package.__file__ is None or not Path(package.__file__).is_relative_to(root):
        raise ImportError(f"{PACKAGE} is that of {package.__file__}, not of {root}")
    for module in pkgutil.walk_packages(package.__path__, f"{PACKAGE}."):
        importlib.import_module(module.name)


def main() -> int:
    """Do as the command line says; the exit status is 0 where no test has failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--diary", required=True, help="the file to write to")
    parser.add_argument("--temporary", required=True, help="a folder for the tests to write in")
    parser.add_argument("--seconds", type=int, required=True, help="how long a test may take")
    parser.add_argument("--go-on", action="store_true", help="after a failure as well")
    parser.add_argument("modules", nargs="+")
    options = parser.parse_args()
    # Whoever is started in the background has it ignored, and tests interrupt their processes.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    with open(options.diary, "w") as file:
        diary = Diary(file, options.seconds)
        try:
            importAll(Path.cwd())
        except BaseException:
            diary.write("bad", traceback.format_exc(limit=-2))
            return 1
        DiaryReporter.diary = diary
        runner = TrialRunner(
            DiaryReporter,
            workingDirectory=options.temporary,
            stream=io.StringIO(),
            exitFirst=not options.go_on,
        )
        succeeded = runner.run(TestLoader().loadByNames(options.modules)).wasSuccessful()
        diary.write("done")
        return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
