"""
Tests for L{msgserver.aio}: what its users get wrong, and what they do at awkward moments.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any, cast

from msgserver.aio import MsgClient, login
from msgserver.errors import ClientClosed, OutcomeUnknown, ProtocolError, TooManyWaiting
from msgserver.wire.messages import frame, writeAnswer
from msgserver.wire.naming import Account
from tests.aioloop import ClientTestCase, LoopTestCase, raising
from tests.peers import ONE, TWO

TEXT = cast(Any, "hello")
BOX = b"one box."


class ContentTests(ClientTestCase):
    """What is asked and is none."""

    def test_text(self) -> None:
        """Text is no content: that is said at once, and whatever else is asked is answered."""
        self.assertRaises(TypeError, self.client.request, TEXT)
        gate = self.connected()
        self.assertRaises(TypeError, self.client.request, TEXT)
        answer = self.ask(b"hello")
        gate.answer(ONE, b"hi")
        self.assertEqual(self.resultOf(answer), b"hi")

    def test_once(self) -> None:
        """What is wrong with a request is said also where the client has ended."""
        self.close(self.client)
        self.assertRaises(TypeError, self.client.request, TEXT)
        self.assertRaises(ValueError, self.client.request, bytes(65_532))

    def test_noCycle(self) -> None:
        """A request that was refused is gone when its caller lets go of it."""
        self.close(self.client)
        gc.disable()
        self.addCleanup(gc.enable)
        refused = self.client.request(b"hello")
        self.assertIsInstance(refused.exception(), ClientClosed)
        gone = weakref.ref(refused)
        del refused
        self.assertIsNone(gone())


class OptionTests(LoopTestCase):
    """Options that no client can be made with."""

    def test_refused(self) -> None:
        """They are refused at once, by name, and no task is left."""
        options: tuple[dict[str, Any], ...] = (
            {"maxUnanswered": 0},
            {"maxWaiting": 0},
            {"loginAfter": 0},
            {"keepAlive": -1.0},
            {"ping": bytes(65_532)},
        )
        for option in options:
            error = self.assertRaises(ValueError, self.make, option)
            self.assertIn(next(iter(option)), str(error))
        self.assertRaises(TypeError, self.make, {"ping": TEXT})

    def make(self, options: dict[str, Any]) -> MsgClient:
        """Make a client."""
        return self.inLoop(lambda: MsgClient(cast(Any, None), "gate.example:1", **options))


class LogTests(ClientTestCase):
    """Attempts that fail, in the log."""

    def test_mistakes(self) -> None:
        """What is no fault of the network's, nor of the server's for now, is a warning."""
        self.close(self.client)
        for error, isWarning in (
            (ConnectionRefusedError(111, "refused"), False),
            (OutcomeUnknown("not now"), False),
            (ValueError("'nowhere' is no address"), True),
            (NameError("name 'tokn' is not defined"), True),
            (ProtocolError("no login server"), True),
        ):
            self.logins[:] = [raising(error)]
            self.makeClient("gate.example:8888")
            self.loop.settle()
            self.assertEqual(bool(self.warned()), isWarning, error)

    def test_noAddress(self) -> None:
        """A login that leads nowhere, for want of an address, is a warning."""
        self.close(self.client)
        self.makeClient()
        self.loop.settle()
        (warned,) = self.warned()
        self.assertIn("no gate was given", warned)

    def test_address(self) -> None:
        """A host that no resolver takes is no address, for a login or a client."""
        account = Account(b"sample", b"alice")
        self.errorOf(self.loop.begin(login("x..y:80", account, b"")), ValueError)
        self.assertRaises(ValueError, self.makeClient, "x..y:80")


class WaitingTests(ClientTestCase):
    """Whoever waits for a connection."""

    def test_cancelled(self) -> None:
        """Nothing is kept of those who have given up waiting, though there is no connection."""
        self.close(self.client)
        self.loop.failure = ConnectionRefusedError(111, "refused")
        self.client = self.makeClient("gate.example:8888")
        for _ in range(3):
            self.client.whenConnected().cancel()
        self.loop.advance(1.0)
        self.assertEqual(len(self.client._waitingRoom), 0)
        waiting = self.client.whenConnected()
        self.loop.advance(1.0)
        self.assertEqual(len(self.client._waitingRoom), 1)
        waiting.cancel()


class MessagesTests(ClientTestCase):
    """Listening, given up and taken up again."""

    def test_cancelledBehindTheAnswer(self) -> None:
        """Who stops to listen when the answer is there already has the message the next time."""
        gate = self.connected()
        messages = self.client.messages()
        listening = self.loop.begin(messages.__anext__())
        answer = writeAnswer(BOX, 1, [frame(b"one")])
        self.loop.call_soon(self.loop.newest.data_received, packetOf(ONE, answer))
        self.loop.call_soon(listening.cancel)
        self.errorOf(listening, asyncio.CancelledError)
        self.assertEqual(self.client.unanswered, 0)
        gate.requests()
        listening = self.loop.begin(messages.__anext__())
        self.assertEqual(gate.requests(), [(TWO, bytes(16))])
        gate.answer(TWO, answer)
        self.assertEqual(self.resultOf(listening), b"one")

    def test_tooManyWaiting(self) -> None:
        """Requests that wait are no reason to stop listening."""
        self.close(self.client)
        self.loop.failure = ConnectionRefusedError(111, "refused")
        self.client = self.makeClient("gate.example:8888", maxWaiting=1)
        asked = self.ask(b"1")
        listening = self.loop.begin(self.client.messages().__anext__())
        self.assertNotDone(listening)
        self.errorOf(self.ask(b"2"), TooManyWaiting)
        self.close(self.client)
        self.errorOf(listening, ClientClosed)
        self.errorOf(asked, ClientClosed)


def packetOf(session: bytes, content: bytes) -> bytes:
    """Write an answer as it comes."""
    return (len(content) + 5).to_bytes(2, "big") + content + b"\x01" + session
