"""
What must hold of the log, whatever a play does.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from msgserver.errors import Forbidden
from msgserver.hiding import isOf

_ERRORS_OF_HANDLERS = (
    "the handler answered a request",
    "authenticate gave no Account",
    "loginReceived gave",
)
"""How those errors begin that are a handler's, and not an exception's."""


class Broken(Exception):
    """Something that must hold does not: a fuzzer's find. Its text says what."""


class HandlerBug(Exception):
    """What our handlers raise where a play wants them to: it is logged, and rightly so."""


class HandlerRefusal(Forbidden, HandlerBug):
    """A refusal; where none is called for, it is a bug like others."""


@implementer(ILogObserver)
class Watch:
    """
    Reads every event of the log.

    @ivar found: what was wrong, in its order.
    """

    def __init__(self) -> None:
        self.found: list[str] = []
        self._secrets: set[str] = set()

    def hide(self, secret: bytes) -> None:
        """Name something that must never be in the log, in no form (L6)."""
        self._secrets |= {repr(secret)[2:-1], secret.hex(), b64encode(secret).decode()}

    def __call__(self, event: LogEvent) -> None:
        """Look at one event."""
        level = event.get("log_level") or LogLevel.info
        failure: Any = event.get("log_failure")
        text = formatEvent(event)
        if failure is not None:
            text += "\n" + failure.getTraceback()
            if not isOf(failure, HandlerBug):
                self.found.append(f"a failure was logged: {text}")
        elif level >= LogLevel.error and not text.startswith(_ERRORS_OF_HANDLERS):
            self.found.append(f"an error was logged: {text}")
        if text.lower().startswith("unable to format"):
            self.found.append(f"an event cannot be written: {text}")
        self.readText(text, "the log")

    def readText(self, text: str, where: str) -> None:
        """See that no secret is in a text."""
        if any(secret in text for secret in self._secrets):
            self.found.append(f"L6: a secret is in {where}: {text}")

    def check(self) -> None:
        """
        Say what was wrong so far.

        @raise Broken: something was.
        """
        if self.found:
            raise Broken("; ".join(self.found))


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch the log."""
    watch = Watch()
    globalLogPublisher.addObserver(watch)
    try:
        yield watch
    finally:
        globalLogPublisher.removeObserver(watch)


def see(isTrue: object, what: str) -> None:
    """
    Say that something must hold.

    @raise Broken: it does not.
    """
    if not isTrue:
        raise Broken(what)
