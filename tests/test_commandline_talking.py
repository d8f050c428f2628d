"""
Tests for L{msgserver.commandline.talking}: a talk from its first line to its end.
"""

from __future__ import annotations

import asyncio
import os

from msgserver.commandline.output import Closed
from msgserver.commandline.sources import Given, Line, Piped, Source
from msgserver.commandline.statuses import Status
from msgserver.commandline.talking import GREETING, Talk
from msgserver.commandparts import Complaint
from msgserver.errors import BadRequest, OutcomeUnknown, Unauthorized
from tests.commandlines import NOON, SECRET, CommandLineTestCase, FakeClient, Typed, runInLoop


class Meanwhile(FakeClient):
    """
    A client to which, after so many seconds, something happens.

    @ivar later: what, when, and why.
    """

    later: tuple[str, float, tuple[Exception, ...]] = ("", 0.0, ())

    def goOnline(self) -> None:
        """Come back; and then."""
        super().goOnline()
        happening, seconds, reason = self.later
        asyncio.get_running_loop().call_later(seconds, self.happen, happening, *reason)


class TalkTestCase(CommandLineTestCase):
    """A talk."""

    def setUp(self) -> None:
        """Make a client of L{Meanwhile}."""
        super().setUp()
        self.client: Meanwhile = Meanwhile()

    def talk(self, source: Source) -> Status:
        """Talk to the end."""

        async def main() -> Status:
            return await Talk(self.client, source, self.display, clock=lambda: NOON).run()

        return runInLoop(main())

    def script(self, *lines: str) -> Status:
        """Carry out a script to its end."""
        return self.talk(Given([Line(text, f"s:{n}") for n, text in enumerate(lines, 1)]))

    def complaint(self, source: Source) -> tuple[Status, str]:
        """See a talk end before its time."""
        complaint = self.assertRaises(Complaint, self.talk, source)
        return complaint.status, str(complaint)


class ScriptTests(TalkTestCase):
    """Scripts, and what their exit status is."""

    def test_fine(self) -> None:
        """A script whose requests are all answered, which it waits for, is fine."""
        self.assertEqual(self.script("send late 5 x", "# no", "", "send y"), Status.FINE)
        self.assertEqual(self.seen.lines[-1], "#1 answered after 5000.0 ms: x")

    def test_nothing(self) -> None:
        """So is one that asks nothing."""
        self.assertEqual(self.script(), Status.FINE)

    def test_failed(self) -> None:
        """A request that fails does not end the script, but is its status."""
        self.assertEqual(self.script("send fail x", "wait", "send y"), Status.FAILED)
        self.assertEqual(self.client.asked, [b"fail x", b"y"])

    def test_failureExpected(self) -> None:
        """A failure that is expected is fine."""
        self.assertEqual(self.script("send fail x", "expect-fail x"), Status.FINE)

    def test_unmet(self) -> None:
        """What is not as expected ends the script there, with its place."""
        lines = [Line("send x", "s:1"), Line("expect y", "s:2"), Line("send z", "s:3")]
        self.assertEqual(
            self.complaint(Given(lines)),
            (Status.FAILED, "s:2: not as expected: #1 should be answered y, not x"),
        )
        self.assertEqual(self.client.asked, [b"x"])

    def test_mistake(self) -> None:
        """So does a mistake that is found no earlier."""
        status, text = self.complaint(Given([Line("file nothing", "s:1"), Line("send x", "s:2")]))
        self.assertEqual(status, Status.MISTAKEN)
        self.assertTrue(text.startswith("s:1: nothing cannot be read: "))
        self.assertEqual(self.client.asked, [])

    def test_quit(self) -> None:
        """Quitting ends it there, and waits for nothing."""
        self.assertEqual(self.script("send never", "quit", "send x"), Status.FINE)
        self.assertEqual(self.client.asked, [b"never"])

    def test_repeatedQuit(self) -> None:
        """Also from within another command."""
        self.assertEqual(self.script("repeat 2 quit", "send x"), Status.FINE)
        self.assertEqual(self.client.asked, [])

    def test_recorded(self) -> None:
        """Each line is recorded, where it was said; it is not shown."""
        self.script("send x", "# y")
        self.assertEqual(
            [(event.kind, event.body) for event in self.record.events],
            [
                ("command", "send x"),
                ("sent", "x"),
                ("command", "# y"),
                ("answered", "x"),
            ],
        )
        self.assertNotIn("command", [event.kind for event in self.seen.events])


