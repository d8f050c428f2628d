"""
Tests for L{msgserver.ctl}: what the operator's command does at a login server, and says.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from importlib import import_module
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface import implementer

from msgserver import ctl
from msgserver.cluster import GateLoad, GateReport, IOperations, LoginReport
from msgserver.configfile import loadOperator
from msgserver.ctl import Outcome, operate, operateAlone, say
from msgserver.ctlorders import Status, parse
from msgserver.errors import GateUnavailable, InvalidState, UserNotFound
from msgserver.identity import publicText, readIdentity
from msgserver.later import asked
from msgserver.remote.door import OPERATOR, ControlFactory, Keys
from msgserver.remote.gates import PAGE, ControlRealm
from msgserver.remote.link import LinkTimes
from msgserver.testing import MemoryDirectory
from msgserver.wire.naming import encode64
from tests.network import MemoryNetwork
from tests.pages import ROOT, FolderTestCase

KEY = "the key of the operators"
PORT = 8002
TIMEOUT = 10.0

GATE = GateReport("sample@a:1", b"sample", "a:1", 1, False, 3, GateLoad(3, 2, 1))
SILENT = GateReport("sample@b:1", b"sample", "b:1", 2, True, 40, None)
ALICE = LoginReport(b"alice", b"1", "sample@a:1", 1_800_000_000.25)
BYTES = LoginReport(b"\xff", b"", "sample@b:1", 1_800_000_000.25)


@implementer(IOperations)
class Operations:
    """
    A login side that answers as it is told, and writes down what it is asked.

    @ivar answers: what each method gives, or raises; C{[]} for one that is not in there.
    @ivar isAsked: fires when it is asked something, where a test has made it anew.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.answers: dict[str, Any] = {}
        self.isAsked: Deferred[None] = succeed(None)

    def gates(self) -> Deferred[list[GateReport]]:
        return self._called("gates")

    def users(self, uid: bytes | None = None) -> list[LoginReport]:
        reports: list[LoginReport] = self._answer("users", uid)
        return reports

    def kick(self, uid: bytes, subid: bytes | None = None) -> Deferred[list[LoginReport]]:
        return self._called("kick", uid, subid)

    def setDraining(self, gate: str, isDraining: bool) -> Deferred[GateReport]:
        return self._called("setDraining", gate, isDraining)

    def _called(self, *question: object) -> Deferred[Any]:
        answer = self._answer(*question)
        return answer if isinstance(answer, Deferred) else succeed(answer)

    def _answer(self, *question: object) -> Any:
        self.asked.append(question)
        if not self.isAsked.called:
            self.isAsked.callback(None)
        answer = self.answers.get(str(question[0]), [])
        if isinstance(answer, Exception):
            raise answer
        return answer


def setZone(zone: str | None) -> None:
    """Set this process's time zone; None is the machine's."""
    if zone is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = zone
    time.tzset()


class CtlTestCase(SynchronousTestCase):
    """A login server in memory, and a config to reach it with."""

    def setUp(self) -> None:
        """Listen."""
        self.network = MemoryNetwork()
        self.operations = Operations()
        realm = ControlRealm(MemoryDirectory(), self.operations, self.network, LinkTimes(), 5.0)
        keys = Keys({OPERATOR: KEY.encode()})
        self.factory = ControlFactory(realm, keys, self.network, 10, LinkTimes())
        self.network.listenTCP(PORT, self.factory)
        self.config = self.mktemp()
        self.write(f'key = "{KEY}"\ntimeout = {TIMEOUT}\n')

    def write(self, content: str) -> None:
        """Write the section of the config."""
        Path(self.config).write_text(f"[operator]\n{content}")

    def begin(self, *arguments: str) -> Deferred[Outcome]:
        """Begin to carry out a command line."""
        order = parse(["--config", self.config, *arguments], "")
        return asked(operate, order, loadOperator(self.config, self.network), self.network)

    def do(self, *arguments: str) -> Outcome:
        """Carry out a command line, and give what has come of it."""
        outcome: Outcome = self.successResultOf(self.network.runUntil(self.begin(*arguments)))
        return outcome

    def assertShows(self, arguments: str, *lines: str) -> None:
        """Carry out a command line; see it done, and show these lines."""
        output = "".join(f"{line}\n" for line in lines)
        self.assertEqual(self.do(*arguments.split()), Outcome(Status.DONE, output))

    def assertFails(self, arguments: str, status: Status, *complaints: str) -> None:
        """Carry out a command line; see it fail, show nothing, and complain so."""
        self.assertEqual(self.do(*arguments.split()), Outcome(status, "", complaints))


