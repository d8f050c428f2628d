"""
Tests for L{msgserver.sessions}: what a login's next connection finds of the earlier ones.
"""

from __future__ import annotations

from msgserver.sessions import SessionLimits
from tests.logins import (
    FOUR,
    ONE,
    THREE,
    TWO,
    LoginTestCase,
    answer,
    ask,
    failure,
    heldBy,
    numbered,
)


class AskedAgainTests(LoginTestCase):
    """A session that an earlier connection used is the same request again (S6, S8, S9)."""

    def test_answered(self) -> None:
        """S6: the kept response is sent byte for byte, whatever the content now says."""
        sent = self.connect().receive(b"\x00\x05a\x00\x00\x00\x01")
        self.assertEqual(sent, b"\x00\x09re:a\x01\x00\x00\x00\x01")
        for again in (b"\x00\x05a\0\0\0\1", b"\x00\x04\0\0\0\1", ask(ONE, b"raise")):
            self.assertEqual(self.reconnect().receive(again), sent)
        self.assertAsked(b"a")

    def test_failed(self) -> None:
        """S9: a flag-0 response is replayed as it was."""
        self.connect().receive(ask(ONE, b"raise") + ask(TWO, b"fail 2") + ask(THREE, b"later"))
        self.running(b"later").fail(b"sorry")
        self.assertEqual(
            self.reconnect().receive(ask(ONE, b"") + ask(TWO, b"") + ask(THREE, b"")),
            failure(ONE) + failure(TWO, b"\0\0") + failure(THREE, b"sorry"),
        )
        self.assertAsked(b"raise", b"fail 2", b"later")

    def test_order(self) -> None:
        """S6, S1: responses leave in the order asked for, old and new among each other."""
        self.connect().receive(b"".join(ask(numbered(n), b"%d" % n) for n in range(6)))
        batch = [ask(numbered(n), b"new") for n in (5, 10, 0, 11, 12, 3)]
        expected = [
            answer(numbered(5), b"re:5"),
            answer(numbered(10), b"re:new"),
            answer(numbered(0), b"re:0"),
            answer(numbered(11), b"re:new"),
            answer(numbered(12), b"re:new"),
            answer(numbered(3), b"re:3"),
        ]
        self.assertEqual(self.reconnect().receive(b"".join(batch)), b"".join(expected))

    def test_running(self) -> None:
        """S6: the response goes to the connection that asked last, once, when it is ready."""
        first = self.connect()
        first.receive(ask(ONE, b"later"))
        second = self.reconnect()
        self.assertEqual(second.receive(ask(ONE, b"something else")), b"")
        third = self.reconnect()
        self.assertEqual(third.receive(ask(ONE, b"")), b"")
        self.running(b"later").answer(b"done")
        self.assertEqual(self.application.ready, [third])
        self.assertEqual(third.take(), answer(ONE, b"done"))
        self.assertEqual([each.take() for each in (first, second, third)], [b"", b"", b""])
        self.assertEqual(third.receive(b""), b"")
        self.assertAsked(b"later")

    def test_runningAndNotAskedAgain(self) -> None:
        """S6: a response that nobody asked for again is not sent, but kept for when it is."""
        self.connect().receive(ask(ONE, b"later") + ask(TWO, b"later too"))
        connection = self.reconnect()
        self.running(b"later").answer(b"done")
        self.running(b"later too").fail(b"not done")
        self.assertEqual(connection.take(), b"")
        self.assertEqual(
            connection.receive(ask(TWO, b"again") + ask(ONE, b"again")),
            failure(TWO, b"not done") + answer(ONE, b"done"),
        )
        self.assertEqual(self.reconnect().receive(ask(ONE, b"")), answer(ONE, b"done"))
        self.assertAsked(b"later", b"later too")

    def test_ownAfterTheReplay(self) -> None:
        """S6, S5: after the replay the session is this connection's: the next is a new request."""
        self.connect().receive(ask(ONE, b"first"))
        connection = self.reconnect()
        self.assertEqual(
            connection.receive(ask(ONE, b"") + ask(ONE, b"second")),
            answer(ONE, b"re:first") + answer(ONE, b"re:second"),
        )
        self.assertEqual(connection.receive(ask(ONE, b"third")), answer(ONE, b"re:third"))
        self.assertEqual(self.reconnect().receive(ask(ONE, b"")), answer(ONE, b"re:third"))
        self.assertAsked(b"first", b"second", b"third")

    def test_ownAfterTheAdoption(self) -> None:
        """S6, S5: so it is after a request was asked again while it was running."""
        self.connect().receive(ask(ONE, b"later first") + ask(TWO, b"later second"))
        connection = self.reconnect()
        connection.receive(ask(ONE, b"") + ask(TWO, b""))
        self.running(b"later first").answer(b"first")
        self.assertEqual(
            connection.receive(ask(ONE, b"new") + ask(TWO, b"new")),
            answer(ONE, b"first") + answer(ONE, b"re:new") + answer(TWO, b"re:new"),
        )
        self.running(b"later second").answer(b"dropped")
        self.assertEqual(connection.take(), b"")
        self.assertAsked(b"later first", b"later second", b"new", b"new")

    def test_ownAfterTheLateReplay(self) -> None:
        """S6, S5: and after what became ready unasked was asked for."""
        self.connect().receive(ask(ONE, b"later"))
        connection = self.reconnect()
        self.running(b"later").answer(b"done")
        connection.receive(ask(ONE, b""))
        self.assertEqual(connection.receive(ask(ONE, b"new")), answer(ONE, b"re:new"))

    def test_madeWhileAway(self) -> None:
        """S8: a response made while the user is away is kept, and the session then is as any."""
        self.connect().receive(ask(ONE, b"later"))
        self.login.disconnect(self.reconnect())
        self.running(b"later").answer(b"done")
        self.assertEqual(self.application.ready, [])
        connection = self.connect()
        self.assertEqual(
            connection.receive(ask(ONE, b"") + ask(ONE, b"new")),
            answer(ONE, b"done") + answer(ONE, b"re:new"),
        )
        self.assertAsked(b"later", b"new")

    def test_readyAndNotSent(self) -> None:
        """S8: a response that was ready when its connection was lost is kept."""
        connection = self.connect()
        connection.receive(ask(ONE, b"later"))
        self.running(b"later").answer(b"done")
        self.login.disconnect(connection)
        self.assertEqual(connection.take(), b"")
        self.assertEqual(self.connect().receive(ask(ONE, b"")), answer(ONE, b"done"))

    def test_manyReconnections(self) -> None:
        """S6, S7: a replay is not a response made: any number of them forgets nothing."""
        self.connect().receive(ask(ONE, b"one") + ask(TWO, b"two"))
        for _ in range(3 * self.limits.expiredNumber):
            connection = self.reconnect()
            self.assertEqual(connection.receive(ask(ONE, b"")), answer(ONE, b"re:one"))
        self.assertEqual(connection.receive(ask(TWO, b"")), answer(TWO, b"re:two"))
        self.assertAsked(b"one", b"two")

    def test_latestOfASession(self) -> None:
        """S6: what is asked again is the session's latest request, however often it was used."""
        self.connect().receive(ask(ONE, b"first") + ask(ONE, b"second"))
        self.reconnect().receive(ask(ONE, b"") + ask(ONE, b"later third"))
        connection = self.reconnect()
        self.running(b"later third").answer(b"third")
        self.assertEqual(connection.receive(ask(ONE, b"")), answer(ONE, b"third"))
        self.assertEqual(self.reconnect().receive(ask(ONE, b"")), answer(ONE, b"third"))

    def test_splitAnywhere(self) -> None:
        """S6: what is asked again may arrive in any pieces."""
        self.connect().receive(ask(ONE, b"one") + ask(TWO, b"two"))
        stream = ask(TWO, b"again") + ask(THREE, b"new") + ask(ONE, b"again")
        for place in range(len(stream) + 1):
            connection = self.reconnect()
            self.assertEqual(
                connection.receive(stream[:place]) + connection.receive(stream[place:]),
                answer(TWO, b"re:two") + answer(THREE, b"re:new") + answer(ONE, b"re:one"),
            )
        self.assertAsked(b"one", b"two", b"new")


