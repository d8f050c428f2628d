"""
Agents in worker processes, as the gate sees them.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

from attrs import asdict, field, frozen
from twisted.internet.defer import Deferred, DeferredList, TimeoutError, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver.errors import Forbidden
from msgserver.handlers.remoteagents import RemoteAgent
from msgserver.handlers.watching import Watch
from msgserver.handlers.workerpipes import WorkerPipes
from msgserver.handlers.workerprotocol import (
    Begin,
    Count,
    Line,
    Logout,
    WorkerError,
    ask,
)
from msgserver.interfaces import IAgent, IMsgGate, User
from msgserver.later import within

LOGIN_WAIT = 3.0
"""Seconds that a login waits for a worker that is being started, before it is refused."""

FIRST_WAIT = 0.5
"""Seconds until a worker that has died is started anew; twice as long each time that it dies."""

LONGEST_WAIT = 10.0
"""And at most."""

STEADY = 5.0
"""Seconds after which a worker that lives is well: its next death counts as the first."""

STOP_WAIT = 2.0
"""Seconds that a worker may take to end, beyond C{saveTimeout}, before it is killed."""


@frozen
class Beginning:
    """
    What each worker is begun with.

    @ivar options: the keyword arguments of the agents' factory; perhaps secret.
    @ivar pool: how many agents it makes in advance.
    @ivar saveTimeout: seconds that it waits for its agents to be saved when the gate has died.
    """

    agentFactory: str
    options: Mapping[str, Any] = field(repr=False)
    pool: int
    saveTimeout: float


class Workers:
    """
    Worker processes, and the agents in them. Each user's agents are in one of them, always.

    @param processes: how many; 1 or more.
    @param reactor: starts processes, and is the clock.
    @param count: counts an event.
    @param hangTimeout: seconds that one may give no sign of life before it is killed; 0: for ever.
    @raise ValueError: the options cannot be sent to another process.
    """

    def __init__(
        self,
        beginning: Beginning,
        processes: int,
        reactor: Any,
        count: Callable[[str], None],
        hangTimeout: float,
    ) -> None:
        try:
            pickle.dumps(beginning.options)
        except Exception as error:
            raise ValueError(f"options: cannot be sent to a worker process: {error}") from None
        self.beginning = beginning
        self.reactor = reactor
        self.count = count
        self.hangTimeout = hangTimeout
        # Where the config was read, and its handlers found: twistd may go elsewhere.
        self.folder = os.getcwd()
        self._workers = [Worker(f"worker {number + 1}", self) for number in range(processes)]
        self.gate: IMsgGate

    def start(self, gate: IMsgGate) -> None:
        """Start the processes."""
        self.gate = gate
        for worker in self._workers:
            worker.start()

    def take(self, user: User, gate: IMsgGate) -> IAgent:
        """Give a user an agent; it is made in its worker when it loads."""
        return RemoteAgent(self._workers[pinned(user.uid, len(self._workers))], user, gate)

    def forget(self, agent: IAgent) -> None:
        """Have an agent forgotten in its worker."""
        assert isinstance(agent, RemoteAgent)
        agent.forget()

    def stop(self) -> Deferred[Any]:
        """
        End the processes.

        @return: fires when all have ended; never fails.
        """
        return DeferredList([worker.stop() for worker in self._workers])


def pinned(uid: bytes, processes: int) -> int:
    """Tell which of so many workers a user's agents are in: in every run the same, from 0."""
    return int.from_bytes(blake2b(uid, digest_size=8).digest(), "big") % processes