class TablesTests(CtlTestCase):
    """What people are shown."""

    def test_gates(self) -> None:
        """Gates are a table; what one that does not answer would have said is not made up."""
        self.operations.answers["gates"] = [GATE, SILENT]
        self.assertShows(
            "gates",
            "gate        logins  connections  running  weight  state",
            "sample@a:1       3            2        1       1  open",
            "sample@b:1      40            -        -       2  no answer",
        )
        self.assertEqual(self.operations.asked, [("gates",)])

    def test_users(self) -> None:
        """Logins are a table, with this machine's time to the second, and bytes as base64."""
        self.addCleanup(setZone, os.environ.get("TZ"))
        setZone("CET-1")
        self.operations.answers["users"] = [ALICE, BYTES]
        self.assertShows(
            "users",
            "uid          subid    gate        since",
            "alice        1        sample@a:1  2027-01-15T09:00:00+01:00",
            "base64:/w==  base64:  sample@b:1  2027-01-15T09:00:00+01:00",
        )
        self.assertEqual(self.operations.asked, [("users", None)])

    def test_usersOfOne(self) -> None:
        """Of a uid that is named, its logins alone are asked for."""
        self.operations.answers["users"] = [ALICE]
        self.assertEqual(len(self.do("users", "alice").output.splitlines()), 2)
        self.assertEqual(self.operations.asked, [("users", b"alice")])

    def test_manyUsers(self) -> None:
        """More logins than go into one call are all shown."""
        self.operations.answers["users"] = [ALICE] * (PAGE + 1)
        self.assertEqual(len(self.do("users").output.splitlines()), 1 + PAGE + 1)

    def test_empty(self) -> None:
        """Where there is nothing to show, that is said, and it is no failure."""
        self.assertShows("gates", "no gates")
        self.assertShows("users", "nobody is logged in")
        self.assertShows("users base64:/w==", "base64:/w== is not logged in")

    def test_kick(self) -> None:
        """U4: a kick names one login, or all of a uid, and shows what it has ended."""
        self.operations.answers["kick"] = [ALICE]
        for arguments, question in (
            ("kick alice", ("kick", b"alice", None)),
            ("kick alice 1", ("kick", b"alice", b"1")),
        ):
            self.assertEqual(
                [line.split()[:3] for line in self.do(*arguments.split()).output.splitlines()],
                [["uid", "subid", "gate"], ["alice", "1", "sample@a:1"]],
            )
            self.assertEqual(self.operations.asked.pop(), question)

    def test_drain(self) -> None:
        """A gate's row is shown as it is afterwards."""
        for verb, isDraining, state in (("drain", True, "draining"), ("undrain", False, "open")):
            self.operations.answers["setDraining"] = evolve(GATE, isDraining=isDraining)
            self.assertShows(
                f"{verb} a:1",
                "gate        logins  connections  running  weight  state",
                f"sample@a:1       3            2        1       1  {state}",
            )
            self.assertEqual(self.operations.asked.pop(), ("setDraining", "a:1", isDraining))

    def test_terminal(self) -> None:
        """What a gate is named does nothing to a terminal, nor to the table."""
        self.operations.answers["gates"] = [evolve(GATE, name="\x1b[2J\n\u202ex")]
        head, row = self.do("gates").output.splitlines()
        self.assertEqual(row.split()[0], r"\x1b[2J\n\u202ex")


