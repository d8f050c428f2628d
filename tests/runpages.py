"""
A shell for the commands of the pages on running servers: in a folder that stands for the machine,
where what would change the real one, or ask a network, only notes what it was asked.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.pages import ROOT

_PLACES = re.compile(r"(?<![\w./])/(srv|var|run|src|etc)/")
"""The beginnings of paths that are below the folder here."""

_NOTED = ("useradd", "systemctl", "journalctl", "curl", "pip", "sleep")
"""The commands that only note what they were asked."""

_SCRIPTS = {
    "twistd": "from twisted.scripts.twistd import run; run()",
    "msgserver-ctl": "from msgserver.ctl import main; raise SystemExit(main())",
}


def freePorts(count: int) -> list[str]:
    """Find ports that nobody listens on, each another."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        # In their order, since gates are shown in the order of their names.
        return [str(port) for port in sorted(probe.getsockname()[1] for probe in probes)]


class Shell:
    """
    Runs commands as the shell of a reader who has installed msgserver.

    @param folder: where the reader is; below it are the places of the machine, C{srv} and such.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._scripts = folder / "scripts"
        self._notes = folder / "asked"
        self._scripts.mkdir()
        self._notes.touch()
        self._makeScripts(self._scripts)

    def _makeScripts(self, scripts: Path) -> None:
        for name, code in _SCRIPTS.items():
            self._write(scripts / name, f"#!{sys.executable}\n{code}\n")
        self._write(scripts / "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        for name in _NOTED:
            self._write(scripts / name, self._noting(name))

    def _write(self, script: Path, text: str) -> None:
        script.write_text(text)
        script.chmod(0o755)

    def forget(self, name: str) -> None:
        """Let a command be the machine's own from now on."""
        (self._scripts / name).unlink()

    def have(self, name: str, code: str) -> None:
        """Let a command run this instead, and note what it was asked before."""
        self._write(self._scripts / name, f"{self._noting(name)}{code}\n")

    def _noting(self, name: str) -> str:
        return f'#!/bin/sh\necho {name} "$@" >> "{self._notes}"\n'

    def asked(self) -> list[str]:
        """Give what the commands were asked that only note it, in their order."""
        return self._notes.read_text().splitlines()

    def placed(self, line: str) -> str:
        """Say a command of the machine's for the folder that stands for it."""
        return _PLACES.sub(rf"{self.folder}/\1/", line + "/").removesuffix("/")

    def run(self, case: SynchronousTestCase, line: str, place: str) -> str:
        """
        Run a command, which must succeed, and give what it writes.

        Only root may give files to another user, or be one, and nobody installs in a test.
        """
        line = re.sub(r" (-o|-g) \w+(?= )", "", line)
        line = re.sub(r"\brunuser -u \w+ -- ", "", line)
        if match := re.fullmatch(r"python3? -m venv (\S+)(.*)", line):
            scripts = Path(self.placed(match[1]), "bin")
            scripts.mkdir(parents=True)
            self._makeScripts(scripts)
            return self.run(case, match[2].removeprefix(" && "), place) if match[2] else ""
        finished = self._run(self.placed(line))
        case.assertEqual(finished.returncode, 0, f"{place}: {line}\n{finished.stdout}")
        return finished.stdout

    def status(self, *words: str) -> int:
        """Run one command, and give its exit status."""
        return self._run(" ".join(f"'{word}'" for word in words)).returncode

    @contextmanager
    def begin(self, line: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command while something else goes on; it is killed if it is not over by then."""
        script = subprocess.Popen(
            line,
            shell=True,
            env=self.environment(),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield script
        finally:
            if script.poll() is None:
                os.killpg(script.pid, signal.SIGKILL)
                script.wait()

    def environment(self) -> dict[str, str]:
        """Give the variables of the reader's shell."""
        path = f"{self._scripts}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}

    def _run(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            line,
            shell=True,
            env=self.environment(),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
        )
