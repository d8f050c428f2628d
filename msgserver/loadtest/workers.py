"""
The processes of the tester, from the side of the one that started them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IReactorProcess
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from msgserver.commandparts import Complaint
from msgserver.loadtest.plan import Plan
from msgserver.loadtest.results import Results
from msgserver.loadtest.statuses import Status
from msgserver.loadtest.worker import GO, STOP

_MODULE = "msgserver.loadtest.worker"
_ERRORS = 4096

_T = TypeVar("_T")


class Worker(ProcessProtocol):
    """
    One process.

    @param progressed: called with what it tells of its progress.
    @ivar ready: fires when it has its plan.
    @ivar results: fires with its results; fails with L{Complaint} where it ends without.
    @ivar ended: fires when the process is no more.
    """

    def __init__(self, plan: Plan, progressed: Callable[[dict[str, Any]], None]) -> None:
        self._plan = plan
        self._progressed = progressed
        self._begun: list[bytes] = []
        self._errors = b""
        self.ready: Deferred[None] = Deferred()
        self.results: Deferred[Results] = Deferred()
        self.ended: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        """Tell it its plan."""
        self.tell(json.dumps(self._plan.encode()).encode())

    def tell(self, line: bytes) -> None:
        """Tell it something, unless it has ended."""
        if self.transport is not None and not self.ended.called:
            # It may be gone, and this not know it yet.
            with suppress(KeyError):
                self.transport.writeToChild(0, line + b"\n")

    def kill(self) -> None:
        """End it, if it has not ended by itself."""
        if self.transport is not None and not self.ended.called:
            with suppress(ProcessExitedAlready):
                self.transport.signalProcess("KILL")

    def outReceived(self, data: bytes) -> None:
        """Take what it says, line by line."""
        # Long lines come in many pieces, which are put together once.
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._heard(b"".join([*self._begun, line]))
            self._begun.clear()
        self._begun.append(rest)

    def errReceived(self, data: bytes) -> None:
        """Keep the end of what it complains of."""
        self._errors = (self._errors + data)[-_ERRORS:]

    def processEnded(self, reason: Failure) -> None:
        """Tell whoever waits."""
        self.ended.callback(None)
        last = self._errors.decode(errors="backslashreplace").strip().rpartition("\n")[2]
        why = last or str(reason.value)
        complaint = Complaint(Status.FAILED, f"a process of the tester has ended: {why}")
        for waiting in (self.ready, self.results):
            if not waiting.called:
                waiting.errback(complaint)

    def _heard(self, line: bytes) -> None:
        ((what, value),) = json.loads(line).items()
        if what == "ready":
            self.ready.callback(None)
        elif what == "progress":
            self._progressed(value)
        elif what == "results":
            self.results.callback(Results.decode(value))
        else:
            last = value.strip().rpartition("\n")[2]
            text = f"a process of the tester has failed, which is a bug of it: {last}"
            self.results.errback(Complaint(Status.FAILED, text))


@contextmanager
def _deaf() -> Iterator[None]:
    """
    Put Ctrl-C off. Who is started meanwhile never hears it: from its first moment on, and not only
    from when it can say so itself.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Workers:
    """
    All processes of a run.

    @param progressed: called with the number of a process and what it tells of its progress.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        reactor: IReactorProcess,
        progressed: Callable[[int, dict[str, Any]], None],
    ) -> None:
        self._workers = []
        command = [sys.executable, "-m", _MODULE]
        for number, plan in enumerate(plans):
            worker = Worker(plan, partial(progressed, number))
            with _deaf():
                reactor.spawnProcess(worker, sys.executable, command, env=dict(os.environ))
            self._workers.append(worker)

    async def run(self, begun: Callable[[], object] = bool) -> Results:
        """
        Have all of them begin at one time, and give what comes of it, all together.

        @param begun: called when they do.
        @raise Complaint: one has ended before its time.
        """
        results = gatherResults([worker.results for worker in self._workers], True)
        try:
            await _all(gatherResults([worker.ready for worker in self._workers], True))
            for worker in self._workers:
                worker.tell(GO)
            begun()
            first, *others = await _all(results)
        finally:
            results.addErrback(lambda _: None)
            await self._end()
        for other in others:
            first.add(other)
        return first

    def stop(self) -> None:
        """Have them end early; a second time, at once."""
        for worker in self._workers:
            worker.tell(STOP)

    async def _end(self) -> None:
        for worker in self._workers:
            worker.kill()
        await gatherResults([worker.ended for worker in self._workers])


async def _all(gathered: Deferred[list[_T]]) -> list[_T]:
    """Wait for all that is gathered, and raise what the first to fail fails with."""
    try:
        return await gathered
    except FirstError as error:
        # Which of them it was, nobody wants to know.
        error.subFailure.raiseException()
        raise