class JSONTests(CtlTestCase):
    """What programs are shown: one document, whose keys stay."""

    def show(self, *arguments: str) -> object:
        """Carry out a command line, and read what it shows."""
        outcome = self.do(*arguments, "--json")
        self.assertEqual((outcome.status, outcome.complaints), (Status.DONE, ()))
        return json.loads(outcome.output)

    def test_gates(self) -> None:
        """Gates are a list, with no load for one that does not answer."""
        unnamed = evolve(SILENT, name="\\xff", servername=b"\xff", address=None)
        self.operations.answers["gates"] = [GATE, unnamed]
        self.assertEqual(
            self.show("gates"),
            [
                {
                    "gate": "sample@a:1",
                    "server": "sample",
                    "address": "a:1",
                    "weight": 1,
                    "draining": False,
                    "logins": 3,
                    "load": {"logins": 3, "connections": 2, "running": 1},
                },
                {
                    "gate": "\\xff",
                    "server": "base64:/w==",
                    "address": None,
                    "weight": 2,
                    "draining": True,
                    "logins": 40,
                    "load": None,
                },
            ],
        )

    def test_logins(self) -> None:
        """Logins are a list, those that a kick has ended as well."""
        shown = [
            {"uid": "alice", "subid": "1", "gate": "sample@a:1", "since": 1_800_000_000.25},
            {
                "uid": "base64:/w==",
                "subid": "base64:",
                "gate": "sample@b:1",
                "since": 1_800_000_000.25,
            },
        ]
        self.operations.answers = {"users": [ALICE, BYTES], "kick": [ALICE, BYTES]}
        self.assertEqual(self.show("users"), shown)
        self.assertEqual(self.show("kick", "alice"), shown)

    def test_drain(self) -> None:
        """The one gate of a drain is an object."""
        self.operations.answers = {"setDraining": GATE, "gates": [GATE]}
        drained = self.show("drain", "sample")
        self.assertEqual([drained], self.show("gates"))
        self.assertEqual(drained, self.show("undrain", "sample"))

    def test_empty(self) -> None:
        """Nothing is an empty list."""
        for arguments in (["gates"], ["users"], ["users", "alice"]):
            self.assertEqual(self.show(*arguments), [])