class OneConnectionTests(LoginTestCase):
    """A handshake that succeeds makes an end of the earlier connection (H4)."""

    def test_replaced(self) -> None:
        """H4: what the old connection had buffered, or receives, is not served."""
        old = self.connect()
        request = ask(ONE, b"hello")
        old.receive(request[:5])
        new = self.connect()
        self.assertFalse(old.isOpen)
        self.assertTrue(new.isOpen)
        self.assertEqual(old.receive(request[5:]) + old.receive(ask(TWO, b"")), b"")
        self.assertAsked()
        self.assertEqual(new.receive(request), answer(ONE, b"re:hello"))

    def test_closeOfTheOld(self) -> None:
        """H4: the close of the old connection touches nothing."""
        old = self.connect()
        old.receive(ask(ONE, b"one") + ask(TWO, b"later"))
        new = self.connect()
        new.receive(ask(TWO, b""))
        self.assertFalse(self.login.disconnect(old))
        self.assertIs(self.login.connection, new)
        self.assertTrue(new.isOpen)
        self.running(b"later").answer(b"two")
        self.assertEqual(new.receive(ask(ONE, b"")), answer(TWO, b"two") + answer(ONE, b"re:one"))
        self.assertTrue(self.login.disconnect(new))
        self.assertFalse(self.login.disconnect(new))

    def test_lateAnswers(self) -> None:
        """H4, S6: late answers of the old connection are kept, and sent on neither unasked."""
        old = self.connect()
        old.receive(ask(ONE, b"later 1") + ask(TWO, b"later 2"))
        self.running(b"later 1").answer(b"ready, not sent")
        new = self.connect()
        self.running(b"later 2").answer(b"late")
        self.assertEqual((old.take(), new.take()), (b"", b""))
        self.assertEqual(
            new.receive(ask(ONE, b"") + ask(TWO, b"")),
            answer(ONE, b"ready, not sent") + answer(TWO, b"late"),
        )

    def test_duringARequest(self) -> None:
        """H4: an answer to a request in which its connection was replaced is kept."""

        def reconnect() -> bytes:
            self.connect()
            return b"done"

        self.application.calling = reconnect
        old = self.connect()
        self.assertEqual(old.receive(ask(ONE, b"call") + ask(TWO, b"behind")), b"")
        self.assertEqual(old.take(), b"")
        self.assertAsked(b"call")
        self.assertEqual(self.reconnect().receive(ask(ONE, b"")), answer(ONE, b"done"))

    def test_reconnectedWithin(self) -> None:
        """S6, H4: the connection that was made meanwhile has the answer, and runs it not again;
        be it made at once, or later."""
        for later in (False, True):
            self.setUp()

            def reconnect() -> object:
                self.connect()
                return self.application if later else b"done"  # noqa: B023

            self.application.calling = reconnect
            old = self.connect()
            self.assertEqual(old.receive(ask(ONE, b"call")), b"")
            new = self.login.connection
            assert new is not None and new is not old
            given = new.receive(ask(ONE, b"call"))
            if later:
                self.running(b"call").answer(b"done")
                given += new.take()
            self.assertEqual(given, answer(ONE, b"done"))
            self.assertAsked(b"call")

    def test_nothingWaitsOnTheOld(self) -> None:
        """H4: the old connection neither waits for room nor has more to give."""
        old = self.connect()
        old.receive(ask(ONE, b"zeros 65530") * 4)
        self.assertTrue(old.hasMore)
        self.connect()
        self.assertFalse(old.hasMore)


