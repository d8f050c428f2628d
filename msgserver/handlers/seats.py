"""
The place of one agent at a gate: whose turn it is, and what runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from inspect import isawaitable, iscoroutine
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred, succeed

from msgserver.errors import RequestFailed
from msgserver.interfaces import IAgent, User

_Turn: TypeAlias = tuple[bytes, Context, Deferred[Any]]
"""A request that waits: its content, the context it came in, and its answer."""


class Seat:
    """
    One agent, and the requests that it is at.

    @param isOrdered: its requests run one after another, in the order in which they came.
    @ivar running: how many requests the agent is at.
    @ivar isUnsaved: something may have changed since its last C{save}. It is not saved before the
        seat is closed, so only what is still running then can change it again.
    @ivar isAway: the user has lost the connection.
    @ivar isLate: somebody has been told that its C{save} takes too long.
    @ivar saving: fires when the last C{save} that was asked for is over; never fails. None
        before the first.
    """

    __slots__ = (
        "_isClosed",
        "_isGoing",
        "_isOrdered",
        "_onQuiet",
        "_request",
        "_waiting",
        "agent",
        "isAway",
        "isLate",
        "isUnsaved",
        "running",
        "saving",
        "user",
    )

    def __init__(self, user: User, agent: IAgent, isOrdered: bool) -> None:
        self.user = user
        self.agent = agent
        self.running = 0
        self.isUnsaved = True
        self.isAway = False
        self.isLate = False
        self.saving: Deferred[None] | None = None
        self._request: Callable[[bytes], Any] = agent.request
        self._isOrdered = isOrdered
        self._isClosed = False
        self._isGoing = False
        self._waiting: deque[_Turn] = deque()
        self._onQuiet: Deferred[None] | None = None

    def ask(self, content: bytes) -> Any:
        """
        Have a request answered: at once, where the agent does and it is its turn.

        @return: the answer, or a Deferred of it.
        @raise RequestFailed: the seat is closed.
        """
        if self._isClosed:
            raise RequestFailed
        if self.running and self._isOrdered:
            answer: Deferred[Any] = Deferred()
            self._waiting.append((content, copy_context(), answer))
            return answer
        self.running += 1
        try:
            result = self._request(content)
            if result.__class__ is not bytes:
                return self._later(result)
        except BaseException:
            self._ended()
            raise
        self._ended()
        return result

    def close(self) -> None:
        """Take no requests any more, and have none run that has not begun."""
        self._isClosed = True
        waiting, self._waiting = self._waiting, deque()
        for _, _, answer in waiting:
            answer.errback(RequestFailed())

    def quiet(self) -> Deferred[None]:
        """Fire when the agent is at no request; never fails."""
        if not self.running:
            return succeed(None)
        if self._onQuiet is None:
            self._onQuiet = Deferred()
        return self._onQuiet

    def _later(self, result: Any) -> Any:
        answer: Deferred[Any] = Deferred()
        _promised(result).addBoth(self._answered, answer)
        return answer

    def _answered(self, result: Any, answer: Deferred[Any]) -> None:
        self.isUnsaved = True  # A save may have begun, and ended, meanwhile.
        answer.callback(result)  # A Failure makes it fail.
        self._ended()

    def _ended(self) -> None:
        # Not before its answer is on its way: those behind it come after it.
        self.running -= 1
        if self.running or self._isGoing:
            return
        if self._waiting:
            self._goOn()
        if self._onQuiet is not None and not self.running:
            onQuiet, self._onQuiet = self._onQuiet, None
            onQuiet.callback(None)

    def _goOn(self) -> None:
        # In a loop: each may answer at once, and there may be many.
        self._isGoing = True
        try:
            while self._waiting and not self.running:
                content, context, answer = self._waiting.popleft()
                self.running += 1
                promised = context.run(_asked, self._request, content)
                promised.addBoth(self._answered, answer)
        finally:
            self._isGoing = False


def _asked(request: Callable[[bytes], Any], content: bytes) -> Deferred[Any]:
    try:
        return _promised(request(content))
    except BaseException:
        failed: Deferred[Any] = Deferred()
        failed.errback()
        return failed


def _promised(result: Any) -> Deferred[Any]:
    if isinstance(result, Deferred):
        return result
    if iscoroutine(result):
        return Deferred.fromCoroutine(result)
    if isawaitable(result):
        return Deferred.fromCoroutine(_wait(result))
    return succeed(result)


async def _wait(result: Awaitable[Any]) -> Any:
    return await result
