"""
A worker process as its gate has it: the line to it, what it logs, and its end.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from twisted.internet.error import ConnectionDone, ProcessExitedAlready
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver.handlers.workerprotocol import FROM_WORKER, HELD_SIGNALS, TO_WORKER, Line
from msgserver.relaying import Relay, endOf

_MODULE = "msgserver.handlers.worker"


class WorkerPipes(Relay):
    """
    The pipes of one worker process.

    @param name: what its lines in the log begin with.
    @param line: the gate's end of the line to it.
    @param clock: the reactor.
    @param lost: called once, when it cannot be asked any more; it may be alive.
    @param ended: called once, after C{lost}, with how it has ended.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        line: Line,
        clock: Any,
        lost: Callable[[], object],
        ended: Callable[[str], object],
    ) -> None:
        super().__init__(name, clock)
        self._line = line
        self._onLost = lost
        self._onEnded = ended
        self._isLost = False

    def spawn(self, folder: str) -> None:
        """
        Start the process.

        @param folder: where it is to run.
        @raise OSError: it cannot be started.
        """
        with open(os.devnull, "rb") as nothing, _held(HELD_SIGNALS):
            self._clock.spawnProcess(
                self,
                sys.executable,
                [sys.executable, "-m", _MODULE],
                env=dict(os.environ),
                path=folder,
                childFDs={0: nothing.fileno(), 1: "r", 2: "r", TO_WORKER: "w", FROM_WORKER: "r"},
            )

    def connectionMade(self) -> None:
        """Have something to talk over."""
        self._line.makeConnection(_Pen(self))

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Take answers, or log whole lines."""
        if childFD != FROM_WORKER:
            super().childDataReceived(childFD, data)
        elif not self._isLost:
            self._line.dataReceived(data)

    def childConnectionLost(self, childFD: int) -> None:
        """Take note that a worker that is not heard any more is of no use."""
        if childFD == FROM_WORKER:
            self._lose()

    def finished(self, reason: Failure) -> None:
        """Take note that it has ended."""
        self._lose()
        self._onEnded(endOf(reason))

    def kill(self) -> None:
        """End it at once, if it is alive."""
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass

    def close(self) -> None:
        """Tell it that there is nothing more to do: it ends by itself."""
        self.transport.closeChildFD(TO_WORKER)

    def _lose(self) -> None:
        if not self._isLost:
            self._isLost = True
            self._line.connectionLost(Failure(ConnectionDone()))
            self._onLost()


class _Pen:
    """What AMP needs of a transport, on one pipe to a process."""

    def __init__(self, pipes: WorkerPipes) -> None:
        self._pipes = pipes

    def write(self, data: bytes) -> None:
        """Write, unless that pipe is closed."""
        try:
            self._pipes.transport.writeToChild(TO_WORKER, data)
        except KeyError:
            pass  # It has just died; that is about to be told.

    def writeSequence(self, data: Sequence[bytes]) -> None:
        """Write the pieces."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """End a worker that does not speak AMP: no more can come of it."""
        self._pipes.kill()


@contextmanager
def _held(signals: Sequence[signal.Signals]) -> Iterator[None]:
    """
    Have signals wait, here and in a process that is started meanwhile: there until it says that
    it takes none. Ctrl-C, which tells all processes, would end it before it can.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