class WindowTests(LoginTestCase):
    """How long responses are kept, with sessions in any order (S7)."""

    limits = SessionLimits(expiredNumber=3)

    def known(self, count: int, content: bytes) -> list[int]:
        """
        Tell which of the sessions from 0 to C{count} a next connection is sent a response to,
        by asking for all of them; those that are forgotten run, and so forget no others.
        """
        sessions = [numbered(number) for number in range(count)]
        batch = b"".join(ask(each, b"later") for each in sessions)
        sent = self.drain(self.reconnect(), batch)
        known = [number for number in range(count) if answer(sessions[number], content) in sent]
        self.assertEqual(sent, b"".join(answer(sessions[number], content) for number in known))
        return known

    def assertYoungest(self, known: list[int], count: int, least: int, most: int) -> None:
        """Check that the known ones are the last, and how many."""
        self.assertEqual(known, list(range(count))[count - len(known) :])
        self.assertTrue(min(least, count) <= len(known) <= most, (count, known))

    def test_edges(self) -> None:
        """S7: at least the last expired_number of responses, at most twice as many."""
        for count in range(20):
            connection = self.connect()
            for number in range(count):
                connection.receive(ask(numbered(number), b""))
            self.assertYoungest(self.known(count, b"re:"), count, 3, 6)
            self.setUp()

    def test_oneBatch(self) -> None:
        """S7: so it is when all are made in one batch."""
        for count in range(20):
            self.connect().receive(b"".join(ask(numbered(n), b"") for n in range(count)))
            self.assertYoungest(self.known(count, b"re:"), count, 3, 6)
            self.setUp()

    def test_acrossConnections(self) -> None:
        """S7: so it is when each is made on a connection of its own."""
        for count in range(20):
            self.connect()
            for number in range(count):
                self.reconnect().receive(ask(numbered(number), b""))
            self.assertYoungest(self.known(count, b"re:"), count, 3, 6)
            self.setUp()

    def test_answeredLater(self) -> None:
        """S7, S8: so it is with answers that come later: with a connection, another, or none."""
        for count in range(1, 20):
            connection = self.connect()
            connection.receive(b"".join(ask(numbered(n), b"later %d" % n) for n in range(count)))
            for number in range(count):
                if number == count // 3:
                    self.login.disconnect(connection)
                elif number == 2 * count // 3:
                    self.connect()
                self.running(b"later %d" % number).answer(b"")
            if self.login.connection is None:
                self.connect()
            self.assertYoungest(self.known(count, b""), count, 3, 6)
            self.setUp()

    def test_batchThatAsksAgain(self) -> None:
        """S7: what a batch has made counts for what it asks again behind that."""
        for newer in range(10):
            self.connect().receive(ask(ONE, b"old"))
            sent = self.reconnect().receive(ask(TWO, b"") * newer + ask(ONE, b"new"))
            if newer < 3:
                self.assertTrue(sent.endswith(answer(ONE, b"re:old")), newer)
            elif newer >= 6:
                self.assertTrue(sent.endswith(answer(ONE, b"re:new")), newer)
            self.setUp()

    def test_forgottenWhileConnected(self) -> None:
        """S7: so does what the connection has made in earlier batches."""
        for newer in range(10):
            self.connect().receive(ask(ONE, b"old"))
            connection = self.reconnect()
            for _ in range(newer):
                connection.receive(ask(TWO, b""))
            sent = connection.receive(ask(ONE, b"new"))
            if newer < 3:
                self.assertEqual(sent, answer(ONE, b"re:old"), newer)
            elif newer >= 6:
                self.assertEqual(sent, answer(ONE, b"re:new"), newer)
            self.setUp()

    def test_orderMade(self) -> None:
        """S7: a response made unasked is younger than those that were ready before it."""
        for before in range(6):
            self.connect().receive(ask(ONE, b"later"))
            connection = self.reconnect()
            connection.receive(ask(TWO, b"") * before)
            connection.receive(b"".join(ask(numbered(n), b"later %d" % n) for n in range(9, 12)))
            for number in range(9, 12):
                self.running(b"later %d" % number).answer(b"")
            self.running(b"later").answer(b"unasked")
            connection.receive(ask(THREE, b"") * 2)
            self.assertEqual(connection.receive(ask(ONE, b"new")), answer(ONE, b"unasked"))
            self.setUp()

    def test_replaysAreNotMade(self) -> None:
        """S7: a replay neither makes a response younger nor others older."""
        self.connect().receive(ask(ONE, b"one") + ask(TWO, b"two") + ask(THREE, b"three"))
        for _ in range(10):
            self.reconnect().receive(ask(TWO, b"") + ask(ONE, b""))
        self.assertEqual(
            self.reconnect().receive(ask(THREE, b"") + ask(TWO, b"") + ask(ONE, b"")),
            answer(THREE, b"re:three") + answer(TWO, b"re:two") + answer(ONE, b"re:one"),
        )
        self.reconnect().receive(ask(ONE, b"") + ask(FOUR, b"") * 6)
        self.assertEqual(self.reconnect().receive(ask(ONE, b"new")), answer(ONE, b"re:new"))

    def test_running(self) -> None:
        """S7: a request that is still running is never forgotten."""
        self.connect().receive(ask(ONE, b"later"))
        for _ in range(5):
            self.reconnect().receive(ask(TWO, b"") + ask(THREE, b"") * 10)
        connection = self.reconnect()
        self.assertEqual(connection.receive(ask(ONE, b"new")), b"")
        self.running(b"later").answer(b"done")
        self.assertEqual(connection.take(), answer(ONE, b"done"))
        self.assertEqual(self.reconnect().receive(ask(ONE, b"new")), answer(ONE, b"done"))


