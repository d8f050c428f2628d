"""
docs/gates.md: its login server and its gates, each a process as its units would have it, show what
the page says, and are upgraded by its script while somebody is logged in.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import SkipTest

from msgserver import Account, aio
from msgserver.config import Ops
from msgserver.wire.naming import encode64
from tests.endtoend.processes import waitUntil
from tests.pages import ROOT, FolderTestCase, blocks, read, shownIn
from tests.runpages import Shell, freePorts

PAGE = "docs/gates.md"

_PORTS = ("8001", "8002", "8881", "8882")
"""The ports of the page; where it runs, free ones are in their place."""


class Service:
    """
    A process that a unit would start, and start anew.

    @param name: what systemd calls it: C{hello-login}, C{hello-gate@1}.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder
        self._log = folder / f"{name}.log"
        self.start()

    def start(self) -> None:
        """Start it, with what the unit of running.md says."""
        kind, _, process = self.name.removeprefix("hello-").partition("@")
        arguments = ["-n", "--pidfile=", "msgserver", "--config", f"{kind}.toml"]
        if process:
            arguments += ["--process", process]
        code = "from twisted.scripts.twistd import run; run()"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                cwd=self._folder,
                env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{self._folder}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        """What it has said, in all its lives."""
        return self._log.read_text()

    def stop(self) -> None:
        """Stop it as systemd does."""
        self.process.terminate()
        self.process.wait(20)


