"""
Tests for L{msgserver.loadtest.options}, L{msgserver.loadtest.credentials} and the command: what
can be said, and what is complained of.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import evolve
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.commandparts import MAX_SECRET, Complaint
from msgserver.loadtest import command, credentials, optionvalues
from msgserver.loadtest.credentials import passwordTokens, takePassword, tokensFromFile
from msgserver.loadtest.files import checkFiles
from msgserver.loadtest.options import Options, parse
from msgserver.loadtest.plan import Plan, Target
from msgserver.loadtest.reaching import Reach
from msgserver.loadtest.statuses import Status

_IMPORTED = (
    "import sys, msgserver.loadtest.command;"
    " print([name for name in ('hdrh', 'rich', 'matplotlib') if name in sys.modules])"
)


class ParseTests(SynchronousTestCase):
    """The command line."""

    def parse(self, line: str) -> Options:
        """Read a line."""
        return parse(line.split(), "version 1")

    def complaint(self, *arguments: str) -> str:
        """See that a line is wrong, and give the one line that says so."""
        stream = io.StringIO()
        self.patch(sys, "stderr", stream)
        ended = self.assertRaises(SystemExit, parse, arguments, "version 1")
        self.assertEqual(ended.code, Status.MISTAKEN)
        (line,) = stream.getvalue().splitlines()
        return line

    def test_defaults(self) -> None:
        """Without any option it is a closed loop of 100 users at this machine's servers."""
        plan = self.parse("").plan
        self.assertEqual(
            (plan.target.login, plan.target.gate), ("127.0.0.1:8001", "127.0.0.1:8888")
        )
        self.assertEqual((plan.users, plan.inFlight, plan.isOpen), (100, 1, False))
        self.assertEqual((plan.connections, plan.takesTurns), (100, False))
        self.assertEqual((plan.size, plan.think, plan.cuts), ((64, 64), (0.0, 0.0), 0.0))
        self.assertEqual((plan.ramp, plan.duration, plan.expect), (1.0, 10.0, "echo"))

    def test_all(self) -> None:
        """Each option says what it says."""
        options = self.parse(
            "--login [::1]:1 --gate unix:/gate --server s --user u{n} --users 1000 --in-flight 4"
            " --think 0.1-2 --size 1-9 --expect prefix:ok --cuts 5% --ramp 3 --duration 4"
            " --grace 5 --processes 2 --seed 6 --json j --html h --token-file t --classic"
            " --connections 100 --turn 2.5"
        )
        plan, target = options.plan, options.plan.target
        self.assertEqual((target.login, target.gate, target.server), ("[::1]:1", "unix:/gate", "s"))
        self.assertEqual((target.user, target.isClassic), ("u{n}", True))
        self.assertEqual((plan.users, plan.inFlight, plan.think), (1000, 4, (0.1, 2.0)))
        self.assertEqual((plan.size, plan.expect, plan.cuts), ((1, 9), "prefix:ok", 0.05))
        self.assertEqual((plan.ramp, plan.duration, plan.grace), (3.0, 4.0, 5.0))
        self.assertEqual((options.processes, plan.seed), (2, 6))
        self.assertEqual((plan.connections, plan.turn, plan.takesTurns), (100, 2.5, True))
        self.assertEqual((options.json, options.html, options.tokenFile), ("j", "h", "t"))

    def test_ramp(self) -> None:
        """Where no ramp is given, 200 users come in a second."""
        self.assertEqual(self.parse("--users 1000").plan.ramp, 5.0)
        self.assertEqual(self.parse("--users 1000 --ramp 0").plan.ramp, 0.0)

    def test_connections(self) -> None:
        """As many are connected as there are users, or fewer, a second each."""
        self.assertFalse(self.parse("--users 7 --connections 7").plan.takesTurns)
        plan = self.parse("--users 7 --connections 6").plan
        self.assertEqual((plan.users, plan.connections, plan.turn), (7, 6, 1.0))

    def test_shares(self) -> None:
        """A share is a number, or in percent."""
        self.assertEqual(self.parse("--cuts 0.5").plan.cuts, 0.5)
        self.assertEqual(self.parse("--cuts 100%").plan.cuts, 1.0)

    def test_values(self) -> None:
        """What an option cannot be is told, with what it can be."""
        for option, value, told in (
            ("--users", "0", "from 1 to 100,000"),
            ("--users", "1e3", "from 1 to 100,000"),
            ("--users", "9" * 5000, "from 1 to 100,000"),
            ("--size", "1-" + "9" * 5000, "from 0 to 65,531"),
            ("--connections", "0", "from 1 to 100,000"),
            ("--turn", "0", "above 0"),
            ("--in-flight", "65", "from 1 to 64"),
            ("--size", "9-1", "the least"),
            ("--size", "65532", "from 0 to 65,531"),
            ("--think", "soon", "number of seconds"),
            ("--think", "inf", "number of seconds"),
            ("--rate", "0", "above 0"),
            ("--rate", "nan", "above 0"),
            ("--rate", "1000001", "at most 1,000,000"),
            ("--server", "", "a name"),
            ("--server", "\udcff", "in UTF-8"),
            ("--duration", "-1", "above 0"),
            ("--cuts", "101%", "a share"),
            ("--cuts", "x%", "a share"),
            ("--expect", "ECHO", "echo, any, prefix:TEXT or text:TEXT"),
            ("--login", "localhost", "host:port"),
            ("--gate", "unix:", "host:port"),
            ("--identity", "short", "--identity"),
            ("--processes", "0", "from 1 to 256"),
            ("--ca", "/nonexistent", "cannot be read"),
            ("--nonsense", "1", "--nonsense"),
        ):
            self.assertIn(told, self.complaint(f"{option}={value}"), (option, value))

    def test_together(self) -> None:
        """So is what does not go together."""
        for line, told in (
            ("--rate 5 --in-flight 2", "open loop"),
            ("--rate 5 --think 1", "open loop"),
            ("--demo --login a:1", "goes without"),
            ("--demo --token-file t", "goes without"),
            ("--password-file p --token-file t", "not allowed with"),
            ("--processes 3 --users 2", "more than there are users"),
            ("--connections 3 --users 2", "more than there are users"),
            ("--connections 2 --processes 3", "more than there are connections"),
            ("--turn 2", "fewer --connections than --users"),
            ("--turn 2 --users 5 --connections 5", "fewer --connections than --users"),
            ("--users 2 --user bob", "{n}"),
            ("--size 5 --request hello", "{filler}"),
            ("--demo --json a --html a", "two files"),
            ("--tls --login unix:/a", "UNIX socket"),
        ):
            self.assertIn(told, self.complaint(*line.split()), line)

    def test_identityAlone(self) -> None:
        """The classic suite proves no identity."""
        key = "A" * 43 + "="
        self.assertIn("proves none", self.complaint("--classic", "--identity", key))

    def test_longRequest(self) -> None:
        """A request must fit a packet."""
        self.assertIn("at most 65,531", self.complaint("--request", "x" * 65_600))


