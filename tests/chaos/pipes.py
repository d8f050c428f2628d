"""One way of a connection through the proxy: it passes bytes on when they are due."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from zope.interface import implementer

MOST_HELD = 256 * 1024
"""Bytes held back, from which on their source is not read."""

_DRIPPING = 48
"""With how many single bytes a dripping pipe begins each piece: handshakes and headers."""

_DRIP = 0.0005
"""Seconds between two of these: in one turn of the reactor they would leave together."""


class IStream(ITCPTransport, IConsumer, IPushProducer):
    """What every transport of a TCP endpoint does, for the type checker."""


@implementer(IPushProducer)
class Pipe:
    """
    One way.

    @param delay: seconds that every byte takes.
    @param isDripping: split writes into single bytes.
    @ivar source: where bytes come from; None before it is there.
    @ivar trigger: after how many more bytes something is to happen, and what; once.
    """

    def __init__(self, clock: IReactorTime, delay: float = 0.0, isDripping: bool = False) -> None:
        self.source: IStream | None = None
        self.trigger: tuple[int, Callable[[], object]] | None = None
        self._sink: IStream | None = None
        self._clock = clock
        self._delay = delay
        self._isDripping = isDripping
        # When each piece is due, and its bytes.
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._held = 0
        self._stalledUntil = 0.0
        self._isSinkFull = False
        self._isSourcePaused = False
        self._onEmpty: Callable[[], object] | None = None
        self._timer: IDelayedCall | None = None

    def connect(self, sink: IStream) -> None:
        """Begin to pass on, to there."""
        self._sink = sink
        sink.registerProducer(self, True)
        self._pump()

    def feed(self, data: bytes) -> None:
        """Take bytes in."""
        if self.trigger is not None:
            left, strike = self.trigger
            if len(data) < left:
                self.trigger = (left - len(data), strike)
            else:
                self.trigger = None
                self._take(data[:left])
                self._pump()
                strike()
                data = data[left:]
        self._take(data)
        self._pump()

    def stall(self, seconds: float) -> None:
        """Pass on nothing for so long."""
        self._stalledUntil = self._clock.seconds() + seconds

    def close(self, finish: Callable[[], object]) -> None:
        """Call C{finish} when all that was taken in has been passed on."""
        self._onEmpty = finish
        self._pump()

    def stop(self) -> None:
        """Forget everything, and take in nothing more."""
        self._pieces.clear()
        self._held = 0
        self._onEmpty = self.trigger = self._sink = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def pauseProducing(self) -> None:
        """The sink is full."""
        self._isSinkFull = True
        self._adjustSource()

    def resumeProducing(self) -> None:
        """The sink has room."""
        self._isSinkFull = False
        self._pump()

    def stopProducing(self) -> None:
        """The sink is gone; whoever it belongs to hears of that."""

    def _take(self, data: bytes) -> None:
        if not data:
            return
        due = self._clock.seconds() + self._delay
        if self._isDripping:
            head, data = data[:_DRIPPING], data[_DRIPPING:]
            self._pieces.extend((due, bytes((byte,))) for byte in head)
            self._held += len(head)
        if data:
            self._pieces.append((due, data))
            self._held += len(data)

    def _pump(self) -> None:
        if self._sink is None:
            self._adjustSource()
            return
        now = self._clock.seconds()
        while self._pieces and not self._isSinkFull:
            due = max(self._pieces[0][0], self._stalledUntil)
            if due > now:
                self._wakeIn(due - now)
                break
            _, data = self._pieces.popleft()
            self._held -= len(data)
            self._sink.write(data)
            if self._isDripping and len(data) == 1:
                self._wakeIn(_DRIP)
                break
        self._adjustSource()
        if not self._pieces and self._onEmpty is not None:
            finish, self._onEmpty = self._onEmpty, None
            finish()

    def _wakeIn(self, seconds: float) -> None:
        if self._timer is None or not self._timer.active():
            self._timer = self._clock.callLater(seconds, self._pump)

    def _adjustSource(self) -> None:
        shouldPause = self._held > MOST_HELD
        if self.source is not None and shouldPause is not self._isSourcePaused:
            self._isSourcePaused = shouldPause
            if shouldPause:
                self.source.pauseProducing()
            else:
                self.source.resumeProducing()