class LargeAnswerTests(WindowTests):
    """How long responses are kept where they are large, and all of the above (S7)."""

    limits = SessionLimits(expiredNumber=3, cacheBytes=65537)

    def zeros(self, count: int, size: int) -> None:
        """Have so many responses of so many bytes made, their lengths included."""
        batch = (ask(numbered(n), b"zeros %d" % (size - 7)) for n in range(count))
        self.drain(self.connect(), b"".join(batch))

    def test_large(self) -> None:
        """S7: the youngest that fit into cache_bytes, at most twice that."""
        self.limits = SessionLimits(cacheBytes=100_000)
        for size, fitting, twice in ((20_000, 5, 10), (20_001, 4, 9), (19_999, 5, 10)):
            for count in range(25):
                self.setUp()
                self.zeros(count, size)
                known = self.known(count, bytes(size - 7))
                self.assertYoungest(known, count, fitting, twice)

    def test_largest(self) -> None:
        """S7: a response of 65,530 bytes fits into the least cache_bytes that there may be."""
        for count in range(1, 6):
            self.setUp()
            self.zeros(count, 65537)
            known = self.known(count, bytes(65530))
            self.assertYoungest(known, count, 1, 2)

    def test_largestAmongSmall(self) -> None:
        """S7: the largest response is kept behind small ones, and they behind it."""
        connection = self.connect()
        connection.receive(ask(ONE, b"one") + ask(TWO, b"zeros 65530"))
        connection.receive(ask(THREE, b"three") + ask(FOUR, b"four"))
        sent = self.reconnect().receive(ask(FOUR, b"new") + ask(THREE, b"new"))
        self.assertEqual(sent, answer(FOUR, b"re:four") + answer(THREE, b"re:three"))

    def test_memory(self) -> None:
        """S7: a login whose user is away holds its responses alone: at most twice cache_bytes."""
        self.limits = SessionLimits()
        self.setUp()
        self.zeros(256, 1000)
        self.login.disconnect(self.reconnect())
        self.assertTrue(250_000 < sum(map(len, heldBy(self.login))) < 260_000)

    def test_largeAndRunning(self) -> None:
        """S7: large responses do not push out what is running either."""
        self.connect().receive(ask(ONE, b"later"))
        self.reconnect()
        self.zeros(9, 65537)
        self.running(b"later").answer(b"done")
        self.assertEqual(self.reconnect().receive(ask(ONE, b"new")), answer(ONE, b"done"))


