"""
Tests for L{msgserver.commandline.output} and L{msgserver.commandline.display}.
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import sys
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from msgserver.commandline import output
from msgserver.commandline.display import Display, Record
from msgserver.commandline.events import Event
from msgserver.commandline.output import (
    INSTALL,
    MAX_SHOWN,
    Closed,
    Output,
    chooseOutput,
    hint,
    isTerminal,
)
from msgserver.commandline.statuses import Status
from msgserver.commandparts import Complaint
from tests.commandlines import NOON, Seen

ANSWER = Event("answered", NOON, "", b"hi", 7, 1.0)
EVENTS = (
    Event("connected", NOON, "alice"),
    Event("sent", NOON, "", b"hello", 7),
    ANSWER,
    Event("failed", NOON, "", b"no", 8, 1.0),
    Event("message", NOON, "", b"news"),
    Event("note", NOON, "said"),
    Event("help", NOON, "one\ntwo"),
)
COLOURS = {"TERM": "xterm-256color"}


class Terminal(io.StringIO):
    """A file that is a terminal."""

    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    """A file that cannot be written."""

    error: OSError = BrokenPipeError()

    def write(self, text: str) -> int:
        raise self.error


class OutputTests(SynchronousTestCase):
    """What is written for each event, and how that is chosen."""

    def written(
        self,
        style: str = "line",
        file: io.StringIO | None = None,
        environment: dict[str, str] = COLOURS,
    ) -> str:
        """Show all events, and give what was written."""
        file = io.StringIO() if file is None else file
        shown = chooseOutput(style, file, environment)
        for event in EVENTS:
            shown.show(event)
        return file.getvalue()

    def test_lines(self) -> None:
        """In a pipe there is a plain line for each."""
        self.assertEqual(
            self.written(),
            "connected: alice\n"
            "#7 sent: hello\n"
            "#7 answered after 1.0 ms: hi\n"
            "#8 failed after 1.0 ms: no\n"
            "message: news\n"
            "said\n"
            "one\ntwo\n",
        )

    def test_colours(self) -> None:
        """On a terminal there are the same lines, in colours."""
        written = self.written(file=Terminal())
        self.assertIn("\x1b[32m#7 answered after 1.0 ms\x1b[0m: hi\n", written)
        self.assertIn("\x1b[1;31m#8 failed after 1.0 ms\x1b[0m: no\n", written)
        self.assertIn("\none\ntwo\n", written)

    def test_noColours(self) -> None:
        """With NO_COLOR, on a dumb terminal, or without rich, terminals get plain lines as well."""
        plain = self.written()
        for environment in ({**COLOURS, "NO_COLOR": "1"}, {"TERM": "dumb"}, {}):
            self.assertEqual(self.written(file=Terminal(), environment=environment), plain)
        coloured = self.written(file=Terminal(), environment={**COLOURS, "NO_COLOR": ""})
        self.assertNotEqual(coloured, plain)
        with patch.dict(sys.modules, {"rich.console": None}):
            self.assertEqual(self.written(file=Terminal()), plain)

    def test_terminal(self) -> None:
        """A terminal is one that does what it is told."""
        self.assertTrue(isTerminal(Terminal(), COLOURS))
        self.assertTrue(isTerminal(Terminal(), {**COLOURS, "NO_COLOR": "1"}))
        for file, environment in ((io.StringIO(), COLOURS), (Terminal(), {"TERM": "dumb"})):
            self.assertFalse(isTerminal(file, environment))

    def test_longLines(self) -> None:
        """A terminal is not flooded by one answer, nor does anything fold it; a pipe gets all."""
        event = Event("message", NOON, "", b"x" * (MAX_SHOWN + 1))
        for file, shown in (
            (Terminal(), f"{'x' * MAX_SHOWN}... ({MAX_SHOWN + 1} characters)\n"),
            (io.StringIO(), f"{'x' * (MAX_SHOWN + 1)}\n"),
        ):
            chooseOutput("line", file, COLOURS).show(event)
            self.assertTrue(file.getvalue().endswith(f": {shown}"))

    def test_noMarkup(self) -> None:
        """What looks like markup or a name of a smiley is shown as it is."""
        file = Terminal()
        chooseOutput("line", file, COLOURS).show(Event("message", NOON, "", b"[red]a[/red] :cat:"))
        self.assertTrue(file.getvalue().endswith(": [red]a[/red] :cat:\n"))

    def test_json(self) -> None:
        """With --json there is an object for each, on terminals as well."""
        for file in (io.StringIO(), Terminal()):
            lines = self.written("json", file).splitlines()
            self.assertEqual(
                [json.loads(line)["event"] for line in lines], [event.kind for event in EVENTS]
            )

    def test_answers(self) -> None:
        """With -q there are answers and messages alone, and what a command asks to be shown."""
        self.assertEqual(self.written("answers"), "hi\nnews\none\ntwo\n")

    def test_encoding(self) -> None:
        """What the encoding does not have is written with backslashes."""
        raw = io.BytesIO()
        file = io.TextIOWrapper(raw, encoding="ascii")
        chooseOutput("line", file, {}).show(Event("message", NOON, "", "gr\u00fc".encode()))
        self.assertEqual(raw.getvalue(), b"message: gr\\xfc\n")

    def test_notWritten(self) -> None:
        """A reader who is gone has seen enough; a full disk is complained of."""
        file = Broken()
        self.assertRaises(Closed, chooseOutput("line", file, {}).show, ANSWER)
        file.error = OSError(errno.ENOSPC, "No space left on device")
        complaint = self.assertRaises(Complaint, chooseOutput("line", file, {}).show, ANSWER)
        self.assertEqual(complaint.status, Status.FAILED)
        self.assertIn("No space left", str(complaint))

    def test_hint(self) -> None:
        """Where something is missing, one line tells how to get it."""
        self.assertEqual(hint(), "")
        self.patch(output, "find_spec", lambda name: None)
        self.assertIn(INSTALL, hint())
        self.assertEqual(len(hint().splitlines()), 1)


class RecordTests(SynchronousTestCase):
    """Records of what was said and seen."""

    def test_written(self) -> None:
        """Each thing is written at once, for the owner's eyes alone, behind what is there."""
        path = Path(self.mktemp())
        for _ in range(2):
            record = Record(str(path))
            record.show(ANSWER)
            self.assertTrue(path.read_text().endswith(ANSWER.asJSON() + "\n"))
            record.close()
        self.assertEqual(path.read_text(), 2 * (ANSWER.asJSON() + "\n"))
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)

    def test_notWritten(self) -> None:
        """Where it cannot be written, one line says so; at the start, that is a mistake."""
        complaint = self.assertRaises(Complaint, Record, os.path.join(self.mktemp(), "x"))
        self.assertEqual(complaint.status, Status.MISTAKEN)
        if os.path.exists("/dev/full"):
            record = Record("/dev/full")
            complaint = self.assertRaises(Complaint, record.show, ANSWER)
            self.assertEqual(complaint.status, Status.FAILED)
            record.close()


class DisplayTests(SynchronousTestCase):
    """Several places at once."""

    def test_everywhere(self) -> None:
        """Everything is shown everywhere and recorded; what was typed is recorded alone."""
        places = [Seen(), Seen()]
        record = Seen()
        typed = Event("command", NOON, "send hi")
        with Display(places[0], record=record) as display:
            display.add(places[1])
            display.record(typed)
            display.show(ANSWER)
        for place in places:
            self.assertEqual(place.events, [ANSWER])
        self.assertEqual(record.events, [typed, ANSWER])
        self.assertTrue(all(place.isClosed for place in (*places, record)))

    def test_oneFails(self) -> None:
        """A place that fails is told of once, and the others go on."""

        class Failing(Output):
            def show(self, event: Event) -> None:
                raise Closed

        seen = Seen()
        failures: list[Exception] = []
        display = Display(Failing(), seen, record=Failing())
        display.failed = failures.append
        for _ in range(3):
            display.show(ANSWER)
        self.assertEqual([type(failure) for failure in failures], [Closed, Closed])
        self.assertEqual(len(seen.events), 3)
