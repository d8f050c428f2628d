"""
Tests for L{msgserver.tap}: the command line, and how everything is put together.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

import msgserver
from msgserver import processes, tap
from msgserver.compiled import howSessionsRun
from msgserver.config import exampleConfig
from msgserver.configfile import Parts, loadConfig
from msgserver.handlers import MsgHandler
from msgserver.interfaces import IMsgGate, User
from msgserver.listening import ListenService
from msgserver.loginservice import LoginService
from msgserver.metrics import makeRegistry
from msgserver.msgservice import MsgService
from msgserver.processes import GateProcesses, Supervised
from msgserver.remote.door import ControlLinks
from msgserver.watched import Watched

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
CONTROL = """\
[login.control]
gates.sample = "the key of sample"
"""
GATE_LOGIN = """\
[gate.login]
key = "the key of sample"
"""
THREE = f"""\
{GATE}processes = 3
addresses = ["8881-8883"]
listen = ["tcp:{{port}}"]
advertise = "gate.example.org:{{port}}"
{GATE_LOGIN}"""


class EchoHandler(MsgHandler):
    """Sends back what it gets."""

    def requestReceived(self, user: User, content: bytes) -> bytes:
        """See L{IMsgHandler.requestReceived}."""
        return content


class Step(Service):
    """
    A service that writes down that it is started and stopped.

    @ivar stopped: what its stop waits for.
    """

    operations = None

    def __init__(self, steps: list[str], title: str) -> None:
        self._steps = steps
        self._title = title
        self.stopped: Deferred[None] = Deferred()

    def startService(self) -> None:
        """Write it down."""
        self._steps.append(f"start {self._title}")

    def stopService(self) -> Deferred[None]:
        """Write it down."""
        self._steps.append(f"stop {self._title}")
        return self.stopped


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

    def test_process(self) -> None:
        """With --process it is that process of the gate, and nothing else."""
        self.write(LOGIN + CONTROL + THREE)
        for process in (1, 2, 3):
            options = tap.Options()
            options.parseOptions(["-c", self.file, "--process", str(process)])
            assert options.parts.gate is not None
            self.assertEqual(options.parts.gate.settings.listen, (f"tcp:{8880 + process}",))
            self.assertIsNone(options.parts.login)

    def test_noProcess(self) -> None:
        """A process that there is not is one line, whatever is said instead of its number."""
        self.write(THREE)
        for text in (
            "0",
            "-1",
            "+1",
            "x",
            "",
            "1.5",
            "1_0",
            "9" * 5000,
            "\N{ARABIC-INDIC DIGIT ONE}",
        ):
            self.assertEqual(
                self.exits("-c", self.file, "--process", text),
                f"--process: must be a whole number, 1 or more, not {text!r}",
            )
        self.assertEqual(
            self.exits("-c", self.file, "--process", "4"),
            f"{self.file}:4: gate.processes: there is no process 4: they are numbered 1 to 3",
        )
        self.write(LOGIN)
        self.assertEqual(
            self.exits("-c", self.file, "--process", "1"),
            f"{self.file}: there is no section [gate], and so no process 1 of it",
        )

    def test_printConfig(self) -> None:
        """--print-config needs no file, and looks at none."""
        self.assertEqual(self.exits("--print-config", "--config", "nowhere"), 0)
        self.assertEqual(self.printed.getvalue(), exampleConfig())

    def test_version(self) -> None:
        """--version tells ours, Twisted's, and how sessions run."""
        self.assertEqual(self.exits("--version"), 0)
        self.assertRegex(
            self.printed.getvalue(),
            rf"^msgserver {msgserver.__version__}, Twisted [\d.]+\S*, {howSessionsRun()}\n$",
        )


