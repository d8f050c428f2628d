"""
Logging what another process says, for whoever has started it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from msgserver.jsonlog import RELAYED, readLine

_LAST_WORDS = 1.0
"""Seconds that a process is listened to once it is dead."""

_LONGEST_LINE = 65536
"""
Bytes of a line after which it is logged though it has no end yet, about; more than any line of
L{msgserver.jsonlog} has.
"""

_STDERR = 2
"""Where a process writes what is wrong before it has a log, or as it dies."""


class Relay(ProcessProtocol):
    """
    Logs what a process says; the rest is a subclass's affair.

    @param name: what is said of it begins with.
    """

    log = Logger()
    transport: Any

    def __init__(self, name: str, clock: Any) -> None:
        self.name = name
        self._clock = clock
        self._begun: dict[int, bytes] = {}
        self._ending: IDelayedCall | None = None

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Log whole lines."""
        *lines, begun = (self._begun.get(childFD, b"") + data).split(b"\n")
        if len(begun) > _LONGEST_LINE:
            lines.append(begun)
            begun = b""
        self._begun[childFD] = begun
        for line in lines:
            self._say(childFD, line)

    def processExited(self, reason: Failure) -> None:
        """Wait for its last words, but not for those of what it has left behind."""
        self._ending = self._clock.callLater(_LAST_WORDS, self._finish, reason)

    def processEnded(self, reason: Failure) -> None:
        """Take note that everything is said."""
        if self._ending is not None and self._ending.active():
            self._ending.cancel()
            self._finish(reason)

    def finished(self, reason: Failure) -> None:
        """Take note that it has ended, once; what it has said is logged."""

    def _finish(self, reason: Failure) -> None:
        for childFD, begun in self._begun.items():
            self._say(childFD, begun)
        self._begun.clear()
        self.finished(reason)

    def _say(self, childFD: int, line: bytes) -> None:
        name, relayed = self.name, {}
        if (said := readLine(line)) is not None:
            text = f"[{said['source']}#{said['level']}] {said['message']}"
            if "traceback" in said:
                text += f"\n{said['traceback']}"
            level = LogLevel.lookupByName(said["level"])
            if isinstance(inner := said.get("process"), str):
                # It relays itself: what it tells is of one that it has started.
                name = f"{name} {inner}"
            # For a log in JSON: what was said there, and when, not how it looks here.
            relayed = {RELAYED: said}
        elif line:
            text = line.decode(errors="backslashreplace")
            level = LogLevel.warn if childFD == _STDERR else LogLevel.info
        else:
            return
        self.log.emit(level, "[{process}] {text}", process=name, text=text, **relayed)


def endOf(reason: Failure) -> str:
    """Tell how a process has ended."""
    error: Any = reason.value
    if error.signal is not None:
        return f"signal {error.signal}"
    return f"exit status {error.exitCode}"
