"""
The handlers of the documentation, and the README's client, do what the pages say.

Each class and function that a page defines is put to use.
"""

from __future__ import annotations

import sys
import unittest
from hmac import digest
from io import StringIO
from time import time
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from msgserver import (
    Account,
    ILoginHandler,
    IMsgHandler,
    RequestFailed,
    Unauthorized,
    User,
)
from msgserver.msgprotocol import GateLimits, MsgFactory
from msgserver.msgservice import MsgService
from msgserver.sessions import SessionLimits
from msgserver.testing import MemoryTransport
from msgserver.wire.framing import packet
from msgserver.wire.gate import GateClient, requestPacket
from tests.network import MemoryNetwork, serve
from tests.pages import PageTestCase

ALICE = User(uid=b"alice", subid=b"1", server=b"sample")
SECRET = bytes.fromhex("b9388be0af1ec90a")


def ask(handler: Any, content: bytes) -> Deferred[bytes]:
    """Ask a handler as the gate does."""
    assert verifyObject(IMsgHandler, handler)
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
        answer = self.successResultOf(ask(self.shown["HelloHandler"](), b"hi"))
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
        self.assertEqual(self.successResultOf(ask(handler, b"hello")), b"hello")

    def test_deferred(self) -> None:
        """A Deferred is an answer."""
        clock = self.shown["reactor"] = Clock()
        answer = ask(self.shown["PatientHandler"](), b"dishes")
        clock.advance(2.4)
        self.assertNoResult(answer)
        clock.advance(0.1)
        self.assertEqual(self.successResultOf(answer), b"done: dishes")

    def test_coroutine(self) -> None:
        """A coroutine is one."""
        answer = ask(self.shown["BalanceHandler"](), b"")
        self.assertEqual(self.successResultOf(answer), b"5")

    def test_thread(self) -> None:
        """A thread's work is one; here it is done at once, for there is no reactor."""
        self.shown["deferToThread"] = maybeDeferred
        answer = self.successResultOf(ask(self.shown["HashHandler"](), b"hello"))
        self.assertEqual(len(answer), 64)

    def test_errors(self) -> None:
        """RequestFailed says what the client is told (S4)."""
        handler = self.shown["ShopHandler"]()
        self.assertEqual(self.successResultOf(ask(handler, b"pear")), b"45")
        failure = self.failureResultOf(ask(handler, b"fish"), RequestFailed)
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
        subid = self.successResultOf(service.login(b"bob", SECRET, 1))
        bob = User(b"bob", subid, b"sample")
        self.assertEqual(handler.requestReceived(bob, b""), b"1")
        self.assertEqual(handler.requestReceived(bob, b""), b"2")
        self.successResultOf(service.kick(b"bob", subid))
        self.successResultOf(service.login(b"bob", SECRET, 2))
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
