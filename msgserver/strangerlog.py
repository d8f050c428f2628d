"""
What strangers cause, logged at no more than so many lines a second.

Whoever can make a server log can fill its disk. Here what is over the rate is counted instead,
and the count is told.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel

_PATIENCE: Final = 60.0
"""Seconds after which what was not logged is told, where no line has passed to tell it."""


class StrangerLog:
    """
    A log for what strangers can cause, whose lines are events as those of its L{Logger} are.

    @param log: where the lines go.
    @param clock: what lets time pass.
    @param rate: lines a second, in the long run; above 0.
    @param burst: lines at once, before that holds; 1 or more.
    """

    def __init__(
        self, log: Logger, clock: IReactorTime, rate: float = 5.0, burst: int = 50
    ) -> None:
        self._log = log
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._lines = float(burst)
        self._since = clock.seconds()
        self._suppressed = 0
        self._telling: IDelayedCall | None = None

    def info(self, format: str, **fields: object) -> None:
        """
        Log a line at info, or count it where it is one too many.

        @param format: as L{Logger.info} takes it.
        @param fields: what it is formatted with; C{suppressed} and C{notLogged} are taken.
        """
        self._emit(LogLevel.info, format, fields)

    def warn(self, format: str, **fields: object) -> None:
        """Log a line at warn, as L{info} does at info; the two share the rate."""
        self._emit(LogLevel.warn, format, fields)

    def flush(self) -> None:
        """Tell at once how many lines have not been logged, if any; a server does as it stops."""
        if self._telling is not None and self._telling.active():
            self._telling.cancel()
        self._tell()

    def _emit(self, level: Any, format: str, fields: dict[str, object]) -> None:
        now = self._clock.seconds()
        # A clock that is set back gives nothing, and takes nothing away.
        passed = max(0.0, now - self._since)
        self._since = now
        self._lines = min(float(self._burst), self._lines + passed * self._rate)
        if self._lines < 1:
            self._suppressed += 1
            if self._telling is None:
                self._telling = self._clock.callLater(_PATIENCE, self._tell)
            return
        self._lines -= 1
        if self._suppressed:
            format += " ({suppressed} more not logged)"
            fields["suppressed"] = self._taken()
        self._log.emit(level, format, **fields)

    def _tell(self) -> None:
        if suppressed := self._taken():
            self._log.info(
                "{suppressed} lines about strangers not logged",
                event="suppressed",
                suppressed=suppressed,
            )

    def _taken(self) -> int:
        if self._telling is not None and self._telling.active():
            self._telling.cancel()
        self._telling = None
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed
