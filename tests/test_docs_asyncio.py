"""
The client of docs/asyncio.md does what the page says, with a server in memory.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, cast

import uvloop
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from msgserver import MsgHandler, User
from msgserver.aio import MsgClient
from msgserver.errors import ClientClosed
from msgserver.handlers import Mailbox
from msgserver.interfaces import MaybeLater
from tests.aioloop import Loop, LoopTestCase, Transport
from tests.network import MemoryNetwork, serve
from tests.pages import PageTestCase
from tests.peers import Peer

_BOARD = """
[login]
handler = "msgserver.handlers:PasswordLoginHandler"
handler_options = {{ servers = ["sample"], users = {{ alice = "{hash}" }} }}
[gate]
servername = "sample"
handler = "tests.test_docs_asyncio:Board"
"""

_MOST_TURNS = 1000
_TURN = 0.05
"""Seconds that a turn takes, as in the network's."""


class Board(MsgHandler):
    """
    Answers what it is asked, but for C{never}; C{poll:} is for its mailbox, C{push:} puts
    something into it.
    """

    mailbox: Mailbox

    def requestReceived(self, user: User, content: bytes) -> MaybeLater[bytes]:
        order, _, rest = content.partition(b":")
        if order == b"poll":
            return self.mailbox.poll(user.uid, rest)
        if order == b"push":
            self.mailbox.push(user.uid, rest)
        return Deferred() if order == b"never" else content


