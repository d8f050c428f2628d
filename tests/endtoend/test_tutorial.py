"""
The tutorial as its reader goes through it: files, servers and clients, in three terminals.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from tests.endtoend.clusters import freePort
from tests.endtoend.terminals import Terminal
from tests.pages import Block, blocks, read

PAGE = "docs/tutorial.md"

_TERMINAL = re.compile(r"\b(first|second|third) terminal\b")


class TutorialTests(SynchronousTestCase):
    """An hour, in less."""

    def setUp(self) -> None:
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        # The commands are those of this environment, as they are where it is activated.
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
        self.patch(os, "environ", {**os.environ, "PATH": path})
        self.ports = {"8001": str(freePort()), "8888": str(freePort())}
        places = f"--login=127.0.0.1:{self.ports['8001']} --gate=127.0.0.1:{self.ports['8888']}"
        self.terminals = {
            name: Terminal(self.folder, {"msgserver-client": places})
            for name in ("first", "second", "third")
        }
        for terminal in self.terminals.values():
            self.addCleanup(terminal.end)

    def test_all(self) -> None:
        """What is shown is what is seen."""
        lines = read(PAGE).splitlines()
        for block in blocks(PAGE):
            if block.file is not None:
                (self.folder / block.file).write_text(self.adapted(block))
            elif block.language == "console":
                said = _before(lines, int(block.place.rpartition(":")[2]) - 1)
                name = (_TERMINAL.findall(said) or ["second"])[-1]
                try:
                    self.terminals[name].follow(block.code.replace("sleep 11\n", "sleep 4\n"))
                except AssertionError as error:
                    raise AssertionError(f"{block.place}, {name} terminal: {error}") from None

    def adapted(self, block: Block) -> str:
        """Give a file of the page with free ports, and with less patience than it asks of us."""
        code = block.code
        if block.language == "toml":
            for section, port in (("login", "8001"), ("gate", "8888")):
                listen = f'listen = ["tcp:{port}:interface=127.0.0.1"]'
                code = code.replace(f"[{section}]\n", f"[{section}]\n{listen}\n", 1)
        code = code.replace("SLOW = 10 ", "SLOW = 3 ")
        return re.sub(r"\b(8001|8888)\b", lambda port: self.ports[port[0]], code)


def _before(lines: list[str], fence: int) -> str:
    """Give the paragraph before a fence, that far back as the last fence or heading."""
    said: list[str] = []
    for line in reversed(lines[:fence]):
        if line.startswith(("```", "#")):
            break
        if not line and _TERMINAL.search(" ".join(said)):
            break
        said.insert(0, line)
    return " ".join(said)
