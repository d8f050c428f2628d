"""
Worker processes in memory: the real ends of the line, on pipes that a test moves.
"""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet.error import ConnectionDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from msgserver.handlers import AgentHandler
from msgserver.handlers.worker import AgentHost
from msgserver.handlers.workerprotocol import FROM_WORKER, TO_WORKER
from msgserver.interfaces import User
from msgserver.msgprotocol import MsgFactory
from msgserver.msgservice import MsgService
from tests.agents import TABLES, AgentCase
from tests.gates import Client


class Process:
    """
    A worker process, as its gate has it, and the worker in it.

    @ivar signals: those that it has got.
    @ivar isEnding: it has been told that there is nothing more to do.
    @ivar isStuck: it does not do as it is told.
    """

    def __init__(self, pid: int, pipes: Any, reactor: Reactor) -> None:
        self.pid = pid
        self.signals: list[str] = []
        self.isEnding = False
        self.isStuck = False
        self.isAlive = True
        self.host = AgentHost(reactor, self.exit)
        self._pipes = pipes
        self._reactor = reactor
        self._toWorker: list[bytes] = []
        self._fromWorker: list[bytes] = []
        self.host.makeConnection(self)

    # As the gate has it: IProcessTransport.

    def writeToChild(self, childFD: int, data: bytes) -> None:
        """Have the worker asked; as with a real one, not when its pipe is closed."""
        assert childFD == TO_WORKER
        if not self.isAlive:
            raise KeyError(childFD)
        self._toWorker.append(data)

    def closeChildFD(self, childFD: int) -> None:
        """Have the worker told that there is nothing more to do."""
        assert childFD == TO_WORKER
        self.isEnding = True

    def signalProcess(self, signalID: str) -> None:
        """Send a signal."""
        if not self.isAlive:
            raise ProcessExitedAlready()
        self.signals.append(signalID)
        self.die()

    # As the worker has it: its transport.

    def write(self, data: bytes) -> None:
        """Have the gate told."""
        self._fromWorker.append(data)

    def pump(self) -> bool:
        """Move what was written; say whether there was any."""
        toWorker, self._toWorker = self._toWorker, []
        fromWorker, self._fromWorker = self._fromWorker, []
        if self.isStuck:
            # What is there for it to read is still there when it reads on.
            self._toWorker, toWorker = toWorker + self._toWorker, []
        elif self.isAlive:
            for data in toWorker:
                self.host.dataReceived(data)
            if self.isEnding:
                self.isEnding = False
                self.host.connectionLost(Failure(ConnectionDone()))
        for data in fromWorker:
            self._pipes.childDataReceived(FROM_WORKER, data)
            # It may come in pieces.
            self._reactor.advance(0)
        return bool(toWorker or fromWorker)

    def say(self, data: bytes, descriptor: int = 1) -> None:
        """Have the worker print something."""
        self._pipes.childDataReceived(descriptor, data)

    def close(self) -> None:
        """Close the line, and live on."""
        self._pipes.childConnectionLost(FROM_WORKER)

    def exit(self) -> None:
        """End as it is meant to."""
        self._end(ProcessTerminated(0))

    def die(self, signal: int = 9) -> None:
        """End by a signal."""
        self._end(ProcessTerminated(None, signal))

    def _end(self, reason: ProcessTerminated) -> None:
        self.isAlive = False
        self._pipes.childConnectionLost(FROM_WORKER)
        self._pipes.processExited(Failure(reason))
        self._pipes.processEnded(Failure(reason))


class Reactor(MemoryReactorClock):
    """
    A reactor that starts workers.

    @ivar processes: all so far.
    @ivar started: how each was started.
    @ivar refusal: what starting one raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Process] = []
        self.started: list[dict[str, Any]] = []
        self.refusal: OSError | None = None

    def spawnProcess(self, pipes: Any, executable: str, args: list[str], **how: Any) -> Process:
        """See L{IReactorProcess.spawnProcess}."""
        if self.refusal is not None:
            raise self.refusal
        held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.started.append({"executable": executable, "args": args, "held": held, **how})
        process = Process(1001 + len(self.processes), pipes, self)
        self.processes.append(process)
        pipes.makeConnection(process)
        return process

    def settle(self) -> None:
        """Move all that there is to be moved, and let turns end."""
        while any([process.pump() for process in self.processes]):
            self.advance(0)


class WorkersCase(AgentCase):
    """A gate whose agents live in two workers."""

    processes = 2
    saveTimeout = 2.5
    hangTimeout = 60.0
    factoryName = "tests.agents:makePlayer"

    def setUp(self) -> None:
        super().setUp()
        TABLES.append(self.table)
        self.addCleanup(TABLES.clear)
        self.reactor = Reactor()
        self.clock = self.reactor
        self.agents = AgentHandler(
            self.factoryName,
            pool=self.pool,
            ordered=self.ordered,
            saveTimeout=self.saveTimeout,
            hangTimeout=self.hangTimeout,
            processes=self.processes,
            clock=self.reactor,
        )
        self.service = MsgService(self.agents, b"sample", self.reactor, self.directory)
        self.factory = MsgFactory(self.service, self.reactor, self.gateLimits)

    def start(self) -> None:
        """Have the gate open, and its workers ready."""
        self.service.startService()
        self.reactor.settle()

    def loggedIn(self, uid: bytes = b"alice") -> User:
        """Have a user logged in."""
        promised = self.loginOf(uid)
        self.reactor.settle()
        return User(uid, self.successResultOf(promised), b"sample")


# Who is in which of two workers.
IN_FIRST, IN_SECOND = b"bob", b"alice"


class RunningCase(WorkersCase):
    """Two workers that run, and a user in the second."""

    def setUp(self) -> None:
        super().setUp()
        self.start()
        self.user = self.loggedIn(IN_SECOND)
        self.client = self.connect(self.user)

    @property
    def process(self) -> Process:
        """The second worker's process."""
        return self.reactor.processes[1]

    def heard(self, client: Client | None = None) -> list[bytes]:
        """Give what the user's client has heard once all is done."""
        self.reactor.settle()
        self.reactor.advance(0)
        return (client or self.client).heard()
