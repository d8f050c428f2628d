"""
How often a login may ask, where that is limited at all.

It is a part of L{msgserver.limits}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from msgserver.addresslimits import Rate
from msgserver.wire.framing import measurePackets

_SHORTEST: Final = 0.01
"""Seconds that a connection waits at least, so that a high rate needs no timer for each request."""


class _Metered(Protocol):
    """A login, which outlives its connections: so a new connection is no way around."""

    meter: Any


class RequestRate:
    """
    The rate of each login's requests, over all of its connections.

    @param rate: requests a second in the long run; above 0.
    @param burst: requests before that holds; 1 or more.
    @param longest: the longest packet, in bytes without its length.
    @ivar hits: how often a connection had to wait, as C{request_rate}.
    """

    def __init__(self, clock: IReactorTime, rate: float, burst: int, longest: int) -> None:
        self.hits: Counter[str] = Counter()
        self._clock = clock
        self._rate = Rate(rate, burst)
        self._longest = longest

    def cut(self, login: _Metered, data: bytes) -> tuple[int, float]:
        """
        Take the tokens for as many requests as may be served now.

        @param data: it begins with a packet.
        @return: where these requests end, and how many seconds the next one must wait; 0 where
            there is none that is complete. What is no request is served, to be judged (S3, B4).
        """
        now, rate = self._clock.seconds(), self._rate
        tokens = rate.tokens(login.meter, now)
        count, end, isMore = measurePackets(data, int(tokens), self._longest)
        tokens -= count
        login.meter = tokens, now
        if not isMore:
            return end, 0.0
        self.hits["request_rate"] += 1
        # For as many tokens as the bucket holds, at most: what flows over is lost.
        atMost = (rate.burst - tokens) / rate.rate
        return end, max((1 - tokens) / rate.rate, min(_SHORTEST, atMost))

    def callLater(self, seconds: float, function: Callable[[], object]) -> IDelayedCall:
        """Have something done later."""
        return self._clock.callLater(seconds, function)


class RequestMeter:
    """
    Stands before what serves one connection's requests, and gives them when it is their turn.

    @param login: the login that the connection is of.
    @param resume: called when the turn of the next request has come: L{take} gives it.
    """

    __slots__ = ("_data", "_login", "_rate", "_resume", "_timer")

    def __init__(self, rate: RequestRate, login: _Metered, resume: Callable[[], object]) -> None:
        self._rate = rate
        self._login = login
        self._resume = resume
        self._data = b""
        self._timer: IDelayedCall | None = None

    @property
    def isWaiting(self) -> bool:
        """A request is there whose turn has not come: nothing more is to be read."""
        return self._timer is not None

    def take(self, data: bytes = b"") -> bytes:
        """
        Give the requests whose turn has come, in their order, none of them in part.

        @param data: what the connection has received. What is not given is kept: at most one
            such piece, and what there was of one packet.
        """
        self._data += data
        if self._timer is not None:
            return b""
        end, wait = self._rate.cut(self._login, self._data)
        if wait:
            self._timer = self._rate.callLater(wait, self._due)
        due, self._data = self._data[:end], self._data[end:]
        return due

    def stop(self) -> None:
        """Forget what waits: the connection is about to be closed."""
        self._data = b""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        self._resume()
