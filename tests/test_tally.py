"""
What logins count of their requests. That every request is counted once, whatever becomes of it,
and that no count ever falls, L{tests.test_sessions_machine} holds.
"""

from __future__ import annotations

from msgserver.sessions import Connection
from msgserver.tally import Tally
from tests.logins import ALICE, ONE, THREE, TWO, LoginTestCase, ask


class TallyTests(LoginTestCase):
    """L{msgserver.sessions.Logins.tally}."""

    def tally(self, running: int = 0) -> Tally:
        """Count, with what the one login's connection is."""
        connection = self.login.connection
        return self.logins.tally([] if connection is None else [connection], running)

    def test_nothing(self) -> None:
        """At first there is nothing."""
        self.assertEqual(self.tally(), Tally(0, 0, 0, 0, 0, 0, 0))

    def test_answers(self) -> None:
        """Answers of either flag count, at once and later, and so do their packets' bytes."""
        connection = self.connect()
        asked = ask(ONE, b"one") + ask(TWO, b"raise two") + ask(THREE, b"later")
        self.drain(connection, asked)
        expected = Tally(3, 1, 1, 0, 1, len(asked), (2 + 6 + 5) + (2 + 5))
        self.assertEqual(self.tally(1), expected)
        self.running(b"later").fail(b"no")
        self.assertEqual(self.tally(), Tally(3, 1, 2, 0, 0, len(asked), expected.bytesOut))
        self.assertEqual(len(connection.take()), 2 + 2 + 5)
        self.assertEqual(self.tally().bytesOut, expected.bytesOut + 9)

    def test_halfPacket(self) -> None:
        """A request counts when it is whole."""
        connection = self.connect()
        asked = ask(ONE, b"one")
        connection.receive(asked[:-1])
        self.assertEqual(self.tally().bytesIn, 0)
        connection.receive(asked[-1:])
        self.assertEqual(self.tally().bytesIn, len(asked))

    def test_replays(self) -> None:
        """What is sent again is counted as that, and its bytes leave again (S6)."""
        asked = ask(ONE, b"one")
        sent = self.drain(self.connect(), asked)
        self.assertEqual(self.drain(self.reconnect(), asked), sent)
        self.assertEqual(self.tally(), Tally(1, 1, 0, 1, 0, 2 * len(asked), 2 * len(sent)))

    def test_away(self) -> None:
        """What is answered while the user is away counts at once (S8)."""
        self.login.disconnect(self.laterOn())
        self.running(b"later").answer(b"here")
        tally = self.tally()
        self.assertEqual((tally.requests, tally.answered, tally.bytesOut), (1, 1, 2 + 4 + 5))

    def test_discarded(self) -> None:
        """An answer that goes nowhere is no answer, but was a request (S5)."""
        connection = self.laterOn()
        first = self.running(b"later")
        self.drain(connection, ask(ONE, b"two"))
        first.fail(b"")
        tally = self.tally()
        self.assertEqual((tally.requests, tally.answered, tally.failed), (2, 1, 0))

    def test_ended(self) -> None:
        """A login that has ended, and whose connection has gone, is counted still."""
        connection = self.connect()
        self.drain(connection, ask(ONE, b"one"))
        before = self.tally()
        self.logins.end(ALICE)
        self.assertEqual(self.tally(), before)
        self.login.disconnect(connection)
        self.assertEqual(self.tally(), before)

    def laterOn(self) -> Connection:
        """Give a connection whose one request is running."""
        connection = self.connect()
        self.drain(connection, ask(ONE, b"later"))
        return connection
