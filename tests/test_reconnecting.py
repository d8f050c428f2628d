"""
Tests for L{msgserver.reconnecting}: one connection at a time, and what comes between two.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from msgserver.reconnecting import Connected, reconnecting


class ReconnectingTests(SynchronousTestCase):
    """
    A service whose attempts end when the test says so.

    @ivar attempts: what each attempt so far waits for.
    @ivar cancelled: those of them that were cancelled.
    @ivar whenCancelled: what a cancelled attempt gives nevertheless; None if it fails.
    @ivar retries: the attempts in a row of which each wait was asked for; a wait is 1 second.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.attempts: list[Deferred[Connected]] = []
        self.cancelled: list[Deferred[Connected]] = []
        self.whenCancelled: Connected | None = None
        self.retries: list[int] = []
        self.service = reconnecting(self.attempt, self.retry, self.clock)
        self.service.startService()

    async def attempt(self) -> Connected:
        """Wait for the test."""
        self.attempts.append(Deferred(self.cancel))
        return await self.attempts[-1]

    def cancel(self, attempt: Deferred[Connected]) -> None:
        """Take note of it, and let the attempt succeed where the test says so."""
        self.cancelled.append(attempt)
        if self.whenCancelled is not None:
            attempt.callback(self.whenCancelled)

    def retry(self, attempt: int) -> float:
        """Wait for a second."""
        self.retries.append(attempt)
        return 1.0

    def begin(self) -> Deferred[Connected]:
        """Let the next attempt begin."""
        known = len(self.attempts)
        # The wait, and then the turn that each attempt takes to begin.
        self.clock.pump([1.0, 0.0])
        self.assertEqual(len(self.attempts), known + 1)
        return self.attempts[-1]

    def refuse(self, attempt: Deferred[Connected]) -> None:
        """Have an attempt fail."""
        attempt.errback(ConnectionRefusedError())

    def connect(self) -> tuple[StringTransport, Deferred[None]]:
        """Let the next attempt succeed; give its transport, and what tells of its loss."""
        transport, lost = StringTransport(), Deferred[None]()
        self.begin().callback(Connected(transport, lost))
        return transport, lost

    def assertStopped(self, stopped: Deferred[None]) -> None:
        """Nothing is left, and nothing comes any more."""
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.failureResultOf(self.service.whenConnected(), CancelledError)

    def test_turnOfItsOwn(self) -> None:
        """No attempt begins in the call that starts the service."""
        self.assertEqual(self.attempts, [])
        self.clock.advance(0)
        self.assertEqual(len(self.attempts), 1)

    def test_backOff(self) -> None:
        """The waits are told how many attempts in a row have failed; success starts anew."""
        for _ in range(3):
            self.refuse(self.begin())
        self.assertEqual(self.retries, [1, 2, 3])
        _, lost = self.connect()
        self.assertEqual(self.retries, [1, 2, 3])
        lost.callback(None)
        self.refuse(self.begin())
        self.assertEqual(self.retries, [1, 2, 3, 1, 2])

    def test_wait(self) -> None:
        """The next attempt begins when the wait is over, and not before."""
        self.refuse(self.begin())
        self.clock.pump([0.9, 0.0])
        self.assertEqual(len(self.attempts), 1)
        self.clock.pump([0.1, 0.0])
        self.assertEqual(len(self.attempts), 2)

    def test_onlyOne(self) -> None:
        """While there is a connection, and while one is attempted, there is no other attempt."""
        self.begin()
        self.clock.pump([1.0] * 60)
        self.attempts[-1].callback(Connected(StringTransport(), Deferred()))
        self.clock.pump([1.0] * 60)
        self.assertEqual(len(self.attempts), 1)

    def test_lost(self) -> None:
        """A loss has the next attempt begin, as often as there is one."""
        for number in range(1, 4):
            _, lost = self.connect()
            self.assertEqual(len(self.attempts), number)
            lost.callback(None)
        self.begin()

    def test_lostMeanwhile(self) -> None:
        """A connection that is lost before its attempt ends makes that a failure."""
        lost: Deferred[None] = Deferred()
        lost.callback(None)
        waiting = self.service.whenConnected(failAfterFailures=1)
        self.begin().callback(Connected(StringTransport(), lost))
        self.failureResultOf(waiting, ConnectionLost)
        self.connect()

    def test_whenConnected(self) -> None:
        """One waits until the attempt has succeeded, whatever it takes."""
        waiting = self.service.whenConnected()
        self.refuse(self.begin())
        self.begin()
        self.assertNoResult(waiting)
        self.attempts[-1].callback(Connected(StringTransport(), Deferred()))
        self.successResultOf(waiting)

    def test_whenNotConnected(self) -> None:
        """One may be told what the last of so many attempts failed with."""
        waiting = self.service.whenConnected(failAfterFailures=2)
        self.refuse(self.begin())
        self.assertNoResult(waiting)
        self.begin().errback(ZeroDivisionError())
        self.failureResultOf(waiting, ZeroDivisionError)

    def test_stopBeforeTheAttempt(self) -> None:
        """An attempt whose turn has not come does not begin."""
        self.assertStopped(self.service.stopService())
        self.assertEqual(self.attempts, [])

    def test_stopWhileAttempting(self) -> None:
        """The attempt under way is cancelled."""
        attempt = self.begin()
        self.assertStopped(self.service.stopService())
        self.assertEqual(self.cancelled, [attempt])

    def test_stopWhileConnected(self) -> None:
        """The transport is closed, and the loss awaited."""
        transport, lost = self.connect()
        stopped = self.service.stopService()
        self.assertTrue(transport.disconnecting)
        self.assertNoResult(stopped)
        lost.callback(None)
        self.assertStopped(stopped)

    def test_stopWhileWaiting(self) -> None:
        """The wait for the next attempt is over."""
        self.refuse(self.begin())
        self.assertStopped(self.service.stopService())

    def test_cancelledInVain(self) -> None:
        """A connection that an attempt makes although it was cancelled is closed, and awaited."""
        transport, lost = StringTransport(), Deferred[None]()
        self.begin()
        self.whenCancelled = Connected(transport, lost)
        stopped = self.service.stopService()
        self.assertTrue(transport.disconnecting)
        self.assertNoResult(stopped)
        lost.callback(None)
        self.assertStopped(stopped)

    def test_startAgain(self) -> None:
        """A service that was stopped may be started anew."""
        _, lost = self.connect()
        stopped = self.service.stopService()
        lost.callback(None)
        self.successResultOf(stopped)
        self.service.startService()
        self.connect()
