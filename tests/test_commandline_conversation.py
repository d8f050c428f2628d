"""
Tests for L{msgserver.commandline.conversation}: what commands do at a client, and show.
"""

from __future__ import annotations

from pathlib import Path

from msgserver.commandline.commands import HELP, Mistake
from msgserver.commandline.conversation import MAX_OUTSTANDING, Quit
from msgserver.commandline.following import MAX_KEPT
from msgserver.commandline.statuses import Unexpected
from msgserver.errors import ClientClosed, MessagesMissed, ProtocolError, RequestFailed
from msgserver.wire.framing import MAX_REQUEST
from tests.commandlines import NOON, SECRET, CommandLineTestCase


class RequestTests(CommandLineTestCase):
    """Requests and their answers."""

    def test_sideBySide(self) -> None:
        """Requests do not wait for each other, and answers are shown as they come."""
        conversation = self.perform("send late 2 two", "send late 1 one", "send now", "wait")
        self.assertEqual(self.client.asked, [b"late 2 two", b"late 1 one", b"now"])
        self.assertEqual(
            self.seen.lines,
            [
                "#1 sent: late 2 two",
                "#2 sent: late 1 one",
                "#3 sent: now",
                "#3 answered after 0.0 ms: now",
                "#2 answered after 1000.0 ms: one",
                "#1 answered after 2000.0 ms: two",
            ],
        )
        self.assertEqual(
            (conversation.asked, conversation.answered, conversation.failed), (3, 3, 0)
        )
        self.assertEqual({event.time for event in self.seen.events}, {NOON})

    def test_failures(self) -> None:
        """A failure is shown with what the handler said, or with why there is no answer."""
        conversation = self.perform("send fail no", "send lost", "wait")
        self.assertEqual(
            self.seen.lines[2:],
            [
                "#1 failed after 0.0 ms: no",
                "#2 failed after 0.0 ms: no answer within 5 seconds",
            ],
        )
        self.assertEqual((conversation.answered, conversation.failed), (0, 2))

    def test_bytes(self) -> None:
        """Bytes are sent as they are, and shown in hexadecimal."""
        self.perform("hex 00ff", "wait")
        self.assertEqual(self.client.asked, [b"\0\xff"])
        self.assertEqual(self.seen.lines[1], "#1 answered after 0.0 ms: hex 00ff")

    def test_file(self) -> None:
        """A file is sent as it is when its turn comes."""
        path = Path(self.mktemp())
        path.write_bytes(b"x" * MAX_REQUEST)
        self.perform(f"file {path}")
        self.assertEqual(self.client.asked, [b"x" * MAX_REQUEST])

    def test_noFile(self) -> None:
        """What is no file, or too long, is a mistake, and nothing is sent."""
        path = Path(self.mktemp())
        path.write_bytes(b"x" * (MAX_REQUEST + 1))
        for name in (str(path), "no such file", ".", "a\0b"):
            mistake = self.assertRaises(Mistake, self.perform, f"file {name}")
            self.assertEqual(len(str(mistake).splitlines()), 1)
        self.assertEqual(self.client.asked, [])

    def test_repeat(self) -> None:
        """A repeated request is so many requests, side by side."""
        self.perform("repeat 3 send late 1 x", "wait")
        self.assertEqual(self.client.asked, [b"late 1 x"] * 3)
        self.assertEqual(self.client.mostUnanswered, 3)

    def test_mostOutstanding(self) -> None:
        """So many requests are without an answer at a time, and no more."""
        count = 2 * MAX_OUTSTANDING + 1
        conversation = self.perform(f"repeat {count} send late 1 x", "wait")
        self.assertEqual(self.client.mostUnanswered, MAX_OUTSTANDING)
        self.assertEqual(conversation.answered, count)

    def test_wait(self) -> None:
        """Waiting takes until the last answer; without, the next command comes at once."""
        self.perform("send late 3 x", "wait", "send never")
        self.assertEqual(self.seen.lines[1:], ["#1 answered after 3000.0 ms: x", "#2 sent: never"])

    def test_sleep(self) -> None:
        """Sleeping takes so long, and answers are shown meanwhile."""
        self.perform("send late 3 x", "send late 5 y", "sleep 4")
        self.assertEqual(self.seen.lines[2:], ["#1 answered after 3000.0 ms: x"])

    def test_stop(self) -> None:
        """What is unanswered when all is over is not waited for, nor shown."""
        self.perform("send never", "send late 9 x")
        self.assertEqual(len(self.seen.lines), 2)
        self.assertEqual(self.client.unanswered, 0)


class ExpectationTests(CommandLineTestCase):
    """What the last request must have come to."""

    def assertUnexpected(self, text: str, *lines: str) -> None:
        """See the last line not met."""
        self.assertEqual(str(self.assertRaises(Unexpected, self.perform, *lines)), text)

    def test_met(self) -> None:
        """An expectation waits for the answer, and says nothing where it is met."""
        self.perform("send late 3 x", "expect x", "hex 00", "expect-hex 00")
        self.assertEqual(
            [event.kind for event in self.seen.events], ["sent", "answered", "sent", "answered"]
        )

    def test_unmet(self) -> None:
        """An answer that is another is told, and what it should have been."""
        self.assertUnexpected("#1 should be answered y, not x", "send x", "expect y")
        self.assertUnexpected("#1 should be answered hex 00, not x", "send x", "expect-hex 00")
        self.assertUnexpected("#1 failed", "send fail x", "expect x")
        self.assertUnexpected("nothing was asked", "expect x")

    def test_last(self) -> None:
        """It is about the last request, also where another is answered later."""
        self.perform("send late 3 x", "send y", "expect y")
        self.assertUnexpected(
            "#2 should be answered x, not y", "send late 1 x", "send y", "expect x"
        )

    def test_fails(self) -> None:
        """A failure that was expected does not count, however often that is said."""
        conversation = self.perform(
            "send fail no", "expect-fail no", "expect-fail", "send lost", "expect-fail"
        )
        self.assertEqual(conversation.failed, 0)

    def test_failsNot(self) -> None:
        """Where an answer comes, or another failure, a failure was expected in vain."""
        self.assertUnexpected("#1 should fail", "send x", "expect-fail")
        self.assertUnexpected("#1 should fail with no, not not", "send fail not", "expect-fail no")
        self.assertUnexpected(
            "#1 should fail with no, not no answer within 5 seconds", "send lost", "expect-fail no"
        )


