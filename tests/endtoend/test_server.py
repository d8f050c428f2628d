"""
The whole server, as a user runs it: the plugin, a config file, sockets.

Its clients are plain sockets with the pure wire core, so that nothing of ours repairs
what the server might break.
"""

from __future__ import annotations

import random
import resource
import signal
import socket
import threading
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import Forbidden, Refused, Unauthorized
from msgserver.interfaces import User
from msgserver.wire.framing import packet
from msgserver.wire.gate import GateClient
from msgserver.wire.login import Admitted
from tests.endtoend.processes import Gate, Server, connect, login, readAll, token, waitUntil
from tests.endtoend.workload import SECRET

CONFIG = """
[login]
listen = ["tcp:0:interface=127.0.0.1"]
handler = "msgserver.handlers:PasswordLoginHandler"

[login.handler_options]
servers = ["sample", "elsewhere"]

[login.handler_options.users]
# Of "password" and of "secret".
alice = "scrypt$16384$8$1$Fz7j4CMCI+v6ju1d4OT4og==$HAgIpZEp0Wj8XRmdCg9uuADYKpdB27by4L9kTK9KSd4="
bob = "scrypt$16384$8$1$HTciHXB/eaznd8SVEedJ3Q==$FXgDHWvFDT65XTEw2zsDBFNGLgTgywb3c5eYp0/e760="

[gate]
servername = "sample"
listen = ["tcp:0:interface=127.0.0.1"]
handler = "tests.endtoend.workload:Workload"
handshake_timeout = 1
"""

CROWD = 5000
CROWD_CONFIG = f"""
[gate]
servername = "sample"
listen = ["tcp:0:interface=127.0.0.1", "unix:SOCKET"]
handler = "tests.endtoend.workload:Workload"
handler_options = {{ admit = {CROWD + 1} }}
maxclient = {CROWD}
"""


def userOf(uid: bytes, admitted: Admitted) -> User:
    return User(uid, admitted.subid, b"sample")


class ServerCase(SynchronousTestCase):
    config = CONFIG

    def setUp(self) -> None:
        # Short, as the path of a UNIX socket must be.
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        self.server = Server(folder, self.config.replace("SOCKET", str(folder / "gate")))
        self.addCleanup(self.checkLog)
        self.server.__enter__()
        self.addCleanup(self.server.__exit__, None, None, None)

    def checkLog(self) -> None:
        """Bad input is no reason for a traceback; a bug of the handler is."""
        log = self.server.log
        self.assertEqual(log.count("Traceback"), log.count("Error: as ordered"), log)

    def login(self, user: str = "alice", password: str = "password") -> Admitted:
        return login(self.server.ports["login"], token(user, password))

    def gate(self, user: User, secret: bytes, index: int) -> Gate:
        gate = Gate(self.server.ports["gate"], user, secret, index)
        self.addCleanup(gate.close)
        return gate


class ConversationTests(ServerCase):
    def test_loginRefusals(self) -> None:
        """L: wrong passwords, unknown users, servers and gates; then the right ones."""
        port = self.server.ports["login"]
        for credentials, refusal in (
            (token("alice", "secret"), Unauthorized),
            (token("mallory", "password"), Unauthorized),
            (token("alice", "password", "nowhere"), Unauthorized),
            (token("alice", "password", "elsewhere"), Forbidden),
            (b"not a token", Unauthorized),
            (b"", Unauthorized),
        ):
            with self.assertRaises(Refused) as raised:
                login(port, credentials)
            self.assertIsInstance(raised.exception, refusal)
        self.assertEqual(len(self.login().secret), 8)

    def test_handshakeRefusals(self) -> None:
        """H: bad macs, used indexes, strangers; the live connection is not disturbed."""
        admitted = self.login()
        user = userOf(b"alice", admitted)
        live = self.gate(user, admitted.secret, 5)
        self.assertEqual(live.verdict, b"200 OK")
        stranger = User(b"alice", b"1", b"sample")
        for who, secret, index, verdict in (
            (user, bytes(8), 6, b"401 Unauthorized"),
            (user, admitted.secret, 5, b"403 Index Expired"),
            (user, admitted.secret, 0, b"403 Index Expired"),
            (stranger, admitted.secret, 6, b"404 User Not Found"),
        ):
            refused = self.gate(who, secret, index)
            self.assertEqual(refused.verdict, verdict)
            self.assertIsNone(refused.receive())
        self.assertEqual(live.ask(1, b"run:a"), b"ran a")

    def test_garbage(self) -> None:
        """Any bytes on either port end in a close; nobody else is disturbed."""
        admitted = self.login()
        gate = self.gate(userOf(b"alice", admitted), admitted.secret, 1)
        before = self.server.descriptors
        noise = random.Random(1)
        for number in range(100):
            with connect(self.server.ports["gate" if number % 2 else "login"]) as stream:
                try:
                    stream.sendall(noise.randbytes(noise.choice((1, 10, 1000, 100_000))))
                    stream.shutdown(socket.SHUT_WR)
                    readAll(stream)
                except ConnectionError:
                    pass
        self.assertEqual(gate.ask(1, b"run:a"), b"ran a")
        waitUntil(lambda: self.server.descriptors <= before, "the connections are closed")

    def test_silence(self) -> None:
        """H3: who says nothing is closed after handshake_timeout."""
        with connect(self.server.ports["gate"]) as stream:
            with self.assertRaises(ConnectionResetError):
                stream.recv(1)

    def test_badRequest(self) -> None:
        """H: what is no handshake is told so, though more of it lies behind."""
        with connect(self.server.ports["gate"]) as stream:
            stream.sendall(packet(b"GET / HTTP/1.1") + bytes(200_000))
            self.assertEqual(stream.recv(100), packet(b"400 Bad Request"))

    def test_sideBySide(self) -> None:
        """S1, S4: a slow request holds up nobody, and one that fails harms nobody."""
        admitted = self.login()
        gate = self.gate(userOf(b"alice", admitted), admitted.secret, 1)
        gate.send(1, b"slow:300:a")
        gate.send(2, b"hang")
        gate.send(3, b"raise")
        gate.send(4, b"run:b")
        gate.send(5, b"big:65530")
        gate.send(6, b"big:65531")
        self.assertEqual(
            [gate.answer() for _ in range(5)],
            [
                (3, 0, b""),
                (4, 1, b"ran b"),
                (5, 1, bytes(65530)),
                (6, 0, b""),
                (1, 1, b"ran a"),
            ],
        )

    def test_cutInTheMiddle(self) -> None:
        """S6: a request in flight over a cut connection runs once, and its answer comes."""
        admitted = self.login()
        user = userOf(b"alice", admitted)
        gate = self.gate(user, admitted.secret, 1)
        gate.send(1, b"slow:400:a")
        gate.send(2, b"run:b")
        self.assertEqual(gate.answer(), (2, 1, b"ran b"))
        gate.cut()
        again = self.gate(user, admitted.secret, 2)
        again.send(1, b"slow:400:a")
        again.send(2, b"run:b")
        self.assertEqual(again.answer(), (2, 1, b"ran b"))
        self.assertEqual(again.answer(), (1, 1, b"ran a"))
        self.assertEqual(again.ask(3, b"runs:a"), b"1")
        self.assertEqual(again.ask(4, b"runs:b"), b"1")

    def test_answeredWhileAway(self) -> None:
        """S8: an answer that nobody was there for is kept."""
        admitted = self.login()
        user = userOf(b"alice", admitted)
        gate = self.gate(user, admitted.secret, 1)
        gate.send(1, b"slow:100:a")
        self.assertEqual(gate.ask(2, b"run:b"), b"ran b")
        gate.cut()
        other = self.login("bob", "secret")
        watch = self.gate(userOf(b"bob", other), other.secret, 1)
        watch.send(1, b"slow:300:c")
        self.assertEqual(watch.answer(), (1, 1, b"ran c"))
        again = self.gate(user, admitted.secret, 2)
        self.assertEqual(again.ask(1, b"?"), b"ran a")
        self.assertEqual(again.ask(3, b"runs:a"), b"1")

    def test_oneLiveConnection(self) -> None:
        """H4: a second connection of the login replaces the first at once."""
        admitted = self.login()
        user = userOf(b"alice", admitted)
        old = self.gate(user, admitted.secret, 1)
        new = self.gate(user, admitted.secret, 2)
        self.assertIsNone(old.receive())
        self.assertEqual(new.ask(1, b"calls"), b"")

    def test_secondLogin(self) -> None:
        """L4, U3, U5: a second login kicks the first, which is closed and gone."""
        first = self.login()
        old = self.gate(userOf(b"alice", first), first.secret, 1)
        self.assertEqual(old.ask(1, b"run:a"), b"ran a")
        second = self.login()
        self.assertIsNone(old.receive())
        gone = self.gate(userOf(b"alice", first), first.secret, 2)
        self.assertEqual(gone.verdict, b"404 User Not Found")
        new = self.gate(userOf(b"alice", second), second.secret, 1)
        self.assertEqual(new.ask(1, b"calls"), b"kicked=1,loggedOut=1")

    def test_logout(self) -> None:
        """U2: the answer to the request that logs out comes, then the close."""
        admitted = self.login()
        user = userOf(b"alice", admitted)
        gate = self.gate(user, admitted.secret, 1)
        self.assertEqual(gate.ask(1, b"logout"), b"bye")
        self.assertIsNone(gate.receive())
        self.assertEqual(self.gate(user, admitted.secret, 2).verdict, b"404 User Not Found")
        self.login()

    def test_logoutBehindUnread(self) -> None:
        """U2: the answer arrives although the client has sent more than is ever read."""
        admitted = self.login()
        gate = self.gate(userOf(b"alice", admitted), admitted.secret, 1)
        gate.send(1, b"logout")
        for session in range(2, 40):
            gate.send(session, bytes(60_000))
        self.assertEqual(gate.answer(), (1, 1, b"bye"))
        self.assertIsNone(gate.receive())

    def test_shutdown(self) -> None:
        """B5: SIGTERM lets a running request finish and delivers its answer."""
        admitted = self.login()
        gate = self.gate(userOf(b"alice", admitted), admitted.secret, 1)
        gate.send(1, b"slow:500:a")
        self.assertEqual(gate.ask(2, b"run:b"), b"ran b")
        stopping = threading.Thread(target=self.server.stop)
        stopping.start()
        self.addCleanup(stopping.join)
        self.assertEqual(gate.answer(), (1, 1, b"ran a"))
        self.assertIsNone(gate.receive())
        gate.close()
        stopping.join()
        # Having shut down in good order, twistd ends as the signal would have ended it.
        self.assertEqual(self.server.process.returncode, -signal.SIGTERM)
        self.assertIn("Server Shut Down", self.server.log)