class RoundTests(LoginTestCase):
    """S7: sessions that have counted up once round the 32 bits."""

    limits = SessionLimits(increasing=True, expiredNumber=4)

    def test_comesRound(self) -> None:
        """S5: on one connection a session that counts up is new, though it was used before."""
        connection = self.connect()
        first, second = numbered(1), numbered(2)
        connection.receive(ask(first, b"a") + ask(second, b"b"))
        # The second again: from now on the own responses are told of.
        self.assertEqual(connection.receive(ask(second, b"")), answer(second, b"re:b"))
        for number in (2 + 2**31 - 1, 2**32):
            connection.receive(ask(numbered(number), b"jump"))
        self.assertEqual(connection.receive(ask(first, b"c")), answer(first, b"re:c"))
        self.assertAsked(b"a", b"b", b"jump", b"jump", b"c")


class IncreasingTests(LoginTestCase):
    """Sessions that count up (S7)."""

    limits = SessionLimits(increasing=True, expiredNumber=2, maxRunning=2)

    def assertLoggedOut(self) -> None:
        """Check that the login was asked for what it does not know, once, and has ended."""
        self.assertEqual(self.application.forgot, [self.login])
        self.assertTrue(self.login.isEnded)

    def test_countingUp(self) -> None:
        """S7: each session that is greater than the last is a new request; gaps are allowed."""
        connection = self.connect()
        numbers = (7, 8, 10, 1000, 2**31)
        for number in numbers:
            session = numbered(number)
            self.assertEqual(connection.receive(ask(session, b"x")), answer(session, b"re:x"))
        self.assertEqual(self.application.forgot, [])

    def test_anyBeginning(self) -> None:
        """S7: the first session of a login may be any."""
        for number in (0, 1, 2**31, 2**32 - 1):
            session = numbered(number)
            self.assertEqual(self.connect().receive(ask(session, b"")), answer(session, b"re:"))
            self.setUp()

    def test_wrapping(self) -> None:
        """S7: sessions are compared as serial numbers of RFC 1982, so they may wrap."""
        connection = self.connect()
        for session in (b"\xff\xff\xff\xfe", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\1"):
            self.assertEqual(connection.receive(ask(session, b"")), answer(session, b"re:"))
        self.assertEqual(
            self.reconnect().receive(ask(b"\xff\xff\xff\xff", b"")),
            answer(b"\xff\xff\xff\xff", b"re:"),
        )
        self.assertAsked(b"", b"", b"", b"")

    def test_serialNumbers(self) -> None:
        """S7: up to 2^31-1 more is after; 2^31 more, and anything less, is past."""
        for first in (0, 5, 2**31, 2**32 - 1):
            for step, isAfter in ((1, True), (2**31 - 1, True), (2**31, False), (-1, False)):
                connection = self.connect()
                connection.receive(ask(numbered(first), b""))
                connection.receive(ask(numbered(first + step), b"second"))
                self.assertEqual(self.application.forgot, [] if isAfter else [self.login])
                self.assertAsked(*([b"", b"second"] if isAfter else [b""]))
                self.setUp()

    def test_unknown(self) -> None:
        """S7: a past session without a kept response logs out; nothing behind it is served."""
        connection = self.connect()
        connection.receive(ask(FOUR, b"four"))
        self.assertEqual(
            connection.receive(ask(numbered(5), b"five") + ask(THREE, b"") + ask(numbered(6), b"")),
            answer(numbered(5), b"re:five"),
        )
        self.assertLoggedOut()
        self.assertEqual(connection.receive(ask(numbered(7), b"")), b"")
        self.assertAsked(b"four", b"five")

    def test_forgotten(self) -> None:
        """S7: between once and twice expired_number a response may be gone; then it is."""
        for newer in range(8):
            connection = self.connect()
            connection.receive(b"".join(ask(numbered(n), b"%d" % n) for n in range(newer + 1)))
            sent = self.reconnect().receive(ask(numbered(0), b"new"))
            if newer < 2:
                self.assertEqual(sent, answer(numbered(0), b"re:0"), newer)
            elif newer >= 4:
                self.assertEqual(sent, b"", newer)
                self.assertLoggedOut()
            self.assertEqual(self.application.asked.count(b"new"), 0)
            self.setUp()

    def test_onOneConnection(self) -> None:
        """S7: a repeat on the same connection is answered from what is kept, ever again."""
        connection = self.connect()
        self.assertEqual(
            connection.receive(ask(ONE, b"one") + ask(ONE, b"new") + ask(TWO, b"two")),
            answer(ONE, b"re:one") * 2 + answer(TWO, b"re:two"),
        )
        for _ in range(10):
            self.assertEqual(
                connection.receive(ask(ONE, b"new") + ask(TWO, b"new")),
                answer(ONE, b"re:one") + answer(TWO, b"re:two"),
            )
        self.assertEqual(self.reconnect().receive(ask(ONE, b"")), answer(ONE, b"re:one"))
        self.assertAsked(b"one", b"two")

    def test_onOneConnectionForgotten(self) -> None:
        """S7: until it is forgotten, be it within one batch."""
        for newer in range(8):
            connection = self.connect()
            batch = [ask(numbered(number), b"%d" % number) for number in range(newer + 1)]
            sent = connection.receive(b"".join(batch) + ask(numbered(0), b"new"))
            if newer < 2:
                self.assertTrue(sent.endswith(answer(numbered(0), b"re:0")), newer)
            elif newer >= 4:
                self.assertEqual(sent.count(numbered(0)), 1, newer)
                self.assertLoggedOut()
            self.setUp()

    def test_onOneConnectionRunning(self) -> None:
        """S7: a repeat of what is running on the same connection is answered once, when ready."""
        connection = self.connect()
        self.assertEqual(connection.receive(ask(ONE, b"later") + ask(ONE, b"new")), b"")
        self.running(b"later").answer(b"done")
        self.assertEqual(connection.receive(ask(ONE, b"new")), answer(ONE, b"done") * 2)
        self.assertAsked(b"later")

    def test_askedAgain(self) -> None:
        """S6: past sessions of earlier connections are replayed or adopted, in any order."""
        self.connect().receive(ask(ONE, b"later") + ask(TWO, b"two"))
        connection = self.reconnect()
        self.assertEqual(
            connection.receive(ask(TWO, b"") + ask(ONE, b"") + ask(THREE, b"three")),
            answer(TWO, b"re:two") + answer(THREE, b"re:three"),
        )
        self.running(b"later").answer(b"one")
        self.assertEqual(connection.take(), answer(ONE, b"one"))
        self.assertAsked(b"later", b"two", b"three")

    def test_waitingForRoom(self) -> None:
        """B2: a request that waits for room has not counted up; then it is served."""
        connection = self.connect()
        connection.receive(ask(ONE, b"later 1") + ask(TWO, b"later 2") + ask(THREE, b"three"))
        self.assertTrue(connection.isFull)
        self.assertEqual(connection.receive(b""), b"")
        self.running(b"later 2").answer(b"two")
        self.assertEqual(connection.receive(b""), answer(TWO, b"two") + answer(THREE, b"re:three"))
        self.assertEqual(self.application.forgot, [])

    def test_lostWhileWaiting(self) -> None:
        """B2: nor has one that waited in vain; on the next connection it is as new."""
        batch = ask(ONE, b"later 1") + ask(TWO, b"later 2") + ask(THREE, b"three")
        self.connect().receive(batch)
        connection = self.reconnect()
        connection.receive(batch)
        self.running(b"later 1").answer(b"one")
        self.assertEqual(connection.receive(b""), answer(ONE, b"one") + answer(THREE, b"re:three"))
        self.assertEqual(self.application.forgot, [])

    def test_replaysNeedNoRoom(self) -> None:
        """B2: what is asked again, or past, is seen to while no further request may run."""
        connection = self.connect()
        connection.receive(ask(ONE, b"one") + ask(TWO, b"later 2") + ask(THREE, b"later 3"))
        self.assertEqual(connection.receive(ask(ONE, b"")), answer(ONE, b"re:one"))
        connection = self.reconnect()
        for _ in range(2):
            self.assertEqual(
                connection.receive(ask(ONE, b"") + ask(THREE, b"")), answer(ONE, b"re:one")
            )
        connection.receive(ask(numbered(0), b""))
        self.assertLoggedOut()

    def test_manyRepeats(self) -> None:
        """B3: a batch of repeats makes its large answers bit by bit."""
        connection = self.connect()
        connection.receive(ask(ONE, b"zeros 65530"))
        sent = self.drain(connection, ask(ONE, b"") * 20)
        self.assertEqual(sent, answer(ONE, bytes(65530)) * 20)
