"""
Terminals that a page tells its reader to type into, and what the page says is seen there.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
from pathlib import Path
from threading import Thread
from typing import IO

from tests.endtoend.processes import PATIENCE

_PROMPT = "msgserver> "

# What is different each time.
_VARYING = {
    r"(?<=login\\ )\S+": r"\S+",
    r"[\d.\\]+(?=\\ ms\b)": r"[\d.]+",
    r"[\d,]+(?=\\ answers)": r"[\d,]+",
    r"(?<=tests\\ in\\ )[\d.\\]+(?=s)": r"[\d.]+",
}

# How often depends on when, and the port is another one; and what is said at a prompt alone.
_OFTEN = re.compile(r'no connection to the gate: |"help" lists the commands')


class Terminal:
    """
    A terminal: one program at a time.

    @param folder: where commands run.
    @param options: by a command's name, what is added to it.
    """

    def __init__(self, folder: Path, options: dict[str, str]) -> None:
        self._folder = folder
        self._options = options
        self._environment = dict(os.environ, PYTHONUNBUFFERED="1", NO_COLOR="1")
        self._process: subprocess.Popen[str] | None = None
        self._command = ""
        self._skips = False
        self._lines: queue.Queue[str | None] = queue.Queue()

    def follow(self, block: str) -> None:
        """
        Type what a block says is typed, and wait for each line that it shows, in their order;
        where it shows three dots, for the one after them.

        @raise AssertionError: another line came, or none.
        """
        for line in block.splitlines():
            if line.startswith("$ "):
                self._run(line[2:])
            elif line.startswith(_PROMPT):
                self._type(line.removeprefix(_PROMPT))
            elif self._command.startswith("python talk.py") and not re.match(r"\w+: |\(", line):
                self._type(line)
            elif line == "...":
                self._skips = True
            elif line and not _OFTEN.match(line):
                self._expect(line)

    def end(self) -> None:
        """End the program, a server by Ctrl-C and any other by Ctrl-D."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        if self._command.startswith("twistd"):
            process.send_signal(signal.SIGINT)
        process.stdin.close()
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()

    def _run(self, command: str) -> None:
        self.end()
        if exported := re.fullmatch(r"export (\w+)=(\w+)", command):
            self._environment[exported[1]] = exported[2]
            return
        self._command = command
        added = self._options.get(command.split()[0], "")
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {command} {added}"],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines = queue.Queue()
        Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True).start()
        if command.startswith("twistd -n"):
            self._await(r".*MsgFactory starting on .*")

    def _type(self, line: str) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _expect(self, shown: str) -> None:
        pattern = re.escape(shown)
        for varying, any_ in _VARYING.items():
            pattern = re.sub(varying, any_.replace("\\", "\\\\"), pattern)
        if self._skips:
            self._skips = False
            self._await(pattern)
            return
        found = self._next(shown)
        assert re.fullmatch(pattern, found), f"{found!r} came, not {shown!r}"

    def _await(self, pattern: str) -> None:
        while not re.fullmatch(pattern, self._next(pattern)):
            pass

    def _next(self, awaited: str) -> str:
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"nothing came, not {awaited!r}") from None
            if line is None:
                raise AssertionError(f"{self._command} has ended, and not shown {awaited!r}")
            if line and not _OFTEN.match(line):
                return line


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line.rstrip("\n"))
    lines.put(None)
