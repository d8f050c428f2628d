"""
Tests for L{msgserver.aio}: requests on one connection, given up or not, and hooks.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from typing import Any

from msgserver.errors import (
    ClientClosed,
    MsgServerError,
    OutcomeUnknown,
    RequestFailed,
    RequestTimedOut,
    TooManyWaiting,
)
from tests.aioloop import ClientTestCase
from tests.peers import ONE, THREE, TWO, GatePeer

FOUR = b"\x00\x00\x00\x04"


class RequestTests(ClientTestCase):
    """What is asked and answered."""

    def test_answer(self) -> None:
        """S: a request goes out in a packet of its own, and its answer comes back."""
        gate = self.connected()
        answer = self.client.request(b"hello")
        self.loop.settle()
        self.assertEqual(gate.heard(), b"\x00\x09hello\x00\x00\x00\x01")
        self.assertNotDone(answer)
        gate.say(b"\x00\x07hi\x01\x00\x00\x00\x01")
        self.assertEqual(self.resultOf(answer), b"hi")

    def test_sideBySide(self) -> None:
        """S: answers come in any order, several or half a one at a time."""
        gate = self.connected()
        answers = [self.ask(b"") for _ in range(3)]
        gate.say(b"\x00\x06c\x01\x00\x00\x00\x03\x00\x06a\x01\x00\x00\x00\x01\x00")
        self.assertEqual(self.resultOf(answers[0]), b"a")
        self.assertEqual(self.resultOf(answers[2]), b"c")
        self.assertNotDone(answers[1])
        gate.say(b"\x06b\x01\x00\x00\x00\x02")
        self.assertEqual(self.resultOf(answers[1]), b"b")

    def test_oneWrite(self) -> None:
        """What is asked in one turn goes out at once, in its order."""
        gate = self.connected()
        writes: list[bytes] = []
        self.patch(gate._transport, "write", writes.append)
        answers = [self.client.request(b"%d" % number) for number in range(3)]
        self.loop.settle()
        self.assertEqual(len(writes), 1)
        gate._transport.io.write(writes[0])
        self.assertEqual(gate.requests(), [(ONE, b"0"), (TWO, b"1"), (THREE, b"2")])
        for answer in answers:
            answer.cancel()

    def test_flagZero(self) -> None:
        """S4: what the handler says of its failure is in the exception."""
        gate = self.connected()
        answer = self.ask(b"")
        gate.answer(ONE, b"no such room", b"\x00")
        self.assertEqual(self.errorOf(answer, RequestFailed).content, b"no such room")

    def test_waitsForTheVerdict(self) -> None:
        """H2: nothing is asked before the gate has said yes."""
        answer = self.ask(b"hello")
        gate = self.connect()
        gate.handshake()
        self.assertEqual(gate.heard(), b"")
        self.assertEqual((self.client.waiting, self.client.unanswered), (1, 0))
        gate.say(b"\x00\x06200 OK")
        self.assertEqual(gate.requests(), [(ONE, b"hello")])
        self.assertEqual((self.client.waiting, self.client.unanswered), (0, 1))
        gate.answer(ONE, b"hi")
        self.assertEqual(self.resultOf(answer), b"hi")

    def test_tooLong(self) -> None:
        """A request that no packet holds is refused where it is made."""
        self.assertRaises(ValueError, self.client.request, bytes(65532))

    def test_garbage(self) -> None:
        """A gate that breaks the wire is left, and what it was asked is asked again."""
        gate = self.connected()
        answer = self.ask(b"hello")
        gate.say(b"\x00\x05\x02\x00\x00\x00\x01")
        self.assertTrue(gate.isClosing)
        gate = self.connected()
        gate.answer(ONE, b"hi")
        self.assertEqual(self.resultOf(answer), b"hi")
        self.assertIn("closed the connection to the gate", self.logged[-1].getMessage())

    def test_lostInTheSameTurn(self) -> None:
        """What was to go out when the connection was lost goes out on the next."""
        self.connected()

        def both() -> asyncio.Future[bytes]:
            answer = self.client.request(b"hello")
            self.loop.sayAndLose(b"")
            return answer

        answer = self.inLoop(both)
        gate = self.connected()
        self.assertEqual(gate.requests(), [(ONE, b"hello")])
        gate.answer(ONE, b"hi")
        self.assertEqual(self.resultOf(answer), b"hi")

    def test_settledByTheCaller(self) -> None:
        """Who settles the future by hand harms nobody but themselves."""
        gate = self.connected()
        mine, other = self.ask(b"mine"), self.ask(b"mine too")
        mine.set_result(b"my own")
        other.set_result(b"my own")
        gate.answer(ONE, b"hi")
        self.assertFalse(gate.isClosing)
        self.close(self.client)
        self.assertEqual(self.resultOf(mine), b"my own")
        self.assertEqual(self.loop.complaints, [])

    def test_nothingIsKept(self) -> None:
        """An answer that was taken is gone without a collector."""
        gate = self.connected()
        answer = self.ask(b"hello")
        gate.answer(ONE, b"hi")
        self.resultOf(answer)
        gone = weakref.ref(answer)
        del answer
        self.assertIsNone(gone())


class BoundsTests(ClientTestCase):
    """How much is out, and how much waits."""

    options: dict[str, Any] = {"maxUnanswered": 2, "maxWaiting": 1}

    def test_unanswered(self) -> None:
        """S7: no more is out than may be unanswered; each answer makes room for one."""
        gate = self.connected()
        first, second = self.ask(b"1"), self.ask(b"2")
        third = self.ask(b"3")
        self.assertEqual(gate.requests(), [(ONE, b"1"), (TWO, b"2")])
        gate.answer(TWO, b"")
        self.assertEqual(gate.requests(), [(THREE, b"3")])
        self.resultOf(second)
        for answer in (first, third):
            answer.cancel()

    def test_waiting(self) -> None:
        """One more than may wait is refused, as a failure of its own; it never runs."""
        gate = self.connected()
        asked = [self.ask(b"%d" % number) for number in range(3)]
        self.errorOf(self.ask(b"3"), TooManyWaiting)
        for session in (ONE, TWO, THREE):
            gate.answer(session, b"")
        for answer in asked:
            self.resultOf(answer)
        self.assertEqual([content for _, content in gate.requests()], [b"0", b"1", b"2"])

    def test_paused(self) -> None:
        """While the transport has enough to send nothing more is; then what waits goes out."""
        gate = self.connected()
        protocol = self.loop.newest
        protocol.pause_writing()
        waits = self.ask(b"waits")
        self.assertEqual((gate.heard(), self.client.waiting), (b"", 1))
        protocol.resume_writing()
        self.loop.settle()
        self.assertEqual(gate.requests(), [(ONE, b"waits")])
        gate.answer(ONE, b"")
        self.resultOf(waits)

    def test_pausedAtFirst(self) -> None:
        """S6: on a new connection what is unanswered comes first, whatever the transport says."""
        gate = self.connected()
        sent = self.ask(b"sent")
        gate.lose()
        waits = self.ask(b"waits")
        gate = self.connect()
        self.loop.newest.pause_writing()
        self.loop.newest.resume_writing()
        gate.accept()
        self.assertEqual(gate.requests(), [(ONE, b"sent"), (TWO, b"waits")])
        for answer in (sent, waits):
            answer.cancel()


class GivingUpTests(ClientTestCase):
    """Requests that nobody waits for any more."""

    def test_cancel(self) -> None:
        """What has been sent keeps its session until the answer is here."""
        gate = self.connected()
        cancelled = self.ask(b"1")
        self.assertTrue(cancelled.cancel())
        self.assertFalse(cancelled.cancel())
        self.assertEqual(self.client.unanswered, 1)
        other = self.ask(b"2")
        gate.answer(ONE, b"nobody hears")
        gate.answer(TWO, b"hi")
        self.assertEqual(self.resultOf(other), b"hi")
        self.assertEqual(self.client.unanswered, 0)
        self.errorOf(cancelled, asyncio.CancelledError)

    def test_cancelBeforeSending(self) -> None:
        """What was not sent when it is cancelled never is, though no turn lies between."""
        cancelled = self.client.request(b"1")
        cancelled.cancel()
        self.assertEqual(self.client.waiting, 0)
        other = self.ask(b"2")
        gate = self.connected()
        self.assertEqual(gate.requests(), [(ONE, b"2")])
        other.cancel()

    def test_cancelledTask(self) -> None:
        """A task that waits for an answer lets go of it when it is cancelled."""

        async def ask() -> bytes:
            return await self.client.request(b"hello")

        task = self.loop.begin(ask())
        self.assertEqual(self.client.waiting, 1)
        task.cancel()
        self.errorOf(task, asyncio.CancelledError)
        self.assertEqual(self.client.waiting, 0)

    def test_timeout(self) -> None:
        """A request may have a time of its own: sent or not, it is given up after that."""
        waits = self.ask(b"waits", timeout=1.5)
        self.loop.advance(1.4)
        self.assertNotDone(waits)
        self.loop.advance(0.2)
        error = self.errorOf(waits, RequestTimedOut)
        self.assertEqual(str(error), "no answer within 1.5 seconds")
        self.assertIsInstance(error, TimeoutError)
        self.assertIsInstance(error, MsgServerError)
        gate = self.connected()
        self.assertEqual(gate.requests(), [])
        sent = self.ask(b"sent", timeout=1.5)
        self.loop.advance(2.0)
        self.errorOf(sent, RequestTimedOut)
        self.assertEqual(self.client.unanswered, 1)
        gate.answer(ONE, b"late")
        self.assertEqual(self.client.unanswered, 0)

    def test_answeredInTime(self) -> None:
        """An answer, and giving up, leave no timer."""
        gate = self.connected()
        answer = self.ask(b"hello", timeout=1.5)
        cancelled = self.ask(b"hello", timeout=1.5)
        gate.answer(ONE, b"hi")
        cancelled.cancel()
        self.assertEqual(self.resultOf(answer), b"hi")
        self.assertEqual(self.loop.timers(), [])

    def test_requestTimeout(self) -> None:
        """The client may have a time for all, and a request another."""
        self.client = self.makeClient("gate.example:8888", requestTimeout=5.0)
        usual, patient = self.ask(b"1"), self.ask(b"2", timeout=10.0)
        self.loop.advance(5.1)
        self.errorOf(usual, RequestTimedOut)
        self.assertNotDone(patient)
        self.loop.advance(5.0)
        self.errorOf(patient, RequestTimedOut)

    def test_noTimeout(self) -> None:
        """Without a time, a request is never given up."""
        answer = self.ask(b"hello")
        self.loop.isSilent = True
        self.gate().lose()
        self.loop.advance(100_000.0)
        self.assertNotDone(answer)
        self.close(self.client)
        self.errorOf(answer, ClientClosed)


class HookTests(ClientTestCase):
    """What the client tells of itself."""

    def test_life(self) -> None:
        """Each happening is told when it has happened, until nobody wants to hear of it."""
        heard: list[object] = []
        remove = self.client.on("connected", lambda: heard.append("connected"))
        self.client.on("away", lambda: heard.append("away"))
        self.client.on("back", lambda: heard.append("back"))
        self.client.on("loggedOut", lambda reason: heard.append(type(reason)))
        self.client.on("ended", lambda reason: heard.append(type(reason)))
        self.connected().lose()
        self.connected().lose()
        self.assertEqual(heard, ["connected", "away", "back", "away"])
        remove()
        self.client._login.end()
        self.connected()
        self.close(self.client)
        self.assertEqual(heard[4:], [ClientClosed])

    def test_hookFails(self) -> None:
        """A hook that fails is in the log, and harms nobody."""

        def fail() -> None:
            raise ZeroDivisionError

        self.client.on("connected", fail)
        self.connected()
        self.assertTrue(self.client.isConnected)
        (record,) = [each for each in self.logged if each.exc_info]
        self.assertEqual(record.getMessage(), "a hook of 'connected' failed")


class AliveTests(ClientTestCase):
    """How a connection is noticed to be dead."""

    options: dict[str, Any] = {"ping": b"ping", "keepAlive": 20.0}

    def test_silence(self) -> None:
        """After a silence a sign of life is asked for; without one, the connection is cut."""
        gate = self.connected()
        self.loop.advance(20.0)
        self.assertEqual(gate.requests(), [])
        self.loop.advance(20.0)
        self.assertEqual(gate.requests(), [(ONE, b"ping")])
        gate.answer(ONE, b"")
        self.loop.advance(20.0)
        self.loop.advance(20.0)
        self.assertEqual(gate.requests(), [(TWO, b"ping")])
        self.assertFalse(gate.isClosing)
        self.loop.advance(20.0)
        self.assertTrue(gate.isClosing)
        self.assertEqual(self.connected().requests(), [(TWO, b"ping")])

    def test_lost(self) -> None:
        """No timer is left when the connection is lost."""
        self.connected().lose()
        self.assertEqual(len(self.loop.timers()), 1)
        self.close(self.client)
        self.assertEqual(self.loop.timers(), [])

    def test_kernel(self) -> None:
        """The kernel is asked to look as well; never, where it is not to."""
        self.connected()
        option = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        self.assertEqual(self.loop.socket.options[option], 1)
        self.assertEqual(self.loop.socket.options[socket.IPPROTO_TCP, socket.TCP_KEEPIDLE], 20)
        self.loop.socket.options.clear()
        self.client = self.makeClient("gate.example:8888", keepAlive=0, ping=b"ping")
        gate: GatePeer = self.gate()
        gate.accept()
        self.assertEqual(self.loop.socket.options, {})
        self.assertEqual(gate.requests(), [])
        self.assertEqual(len(self.loop.timers()), 1, "the first client's alone")
        self.loop.advance(1000.0)
        self.assertEqual(gate.requests(), [])

    def test_isGone(self) -> None:
        """A connection whose socket is closed already is none."""

        def closed(level: int, name: int, value: int) -> None:
            raise OSError(9, "Bad file descriptor")

        self.patch(self.loop.socket, "setsockopt", closed)
        waiting = self.client.whenConnected(failAfterFailures=1)
        gate = self.connected()
        self.errorOf(waiting, OSError)
        self.assertTrue(gate.isClosing)


class MessagesTests(ClientTestCase):
    """The client's half of a mailbox."""

    def test_poll(self) -> None:
        """A poll is a request without a time-out, which is let go of when nobody listens."""
        client = self.makeClient("gate.example:8888", requestTimeout=5.0)
        gate = self.gate()
        gate.accept()
        messages = client.messages(b"poll:")
        listening = self.loop.begin(messages.__anext__())
        self.assertEqual(gate.requests(), [(ONE, b"poll:" + bytes(16))])
        self.loop.advance(1000.0)
        self.assertNotDone(listening)
        box = b"8 bytes."
        gate.answer(ONE, box + b"\x00" * 7 + b"\x01" + b"\x00\x02hi" + b"\x00\x02ho")
        self.assertEqual(self.resultOf(listening), b"hi")
        self.assertEqual(self.resultOf(self.loop.begin(messages.__anext__())), b"ho")
        listening = self.loop.begin(messages.__anext__())
        self.assertEqual(gate.requests(), [(TWO, b"poll:" + box + b"\x00" * 7 + b"\x02")])
        listening.cancel()
        self.errorOf(listening, asyncio.CancelledError)
        gate.answer(TWO, box + b"\x00" * 7 + b"\x03")

    def test_newLogin(self) -> None:
        """U5: of a poll nothing is unknown that the next one does not make up for."""
        listening = self.loop.begin(self.client.messages().__anext__())
        self.connected()
        waiters = self.client._login.end()
        for waiter in waiters:
            self.client._fail(waiter, OutcomeUnknown())
        self.loop.settle()
        self.assertNotDone(listening)
        self.assertEqual(self.client.unanswered, 1)
        self.close(self.client)
        error = self.errorOf(self.loop.begin(self.client.messages().__anext__()), ClientClosed)
        self.assertIn("closed", str(error))
        self.errorOf(listening, ClientClosed)
