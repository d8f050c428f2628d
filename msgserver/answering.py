"""
Running requests on the user's handler, and bringing home the answers that come later.

It stands beside the hot path, not in it: what the handler answers at once with bytes never
comes here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from inspect import isawaitable, iscoroutine, isgenerator
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
            given = run(result.send, None)
        except StopIteration as end:
            return end.value
        return _Task(result, run, given)

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


_LATER = object()
"""The outcome of what is not known yet."""


async def _wait(result: Awaitable[Any]) -> Any:
    return await result


class _Task:
    """
    A coroutine of a handler, while it waits.

    It does what C{Deferred.fromCoroutine} does, less what nobody here asks for: it is not
    cancelled, and its result goes nowhere but into its answer.

    @param run: runs a function in the coroutine's context, whose variables are its own.
    @param given: what the coroutine has given, to be waited for.
    """

    __slots__ = ("_answering", "_coroutine", "_given", "_run", "_running")

    _answering: Answering
    _running: Running

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], run: Callable[..., Any], given: object
    ) -> None:
        self._coroutine = coroutine
        self._run = run
        self._given: object = given

    def answerTo(self, answering: Answering, running: Running) -> None:
        """Go on, to the end, and answer."""
        self._answering = answering
        self._running = running
        given, self._given = self._given, None
        outcome = self._outcomeOf(given)
        if outcome is not _LATER:
            self._goOn(outcome)

    def _goOn(self, outcome: Any) -> None:
        """Give the coroutine what came of what it has waited for, until it waits again."""
        while True:
            try:
                if isinstance(outcome, Failure):
                    given = self._run(outcome.throwExceptionIntoGenerator, self._coroutine)
                else:
                    given = self._run(self._coroutine.send, outcome)
            except StopIteration as end:
                result = end.value
                break
            except BaseException:
                self._answering._fail(Failure(), self._running)
                return
            outcome = self._outcomeOf(given)
            if outcome is _LATER:
                return
        self._answering._answer(result, self._running)

    def _outcomeOf(self, given: Any) -> Any:
        """
        Tell what came of what the coroutine has given, if that is known.

        @return: C{_LATER} where it is not; then the coroutine goes on when it is.
        """
        if not isinstance(given, Deferred):
            if not iscoroutine(given) and not isgenerator(given):
                return given  # As inlineCallbacks does.
            given = Deferred.fromCoroutine(given)  # type: ignore[arg-type]  # of Deferreds, or fails
        if not given.called:
            given.addCallbacks(self._goOn, self._goOn)
            return _LATER
        # Not by recursion, as there may be thousands. It may have to wait for another, though.
        known: list[Any] = []
        isNow = True

        def outcomeKnown(outcome: Any) -> None:
            if isNow:
                known.append(outcome)
            else:
                self._goOn(outcome)

        given.addBoth(outcomeKnown)
        isNow = False
        return known[0] if known else _LATER