class PromptTests(TalkTestCase):
    """The same at a prompt, where somebody sees what comes of it."""

    def test_goesOn(self) -> None:
        """Mistakes and unmet expectations are shown, and it goes on."""
        typed = Typed("send x", "expect y", "sleep soon", "file nothing", "what?")
        self.assertEqual(self.talk(typed), Status.FAILED)
        self.assertEqual(self.client.asked, [b"x", b"what?"])
        complaints = [event.text for event in self.seen.events if event.kind == "complaint"]
        self.assertEqual(complaints[0], "not as expected: #1 should be answered y, not x")
        self.assertEqual(len(complaints), 3)

    def test_mistakesAreFine(self) -> None:
        """Whoever mistypes at a prompt has seen it; that is no failure."""
        self.assertEqual(self.talk(Typed("sleep soon", "send x", "wait")), Status.FINE)

    def test_end(self) -> None:
        """At the end of the input it ends, and waits for nothing."""
        self.assertEqual(self.talk(Typed("send never")), Status.FINE)

    def test_greeting(self) -> None:
        """One is told how to go on, and what could be better."""

        async def main() -> None:
            talk = Talk(self.client, Typed(), self.display, clock=lambda: NOON)
            talk.greet("install it")
            talk.greet("")

        runInLoop(main())
        self.assertEqual(self.seen.lines, ["install it", GREETING, GREETING])


class HappeningTests(TalkTestCase):
    """What happens meanwhile."""

    def after(self, happening: str, *reason: Exception) -> list[str]:
        """Have something happen during a script, and give what was shown."""
        self.client = Meanwhile()
        self.seen.events.clear()
        self.client.later = happening, 1.0, reason
        self.assertEqual(self.script("online", "sleep 2"), Status.FINE)
        return self.seen.lines

    def test_shown(self) -> None:
        """The connection's changes are shown, and the login's, with no secret."""
        self.assertEqual(self.after("connected"), ["connected: alice at sample, login 1"])
        self.assertEqual(self.after("away"), ["away"])
        self.assertEqual(self.after("back"), ["back"])
        lost = OutcomeUnknown("the login has ended")
        self.assertEqual(self.after("loggedOut", lost), ["logged out: the login has ended"])
        self.assertNotIn(SECRET.decode(), "".join(self.seen.lines))

    def test_ended(self) -> None:
        """What ends the client ends the script at once: refused, or else unreachable."""
        for reason, status in (
            (Unauthorized("wrong password"), Status.REFUSED),
            (BadRequest("bad"), Status.REFUSED),
            (RuntimeError("a bug"), Status.UNREACHABLE),
        ):
            self.client.later = "ended", 1.0, (reason,)
            lines = [Line("online", "s:1"), Line("sleep 5", "s:2"), Line("send x", "s:3")]
            complained = self.complaint(Given(lines))
            self.assertEqual(complained, (status, f"the client has ended: {reason}"))
            self.assertEqual(self.seen.lines[-1], f"ended: {reason}")
        self.assertEqual(self.client.asked, [])
        self.assertEqual(self.client.hooks["ended"], [])

    def test_endedAtThePrompt(self) -> None:
        """It ends also what waits for somebody to type."""
        reader, writer = os.pipe()
        for end in (reader, writer):
            self.addCleanup(os.close, end)
        os.write(writer, b"online\n")
        self.client.later = "ended", 1.0, (Unauthorized("wrong password"),)
        self.assertEqual(self.complaint(Piped(reader, isTyped=True))[0], Status.REFUSED)

    def test_closed(self) -> None:
        """Where nobody reads any more what is shown, it ends."""

        def show(event: object) -> None:
            raise Closed

        self.patch(self.seen, "show", show)
        self.assertRaises(Closed, self.script, "send x", "sleep 5", "send y")
        self.assertEqual(self.client.asked, [b"x"])
