"""
A server as a process of its own, its log and its CPU time.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_PATIENCE = 20.0
"""Seconds until something that should have happened long ago is given up."""

_TICKS = os.sysconf("SC_CLK_TCK")
"""How many to a second /proc/stat counts; mostly 100, so that it tells nothing below 10 ms."""


class BenchError(Exception):
    """There is nothing to measure: something failed, or was not as it must be."""


class Program:
    """
    A program of the same Python. It ends when its standard input does, or with L{stop}.

    @param name: the name of its files.
    @param folder: where these are made.
    @param command: what to run, and its arguments.
    @param core: the one core that it may run on; None: any.
    """

    def __init__(
        self, name: str, folder: Path, command: Sequence[str | Path], core: int | None = None
    ) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        if core is not None:
            # Long before it has any thread that would keep what the process had.
            os.sched_setaffinity(self._process.pid, {core})

    @property
    def log(self) -> str:
        """Everything that it has said so far."""
        return self._log.read_text(errors="replace")

    @property
    def cpuSeconds(self) -> float:
        """The CPU time that it has taken so far, its own and the system's for it."""
        return self._scheduled(0)

    @property
    def waitSeconds(self) -> float:
        """The time that it could have run so far and did not, as its core was another's."""
        return self._scheduled(1)

    def _scheduled(self, column: int) -> float:
        # In nanoseconds, where /proc/PID/stat has the CPU time in ticks of 10 ms.
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[column]) for task in tasks) / 1e9

    @property
    def peakBytes(self) -> int:
        """The most memory that it has had so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.M)
        if found is None:
            raise BenchError(f"{self.name} has ended:\n{self.log}")
        return int(found[1]) * 1024

    @property
    def ownBytes(self) -> int:
        """
        The memory that it has now and shares with nobody: what it has written to.

        The kernel's is not counted, such as that of sockets and of what is on its way in them.
        """
        rollup = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text()
        found = re.search(r"^Anonymous:\s+(\d+) kB$", rollup, re.M)
        if found is None:
            raise BenchError(f"{self.name} has ended:\n{self.log}")
        return int(found[1]) * 1024

    def pause(self) -> None:
        """Have it do nothing, not even what is due, until L{resume}."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        self._process.send_signal(signal.SIGCONT)

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


class Server(Program):
    """
    C{twistd msgserver}, by the plugin that is installed. It ends when this process does.

    @param name: the name of its files.
    @param folder: where these are made.
    @param options: further ones of C{twistd}.
    @param core: the one core that it may run on; None: any.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        config: str,
        options: Sequence[str] = (),
        core: int | None = None,
    ) -> None:
        file = folder / f"{name}.toml"
        file.write_text(config)
        twistd = Path(sys.executable).parent / "twistd"
        arguments = ["msgserver", "--config", str(file), "--supervised"]
        super().__init__(name, folder, [twistd, "-n", "--pidfile=", *options, *arguments], core)

    def portOf(self, section: str) -> int:
        """Wait until it listens, and tell where: a port of 127.0.0.1."""
        return int(self.waitFor(rf" {re.escape(section)}: listening on 127\.0\.0\.1:(\d+)$")[1])


def machineSeconds() -> tuple[float, float]:
    """Tell for how long the machine's cores have been busy, all together, and have been at all."""
    first, _, _ = Path("/proc/stat").read_text().partition("\n")
    user, nice, system, idle, wait, *others = map(int, first.split()[1:9])
    busy = user + nice + system + sum(others)
    return busy / _TICKS, (busy + idle + wait) / _TICKS
