"""
Tests for L{msgserver.client}: time-outs, bounds, hooks, signs of life, and pushed messages.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from msgserver.client import MsgClient
from msgserver.clientcore import FIRST_DELAY, LONGEST_DELAY, Pulse, retryDelay
from msgserver.errors import (
    RequestTimedOut,
    TooManyWaiting,
    Unauthorized,
    UserNotFound,
)
from msgserver.keepalive import keepAlive
from tests.peers import ONE, TWO, MsgClientTestCase


class OptionsTestCase(MsgClientTestCase):
    """A client that a test makes with options of its own."""

    def remake(self, **options: Any) -> None:
        """Make another client in the place of the first."""
        self.client.close()
        self.clock.advance(0)
        self.client = MsgClient(
            self.clock,
            lambda: self.logins.pop(0)(),
            self.network,
            retryPolicy=self.retry,
            **options,
        )


class TimeOutTests(OptionsTestCase):
    """Requests that are not waited for any longer."""

    def test_own(self) -> None:
        """A request's own time-out ends the waiting for it, and for no other."""
        gate = self.connected()
        hasty, patient = self.client.request(b"hasty", timeout=5), self.client.request(b"patient")
        self.clock.advance(4.9)
        self.assertNoResult(hasty)
        self.clock.advance(0.2)
        self.failureResultOf(hasty, RequestTimedOut)
        gate.answer(ONE, b"late")
        gate.answer(TWO, b"fine")
        self.assertEqual(self.successResultOf(patient), b"fine")

    def test_aTimeoutError(self) -> None:
        """Whoever waits for Python's own kind of time-out gets it."""
        self.assertTrue(issubclass(RequestTimedOut, TimeoutError))

    def test_default(self) -> None:
        """The client's own holds where a request has none; one of its own is stronger."""
        self.remake(requestTimeout=2.0)
        self.connected()
        first, second = self.client.request(b"1"), self.client.request(b"2", timeout=4.0)
        self.clock.advance(2.1)
        self.failureResultOf(first, RequestTimedOut)
        self.assertNoResult(second)
        self.clock.advance(2.0)
        self.failureResultOf(second, RequestTimedOut)

    def test_neverSent(self) -> None:
        """What timed out while there was no connection is not sent when there is one."""
        gate = self.connect()
        answer = self.client.request(b"hello", timeout=0.5)
        self.clock.advance(0.5)
        self.failureResultOf(answer, RequestTimedOut)
        gate.accept()
        self.assertEqual(gate.requests(), [])

    def test_session(self) -> None:
        """S5: what was sent and given up keeps its session, and is asked again like any other."""
        gate = self.connected()
        answer = self.client.request(b"hello", timeout=0.5)
        self.clock.advance(0.5)
        self.failureResultOf(answer, RequestTimedOut)
        gate.lose(ConnectionLost())
        self.client.request(b"other")
        self.assertEqual(self.connected().requests(), [(ONE, b"hello"), (TWO, b"other")])

    def test_answered(self) -> None:
        """No timer is left behind an answer."""
        gate = self.connected()
        timers = len(self.clock.getDelayedCalls())
        answer = self.client.request(b"hello", timeout=5)
        gate.answer(ONE, b"hi")
        self.assertEqual(self.successResultOf(answer), b"hi")
        self.assertEqual(len(self.clock.getDelayedCalls()), timers)

    def test_cancelled(self) -> None:
        """Cancelling is no time-out."""
        self.connected()
        answer = self.client.request(b"hello", timeout=5)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)


