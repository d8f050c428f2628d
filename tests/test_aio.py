"""
Tests for L{msgserver.aio}: what becomes of requests when connections and logins end.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.internet.error import ConnectionLost

from msgserver import aio
from msgserver.clientlogin import LoggedIn
from msgserver.errors import (
    BadRequest,
    ClientClosed,
    Forbidden,
    IndexExpired,
    InvalidState,
    NotAcceptable,
    OutcomeUnknown,
    ProtocolError,
    Unauthorized,
    UserNotFound,
)
from tests.aioloop import ClientTestCase, LoopTestCase, raising
from tests.peers import FIRST, ONE, SECOND, THREE, TWO

NO_TWISTED = """
import asyncio, sys
from msgserver import Account, RequestFailed
from msgserver.aio import MsgClient, login

async def main():
    async with MsgClient(lambda: login("unix:/nowhere", Account(b"sample", b"alice"), b"")):
        await asyncio.sleep(0)

asyncio.run(main())
print(sorted({"twisted", "zope"} & {name.partition(".")[0] for name in sys.modules}))
"""


class ImportTests(LoopTestCase):
    """What the client stands on."""

    def test_noTwisted(self) -> None:
        """Neither Twisted nor zope.interface is imported, also once a client has run."""
        ran = subprocess.run(
            [sys.executable, "-c", NO_TWISTED], capture_output=True, text=True, check=False
        )
        self.assertEqual((ran.stdout, ran.stderr), ("[]\n", ""))

    def test_noLoop(self) -> None:
        """Where no loop runs, there is no client."""
        self.assertRaises(RuntimeError, aio.MsgClient, raising(Unauthorized()), "gate:1")


class ReconnectionTests(ClientTestCase):
    """Requests over several connections of one login."""

    def test_askedAgain(self) -> None:
        """S6: after a loss the same requests are asked, under the same sessions, first."""
        gate = self.connected()
        answers = [self.client.request(b"%d" % number) for number in range(3)]
        self.loop.settle()
        gate.answer(TWO, b"one")
        gate.lose(ConnectionLost())
        late = self.ask(b"late")
        gate = self.connected()
        self.assertEqual(
            gate.requests(), [(ONE, b"0"), (THREE, b"2"), (b"\x00\x00\x00\x04", b"late")]
        )
        gate.answer(THREE, b"two")
        gate.answer(ONE, b"zero")
        gate.answer(b"\x00\x00\x00\x04", b"late")
        self.assertEqual(
            [self.resultOf(answer) for answer in [*answers, late]],
            [b"zero", b"one", b"two", b"late"],
        )

    def test_indexGrows(self) -> None:
        """H: each connection has the next index, whatever became of the last."""
        self.assertEqual(self.connect().handshake().index, 1)
        self.gate().lose()
        self.assertEqual(self.connect().handshake().index, 2)
        self.gate().lose()
        self.connect().refuse(IndexExpired())
        self.assertEqual(self.connect().handshake().text, b"YWxpY2U=@c2FtcGxl#MQ==:4")

    def test_halfAResponse(self) -> None:
        """A response cut in the middle is none; the next connection's begins anew."""
        gate = self.connected()
        answer = self.ask(b"hello")
        gate.say(b"\x00\x07h")
        gate.lose()
        gate = self.connected()
        gate.say(b"\x00\x07hi\x01\x00\x00\x00\x01")
        self.assertEqual(self.resultOf(answer), b"hi")

    def test_dropConnection(self) -> None:
        """A connection that is cut by hand is as any that is lost."""
        gate = self.connected()
        answer = self.ask(b"hello")
        self.client.dropConnection()
        self.loop.settle()
        self.assertTrue(gate.isClosing)
        self.assertFalse(self.client.isConnected)
        self.client.dropConnection()
        gate = self.connected()
        self.assertEqual(gate.requests(), [(ONE, b"hello")])
        gate.answer(ONE, b"hi")
        self.assertEqual(self.resultOf(answer), b"hi")

    def test_lostWithTheVerdict(self) -> None:
        """A gate that accepts and closes in one breath was there; the client comes back."""
        heard: list[str] = []
        self.client.on("connected", lambda: heard.append("connected"))
        self.client.on("away", lambda: heard.append("away"))
        self.client.on("back", lambda: heard.append("back"))
        self.connect().handshake()
        # The client has not yet seen the one when the other comes.
        self.inLoop(lambda: self.loop.sayAndLose(b"\x00\x06200 OK"))
        self.assertEqual(heard, ["connected", "away"])
        self.connected()
        self.assertEqual(heard, ["connected", "away", "back"])

    def test_backOff(self) -> None:
        """Failed attempts are counted, of whatever kind; an accepted one starts anew."""
        self.connect().lose()
        self.loop.failure = ConnectionRefusedError()
        self.loop.advance(1.0)
        self.loop.failure = None
        self.connect().refuse(IndexExpired())
        self.connect().lose()
        self.connect().say(b"\x00\x03SSH")
        self.assertEqual(self.retries, [1, 2, 3, 4, 5])
        self.assertEqual(len(self.warned()), 1)
        self.connected().lose()
        self.assertEqual(self.retries, [1, 2, 3, 4, 5, 1])

    def test_noAnswerToTheHandshake(self) -> None:
        """A gate that says nothing for 10 seconds is left, and tried again."""
        silent = self.connect()
        self.loop.advance(9.9)
        self.assertFalse(silent.isClosing)
        waiting = self.client.whenConnected(failAfterFailures=1)
        self.loop.advance(0.2)
        self.assertTrue(silent.isClosing)
        error = self.errorOf(waiting, TimeoutError)
        self.assertEqual(str(error), "no answer to the handshake within 10 seconds")
        self.connected()

    def test_noConnection(self) -> None:
        """An address that nobody answers at is left after 30 seconds, and tried again."""
        self.connect().lose()
        self.loop.isSilent = True
        self.loop.advance(1.0)
        waiting = self.client.whenConnected(failAfterFailures=1)
        self.loop.advance(29.9)
        self.assertNotDone(waiting)
        self.loop.isSilent = False
        self.loop.advance(0.2)
        error = self.errorOf(waiting, TimeoutError)
        self.assertEqual(str(error), "no connection within 30 seconds")
        self.connected()

    def test_whenConnected(self) -> None:
        """One waits for C{200 OK}, not for the connection alone; later ones do not wait."""
        waiting, cancelled = self.client.whenConnected(), self.client.whenConnected()
        gate = self.connect()
        self.assertNotDone(waiting)
        cancelled.cancel()
        gate.accept()
        self.assertIsNone(self.resultOf(waiting))
        self.assertIsNone(self.resultOf(self.client.whenConnected()))

    def test_failAfterFailures(self) -> None:
        """One may be told that it does not work, while the client goes on."""
        first = self.client.whenConnected(failAfterFailures=1)
        second = self.client.whenConnected(failAfterFailures=2)
        cancelled = self.client.whenConnected(failAfterFailures=1)
        patient = self.client.whenConnected()
        cancelled.cancel()
        self.connect().lose()
        self.errorOf(first, ConnectionResetError)
        self.assertNotDone(second, patient)
        self.connect().refuse(IndexExpired())
        self.errorOf(second, IndexExpired)
        self.connected()
        self.resultOf(patient)

    def test_retryPolicy(self) -> None:
        """The waits grow from a fraction of a second to half a minute, with something random."""
        self.patch(random, "random", lambda: 0.5)
        client = self.makeClient("gate.example:8888", retryPolicy=aio._retryPolicy)
        self.loop.failure = ConnectionRefusedError()
        self.logins.append(lambda: FIRST)
        self.loop.peers[-1].lose()
        began = self.loop.time()
        known = len(self.loop.places)
        self.loop.advance(0.69)
        self.assertEqual(len(self.loop.places), known)
        self.loop.advance(0.02)
        self.assertEqual(len(self.loop.places), known + 1)
        self.loop.advance(0.9)
        self.assertEqual(len(self.loop.places), known + 2)
        self.assertEqual(round(self.loop.time() - began, 2), 1.61)
        self.close(client)


