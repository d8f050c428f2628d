"""
All the places at which C{msgserver-client} shows what happens, its record among them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Self

from msgserver.commandline.events import Event
from msgserver.commandline.output import Closed, Output
from msgserver.commandline.statuses import Status
from msgserver.commandparts import Complaint


class Record(Output):
    """
    Writes down everything that happens, as JSON, one object a line, behind what is there already.

    Only its owner may read a file that this makes.

    @raise Complaint: the file cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise self._failed(Status.MISTAKEN, error) from None
        self._file = open(descriptor, "w", encoding="utf-8")

    def show(self, event: Event) -> None:
        """
        Write something down, at once.

        @raise Complaint: it cannot be written.
        """
        try:
            self._file.write(event.asJSON() + "\n")
            self._file.flush()
        except OSError as error:
            raise self._failed(Status.FAILED, error) from None

    def _failed(self, status: Status, error: OSError) -> Complaint:
        return Complaint(status, f"{self._path} cannot be written: {error.strerror}")

    def close(self) -> None:
        """See L{Output.close}."""
        try:
            self._file.close()
        except OSError:
            # What is left could not be written a moment ago either, and that was said.
            pass


class Display:
    """
    Shows everything at several places, and closes them at the end of C{with}.

    It does not raise what they do: what happens, happens where nobody could make use of that.

    @param record: where what was typed is written as well, if anywhere.
    @ivar failed: called with what a place has raised; nothing is shown there any more.
    """

    def __init__(self, *outputs: Output, record: Output | None = None) -> None:
        self._outputs = [*outputs]
        self._record = record
        self.failed: Callable[[Exception], object] = lambda error: None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for output in [*self._outputs, self._record]:
            if output is not None:
                output.close()

    def add(self, output: Output) -> None:
        """Show everything there, too."""
        self._outputs.append(output)

    def show(self, event: Event) -> None:
        """Show something everywhere."""
        for output in [*self._outputs]:
            if not self._showAt(output, event):
                self._outputs.remove(output)
        self.record(event)

    def record(self, event: Event) -> None:
        """Write something down that is shown already, or needs not be."""
        if self._record is not None and not self._showAt(self._record, event):
            self._record = None

    def _showAt(self, output: Output, event: Event) -> bool:
        """Say whether that could be done."""
        try:
            output.show(event)
        except (Closed, Complaint) as error:
            output.close()
            self.failed(error)
            return False
        return True