class RefusedTests(CtlTestCase):
    """The login server says no: status 1, and a line that says what to do."""

    def test_noLogin(self) -> None:
        """A kick of one who is not logged in says so."""
        self.operations.answers["kick"] = UserNotFound("no such login")
        self.assertFails(
            "kick alice base64:/w==",
            Status.REFUSED,
            'kick alice base64:/w==: no such login ("msgserver-ctl users" tells what there is)',
        )

    def test_noGate(self) -> None:
        """So does a drain of a gate that is not there, or of several."""
        self.operations.answers["setDraining"] = UserNotFound("no gate is named x")
        for verb in ("drain", "undrain"):
            self.assertFails(
                f"{verb} x",
                Status.REFUSED,
                f'{verb} x: no gate is named x ("msgserver-ctl gates" tells what there is)',
            )

    def test_gateAway(self) -> None:
        """A gate that does not answer is no login server that is away."""
        late = GateUnavailable("sample@a:1 did not answer in time")
        self.operations.answers = {"kick": late, "setDraining": late}
        for arguments in ("kick alice", "drain sample"):
            self.assertFails(
                arguments,
                Status.REFUSED,
                f"{arguments}: sample@a:1 did not answer in time"
                ' ("msgserver-ctl gates" tells which gates do not answer)',
            )

    def test_otherErrors(self) -> None:
        """Whatever else the login server answers is told, and its bug is not this one's."""
        self.operations.answers["gates"] = InvalidState("not now")
        self.assertIn("gates: not now", self.do("gates").complaints[0])
        self.operations.answers["gates"] = ZeroDivisionError("a bug over there")
        outcome = self.do("gates")
        self.assertEqual(outcome.status, Status.REFUSED)
        self.assertIn("the other end of the link failed: its log says why", outcome.complaints[0])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class UnreachableTests(CtlTestCase):
    """No login server: status 3, with a line for each that was tried."""

    def test_wrongKey(self) -> None:
        """L6: a wrong key is refused, and not told."""
        self.write('key = "another key of operators"\n')
        self.assertFails(
            "gates",
            Status.UNREACHABLE,
            f"tcp:127.0.0.1:{PORT}: unknown, or a wrong key",
        )
        self.assertEqual(self.operations.asked, [])

    def test_nobody(self) -> None:
        """Each server that is not there has a line of its own, whoever else there is."""
        places = [f"unix:{self.mktemp()}" for _ in range(2)]
        listed = json.dumps(places)
        self.write(f'key = "{KEY}"\nservers = {listed}\n')
        self.patch(self.network, "connectUNIX", self.refuse)
        self.assertFails("gates", Status.UNREACHABLE, *(f"{place}: no" for place in places))
        self.write(f'key = "{KEY}"\nservers = [{json.dumps(places[0])}, "tcp:127.0.0.1:{PORT}"]')
        self.assertShows("gates", "no gates")

    def refuse(self, path: str, factory: Any, *options: object, **named: object) -> None:
        """Refuse a connection."""
        factory.clientConnectionFailed(None, Failure(OSError("no")))

    def test_silent(self) -> None:
        """One that accepts and says nothing is given up after the time that the config says."""
        self.network.listenTCP(PORT + 1, Factory.forProtocol(Protocol))
        self.write(f'key = "{KEY}"\ntimeout = {TIMEOUT}\nservers = ["tcp:127.0.0.1:{PORT + 1}"]\n')
        began = self.network.seconds()
        self.assertFails(
            "gates",
            Status.UNREACHABLE,
            f"tcp:127.0.0.1:{PORT + 1}: no login server answers there",
        )
        self.assertEqual(round(self.network.seconds() - began), TIMEOUT)

    def test_goesAway(self) -> None:
        """One that goes away in the middle is told of, and what it may have done."""
        for arguments in ("gates", "kick alice", "drain sample"):
            self.operations.answers = dict.fromkeys(("gates", "kick", "setDraining"), Deferred())
            self.operations.isAsked = Deferred()
            begun = self.begin(*arguments.split())
            self.network.runUntil(self.operations.isAsked)
            self.factory.closeAll()
            outcome: Outcome = self.successResultOf(self.network.runUntil(begun))
            self.assertEqual((outcome.status, outcome.output), (Status.UNREACHABLE, ""))
            (complaint,) = outcome.complaints
            self.assertIn(f"{arguments}: the link is lost (the login server is away", complaint)

    def test_freezes(self) -> None:
        """One that does not answer is given up after the time that the config says."""
        self.operations.answers["kick"] = Deferred()
        began = self.network.seconds()
        outcome = self.do("kick", "alice")
        self.assertEqual(outcome.status, Status.UNREACHABLE)
        self.assertIn("did not answer in time (the login server is away", outcome.complaints[0])
        self.assertEqual(round(self.network.seconds() - began), TIMEOUT)

    def test_leaves(self) -> None:
        """However it ends, no connection and no timer is left."""
        self.do("gates")
        self.operations.answers["gates"] = InvalidState()
        self.do("gates")
        self.network.turn()
        self.assertEqual((len(self.factory.limits), self.network.getDelayedCalls()), (0, []))


