"""
One timer for any number of equal waits.

A timer for each connection costs more than most connections do. Waits of one length end in
the order in which they began, so a dict and one timer, for the oldest, serve them all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

_Item = TypeVar("_Item", bound=Hashable)


class Deadlines(Generic[_Item]):
    """
    Items that have so many seconds left.

    @param seconds: how long each item has; 0: for ever.
    @param expired: called with each item whose time has run out, once; it may start or stop
        any item.
    """

    def __init__(
        self, clock: IReactorTime, seconds: float, expired: Callable[[_Item], object]
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._expired = expired
        self._due: dict[_Item, float] = {}
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._due)

    def start(self, item: _Item) -> None:
        """Give the item its whole time, from now."""
        if not self._seconds:
            return
        self._due.pop(item, None)
        self._due[item] = self._clock.seconds() + self._seconds
        if self._timer is None:
            self._timer = self._clock.callLater(self._seconds, self._sweep)

    def stop(self, item: _Item) -> None:
        """Forget the item, if it is waiting at all."""
        self._due.pop(item, None)
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        # Those that `expired` starts meanwhile stand behind and are not due.
        while self._due:
            item, due = next(iter(self._due.items()))
            if due > now:
                # An item that `expired` started has set the timer for itself: too late for this.
                if self._timer is not None:
                    self._timer.cancel()
                self._timer = self._clock.callLater(due - now, self._sweep)
                return
            del self._due[item]
            self._expired(item)
