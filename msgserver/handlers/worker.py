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
from collections.abc import Callable, Iterable
from contextvars import copy_context
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, succeed
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
from zope.interface import implementer

from msgserver.current import CURRENT, Serving
from msgserver.errors import InvalidState
from msgserver.handlers.pool import Pool, agentMaker
from msgserver.handlers.workerprotocol import (
    FROM_WORKER,
    TO_WORKER,
    Begin,
    Count,
    Forget,
    Line,
    Load,
    Logout,
    Request,
    Tell,
    WorkerError,
    responseOf,
)
from msgserver.interfaces import IAgent, IMsgGate, User
from msgserver.jsonlog import jsonLogObserver
from msgserver.later import asked, within
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
        self._agents: dict[bytes, IAgent] = {}
        self._saveTimeout = 0.0
        self._pool: Pool
        self._gate: WorkerGate

    # What the gate asks

    @Begin.responder
    def begin(self, settings: bytes) -> _Response:
        """See L{Begin}."""
        try:
            told = pickle.loads(settings)
            sys.path[:] = told["path"]
            self._saveTimeout = told["saveTimeout"]
            make = agentMaker(told["agentFactory"], told["options"])
        except ValueError as error:
            return responseOf(Failure(WorkerError(str(error))))
        except Exception:
            return responseOf(Failure())
        self._gate = WorkerGate(told["servername"], self)
        self._pool = Pool(make, told["pool"], self._clock, self._count)
        self._pool.start(self._gate)
        return responseOf(None)

    @Load.responder
    def load(self, username: bytes) -> Any:
        """See L{Load}."""
        try:
            agent = self._pool.take(parseUsername(username), self._gate)
        except Exception:
            return responseOf(Failure())
        self._agents[username] = agent
        return asked(agent.load).addBoth(self._toldBy)

    @Request.responder
    def request(self, username: bytes, session: bytes, content: bytes) -> Any:
        """See L{Request}."""
        agent = self._agents.get(username)
        if agent is None:
            return self._nobody(username)
        serving = Serving()
        serving.user = agent.user
        serving.session = session or None
        context = copy_context()
        context.run(CURRENT.set, serving)
        return context.run(asked, agent.request, content).addBoth(self._answered, serving)

    @Tell.responder
    def tell(self, username: bytes, method: bytes) -> Any:
        """See L{Tell}."""
        agent = self._agents.get(username)
        if agent is None:
            return self._nobody(username)
        return asked(getattr(agent, method.decode())).addBoth(self._toldBy)

    @Forget.responder
    def forget(self, username: bytes) -> dict[str, object]:
        """See L{Forget}."""
        self._agents.pop(username, None)
        return {}

    # What the gate is told

    def logout(self, user: User) -> Deferred[None]:
        """Have a login ended, behind the answers that are ready in this turn of the reactor."""

        def tell() -> None:
            if not self.isLost:
                self.call(Logout, username=user.username)
            told.callback(None)

        told: Deferred[None] = Deferred()
        self._clock.callLater(0, tell)
        return told

    def _count(self, event: str) -> None:
        self.call(Count, event=event.encode())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The gate has ended, or died: keep what is left, then end."""
        Line.connectionLost(self, reason)
        self._saveAll().addBoth(lambda _: self._onEnded())

    def _saveAll(self) -> Deferred[Any]:
        if not self._agents:
            return succeed(None)
        saving = [
            asked(agent.save).addErrback(self._notSaved, agent) for agent in self._agents.values()
        ]
        return within(self._clock, self._saveTimeout, DeferredList(saving))

    def _notSaved(self, failure: Failure, agent: IAgent) -> None:
        # Whom it is told to is gone, most likely; but not what users have set up themselves.
        self.log.failure("the agent of {user} could not be saved", failure, user=agent.user)

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


@implementer(IMsgGate)
class WorkerGate:
    """
    The gate as agents in a worker see it: who is online it does not know, and it cannot admit.

    @param host: what it tells.
    """

    def __init__(self, servername: bytes, host: AgentHost) -> None:
        self.servername = servername
        self._host = host

    def userid(self, username: bytes) -> User:
        """See L{IMsgGate.userid}."""
        return parseUsername(username)

    def username(self, uid: bytes, subid: bytes, server: bytes) -> bytes:
        """See L{IMsgGate.username}."""
        return User(uid, subid, server).username

    def logout(self, user: User) -> Deferred[None]:
        """
        See L{IMsgGate.logout}.

        @return: fires when the gate has been told.
        """
        return self._host.logout(user)

    def login(self, user: User, secret: bytes) -> None:
        """
        Refuse.

        @raise InvalidState: always.
        """
        raise InvalidState("gate.login is not there in a worker process")

    def ip(self, user: User) -> str | None:
        """
        Refuse.

        @raise InvalidState: always.
        """
        raise InvalidState("gate.ip is not there in a worker process")

    def online(self) -> Iterable[User]:
        """
        Refuse.

        @raise InvalidState: always.
        """
        raise InvalidState("gate.online is not there in a worker process")


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
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)


if __name__ == "__main__":
    main()
