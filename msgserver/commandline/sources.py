"""
Where the lines come from that C{msgserver-client} carries out: arguments, files, pipes, prompts.
"""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from attrs import frozen

from msgserver.commandline.commands import VERBS, Mistake, parse
from msgserver.commandline.options import Options
from msgserver.commandline.output import isTerminal
from msgserver.commandline.statuses import Status
from msgserver.commandparts import Complaint

MAX_LINE = 1024 * 1024
"""The most bytes of a line that is read from a pipe; the longest request takes 131,062 as hex."""

MAX_SCRIPT = 64 * 1024 * 1024
"""The most bytes of a script."""

PROMPT = "msgserver> "

_PIECE = 65536


@frozen
class Line:
    """
    A line to carry out.

    @ivar place: where it stands, for whoever looks for a mistake in it.
    """

    text: str
    place: str


class Interrupted(Exception):
    """Ctrl-C was typed at a prompt that takes it for itself."""


class Source(ABC):
    """
    Lines, one after another.

    @ivar isTyped: somebody types them at a prompt, and sees what comes of each.
    """

    isTyped = False

    @abstractmethod
    async def next(self) -> Line | None:
        """
        Give the next line; None where there is none any more.

        @raise Complaint: it cannot be read.
        @raise Interrupted: see there.
        """

    @contextmanager
    def shownAbove(self) -> Iterator[None]:
        """Have what is shown meanwhile stand above the prompt, where there is one."""
        yield


class Given(Source):
    """
    Lines that are all there.

    @raise Complaint: one of them is no command.
    """

    def __init__(self, lines: list[Line]) -> None:
        for line in lines:
            try:
                parse(line.text)
            except Mistake as mistake:
                raise Complaint(Status.MISTAKEN, f"{line.place}: {mistake}") from None
        self._lines = iter(lines)

    async def next(self) -> Line | None:
        """See L{Source.next}."""
        return next(self._lines, None)


class Piped(Source):
    """
    Lines as they come from a pipe, a file, or a terminal without our prompt.

    @param descriptor: where from; it is left open, and blocking.
    @param write: shows a prompt, and ends the line of the last; None for no prompt.
    """

    def __init__(
        self, descriptor: int, isTyped: bool = False, write: Callable[[str], None] | None = None
    ) -> None:
        self._descriptor = descriptor
        self.isTyped = isTyped
        self._write = write
        self._number = 0
        self._rest = b""
        self._isAtEnd = False

    async def next(self) -> Line | None:
        """See L{Source.next}."""
        if self._write is not None:
            self._write(PROMPT)
        self._number += 1
        place = f"line {self._number}"
        while b"\n" not in self._rest and not self._isAtEnd:
            if len(self._rest) > MAX_LINE:
                raise Complaint(Status.MISTAKEN, f"{place}: more than {MAX_LINE} bytes")
            piece = await self._read()
            self._rest += piece
            self._isAtEnd = not piece
        if not self._rest:
            if self._write is not None:
                self._write("\n")
            return None
        line, _, self._rest = self._rest.partition(b"\n")
        return Line(decoded(line), place)

    async def _read(self) -> bytes:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        try:
            # Not by a thread: one that waits for a terminal cannot be stopped.
            loop.add_reader(self._descriptor, readable.set)
        except PermissionError:
            # A file is no thing to wait for: it is readable at all times.
            pass
        else:
            try:
                await readable.wait()
            finally:
                loop.remove_reader(self._descriptor)
        try:
            return os.read(self._descriptor, _PIECE)
        except OSError as error:
            raise Complaint(Status.MISTAKEN, f"cannot read commands: {error.strerror}") from None


class Prompted(Source):
    """
    Lines that are typed at a prompt which can be edited.

    @param session: a C{prompt_toolkit.PromptSession}.
    """

    isTyped = True

    def __init__(self, session: Any) -> None:
        self._session = session

    async def next(self) -> Line | None:
        """See L{Source.next}."""
        try:
            return Line(await self._session.prompt_async(PROMPT, handle_sigint=False), "")
        except EOFError:
            return None
        except KeyboardInterrupt:
            raise Interrupted from None

    @contextmanager
    def shownAbove(self) -> Iterator[None]:
        """See L{Source.shownAbove}."""
        from prompt_toolkit.patch_stdout import patch_stdout

        with patch_stdout(raw=True):
            yield


def chooseSource(options: Options, stdin: TextIO | None, stdout: TextIO | None) -> Source:
    """
    Say where the lines come from.

    @raise Complaint: it cannot be read, or has mistakes that can be found ahead.
    """
    if options.commands is not None:
        return Given([Line(text, f"-c {text!r}") for text in options.commands])
    if options.script not in (None, "-"):
        return Given(_script(str(options.script)))
    if stdin is None:
        return Given([])
    if options.script is None and stdout is not None and stdin.isatty() and stdout.isatty():
        return _prompt(stdin, stdout)
    return Piped(stdin.fileno())


def _script(path: str) -> list[Line]:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_SCRIPT + 1)
    except OSError as error:
        raise Complaint(
            Status.MISTAKEN, f"the script {path} cannot be read: {error.strerror}"
        ) from None
    if len(content) > MAX_SCRIPT:
        raise Complaint(Status.MISTAKEN, f"the script {path} has more than {MAX_SCRIPT} bytes")
    lines = content.removesuffix(b"\n").split(b"\n")
    return [Line(decoded(line), f"{path}:{number}") for number, line in enumerate(lines, 1)]


def _prompt(stdin: TextIO, stdout: TextIO) -> Source:
    if isTerminal(stdout) and (session := _session()) is not None:
        return Prompted(session)

    def write(text: str) -> None:
        stdout.write(text)
        stdout.flush()

    return Piped(stdin.fileno(), isTyped=True, write=write)


def _session() -> Any:
    """Make what asks for lines at a terminal; None where it is not installed."""
    try:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.history import InMemoryHistory
        from prompt_toolkit.shortcuts import CompleteStyle
    except ImportError:
        return None
    completer = WordCompleter([*VERBS], sentence=True)
    return PromptSession(
        completer=completer,
        complete_while_typing=False,
        # As shells do it, and without room below the prompt.
        complete_style=CompleteStyle.READLINE_LIKE,
        reserve_space_for_menu=0,
        history=InMemoryHistory(),
    )


def decoded(line: bytes) -> str:
    """Read a line of a file, as Python reads arguments; an end of line as DOS has it is none."""
    return line.removesuffix(b"\r").decode("utf-8", "surrogateescape")
