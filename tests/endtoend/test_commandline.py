"""C{msgserver-client} as it is used: in scripts, in pipes and on terminals, at a real server."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from msgserver.wire.naming import encode64
from tests.endtoend.clusters import freePort
from tests.endtoend.processes import PATIENCE, ROOT, Server
from tests.endtoend.test_examples import onFreePorts

MODULE = (sys.executable, "-m", "msgserver.commandline")
PASSWORD = "password"
_VARYING = {r"after [\d.]+ ms": "after T ms", r"login \S+$": "login L"}


class CommandLineTestCase(SynchronousTestCase):
    """A server of examples/msgserver.toml."""

    def setUp(self) -> None:
        """Start it."""
        self.folder = Path(mkdtemp()).resolve()
        self.addCleanup(rmtree, self.folder)
        self.server = Server(self.folder, self.config()).__enter__()
        self.addCleanup(self.server.__exit__, None, None, None)

    def config(self) -> str:
        """Give the server's config."""
        return onFreePorts("msgserver.toml")

    def arguments(self, *options: str) -> list[str]:
        """Say where the server is."""
        ports = self.server.ports
        servers = (f"--login=127.0.0.1:{ports['login']}", f"--gate=127.0.0.1:{ports['gate']}")
        return [*MODULE, *servers, *options]

    def environment(self, **more: str) -> dict[str, str]:
        """Give what a shell has in its environment, and the password."""
        kept = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        return {**kept, "MSGSERVER_PASSWORD": PASSWORD, "PROMPT_TOOLKIT_NO_CPR": "1", **more}

    def client(
        self, *options: str, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, and see no password in what it says."""
        told = subprocess.run(
            self.arguments(*options),
            cwd=ROOT,
            env=self.environment(**environment),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertNotIn("Traceback", told.stderr)
        for secret in (PASSWORD, encode64(PASSWORD.encode()).decode()):
            self.assertNotIn(secret, told.stdout + told.stderr)
        return told

    def assertTold(self, told: subprocess.CompletedProcess[str], status: int, *lines: str) -> None:
        """See what was written, but for what is different each time, and no complaint."""
        self.assertEqual(told.stderr, "")
        self.assertEqual(masked(told.stdout).splitlines(), list(lines))
        self.assertEqual(told.returncode, status)


def masked(text: str) -> str:
    """Write what is different each time in the same way."""
    for pattern, name in _VARYING.items():
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return text


class ScriptTests(CommandLineTestCase):
    """Scripts, pipes, and what the shell is told."""

    def test_commands(self) -> None:
        """Requests survive a connection that is cut, and the shell is told that all is well."""
        told = self.client(
            *("-c", "send slow:300:late", "-c", "cut", "-c", "wait"),
            *("-c", "send refuse:no", "-c", "expect-fail no", "-c", "hex 00ff"),
        )
        self.assertTold(
            told,
            0,
            "connected: alice at sample, login L",
            "#1 sent: slow:300:late",
            "away",
            "back",
            "#1 answered after T ms: late",
            "#2 sent: refuse:no",
            "#2 failed after T ms: no",
            "#3 sent: hex 00ff",
            "#3 answered after T ms: hex 00ff",
        )

    def test_offline(self) -> None:
        """Whoever was away by hand gets the answer of what was asked before (S6)."""
        told = self.client(
            "-q",
            *("-c", "send slow:100:late", "-c", "offline", "-c", "send next", "-c", "sleep 0.3"),
            *("-c", "status", "-c", "online", "-c", "wait"),
        )
        self.assertEqual((told.returncode, told.stderr), (0, ""))
        status, *answers = told.stdout.splitlines()
        self.assertTrue(status.startswith("offline, alice at sample, login "))
        self.assertIn("2 without an answer (1 not sent yet)", status)
        self.assertEqual(sorted(answers), ["late", "next"])

    def test_script(self) -> None:
        """A script's expectation that is not met ends it, with its place; the record has it all."""
        script, record = self.folder / "script", self.folder / "record"
        script.write_text("# a comment\nsend hello\nexpect hullo\nsend never\n")
        told = self.client(f"--script={script}", f"--record={record}", "--json")
        self.assertEqual(told.returncode, 1)
        self.assertEqual(
            told.stderr,
            f"msgserver-client: {script}:3: not as expected:"
            " #1 should be answered hullo, not hello\n",
        )
        shown = [json.loads(line)["event"] for line in told.stdout.splitlines()]
        self.assertEqual(shown, ["connected", "sent", "answered"])
        recorded = [json.loads(line) for line in record.read_text().splitlines()]
        self.assertEqual(
            [each["event"] for each in recorded],
            ["connected", "command", "command", "sent", "command", "answered", "complaint"],
        )
        self.assertEqual(stat.S_IMODE(record.stat().st_mode), 0o600)
        self.assertNotIn(PASSWORD, record.read_text())

    def test_pipe(self) -> None:
        """What comes through a pipe is asked when it comes, and answered before the next."""
        with subprocess.Popen(
            self.arguments("-q"),
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as client:
            assert client.stdin is not None and client.stdout is not None
            for text in ("one", "two"):
                client.stdin.write(f"send {text}\n")
                client.stdin.flush()
                self.assertEqual(client.stdout.readline(), f"{text}\n")
            client.stdin.close()
            self.assertEqual(client.stdout.read(), "")
            self.assertEqual(client.wait(PATIENCE), 0)

    def test_emptyPipe(self) -> None:
        """Where there is nothing to do, nothing is done."""
        self.assertTold(self.client(), 0, "connected: alice at sample, login L")

    def test_module(self) -> None:
        """The client's module is the same command."""
        self.patch(sys.modules[__name__], "MODULE", (sys.executable, "-m", "msgserver.client"))
        self.assertTold(self.client(), 0, "connected: alice at sample, login L")

    def test_readerLeaves(self) -> None:
        """A reader that has seen enough, as head has, is no mistake."""
        client = subprocess.Popen(
            self.arguments("-c", "repeat 2000 send hello"),
            cwd=ROOT,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert client.stdout is not None and client.stderr is not None
        client.stdout.readline()
        client.stdout.close()
        self.assertEqual(client.stderr.read(), "")
        self.assertEqual(client.wait(PATIENCE), 0)
        client.stderr.close()

    def test_statuses(self) -> None:
        """Each way to fail is one line and a status of its own."""
        nobody = f"127.0.0.1:{freePort()}"
        send = ("-c", "send hello")
        key = encode64(bytes(range(32))).decode()
        wrong = ("--password-file", str(self.folder / "wrong"))
        (self.folder / "wrong").write_text("wrong\n")
        for options, status, text in (
            (("-c", "expect x"), 1, "-c 'expect x': not as expected: nothing was asked"),
            (("-c", "nonsense"), 2, "-c 'nonsense': \"nonsense\" is no command"),
            (("-c", "file nothing"), 2, "nothing cannot be read: No such file"),
            ((*wrong, *send), 3, "refused by the login server, 127.0.0.1:"),
            (("--server=other", *send), 3, "refused by the login server, 127.0.0.1:"),
            ((f"--login={nobody}", *send), 4, f"cannot reach the login server, {nobody}: "),
            ((f"--gate={nobody}", *send), 4, f"cannot reach the gate, {nobody}: "),
            ((f"--identity={key}", *send), 4, "proves no identity"),
        ):
            told = self.client(*options)
            self.assertEqual((told.returncode, len(told.stderr.splitlines())), (status, 1), told)
            self.assertTrue(told.stderr.startswith("msgserver-client: "), told.stderr)
            self.assertIn(text, told.stderr)
        told = self.client("-c", "send refuse:no", "-c", "send hello")
        self.assertEqual((told.returncode, told.stderr), (1, ""))

    def test_noPassword(self) -> None:
        """Where there is no password and no terminal, one line tells what to do."""
        environment = self.environment()
        del environment["MSGSERVER_PASSWORD"]
        told = subprocess.run(
            self.arguments("-c", "send hello"),
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            start_new_session=True,
        )
        self.assertEqual((told.returncode, told.stdout), (2, ""))
        self.assertEqual(len(told.stderr.splitlines()), 1)
        self.assertIn("--password-file", told.stderr)

    def test_timeout(self) -> None:
        """A request that takes too long has failed."""
        told = self.client("--timeout=0.2", "-c", "send slow:9000:late")
        self.assertEqual(told.returncode, 1)
        self.assertIn("#1 failed after T ms: no answer within 0.2 seconds", masked(told.stdout))

    def test_interrupted(self) -> None:
        """Ctrl-C ends it, without a word."""
        client = subprocess.Popen(
            self.arguments("-c", "send hello", "-c", "sleep 60"),
            cwd=ROOT,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # What ignores it, as what runs in the background does, hands that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert client.stdout is not None and client.stderr is not None
        while "answered" not in client.stdout.readline():
            pass
        client.send_signal(signal.SIGINT)
        self.assertEqual(client.communicate(timeout=PATIENCE), ("", ""))
        self.assertEqual(client.returncode, 130)

    def test_classic(self) -> None:
        """The classic suite does as well."""
        told = self.client("--classic", "-c", "send hello", "-c", "expect hello")
        self.assertEqual((told.returncode, told.stderr), (0, ""))