class BoundTests(OptionsTestCase):
    """How much waits to be sent."""

    def test_away(self) -> None:
        """Past the bound a request is refused at once, and has not run; the others are sent."""
        self.remake(maxWaiting=2)
        waits = [self.client.request(b"1"), self.client.request(b"2")]
        self.assertEqual((self.client.waiting, self.client.unanswered), (2, 0))
        failure = self.failureResultOf(self.client.request(b"3"), TooManyWaiting)
        self.assertIn("2 requests wait", str(failure.value))
        gate = self.connected()
        self.assertEqual([content for _, content in gate.requests()], [b"1", b"2"])
        self.assertEqual((self.client.waiting, self.client.unanswered), (0, 2))
        for answer in waits:
            self.assertNoResult(answer)

    def test_unanswered(self) -> None:
        """S7: what waits for others to be answered counts, and makes room when it is sent."""
        self.remake(maxUnanswered=1, maxWaiting=1)
        gate = self.connected()
        self.client.request(b"1")
        self.client.request(b"2")
        self.failureResultOf(self.client.request(b"3"), TooManyWaiting)
        gate.answer(ONE, b"")
        self.assertNoResult(self.client.request(b"4"))


class HookTests(OptionsTestCase):
    """What a client tells of itself."""

    def setUp(self) -> None:
        super().setUp()
        self.told: list[str] = []
        self.client.on("connected", self.tells("connected"))
        self.client.on("away", self.tells("away"))
        self.client.on("back", self.tells("back"))
        self.client.on("loggedOut", self.tells("loggedOut"))
        self.client.on("ended", self.tells("ended"))

    def tells(self, name: str) -> Callable[..., None]:
        """Make a hook that takes down its name, and the reason's type."""

        def tell(*reason: Exception) -> None:
            self.told.append(" ".join([name, *(type(each).__name__ for each in reason)]))

        return tell

    def test_back(self) -> None:
        """Under one login a client is connected once; then it is away, and back."""
        self.connected().lose()
        self.connected().lose()
        self.connect()
        self.assertEqual(self.told, ["connected", "away", "back", "away"])

    def test_loggedOut(self) -> None:
        """A login that has ended is told with the reason; the next one's connection is new."""
        self.connected().lose()
        self.connect().refuse(UserNotFound())
        self.connected()
        self.assertEqual(self.told, ["connected", "away", "loggedOut OutcomeUnknown", "connected"])

    def test_close(self) -> None:
        """A client that is closed has ended, and is not away."""
        gate = self.connected()
        closed = self.client.close()
        self.clock.advance(0)
        gate.lose()
        self.successResultOf(closed)
        self.assertEqual(self.told, ["connected", "ended ClientClosed"])

    def test_refused(self) -> None:
        """A login that is refused for good ends the client."""
        self.logins[:] = [lambda: fail(Unauthorized())]
        self.clock.pump([0, 0])
        self.assertEqual(self.told, ["ended Unauthorized"])

    def test_remove(self) -> None:
        """A hook that was taken away is not called; taking it away twice does nothing."""
        remove = self.client.on("away", self.tells("too"))
        remove()
        remove()
        self.connected().lose()
        self.assertEqual(self.told, ["connected", "away"])

    def test_fails(self) -> None:
        """A hook that fails is logged with its traceback, and harms nobody."""

        def fails() -> None:
            raise ZeroDivisionError

        self.client.on("connected", fails)
        after: list[str] = []
        self.client.on("connected", lambda: after.append("called"))
        answer = self.client.request(b"hello")
        self.connected().answer(ONE, b"hi")
        self.assertEqual(self.successResultOf(answer), b"hi")
        self.assertEqual(after, ["called"])
        (logged,) = self.flushLoggedErrors(ZeroDivisionError)
        self.assertIn("in fails", logged.getTraceback())

    def test_asks(self) -> None:
        """A hook may ask: what it asks goes out after what is asked again (S6)."""
        self.connected()
        self.client.request(b"first")
        self.client.on("back", lambda: self.client.request(b"what is new?"))
        self.gate().lose()
        gate = self.connected()
        self.assertEqual([content for _, content in gate.requests()], [b"first", b"what is new?"])

    def test_closes(self) -> None:
        """A hook may close the client: nothing further is made of the attempt."""
        closed: list[Deferred[None]] = []
        self.client.on("away", lambda: closed.append(self.client.close()))
        self.connected().lose()
        self.clock.pump([0, 0, 1, 0])
        self.successResultOf(closed[0])
        self.assertEqual(self.told[-1], "ended ClientClosed")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closesWhenLoggedOut(self) -> None:
        """Closed by the hook of a logout, the client begins no login that has been taken."""
        self.client.on("loggedOut", lambda reason: self.client.close())
        self.connected().lose()
        self.connect().refuse(UserNotFound())
        self.clock.pump([0, 1, 0])
        self.assertEqual(len(self.network.peers), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PingTests(OptionsTestCase):
    """Signs of life of the server's program."""

    def setUp(self) -> None:
        super().setUp()
        self.remake(ping=b"ping", keepAlive=30.0)
        self.live = self.connected()

    def test_silent(self) -> None:
        """After 30 silent seconds the ping is asked; after as many more the connection is cut."""
        self.clock.advance(29.9)
        self.assertEqual(self.live.requests(), [])
        self.clock.advance(0.2)
        self.clock.advance(30)
        self.assertEqual(self.live.requests(), [(ONE, b"ping")])
        self.clock.advance(30)
        self.assertTrue(self.live.isClosing)

    def test_answered(self) -> None:
        """An answer, to whatever, is a sign of life; nobody is told the ping's."""
        self.clock.advance(60)
        self.live.answer(ONE, b"")
        for _ in range(3):
            self.clock.advance(30)
            for session, content in self.live.requests():
                self.assertEqual(content, b"ping")
                self.live.answer(session, b"")
        self.assertFalse(self.live.isClosing)

    def test_busy(self) -> None:
        """Where answers come, nothing is asked besides."""
        for _ in range(4):
            self.client.request(b"hello")
            for session, _ in self.live.requests():
                self.live.answer(session, b"hi")
            self.clock.advance(30)
        self.client.request(b"last")
        self.assertEqual([content for _, content in self.live.requests()], [b"last"])

    def test_lost(self) -> None:
        """A lost connection is not listened to any more."""
        self.live.lose()
        gate = self.connected()
        self.clock.advance(29)
        self.assertEqual(gate.requests(), [])
        closed = self.client.close()
        self.clock.advance(0)
        gate.lose()
        self.successResultOf(closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PulseTests(SynchronousTestCase):
    """What is made of signs of life."""

    def test_isSilent(self) -> None:
        """It is silent where nothing came since last asked; and then only is one waited for."""
        pulse = Pulse()
        self.assertEqual([pulse.isSilent(heard) for heard in (1, 1, 2)], [False, True, False])
        pulse.isAsking = True
        self.assertTrue(pulse.isSilent(2))
        self.assertTrue(pulse.isAsking)
        self.assertFalse(pulse.isSilent(3))
        self.assertFalse(pulse.isAsking)

    def test_retryDelay(self) -> None:
        """The waits grow to half a minute, also after a year; randomness adds up to a second."""
        for failures, seconds in ((1, FIRST_DELAY), (2, 0.4), (3, 0.8), (10**6, LONGEST_DELAY)):
            self.assertEqual(retryDelay(failures, lambda: 0.0), seconds)
            self.assertEqual(retryDelay(failures, lambda: 1.0), seconds + 1)


class KeepAliveTests(SynchronousTestCase):
    """Signs of life of the other machine."""

    def test_tcp(self) -> None:
        """The kernel probes after the seconds given, three times in as many more."""
        with socket.socket(socket.AF_INET) as sock:
            keepAlive(sock, 30.0)
            self.assertNotEqual(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), 0)
            for name, value in (
                ("TCP_KEEPIDLE", 30),
                ("TCP_KEEPINTVL", 10),
                ("TCP_KEEPCNT", 3),
                ("TCP_USER_TIMEOUT", 60_000),
            ):
                if (option := getattr(socket, name, None)) is not None:
                    self.assertEqual(sock.getsockopt(socket.IPPROTO_TCP, option), value)

    def test_fraction(self) -> None:
        """Less than a second counts as one."""
        with socket.socket(socket.AF_INET) as sock:
            keepAlive(sock, 0.1)
            self.assertNotEqual(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), 0)

    def test_unix(self) -> None:
        """A socket that is not of TCP is left alone."""
        with socket.socket(socket.AF_UNIX) as sock:
            keepAlive(sock, 30.0)
            self.assertEqual(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), 0)
