"""The second client, which was written from docs/protocol.md alone, against a real server."""

from __future__ import annotations

import socket
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.endtoend.processes import PATIENCE, Server, awaitEnd, token, waitUntil
from tests.endtoend.test_server import CONFIG
from tests.independent import Admitted, GateClient, LoginEnded, Refused, Untrusted, login


class Recorder(socket.socket):
    """
    A connection to this machine that keeps what is sent over it.

    @ivar sent: all of that.
    """

    def __init__(self, port: int) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.settimeout(PATIENCE)
        self.connect(("127.0.0.1", port))
        self.sent = b""

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        self.sent += bytes(data)
        super().sendall(data, flags)


class ServerCase(SynchronousTestCase):
    """
    Has a server, and an identity key that the real command has made.

    @cvar hasIdentity: whether the server is given it.
    @cvar loginOptions: more lines for [login].
    @cvar gateOptions: more lines for [gate].
    @ivar identity: the key's public part.
    """

    hasIdentity = True
    loginOptions = ""
    gateOptions = ""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.identity = self.keygen("identity.pem")
        options = self.loginOptions
        if self.hasIdentity:
            options += f'\nidentity = "{self.folder / "identity.pem"}"'
        config = CONFIG.replace("[login]\n", f"[login]\n{options}\n") + self.gateOptions
        self.server = Server(self.folder, config)
        self.addCleanup(self.checkLog)
        self.server.__enter__()
        self.addCleanup(self.server.__exit__, None, None, None)

    def checkLog(self) -> None:
        """What the client does is no reason for a traceback, but for the handler's own."""
        log = self.server.log
        self.assertEqual(log.count("Traceback"), log.count("Error: as ordered"), log)

    def keygen(self, name: str) -> bytes:
        """Make an identity key, and give its public part."""
        command = Path(sys.executable).parent / "msgserver-ctl"
        order = [str(command), "keygen", str(self.folder / name)]
        done = subprocess.run(order, capture_output=True, timeout=PATIENCE, check=True)
        return b64decode(done.stdout.strip(), validate=True)

    def login(self, credentials: bytes) -> Admitted:
        """Log in to the server that is known."""
        with Recorder(self.server.ports["login"]) as stream:
            return login(stream, credentials, self.identity)

    def client(self, user: str, password: str) -> GateClient:
        """Log in, and connect to the gate."""
        admitted = self.login(token(user, password))
        place = ("127.0.0.1", self.server.ports["gate"])
        client = GateClient(place, user.encode(), b"sample", admitted)
        self.addCleanup(client.close)
        client.connect()
        return client

    def ask(self, client: GateClient, content: bytes) -> bytes:
        """Ask, and give the answer, which must be the next and a success."""
        session = client.send(content)
        answered, success, answer = client.receive()
        self.assertEqual((answered, success), (session, True))
        return answer

    def assertDistrusts(self, identity: bytes | None) -> None:
        """The client gives up after its public key: no proof and no token are sent."""
        with Recorder(self.server.ports["login"]) as stream:
            with self.assertRaises(Untrusted):
                login(stream, token("alice", "password"), identity)
            self.assertEqual((len(stream.sent), stream.sent.count(b"\n")), (45, 1))


class LoginTests(ServerCase):
    gateOptions = 'advertise = "[::1]:8888"'

    def test_admitted(self) -> None:
        """The server is the one that is known, and says where the gate is (L5)."""
        admitted = self.login(token("alice", "password"))
        self.assertEqual(len(admitted.secret), 32)
        self.assertEqual(admitted.address, "[::1]:8888")
        with Recorder(self.server.ports["login"]) as stream:
            self.assertNotEqual(login(stream, token("alice", "password")), admitted)

    def test_refused(self) -> None:
        """What the server says no to, it says with its mac."""
        for credentials, status in (
            (token("alice", "secret"), "401 Unauthorized"),
            (token("alice", "password", "elsewhere"), "403 Forbidden"),
            (b"", "401 Unauthorized"),
            (bytes(6128), "401 Unauthorized"),
        ):
            with self.assertRaises(Refused) as raised:
                self.login(credentials)
            self.assertEqual(str(raised.exception), status)

    def test_otherIdentity(self) -> None:
        """A server with another identity than the known one gets no token."""
        self.assertDistrusts(self.keygen("other.pem"))


class NoIdentityTests(ServerCase):
    hasIdentity = False

    def test_noSignature(self) -> None:
        """A server that proves nothing gets no token from a client that knows an identity."""
        self.assertDistrusts(self.identity)
        with Recorder(self.server.ports["login"]) as stream:
            self.assertIsNone(login(stream, token("alice", "password")).address)


class ClassicTests(ServerCase):
    loginOptions = 'suites = ["classic"]'

    def test_classicOnly(self) -> None:
        """A server without the modern suite is not spoken to, and that is no refusal."""
        self.assertDistrusts(self.identity)
        self.assertDistrusts(None)


