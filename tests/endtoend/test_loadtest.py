"""The load tester as a process, against servers that are real, good or bad."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from msgserver import MsgHandler, User
from msgserver.loadtest.statuses import Status
from tests import loadserver
from tests.certificates import Signed
from tests.endtoend.processes import ROOT, Server

_PATIENCE = 120.0

_CONFIG = """
[login]
listen = ["tcp:0:interface=127.0.0.1"]
handler = "msgserver.loadtest.server:AnybodyLoginHandler"
handler_options = {{ password = "a secret" }}

[gate]
servername = "sample"
listen = ["tcp:0:interface=127.0.0.1"]
handler = "{handler}"
{more}
"""


class EverySeventh(MsgHandler):
    """Echoes, but for every seventh request of a user."""

    def requestReceived(self, user: User, content: bytes) -> bytes:
        """See L{msgserver.interfaces.IMsgHandler.requestReceived}."""
        number = int(content.partition(b".")[2].partition(b" ")[0])
        return b"seven" if number % 7 == 6 else content


class LoadTestTests(SynchronousTestCase):
    """C{msgserver-bench}, as somebody would run it."""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.report = self.folder / "report.json"

    def serve(self, handler: str, more: str = "") -> Server:
        """Run a server with a handler."""
        config = _CONFIG.format(handler=handler, more=more)
        server = Server(self.folder, config).__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        return server

    def start(self, *options: str, password: str = "a secret") -> subprocess.Popen[str]:
        """Start the tester, in a group of its own as a shell would."""
        command = [sys.executable, "-m", "msgserver.loadtest", *options]
        process = subprocess.Popen(
            [*command, "--json", str(self.report)],
            cwd=ROOT,
            env={**os.environ, "MSGSERVER_PASSWORD": password},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def bench(self, *options: str, password: str = "a secret") -> tuple[int, str, str]:
        """Run it, and give its status and what it wrote."""
        process = self.start(*options, password=password)
        out, err = process.communicate(timeout=_PATIENCE)
        self.assertNotIn("Traceback", out + err)
        self.assertNotIn("a secret", out + err)
        return process.returncode, out, err

    def at(self, server: Server) -> list[str]:
        """Give the options that lead to a server."""
        ports = server.ports
        login, gate = f"127.0.0.1:{ports['login']}", f"127.0.0.1:{ports['gate']}"
        return ["--login", login, "--gate", gate, "--ramp", "0.2"]

    def told(self) -> dict[str, Any]:
        """Give the figures of the last run."""
        document: dict[str, Any] = json.loads(self.report.read_text())
        return document

    def test_cuts(self) -> None:
        """
        S6: many connections are cut, in two processes, and every answer is there and right, by
        a handler that tells what runs twice. The page is written, too.
        """
        page = self.folder / "report.html"
        status, out, err = self.bench(
            *("--demo", "--users", "20", "--in-flight", "4", "--size", "0-3000", "--think", "0.01"),
            *("--ramp", "0.5", "--duration", "4", "--cuts", "50%", "--processes", "2"),
            *("--html", str(page)),
        )
        self.assertEqual(status, Status.VERIFIED, out + err)
        told = self.told()
        self.assertGreater(told["connections"]["cuts"], 10)
        self.assertEqual(told["connections"]["back"], told["connections"]["cuts"])
        self.assertGreater(told["latency"]["cut"]["count"], 0)
        requests = told["requests"]
        self.assertGreater(requests["right"], 100)
        self.assertEqual(requests["right"], requests["asked"])
        self.assertEqual(len(told["tester"]), 2)
        self.assertIn("<svg", page.read_text())
        self.assertIn("once each, and verified", out)

    def test_turns(self) -> None:
        """
        Thirty users take turns at ten connections, which are cut besides, in two processes: every
        answer is there and right, and everybody is back in the end.
        """
        status, out, err = self.bench(
            *("--demo", "--users", "30", "--connections", "10", "--turn", "0.4", "--cuts", "20%"),
            *("--ramp", "0.3", "--duration", "3", "--think", "0.01", "--processes", "2"),
        )
        self.assertEqual(status, Status.VERIFIED, out + err)
        told = self.told()
        connections, requests = told["connections"], told["requests"]
        # Each has had one at the least, and then the last.
        self.assertGreater(connections["turns"], 30)
        self.assertGreater(connections["cuts"], 0)
        self.assertEqual(connections["back"], connections["cuts"])
        self.assertEqual((connections["logins"], connections["lost"]), (30, 0))
        self.assertEqual((connections["never"], connections["away"]), (0, 0))
        self.assertEqual(requests["right"], requests["asked"])
        self.assertGreater(told["latency"]["turn"]["count"], 0)
        self.assertGreater(told["latency"]["pause"]["count"], 0)
        connected = [moment["connected"] for moment in told["timeline"]["moments"]]
        self.assertTrue(0 < max(connected) <= 10, connected)

    def test_wrong(self) -> None:
        """A server that answers now and then something else is found out, with examples."""
        server = self.serve("tests.endtoend.test_loadtest:EverySeventh")
        options = ("--users", "3", "--duration", "1", "--think", "0.02", "--cuts", "20%")
        status, out, err = self.bench(*self.at(server), *options)
        self.assertEqual(status, Status.FAILED, out + err)
        requests = self.told()["requests"]
        self.assertGreater(requests["wrong"], 0)
        self.assertEqual(requests["wrong"] + requests["right"], requests["asked"])
        self.assertRegex(out, r"wrong: user\d 6 'user\d\.6 .*answered 'seven'")
        self.assertIn(f"Not as it must be: {requests['wrong']:,} wrong answers.", out)

    def test_doubled(self) -> None:
        """So is a gate that answers everything twice."""

        def twice(connection: int, number: int, content: bytes, session: bytes) -> bytes:
            return 2 * loadserver.serve(connection, number, content, session)

        with loadserver.Server(twice, b"200 OK") as gate:
            # Its login server sends clients there.
            more = f'advertise = "127.0.0.1:{gate.port}"'
            server = self.serve("examples.echo:EchoHandler", more)
            options = ("--users", "2", "--duration", "1", "--think", "0.05")
            status, out, err = self.bench(*self.at(server), *options)
        self.assertEqual(status, Status.FAILED, out + err)
        requests = self.told()["requests"]
        self.assertEqual(requests["doubled"], requests["asked"])
        self.assertEqual(requests["right"], requests["asked"])
        self.assertIn("answered again", out)

    def test_wrongFromTheFirst(self) -> None:
        """A server that does something else than is expected is told after one request."""
        server = self.serve("examples.slow:SlowHandler")
        expected = ("--request", "what {number}", "--expect", "text:that {number}")
        status, out, err = self.bench(*self.at(server), *expected)
        self.assertEqual((status, out), (Status.FAILED, ""))
        self.assertRegex(err, r"^msgserver-bench: the server answers 'what 0' with '.*--expect")

    def test_refused(self) -> None:
        """A wrong password is told at once, and is not shown."""
        server = self.serve("examples.echo:EchoHandler")
        status, out, err = self.bench(*self.at(server), password="a secret, but wrong")
        self.assertEqual((status, out), (Status.REFUSED, ""))
        self.assertRegex(err, r"^msgserver-bench: the login server at \S+ refuses the login of")
        self.assertEqual(len(err.splitlines()), 1)

    def test_unreachable(self) -> None:
        """So is a server that is not there."""
        server = self.serve("examples.echo:EchoHandler")
        options = self.at(server)
        server.stop()
        status, _, err = self.bench(*options)
        self.assertEqual(status, Status.UNREACHABLE)
        self.assertRegex(err, r"^msgserver-bench: the login server at \S+ cannot be reached: ")

    def test_interrupted(self) -> None:
        """Ctrl-C, which all processes of a terminal get, ends it early and with a report."""
        process = self.start("--demo", "--users", "3", "--think", "0.05", "--duration", "100")
        # The first line tells that it is under way.
        assert process.stderr is not None
        line = process.stderr.readline()
        self.assertRegex(line, r"\d of 3 connected")
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=_PATIENCE)
        self.assertEqual(process.returncode, Status.VERIFIED, out + err)
        self.assertIn("It was ended early.", out)
        self.assertTrue(re.search(r"All [\d,]+ answers are there", out))

    def test_interruptedBefore(self) -> None:
        """Where the server has not said a word yet, Ctrl-C ends it at once, and says so."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            process = self.start("--login", f"127.0.0.1:{silent.getsockname()[1]}")
            stream, _ = silent.accept()
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=_PATIENCE)
            stream.close()
        self.assertEqual((process.returncode, out), (Status.INTERRUPTED, ""))
        self.assertEqual(err, "msgserver-bench: interrupted\n")

    def test_terminated(self) -> None:
        """SIGTERM does the same: a status of 0 is said of nothing that was not verified."""
        process = self.start("--demo", "--users", "3", "--think", "0.05", "--duration", "100")
        assert process.stderr is not None
        process.stderr.readline()
        process.terminate()
        out, err = process.communicate(timeout=_PATIENCE)
        self.assertEqual(process.returncode, Status.VERIFIED, out + err)
        self.assertIn("It was ended early.", out)
        self.assertGreater(self.told()["requests"]["right"], 0)

    def test_closedPipe(self) -> None:
        """Where nobody reads the report, files are written all the same, and that is told."""
        page = self.folder / "report.html"
        # Names that are no text, and an output that has not all letters, are no hindrance.
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        self.patch(os, "environ", environment)
        options = ("--demo", "--user", "\udcff{n}", "--users", "2", "--duration", "0.5")
        process = self.start(*options, "--ramp", "0.1", "--html", str(page))
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        self.assertEqual(
            process.stderr.read(), "msgserver-bench: the report cannot be written: Broken pipe\n"
        )
        self.assertEqual(process.wait(_PATIENCE), Status.FAILED)
        process.stderr.close()
        self.assertEqual(self.told()["status"], Status.VERIFIED)
        self.assertIn("</html>", page.read_text())

    def test_ascii(self) -> None:
        """An output that has not all letters has the figures."""
        self.patch(os, "environ", {**os.environ, "PYTHONIOENCODING": "ascii"})
        options = ("--demo", "--users", "2", "--duration", "0.5", "--ramp", "0.1")
        status, out, err = self.bench(*options)
        self.assertEqual(status, Status.VERIFIED, out + err)
        self.assertIn("once each, and verified", out)

    def test_longNames(self) -> None:
        """A name that no login can have is a mistake in the command line."""
        status, out, err = self.bench("--demo", "--user", "x" * 5000 + "{n}")
        self.assertEqual((status, out), (Status.MISTAKEN, ""))
        self.assertRegex(err, r"^msgserver-bench: the login cannot be made: a token takes at most")

    def test_tls(self) -> None:
        """Both connections may speak TLS; with an authority that is not known, neither does."""
        authority = Signed("authority")
        known, other = self.folder / "known.crt", self.folder / "other.crt"
        known.write_bytes(authority.certificate)
        other.write_bytes(Signed("other").certificate)
        signed = authority.sign("localhost")
        (self.folder / "live").mkdir()
        (self.folder / "live" / "a.pem").write_bytes(signed.key + signed.certificate)
        config = _CONFIG.format(handler="examples.echo:EchoHandler", more="")
        listen = f"tls:{self.folder}/live:port=0:interface=127.0.0.1"
        config = config.replace("tcp:0:interface=127.0.0.1", listen)
        server = Server(self.folder, config).__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        places = [f"--{kind}=localhost:{port}" for kind, port in server.ports.items()]
        options = ("--users", "3", "--duration", "1", "--ramp", "0.2", "--think", "0.05")
        cuts = ("--cuts", "50%")
        status, out, err = self.bench(*places, *options, *cuts, "--ca", str(known))
        self.assertEqual(status, Status.VERIFIED, out + err)
        status, out, err = self.bench(*places, *options, "--ca", str(other))
        self.assertEqual((status, out), (Status.UNREACHABLE, ""))

    def test_nothingLeft(self) -> None:
        """Where the tester is killed, neither its processes nor its server are left."""
        if not _children(os.getpid()).exists():
            raise SkipTest("the system does not tell a process's children")
        process = self.start("--demo", "--users", "2", "--think", "0.1", "--duration", "100")
        assert process.stderr is not None
        process.stderr.readline()
        children = _childrenOf(process.pid)
        self.assertEqual(len(children), 2)
        process.kill()
        process.communicate(timeout=_PATIENCE)
        deadline = time.monotonic() + _PATIENCE
        while any(Path(f"/proc/{child}").exists() for child in children):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)


def _children(parent: int) -> Path:
    return Path(f"/proc/{parent}/task/{parent}/children")


def _childrenOf(parent: int) -> list[int]:
    return [int(child) for child in _children(parent).read_text().split()]
