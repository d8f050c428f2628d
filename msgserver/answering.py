"""
Running requests on the user's handler, and bringing home the answers that come later.

It stands beside the hot path, not in it: what the handler answers at once with bytes never
comes here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from inspect import isawaitable
from types import CoroutineType
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver.errors import RequestFailed
from msgserver.interfaces import IMsgHandler, User
from msgserver.sessions import Connection, Login, Running
from msgserver.wire.framing import MAX_RESPONSE


class Answering:
    """
    What all logins of a gate run their requests on: a L{msgserver.sessions.Application}.

    @param forgotten: ends a login that was asked for what it no longer knows (S7).
    """

    log = Logger()

    def __init__(
        self, handler: IMsgHandler, clock: IReactorTime, forgotten: Callable[[Login], object]
    ) -> None:
        self.requestReceived = handler.requestReceived
        self._forgotten = forgotten
        self._clock = clock
        self._toFlush: dict[Connection, None] = {}
        self._flushing: IDelayedCall | None = None
        self._running = 0
        self._onQuiet: Deferred[None] | None = None

    @property
    def running(self) -> int:
        """How many requests the handler is at."""
        return self._running

    def forgotten(self, login: Login) -> None:
        """End the login: it was asked for what it no longer knows (S7)."""
        self._forgotten(login)

    def quiet(self) -> Deferred[None]:
        """Fire when the handler is at no request any more; to be asked once."""
        if not self._running:
            return succeed(None)
        self._onQuiet = Deferred()
        return self._onQuiet

    def requestFailed(self, user: User, error: BaseException) -> bytes:
        """Give the content of the flag-0 response to a request that raised (S4)."""
        return self._failed(user, Failure(error, type(error), error.__traceback__))

    def begin(self, result: Any) -> Any:
        """
        Run a coroutine up to where it waits for the first time.

        @return: what it has returned, where it never waits; otherwise, and where C{result} is
            no coroutine, something for L{answerLater}.
        """
        if result.__class__ is not CoroutineType:
            if isinstance(result, Deferred) or not isawaitable(result):
                return result
            result = _wait(result)
        run = copy_context().run
        try:
            awaited = run(result.send, None)
        except StopIteration as end:
            return end.value
        return _Task(result, run, awaited)

    def answerLater(self, running: Running, result: Any) -> None:
        """Answer when C{result} is known; at once where it never will be an answer (S4)."""
        self._running += 1
        if result.__class__ is _Task:
            result.answerTo(self, running)
        elif isinstance(result, Deferred):
            result.addCallbacks(self._answer, self._fail, (running,), errbackArgs=(running,))
        else:
            self._answer(result, running)

    def flushLater(self, connection: Connection) -> None:
        """Have connections flushed together, once a turn of the reactor."""
        self._toFlush[connection] = None
        if self._flushing is None:
            self._flushing = self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        connections, self._toFlush = self._toFlush, {}
        for connection in connections:
            try:
                if connection.login.isEnded:
                    connection.transport.finish()
                else:
                    connection.transport.flush()
            except Exception:
                # Nobody else's answers are to suffer for it.
                self.log.failure("a connection of {user} failed", user=connection.login.user)

    def _answer(self, content: object, running: Running) -> None:
        if isinstance(content, bytes) and len(content) <= MAX_RESPONSE:
            running.answer(content)
        else:
            self._reject(running.user, content)
            running.fail(b"")
        self._finished()

    def _fail(self, failure: Failure, running: Running) -> None:
        running.fail(self._failed(running.user, failure))
        self._finished()

    def _finished(self) -> None:
        self._running -= 1
        if not self._running and self._onQuiet is not None:
            self._onQuiet.callback(None)
            self._onQuiet = None

    def _failed(self, user: User, failure: Failure) -> bytes:
        error = failure.value
        if not isinstance(error, RequestFailed):
            self.log.failure("a request of {user} failed", failure, user=user)
            return b""
        content = error.content
        if isinstance(content, bytes) and len(content) <= MAX_RESPONSE:
            return content
        self._reject(user, content)
        return b""

    def _reject(self, user: User, content: object) -> None:
        what = f"{len(content)} bytes" if isinstance(content, bytes) else repr(type(content))
        self.log.error(
            "the handler answered a request of {user} with {what}; it takes up to {most} bytes",
            user=user,
            what=what,
            most=MAX_RESPONSE,
        )


async def _wait(result: Awaitable[Any]) -> Any:
    return await result


class _Task:
    """
    A coroutine of a handler, while it waits.

    It is what C{Deferred.fromCoroutine} is, less what nobody here asks for: it is not
    cancelled, and its result goes nowhere but into its answer.

    @param run: runs a function in the coroutine's context, whose variables are its own.
    @param awaited: what it has given: a Deferred, or what is not to be waited for.
    """

    __slots__ = ("_answering", "_awaited", "_coroutine", "_run", "_running")

    _answering: Answering
    _running: Running

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], run: Callable[..., Any], awaited: Any
    ) -> None:
        self._coroutine = coroutine
        self._run = run
        self._awaited = awaited

    def answerTo(self, answering: Answering, running: Running) -> None:
        """Go on, to the end, and answer."""
        self._answering = answering
        self._running = running
        awaited, self._awaited = self._awaited, None
        if isinstance(awaited, Deferred):
            awaited.addCallbacks(self._goOn, self._goOn)
        else:
            self._goOn(awaited)

    def _goOn(self, result: Any) -> None:
        while True:
            try:
                if isinstance(result, Failure):
                    result = self._run(result.throwExceptionIntoGenerator, self._coroutine)
                else:
                    result = self._run(self._coroutine.send, result)
            except StopIteration as end:
                result = end.value
                break
            except BaseException:
                self._answering._fail(Failure(), self._running)
                return
            # Anything else is given back, as inlineCallbacks does.
            if isinstance(result, Deferred):
                result.addCallbacks(self._goOn, self._goOn)
                return
        self._answering._answer(result, self._running)