class GateTests(ServerCase):
    def test_sideBySide(self) -> None:
        """S1, S4: answers come as they are ready; one that failed is one, too."""
        client = self.client("alice", "password")
        slow = client.send(b"slow:300:a")
        failed = client.send(b"raise")
        quick = client.send(b"run:b")
        empty = client.send(b"")
        self.assertEqual(
            [client.receive() for _ in range(4)],
            [
                (failed, False, b""),
                (quick, True, b"ran b"),
                (empty, True, b""),
                (slow, True, b"ran a"),
            ],
        )
        self.assertEqual(client.unanswered, {})

    def test_replaced(self) -> None:
        """H4: a new connection ends the one before, also where nobody closed that."""
        client = self.client("alice", "password")
        session = client.send(b"slow:300:a")
        old = client._stream.dup()
        self.addCleanup(old.close)
        client.connect()
        self.assertEqual(client.receive(), (session, True, b"ran a"))
        self.assertEqual(self.ask(client, b"runs:a"), b"1")
        old.settimeout(PATIENCE)
        awaitEnd(old)

    def test_indexExpired(self) -> None:
        """Rule 2: one who has forgotten the index finds the next one."""
        admitted = self.login(token("alice", "password"))
        place = ("127.0.0.1", self.server.ports["gate"])
        first, second = (GateClient(place, b"alice", b"sample", admitted) for _ in range(2))
        self.addCleanup(first.close)
        self.addCleanup(second.close)
        first.connect()
        with self.assertRaisesRegex(ConnectionError, "403 Index Expired"):
            second.connect()
        self.assertEqual(self.ask(first, b"run:a"), b"ran a")
        second.connect()
        # And with it the session: to the gate, this is the first one's request (S6).
        self.assertEqual(self.ask(second, b"run:b"), b"ran a")
        self.assertEqual(self.ask(second, b"runs:b"), b"0")

    def test_ended(self) -> None:
        """Rule 7: the login has ended after a logout, or a newer login; its secret fits no more."""
        client = self.client("alice", "password")
        self.assertEqual(self.ask(client, b"logout"), b"bye")
        with self.assertRaises(ConnectionError):
            client.receive()
        with self.assertRaisesRegex(LoginEnded, "404 User Not Found"):
            client.connect()
        client = self.client("alice", "password")
        self.login(token("alice", "password"))
        with self.assertRaisesRegex(LoginEnded, "404 User Not Found"):
            client.connect()
        wrong = Admitted(self.login(token("alice", "password")).subid, bytes(32))
        place = ("127.0.0.1", self.server.ports["gate"])
        with self.assertRaisesRegex(LoginEnded, "401 Unauthorized"):
            GateClient(place, b"alice", b"sample", wrong).connect()


class ReplayTests(ServerCase):
    gateOptions = "cache_bytes = 20_000_000\n"

    def test_reconnect(self) -> None:
        """S6, S8: after a cut, the kept answers come, and those not yet ready; nothing reruns."""
        alice, bob = self.client("alice", "password"), self.client("bob", "secret")
        order = (b"run:a", b"slow:200:b", b"run:c", b"slow:2000:d")
        sessions = [alice.send(content) for content in order]
        waitUntil(lambda: self.ask(bob, b"runs:d") == b"1", "all of them run")
        alice.close()
        waitUntil(lambda: b"disconnected=1" in self.ask(bob, b"calls"), "the gate sees the cut")
        bobsSession = bob.send(b"slow:300:e")
        self.assertEqual(bob.receive(), (bobsSession, True, b"ran e"))

        alice.connect()
        new = alice.send(b"run:f")
        self.assertEqual(
            [alice.receive() for _ in range(5)],
            [
                (sessions[0], True, b"ran a"),
                (sessions[1], True, b"ran b"),
                (sessions[2], True, b"ran c"),
                (new, True, b"ran f"),
                (sessions[3], True, b"ran d"),
            ],
        )
        for name in b"a", b"b", b"c", b"d", b"f":
            self.assertEqual(self.ask(alice, b"runs:" + name), b"1", name)

    def test_largeReplays(self) -> None:
        """B3: as much as may be unanswered goes both ways at once, also when asked again."""
        client = self.client("alice", "password")
        contents = {client.send(b"%d:" % n + bytes(65_500)): b"%d:" % n for n in range(64)}
        with self.assertRaises(ValueError):
            client.send(b"one too many")
        client.connect()
        for _ in range(64):
            session, success, content = client.receive()
            self.assertTrue(success)
            self.assertEqual(content, contents.pop(session) + bytes(65_500))


class IncreasingTests(ReplayTests):
    """The same, where the gate has sessions count up (S7)."""

    gateOptions = ReplayTests.gateOptions + 'sessions = "increasing"'
