"""
The clients of docs/clients.md do what the page says, each with a server in memory.
"""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from msgserver import Account, MsgHandler, User
from msgserver.client import MsgClient
from msgserver.configfile import Parts
from msgserver.errors import ProtocolError
from msgserver.identity import parseIdentity, writeIdentity
from tests.network import MemoryNetwork, serve
from tests.pages import PageTestCase

TOKEN = b"YWxpY2U=@c2FtcGxl:cGFzc3dvcmQ="

_KEEPER = """
[login]
handler = "msgserver.handlers:PasswordLoginHandler"
handler_options = {{ servers = ["sample"], users = {{ alice = "{hash}" }} }}
[gate]
servername = "sample"
handler = "tests.test_docs_clients:Keeper"
"""


class ClientsTests(PageTestCase):
    """The clients of docs/clients.md."""

    page = "docs/clients.md"
    proved = {
        "connect": "test_client",
        "useIt": "test_client",
        "logInSafely": "test_identity",
        "buy": "test_outcomeUnknown",
        "watch": "test_hooks",
        "askQuickly": "test_timeout",
        "logIn": "test_blocking",
        "BlockingClient": "test_blocking",
    }

    def setUp(self) -> None:
        super().setUp()
        self.network = MemoryNetwork()

    def test_all(self) -> None:
        """Everything that is defined is used here."""
        self.proveAll()

    def test_client(self) -> None:
        """Requests run side by side, and each has its own answer."""
        serve(self, self.folder / "hello.toml", self.network)
        answers = self.result(self.shown["useIt"](self.network, TOKEN))
        said = b"hello alice, you said: "
        self.assertEqual(answers, [said + b"one", said + b"two"])

    def test_identity(self) -> None:
        """L3: the server with the key is logged in at; another is refused, and told nothing."""
        config = Path("hello.toml").read_text()
        for name in ("right", "wrong"):
            self.network = MemoryNetwork()
            identity = writeIdentity(f"{name}.pem")
            Path(f"{name}.toml").write_text(
                config.replace("[login]\n", f'[login]\nidentity = "{name}.pem"\n', 1)
            )
            serve(self, self.folder / f"{name}.toml", self.network)
            if name == "right":
                parseIdentity(self.shown["IDENTITY"])
                self.shown["IDENTITY"] = identity
                self.assertEqual(self.result(self.logInSafely()).user.uid, b"alice")
            else:
                self.failureResultOf(self.network.runUntil(self.logInSafely()), ProtocolError)

    def logInSafely(self) -> Deferred[Any]:
        """Begin the page's login that is held to a key."""
        endpoint = TCP4ClientEndpoint(self.network, "127.0.0.1", 8001)
        begun: Deferred[Any] = self.shown["logInSafely"](
            endpoint, Account(b"sample", b"alice"), TOKEN
        )
        return begun

    def test_outcomeUnknown(self) -> None:
        """What has run is not run again, what has not is; the client has a new login (U5)."""
        for hasRun in (True, False):
            keeper, client = self.serveKeeper()
            keeper.buysFirst = hasRun
            answer = self.result(self.shown["buy"](client, b"apple"))
            self.assertEqual((answer, keeper.bought), (b"apple", [b"apple"]))
            self.result(client.close())

    def test_timeout(self) -> None:
        """A request is given up after five seconds."""
        keeper, client = self.serveKeeper()
        answer = ensureDeferred(self.shown["askQuickly"](client, b"never"))
        asked = self.network.seconds()
        self.assertIsNone(self.successResultOf(self.network.runUntil(answer)))
        self.assertEqual(round(self.network.seconds() - asked), 5)
        self.result(client.close())

    def test_hooks(self) -> None:
        """A client tells of a cut and of its end."""
        serve(self, self.folder / "hello.toml", self.network)
        client = self.shown["connect"](self.network, TOKEN)
        told: list[str] = []
        self.shown["watch"](client, told.append)
        self.result(client.request(b"one"))
        client.dropConnection()
        self.result(client.request(b"two"))
        self.result(client.close())
        self.assertEqual(
            told,
            [
                "connected",
                "the connection is lost",
                "connected again, nothing is lost",
                "the end: the client was closed",
            ],
        )

    def test_blocking(self) -> None:
        """A client on sockets gets its answer although its connection breaks (S6)."""
        serve(self, self.folder / "hello.toml", self.network)
        loginSocket = _Socket(self.network, 8001)
        loggedIn = self.shown["logIn"](loginSocket, b"alice", b"sample", TOKEN)
        sockets: list[_Socket] = []

        def connect() -> _Socket:
            # The client goes on for ever; the test does not.
            assert len(sockets) < 2
            sockets.append(_Socket(self.network, 8888))
            return sockets[-1]

        client = self.shown["BlockingClient"](connect, loggedIn)
        self.assertEqual(client.request(b"one"), b"hello alice, you said: one")
        sockets[0].breaks = True
        self.assertEqual(client.request(b"two"), b"hello alice, you said: two")
        self.assertEqual(len(sockets), 2)

    def serveKeeper(self) -> tuple[Keeper, MsgClient]:
        """Run a server with a L{Keeper}, and connect the page's client to it."""
        config = self.folder / "keeper.toml"
        (hashed,) = [
            line.split('"')[1]
            for line in Path("hello.toml").read_text().splitlines()
            if line.startswith("users.alice")
        ]
        config.write_text(_KEEPER.format(hash=hashed))
        self.network = MemoryNetwork()
        parts: Parts = serve(self, config, self.network)
        assert parts.gate is not None and isinstance(parts.gate.handler, Keeper)
        client = self.shown["connect"](self.network, TOKEN)
        assert isinstance(client, MsgClient)
        return parts.gate.handler, client

    def result(self, main: Deferred[Any] | Coroutine[Any, Any, Any]) -> Any:
        """Give what comes of C{main}."""
        return self.successResultOf(self.network.runUntil(ensureDeferred(main)))


class Keeper(MsgHandler):
    """
    A shop whose first customer is logged out in the middle of buying.

    @ivar buysFirst: that customer has bought by then.
    """

    def __init__(self) -> None:
        self.buysFirst = True
        self.bought: list[bytes] = []
        self._hasLoggedOut = False

    def requestReceived(self, user: User, content: bytes) -> bytes | Deferred[bytes]:
        verb, _, thing = content.partition(b" ")
        if verb == b"never":
            return Deferred()
        if verb == b"what":
            return b", ".join(self.bought)
        if self._hasLoggedOut or self.buysFirst:
            self.bought.append(thing)
        if self._hasLoggedOut:
            return thing
        self._hasLoggedOut = True
        self.gate.logout(user)
        return Deferred()


class _Socket(Protocol):
    """
    A blocking socket: the network goes on while it waits.

    @ivar breaks: the next that is waited for is that the connection is lost.
    """

    def __init__(self, network: MemoryNetwork, port: int) -> None:
        self.breaks = False
        self._network = network
        self._received = b""
        self._isLost = False
        endpoint = TCP4ClientEndpoint(network, "127.0.0.1", port)
        connectProtocol(endpoint, self)
        network.turn()

    def dataReceived(self, data: bytes) -> None:
        self._received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._isLost = True

    def sendall(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def recv(self, size: int) -> bytes:
        if self.breaks:
            raise ConnectionResetError("as the network may")
        for _ in range(100):
            if self._received or self._isLost:
                break
            self._network.turn()
        received, self._received = self._received[:size], self._received[size:]
        return received