class AloneTests(FolderTestCase):
    """Orders that are about a file: nothing is connected, and no config is read."""

    def do(self, *arguments: str) -> Outcome:
        """Carry out a command line."""
        return operateAlone(parse(arguments, ""))

    def test_keygen(self) -> None:
        """L3: it makes a key in a file that nobody else may read, and shows the public part."""
        outcome = self.do("keygen", "a.pem")
        self.assertEqual(outcome.status, Status.DONE)
        (hint,) = outcome.complaints
        for part in ("login(..., serverIdentity=...)", "a.pem", "identity in [login]"):
            self.assertIn(part, hint)
        self.assertEqual(os.stat("a.pem").st_mode & 0o777, 0o600)
        self.assertEqual(outcome.output, publicText(readIdentity("a.pem")) + "\n")

    def test_identity(self) -> None:
        """L3: the public part is shown again, as a line or as JSON, and the private never is."""
        made = self.do("keygen", "--json", "a.pem")
        shown = json.loads(made.output)
        self.assertEqual(list(shown), ["file", "identity"])
        self.assertEqual(shown["file"], "a.pem")
        line = Outcome(Status.DONE, f"{shown['identity']}\n")
        self.assertEqual(self.do("identity", "a.pem"), line)
        self.assertEqual(self.do("identity", "a.pem", "--json"), made)
        secret = encode64(readIdentity("a.pem").private_bytes_raw()).decode()
        self.assertNotIn(secret, made.output)

    def test_existing(self) -> None:
        """A file that is there is left as it is, and named."""
        Path("a.pem").write_text("something else")
        outcome = self.do("keygen", "a.pem")
        self.assertEqual((outcome.status, outcome.output), (Status.REFUSED, ""))
        self.assertEqual(outcome.complaints, ("a.pem exists already, and is left as it is",))
        self.assertEqual(Path("a.pem").read_text(), "something else")

    def test_noKey(self) -> None:
        """A file that is not there, or no key, is one line that names it."""
        for name in ("missing.pem", "."):
            outcome = self.do("identity", name)
            self.assertEqual((outcome.status, outcome.output), (Status.REFUSED, ""))
            (complaint,) = outcome.complaints
            self.assertTrue(complaint.startswith(f"{name} cannot be read: "), complaint)


class SayTests(SynchronousTestCase):
    """What is written, and where."""

    def setUp(self) -> None:
        """Make something to write to."""
        self.out = TextIOWrapper(BytesIO(), encoding="ascii")
        self.err = TextIOWrapper(BytesIO(), encoding="utf-8")

    def written(self, file: TextIOWrapper) -> str:
        """Give what was written."""
        file.seek(0)
        return file.read()

    def test_streams(self) -> None:
        """What is shown is on standard output alone, complaints on standard error alone."""
        outcome = Outcome(Status.UNREACHABLE, "shown\n", ("one", "two\x1b\n"))
        self.assertEqual(say(outcome, self.out, self.err), Status.UNREACHABLE)
        self.assertEqual(self.written(self.out), "shown\n")
        self.assertEqual(self.written(self.err), "msgserver-ctl: one\nmsgserver-ctl: two\\x1b\\n\n")

    def test_encoding(self) -> None:
        """A terminal that cannot show a character is shown how it is written."""
        say(Outcome(Status.DONE, "\xfc\n"), self.out, self.err)
        self.assertEqual(self.written(self.out), "\\xfc\n")

    def test_closedPipe(self) -> None:
        """Whoever stops reading has seen enough: it is done, and nothing is complained of."""
        for complaints in ((), ("one",)):
            pipe = self.closedPipe()
            outcome = Outcome(Status.DONE, "shown\n", complaints)
            self.assertEqual(say(outcome, pipe, self.closedPipe()), Status.DONE)
            # As at exit.
            pipe.close()

    def closedPipe(self) -> TextIO:
        """Make a pipe that nobody reads."""
        reading, writing = os.pipe()
        os.close(reading)
        pipe = os.fdopen(writing, "w")
        self.addCleanup(pipe.close)
        return pipe

    def test_closed(self) -> None:
        """A process without streams has nowhere to write to, and does what it is told."""
        outcome = Outcome(Status.REFUSED, "shown\n", ("one",))
        self.assertEqual(say(outcome, None, None), Status.REFUSED)

    def test_fullDisk(self) -> None:
        """What cannot be written is a failure, and said."""
        if not os.path.exists("/dev/full"):
            raise SkipTest("no device here is always full")
        with open("/dev/full", "w") as full:
            self.assertEqual(say(Outcome(Status.DONE, "shown\n"), full, self.err), Status.REFUSED)
        self.assertEqual(
            self.written(self.err),
            "msgserver-ctl: cannot write what there is: No space left on device\n",
        )


