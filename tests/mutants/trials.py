"""
Running tests in a copy of the tree, in a process of their own, and judging what came of it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen, TimeoutExpired
from tempfile import TemporaryFile
from threading import Lock
from typing import IO

from attrs import frozen

from tests.mutants.guard import endSession
from tests.mutants.trees import Tree

CHILD = Path(__file__).with_name("child.py")
GUARD = Path(__file__).with_name("guard.py")

TEST_SECONDS = 120
"""How long one test may take before it counts as caught by a time-out."""

KILLED = -signal.SIGKILL
"""The status of a process that had to be killed."""


class End(Enum):
    """How a run of tests has ended."""

    GREEN = "all tests passed"
    FAILED = "a test failed"
    TIMEOUT = "a test took too long"
    CRASHED = "the process ended within a test"
    BAD = "the package cannot be imported"


@frozen
class Outcome:
    """
    What came of a run of tests.

    @ivar test: the id of the first that was not passed; of the one that ran, where the process
        ended.
    @ivar detail: what else there is to say.
    @ivar failed: the ids of all that were not passed.
    """

    end: End
    test: str = ""
    detail: str = ""
    failed: tuple[str, ...] = ()


class Ended(Exception):
    """No process is started any more."""


class Running:
    """The processes that run at this moment, in any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sessions: set[int] = set()
        self._isOver = False

    def begin(self, command: Sequence[str | Path], tree: Tree, output: IO[bytes]) -> Popen[bytes]:
        """
        Start a command in a tree, in a session of its own.

        @raise Ended: it is too late.
        """
        with self._lock:
            if self._isOver:
                raise Ended
            process = Popen(
                # Of where that file is nothing is to be imported.
                [sys.executable, "-I", "-S", GUARD, *command],
                cwd=tree.root,
                env=tree.environment(),
                # Its end tells the guard that this process is gone.
                stdin=PIPE,
                stdout=output,
                stderr=STDOUT,
                start_new_session=True,
            )
            self._sessions.add(process.pid)
            return process

    def end(self, process: Popen[bytes]) -> None:
        """Kill a process, and whatever it has left behind."""
        with self._lock:
            endSession(process.pid)
            process.wait()
            self._sessions.discard(process.pid)
        assert process.stdin is not None
        process.stdin.close()

    def endAll(self) -> None:
        """Kill all there are, and start no other."""
        with self._lock:
            self._isOver = True
            for session in self._sessions:
                endSession(session)


def runTests(
    tree: Tree,
    modules: Sequence[str],
    seconds: int = TEST_SECONDS,
    goOn: bool = False,
    running: Running | None = None,
) -> Outcome:
    """
    Run the tests of some modules.

    @param seconds: how long one test may take.
    @param goOn: after a failure as well.
    @param running: what keeps the process that they run in.
    """
    if not modules:
        return Outcome(End.GREEN)
    folder = tree.root.parent
    diary = folder / f"{tree.root.name}.diary"
    diary.unlink(missing_ok=True)
    command: list[str | Path] = [
        # Of where that file is nothing is to be imported.
        *(sys.executable, "-P", CHILD),
        *("--diary", diary, "--temporary", folder / f"{tree.root.name}.trial"),
        *("--seconds", str(seconds)),
        *(["--go-on"] if goOn else []),
        *modules,
    ]
    status, printed = runInSession(command, tree, running or Running())
    lines = diary.read_text().splitlines() if diary.exists() else []
    return judge(lines, status, printed)


def runInSession(
    command: Sequence[str | Path], tree: Tree, running: Running, seconds: int | None = None
) -> tuple[int, str]:
    """
    Run a command in a tree, and end whatever it leaves behind.

    @param seconds: how long it may take; None for ever.
    @return: its status, L{KILLED} where it took too long, and what it printed.
    @raise Ended: it is too late to start anything.
    """
    # A file, not a pipe: what it leaves behind would hold that open.
    with TemporaryFile() as output:
        process = running.begin(command, tree, output)
        try:
            status = process.wait(seconds)
        except TimeoutExpired:
            status = KILLED
        finally:
            running.end(process)
        output.seek(0)
        return status, output.read().decode(errors="replace")


def judge(diary: Iterable[str], status: int, printed: str) -> Outcome:
    """
    Say what came of a run.

    @param diary: what L{tests.mutants.child} wrote, line by line.
    @param status: that of its process.
    @param printed: what that printed.
    """
    test, failed, isDone = "an import", [], False
    for line in diary:
        word, _, text = line.partition(" ")
        if word == "bad":
            return Outcome(End.BAD, detail=text.replace("\\n", "\n"))
        if word == "timeout":
            return Outcome(End.TIMEOUT, text, failed=(text,))
        if word == "begun":
            test = text
        elif word == "failed":
            failed.append(text)
        elif word == "done":
            isDone = True
    if failed:
        return Outcome(End.FAILED, failed[0], failed=tuple(failed))
    if isDone and status == 0:
        return Outcome(End.GREEN)
    return Outcome(End.CRASHED, test, f"status {status}: {printed[-500:]}", (test,))
