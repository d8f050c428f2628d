"""
Tests for L{msgserver.commandline.events}: how what happens is written.
"""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from msgserver.commandline.events import (
    BRIEF,
    WORDLESS,
    Event,
    contentText,
    nameOf,
    printable,
    textIn,
)
from msgserver.wire.naming import User
from tests.commandlines import NOON

ESCAPE = b"\x1b[31mred\x07"


class LineTests(SynchronousTestCase):
    """Lines for people."""

    def assertLine(self, event: Event, line: str) -> None:
        """See how an event is shown."""
        self.assertEqual(event.line, line)

    def test_requests(self) -> None:
        """A request's number stands first, then what became of it, and after how long."""
        self.assertLine(Event("sent", NOON, "", b"hello", 7), "#7 sent: hello")
        self.assertLine(Event("answered", NOON, "", b"hi", 7, 1.26), "#7 answered after 1.3 ms: hi")
        self.assertLine(
            Event("failed", NOON, "", b"", 7, 1200.0), f"#7 failed after 1200.0 ms: {WORDLESS}"
        )
        self.assertLine(Event("failed", NOON, "", b"no", 7, 1.0), "#7 failed after 1.0 ms: no")
        self.assertLine(
            Event("failed", NOON, "no answer", None, 7, 5.0), "#7 failed after 5.0 ms: no answer"
        )

    def test_happenings(self) -> None:
        """What happens to the connection is told in its words."""
        self.assertLine(Event("connected", NOON, "alice"), "connected: alice")
        self.assertLine(Event("away", NOON), "away")
        self.assertLine(Event("back", NOON), "back")
        self.assertLine(Event("loggedOut", NOON, "why"), "logged out: why")
        self.assertLine(Event("message", NOON, "", b"news"), "message: news")
        self.assertLine(Event("note", NOON, "said"), "said")
        self.assertLine(Event("note", NOON, "said", b"no"), "said: no")

    def test_brief(self) -> None:
        """Of what was sent, a line shows the beginning; of what was answered, all."""
        long = b"x" * (BRIEF + 1)
        self.assertLine(
            Event("sent", NOON, "", long, 1), f"#1 sent: {'x' * BRIEF}... ({BRIEF + 1} bytes)"
        )
        self.assertLine(Event("sent", NOON, "", long[1:], 1), f"#1 sent: {'x' * BRIEF}")
        self.assertLine(Event("message", NOON, "", long), f"message: {long.decode()}")

    def test_harmless(self) -> None:
        """Nothing that a server says is obeyed by a terminal, or ends the line."""
        for event in (
            Event("answered", NOON, "", ESCAPE, 1, 1.0),
            Event("failed", NOON, ESCAPE.decode(), None, 1, 1.0),
            Event("answered", NOON, "", "a\nb\u2028c\u202ed".encode(), 1, 1.0),
            Event("ended", NOON, "a\r\nb"),
        ):
            self.assertTrue(event.line.isprintable(), event.line)


class ContentTests(SynchronousTestCase):
    """Bytes as text."""

    def test_text(self) -> None:
        """Text is UTF-8 without control characters but tabs and ends of lines."""
        for content in (b"", b"hello", "gr\u00fcezi \U0001f600".encode(), b"a\tb\r\nc"):
            self.assertEqual(textIn(content), content.decode())
        for content in (b"\xff", b"\0", b"a\x1b", b"\x7f", "\x85".encode(), b"\xed\xa0\x80"):
            self.assertEqual(textIn(content), None, content)

    def test_shown(self) -> None:
        """What is no text is shown in hexadecimal; what would end the line, with a backslash."""
        self.assertEqual(contentText(b"\0\xff"), "hex 00ff")
        self.assertEqual(contentText(b"a\nb"), "a\\nb")
        self.assertEqual(printable("a\u202eb\udcff"), "a\\u202eb\\udcff")

    def test_name(self) -> None:
        """A login's name has each of its parts."""
        user = User(b"alice", b"\xff", b"sample")
        self.assertEqual(nameOf(user), "alice at sample, login hex ff")


class JSONTests(SynchronousTestCase):
    """JSON for programs."""

    def assertJSON(self, event: Event, **shown: object) -> None:
        """See an event as a JSON object, on one line, with these keys besides its time."""
        text = event.asJSON()
        self.assertNotIn("\n", text)
        self.assertEqual(json.loads(text), {"time": NOON, "event": event.kind, **shown})

    def test_keys(self) -> None:
        """There is what there is to tell, and nothing else."""
        self.assertJSON(Event("away", NOON))
        self.assertJSON(Event("sent", NOON, "", b"hello", 7), number=7, text="hello")
        self.assertJSON(Event("answered", NOON, "", b"", 7, 1.26789), number=7, ms=1.268, text="")
        self.assertJSON(Event("note", NOON, "said", b"no"), note="said", text="no")

    def test_exact(self) -> None:
        """Contents are whole, and exactly what they were, text or not."""
        text = "a\nb\u202e" * 100
        self.assertJSON(Event("sent", NOON, "", text.encode(), 1), number=1, text=text)
        self.assertJSON(Event("message", NOON, "", ESCAPE), hex=ESCAPE.hex())
