"""
Where C{msgserver-client} shows things: lines, JSON, and colours on a terminal; and its record.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, TextIO

from msgserver.commandline.events import Event, Kind, contentText
from msgserver.commandline.statuses import Status
from msgserver.commandparts import Complaint

INSTALL = "pip install 'msgserver[client]'"
"""What gets colours and a prompt that can be edited."""

MAX_SHOWN = 4000
"""Of one line, a terminal is shown so many characters."""


class Closed(Exception):
    """Whoever reads what is shown has seen enough, as C{head} has."""


class Output(ABC):
    """Shows what happens."""

    @abstractmethod
    def show(self, event: Event) -> None:
        """
        Show something.

        @raise Closed: see there.
        @raise Complaint: it cannot be written.
        """

    def close(self) -> None:  # noqa: B027
        """Show nothing any more."""


class LineOutput(Output):
    """
    Writes a line for everything that happens.

    @param file: where to.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def show(self, event: Event) -> None:
        """See L{Output.show}."""
        text = self.textOf(event)
        if text is not None:
            writeLine(self._file, text)

    def textOf(self, event: Event) -> str | None:
        """Give the line, or lines, of an event; None where it is not shown."""
        return event.text if event.kind == "help" else event.line


class JSONOutput(LineOutput):
    """Writes a JSON object for everything that happens."""

    def textOf(self, event: Event) -> str | None:
        """See L{LineOutput.textOf}."""
        return event.asJSON()


class AnswerOutput(LineOutput):
    """Writes answers and messages alone, and what was asked for."""

    def textOf(self, event: Event) -> str | None:
        """See L{LineOutput.textOf}."""
        if event.kind in ("answered", "message"):
            return contentText(event.content or b"")
        return super().textOf(event) if event.kind in ("status", "help") else None


_STYLES: dict[Kind, str] = {
    "sent": "dim",
    "answered": "green",
    "failed": "bold red",
    "message": "cyan",
    "connected": "bold green",
    "back": "bold green",
    "away": "yellow",
    "loggedOut": "bold yellow",
    "ended": "bold red",
    "complaint": "red",
    "status": "bold",
    "note": "dim",
}


class ColourOutput(Output):
    """
    Shows everything that happens on a terminal, in colours.

    @param console: a C{rich.console.Console}.
    """

    def __init__(self, console: Any) -> None:
        self._console = console

    def show(self, event: Event) -> None:
        """See L{Output.show}."""
        from rich.text import Text

        head, body = event.head, event.text if event.kind == "help" else event.body
        if len(body) > MAX_SHOWN:
            body = f"{body[:MAX_SHOWN]}... ({len(body)} characters)"
        # What has no head is short, and all that there is to see.
        text = Text(head or body, _STYLES.get(event.kind, ""))
        if head and body:
            text = Text.assemble(text, f": {body}")
        # A terminal folds what is too long; nothing is to fold it before.
        self._console.print(text, soft_wrap=True)


def writeLine(file: TextIO, text: str) -> None:
    """
    Write a line, at once, and what the file's encoding does not have as backslashes have it.

    @raise Closed: nobody reads it.
    @raise Complaint: it cannot be written.
    """
    encoding = file.encoding or "utf-8"
    try:
        file.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        file.flush()
    except BrokenPipeError:
        raise Closed from None
    except OSError as error:
        raise Complaint(Status.FAILED, f"cannot write: {error.strerror}") from None


def hasColours(file: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Say whether a file is a terminal that is to have colours: NO_COLOR is not set."""
    return isTerminal(file, environment) and not environment.get("NO_COLOR")


def isTerminal(file: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Say whether a file is a terminal that does what it is told."""
    return file.isatty() and environment.get("TERM", "dumb") != "dumb"


def chooseOutput(style: str, file: TextIO, environment: Mapping[str, str] = os.environ) -> Output:
    """
    Say how things are shown.

    @param style: see L{msgserver.commandline.options.Options}.
    """
    if style == "json":
        return JSONOutput(file)
    if style == "answers":
        return AnswerOutput(file)
    console = _console(file) if hasColours(file, environment) else None
    return LineOutput(file) if console is None else ColourOutput(console)


def _console(file: TextIO) -> Any:
    """Make what colours are shown by; None where it is not installed."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=file, force_terminal=True)


def hint() -> str:
    """Say at a prompt what would make it better; nothing where it is there."""
    isMissing = any(find_spec(name) is None for name in ("rich", "prompt_toolkit"))
    return f"for colours, and a prompt that can be edited: {INSTALL}" if isMissing else ""