class ConnectionTests(CommandLineTestCase):
    """What is done to the connection, and what is shown of it."""

    def test_cut(self) -> None:
        """The connection is dropped."""
        self.perform("cut")
        self.assertEqual(self.client.done, ["cut"])

    def test_offline(self) -> None:
        """The client stays away, and comes back, when it is told to."""
        self.perform("offline")
        self.assertTrue(self.client.isOffline)
        self.perform("online")
        self.assertFalse(self.client.isOffline)

    def test_status(self) -> None:
        """The status has the login, the connection and the requests, and no secret."""
        self.perform(
            "send x", "send fail y", "send never", "sleep 1", "status", "offline", "status"
        )
        counts = "3 asked, 1 answered, 1 failed, 1 without an answer (0 not sent yet)"
        self.assertEqual(
            self.seen.lines[-2:],
            [
                f"connected, alice at sample, login 1; {counts}",
                f"offline, alice at sample, login 1; {counts}",
            ],
        )
        self.assertNotIn(SECRET.decode(), "".join(self.seen.lines))

    def test_statusAway(self) -> None:
        """Without a connection or a login, it says so."""
        self.client.isConnected = False
        self.client.loggedIn = None
        self.client.waiting = 2
        self.perform("send never", "status")
        self.assertTrue(self.seen.lines[-1].startswith("away, no login; 1 asked"))
        self.assertTrue(self.seen.lines[-1].endswith("(2 not sent yet)"))

    def test_help(self) -> None:
        """Help is shown as it is."""
        self.perform("help")
        self.assertEqual(self.seen.events[0].text, HELP)

    def test_quit(self) -> None:
        """Quitting ends it."""
        self.assertRaises(Quit, self.perform, "quit", "send x")
        self.assertEqual(self.client.asked, [])


class MessageTests(CommandLineTestCase):
    """What the server pushes."""

    def test_shown(self) -> None:
        """Messages are shown as they come, and so is that some were missed."""
        self.client.pushed = [b"one", MessagesMissed(3), b"\0"]
        self.perform("messages poll ", "sleep 1")
        self.assertEqual(self.client.done, ["messages poll "])
        self.assertEqual(self.seen.lines, ["message: one", "missed 3 messages", "message: hex 00"])

    def test_once(self) -> None:
        """Of one prefix, messages are asked for once, since two would take each other's."""
        self.perform("messages", "messages", "messages x", "sleep 1")
        self.assertEqual(self.client.done, ["messages ", "messages x"])

    def test_fails(self) -> None:
        """Where the server gives none, that is told, and one may ask again."""
        self.client.pushed = [RequestFailed(b"what?")]
        self.perform("messages", "sleep 1", "messages", "sleep 1")
        self.assertEqual(self.seen.lines, ["the server gives no messages: what?"] * 2)

    def test_noMailbox(self) -> None:
        """A server that pushes nothing, and answers polls with something else, is told of."""
        self.client.pushed = [ProtocolError("no messages in there")]
        self.perform("messages", "sleep 1")
        self.assertEqual(self.seen.lines, ["no messages: no messages in there"])

    def test_expected(self) -> None:
        """Expectations wait for messages, and are met by each once, in their order."""
        self.client.pushed = [b"one", 5.0, MessagesMissed(1), b"two"]
        self.perform("messages", "expect-message one", "expect-message two")
        self.assertEqual(self.seen.lines[-1], "message: two")

    def test_unexpected(self) -> None:
        """Another message, or none in time, is told."""
        self.client.pushed = [b"one", 31.0, b"two"]
        for text, *lines in (
            ("the message should be two, not one", "messages", "expect-message two"),
            (
                *("no message within 30 seconds", "messages"),
                *("expect-message one", "expect-message two"),
            ),
            ('"messages" has to ask for messages first', "expect-message one"),
        ):
            self.assertEqual(str(self.assertRaises(Unexpected, self.perform, *lines)), text)

    def test_noneAnyMore(self) -> None:
        """Where the server gives no more of them, nobody waits for one; what came is there."""
        for pushed in ([RequestFailed(b"what?")], [1.0, ProtocolError("no messages in there")]):
            self.client.pushed = [b"one", *pushed]
            lines = "messages", "expect-message one", "expect-message two"
            error = self.assertRaises(Unexpected, self.perform, *lines)
            self.assertEqual(str(error), "the server gives no messages")
        self.client.pushed = [b"one", RequestFailed(b"what?")]
        self.perform("messages", "sleep 1", "expect-message one")

    def test_mostKept(self) -> None:
        """Of messages that nobody expects, the youngest are kept."""
        self.client.pushed = [b"%d" % number for number in range(MAX_KEPT + 2)]
        self.perform("messages", "sleep 1", "expect-message 2")

    def test_ended(self) -> None:
        """What has ended the client ends this, without a word of its own."""
        self.client.pushed = [b"one", ClientClosed("closed")]
        self.perform("messages", "sleep 1")
        self.assertEqual(self.seen.lines, ["message: one"])