class CrowdTests(ServerCase):
    config = CROWD_CONFIG

    def test_manyConnections(self) -> None:
        """B1: 5,000 connections at once in one gate, each served; one more is closed."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < CROWD + 200:
            self.skipTest(f"this machine allows {hard} descriptors only")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(CROWD + 200, 1024), hard))
        before = self.server.memory
        users = [User(b"%d" % number, b"1", b"sample") for number in range(CROWD)]
        gates = [self.gate(user, SECRET, 1) for user in users]
        self.assertEqual({gate.verdict for gate in gates}, {b"200 OK"})
        for number, gate in enumerate(gates):
            gate.send(1, b"%d" % number)
        for number, gate in enumerate(gates):
            self.assertEqual(gate.answer(), (1, 1, b"%d" % number))
        memory = self.server.memory
        each = (memory - before) / CROWD
        print(f"\n{CROWD} connections: {memory:,} bytes of memory, {each:,.0f} for each")
        # So soon, at times, that connecting itself fails.
        with self.assertRaises(ConnectionResetError):
            with connect(self.server.ports["gate"]) as more:
                more.sendall(GateClient(User(b"%d" % CROWD, b"1", b"sample"), SECRET, 1).hello)
                self.assertEqual(more.recv(1), b"closed at once")
        for gate in gates:
            gate.close()
        waitUntil(lambda: self.server.descriptors < 100, "the descriptors are free again")
        self.assertEqual(self.gate(users[0], SECRET, 2).ask(1, b"?"), b"0")