class GatesTests(FolderTestCase):
    """The commands of the page, with the processes that it starts."""

    def setUp(self) -> None:
        """Put free ports in the place of those of the page."""
        super().setUp()
        self.savePage(PAGE)
        self.shell = Shell(self.folder)
        self.ports = dict(zip(_PORTS, freePorts(len(_PORTS)), strict=True))
        self.services: dict[str, Service] = {}
        for name in ("login.toml", "gate.toml"):
            text = Path(name).read_text()
            for port, free in self.ports.items():
                text = text.replace(port, free)
            # Two ports in a row need not be free, nor those of the pages for who watches.
            text = text.replace("{}-{}".format(*list(self.ports.values())[2:]), 'FIRST", "LAST')
            text = text.replace("FIRST", self.ports["8881"]).replace("LAST", self.ports["8882"])
            Path(name).write_text(text.replace("[ops]\n", ""))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the services that the page enables."""
        (line,) = (line for line in self.lines() if line.startswith("systemctl "))
        try:
            for name in line.split()[3:]:
                self.services[name] = Service(name, self.folder)
            waitUntil(lambda: self.gates().count(" open") == 2, "both gates are there")
            yield
        finally:
            # The login server last: gates take leave of it.
            for service in reversed(self.services.values()):
                service.stop()

    def lines(self) -> list[str]:
        """Give the commands of the page, but for the script's."""
        return [
            line
            for block in blocks(PAGE)
            if block.language == "sh" and block.file is None
            for line in block.code.splitlines()
        ]

    def operate(self, command: str) -> str:
        """Run a command of the page, and give what it writes as if the ports were the page's."""
        written = self.shell.run(self, self.placed(command), PAGE)
        for port, free in self.ports.items():
            written = written.replace(free, port)
        return written

    def placed(self, command: str) -> str:
        """Say a command of the page's for the ports that there are."""
        for port, free in self.ports.items():
            command = command.replace(port, free)
        return command

    def gates(self) -> str:
        """Give what the page's command shows of the gates; nothing as long as nobody is there."""
        if self.shell.status("msgserver-ctl", "--config", "login.toml", "gates") != 0:
            return ""
        return self.operate("msgserver-ctl --config login.toml gates")

    def test_lines(self) -> None:
        """The commands are those that are run here, or elsewhere."""
        known = r"make run-cluster|make demo|openssl rand -base64 30|twistd msgserver --check .*"
        for line in self.lines():
            self.assertRegex(line, rf"\A({known}|systemctl .*|sh upgrade\.sh .*)\Z")
            if line.startswith("twistd "):
                self.shell.run(self, line, PAGE)

    def test_watching(self) -> None:
        """The ports of the pages for who watches are where the page says."""
        first = Ops().port + 1
        text = read(PAGE).replace("\n", " ")
        self.assertIn(f"8881, with its pages at {first};", text)
        self.assertIn(f"8882, with its pages at {first + 1}.", text)

    def test_page(self) -> None:
        """The gates are those shown; one is upgraded once its user has left."""
        if shutil.which("awk") is None:
            raise SkipTest("there is no awk on this machine")
        with self.running():
            for block in blocks(PAGE):
                if block.language == "console":
                    for command, output in shownIn(block):
                        found = self.operate(command)
                        self.assertEqual(found.split(), output.split(), block.place)
            # Where there are no users yet, either gate may be the one that a login goes to.
            names = re.findall(r"sample@\S+", self.gates())
            self.shell.have("sleep", "msgserver-ctl --config login.toml kick alice || :")
            first, second = (line for line in self.lines() if line.startswith("sh upgrade.sh "))
            self.assertEqual(second, first.replace("8881", "8882").replace("gate@1", "gate@2"))
            (other,) = set(names) - set(first.split())
            self.logInAwayFrom(other)
            self.upgrade(first)
            self.assertEqual(self.gates().count(" open"), 2)

    def test_loginServerAway(self) -> None:
        """Where the script cannot see who is at the gate, it waits, and restarts nothing."""
        if shutil.which("awk") is None:
            raise SkipTest("there is no awk on this machine")
        gate = "sample@127.0.0.1:8881"
        told = ["exit 3", f"echo {gate} 1 0 0 1 draining", "exit 3", "exit 3"]
        told += [f"echo {gate} 0 0 0 1 draining", "exit 3", f"echo {gate} 0 0 0 1 open"]
        for number, code in enumerate(told):
            Path(f"told{number}").write_text(code)
        self.shell.have(
            "msgserver-ctl",
            'test "$3" = gates || exit 0\n'
            "number=$(cat number 2>/dev/null || echo 0)\n"
            "echo $((number + 1)) > number\n"
            ". ./told$number",
        )
        self.shell.have("sleep", "")
        self.shell.run(self, f"sh upgrade.sh {gate} hello-gate@1", PAGE)
        asked = self.shell.asked()
        before = asked[: asked.index("systemctl restart hello-gate@1")]
        self.assertEqual([line.split()[-1] for line in before].count("gates"), 5)
        self.assertEqual(Path("number").read_text(), "7\n")

    def logInAwayFrom(self, gate: str) -> None:
        """Log in at the other gate than this one."""
        self.operate(f"msgserver-ctl --config login.toml drain {gate}")
        token = b"%b@%b:%b" % tuple(map(encode64, (b"alice", b"sample", b"password")))
        place = f"127.0.0.1:{self.ports['8001']}"
        asyncio.run(aio.login(place, Account(b"sample", b"alice"), token))
        self.operate(f"msgserver-ctl --config login.toml undrain {gate}")

    def upgrade(self, line: str) -> None:
        """Run the script on a gate that has a user, and restart what it says when it says so."""
        _, _, gate, unit = line.split()
        restarts = self.shell.asked().count(f"systemctl restart {unit}")
        with self.shell.begin(self.placed(line)) as script:
            waitUntil(
                lambda: self.shell.asked().count(f"systemctl restart {unit}") > restarts,
                "the script restarts the gate",
            )
            # The user was sent away before, by what the script took for a minute.
            (row,) = (row for row in self.gates().splitlines() if row.startswith(gate))
            self.assertEqual(row.split()[1:], ["0", "0", "0", "1", "draining"])
            self.services[unit].stop()
            self.services[unit].start()
            self.assertEqual(script.wait(60), 0)
        (row,) = (row for row in self.gates().splitlines() if row.startswith(gate))
        self.assertEqual(row.split()[-1], "open")
