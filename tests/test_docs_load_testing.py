"""
The commands of docs/load-testing.md run, and show what the page says, but for the figures.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

from msgserver.loadtest import figures
from msgserver.loadtest.dialogue import parseExpectation
from msgserver.loadtest.optiongroups import TURN
from msgserver.loadtest.options import parse
from msgserver.loadtest.report import LATENCY_TITLES
from msgserver.loadtest.statuses import NAME, Status
from tests.endtoend.processes import Server
from tests.pages import ROOT, FolderTestCase, blocks, read, shownIn, tables

PAGE = "docs/load-testing.md"

_PATIENCE = 120.0

_NUMBER = re.compile(r"[\d,.]+( µs| ms| s\b)?")


class ConsoleTests(FolderTestCase):
    """The commands of the page, by real processes."""

    def show(self, command: str, *more: str) -> str:
        """Run a command, as a shell would, and give what it writes on standard output."""
        words = shlex.split(command)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        self.assertEqual(words[0], NAME)
        run = subprocess.run(
            [sys.executable, "-m", "msgserver.loadtest", *words[1:], *more],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )
        self.assertEqual(run.returncode, Status.VERIFIED, run.stdout + run.stderr)
        return run.stdout

    def command(self, number: int) -> tuple[str, str]:
        """Give a command of the page, from 0, and what it shows."""
        consoles = [block for block in blocks(PAGE) if block.language == "console"]
        ((command, shown),) = shownIn(consoles[number])
        return command, shown

    def check(self, found: str, shown: str) -> None:
        """See that what was shown is what the page says, but for numbers."""
        self.assertEqual(_masked(found), _masked(shown), found)

    def test_demo(self) -> None:
        """The first try."""
        command, shown = self.command(0)
        self.check(self.show(command), shown)

    def test_ownServer(self) -> None:
        """The server of load.toml, on other ports."""
        self.savePage(PAGE)
        config = (self.folder / "load.toml").read_text()
        command, shown = self.command(1)
        config, count = re.subn(r"tcp:\d+:", "tcp:0:", config)
        self.assertEqual(count, 2)
        with Server(self.folder, config) as server:
            places = (f"--{kind}=127.0.0.1:{port}" for kind, port in server.ports.items())
            self.check(self.show(command, *places), shown)

    def test_openLoop(self) -> None:
        """The open loop."""
        command, shown = self.command(2)
        self.check(self.show(command), shown)

    def test_all(self) -> None:
        """There are no more commands than these."""
        self.assertRaises(IndexError, self.command, 3)


class TableTests(FolderTestCase):
    """What the page says of options, lines and statuses."""

    def test_statuses(self) -> None:
        """Each exit status is told, and no other."""
        self.assertEqual([int(row[0]) for row in tables(PAGE, "## Exit statuses")], [*Status])

    def test_lines(self) -> None:
        """Each line of latencies is explained."""
        told = [row[0] for row in tables(PAGE, "## The report")]
        self.assertEqual(told[: len(LATENCY_TITLES)], [*LATENCY_TITLES.values()])

    def test_options(self) -> None:
        """What is said of requests and answers can be said to the command."""
        rows = tables(PAGE, "## What is asked, and what must be answered")
        for option, *_ in rows:
            name, value = option.strip("`").split(" ", 1)
            if name == "--expect":
                parseExpectation(value)
            value = value.replace("BYTES", "16-4096")
            parse([name, value], "")
        self.assertEqual(len(rows), 6)

    def test_turns(self) -> None:
        """What is said of connections and turns can be said, and their defaults are as told."""
        options = []
        for option, says in tables(PAGE, "## Fewer connections than users"):
            name = option.strip("`").split(" ")[0]
            options += [name, "2"]
            self.assertIn("by default", says)
        self.assertEqual(options, ["--connections", "2", "--turn", "2"])
        plan = parse(options, "").plan
        self.assertEqual((plan.connections, plan.turn), (2, 2.0))
        page = re.sub(r"\s+", " ", read(PAGE))
        self.assertIn(f"until the next one is: {TURN:g} second by default", page)
        command = re.search(r"`(--users \d+ --connections \d+)`", page)
        assert command is not None
        self.assertTrue(parse(command[1].split(), "").plan.takesTurns)

    def test_named(self) -> None:
        """Each option that the page names is one."""
        page = read(PAGE)
        told = subprocess.run(
            [sys.executable, "-m", "msgserver.loadtest", "--help"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        ).stdout
        for option in set(re.findall(r"`(--[\w-]+)", page)):
            self.assertRegex(told, rf"(?m)^  (-h, )?{option}\b")

    def test_figures(self) -> None:
        """When the tester is said to be the bottleneck is as the page says."""
        page = re.sub(r"\s+", " ", read(PAGE))
        self.assertIn(f"took {figures.BUSY * 100:.0f} % of a core or more", page)
        self.assertIn(f"for a core for {figures.HELD_UP * 100:.0f} % of the time or more", page)
        self.assertIn(f"was {figures.LAG * 1000:.0f} milliseconds late or more", page)


def _masked(text: str) -> list[str]:
    """Leave out what is different each time: numbers, widths, and notes on the machine."""
    lines = [line for line in text.splitlines() if line and not line.startswith("Note: ")]
    return [re.sub(r" +", " ", _NUMBER.sub("#", line)) for line in lines]
