"""
Tests for L{msgserver.tap}: the command line, and how everything is put together.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

import msgserver
from msgserver import tap
from msgserver.config import exampleConfig, settings
from msgserver.configfile import Parts, loadConfig
from msgserver.configvalues import Strings
from msgserver.handlers import MsgHandler, PasswordLoginHandler
from msgserver.interfaces import IMsgGate, User
from msgserver.listening import ListenService
from msgserver.loginprotocol import LoginLimits
from msgserver.loginservice import LoginService
from msgserver.msgprotocol import GateLimits
from msgserver.msgservice import LifeLimits, MsgService
from msgserver.sessions import SessionLimits

LOGIN = """\
[login]
handler = "msgserver.handlers:PasswordLoginHandler"
handler_options = { users = {}, servers = ["sample"] }
"""
GATE = f"""\
[gate]
servername = "sample"
handler = "{__name__}:EchoHandler"
"""


class EchoHandler(MsgHandler):
    """Sends back what it gets."""

    def requestReceived(self, user: User, content: bytes) -> bytes:
        """See L{IMsgHandler.requestReceived}."""
        return content


class TapTestCase(SynchronousTestCase):
    """A config file on disk."""

    def setUp(self) -> None:
        """Make a place for the file."""
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        self.file = str(Path(directory) / "server.toml")

    def write(self, content: str) -> None:
        """Write the file."""
        Path(self.file).write_text(content, encoding="utf-8")


class OptionsTests(TapTestCase):
    """The command line."""

    def setUp(self) -> None:
        """Collect what is printed."""
        super().setUp()
        self.printed = io.StringIO()
        self.patch(sys, "stdout", self.printed)

    def exits(self, *arguments: str) -> object:
        """Read a command line that ends the process, and give the exit's code or text."""
        error = self.assertRaises(SystemExit, tap.Options().parseOptions, arguments)
        return error.code

    def test_run(self) -> None:
        """A config file that is right leaves what it makes in the options."""
        self.write(LOGIN + GATE)
        for name in ("--config", "-c"):
            options = tap.Options()
            options.parseOptions([name, self.file])
            assert options.parts.login is not None and options.parts.gate is not None
            self.assertIsInstance(options.parts.gate.handler, EchoHandler)
        self.assertEqual(self.printed.getvalue(), "")

    def test_check(self) -> None:
        """Where there is no mistake, --check says so and that is all."""
        self.write(LOGIN)
        self.assertEqual(self.exits("--check", "--config", self.file), 0)
        self.assertEqual(self.printed.getvalue(), f"{self.file}: ok\n")

    def test_mistakes(self) -> None:
        """Mistakes are the text of the exit, a line each, which Python prints to stderr."""
        self.write(LOGIN + "maxclient = 0\nmultilogin = 5\n")
        text = (
            f"{self.file}:4: login.maxclient: must be a whole number, 1 or more, not 0\n"
            f"{self.file}:5: login.multilogin: must be true or false, not 5"
        )
        self.assertEqual(self.exits("--config", self.file), text)
        self.assertEqual(self.exits("--check", "--config", self.file), text)
        self.assertEqual(self.printed.getvalue(), "")

    def test_noFile(self) -> None:
        """So is a file that cannot be read."""
        self.assertEqual(self.exits("-c", self.file), f"{self.file}: No such file or directory")

    def test_noConfig(self) -> None:
        """Without a config file there is a line on what to type."""
        for arguments in ((), ("--check",)):
            text = self.exits(*arguments)
            assert isinstance(text, str)
            self.assertIn("twistd -n msgserver --config FILE", text)
            self.assertNotIn("\n", text)

    def test_printConfig(self) -> None:
        """--print-config needs no file, and looks at none."""
        self.assertEqual(self.exits("--print-config", "--config", "nowhere"), 0)
        self.assertEqual(self.printed.getvalue(), exampleConfig())

    def test_version(self) -> None:
        """--version tells ours, and Twisted's."""
        self.assertEqual(self.exits("--version"), 0)
        self.assertRegex(
            self.printed.getvalue(), rf"^msgserver {msgserver.__version__}, Twisted [\d.]+\S*\n$"
        )


class MakeServiceTests(TapTestCase):
    """What twistd runs."""

    def test_files(self) -> None:
        """B1: there are files for the connections of both servers."""
        provided: list[int] = []
        self.patch(tap, "provideFiles", provided.append)
        for content in (f"{LOGIN}maxclient = 5\n{GATE}maxclient = 70\n", GATE):
            self.write(content)
            options = tap.Options()
            options.parseOptions(["-c", self.file])
            tap.makeService(options)
        self.assertEqual(provided, [75, 1024])


