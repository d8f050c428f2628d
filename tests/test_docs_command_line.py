"""
The commands of docs/command-line.md show what the page says, of a server like that of C{make run}.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import get_args

from msgserver.clientlogin import MAX_UNANSWERED
from msgserver.commandline.commands import MAX_REPEAT, MAX_SLEEP, VERBS, parse
from msgserver.commandline.conversation import MAX_OUTSTANDING
from msgserver.commandline.events import Kind
from msgserver.commandline.options import (
    CONNECT_TIMEOUT,
    GATE,
    LOGIN,
    REQUEST_TIMEOUT,
    SERVER,
    USER,
)
from msgserver.commandline.output import INSTALL, MAX_SHOWN
from msgserver.commandline.sources import MAX_LINE, MAX_SCRIPT
from msgserver.commandline.statuses import NAME, Status
from msgserver.commandparts import MAX_SECRET, PASSWORD_VARIABLE
from msgserver.wire.framing import MAX_REQUEST
from tests.endtoend.processes import PATIENCE, ROOT, Server
from tests.endtoend.test_examples import onFreePorts
from tests.pages import FolderTestCase, blocks, read, shownIn, tables

PAGE = "docs/command-line.md"

# What is different each time.
_VARYING = {
    r"(?<=login )[\w+/]{16}": "(subid)",
    r"(?<=after )[\d.]+(?= ms)": "(ms)",
    r'(?<="time": )[\d.]+': "(seconds)",
    r'(?<="ms": )[\d.]+': "(ms)",
}


class ConsoleTests(FolderTestCase):
    """Commands and what they show."""

    def execute(self, command: str, ports: dict[str, int]) -> str:
        """Give what a shell shows that has msgserver installed, and the password."""
        scripts = self.folder / "scripts"
        scripts.mkdir(exist_ok=True)
        name = scripts / NAME
        servers = f"--login=127.0.0.1:{ports['login']} --gate=127.0.0.1:{ports['gate']}"
        module = f'"{sys.executable}" -m msgserver.commandline {servers}'
        name.write_text(f'#!/bin/sh\nexec {module} "$@"\n')
        name.chmod(0o755)
        finished = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env={
                **os.environ,
                "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                PASSWORD_VARIABLE: "password",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
        return finished.stdout

    def test_console(self) -> None:
        """Each command shows what stands below it; of what is side by side, in any order."""
        self.savePage(PAGE)
        (self.folder / "server").mkdir()
        with Server(self.folder / "server", onFreePorts("msgserver.toml")) as server:
            for block in blocks(PAGE):
                if block.language == "console":
                    for command, output in shownIn(block):
                        found = self.execute(command, server.ports)
                        self.assertEqual(_masked(found), _masked(output), f"{block.place}\n{found}")

    def test_script(self) -> None:
        """The script that is shown has no mistake."""
        scripts = [block for block in blocks(PAGE) if block.language == "commands"]
        self.assertEqual([block.file for block in scripts], ["greet.txt"])
        for line in scripts[0].code.splitlines():
            parse(line)


class TableTests(FolderTestCase):
    """Tables have what there is."""

    def test_commands(self) -> None:
        """The commands, with what they take."""
        shown = [row[0].strip("`") for row in tables(PAGE, "## Commands")]
        self.assertEqual(shown, [f"{name} {verb.takes}".strip() for name, verb in VERBS.items()])

    def test_statuses(self) -> None:
        """The exit statuses."""
        shown = [int(row[0]) for row in tables(PAGE, "## Exit statuses")]
        self.assertEqual(shown, list(Status))

    def test_events(self) -> None:
        """The kinds of events."""
        (row,) = (row for row in tables(PAGE, "## JSON") if row[0] == "`event`")
        self.assertEqual(set(re.findall(r"`(\w+)`", row[1])), set(get_args(Kind)))

    def test_defaults(self) -> None:
        """The defaults of where the server is."""
        shown = {row[0].split()[0].strip("`"): row[2] for row in tables(PAGE, _WHERE)}
        for option, value in (
            ("--login", LOGIN),
            ("--gate", GATE),
            ("--server", SERVER),
            ("--user", USER),
        ):
            self.assertEqual(shown[option], f"`{value}`")

    def test_limits(self) -> None:
        """The limits, in the order of the page."""
        shown = [float(row[2].replace(",", "")) for row in tables(PAGE, "## Limits")]
        self.assertEqual(
            shown,
            [
                *(CONNECT_TIMEOUT, REQUEST_TIMEOUT, MAX_UNANSWERED, MAX_OUTSTANDING),
                *(MAX_REQUEST, MAX_LINE, MAX_SCRIPT, MAX_SECRET),
                *(MAX_REPEAT, MAX_SLEEP, MAX_SHOWN),
            ],
        )

    def test_names(self) -> None:
        """What is to be installed, and where the password may be."""
        self.assertIn(f"`{INSTALL}`", read(PAGE))
        self.assertIn(f"`{PASSWORD_VARIABLE}`", read(PAGE))


_WHERE = "## Where the server is"


def _masked(text: str) -> list[str]:
    """Give the lines, without what is different each time; answers that race, in one order."""
    for pattern, name in _VARYING.items():
        text = re.sub(pattern, name, text)
    lines = text.splitlines()
    racing = [line for line in lines if re.match(r"#\d+ (answered|failed)", line)]
    others = [line for line in lines if line not in racing]
    return others + sorted(racing)
