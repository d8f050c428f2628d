"""
What is read from files, and read again when they change, while the server runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

_Read = TypeVar("_Read")

LOOK_INTERVAL = 2.0
"""Seconds between two looks at the files, at least: connections, however many, cause no more."""


class Watched(Generic[_Read]):
    """
    Keeps what was read from some files, and reads it again when one of them changes.

    Nobody watches in the background: the files are looked at when L{current} is asked, which
    for certificates is when a connection comes. A look is one C{stat} of each; they are read
    only where something about them is another than before.

    What cannot be used replaces nothing: what was read before stays, and one line of the log
    says why. It is tried again with each look, for it may be half-written, or unreadable only
    for now; that is logged once more only when the files or the reason are others.

    @param what: the start of a sentence in the log, in the plural: C{the certificates in x}.
    @param files: lists the paths.
    @param read: reads them. It is given what it gave before, None at first.
    @raise ValueError: they cannot be used, as C{read} says.
    """

    log = Logger()

    def __init__(
        self,
        what: str,
        files: Callable[[], Sequence[str]],
        read: Callable[[_Read | None], _Read],
        clock: IReactorTime,
    ) -> None:
        self._what = what
        self._files = files
        self._read = read
        self._clock = clock
        self._complaint = ""
        self._looked = clock.seconds()
        # Before they are read: what changes meanwhile is seen with the next look.
        self._signature = self._sign()
        self._value = read(None)

    def current(self) -> _Read:
        """Give what the files say now, give or take L{LOOK_INTERVAL}; the last that was right."""
        now = self._clock.seconds()
        # Not within the interval, either way: a clock that is set back must not stop the looks.
        if not 0 <= now - self._looked < LOOK_INTERVAL:
            self._looked = now
            self._look()
        return self._value

    def _look(self) -> None:
        signature = self._sign()
        if signature != self._signature:
            self._signature = signature
            isNew = True
        elif self._complaint:
            isNew = False
        else:
            return
        try:
            self._value = self._read(self._value)
        except ValueError as error:
            # One line, whatever a library has to say.
            complaint = " ".join(str(error).split())
            if isNew or complaint != self._complaint:
                self.log.error(
                    "{what} have changed, but cannot be used; those of before stay in use:"
                    " {complaint}",
                    what=self._what,
                    complaint=complaint,
                )
            self._complaint = complaint
        else:
            self._complaint = ""
            self.log.info("{what} have changed, and are in use", what=self._what)

    def _sign(self) -> object:
        """Say all about the files that differs when what is in them does."""
        try:
            return tuple((path, _signOne(path)) for path in self._files())
        except OSError as error:
            return str(error)


def _signOne(path: str) -> object:
    try:
        # Of what a link leads to: that is how certbot replaces a file.
        status = os.stat(path)
    except OSError as error:
        return error.errno
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev
