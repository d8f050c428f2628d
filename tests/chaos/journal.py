"""
What a gate has done, line by line in a file.

Each line is one write to the system, made before the answer: so it is there even where the process
is killed right behind it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from time import monotonic_ns

from attrs import define, field, frozen


@frozen
class Run:
    """
    One execution of a request.

    @ivar serial: no other run has it.
    @ivar username: the login that it was for.
    """

    serial: bytes
    username: bytes


@define
class Journal:
    """
    What a journal says.

    @ivar runs: by the request's name, in the order run.
    @ivar ended: when C{loggedOut} was called for a login, by its username: nanoseconds of the
        machine's monotonic clock.
    @ivar garbled: the beginnings of requests that arrived as nobody sent them.
    """

    runs: dict[bytes, list[Run]] = field(factory=dict)
    ended: dict[bytes, list[int]] = field(factory=dict)
    garbled: list[bytes] = field(factory=list)

    @classmethod
    def read(cls, lines: Iterable[bytes]) -> Journal:
        """
        Read what L{JournalFile} wrote.

        @raise ValueError: it is no journal.
        """
        journal = cls()
        for line in lines:
            match line.rstrip(b"\n").split(b" "):
                case [b"run", name, serial, username]:
                    journal.runs.setdefault(name, []).append(Run(serial, username))
                case [b"ended", username, when]:
                    journal.ended.setdefault(username, []).append(int(when))
                case [b"garbled", beginning]:
                    journal.garbled.append(beginning)
                case _:
                    raise ValueError(f"no line of a journal: {line!r}")
        return journal


class JournalFile:
    """A journal that is being written. Others may append to the same file, before and after."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._count = 0

    def run(self, name: bytes, username: bytes) -> bytes:
        """Take note that a request runs, and give the run's serial."""
        self._count += 1
        serial = b"%d.%d" % (os.getpid(), self._count)
        self._write(b"run %b %b %b\n" % (name, serial, username))
        return serial

    def ended(self, username: bytes) -> None:
        """Take note that a login has ended."""
        self._write(b"ended %b %d\n" % (username, monotonic_ns()))

    def garbled(self, content: bytes) -> None:
        """Take note of a request that makes no sense."""
        self._write(b"garbled %b\n" % content[:64].hex().encode())

    def close(self) -> None:
        """Write no more."""
        os.close(self._descriptor)

    def _write(self, line: bytes) -> None:
        os.write(self._descriptor, line)
