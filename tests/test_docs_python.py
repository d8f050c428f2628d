"""
The Python of the documentation does what the page says: each class and function is put to use.

That of docs/protocol.md is L{tests.test_docs_protocol}'s.
"""

from __future__ import annotations

import ast
import sys
import unittest
from collections.abc import Coroutine
from hmac import digest
from io import StringIO
from pathlib import Path
from time import time
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from msgserver import (
    Account,
    ILoginHandler,
    IMsgHandler,
    MsgHandler,
    RequestFailed,
    Unauthorized,
    User,
)
from msgserver.client import MsgClient
from msgserver.configfile import Parts
from msgserver.msgprotocol import GateLimits, MsgFactory
from msgserver.msgservice import MsgService
from msgserver.sessions import SessionLimits
from msgserver.testing import MemoryTransport
from msgserver.wire.framing import packet
from msgserver.wire.gate import GateClient, requestPacket
from tests.network import MemoryNetwork, serve
from tests.pages import FolderTestCase, blocks, source

ALICE = User(uid=b"alice", subid=b"1", server=b"sample")
SECRET = bytes.fromhex("b9388be0af1ec90a")
TOKEN = b"YWxpY2U=@c2FtcGxl:cGFzc3dvcmQ="

_KEEPER = """
[login]
handler = "msgserver.handlers:PasswordLoginHandler"
handler_options = {{ servers = ["sample"], users = {{ alice = "{hash}" }} }}
[gate]
servername = "sample"
handler = "tests.test_docs_python:Keeper"
"""


class PageTestCase(FolderTestCase):
    """
    Runs the blocks of a page, in their order, as one module.

    @cvar page: which page.
    @cvar proved: each class and function that the page defines, and the test that uses it.
    """

    page = ""
    proved: dict[str, str] = {}

    def setUp(self) -> None:
        super().setUp()
        self.prepare()
        self.savePage(self.page)
        self.shown: dict[str, Any] = {"__name__": "shown"}
        self.defined: list[str] = []
        for block in blocks(self.page):
            if block.language == "python":
                tree = ast.parse(source(block), self.page)
                kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
                self.defined += [node.name for node in tree.body if isinstance(node, kinds)]
                exec(compile(tree, self.page, "exec"), self.shown)

    def prepare(self) -> None:
        """Provide what the page's code imports and a reader would have."""

    def proveAll(self) -> None:
        """See to it that no definition is passed over."""
        self.assertEqual(self.defined, list(self.proved))
        for test in self.proved.values():
            self.assertTrue(hasattr(self, test), test)

    def ask(self, handler: Any, content: bytes) -> Deferred[bytes]:
        """Ask a handler as the gate does."""
        self.assertTrue(verifyObject(IMsgHandler, handler))
        return maybeDeferred(handler.requestReceived, ALICE, content)


class ReadmeTests(PageTestCase):
    """The README's server and client."""

    page = "README.md"
    proved = {"HelloHandler": "test_server", "main": "test_client"}

    def test_all(self) -> None:
        """Everything that is defined is used here."""
        self.proveAll()

    def test_server(self) -> None:
        """The handler says hello."""
        answer = self.successResultOf(self.ask(self.shown["HelloHandler"](), b"hi"))
        self.assertEqual(answer, b"hello alice, you said: hi")

    def test_client(self) -> None:
        """The client prints what the page says, by asking the server of the config."""
        network = MemoryNetwork()
        serve(self, self.folder / "hello.toml", network)
        printed = StringIO()
        self.patch(sys, "stdout", printed)
        self.successResultOf(network.runUntil(self.shown["main"](network)))
        self.assertEqual(printed.getvalue(), "hello alice, you said: is anybody there?\n")


class HandlersTests(PageTestCase):
    """The handlers of docs/handlers.md."""

    page = "docs/handlers.md"
    proved = {
        "EchoHandler": "test_echo",
        "PatientHandler": "test_deferred",
        "BalanceHandler": "test_coroutine",
        "HashHandler": "test_thread",
        "ShopHandler": "test_errors",
        "CoinHandler": "test_currentRequest",
        "CounterHandler": "test_life",
        "ByeHandler": "test_logout",
        "TicketLoginHandler": "test_login",
        "SlowHandlerTests": "test_tests",
        "ByeHandlerTests": "test_tests",
    }

    def prepare(self) -> None:
        """Provide the bank of the reader's."""
        (self.folder / "bank.py").write_text(_BANK)
        sys.path.insert(0, str(self.folder))

    def test_all(self) -> None:
        """Everything that is defined is used here."""
        self.proveAll()

    def test_echo(self) -> None:
        """The smallest handler answers at once."""
        handler = self.shown["EchoHandler"]()
        self.assertEqual(self.successResultOf(self.ask(handler, b"hello")), b"hello")

    def test_deferred(self) -> None:
        """A Deferred is an answer."""
        clock = self.shown["reactor"] = Clock()
        answer = self.ask(self.shown["PatientHandler"](), b"dishes")
        clock.advance(2.4)
        self.assertNoResult(answer)
        clock.advance(0.1)
        self.assertEqual(self.successResultOf(answer), b"done: dishes")

    def test_coroutine(self) -> None:
        """A coroutine is one."""
        answer = self.ask(self.shown["BalanceHandler"](), b"")
        self.assertEqual(self.successResultOf(answer), b"5")

    def test_thread(self) -> None:
        """A thread's work is one; here it is done at once, for there is no reactor."""
        self.shown["deferToThread"] = maybeDeferred
        answer = self.successResultOf(self.ask(self.shown["HashHandler"](), b"hello"))
        self.assertEqual(len(answer), 64)

    def test_errors(self) -> None:
        """RequestFailed says what the client is told (S4)."""
        handler = self.shown["ShopHandler"]()
        self.assertEqual(self.successResultOf(self.ask(handler, b"pear")), b"45")
        failure = self.failureResultOf(self.ask(handler, b"fish"), RequestFailed)
        self.assertEqual(failure.value.content, b"we have no fish")

    def test_currentRequest(self) -> None:
        """Its key is the same even where the gate has forgotten the request (S7)."""
        gate = _Gate(self.shown["CoinHandler"](":memory:"), SessionLimits(expiredNumber=1))
        connection = gate.connect(1)
        for number in range(1, 5):
            self.assertEqual(connection.ask(number, b""), b"%d coins" % number)
        again = gate.connect(2)
        self.assertEqual(again.ask(1, b""), b"4 coins")
        self.assertEqual(again.ask(5, b""), b"5 coins")

    def test_life(self) -> None:
        """What is saved at logout is there at the next login (U2, U3)."""
        handler = self.shown["CounterHandler"](str(self.folder))
        gate = _Gate(handler)
        service = gate.service
        subid = self.successResultOf(service.login(b"bob", SECRET))
        bob = User(b"bob", subid, b"sample")
        self.assertEqual(handler.requestReceived(bob, b""), b"1")
        self.assertEqual(handler.requestReceived(bob, b""), b"2")
        self.successResultOf(service.kick(b"bob", subid))
        self.successResultOf(service.login(b"bob", SECRET))
        self.assertEqual(handler.requestReceived(bob, b""), b"3")

    def test_logout(self) -> None:
        """The answer to the request that logs out still leaves, and then the close (U2)."""
        gate = _Gate(self.shown["ByeHandler"]())
        connection = gate.connect(1)
        self.assertEqual(connection.ask(1, b"hello"), b"there are 1 of you")
        self.assertEqual(connection.ask(2, b"bye"), b"bye")
        gate.clock.advance(0)
        self.assertTrue(connection.transport.writeClosed)

    def test_login(self) -> None:
        """A ticket lets in whom it was made for, until it expires."""
        handler = self.shown["TicketLoginHandler"](key="a key", server="sample")
        self.assertTrue(verifyObject(ILoginHandler, handler))
        valid = _ticket(b"alice", int(time()) + 60)
        self.assertEqual(handler.authenticate(valid), Account(b"sample", b"alice"))
        expired = _ticket(b"alice", int(time()) - 60)
        for token in (expired, valid.replace(b"alice", b"bob"), b"", b":::"):
            self.assertRaises(Unauthorized, handler.authenticate, token)

    def test_tests(self) -> None:
        """The tests that are shown pass."""
        for name in ("SlowHandlerTests", "ByeHandlerTests"):
            result = unittest.TestResult()
            unittest.defaultTestLoader.loadTestsFromTestCase(self.shown[name]).run(result)
            self.assertEqual((result.testsRun, result.errors, result.failures), (1, [], []))


_BANK = """
class Bank:
    async def balanceOf(self, uid):
        return len(uid)
"""


def _ticket(uid: bytes, lastSecond: int) -> bytes:
    ticket = b"%b:%d" % (uid, lastSecond)
    return b"%b:%b" % (ticket, digest(b"a key", ticket, "sha256").hex().encode())


class _Gate:
    """A gate with a handler, and alice logged in."""

    def __init__(self, handler: Any, limits: SessionLimits | None = None) -> None:
        self.clock = Clock()
        self.service = MsgService(handler, b"sample", self.clock, sessionLimits=limits)
        self.service.startService()
        self.service.admit(ALICE, SECRET)
        self._factory = MsgFactory(self.service, self.clock, GateLimits())

    def connect(self, index: int) -> _Connection:
        return _Connection(self._factory, index)


class _Connection:
    """A connection of alice's."""

    def __init__(self, factory: MsgFactory, index: int) -> None:
        self.transport = MemoryTransport()
        self._protocol = factory.buildProtocol(None)
        self.transport.connect(self._protocol)
        self._protocol.dataReceived(GateClient(ALICE, SECRET, index).hello)
        assert self.transport.take() == packet(b"200 OK")

    def ask(self, session: int, content: bytes) -> bytes:
        """Ask what is answered at once, and with flag 1."""
        token = session.to_bytes(4, "big")
        self._protocol.dataReceived(requestPacket(token, content))
        answer = self.transport.take()
        assert answer.endswith(b"\x01" + token), answer
        return answer[2:-5]


class ClientsTests(PageTestCase):
    """The clients of docs/clients.md, each with a server in memory."""

    page = "docs/clients.md"
    proved = {
        "connect": "test_client",
        "useIt": "test_client",
        "buy": "test_outcomeUnknown",
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
        answer = self.shown["askQuickly"](self.network, client, b"never")
        asked = self.network.seconds()
        self.failureResultOf(self.network.runUntil(answer), TimeoutError)
        self.assertEqual(round(self.network.seconds() - asked), 5)
        self.result(client.close())

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
