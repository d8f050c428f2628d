"""The agents of docs/agents.md do what the page says, and its tables are right."""

from __future__ import annotations

import inspect
import re
import sys
import types
from pathlib import Path
from typing import Any
from unittest import TestResult as Results

from twisted.internet.defer import maybeDeferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.configfile import loadConfig
from msgserver.errors import Forbidden
from msgserver.handlers import AgentHandler, Mailbox
from msgserver.handlers.agents import EVENTS, MAX_PROCESSES
from msgserver.handlers.workergate import WorkerGate
from msgserver.handlers.workers import FIRST_WAIT, LOGIN_WAIT, LONGEST_WAIT
from msgserver.interfaces import User
from msgserver.msgprotocol import MsgFactory
from msgserver.msgservice import LifeLimits, MsgService
from msgserver.wire.messages import Inbox
from tests.gates import ONE, THREE, TWO, GateCase
from tests.pages import PageTestCase, blocks, read, tables

PAGE = "docs/agents.md"


class Bank:
    """What the page takes for granted: a bank of the reader's."""

    balances = {b"alice": 50}

    def balanceOf(self, uid: bytes) -> int:
        """Tell what a user has."""
        return self.balances[uid]

    def setBalance(self, uid: bytes, balance: int) -> None:
        """Keep what a user has."""
        self.balances[uid] = balance


class AgentsTests(PageTestCase, GateCase):
    """The agents of the page, each at a gate in memory."""

    page = PAGE
    proved = {
        "Counter": "test_counter",
        "Purse": "test_purse",
        "Client": "test_client",
        "Player": "test_player",
        "PushingHandler": "test_push",
        "Talker": "test_push",
        "PurseTests": "test_purseTests",
        "test_savedAtLogout": "test_memoryServer",
    }

    def setUp(self) -> None:
        PageTestCase.setUp(self)
        GateCase.setUp(self)

    def prepare(self) -> None:
        """Have a bank, and let the page import the files that it has."""
        self.savePage(PAGE)
        sys.path.insert(0, str(self.folder))
        bank = types.ModuleType("bank")
        bank.Bank = Bank  # type: ignore[attr-defined]  # a module of the test's
        self.patch(Bank, "balances", {b"alice": 50})
        sys.modules["bank"] = bank
        self.addCleanup(sys.modules.pop, "bank")

    def serve(self, name: str, **options: Any) -> None:
        """Have the gate's agents be of a class of the page."""
        handler = AgentHandler(self.shown[name], options=options, clock=self.clock)
        self.serveHandler(handler)

    def serveHandler(self, handler: Any) -> None:
        """Have the gate's handler be another."""
        self.service = MsgService(handler, b"sample", self.clock, self.directory)
        self.factory = MsgFactory(self.service, self.clock, self.gateLimits)
        self.service.startService()

    def test_all(self) -> None:
        """Everything that is defined is used here."""
        self.proveAll()

    def test_counter(self) -> None:
        """The smallest agent counts, and each login has its own."""
        self.serve("Counter")
        for uid in (b"alice", b"bob"):
            client = self.connect(self.login(uid))
            client.ask(ONE, b"")
            client.ask(TWO, b"")
            self.assertEqual(client.heard(), [b"1\x01" + ONE, b"2\x01" + TWO])

    def test_purse(self) -> None:
        """Coins are kept from login to login; who is in debt is refused."""
        self.serve("Purse", file="purses.sqlite")
        user = self.login()
        client = self.connect(user)
        client.ask(ONE, b"30")
        client.ask(TWO, b"71")
        self.assertEqual(client.heard(), [b"70 left\x01" + ONE, b"you have 70\x00" + TWO])
        self.successResultOf(self.service.kick(user.uid, user.subid))
        client = self.connect(self.login())
        client.ask(ONE, b"70")
        self.assertEqual(client.heard(), [b"0 left\x01" + ONE])
        client.ask(TWO, b"-5")
        self.assertEqual(client.heard(), [b"you have 0\x00" + TWO])
        purse = self.shown["Purse"]("purses.sqlite")
        purse.user = User(b"eve", b"1", b"sample")
        purse._coins = -1
        purse.save()
        self.failureResultOf(self.loginOf(b"eve"), Forbidden)

    def test_client(self) -> None:
        """A slow database is asked in a thread, at login and at its end."""
        self.shown["deferToThread"] = maybeDeferred
        self.serve("Client")
        user = self.login()
        client = self.connect(user)
        client.ask(ONE, b"20")
        self.assertEqual(client.heard(), [b"30 left\x01" + ONE])
        self.assertEqual(Bank.balances, {b"alice": 50})
        self.successResultOf(self.service.end(user))
        self.assertEqual(Bank.balances, {b"alice": 30})

    def test_player(self) -> None:
        """An agent is told that its user is away, and back."""
        made: list[Any] = []

        def make() -> Any:
            made.append(self.shown["Player"]())
            return made[-1]

        self.serveHandler(AgentHandler(make, clock=self.clock))
        user = self.login()
        client = self.connect(user)
        client.ask(ONE, b"where am I")
        self.assertEqual(client.heard(), [b"you are here\x01" + ONE])
        self.assertFalse(made[0].isSafe)
        client.lose()
        self.assertTrue(made[0].isSafe)
        self.connect(user, 2)
        self.assertFalse(made[0].isSafe)

    def test_push(self) -> None:
        """A poll stands while its user's agent answers in order, and is answered by another's."""
        self.shown["MAILBOX"] = Mailbox(self.clock)
        self.serveHandler(self.shown["PushingHandler"](self.shown["Talker"], clock=self.clock))
        alice, bob = self.connect(self.login(b"alice")), self.connect(self.login(b"bob"))
        inbox = Inbox()
        alice.ask(ONE, b"poll " + inbox.poll())
        self.turn()
        (packet,) = alice.heard()
        self.assertEqual(inbox.take(packet[:-5]), [])
        alice.ask(TWO, b"poll " + inbox.poll())
        alice.ask(THREE, b"carol hello")
        self.turn()
        self.assertEqual(alice.heard(), [b"said\x01" + THREE])
        bob.ask(ONE, b"alice how are you?")
        self.turn()
        (packet,) = alice.heard()
        self.assertEqual(packet[-5:], b"\x01" + TWO)
        self.assertEqual(inbox.take(packet[:-5]), [b"how are you?"])

    def test_purseTests(self) -> None:
        """The test of the page finds nothing wrong, and would."""
        result = Results()
        self.shown["PurseTests"]("test_spends").run(result)
        self.assertEqual((result.testsRun, result.errors, result.failures), (1, [], []))
        self.shown["Purse"].request = lambda purse, content: b"70 left"
        result = Results()
        self.shown["PurseTests"]("test_spends").run(result)
        self.assertEqual(len(result.failures), 1)

    def test_memoryServer(self) -> None:
        """That with logins does not, either, and would."""
        folder = Path(self.mktemp())
        folder.mkdir()
        self.shown["test_savedAtLogout"](folder)
        (folder / "test.sqlite").unlink()
        self.patch(self.shown["Purse"], "save", lambda purse: None)
        self.assertRaises(AssertionError, self.shown["test_savedAtLogout"], folder)

    def test_configs(self) -> None:
        """Each config of the page loads, and makes what it says."""
        configs = [block for block in blocks(PAGE) if block.language == "toml"]
        self.assertEqual(len(configs), 3)
        for block in configs:
            Path("shown.toml").write_text(block.code)
            parts = loadConfig("shown.toml", MemoryReactorClock())
            assert parts.gate is not None
            self.assertIsInstance(parts.gate.handler, AgentHandler)