class AssembleTests(TapTestCase):
    """Everything put together, on a reactor in memory."""

    def load(self, content: str) -> Parts:
        """Make the parts of a file of this content."""
        self.write(content)
        self.reactor = MemoryReactorClock()
        return loadConfig(self.file, self.reactor)

    def record(self, *names: str) -> dict[str, tuple[Any, ...]]:
        """Let these classes of L{tap} make nothing, and give what they are called with."""
        calls: dict[str, tuple[Any, ...]] = {}

        def replace(name: str) -> None:
            def call(*arguments: object, **named: object) -> Service:
                calls[name] = (*arguments, *named.values())
                return Service()

            self.patch(tap, name, call)

        for name in names:
            replace(name)
        return calls

    def test_order(self) -> None:
        """B5: ports open last, and close first, since services stop the other way around."""
        everything = tap.assemble(self.load(LOGIN + GATE), self.reactor)
        self.assertEqual(
            [type(service) for service in everything],
            [LoginService, MsgService, ListenService, ListenService],
        )

    def test_eitherAlone(self) -> None:
        """A process may be one of the two servers alone."""
        for content, kinds in [
            (LOGIN, [LoginService, ListenService]),
            (GATE, [MsgService, ListenService]),
        ]:
            everything = tap.assemble(self.load(content), self.reactor)
            self.assertEqual([type(service) for service in everything], kinds)

    def test_gateOpened(self) -> None:
        """The handler meets its gate before anybody can connect."""
        seen = []

        def gateOpened(handler: EchoHandler, gate: IMsgGate) -> None:
            seen.append((gate.servername, list(self.reactor.tcpServers)))

        self.patch(EchoHandler, "gateOpened", gateOpened)
        tap.assemble(self.load(GATE), self.reactor).startService()
        self.assertEqual(seen, [(b"sample", [])])
        self.assertEqual(len(self.reactor.tcpServers), 1)

    def test_ports(self) -> None:
        """B1: every endpoint of a section is listened on, with one factory."""
        parts = self.load(f'{LOGIN}listen = ["tcp:1", "tcp:2"]\n{GATE}listen = ["tcp:3", "tcp:4"]')
        tap.assemble(parts, self.reactor).startService()
        servers = {port: factory for port, factory, *_ in self.reactor.tcpServers}
        self.assertEqual(sorted(servers), [1, 2, 3, 4])
        self.assertIs(servers[1], servers[2])
        self.assertIs(servers[3], servers[4])
        self.assertIsNot(servers[1], servers[3])

    def test_loginSettings(self) -> None:
        """Each setting of the login server gets where it belongs."""
        calls = self.record("LoginService", "LoginFactory", "ListenService")
        parts = self.load(
            f'{LOGIN}listen = ["tcp:1"]\nmaxclient = 5\nlogin_timeout = 20\n'
            "gate_timeout = 7\nmultilogin = true\n"
        )
        tap.assemble(parts, self.reactor)
        handler, *others = calls["LoginService"]
        self.assertIsInstance(handler, PasswordLoginHandler)
        self.assertEqual(others, [self.reactor, True, 7.0])
        _, clock, suites, limits = calls["LoginFactory"]
        self.assertIs(clock, self.reactor)
        self.assertEqual([suite.name for suite in suites], ["classic"])
        self.assertEqual(limits, LoginLimits(maxclient=5, timeout=20.0))
        section, endpoints, _, isWeak = calls["ListenService"]
        self.assertEqual((section, isWeak), ("login", True))
        self.assertEqual([text for text, _ in endpoints], ["tcp:1"])

    def test_gateSettings(self) -> None:
        """Each setting of the gate gets where it belongs."""
        calls = self.record("MsgService", "MsgFactory", "ListenService")
        parts = self.load(
            GATE.replace("sample", "sampl\N{LATIN SMALL LETTER E WITH ACUTE}")
            + 'advertise = "a.example:3"\nmaxclient = 6\nnodelay = false\nexpired_number = 7\n'
            'cache_bytes = 70000\nsessions = "increasing"\nmax_packet = 200\n'
            "handshake_timeout = 8\nmax_running = 9\nstall_timeout = 10\n"
            "away_timeout = 11\nkick_timeout = 2\ndrain_timeout = 13\n"
        )
        tap.assemble(parts, self.reactor)
        handler, *others = calls["MsgService"]
        self.assertIsInstance(handler, EchoHandler)
        self.assertEqual(
            others,
            [
                b"sampl\xc3\xa9",
                self.reactor,
                None,
                "a.example:3",
                SessionLimits(
                    expiredNumber=7,
                    cacheBytes=70000,
                    increasing=True,
                    maxPacket=200,
                    maxRunning=9,
                ),
                LifeLimits(awayTimeout=11.0, kickTimeout=2.0, drainTimeout=13.0),
            ],
        )
        _, clock, limits = calls["MsgFactory"]
        self.assertIs(clock, self.reactor)
        self.assertEqual(
            limits,
            GateLimits(
                maxclient=6,
                handshakeTimeout=8.0,
                stallTimeout=10.0,
                maxPacket=200,
                nodelay=False,
            ),
        )
        self.assertEqual(calls["ListenService"][0], "gate")
        self.assertEqual(calls["ListenService"][3:], ())

    def test_defaults(self) -> None:
        """A gate that says nothing advertises nothing (L5), and takes any sessions (S7)."""
        calls = self.record("MsgService", "MsgFactory")
        tap.assemble(self.load(GATE), self.reactor)
        *_, address, sessionLimits, lifeLimits = calls["MsgService"]
        self.assertIsNone(address)
        self.assertEqual((sessionLimits, lifeLimits), (SessionLimits(), LifeLimits()))
        self.assertEqual(calls["MsgFactory"][2], GateLimits())

    def test_together(self) -> None:
        """In one process, the gate reports to the login server that is here."""
        calls = self.record("MsgService", "MsgFactory")
        everything = tap.assemble(self.load(LOGIN + GATE), self.reactor)
        self.assertIs(calls["MsgService"][3], list(everything)[0])

    def test_suites(self) -> None:
        """L2, L3: there is a suite for each name that a config may say."""
        calls = self.record("LoginFactory")
        for setting in settings():
            if setting.key == "suites":
                assert isinstance(setting.kind, Strings)
                names = list(setting.kind.choices)
        tap.assemble(self.load(f"{LOGIN}suites = {names}"), self.reactor)
        self.assertEqual([suite.name for suite in calls["LoginFactory"][2]], names)