class MakeServiceTests(TapTestCase):
    """What twistd runs."""

    def setUp(self) -> None:
        """Leave the limits of this process alone."""
        super().setUp()
        self.provided: list[int] = []
        self.patch(tap, "provideFiles", self.provided.append)

    def test_files(self) -> None:
        """B1: there are files for all connections, but those of a gate's other processes."""
        login, control = f"{LOGIN}maxclient = 5\n", f"{CONTROL}maxclient = 300\n"
        for content in (f"{login}{GATE}maxclient = 70\n", GATE, login + control + THREE):
            self.write(content)
            self.make()
        self.assertEqual(self.provided, [75, 1024, 305])

    def test_supervised(self) -> None:
        """With --supervised it stops with its supervisor, before anything else does."""
        self.write(THREE)
        plain = [type(service) for service in self.make("--process", "2")]
        supervised = [type(service) for service in self.make("--process", "2", "--supervised")]
        self.assertEqual(supervised, [*plain, Supervised])
        self.assertNotIn(Supervised, plain)

    def test_file(self) -> None:
        """A gate's processes get the config file whatever their current directory is."""
        files: list[str] = []

        def make(reactor: object, file: str, *others: object) -> Service:
            files.append(file)
            return Service()

        self.patch(processes, "GateProcesses", make)
        self.write(THREE)
        self.make()
        self.file = os.path.relpath(self.file)
        self.make()
        self.assertTrue(os.path.isabs(files[0]))
        self.assertEqual(files[1], files[0])

    def make(self, *arguments: str) -> MultiService:
        """Make the service of a command line."""
        options = tap.Options()
        options.parseOptions(["-c", self.file, *arguments])
        self.patch(tap, "settle", lambda: None)  # It is for a whole process.
        return tap.makeService(options)


class AssembleTestCase(TapTestCase):
    """A config file, and what it makes on a reactor in memory."""

    def load(self, content: str, process: int = 0) -> Parts:
        """Make the parts of a file of this content."""
        self.write(content)
        self.reactor = MemoryReactorClock()
        return loadConfig(self.file, self.reactor, process)


class AssembleTests(AssembleTestCase):
    """Everything put together."""

    def kinds(self, content: str, process: int = 0) -> list[type]:
        """Tell what a file of this content is made to."""
        return [type(each) for each in tap.assemble(self.load(content, process), self.reactor)]

    def steps(self) -> tuple[list[str], dict[str, Step]]:
        """Make all services L{Step}s; give what they write down, and those that there are."""
        written: list[str] = []
        made: dict[str, Step] = {}

        def replace(name: str) -> None:
            def make(section: object, *others: object, **named: object) -> Step:
                title = section if isinstance(section, str) else name
                made[title] = Step(written, title)
                return made[title]

            self.patch(tap, name, make)

        for name in ("LoginService", "ControlLinks", "MsgService", "ListenService"):
            replace(name)
        return written, made

    def test_eachTogether(self) -> None:
        """There is a service for each part of the file, and a port for each that listens."""
        login, gate = [LoginService, ListenService], [MsgService, ListenService]
        both = [LoginService, MsgService, ListenService, ListenService]
        control = [LoginService, ControlLinks, ListenService, ListenService]
        every = [LoginService, ControlLinks, MsgService, *3 * [ListenService]]
        for content, kinds in (
            (LOGIN, login),
            (GATE, gate),
            (GATE + GATE_LOGIN, gate),
            (LOGIN + GATE, both),
            (LOGIN + CONTROL, control),
            (LOGIN + CONTROL + GATE, every),
            (LOGIN + CONTROL + GATE + GATE_LOGIN, every),
        ):
            self.assertEqual(self.kinds(content), kinds, content)

    def test_severalProcesses(self) -> None:
        """The process that is started supervises the gate's, each of which is a gate alone."""
        everything = LOGIN + CONTROL + THREE
        self.assertEqual(self.kinds(THREE), [GateProcesses])
        self.assertEqual(
            self.kinds(everything),
            [LoginService, ControlLinks, GateProcesses, ListenService, ListenService],
        )
        for process in (1, 2, 3):
            self.assertEqual(self.kinds(everything, process), [MsgService, ListenService])

    def test_order(self) -> None:
        """
        B5: ports open last and close first, and the links to other gates outlive the gate
        that is here; each service stops when the one before has.
        """
        steps, made = self.steps()
        everything = tap.assemble(self.load(LOGIN + CONTROL + GATE), self.reactor)
        everything.startService()
        order = ["LoginService", "ControlLinks", "MsgService", "login", "login.control", "gate"]
        self.assertEqual(steps, [f"start {title}" for title in order])
        steps.clear()
        stopped = everything.stopService()
        for count, title in enumerate(reversed(order)):
            self.assertEqual(steps, [f"stop {each}" for each in order[: -count - 2 : -1]])
            self.assertNoResult(stopped)
            made[title].stopped.callback(None)
        self.successResultOf(stopped)

    def test_failsToStop(self) -> None:
        """B5: what fails to stop keeps none of the others from it, and is logged."""
        steps, made = self.steps()
        everything = tap.assemble(self.load(LOGIN + GATE), self.reactor)
        everything.startService()
        steps.clear()
        stopped = everything.stopService()
        made["gate"].stopped.errback(OSError("a port"))
        made["login"].stopped.callback(None)
        made["MsgService"].stopped.errback(ValueError("a handler"))
        self.assertEqual(steps[-1], "stop LoginService")
        made["LoginService"].stopped.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(len(self.flushLoggedErrors(OSError, ValueError)), 2)

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
        """B1: every endpoint of a section is listened on, with limits that hold for all."""
        parts = self.load(f'{LOGIN}listen = ["tcp:1", "tcp:2"]\n{GATE}listen = ["tcp:3", "tcp:4"]')
        tap.assemble(parts, self.reactor).startService()
        servers: dict[int, Any] = {port: each for port, each, *_ in self.reactor.tcpServers}
        self.assertEqual(sorted(servers), [1, 2, 3, 4])
        for one, other in ((1, 2), (3, 4)):
            self.assertIs(servers[one].limits, servers[other].limits)
        self.assertIsNot(servers[1].limits, servers[3].limits)


