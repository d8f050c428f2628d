"""
Takes down what happens to users, and when.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import inf

from msgserver.loadtest.dialogue import Asked
from msgserver.loadtest.results import Example, Results, levelOf, shown


class Recorder:
    """
    The results of a process while they grow.

    @param now: tells the time, in seconds since whenever; it must not jump.
    @ivar connected: how many users have a connection.
    @ivar fresh: how many answers there were of each level of latency, since whoever shows them
        has emptied it.
    """

    def __init__(self, results: Results, now: Callable[[], float]) -> None:
        self.results = results
        self.now = now
        self.connected = 0
        self.fresh: Counter[int] = Counter()
        self._zero = now()
        self._begin = inf
        self._end = inf

    @property
    def time(self) -> float:
        """The seconds since L{start}, or since this was made."""
        return self.now() - self._zero

    def start(self) -> None:
        """Count the time from now on: all processes do so at once."""
        self._zero = self.now()

    def beginMeasuring(self) -> None:
        """Measure what is asked from now on."""
        self._begin = self.now()

    def endMeasuring(self) -> None:
        """Measure nothing that is asked from now on; once."""
        if self._end == inf:
            self._end = self.now()
            self.results.seconds = max(0.0, self._end - self._begin)

    def asked(self, intended: float) -> None:
        """
        Take note that a request is asked.

        @param intended: when it should have been, at the latest now.
        """
        self.results.counts["asked"] += 1
        if self._isMeasured(intended):
            self.results.latencies["late"].record(self.now() - intended)

    def answered(self, intended: float, isRight: bool, kind: str | None) -> None:
        """
        Take note of an answer.

        @param isRight: it was the right one.
        @param kind: C{steady}, C{cut} or C{turn}: see L{msgserver.loadtest.results.LATENCIES};
            None where it was asked before there was a first connection, so that none broke.
        """
        now = self.now()
        results = self.results
        results.counts["answered"] += 1
        results.counts["right"] += isRight
        results.counts["inTime"] += self._isMeasured(now)
        moment = results.moment(now - self._zero)
        moment.answers += 1
        latency = now - intended
        level = levelOf(latency)
        moment.levels[level] += 1
        self.fresh[level] += 1
        if self._isMeasured(intended):
            results.latencies["all"].record(latency)
            if kind is not None:
                results.latencies[kind].record(latency)

    def trouble(self, kind: str, asked: Asked, told: str) -> None:
        """Take note that a request did not get its answer; C{kind} is one of C{TROUBLES}."""
        user = asked.user.decode("utf-8", "backslashreplace")
        example = Example(kind, user, asked.number, shown(asked.content), told)
        self.results.trouble(example, self.time)

    def stray(self, user: bytes, session: int, wasAsked: bool) -> None:
        """Take note of an answer to a request that has its answer, or that never was."""
        told = "answered again" if wasAsked else "answered, and never asked"
        name = user.decode("utf-8", "backslashreplace")
        example = Example("doubled", name, 0, "", f"session {session}: {told}")
        self.results.trouble(example, self.time)

    def loggedIn(self, seconds: float, isFirst: bool) -> None:
        """Take note of a login, how long it took, and whether it is the user's first."""
        self.results.counts["logins"] += 1
        self.results.latencies["login"].record(seconds)
        if isFirst:
            self.results.counts["came"] += 1
            self.results.lastLogin = self.time

    def came(self) -> None:
        """Take note that a user has a connection."""
        self._changeConnected(+1)

    def back(self, seconds: float, wasLost: bool, isSameTurn: bool) -> None:
        """
        Take note that a user is back who was without a connection for so long.

        @param wasLost: it was cut by the tester, or lost otherwise; else a turn was over.
        @param isSameTurn: the user had not to wait for another turn.
        """
        self.results.counts["back"] += wasLost
        self.results.latencies["back" if isSameTurn else "pause"].record(seconds)

    def cut(self) -> None:
        """Take note that the tester cuts a connection."""
        self.results.counts["cuts"] += 1
        self.results.moment(self.time).cuts += 1

    def away(self, why: str) -> None:
        """
        Take note that a user has no connection any more.

        @param why: C{cut} by the tester, as the C{turn} was over, or C{lost} otherwise.
        """
        self._changeConnected(-1)
        moment = self.results.moment(self.time)
        if why == "turn":
            self.results.counts["turns"] += 1
            moment.turns += 1
        elif why == "lost":
            self.results.counts["lost"] += 1
            moment.lost += 1

    def attemptFailed(self, reason: str) -> None:
        """Take note that an attempt to connect or to log in has failed."""
        self.results.reasons[reason] += 1

    def _changeConnected(self, by: int) -> None:
        self.connected += by
        self.results.moment(self.time).connected = self.connected

    def _isMeasured(self, time: float) -> bool:
        return self._begin <= time < self._end