class Worker:
    """
    One worker, through all the processes that it is in turn.

    @ivar agents: those that live in its process.
    """

    log = Logger()

    def __init__(self, name: str, workers: Workers) -> None:
        self.name = name
        self.agents: set[RemoteAgent] = set()
        self._workers = workers
        self._reactor = workers.reactor
        self._line: Line | None = None
        self._pipes: WorkerPipes | None = None
        self._watch: Watch | None = None
        self._waiting: list[Deferred[Line]] = []
        self._deaths = 0
        self._startedAt = 0.0
        self._restarting: IDelayedCall | None = None
        self._onEnded: Deferred[None] | None = None
        self._isStopping = False

    def start(self) -> None:
        """Start a process."""
        self._restarting = None
        self._startedAt = self._reactor.seconds()
        line = _GateLine(self._workers)
        pipes = WorkerPipes(self.name, line, self._reactor, self._lost, self._ended)
        try:
            pipes.spawn(self._workers.folder)
        except OSError as error:
            self._ended(f"it could not be started: {error}")
            return
        self._pipes = pipes
        settings = {
            **asdict(self._workers.beginning, recurse=False),
            "servername": self._workers.gate.servername,
            "path": sys.path,
        }
        begun = ask(line, Begin, settings=pickle.dumps(settings))
        begun.addCallbacks(self._begun, self._notBegun, (line,), errbackArgs=(pipes,))
        self._watch = Watch(line, self._reactor, self._workers.hangTimeout, self._hung)
        self._watch.start()

    def stop(self) -> Deferred[None]:
        """
        End the process, in good order if it can.

        @return: fires when it has ended; never fails.
        """
        self._isStopping = True
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(Forbidden(f"{self.name} is stopping"))
        if self._restarting is not None:
            self._restarting.cancel()
        if self._watch is not None:
            self._watch.stop()
        if self._pipes is None:
            return succeed(None)
        self._onEnded = Deferred()
        self._pipes.close()
        seconds = self._workers.beginning.saveTimeout + STOP_WAIT
        return within(self._reactor, seconds, self._onEnded).addCallback(self._stopped)

    async def ready(self) -> Line:
        """
        Wait for the process to be ready, for up to L{LOGIN_WAIT}.

        @raise Forbidden: it is not.
        """
        if self._line is not None and not self._line.isLost:
            return self._line
        if not self._isStopping:
            waiting: Deferred[Line] = Deferred()
            self._waiting.append(waiting)
            try:
                return await waiting.addTimeout(LOGIN_WAIT, self._reactor)
            except TimeoutError:
                pass
            finally:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)
        raise Forbidden(f"{self.name} is not running")

    def _begun(self, _: bytes, line: Line) -> None:
        assert self._pipes is not None
        self._line = line
        self._workers.count("workers_started")
        self.log.info(
            "{worker} is process {pid}",
            event="worker_up",
            worker=self.name,
            pid=self._pipes.transport.pid,
        )
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(line)

    def _notBegun(self, failure: Failure, pipes: WorkerPipes) -> None:
        if failure.check(WorkerError):
            self.log.error("{worker} cannot begin: {why}", worker=self.name, why=failure.value)
            pipes.kill()

    def _hung(self) -> None:
        self.log.error(
            "{worker} has given no sign of life for {seconds:g} s: it is killed",
            event="worker_hangs",
            worker=self.name,
            seconds=self._workers.hangTimeout,
        )
        if self._pipes is not None:
            self._pipes.kill()

    def _lost(self) -> None:
        """The agents are gone, and their users with them: whoever logs in again loads anew."""
        self._line = None
        agents, self.agents = self.agents, set()
        if self._watch is not None:
            self._watch.stop()
        if self._isStopping:
            return
        if self._pipes is not None:
            self._pipes.kill()
        self._workers.count("workers_died")
        self.log.error(
            "{worker} has died, and with it {agents} agents: their users are logged out",
            event="worker_died",
            worker=self.name,
            agents=len(agents),
        )
        for agent in agents:
            agent.line = None
            self._workers.gate.logout(agent.user)

    def _ended(self, how: str) -> None:
        self._pipes = None
        if self._isStopping:
            if self._onEnded is not None and not self._onEnded.called:
                self._onEnded.callback(None)
            return
        if self._reactor.seconds() - self._startedAt >= STEADY:
            self._deaths = 0
        seconds = min(FIRST_WAIT * 2**self._deaths, LONGEST_WAIT)
        self._deaths = min(self._deaths + 1, 16)
        self.log.warn(
            "{worker} has ended: {how}; it is started anew in {seconds:g} s",
            worker=self.name,
            how=how,
            seconds=seconds,
        )
        self._restarting = self._reactor.callLater(seconds, self.start)

    def _stopped(self, isInTime: bool) -> Any:
        if isInTime or self._pipes is None or self._onEnded is None:
            return None
        self.log.warn("{worker} does not end: it is killed", worker=self.name)
        self._pipes.kill()
        return within(self._reactor, STOP_WAIT, self._onEnded)


class _GateLine(Line):
    """The gate's end of the line to a worker."""

    def __init__(self, workers: Workers) -> None:
        super().__init__()
        self._workers = workers

    @Logout.responder
    def logout(self, username: bytes) -> dict[str, object]:
        """End a login."""
        gate = self._workers.gate
        gate.logout(gate.userid(username))
        return {}

    @Count.responder
    def count(self, event: bytes) -> dict[str, object]:
        """Count an event."""
        self._workers.count(event.decode())
        return {}