class CredentialTests(SynchronousTestCase):
    """Where tokens come from."""

    def setUp(self) -> None:
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.path = os.path.join(temporary.name, "secrets")

    def write(self, content: bytes) -> None:
        """Write the file."""
        Path(self.path).write_bytes(content)

    def complaint(self, users: int = 3) -> str:
        """See that the file of tokens is wrong."""
        complaint = self.assertRaises(Complaint, tokensFromFile, self.path, users)
        self.assertEqual(complaint.status, Status.MISTAKEN)
        return str(complaint)

    def test_password(self) -> None:
        """A password is a file's first line, or in the environment."""
        self.write(b"secret\nmore\n")
        self.assertEqual(takePassword(self.path), b"secret")
        self.assertEqual(takePassword(None, {"MSGSERVER_PASSWORD": "other"}), b"other")

    def test_noPassword(self) -> None:
        """Without one, it is said where it could be."""
        for environment in ({}, {"MSGSERVER_PASSWORD": ""}):
            complaint = self.assertRaises(Complaint, takePassword, None, environment)
            self.assertIn("--password-file FILE or MSGSERVER_PASSWORD", str(complaint))
        self.write(b"\nsecret")
        self.assertRaises(Complaint, takePassword, self.path)

    def test_passwordTokens(self) -> None:
        """Each user has a token as PasswordLoginHandler wants it."""
        plan = Plan(Target("login:1", "gate:2"), users=2)
        self.assertEqual(
            passwordTokens(plan, b"pw"),
            ("dXNlcjE=@c2FtcGxl:cHc=", "dXNlcjI=@c2FtcGxl:cHc="),
        )

    def test_tokens(self) -> None:
        """A file has one line for all, or one for each; any bytes."""
        self.write(b"token {n} \xff\n")
        (token,) = tokensFromFile(self.path, 3)
        self.assertEqual(Target("l:1", "g:1", tokens=(token,)).tokenOf(2), b"token 2 \xff")
        self.write(b"a\nb\nc\nd\n")
        self.assertEqual(tokensFromFile(self.path, 3), ("a", "b", "c"))

    def test_badFiles(self) -> None:
        """Too few, none, or no file are told, in a line without any token."""
        self.write(b"topsecret\nb\n")
        self.assertIn("has 2 tokens", self.complaint())
        self.assertNotIn("topsecret", self.complaint())
        self.write(b"a\n\nc\n")
        self.assertIn("secrets:2: a token has 1 to", self.complaint())
        self.write(b"\n")
        self.assertIn("is empty", self.complaint())
        os.unlink(self.path)
        self.assertIn("cannot be read", self.complaint())

    def test_bounded(self) -> None:
        """A file that is larger than secrets may be is told as that, and not read to its end."""
        self.write(b"x" * (MAX_SECRET + 1))
        complaint = self.assertRaises(Complaint, takePassword, self.path)
        self.assertIn("has more than 4096 bytes, and no password", str(complaint))
        self.patch(credentials, "MAX_TOKENS", 9)
        self.write(b"12345678\n\n")
        self.assertIn("has more than 9 bytes, and no token", self.complaint())
        self.write(b"12345678\n")
        self.assertEqual(tokensFromFile(self.path, 3), ("12345678",))

    def test_certificates(self) -> None:
        """So is a file of certificates."""
        self.patch(optionvalues, "MAX_PEM", 10)
        self.write(b"x" * 10)
        self.assertEqual(optionvalues.textOf(self.path), "x" * 10)
        for content, told in ((b"x" * 11, "has more than 10 bytes"), (b"\xff", "is no PEM file")):
            self.write(content)
            error = self.assertRaises(ArgumentTypeError, optionvalues.textOf, self.path)
            self.assertIn(told, str(error))


