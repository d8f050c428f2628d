"""
Time that passes only when a test says so, and what happens in it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

_T = TypeVar("_T")

MOST_TURNS = 100_000
"""Turns in which nothing ends and no time passes: past that, it is held that nothing ever will."""

PATIENCE = 600.0
"""Seconds of the clock that L{Passing.result} waits at most, unless told otherwise."""


class Passing:
    """
    Has everything happen on one clock, and in its turns what else there is to do.

    @param deliver: does in a turn what no timer does; tells whether there was anything.
    @ivar clock: the time.
    """

    def __init__(self, clock: Clock, deliver: Callable[[], bool]) -> None:
        self.clock = clock
        self._deliver = deliver

    def settle(self) -> None:
        """
        Let everything happen that takes no time: all that was sent arrives, and is answered.

        @raise AssertionError: there is no end of it.
        """
        for _ in range(MOST_TURNS):
            hasMoved = self._deliver()
            if not (self._callDue() or hasMoved):
                return
        raise AssertionError(
            f"after {MOST_TURNS} turns there is still something to do at the same moment: is"
            " something called again and again with no time in between?"
        )

    def advance(self, seconds: float) -> None:
        """Let time pass, so that each timer sees its own moment, and L{settle}."""
        self.settle()
        end = self.clock.seconds() + seconds
        while (due := self._nextDue()) <= end:
            self._passTo(due)
        self._passTo(end)

    def result(
        self,
        promised: Deferred[_T] | Coroutine[Deferred[Any], Any, _T],
        patience: float = PATIENCE,
    ) -> _T:
        """
        Wait for a result, for as much of the clock's time as it takes.

        @param patience: how many seconds it may take.
        @return: what it comes to.
        @raise AssertionError: there is none by then.
        @raise Exception: what it failed with.
        """
        waiting = Deferred.fromCoroutine(promised) if isinstance(promised, Coroutine) else promised
        outcomes: list[Any] = []
        isWaiting = True

        def take(outcome: Any) -> Any:
            if not isWaiting:
                return outcome
            outcomes.append(outcome)
            # Nobody else is to find a failure that is raised here.
            return None if isinstance(outcome, Failure) else outcome

        waiting.addBoth(take)
        end = self.clock.seconds() + patience
        self.settle()
        while not outcomes and (due := self._nextDue()) <= end:
            self._passTo(due)
        if not outcomes:
            self._passTo(end)
        isWaiting = False
        if not outcomes:
            raise AssertionError(f"no result within {patience:g} seconds of the clock")
        if isinstance(outcomes[0], Failure):
            outcomes[0].raiseException()
        return cast(_T, outcomes[0])

    def _callDue(self) -> bool:
        """
        Call what is due, as a reactor does in a turn: what that adds is the next turn's.

        C{Clock.advance} would go on with that at once, and where there is no end of it, for ever.
        """
        now, calls = self.clock.seconds(), self.clock.calls
        due = [call for call in calls if call.getTime() <= now]
        for call in sorted(due, key=DelayedCall.getTime):
            if call.active():
                calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
        return bool(due)

    def _passTo(self, moment: float) -> None:
        # Exactly there, which a sum of floats may miss; unless what was called went on beyond.
        self.clock.rightNow = max(self.clock.rightNow, moment)
        self.settle()

    def _nextDue(self) -> float:
        return min((call.getTime() for call in self.clock.getDelayedCalls()), default=float("inf"))
