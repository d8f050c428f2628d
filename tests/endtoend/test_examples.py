"""The examples as a stranger runs them: each server and each client a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import Unauthorized
from msgserver.interfaces import User
from msgserver.wire.naming import encode64
from tests.endtoend.clusters import freePort
from tests.endtoend.processes import PATIENCE, ROOT, Gate, Server, login, token, waitUntil

PORT = re.compile(r"\b(?:8001|8002|8881|8882|8883)\b")
LISTEN = re.compile(r"^listen = .*\n", re.M)
SECTION = re.compile(r"^\[(?:login|gate)\]\n", re.M)


def onFreePorts(name: str) -> str:
    """Give an example's config as it stands, but for the ports, which may be taken."""
    config = LISTEN.sub("", (ROOT / "examples" / name).read_text())
    return SECTION.sub(r'\g<0>listen = ["tcp:0:interface=127.0.0.1"]\n', config)


def clusterOnFreePorts() -> str:
    """Give the example of several processes likewise."""
    ports: defaultdict[str, int] = defaultdict(freePort)
    config = (ROOT / "examples" / "cluster.toml").read_text()
    config = config.replace('"8881-8883"', '"8881", "8882", "8883"')
    return PORT.sub(lambda match: str(ports[match[0]]), config)


class ExampleTests(SynchronousTestCase):
    def serve(self, config: str) -> Server:
        """Run an example's config."""
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        server = Server(folder, config).__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        return server

    def client(self, server: Server, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the example client against a login server."""
        return subprocess.run(
            [
                sys.executable,
                ROOT / "examples" / "client.py",
                f"--login=tcp:127.0.0.1:{server.ports['login']}",
                *options,
            ],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def assertTold(self, told: subprocess.CompletedProcess[str]) -> None:
        """See the client lose its connection in the middle, and get its answer all the same."""
        self.assertEqual((told.returncode, told.stderr), (0, ""))
        self.assertEqual(
            [re.sub(r"^[\d.]+ s  |(?<=login )\S+$", "", line) for line in told.stdout.splitlines()],
            [
                "logged in as alice, login ",
                "connected to the gate",
                "hello was answered: hello",
                "asked slow:1000:late",
                "connection dropped while slow:1000:late was running",
                "connected again",
                "slow:1000:late was answered: late",
            ],
        )

    def test_client(self) -> None:
        """The client is where its option says that the gate is."""
        server = self.serve(onFreePorts("msgserver.toml"))
        self.assertTold(self.client(server, f"--gate=tcp:127.0.0.1:{server.ports['gate']}"))

    def test_cluster(self) -> None:
        """The same client goes where the login server of cluster.toml sends it (L5)."""
        server = self.serve(clusterOnFreePorts())
        waitUntil(lambda: "has registered" in server.log, "a gate registers")
        self.assertTold(self.client(server))

    def test_clientIsRefused(self) -> None:
        """A wrong password, or nobody there, is one line and an exit status of 1."""
        server = self.serve(onFreePorts("msgserver.toml"))
        told = self.client(server, "--password=wrong")
        self.assertEqual((told.returncode, told.stdout), (1, ""))
        self.assertEqual(told.stderr, "alice was refused: 401 Unauthorized\n")
        told = self.client(server, f"--identity={encode64(bytes(range(32))).decode()}")
        self.assertEqual((told.returncode, told.stdout), (1, ""))
        self.assertRegex(told.stderr, r"\Ano connection: .* proves no identity.*\n\Z")
        for mistake in ("--identity=nonsense", "--login=nonsense"):
            told = self.client(server, mistake)
            self.assertEqual((told.returncode, told.stdout), (2, ""))
            self.assertNotIn("Traceback", told.stderr)
        server.stop()
        told = self.client(server)
        self.assertEqual((told.returncode, told.stdout), (1, ""))
        self.assertEqual(len(told.stderr.splitlines()), 1, told.stderr)

    def test_slow(self) -> None:
        """slow.toml serves every way to answer; echo.py is served by the same config."""
        server = self.serve(onFreePorts("slow.toml"))
        self.assertRaises(Unauthorized, login, server.ports["login"], token("alice", "wrong"))
        admitted = login(server.ports["login"], token("alice", "password"))
        user = User(b"alice", admitted.subid, b"sample")
        gate = Gate(server.ports["gate"], user, admitted.secret, 1)
        self.addCleanup(gate.close)
        gate.send(1, b"twice:50:la")
        gate.send(2, b"slow:20:late")
        gate.send(3, b"refuse:no")
        gate.send(4, b"error:oh")
        gate.send(5, b"at once")
        self.assertEqual(
            [gate.answer() for _ in range(5)],
            [(3, 0, b"no"), (4, 0, b""), (5, 1, b"at once"), (2, 1, b"late"), (1, 1, b"lala")],
        )

    def test_echo(self) -> None:
        """echo.py is a server with one line changed."""
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        config = onFreePorts("slow.toml").replace("slow:SlowHandler", "echo:EchoHandler")
        with Server(folder, config) as server:
            admitted = login(server.ports["login"], token("alice", "password"))
            user = User(b"alice", admitted.subid, b"sample")
            gate = Gate(server.ports["gate"], user, admitted.secret, 1)
            self.assertEqual(gate.ask(1, b"slow:20:late"), b"slow:20:late")
            gate.close()