class CommandTests(SynchronousTestCase):
    """What is seen to before anything begins."""

    def test_missing(self) -> None:
        """What is not installed is named, with the command that installs it."""
        self.patch(command, "find_spec", lambda name: None if name == "hdrh" else object())
        options = parse(["--demo"], "")
        complaint = self.assertRaises(Complaint, command.checkInstalled, options)
        self.assertEqual(complaint.status, Status.MISTAKEN)
        self.assertEqual(
            str(complaint), "hdrhistogram must be installed: pip install 'msgserver[bench]'"
        )

    def test_broken(self) -> None:
        """What is there and does not work, or is kept from us, is told in one line as well."""

        def kept(name: str) -> None:
            raise ModuleNotFoundError(name)

        self.patch(command, "find_spec", kept)
        complaint = self.assertRaises(Complaint, command.checkInstalled, parse(["--demo"], ""))
        self.assertIn("hdrhistogram and rich must be installed", str(complaint))

        def broken(*_: object) -> None:
            raise ImportError("\nno libc.so\n\nand so on")

        stream = io.StringIO()
        self.patch(sys, "stderr", stream)
        self.patch(command, "checkInstalled", broken)
        ended = self.assertRaises(SystemExit, command.main, ["--demo"])
        self.assertEqual(ended.code, Status.MISTAKEN)
        self.assertRegex(stream.getvalue(), r"^msgserver-bench: .*: no libc\.so: pip install .*\n$")

    def test_missingForPage(self) -> None:
        """What draws is needed for a page alone."""
        self.patch(command, "find_spec", lambda name: None if name == "matplotlib" else object())
        command.checkInstalled(parse(["--demo"], ""))
        options = parse(["--demo", "--html", "page.html"], "")
        complaint = self.assertRaises(Complaint, command.checkInstalled, options)
        self.assertIn("matplotlib must be installed", str(complaint))

    def test_unwritable(self) -> None:
        """A report that cannot be written is told before the test, not after it."""
        options = parse(["--demo", "--json", "/nonexistent/report"], "")
        complaint = self.assertRaises(Complaint, command.checkWritable, options)
        self.assertEqual(complaint.status, Status.MISTAKEN)
        # A name that a shell's variable was to give is none.
        self.assertRaises(Complaint, command.checkWritable, parse(["--demo", "--html="], ""))

    def test_files(self) -> None:
        """More users than a process may have files are told, with what to do."""
        plan = Plan(Target("l:1", "g:1"), users=2000)
        checkFiles(plan, 1, None)
        checkFiles(plan, 2, 1300)
        complaint = self.assertRaises(Complaint, checkFiles, plan, 1, 1300)
        self.assertIn("2,000 users in a process take up to 2,256 open files", str(complaint))
        # Who is not connected takes none, but for the login: 20 a second, of 10 seconds at most.
        few = evolve(plan, connections=100, ramp=100.0)
        checkFiles(few, 1, 556)
        complaint = self.assertRaises(Complaint, checkFiles, few, 1, 555)
        self.assertIn("take up to 556 open files", str(complaint))
        self.assertRaises(Complaint, checkFiles, evolve(few, ramp=0.0), 1, 2255)

    def test_bareImport(self) -> None:
        """The command can complain of what is missing: it needs none of it to begin."""
        found = subprocess.run(
            [sys.executable, "-c", _IMPORTED], check=True, capture_output=True, text=True
        )
        self.assertEqual(found.stdout, "[]\n")

    def test_ends(self) -> None:
        """A complaint ends the command in one line."""
        stream = io.StringIO()
        self.patch(sys, "stderr", stream)
        ended = self.assertRaises(SystemExit, command.main, ["--token-file", "/nonexistent"])
        self.assertEqual(ended.code, Status.MISTAKEN)
        self.assertEqual(
            stream.getvalue(),
            "msgserver-bench: the token cannot be read from /nonexistent: No such file or"
            " directory\n",
        )


class ReachTests(SynchronousTestCase):
    """Where servers are."""

    def test_endpoints(self) -> None:
        """Addresses become endpoints of their kinds; with TLS, all but UNIX sockets have it."""
        reactor = MemoryReactorClock()
        plain = Reach(Target("[::1]:1", "unix:/gate"), reactor)
        self.assertIsInstance(plain.gate, UNIXClientEndpoint)
        self.assertIsInstance(plain.connectTo("gate.example", 1), HostnameEndpoint)
        safe = Reach(Target("login.example:1", "gate.example:2", usesTLS=True), reactor)
        self.assertNotIsInstance(safe.gate, HostnameEndpoint)
        self.assertNotIsInstance(safe.connectTo("gate.example", 1), HostnameEndpoint)

    def test_certificates(self) -> None:
        """Certificates that are none are told."""
        begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
        for text, told in (
            ("hello", "no certificate in it"),
            (f"{begin}\nAAAA\n{end}\n", "a certificate in it is none"),
        ):
            target = Target("login:1", "gate:2", usesTLS=True, authorities=text)
            error = self.assertRaises(ValueError, Reach, target, MemoryReactorClock())
            self.assertEqual(str(error), told)
