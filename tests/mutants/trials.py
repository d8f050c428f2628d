"""
Running tests in a copy of the tree, in a process of their own, and judging what came of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from tempfile import TemporaryFile

from attrs import frozen

from tests.mutants.trees import Tree

CHILD = Path(__file__).with_name("child.py")

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


def runTests(
    tree: Tree, modules: Sequence[str], seconds: int = TEST_SECONDS, goOn: bool = False
) -> Outcome:
    """
    Run the tests of some modules.

    @param seconds: how long one test may take.
    @param goOn: after a failure as well.
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
    status, printed = runInGroup(command, tree)
    lines = diary.read_text().splitlines() if diary.exists() else []
    return judge(lines, status, printed)


def runInGroup(
    command: Sequence[str | Path], tree: Tree, seconds: int | None = None
) -> tuple[int, str]:
    """
    Run a command in a tree, and end whatever it leaves behind.

    @param seconds: how long it may take; None for ever.
    @return: its status, L{KILLED} where it took too long, and what it printed.
    """
    # A file, not a pipe: what it leaves behind would hold that open.
    with TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=tree.root,
            env=tree.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = KILLED
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
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
