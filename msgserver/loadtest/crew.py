"""
All users of a process: when each comes, who is cut when, and when they go.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from random import Random

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater

from msgserver.loadtest.effort import EffortMeter
from msgserver.loadtest.plan import Plan
from msgserver.loadtest.recorder import Recorder
from msgserver.loadtest.surroundings import Surroundings
from msgserver.loadtest.user import LoadUser

_TICK = 0.05
"""Seconds between two looks at whom to cut, and at whether all is over."""

_PACE = 0.001
"""Seconds between two looks at an open loop's schedule: no timer of a reactor is finer."""

_BURST = 200
"""
How many requests that are due are asked at once. More wait for the next look at the schedule: a
tester that never did anything but ask would hear no answer.
"""

LINGER = 0.25
"""Seconds that are waited for second answers when all the first are there."""


class Crew:
    """
    The users of a process.

    @param random: decides who is cut.
    @param prepare: called when all users have come, before anything is measured.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        meter: EffortMeter,
        random: Random,
        prepare: Callable[[], object] = bool,
    ) -> None:
        self._plan: Plan = surroundings.plan
        self._clock: IReactorTime = surroundings.clock
        self._recorder: Recorder = surroundings.recorder
        self._meter = meter
        self._random = random
        self._prepare = prepare
        numbers = range(self._plan.first, self._plan.first + self._plan.users)
        self._users = [LoadUser(number, surroundings) for number in numbers]
        self._begun: list[LoadUser] = []
        self._isStopped = False
        self._hasFinished = False
        self._isImpatient = False
        self._credit = 0.0
        self._lastCut = 0.0

    async def run(self) -> None:
        """Do it all; it is over when nobody is connected any more."""
        plan, recorder = self._plan, self._recorder
        recorder.start()
        began = recorder.now()
        if await self._go(began, plan.ramp, _TICK, self._admit):
            self._prepare()
            recorder.beginMeasuring()
            self._meter.begin()
            self._lastCut = start = recorder.now()
            pacer = Pacer(plan.rate, start, plan.phase)
            tick = _PACE if plan.isOpen else _TICK
            await self._go(start, plan.duration, tick, lambda time: self._disturb(pacer))
            recorder.results.counts["unsent"] += pacer.behind(
                min(recorder.now(), start + plan.duration)
            )
        recorder.endMeasuring()
        if (effort := self._meter.end()) is not None:
            recorder.results.efforts.append(effort)
        self._hasFinished = True
        for user in self._users:
            user.finish()
        await self._settle()
        await gatherResults([user.close() for user in self._users])

    def stop(self) -> None:
        """End early, but wait for answers as ever; a second time, do not."""
        if self._hasFinished or self._isStopped:
            self._isImpatient = True
        self._isStopped = True

    async def _go(
        self, start: float, seconds: float, every: float, act: Callable[[float], None]
    ) -> bool:
        """
        Act again and again for some time.

        @return: False where it was stopped, or nobody is left.
        """
        done: Deferred[bool] = Deferred()

        def tick() -> None:
            time = self._recorder.now() - start
            act(min(time, seconds))
            if self._isStopped or self._isDeserted():
                done.callback(False)
            elif time >= seconds:
                done.callback(True)

        call = LoopingCall(tick)
        call.clock = self._clock
        ended = call.start(every)
        ended.addErrback(lambda failure: None if done.called else done.errback(failure))
        try:
            return await done
        finally:
            if call.running:
                call.stop()

    def _isDeserted(self) -> bool:
        return len(self._begun) == len(self._users) and all(user.isOver for user in self._users)

    def _admit(self, time: float) -> None:
        ramp = self._plan.ramp
        share = 1.0 if time >= ramp else time / ramp
        due = min(len(self._users), int(share * len(self._users)) + 1)
        while len(self._begun) < due:
            user = self._users[len(self._begun)]
            self._begun.append(user)
            user.begin()

    def _disturb(self, pacer: Pacer) -> None:
        now = self._recorder.now()
        for number, intended in pacer.due(now, _BURST):
            self._users[number % len(self._users)].ask(intended)
        if self._plan.cuts and now - self._lastCut >= _TICK:
            self._credit += self._plan.cuts * self._recorder.connected * (now - self._lastCut)
            self._lastCut = now
            self._cut()

    def _cut(self) -> None:
        due = int(self._credit)
        if due:
            self._credit -= due
            connected = [user for user in self._users if user.isConnected]
            for user in self._random.sample(connected, min(due, len(connected))):
                user.cut()

    async def _settle(self) -> None:
        """Wait until all are back, and all is answered; then for second answers."""
        end = self._recorder.now() + self._plan.grace
        while self._recorder.now() < end and not self._isImpatient:
            if not any(user.pending or user.isAway for user in self._users):
                break
            await deferLater(self._clock, _TICK)
        await deferLater(self._clock, LINGER)


class Pacer:
    """
    The schedule of an open loop: requests at equal distances.

    @param rate: requests a second; 0: none.
    @param start: the time of the first.
    @param phase: by which share of the distance, 0 to below 1, all of them are later.
    """

    def __init__(self, rate: float, start: float, phase: float = 0.0) -> None:
        self._rate = rate
        self._start = start + phase / rate if rate else start
        self._next = 0

    def behind(self, now: float) -> int:
        """Tell how many were due before that time, and were not given."""
        return max(0, ceil((now - self._start) * self._rate - 1e-6) - self._next)

    def due(self, now: float, most: int) -> list[tuple[int, float]]:
        """
        Give requests that are due and were not given: the number of each, from 0, and its time.

        @param most: how many.
        """
        due: list[tuple[int, float]] = []
        while (
            self._rate
            and len(due) < most
            and (time := self._start + self._next / self._rate) <= now
        ):
            due.append((self._next, time))
            self._next += 1
        return due