class TablesTests(SynchronousTestCase):
    """What the page says in figures and tables."""

    def test_options(self) -> None:
        """The options are those that there are, with their defaults."""
        parameters = inspect.signature(AgentHandler).parameters
        shown = {row[0].strip("`"): row[1].strip("`") for row in tables(PAGE, "## Options")}
        self.assertEqual(list(shown), [name for name in parameters if name != "clock"])
        for name, text in shown.items():
            default = parameters[name].default
            if name == "agentFactory":
                self.assertEqual((text, default), ("", inspect.Parameter.empty))
            elif name == "options":
                self.assertEqual((text, dict(default)), ("{}", {}))
            else:
                self.assertEqual(text, str(default).lower(), name)

    def test_events(self) -> None:
        """The events are those that are counted."""
        rows = tables(PAGE, "## What is counted")
        self.assertEqual([row[0].strip("`") for row in rows], list(EVENTS))

    def test_figures(self) -> None:
        """The times that it names are those that hold."""
        text = " ".join(read(PAGE).split())
        self.assertEqual((FIRST_WAIT, LONGEST_WAIT, LOGIN_WAIT), (0.5, 10.0, 3.0))
        for said in ("after half a second", "up to 10 s", "for up to 3 s", "`saveTimeout` (2.5 s)"):
            self.assertIn(said, text)
        default = inspect.signature(AgentHandler).parameters["saveTimeout"].default
        self.assertEqual(default, 2.5)
        self.assertLess(default, LifeLimits().kickTimeout)
        self.assertLess(default, LifeLimits().drainTimeout)
        default = inspect.signature(AgentHandler).parameters["hangTimeout"].default
        self.assertIn(f"`hangTimeout` ({default:g} s)", text)
        self.assertIn(f"{MAX_PROCESSES} at most", text)

    def test_gate(self) -> None:
        """What a worker's gate has, and what it has not."""
        (line,) = (line for line in read(PAGE).split("\n- ") if line.startswith("`self.gate` has"))
        said = re.findall(r"`(\w+)`", line)
        gate = WorkerGate(b"sample", None)  # type: ignore[arg-type]  # not asked
        self.assertEqual({"servername", "userid", "username", "logout"}, set(said[:4]))
        self.assertEqual({"online", "ip", "login"}, set(said[4:7]))
        for name in said[:7]:
            self.assertTrue(hasattr(gate, name), name)
