"""
Tests for L{msgserver.later}: others' promises, kept or not (L1).
"""

from __future__ import annotations

from gc import collect

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.later import asked, within


class AskedTests(SynchronousTestCase):
    """L{asked}."""

    def test_atOnce(self) -> None:
        """An answer at once is the answer; so is an exception."""
        self.assertEqual(self.successResultOf(asked(max, 3, 7)), 7)
        self.failureResultOf(asked(int, "seven"), ValueError)

    def test_later(self) -> None:
        """The answer of a Deferred is awaited, good or bad."""
        promised: Deferred[int] = Deferred()
        answer = asked(lambda: promised)
        self.assertNoResult(answer)
        promised.callback(7)
        self.assertEqual(self.successResultOf(answer), 7)
        self.failureResultOf(asked(lambda: fail(KeyError("gone"))), KeyError)

    def test_coroutine(self) -> None:
        """The answer of an C{async def} is awaited, good or bad."""
        promised: Deferred[int] = Deferred()

        async def double(number: int) -> int:
            return number * await promised

        answer = asked(double, 2)
        self.assertNoResult(answer)
        promised.callback(7)
        self.assertEqual(self.successResultOf(answer), 14)

        async def bad() -> None:
            raise KeyError("gone")

        self.failureResultOf(asked(bad), KeyError)

    def test_cancelReaches(self) -> None:
        """Cancelling is passed on to the function's own Deferred, once."""
        cancelled: list[object] = []
        answer = asked(lambda: Deferred(cancelled.append))
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(len(cancelled), 1)

    def test_cancelReachesCoroutine(self) -> None:
        """Cancelling is raised in a coroutine where it waits, so that it can clean up."""
        cleanedUp = []

        async def hangs() -> None:
            try:
                await Deferred()
            finally:
                cleanedUp.append(True)

        answer = asked(hangs)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(cleanedUp, [True])

    def test_cancelAnsweredWithResult(self) -> None:
        """L1: a coroutine that makes a result of its cancellation is not heard."""

        async def stubborn() -> int:
            try:
                await Deferred()
            except CancelledError:
                pass
            return 7

        answer = asked(stubborn)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)

    def test_cancelIgnored(self) -> None:
        """L1: a coroutine that goes on waiting when cancelled is not waited for."""
        second: Deferred[int] = Deferred()

        async def stubborn() -> int:
            try:
                await Deferred()
            except CancelledError:
                pass
            return await second

        answer = asked(stubborn)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        second.callback(7)  # And what it says then is dropped.

    def test_lateFailure(self) -> None:
        """A failure that comes after the cancellation is dropped, not logged as unhandled."""
        second: Deferred[int] = Deferred()

        async def stubborn() -> int:
            try:
                await Deferred()
            except CancelledError:
                pass
            return await second

        answers = [asked(stubborn)]
        answers[0].cancel()
        self.failureResultOf(answers.pop(), CancelledError)
        second.errback(KeyError("gone"))
        # What is unhandled is logged when it is forgotten.
        collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_timeout(self) -> None:
        """A time limit on the answer is kept, whatever the function makes of it."""
        clock = Clock()

        async def stubborn() -> int:
            try:
                await Deferred()
            except CancelledError:
                pass
            return 7

        answer = asked(stubborn).addTimeout(5, clock)
        clock.advance(5)
        self.failureResultOf(answer, TimeoutError)
        self.assertEqual(clock.getDelayedCalls(), [])


class WithinTests(SynchronousTestCase):
    """L{within}."""

    def setUp(self) -> None:
        """Make a promise that is not kept yet."""
        self.clock = Clock()
        self.cancelled: list[object] = []
        self.promised: Deferred[str] = Deferred(self.cancelled.append)

    def test_inTime(self) -> None:
        """A promise that is kept in time gives true, and leaves no timer."""
        waiting = within(self.clock, 5, self.promised)
        self.clock.advance(4.9)
        self.assertNoResult(waiting)
        self.promised.callback("kept")
        self.assertIs(self.successResultOf(waiting), True)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_kept(self) -> None:
        """A promise that is kept already gives true at once."""
        self.assertIs(self.successResultOf(within(self.clock, 5, succeed(None))), True)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        """A promise that is not kept in time gives false, and goes on: it is not cancelled."""
        waiting = within(self.clock, 5, self.promised)
        self.clock.advance(5)
        self.assertIs(self.successResultOf(waiting), False)
        self.assertEqual((self.cancelled, self.promised.called), ([], False))
        self.promised.callback("too late, and nobody minds")

    def test_noTime(self) -> None:
        """Without time, what is kept already is in time, and nothing else."""
        self.assertIs(self.successResultOf(within(self.clock, 0, succeed(None))), True)
        waiting = within(self.clock, 0, self.promised)
        self.clock.advance(0)
        self.assertIs(self.successResultOf(waiting), False)
