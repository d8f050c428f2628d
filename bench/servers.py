"""
A server as a process of its own, its log and its CPU time.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_PATIENCE = 20.0
"""Seconds until something that should have happened long ago is given up."""

_TICKS = os.sysconf("SC_CLK_TCK")
"""How many to a second /proc/stat counts; mostly 100, so that it tells nothing below 10 ms."""


class BenchError(Exception):
    """There is nothing to measure: something failed, or was not as it must be."""


class Server:
    """
    C{twistd msgserver}, by the plugin that is installed. It ends when this process does.

    @param name: the name of its files.
    @param folder: where these are made.
    """

    def __init__(self, name: str, folder: Path, config: str) -> None:
        self.name = name
        file = folder / f"{name}.toml"
        file.write_text(config)
        self._log = folder / f"{name}.log"
        twistd = Path(sys.executable).parent / "twistd"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [twistd, "-n", "--pidfile=", "msgserver", "--config", file, "--supervised"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        """Everything that it has said so far."""
        return self._log.read_text(errors="replace")

    @property
    def cpuSeconds(self) -> float:
        """The CPU time that it has taken so far, its own and the system's for it."""
        # In nanoseconds, where /proc/PID/stat has the same in ticks of 10 ms.
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def portOf(self, section: str) -> int:
        """Wait until it listens, and tell where: a port of 127.0.0.1."""
        return int(self.waitFor(rf" {re.escape(section)}: listening on 127\.0\.0\.1:(\d+)$")[1])

    def waitFor(self, pattern: str) -> re.Match[str]:
        """Wait until it has said something, and give that."""
        deadline = time.monotonic() + _PATIENCE
        while (found := re.search(pattern, self.log, re.M)) is None:
            if self._process.poll() is not None:
                raise BenchError(f"{self.name} has ended:\n{self.log}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} never said {pattern!r}:\n{self.log}")
            time.sleep(0.01)
        return found

    def check(self) -> None:
        """See to it that nothing has failed in it."""
        if self._process.poll() is not None or re.search("Traceback|Unhandled", self.log):
            raise BenchError(f"{self.name} has failed:\n{self.log}")

    def stop(self) -> None:
        """End it, at once: how it would go in good order is not measured."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()


def machineSeconds() -> tuple[float, float]:
    """Tell for how long the machine's cores have been busy, all together, and have been at all."""
    first, _, _ = Path("/proc/stat").read_text().partition("\n")
    user, nice, system, idle, wait, *others = map(int, first.split()[1:9])
    busy = user + nice + system + sum(others)
    return busy / _TICKS, (busy + idle + wait) / _TICKS
