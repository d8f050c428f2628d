"""
A worker process: C{python -m msgserver.handlers.worker}, which an
L{msgserver.handlers.AgentHandler} starts. Agents live in it.

It ends when its line to the gate does, and by no other signal than SIGKILL: SIGTERM and SIGINT,
which systemd and a terminal send to all processes of a service or a command, are the gate's to
obey. Where the gate has died it saves its agents first.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import (
    FilteringLogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
)
from twisted.python.failure import Failure

from msgserver.current import CURRENT, Serving
from msgserver.handlers.pool import Pool, agentMaker
from msgserver.handlers.saving import Saving
from msgserver.handlers.seats import Seat
from msgserver.handlers.workergate import WorkerGate
from msgserver.handlers.workerprotocol import (
    FROM_WORKER,
    HELD_SIGNALS,
    TO_WORKER,
    Begin,
    Count,
    Forget,
    Line,
    Load,
    Logout,
    Ping,
    Request,
    Tell,
    WorkerError,
    responseOf,
)
from msgserver.interfaces import IAgent, User
from msgserver.jsonlog import jsonLogObserver
from msgserver.later import asked
from msgserver.wire.naming import parseUsername

_Response = dict[str, bytes]


class AgentHost(Line):
    """
    The worker's end of its line to the gate, and the agents that live here.

    @param ended: called when the line has ended and the agents are saved.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, ended: Callable[[], object]) -> None:
        super().__init__()
        self._clock = clock
        self._onEnded = ended
        # Those that have loaded, by username: what else there is would undo, if it were saved,
        # what was saved before.
        self._seats: dict[bytes, Seat] = {}
        self._loading: set[bytes] = set()
        self._saving: Saving
        self._pool: Pool
        self._gate: WorkerGate

    # What the gate asks

    @Begin.responder
    def begin(self, settings: bytes) -> _Response:
        """See L{Begin}."""
        try:
            told = pickle.loads(settings)
            sys.path[:] = told["path"]
            make = agentMaker(told["agentFactory"], told["options"])
        except ValueError as error:
            return responseOf(Failure(WorkerError(str(error))))
        except Exception:
            return responseOf(Failure())
        self._gate = WorkerGate(told["servername"], self.logout)
        self._saving = Saving(self._clock, told["saveTimeout"], _uncounted, self._forgetSeat)
        self._pool = Pool(make, told["pool"], self._clock, self._count)
        self._pool.start(self._gate)
        return responseOf(None)

    @Load.responder
    def load(self, username: bytes) -> Any:
        """See L{Load}."""
        try:
            user = parseUsername(username)
            agent = self._pool.take(user, self._gate)
        except Exception:
            return responseOf(Failure())
        self._loading.add(username)
        return asked(agent.load).addBoth(self._loaded, user, agent).addBoth(self._toldBy)

    @Request.responder
    def request(self, username: bytes, session: bytes, content: bytes) -> Any:
        """See L{Request}."""
        seat = self._seats.get(username)
        if seat is None:
            return self._nobody(username)
        serving = Serving()
        serving.user = seat.user
        serving.session = session or None
        context = copy_context()
        context.run(CURRENT.set, serving)
        return context.run(asked, seat.ask, content).addBoth(self._answered, serving)

    @Tell.responder
    def tell(self, username: bytes, method: bytes) -> Any:
        """See L{Tell}."""
        seat = self._seats.get(username)
        if seat is None:
            return self._nobody(username)
        told = asked(getattr(seat.agent, method.decode()))
        seat.isUnsaved = method != b"save"
        if not seat.isUnsaved:
            seat.saving = Deferred()
            told.addBoth(self._saved, seat, seat.saving)
        return told.addBoth(self._toldBy)

    @Ping.responder
    def ping(self) -> _Response:
        """See L{Ping}."""
        return responseOf(None)

    @Forget.responder
    def forget(self, username: bytes) -> dict[str, object]:
        """See L{Forget}."""
        self._loading.discard(username)
        self._seats.pop(username, None)
        return {}

    # What the gate is told

    def logout(self, user: User) -> Deferred[None]:
        """Have a login ended, behind the answers that are ready in this turn of the reactor."""

        username = user.username

        def tell() -> None:
            if not self.isLost:
                self.call(Logout, username=username)
            told.callback(None)

        told: Deferred[None] = Deferred()
        self._clock.callLater(0, tell)
        return told

    def _count(self, event: str) -> None:
        self.call(Count, event=event.encode())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The gate has ended, or died: keep what is left, then end."""
        Line.connectionLost(self, reason)
        if not self._seats:
            self._onEnded()
            return
        for seat in tuple(self._seats.values()):
            self._saving.leave(seat)
        self._saving.allLeft().addCallback(lambda _: self._onEnded())

    def _loaded(self, result: object, user: User, agent: IAgent) -> object:
        # Otherwise it has been forgotten meanwhile.
        if user.username in self._loading:
            self._loading.discard(user.username)
            if not isinstance(result, Failure):
                # Side by side: their order is the gate's affair.
                self._seats[user.username] = Seat(user, agent, isOrdered=False)
        return result

    def _saved(self, result: object, seat: Seat, saving: Deferred[None]) -> object:
        if isinstance(result, Failure):
            seat.isUnsaved = True
        saving.callback(None)
        return result

    def _forgetSeat(self, seat: Seat) -> None:
        self._seats.pop(seat.user.username, None)

    def _answered(self, result: object, serving: Serving) -> _Response:
        serving.session = None
        if result is None:
            result = Failure(WorkerError("the agent answered with None, which is no bytes"))
        return responseOf(result)

    def _toldBy(self, result: object) -> _Response:
        # What else these give is nobody's.
        return responseOf(result if isinstance(result, Failure) else None)

    def _nobody(self, username: bytes) -> _Response:
        return responseOf(Failure(WorkerError(f"there is no agent of {username!r} here")))


def _uncounted(event: str) -> None:
    """Count nothing: the gate, which does, is gone."""


def main() -> None:
    """
    Be a worker.

    @raise SystemExit: there is no gate at the other end of its descriptors.
    """
    for descriptor in (TO_WORKER, FROM_WORKER):
        try:
            # What agents start is not to hold the line.
            os.set_inheritable(descriptor, False)
        except OSError:
            raise SystemExit(
                "this is started by msgserver.handlers.AgentHandler, not by hand: see processes"
            ) from None
    _ignoreSignals()
    isInteresting = LogLevelFilterPredicate(LogLevel.info)
    log = FilteringLogObserver(jsonLogObserver(sys.stdout), [isInteresting])
    globalLogBeginner.beginLoggingTo([log])
    _run()


def _run() -> None:
    from twisted.internet import reactor, stdio

    running: Any = reactor
    connect: Any = stdio.StandardIO

    def ended() -> None:
        # Nobody reads what is written from now on.
        nothing = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(nothing, descriptor)
        running.stop()

    connect(AgentHost(running, ended), TO_WORKER, FROM_WORKER, running)
    # Again, as the reactor sets its own when it starts: SIGCHLD is for what agents start.
    running.callWhenRunning(_ignoreSignals)
    running.run()


def _ignoreSignals() -> None:
    for ignored in HELD_SIGNALS:
        signal.signal(ignored, signal.SIG_IGN)
    # What agents start has them.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)


if __name__ == "__main__":
    main()
