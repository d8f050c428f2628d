"""
The commands of docs/operating.md show what the page says, of servers in memory.
"""

from __future__ import annotations

import re
import shlex
from io import BytesIO, TextIOWrapper
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.task import deferLater

from msgserver import Account, ctl
from msgserver.client import MsgClient, login
from msgserver.clientlogin import LoggedIn
from msgserver.configfile import loadOperator
from msgserver.ctlorders import LOCAL, NAME, VERBS, Status, parse
from msgserver.later import asked
from msgserver.wire.naming import encode64
from tests.network import MemoryNetwork, serve
from tests.pages import FolderTestCase, blocks, shownIn, tables

PAGE = "docs/operating.md"

_USERS = (b"alice", b"bob")

# What is different each time, and as long.
_VARYING = {
    r"(?<=[ \"])[\w+/]{16}(?=[ \"])": "(subid)",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d": "(time)",
    r'(?<="since": )[\d.]+': "(seconds)",
    r"^[\w+/]{43}=$": "(identity)",
}


class OperatingTests(FolderTestCase):
    """Two gates of one name, with a user at each."""

    def setUp(self) -> None:
        """Start the servers of the page, and log in."""
        super().setUp()
        self.savePage(PAGE)
        self.network = MemoryNetwork()
        # Times are as long as today's.
        self.network.advance(1_800_000_000)
        for config in ("cluster.toml", "gate.toml"):
            serve(self, self.folder / config, self.network)
            self.result(deferLater(self.network, 1))
        for uid in _USERS:
            self.connect(uid)

    def connect(self, uid: bytes) -> None:
        """Log a user in, and stay connected to the gate."""
        logins = TCP4ClientEndpoint(self.network, "127.0.0.1", 8001)
        token = b"%b@%b:%b" % tuple(map(encode64, (uid, b"sample", b"password")))

        def takeLogin() -> Deferred[LoggedIn]:
            return login(logins, Account(b"sample", uid), token, clock=self.network)

        client = MsgClient(self.network, takeLogin)
        self.addCleanup(lambda: self.result(client.close()))
        self.result(client.request(b"hello"))

    def result(self, promised: Deferred[Any]) -> Any:
        """Give what comes of C{promised}."""
        return self.successResultOf(self.network.runUntil(promised))

    def operate(self, command: str) -> str:
        """Give what a command writes, on either stream."""
        name, *arguments = shlex.split(command)
        self.assertEqual(name, NAME)
        order = parse(arguments, "")
        written = TextIOWrapper(BytesIO(), encoding="utf-8")
        if order.verb in LOCAL:
            outcome = ctl.operateAlone(order)
        else:
            link = loadOperator(order.config, self.network)
            outcome = self.result(asked(ctl.operate, order, link, self.network))
        ctl.say(outcome, written, written)
        written.seek(0)
        return written.read()

    def test_console(self) -> None:
        """Each command, one after the other, shows what stands below it."""
        for block in blocks(PAGE):
            if block.language == "console":
                for command, output in shownIn(block):
                    found = self.operate(command)
                    self.assertEqual(_masked(found), _masked(output), f"{block.place}\n{found}")

    def test_ownConfig(self) -> None:
        """The login server's own config does as well as one with a section [operator]."""
        command = f"{NAME} users --config"
        found = self.operate(f"{command} cluster.toml")
        self.assertEqual(found, self.operate(f"{command} operator.toml"))
        self.assertIn("alice", found)

    def test_commands(self) -> None:
        """The table of commands has each of them."""
        shown = [row[0].strip("`").split()[0] for row in tables(PAGE, "## Commands")]
        self.assertEqual(shown, list(VERBS))

    def test_statuses(self) -> None:
        """The table of exit statuses has each of them."""
        shown = [int(row[0]) for row in tables(PAGE, "## Exit statuses")]
        self.assertEqual(shown, list(Status))


def _masked(text: str) -> str:
    for pattern, name in _VARYING.items():
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return text
