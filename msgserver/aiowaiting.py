"""
What callers of the asyncio client wait with, and for how long.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from attrs import define

from msgserver.errors import RequestTimedOut


@asynccontextmanager
async def within(seconds: float | None, what: str) -> AsyncIterator[None]:
    """
    Give up after so many seconds, and say what was not there by then.

    @param seconds: None for never.
    @raise TimeoutError: in the place of what is cancelled.
    """
    try:
        async with asyncio.timeout(seconds) as deadline:
            yield
    except TimeoutError:
        # The kernel has time-outs of its own, which say what they are.
        if not deadline.expired():
            raise
        raise TimeoutError(f"no {what} within {seconds:g} seconds") from None


class Answer(asyncio.Future[bytes]):
    """
    What whoever asks waits for.

    @ivar letGo: called when the answer is not wanted any more, there and then: what was not sent
        must not be sent by the caller's next line either.
    """

    letGo: Callable[[], None] | None = None

    def cancel(self, msg: Any | None = None) -> bool:
        """See L{asyncio.Future.cancel}."""
        isCancelled = super().cancel(msg)
        if isCancelled:
            self._letGo()
        return isCancelled

    def set_result(self, result: bytes) -> None:
        """See L{asyncio.Future.set_result}."""
        # It leads back to this, and would keep both until the next collection.
        self.letGo = None
        super().set_result(result)

    def set_exception(self, exception: type | BaseException) -> None:
        """See L{asyncio.Future.set_exception}."""
        self.letGo = None
        super().set_exception(exception)

    def failAfter(self, seconds: float) -> None:
        """Fail with L{RequestTimedOut} if this is not done by then."""
        timer = self.get_loop().call_later(seconds, self._timedOut, seconds)
        self.add_done_callback(lambda _: timer.cancel())

    def _timedOut(self, seconds: float) -> None:
        if not self.done():
            self._letGo()
            self.set_exception(RequestTimedOut(f"no answer within {seconds:g} seconds"))

    def _letGo(self) -> None:
        letGo, self.letGo = self.letGo, None
        if letGo is not None:
            letGo()


@define(eq=False)
class _Waiting:
    """
    Somebody who waits for a connection.

    @ivar attempts: how many more it takes to fail until this does.
    """

    connected: asyncio.Future[None]
    attempts: float

    def tell(self, error: Exception | None) -> None:
        if self.connected.done():
            return
        if error is None:
            self.connected.set_result(None)
        else:
            self.connected.set_exception(error)


class WaitingRoom:
    """Those who wait for a connection."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def __len__(self) -> int:
        """Tell how many are here."""
        return len(self._waiting)

    def add(self, connected: asyncio.Future[None], failAfterFailures: int | None) -> None:
        """
        Have one more wait.

        @param failAfterFailures: how many attempts may fail from now on before this does; None
            for any number.
        """
        attempts = math.inf if failAfterFailures is None else failAfterFailures
        self._waiting.append(_Waiting(connected, attempts))

    def attemptFailed(self, error: Exception) -> None:
        """Tell those of it who wait for no further attempt."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.attempts -= 1
            if each.attempts <= 0:
                each.tell(error)
            elif not each.connected.done():
                # Whoever has given up waiting is not kept: others like that may come, for ever.
                self._waiting.append(each)

    def tell(self, error: Exception | None = None) -> None:
        """Tell them all that there is a connection, or that there will be none."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.tell(error)
