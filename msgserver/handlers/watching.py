"""
Finding out that a worker process hangs.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from msgserver.handlers.workerprotocol import Line, Ping, ask

_LOOKS = 2
"""
How often a worker is asked within its time. More than once: where the clock leaps, as on a machine
that was asleep, a worker has the time from one look to the next to answer.
"""


class Watch:
    """
    Asks a worker for a sign of life, again and again.

    @param timeout: seconds that it may give none, and half as much more at most; 0: for ever.
    @param hung: called once when they are over.
    """

    def __init__(
        self, line: Line, clock: IReactorTime, timeout: float, hung: Callable[[], object]
    ) -> None:
        self._line = line
        self._clock = clock
        self._timeout = timeout
        self._onHung = hung
        self._silent = 0
        self._looking: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to ask."""
        if self._timeout:
            self._look()

    def stop(self) -> None:
        """Ask no more."""
        if self._looking is not None and self._looking.active():
            self._looking.cancel()

    def _look(self) -> None:
        if self._silent == _LOOKS:
            self._onHung()
            return
        self._silent += 1
        self._looking = self._clock.callLater(self._timeout / _LOOKS, self._look)
        # A line that is lost is for others to notice.
        ask(self._line, Ping).addCallbacks(self._heard, lambda _: None)

    def _heard(self, _: bytes) -> None:
        self._silent = 0