class _Bridge(Protocol):
    """A protocol of asyncio's on a transport of Twisted's."""

    def __init__(self, loop: NetworkLoop, protocol: asyncio.Protocol) -> None:
        self._loop = loop
        self._protocol = protocol
        self.made: asyncio.Future[Transport] = loop.create_future()

    def connectionMade(self) -> None:
        self._transport = Transport(self._loop, self._protocol, cast(Any, self.transport))
        self._protocol.connection_made(self._transport)
        self.made.set_result(self._transport)

    def dataReceived(self, data: bytes) -> None:
        self._loop.call_soon(self._protocol.data_received, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        error = None if reason.check(ConnectionDone) else reason.value
        self._loop.call_soon(self._transport.lose, error)


class NetworkLoop(Loop):
    """An event loop whose connections lead into a L{MemoryNetwork}."""

    def __init__(self, network: MemoryNetwork) -> None:
        super().__init__(Peer)
        self._network = network

    async def _connect(
        self, factory: Callable[[], asyncio.Protocol], place: Any, options: dict[str, Any]
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        self.places.append(place)
        self.options.append(options)
        if self.failure is not None:
            raise self.failure
        protocol = factory()
        bridge = _Bridge(self, protocol)
        connectProtocol(TCP4ClientEndpoint(self._network, *place), bridge)
        return await bridge.made, protocol


class AsyncioTests(LoopTestCase, PageTestCase):
    """The code of docs/asyncio.md."""

    page = "docs/asyncio.md"
    proved = {
        "takeLogin": "test_main",
        "main": "test_main",
        "isThere": "test_isThere",
        "askAll": "test_askAll",
        "askQuickly": "test_askQuickly",
        "watch": "test_watch",
        "listen": "test_listen",
        "overTLS": "test_overTLS",
        "runFast": "test_runFast",
    }

    def setUp(self) -> None:
        """Make the network."""
        self.network = MemoryNetwork()
        super().setUp()

    def makeLoop(self) -> NetworkLoop:
        """Make a loop that leads there."""
        return NetworkLoop(self.network)

    def test_all(self) -> None:
        """Everything that is defined is used here."""
        self.proveAll()

    def test_main(self) -> None:
        """Requests run side by side, and each has its own answer; nothing is left."""
        serve(self, self.folder / "hello.toml", self.network)
        printed = StringIO()
        with redirect_stdout(printed):
            self.result(self.shown["main"]())
        said = "hello alice, you said: "
        self.assertEqual(printed.getvalue(), f"{said}one\n{said}two\n")

    def test_isThere(self) -> None:
        """One may be told that nobody answers, after three attempts."""
        _, client = self.serveBoard()
        self.assertTrue(self.result(self.shown["isThere"](client)))
        self.result(client.close())
        self.loop.failure = ConnectionRefusedError()
        client = self.makeClient()
        known = len(self.loop.places)
        self.assertFalse(self.result(self.shown["isThere"](client)))
        self.assertEqual(len(self.loop.places), known + 3)
        self.result(client.close())

    def test_askAll(self) -> None:
        """Each has its answer, though there are more than the client would take at once."""
        _, client = self.serveBoard(maxWaiting=1000)
        contents = [b"%d" % number for number in range(1500)]
        self.assertEqual(self.result(self.shown["askAll"](client, contents)), contents)

    def test_askQuickly(self) -> None:
        """A request is given up after five seconds."""
        _, client = self.serveBoard()
        self.assertEqual(self.result(self.shown["askQuickly"](client, b"hello")), b"hello")
        asked = self.loop.time()
        self.assertIsNone(self.result(self.shown["askQuickly"](client, b"never")))
        self.assertEqual(round(self.loop.time() - asked), 5)
        self.result(client.close())

    def test_watch(self) -> None:
        """Each happening is told."""
        said: list[str] = []
        board, client = self.serveBoard()
        self.shown["watch"](client, said.append)
        self.result(client.whenConnected())
        client.dropConnection()
        self.result(client.request(b"hello"))
        assert client.loggedIn is not None
        board.gate.logout(client.loggedIn.user)
        self.turnUntil(lambda: said.count("connected") == 2)
        self.result(client.close())
        self.assertEqual(
            [text.partition(":")[0] for text in said],
            [
                "connected",
                "the connection is lost",
                "connected again, nothing is lost",
                "the connection is lost",
                "logged out",
                "connected",
                "the end",
            ],
        )

    def test_listen(self) -> None:
        """What is pushed is shown, and where something is missing that is."""
        board, client = self.serveBoard()
        board.mailbox = Mailbox(self.network, maxMessages=2)
        shown: list[bytes] = []
        listening = self.loop.create_task(self.shown["listen"](client, shown.append))
        for text in (b"one", b"two"):
            self.result(client.request(b"push:" + text))
        client.dropConnection()
        self.turnUntil(lambda: shown == [b"one", b"two"])
        # While the client is away, more comes than the box holds.
        for text in (b"three", b"four", b"five", b"six"):
            board.mailbox.push(b"alice", text)
        self.turnUntil(lambda: shown[-1] == b"six")
        self.assertEqual(shown[2:], [b"(messages are missing: 2)", b"five", b"six"])
        self.result(client.close())
        self.result(listening, ClientClosed)

    def test_overTLS(self) -> None:
        """TLS is spoken with both, by their names."""
        self.loop.failure = ConnectionRefusedError()
        client = self.inLoop(self.shown["overTLS"])
        self.loop.settle()
        self.assertEqual(self.loop.places, [("login.example.org", 8001)])
        (options,) = self.loop.options
        self.assertEqual(options["server_hostname"], "login.example.org")
        self.assertIsInstance(options["ssl"], ssl.SSLContext)
        self.assertTrue(options["ssl"].check_hostname)
        self.assertIs(client._ssl, options["ssl"])
        self.result(client.close())

    def test_runFast(self) -> None:
        """It is uvloop that runs."""

        async def main() -> type:
            return type(asyncio.get_running_loop())

        self.assertIs(self.shown["runFast"](main), uvloop.Loop)

    def serveBoard(self, **options: Any) -> tuple[Board, MsgClient]:
        """Run a server with a L{Board}, and connect a client to it."""
        (hashed,) = [
            line.split('"')[1]
            for line in Path("hello.toml").read_text().splitlines()
            if line.startswith("users.alice")
        ]
        config = self.folder / "board.toml"
        config.write_text(_BOARD.format(hash=hashed))
        parts = serve(self, config, self.network)
        assert parts.gate is not None and isinstance(parts.gate.handler, Board)
        parts.gate.handler.mailbox = Mailbox(self.network)
        return parts.gate.handler, self.makeClient(**options)

    def makeClient(self, **options: Any) -> MsgClient:
        """Make the page's client."""
        takeLogin, gate = self.shown["takeLogin"], self.shown["GATE"]
        client = self.inLoop(lambda: MsgClient(takeLogin, gate, **options))
        self.addCleanup(lambda: self.result(client.close()))
        return client

    def turnUntil(self, happened: Callable[[], bool]) -> None:
        """Let time pass, and bytes flow."""
        for _ in range(_MOST_TURNS):
            if happened():
                return
            self.network.turn()
            self.loop.advance(_TURN)
        self.fail("it never happens")

    def result(self, main: Any, *errors: type[Exception]) -> Any:
        """Give what comes of C{main}, which may fail with some errors."""
        future = asyncio.ensure_future(main, loop=self.loop)
        self.turnUntil(future.done)
        try:
            return future.result()
        except errors as error:
            return error