class MainTests(FolderTestCase):
    """The command itself, as a process."""

    def setUp(self) -> None:
        """Listen, and write a config."""
        super().setUp()
        self.socket = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.socket.close)
        self.socket.settimeout(60)
        self.socket.bind("control.sock")
        self.socket.listen()
        self.write(f'key = "{KEY}"\nservers = ["unix:control.sock"]')

    def write(self, content: str) -> None:
        """Write the section of the config."""
        Path("hello.toml").write_text(f"[operator]\n{content}\n")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command."""
        process = subprocess.Popen(
            [sys.executable, "-m", "msgserver.ctl", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.kill)
        return process

    def assertEnds(
        self, process: subprocess.Popen[str], status: Status, output: str, complaint: str
    ) -> None:
        """See a process end so; both texts are patterns."""
        written = process.communicate(timeout=60)
        self.assertEqual(process.returncode, status, written)
        self.assertRegex(written[0], rf"\A{output}\Z")
        self.assertRegex(written[1], rf"\A{complaint}\Z")

    def test_script(self) -> None:
        """It is installed as msgserver-ctl."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        module, _, name = project["scripts"]["msgserver-ctl"].partition(":")
        self.assertIs(getattr(import_module(module), name), ctl.main)

    def test_noReactor(self) -> None:
        """Its import installs no reactor."""
        code = "import sys, msgserver.ctl; sys.exit('twisted.internet.reactor' in sys.modules)"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.assertEqual(subprocess.call([sys.executable, "-c", code], env=environment), 0)

    def test_version(self) -> None:
        """--version tells ours, and Twisted's."""
        self.assertEnds(
            self.start("--version"), Status.DONE, r"msgserver [\d.]+, Twisted [\d.]+\S*\n", ""
        )

    def test_keygen(self) -> None:
        """L3: keygen needs no config; what it shows is what clients need, and what it writes."""
        identity = r"[\w+/]{43}=\n"
        hint = r"msgserver-ctl: give clients that line, [^\n]*\n"
        self.assertEnds(self.start("keygen", "a.pem"), Status.DONE, identity, hint)
        self.assertEnds(self.start("identity", "a.pem"), Status.DONE, identity, "")
        self.assertEnds(
            self.start("keygen", "a.pem"),
            Status.REFUSED,
            "",
            r"msgserver-ctl: a\.pem exists already, and is left as it is\n",
        )

    def test_mistakes(self) -> None:
        """All mistakes of a config are told, a line each, and no key with them (L6)."""
        self.write(f'keys = "{KEY}"\ntimeout = 0')
        self.assertEnds(
            self.start("-c", "hello.toml", "gates"),
            Status.MISTAKEN,
            "",
            r"(hello\.toml:\d: operator\.(key|keys|timeout): [^\n]*\n){3}",
        )

    def test_hangsUp(self) -> None:
        """A server that hangs up is a line on standard error, and no traceback."""
        process = self.start("-c", "hello.toml", "gates")
        self.socket.accept()[0].close()
        self.assertEnds(
            process, Status.UNREACHABLE, "", r"msgserver-ctl: unix:control\.sock: [^\n]*\n"
        )

    def test_interrupted(self) -> None:
        """Ctrl-C ends it, and nothing is said."""
        process = self.start("-c", "hello.toml", "gates")
        connection, _ = self.socket.accept()
        self.addCleanup(connection.close)
        # Perspective Broker's first words, which are answered when the reactor runs.
        connection.sendall(b"\x02\x80\x02\x82pb\x04\x82none")
        self.assertNotEqual(connection.recv(1), b"")
        process.send_signal(signal.SIGINT)
        self.assertEnds(process, Status.INTERRUPTED, "", "")
