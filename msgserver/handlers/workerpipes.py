"""
A worker process as its gate has it: the line to it, what it logs, and its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.error import ConnectionDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from msgserver.handlers.workerprotocol import FROM_WORKER, TO_WORKER, Line
from msgserver.jsonlog import RELAYED, readLine

_LAST_WORDS = 1.0
"""Seconds that a worker is listened to once it is dead."""

_LONGEST_LINE = 65536
"""Bytes of a line after which it is logged though it has no end yet, about."""

_STDERR = 2


class WorkerPipes(ProcessProtocol):
    """
    The pipes of one worker process.

    @param name: what its lines in the log begin with.
    @param line: the gate's end of the line to it.
    @param lost: called once, when it cannot be asked any more; it may be alive.
    @param ended: called once, after C{lost}, with how it has ended.
    """

    log = Logger()
    transport: Any

    def __init__(
        self,
        name: str,
        line: Line,
        clock: Any,
        lost: Callable[[], object],
        ended: Callable[[str], object],
    ) -> None:
        self._name = name
        self._line = line
        self._clock = clock
        self._onLost = lost
        self._onEnded = ended
        self._begun: dict[int, bytes] = {}
        self._isLost = False
        self._end: str | None = None
        self._ending: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Have something to talk over."""
        self._line.makeConnection(_Pen(self))

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Take answers, or log whole lines."""
        if childFD == FROM_WORKER:
            self._line.dataReceived(data)
            return
        *lines, begun = (self._begun.get(childFD, b"") + data).split(b"\n")
        if len(begun) > _LONGEST_LINE:
            lines.append(begun)
            begun = b""
        self._begun[childFD] = begun
        for line in lines:
            self._say(childFD, line)

    def childConnectionLost(self, childFD: int) -> None:
        """Take note that a worker that is not heard any more is of no use."""
        if childFD == FROM_WORKER:
            self._lose()

    def processExited(self, reason: Failure) -> None:
        """Wait for its last words, but not for those of what it has left behind."""
        error: Any = reason.value
        isSignal = error.signal is not None
        self._end = f"signal {error.signal}" if isSignal else f"exit status {error.exitCode}"
        self._ending = self._clock.callLater(_LAST_WORDS, self._finish)

    def processEnded(self, reason: Failure) -> None:
        """Take note that everything is said."""
        if self._ending is not None and self._ending.active():
            self._ending.cancel()
            self._finish()

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

    def _finish(self) -> None:
        for childFD, begun in self._begun.items():
            self._say(childFD, begun)
        self._begun.clear()
        self._lose()
        self._onEnded(self._end or "")

    def _say(self, childFD: int, line: bytes) -> None:
        relayed: dict[str, Any] = {}
        if (said := readLine(line)) is not None:
            text = f"[{said['source']}#{said['level']}] {said['message']}"
            if "traceback" in said:
                text += f"\n{said['traceback']}"
            level = LogLevel.lookupByName(said["level"])
            # For a log in JSON: what was said there, and when, not how it looks here.
            relayed = {RELAYED: said}
        elif line:
            text = line.decode(errors="backslashreplace")
            level = LogLevel.warn if childFD == _STDERR else LogLevel.info
        else:
            return
        self.log.emit(level, "[{process}] {text}", process=self._name, text=text, **relayed)


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