class NewLoginTests(ClientTestCase):
    """What becomes of requests, and of the client, when the login ends."""

    def test_loginIsGone(self) -> None:
        """U5: 404 and 401 have the next login taken; only what was never sent goes with it."""
        reasons: list[Exception] = []
        self.client.on("loggedOut", reasons.append)
        gate = self.connected()
        for number, refusal in enumerate((UserNotFound(), Unauthorized()), 2):
            self.logins[:] = [lambda: SECOND]
            sent = self.ask(b"sent")
            gate.lose()
            waits = self.ask(b"waits")
            self.connect().refuse(refusal)
            self.errorOf(sent, OutcomeUnknown)
            self.assertNotDone(waits)
            gate = self.connect()
            self.assertEqual(gate.handshake().text, b"YWxpY2U=@c2FtcGxl#Mg==:1")
            gate.say(b"\x00\x06200 OK")
            self.assertEqual(gate.requests(), [(ONE, b"waits")])
            gate.answer(ONE, b"hi")
            self.assertEqual(self.resultOf(waits), b"hi")
            self.assertEqual(len(reasons), number - 1)

    def test_loginFailsForNow(self) -> None:
        """What may be different next time is tried again, with back-off."""
        errors: list[Exception] = [
            Forbidden(),
            NotAcceptable(),
            ProtocolError(),
            ConnectionRefusedError(),
            TimeoutError(),
        ]
        self.gate().refuse(UserNotFound())
        self.retries.clear()
        self.logins[:0] = [raising(error) for error in errors]
        answer = self.ask(b"hello")
        self.loop.advance(5.0)
        self.assertEqual(self.retries, [2, 3, 4, 5, 6])
        self.assertNotDone(answer)
        gate = self.connected()
        self.assertEqual(gate.requests(), [(ONE, b"hello")])
        gate.answer(ONE, b"")
        self.resultOf(answer)

    def test_loginIsCancelled(self) -> None:
        """Where it is another's task that was cancelled, it is a login that has failed."""
        self.connect().refuse(UserNotFound())
        login: asyncio.Future[LoggedIn] = self.loop.create_future()
        self.patch(self, "logins", [])
        attempts: list[str] = []

        async def takeLogin() -> LoggedIn:
            attempts.append("")
            return await login

        self.patch(self, "takeLogin", takeLogin)
        client = self.makeClient("gate.example:8888")
        self.loop.settle()
        waiting = client.whenConnected(failAfterFailures=1)
        login.cancel()
        self.errorOf(waiting, ConnectionAbortedError)
        self.loop.advance(1.0)
        self.assertEqual(len(attempts), 2)

    def test_loginIsUnauthorized(self) -> None:
        """A token that proves nothing proves nothing next time: the client ends."""
        self.gate().refuse(UserNotFound())
        self.logins.insert(0, raising(Unauthorized()))
        self.assertEnds(Unauthorized, lambda: self.loop.advance(1.0))

    def test_badRequest(self) -> None:
        """H: 400 is a bug, here or there, and no index mends it: the client ends."""
        self.assertEnds(BadRequest, lambda: self.gate().refuse(BadRequest()))

    def assertEnds(self, error: type[Exception], cause: Callable[[], object]) -> None:
        """What is asked before and after fails, and nothing is left."""
        reasons: list[Exception] = []
        self.client.on("ended", reasons.append)
        results: list[asyncio.Future[Any]]
        results = [self.client.request(b"hello"), self.client.whenConnected()]
        cause()
        results += [self.client.request(b""), self.client.whenConnected()]
        for result in results:
            self.errorOf(result, error)
        self.assertNothingLeft()
        self.resultOf(self.client.close())
        self.errorOf(self.client.request(b""), error)
        self.assertEqual([type(reason) for reason in reasons], [error])

    def test_badRequestLater(self) -> None:
        """U5: where the client ends, what was sent may have run."""
        gate = self.connected()
        sent = self.ask(b"sent")
        gate.lose()
        waits = self.ask(b"waits")
        self.connect().refuse(BadRequest())
        self.errorOf(sent, OutcomeUnknown)
        self.errorOf(waits, BadRequest)

    def test_failureClosesTheClient(self) -> None:
        """Who hears of one failure may cancel other requests, or close the client."""
        gate = self.connected()
        first, second, third = [self.client.request(b"") for _ in range(3)]
        first.add_done_callback(lambda _: second.cancel())
        first.add_done_callback(lambda _: self.client.close())
        self.loop.settle()
        gate.lose()
        self.connect().refuse(UserNotFound())
        self.errorOf(first, OutcomeUnknown)
        self.errorOf(second, OutcomeUnknown)
        self.errorOf(third, OutcomeUnknown)
        self.errorOf(self.client.request(b""), ClientClosed)


