"""
Waiting for what others' code promises, without depending on them to keep the promise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime


def asked(function: Callable[..., Any], *arguments: object) -> Deferred[Any]:
    """
    Call a function that answers at once, with a Deferred, or as a coroutine.

    @return: its answer. Cancelling it lets go at once, whatever the function does with its
        own cancellation; an answer that comes after that is dropped.
    """
    promised = maybeDeferred(function, *arguments)

    def letGo(outer: Deferred[Any]) -> None:
        # In this order: the function may answer its cancellation with a result.
        outer.errback(CancelledError())
        promised.cancel()

    outer: Deferred[Any] = Deferred(letGo)

    def finished(result: object) -> None:
        if not outer.called:
            outer.callback(result)  # A Failure makes it fail.

    promised.addBoth(finished)
    return outer


def within(clock: IReactorTime, seconds: float, promised: Deferred[Any]) -> Deferred[bool]:
    """
    Wait for C{promised}, but not for longer than C{seconds}, and without cancelling it.

    @param promised: must not fail.
    @return: whether it came in time.
    """
    outer: Deferred[bool] = Deferred()
    timer = clock.callLater(seconds, outer.callback, False)

    def finished(_: object) -> None:
        if timer.active():
            timer.cancel()
            outer.callback(True)

    promised.addCallback(finished)
    return outer
