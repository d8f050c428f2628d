"""The control link over what it may go through: TLS with certificates, a UNIX socket, TCP."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import Forbidden
from msgserver.interfaces import User
from tests.certificates import Signed, writeCertificates
from tests.endtoend.clusters import freePort
from tests.endtoend.processes import PATIENCE, ROOT, Gate, Server, login, waitUntil

KEY = "a key for the tests alone"

LOGIN = """
[login]
listen = ["tcp:0:interface=127.0.0.1"]
handler = "tests.endtoend.workload:Welcome"
{more}

[login.control]
listen = ["{listen}"]
gates.sample = "{key}"
operator_key = "{key}"
{login}
"""

GATE = """
[gate]
servername = "sample"
listen = ["tcp:0:interface=127.0.0.1"]
handler = "tests.endtoend.workload:Workload"

[gate.login]
servers = ["{server}"]
key = "{key}"
retry_delay = 0.2
ping_timeout = 1
{gate}
"""

OPERATOR = """
[operator]
servers = ["{server}"]
key = "{key}"
timeout = 2
{gate}
"""


class LinkTests(SynchronousTestCase):
    """A login server, a gate and an operator, each a process of its own."""

    def setUp(self) -> None:
        # Short, as the path of a UNIX socket must be.
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)

    def files(self, name: str) -> str:
        """Write the settings that put TLS around an end."""
        paths = {"certificate": f"{name}.pem", "private_key": f"{name}.key"}
        paths["authority"] = "authority.pem"
        return "\n".join(f'{key} = "{self.folder / path}"' for key, path in paths.items())

    def start(self, name: str, config: str, **values: str) -> Server:
        """Start a server."""
        folder = self.folder / name
        folder.mkdir()
        nothing = dict.fromkeys(("more", "login", "gate"), "")
        server = Server(folder, config.format(**{"key": KEY, **nothing, **values}))
        server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        return server

    def waitForLine(self, server: Server, part: str, times: int = 1) -> None:
        """Wait until a server has logged something so many times."""
        waitUntil(lambda: server.log.count(part) >= times, f"{part}, {times} times")

    def operate(self, *arguments: str, **values: str) -> subprocess.CompletedProcess[str]:
        """Run the operator's command."""
        file = self.folder / "operator.toml"
        file.write_text(OPERATOR.format(**{"key": KEY, "gate": "", **values}))
        return subprocess.run(
            [sys.executable, "-m", "msgserver.ctl", "--config", file, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def exercise(self, **values: str) -> tuple[Server, Server]:
        """Log in over the link, ask, and be kicked by the operator."""
        loginServer = self.start("login", LOGIN, **values)
        gate = self.start("gate", GATE, **values)
        self.waitForLine(gate, "registered with")
        admitted = login(loginServer.ports["login"], b"alice")
        user = User(b"alice", admitted.subid, b"sample")
        connection = Gate(gate.ports["gate"], user, admitted.secret, 1)
        self.assertEqual(connection.ask(1, b"run:a"), b"ran a")
        told = self.operate("--json", "users", **values)
        self.assertEqual((told.returncode, told.stderr), (0, ""))
        self.assertEqual([each["uid"] for each in json.loads(told.stdout)], ["alice"])
        self.assertEqual(self.operate("kick", "alice", **values).returncode, 0)
        self.assertIsNone(connection.receive())
        connection.close()
        self.assertEqual(self.operate("kick", "alice", **values).returncode, 1)
        for server in (gate, loginServer):
            self.assertEqual(server.stop(), -signal.SIGTERM)
            self.assertNotIn("Traceback", server.log)
            self.assertNotIn(KEY, server.log)
        return loginServer, gate

    def test_unix(self) -> None:
        """Over a UNIX socket, which is its owner's alone."""
        path = self.folder / "control"
        self.exercise(listen=f"unix:{path}:mode=600", server=f"unix:{path}")

    def test_unixMode(self) -> None:
        """The socket has the mode that its string says, from its beginning to its end."""
        path = self.folder / "control"
        self.start("login", LOGIN, listen=f"unix:{path}:mode=600")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)

    def test_insecure(self) -> None:
        """Over plain TCP on every address, where the config says that this is meant."""
        port = freePort()
        self.exercise(listen=f"tcp:{port}", server=f"tcp:127.0.0.1:{port}", login="insecure = true")

    def test_tls(self) -> None:
        """Over TLS, with certificates at both ends."""
        writeCertificates(self.folder)
        port = freePort()
        loginServer, _ = self.exercise(
            listen=f"tcp:{port}",
            server=f"tcp:127.0.0.1:{port}",
            login=self.files("login"),
            gate=self.files("gate"),
        )
        self.assertRegex(loginServer.log, r"login\.control: listening on \S+ with TLS")

    def test_strangersCertificate(self) -> None:
        """
        A certificate that somebody else has signed, or none, gets nobody in, right key or not;
        it is a clear line in the log of each end, and the login server goes on.
        """
        writeCertificates(self.folder)
        stranger = Signed("gate")
        (self.folder / "stranger.pem").write_bytes(stranger.certificate)
        (self.folder / "stranger.key").write_bytes(stranger.key)
        port = freePort()
        server = f"tcp:127.0.0.1:{port}"
        files = self.files("login")
        loginServer = self.start("login", LOGIN, listen=f"tcp:{port}", login=files)
        for name, settings in (("stranger", self.files("stranger")), ("plain", "")):
            gate = self.start(name, GATE, server=server, gate=settings)
            self.waitForLine(gate, "no registration with", 2)
            self.assertNotIn("registered with", gate.log)
            self.assertNotIn("Traceback", gate.log)
            if settings:
                self.assertRegex(gate.log, "the connection was lost: TLS: .*unknown ca")
                self.assertRegex(loginServer.log, "the connection was lost: TLS: .*certificate")
            self.assertEqual(self.operate("gates", server=server, gate=settings).returncode, 3)
        self.assertRaises(Forbidden, login, loginServer.ports["login"], b"alice")
        self.assertNotIn("has registered", loginServer.log)
        self.assertNotIn("Traceback", loginServer.log)
        gate = self.start("gate", GATE, server=server, gate=self.files("gate"))
        self.waitForLine(gate, "registered with")

    def test_multilogin(self) -> None:
        """U4: where a user may have several logins, a kick names one, and ends that alone."""
        path = self.folder / "control"
        values = {"listen": f"unix:{path}:mode=600", "server": f"unix:{path}"}
        loginServer = self.start("login", LOGIN, more="multilogin = true", **values)
        gate = self.start("gate", GATE, **values)
        self.waitForLine(gate, "registered with")
        connections = []
        for _ in range(3):
            admitted = login(loginServer.ports["login"], b"alice")
            user = User(b"alice", admitted.subid, b"sample")
            connection = Gate(gate.ports["gate"], user, admitted.secret, 1)
            self.addCleanup(connection.close)
            connections.append((admitted.subid.decode(), connection))
        (_, first), (subid, second), (_, third) = connections
        told = self.operate("--json", "kick", "alice", subid, **values)
        self.assertEqual([each["subid"] for each in json.loads(told.stdout)], [subid])
        self.assertIsNone(second.receive())
        for connection in (first, third):
            self.assertEqual(connection.ask(1, b"run:a"), b"ran a")
        told = self.operate("--json", "users", "alice", **values)
        self.assertEqual(len(json.loads(told.stdout)), 2)
        self.assertEqual(self.operate("kick", "alice", **values).returncode, 0)
        for connection in (first, third):
            self.assertIsNone(connection.receive())

    def test_wrongKey(self) -> None:
        """A wrong key is a clear line on both sides, and the gate keeps trying."""
        port = freePort()
        wrong = "a key that is another"
        loginServer = self.start("login", LOGIN, listen=f"tcp:{port}:interface=127.0.0.1")
        gate = self.start("gate", GATE, server=f"tcp:127.0.0.1:{port}", key=wrong)
        self.waitForLine(gate, "a wrong key", 2)
        self.assertIn("a wrong key", loginServer.log)
        self.assertIn("sample", loginServer.log)
        for server in (gate, loginServer):
            for secret in (wrong, KEY, "Traceback"):
                self.assertNotIn(secret, server.log)