class AddressTests(ClientTestCase):
    """Where the client connects to, and how."""

    def place(self, gate: str | None, address: str | None = None, **options: object) -> object:
        """Tell where a client goes, and that it says how."""
        self.logins[:] = [lambda: evolve(FIRST, address=address)]
        self.makeClient(gate, **options)
        self.loop.settle()
        return self.loop.places[-1]

    def test_given(self) -> None:
        """An address is a host and a port, or the path of a UNIX socket."""
        self.assertEqual(self.place("gate.example:8888"), ("gate.example", 8888))
        self.assertEqual(self.place("[2001:db8::1]:8888"), ("2001:db8::1", 8888))
        self.assertEqual(self.loop.options[-1], {"happy_eyeballs_delay": 0.25})
        self.assertEqual(self.place("unix:/run/gate:1"), "/run/gate:1")
        self.assertEqual(self.loop.options[-1], {})

    def test_none(self) -> None:
        """What is no address is refused at once, and named."""
        for text in ("gate", "gate:", "gate:0x1", ":8888", "2001:db8::1:8888", "unix:", ""):
            error = self.assertRaises(ValueError, self.makeClient, text)
            self.assertIn(f"{text!r} is no address: host:port", str(error))

    def test_addressOfTheLogin(self) -> None:
        """L5: what the login says goes before what the client was given."""
        place = self.place("gate.example:8888", "one.example:9999")
        self.assertEqual(place, ("one.example", 9999))

    def test_tls(self) -> None:
        """TLS is by the name of the host, whoever has said it."""
        context = ssl.create_default_context()
        self.place("gate.example:8888", ssl=context)
        self.assertEqual(self.loop.options[-1]["server_hostname"], "gate.example")
        self.assertIs(self.loop.options[-1]["ssl"], context)
        self.place("gate.example:8888", "[2001:db8::1]:9999", ssl=context)
        self.assertEqual(self.loop.options[-1]["server_hostname"], "2001:db8::1")
        self.assertIs(self.loop.options[-1]["ssl"], context)

    def test_tlsOnUnix(self) -> None:
        """Who asks for TLS never gets none: a UNIX socket has no name to verify."""
        context = ssl.create_default_context()
        error = self.assertRaises(ValueError, self.makeClient, "unix:/run/gate", ssl=context)
        self.assertIn("unix:/run/gate: no TLS", str(error))

    def test_noAddressAtAll(self) -> None:
        """Where nobody says where the gate is, whoever waits is told so."""
        self.logins[:] = [lambda: FIRST, lambda: SECOND]
        client = self.makeClient(None)
        waiting = client.whenConnected(failAfterFailures=1)
        self.loop.advance(1.0)
        self.errorOf(waiting, InvalidState)

    def test_anotherGate(self) -> None:
        """L5: where a gate has died, the next login says which gate to go to instead."""
        self.logins[:] = [
            lambda: evolve(FIRST, address="one.example:8888"),
            lambda: evolve(SECOND, address="two.example:8888"),
        ]
        self.client = self.makeClient(None)
        self.loop.settle()
        self.gate().accept()
        sent = self.ask(b"sent")
        self.gate().lose()
        unsent = self.ask(b"unsent")
        for _ in range(3):
            self.assertNotDone(sent)
            self.connect().lose()
        self.errorOf(sent, OutcomeUnknown)
        places = [("one.example", 8888)] * 4 + [("two.example", 8888)]
        self.assertEqual(self.loop.places[-5:], places)
        gate = self.gate()
        gate.accept()
        self.assertEqual(gate.requests(), [(ONE, b"unsent")])
        gate.answer(ONE, b"hi")
        self.assertEqual(self.resultOf(unsent), b"hi")