class OpsTests(AssembleTestCase):
    """Where a process is watched: the section C{[ops]}."""

    def test_order(self) -> None:
        """It listens before all else, and until all else has stopped."""
        everything = tap.assemble(self.load(f"{LOGIN}{CONTROL}{GATE}[ops]\n"), self.reactor)
        ops, *_ = everything
        assert isinstance(ops, ListenService)
        everything.startService()
        ports = [port for port, *_ in self.reactor.tcpServers]
        self.assertEqual(ports[0], 8003)
        self.successResultOf(everything.stopService())

    def test_watched(self) -> None:
        """All parts that there are are told of; and it is ready when all ports listen."""
        made: list[Watched] = []

        def keep(watched: Watched, version: str) -> CollectorRegistry:
            made.append(watched)
            return makeRegistry(watched, version)

        self.patch(tap, "makeRegistry", keep)
        parts = self.load(f"{LOGIN}{CONTROL}{GATE}[ops]\nmaxclient = 5\n")
        everything = tap.assemble(parts, self.reactor)
        (watched,) = made
        self.assertEqual([port.name for port in watched.ports()], ["login", "gate", "control"])
        self.assertEqual(watched.servernames, ("sample",))
        self.assertIsNotNone(watched.operations)
        self.assertIsNotNone(watched.failures)
        self.assertEqual(watched.notReady(), "not all ports are open")
        everything.startService()
        self.assertIsNone(watched.notReady())
        factories = {port: factory for port, factory, *_ in self.reactor.tcpServers}
        factory: Any = factories[8003]
        taken = [factory.limits.opened(number) for number in range(6)]
        self.assertEqual(taken, [True] * 5 + [False])
        self.successResultOf(everything.stopService())

    def test_away(self) -> None:
        """A gate whose login servers are elsewhere is ready when it is registered."""
        made: list[Watched] = []
        self.patch(tap, "makeRegistry", lambda watched, version: made.append(watched))
        everything = tap.assemble(self.load(f"{GATE}{GATE_LOGIN}[ops]\n"), self.reactor)
        self.assertIsNone(made[0].operations)
        everything.startService()
        self.assertEqual(made[0].notReady(), "the gate is registered with no login server")

    def test_none(self) -> None:
        """Without the section, nothing is there to be watched."""
        self.patch(tap, "makeRegistry", lambda *_: self.fail("nobody asked for it"))
        tap.assemble(self.load(LOGIN + GATE), self.reactor)
