"""
Tests for what L{msgserver.clientmessages} makes of pushed messages, whoever listens how.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from msgserver.client import MsgClient
from msgserver.clientmessages import Messages
from msgserver.errors import (
    ClientClosed,
    MessagesMissed,
    OutcomeUnknown,
    RequestFailed,
    TooManyWaiting,
)
from msgserver.wire.messages import frame, writeAnswer
from tests.peers import FIRST, ONE, TWO, MsgClientTestCase

BOX = b"one box."


def answerOf(number: int, *messages: bytes, box: bytes = BOX) -> bytes:
    """Write the answer to a poll."""
    return writeAnswer(box, number, map(frame, messages))


class IterationTests(SynchronousTestCase):
    """What comes of the answers to polls."""

    def setUp(self) -> None:
        self.polls: list[bytes] = []
        self.answers: list[Deferred[bytes]] = []
        self.messages = Messages(self.ask, b"poll:")

    def ask(self, content: bytes) -> Deferred[bytes]:
        """Take a poll."""
        self.polls.append(content)
        self.answers.append(Deferred())
        return self.answers[-1]

    def next(self) -> Deferred[bytes]:
        """Wait for the next message."""
        return Deferred.fromCoroutine(self.messages.__anext__())

    def test_two(self) -> None:
        """Of two that wait at once, none takes what has arrived for the other away."""
        first, second = self.next(), self.next()
        self.answers[0].callback(answerOf(1, b"1", b"2", b"3"))
        self.answers[1].callback(answerOf(1, b"1", b"2", b"3", b"4"))
        heard = [self.successResultOf(each) for each in (first, second, self.next(), self.next())]
        self.assertEqual(heard, [b"1", b"2", b"3", b"4"])

    def test_cancelled(self) -> None:
        """What a cancelled poll would have brought comes with the next."""
        waiting = self.next()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        waiting = self.next()
        self.assertEqual(self.polls[0], self.polls[1])
        self.answers[1].callback(answerOf(1, b"1"))
        self.assertEqual(self.successResultOf(waiting), b"1")

    def test_missed(self) -> None:
        """What was missed is told where it is missing, and what comes behind it next."""
        waiting = self.next()
        self.answers[0].callback(answerOf(1, b"1"))
        self.assertEqual(self.successResultOf(waiting), b"1")
        waiting = self.next()
        self.answers[1].callback(answerOf(4, b"4"))
        self.assertEqual(self.failureResultOf(waiting, MessagesMissed).value.count, 2)
        self.assertEqual(self.successResultOf(self.next()), b"4")

    def test_failed(self) -> None:
        """After a failure one may iterate on, and nothing is lost or doubled."""
        waiting = self.next()
        self.answers[0].errback(RequestFailed(b"another poll has taken the place of this one"))
        self.failureResultOf(waiting, RequestFailed)
        waiting = self.next()
        self.answers[1].errback(OutcomeUnknown())
        self.answers[2].callback(answerOf(1, b"1"))
        self.assertEqual(self.successResultOf(waiting), b"1")


class ClientTests(MsgClientTestCase):
    """Polls among a client's other requests."""

    def listen(self) -> Deferred[bytes]:
        """Wait for a message."""
        return Deferred.fromCoroutine(self.client.messages().__anext__())

    def make(self, **options: Any) -> None:
        """Make another client in the place of the first."""
        self.client.close()
        self.clock.advance(0)
        self.client = MsgClient(
            self.clock,
            lambda: succeed(FIRST),
            self.network,
            retryPolicy=self.retry,
            **options,
        )

    def test_tooManyWaiting(self) -> None:
        """Requests that wait are no reason to stop listening: a poll waits beside them."""
        self.make(maxWaiting=1)
        asked = self.client.request(b"1")
        listening = self.listen()
        self.failureResultOf(self.client.request(b"2"), TooManyWaiting)
        gate = self.connected()
        self.assertEqual(gate.requests(), [(ONE, b"1"), (TWO, bytes(16))])
        gate.answer(TWO, answerOf(1, b"message"))
        self.assertEqual(self.successResultOf(listening), b"message")
        self.assertNoResult(asked)

    def test_closed(self) -> None:
        """A client that is closed ends the listening, of whoever is at it and of the next."""
        gate = self.connected()
        listening = self.listen()
        self.client.close()
        self.failureResultOf(listening, ClientClosed)
        self.failureResultOf(self.listen(), ClientClosed)
        self.clock.advance(0)
        gate.lose()
