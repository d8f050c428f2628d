"""
Tests for L{msgserver.sessions}: one connection of a login, and the login's end.

What a second connection finds is in L{tests.test_sessions_again}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from msgserver.current import CurrentRequest, currentRequest
from msgserver.errors import IndexExpired, InvalidState, Unauthorized, UserNotFound
from msgserver.sessions import Logins, SessionLimits
from msgserver.wire.naming import Handshake, User, parseHandshake
from tests.logins import (
    ALICE,
    FOUR,
    ONE,
    SECRET,
    THREE,
    TWO,
    FakeApplication,
    LoginTestCase,
    answer,
    ask,
    failure,
    holds,
    numbered,
)

BOB = User(uid=b"bob", subid=b"1", server=b"sample")
FIRST_HELLO = parseHandshake(b"YWxpY2U=@c2FtcGxl#MQ==:1:ZluYSPmBkzY=")


class AnswerTests(LoginTestCase):
    """Requests and responses, as bytes (S, S1, S2, S4)."""

    def test_answered(self) -> None:
        """S: a response is the answer, flag 1 and the session, behind its length."""
        self.assertEqual(
            self.connect().receive(b"\x00\x09hello\xde\xad\xbe\xef"),
            b"\x00\x0dre:hello\x01\xde\xad\xbe\xef",
        )
        self.assertAsked(b"hello")

    def test_failed(self) -> None:
        """S4: where the handler raises, the response is flag 0 without content."""
        self.assertEqual(
            self.connect().receive(b"\x00\x0eraise boom\xde\xad\xbe\xef"),
            b"\x00\x05\x00\xde\xad\xbe\xef",
        )
        (error,) = self.application.errors
        self.assertIsInstance(error, ZeroDivisionError)

    def test_failedWithContent(self) -> None:
        """S4: the content of a flag-0 response is the application's to give."""
        self.assertEqual(
            self.connect().receive(ask(ONE, b"fail 3")), b"\x00\x08\0\0\0\x00\x00\x00\x00\x01"
        )

    def test_answeredLater(self) -> None:
        """S: an answer that comes later has the same form, with flag 1 or 0."""
        connection = self.connect()
        self.assertEqual(connection.receive(ask(ONE, b"later 1") + ask(TWO, b"later 2")), b"")
        first = self.running(b"later 1")
        self.assertEqual((first.user, first.session), (ALICE, ONE))
        first.answer(b"yes")
        self.running(b"later 2").fail(b"no")
        self.assertEqual(
            connection.take(), b"\x00\x08yes\x01\x00\x00\x00\x01\x00\x07no\x00\x00\x00\x00\x02"
        )
        self.assertEqual(self.application.ready, [connection, connection])

    def test_sentOnce(self) -> None:
        """S: what has been given to the transport is not given again."""
        connection = self.connect()
        connection.receive(ask(ONE, b"later") + ask(TWO, b"now"))
        self.assertEqual(connection.take(), b"")
        self.running(b"later").answer(b"")
        self.assertEqual(connection.take(), answer(ONE, b""))
        self.assertEqual(connection.take(), b"")
        self.assertEqual(connection.receive(b""), b"")

    def test_empty(self) -> None:
        """S: a request and a response may be without content."""
        self.assertEqual(self.connect().receive(b"\x00\x04\0\0\0\1"), answer(ONE, b"re:"))
        self.assertEqual(self.connect().receive(ask(TWO, b"call")), b"\x00\x05\x01\0\0\0\2")

    def test_longest(self) -> None:
        """S: a request takes 65,531 bytes of content and a response 65,530, exactly."""
        connection = self.connect()
        connection.receive(b"\xff\xff" + bytes(65531) + ONE)
        self.assertAsked(bytes(65531))
        self.assertEqual(
            connection.receive(ask(TWO, b"zeros 65530")), b"\xff\xff" + bytes(65530) + b"\x01" + TWO
        )

    def test_noAnswer(self) -> None:
        """S4: what is no bytes, or too long, is the application's to answer, at once or not."""
        connection = self.connect()
        results = [None, "text", bytearray(b"array"), bytes(65531)]
        self.application.calling = iter(results).__next__
        for _ in results:
            self.assertEqual(connection.receive(ask(ONE, b"call")), failure(ONE))
        self.assertEqual(self.application.results, results)
        self.assertEqual(self.login.runningCount, 0)

    def test_orderOfReadiness(self) -> None:
        """S1: responses leave as they are ready; a slow one holds up nobody."""
        connection = self.connect()
        self.assertEqual(
            connection.receive(
                ask(ONE, b"later 1") + ask(TWO, b"later 2") + ask(THREE, b"now") + ask(FOUR, b"too")
            ),
            answer(THREE, b"re:now") + answer(FOUR, b"re:too"),
        )
        self.running(b"later 2").answer(b"second")
        self.running(b"later 1").answer(b"first")
        self.assertEqual(
            connection.receive(ask(THREE, b"third")),
            answer(TWO, b"second") + answer(ONE, b"first") + answer(THREE, b"re:third"),
        )

    def test_anySession(self) -> None:
        """S2: a session is any 4 bytes, in any order."""
        connection = self.connect()
        for session in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"tail", b"\x7f\xff\xff\xff"):
            self.assertEqual(connection.receive(ask(session, b"x")), answer(session, b"re:x"))


class ArrivalTests(LoginTestCase):
    """Where packets begin and end, and packets that are none (S3, B4)."""

    limits = SessionLimits(maxPacket=20)

    def test_splitAnywhere(self) -> None:
        """S: a stream of requests may be cut anywhere."""
        stream = ask(ONE, b"") + ask(TWO, b"some content") + ask(THREE, b"x")
        answers = answer(ONE, b"re:") + answer(TWO, b"re:some content") + answer(THREE, b"re:x")
        for place in range(len(stream) + 1):
            connection = self.connect()
            self.assertEqual(
                connection.receive(stream[:place]) + connection.receive(stream[place:]), answers
            )

    def test_byteByByte(self) -> None:
        """S: a response leaves with the last byte of its request, and not before."""
        connection = self.connect()
        stream = ask(ONE, b"hello")
        for byte in stream[:-1]:
            self.assertEqual(connection.receive(bytes([byte])), b"")
            self.assertAsked()
        self.assertEqual(connection.receive(stream[-1:]), answer(ONE, b"re:hello"))

    def test_short(self) -> None:
        """S3: a packet too short for a session: what came before is served, nothing behind."""
        for length in range(4):
            connection = self.connect()
            self.assertEqual(
                connection.receive(
                    ask(ONE, b"before") + bytes([0, length]) + bytes(length) + ask(TWO, b"behind")
                ),
                answer(ONE, b"re:before"),
            )
            self.assertTrue(connection.isBroken)
            self.assertEqual(connection.receive(ask(THREE, b"later on")), b"")
            self.assertEqual(connection.receive(b""), b"")
            self.assertAsked(b"before")
            self.setUp()

    def test_shortest(self) -> None:
        """S3: a packet of 4 bytes is a request without content."""
        connection = self.connect()
        connection.receive(b"\x00\x04four")
        self.assertFalse(connection.isBroken)
        self.assertAsked(b"")

    def test_brokenIsNotLoggedOut(self) -> None:
        """S3: it is the connection that a short packet ends, not the login."""
        connection = self.connect()
        connection.receive(ask(ONE, b"later 1") + ask(TWO, b"later 2") + b"\x00\x00")
        self.assertFalse(self.login.isEnded)
        self.running(b"later 1").answer(b"before the close")
        self.assertTrue(self.login.disconnect(connection))
        self.running(b"later 2").answer(b"after it")
        self.assertEqual(
            self.connect().receive(ask(TWO, b"") + ask(ONE, b"")),
            answer(TWO, b"after it") + answer(ONE, b"before the close"),
        )

    def test_longest(self) -> None:
        """B4: a packet of max_packet bytes is served; one byte more breaks the connection."""
        connection = self.connect()
        self.assertEqual(
            connection.receive(b"\x00\x14" + b"x" * 16 + ONE), answer(ONE, b"re:" + b"x" * 16)
        )
        self.assertFalse(connection.isBroken)
        connection.receive(b"\x00\x15" + b"x" * 17 + TWO)
        self.assertTrue(connection.isBroken)
        self.assertAsked(b"x" * 16)

    def test_announcedTooLong(self) -> None:
        """B4, S3: the length alone breaks the connection, before anything of it is held."""
        for length in (b"\x00\x15", b"\xff\xff", b"\x00\x03"):
            connection = self.connect()
            connection.receive(length[:1])
            self.assertFalse(connection.isBroken)
            connection.receive(length[1:])
            self.assertTrue(connection.isBroken)


class RepeatTests(LoginTestCase):
    """The same session again on one connection is a new request (S5)."""

    def test_afterTheAnswer(self) -> None:
        """S5: both reach the handler, both are answered, and the later answer is kept."""
        connection = self.connect()
        self.assertEqual(
            connection.receive(ask(ONE, b"first") + ask(ONE, b"second")),
            answer(ONE, b"re:first") + answer(ONE, b"re:second"),
        )
        self.assertEqual(connection.receive(ask(ONE, b"third")), answer(ONE, b"re:third"))
        self.assertAsked(b"first", b"second", b"third")
        self.assertEqual(self.reconnect().receive(ask(ONE, b"")), answer(ONE, b"re:third"))

    def test_laterOneAnsweredFirst(self) -> None:
        """S5: the first of two that run finishes last, and its answer is dropped."""
        connection = self.connect()
        connection.receive(ask(ONE, b"later first") + ask(ONE, b"later second"))
        self.assertAsked(b"later first", b"later second")
        self.running(b"later second").answer(b"second")
        self.assertEqual(connection.take(), answer(ONE, b"second"))
        self.running(b"later first").answer(b"first")
        self.assertEqual(connection.take(), b"")
        self.assertEqual(self.reconnect().receive(ask(ONE, b"")), answer(ONE, b"second"))

    def test_laterOneAnsweredLast(self) -> None:
        """S5: the first of two that run finishes first, and its answer is dropped all the same."""
        connection = self.connect()
        connection.receive(ask(ONE, b"later first") + ask(ONE, b"later second"))
        self.running(b"later first").fail(b"first")
        self.assertEqual(connection.take(), b"")
        self.running(b"later second").answer(b"second")
        self.assertEqual(connection.take(), answer(ONE, b"second"))
        self.assertEqual(self.reconnect().receive(ask(ONE, b"")), answer(ONE, b"second"))

    def test_laterOneAnsweredAtOnce(self) -> None:
        """S5: the first runs, the later one is answered, fails or raises at once."""
        for content, response in (
            (b"now", answer(ONE, b"re:now")),
            (b"soon 2", answer(ONE, b"\0\0")),
            (b"raise", failure(ONE)),
        ):
            connection = self.connect()
            self.assertEqual(
                connection.receive(ask(ONE, b"later") + ask(ONE, content)), response
            )
            self.running(b"later").answer(b"dropped")
            self.assertEqual(connection.take(), b"")
            self.assertEqual(self.reconnect().receive(ask(ONE, b"")), response)
            self.setUp()

    def test_laterOneStillRunning(self) -> None:
        """S5, S6: an answer of before is out of date once the session runs again."""
        self.connect().receive(ask(ONE, b"first") + ask(ONE, b"later"))
        connection = self.reconnect()
        self.assertEqual(connection.receive(ask(ONE, b"")), b"")
        self.running(b"later").answer(b"second")
        self.assertEqual(connection.take(), answer(ONE, b"second"))
        self.assertAsked(b"first", b"later")


class CurrentRequestTests(LoginTestCase):
    """What a handler can find out about its request."""

    def test_inside(self) -> None:
        """The handler's request is the one that is being served."""
        self.connect().receive(ask(ONE, b"") + ask(b"tail", b"raise") + ask(TWO, b"later"))
        self.assertEqual(
            self.application.current,
            [CurrentRequest(ALICE, session) for session in (ONE, b"tail", TWO)],
        )

    def test_outside(self) -> None:
        """There is none outside a handler, however the batch went."""
        self.assertRaises(InvalidState, currentRequest)
        for batch in (ask(ONE, b""), ask(ONE, b"raise"), ask(ONE, b"later"), ask(ONE, b"") + b"\0"):
            self.connect().receive(batch)
            self.assertRaises(InvalidState, currentRequest)
        self.connect().receive(ask(TWO, b"") + b"\0\0")
        self.assertRaises(InvalidState, currentRequest)

    def test_key(self) -> None:
        """The key is the same for a session of a login, whatever the content, and only for it."""
        self.connect().receive(ask(ONE, b"a"))
        self.connect().receive(ask(TWO, b"b") + ask(TWO, b"c"))
        one, two, again = (current.key for current in self.application.current)
        self.assertNotEqual(one, two)
        self.assertEqual(two, again)
        self.assertEqual(one, CurrentRequest(ALICE, ONE).key)
        others = [
            User(b"alice", b"2", b"sample"),
            User(b"alic", b"e1", b"sample"),
            User(b"alice", b"1", b"ample"),
        ]
        keys = {CurrentRequest(user, ONE).key for user in [ALICE, *others]}
        self.assertEqual(len(keys), 4)


class HandshakeTests(SynchronousTestCase):
    """The table of logins, and which handshakes it accepts (H, H1, H4)."""

    def setUp(self) -> None:
        self.logins = Logins(SessionLimits(), FakeApplication())

    def test_accepted(self) -> None:
        """H: the recorded handshake connects its login."""
        login = self.logins.admit(ALICE, SECRET)
        self.logins.admit(BOB, bytes(8))
        transport = object()
        connection = self.logins.connect(FIRST_HELLO, transport)
        self.assertIs(connection.login, login)
        self.assertIs(connection.transport, transport)
        self.assertIs(login.connection, connection)
        self.assertTrue(connection.isOpen)

    def test_unknown(self) -> None:
        """H: no such login, though one of the uid there is."""
        self.logins.admit(User(b"alice", b"2", b"sample"), SECRET)
        self.assertRaises(UserNotFound, self.logins.connect, FIRST_HELLO, None)

    def test_order(self) -> None:
        """H1: a wrong mac never learns the index, and a refusal changes nothing."""
        login = self.logins.admit(ALICE, SECRET)
        connection = self.logins.connect(FIRST_HELLO, None)
        for index, mac, refusal in (
            (1, bytes(8), Unauthorized),
            (2**62, bytes(8), Unauthorized),
            (1, FIRST_HELLO.mac, IndexExpired),
        ):
            handshake = Handshake(ALICE, index, FIRST_HELLO.text, mac)
            self.assertRaises(refusal, self.logins.connect, handshake, None)
        self.assertIs(login.connection, connection)
        self.assertTrue(connection.isOpen)

    def test_index(self) -> None:
        """H: each index is greater than the last accepted one; 0 never is."""
        login = self.logins.admit(ALICE, SECRET)
        self.assertRaises(IndexExpired, login.connect, 0, None)
        self.assertIsNone(login.connection)
        for index, refused in ((1, (1, 0)), (7, (7, 6, 1)), (2**63 - 1, (2**63 - 1, 8))):
            connection = login.connect(index, None)
            for expired in refused:
                self.assertRaises(IndexExpired, login.connect, expired, None)
            self.assertIs(login.connection, connection)
            self.assertTrue(connection.isOpen)
            login.disconnect(connection)
            self.assertRaises(IndexExpired, login.connect, index, None)

    def test_table(self) -> None:
        """The table knows the logins that are admitted and have not ended."""
        self.assertIsNone(self.logins.get(ALICE))
        alice = self.logins.admit(ALICE, SECRET)
        self.assertRaises(InvalidState, self.logins.admit, ALICE, bytes(8))
        bob = self.logins.admit(BOB, SECRET)
        self.assertIs(self.logins.get(ALICE), alice)
        self.assertEqual(alice.secret, SECRET)
        self.assertEqual(list(self.logins), [alice, bob])
        for login in self.logins:
            self.logins.end(login.user)
        self.assertEqual(len(self.logins), 0)
        self.assertIsNone(self.logins.get(ALICE))


class EndTests(LoginTestCase):
    """The end of a login (U2, U5)."""

    def test_ended(self) -> None:
        """U2: it is gone from the table, once; its secret and its responses are forgotten."""
        connection = self.connect()
        connection.receive(ask(ONE, b"older"))
        self.connect().receive(ask(TWO, b"younger"))
        self.assertTrue(holds(self.login, b"re:older") and holds(self.login, b"re:younger"))
        self.assertIs(self.logins.end(ALICE), self.login)
        self.assertTrue(self.login.isEnded)
        self.assertFalse(holds(self.login, SECRET))
        self.assertFalse(holds(self.login, b"re:older") or holds(self.login, b"re:younger"))
        self.assertIsNone(self.logins.end(ALICE))
        self.assertRaises(UserNotFound, self.logins.connect, FIRST_HELLO, None)

    def test_byItsOwnRequest(self) -> None:
        """U2: the answer to the request that logs out leaves; requests behind are not served."""

        def logout() -> bytes:
            self.logins.end(ALICE)
            return b"bye"

        self.application.calling = logout
        connection = self.connect()
        self.assertEqual(
            connection.receive(ask(ONE, b"before") + ask(TWO, b"call") + ask(THREE, b"behind")),
            answer(ONE, b"re:before") + answer(TWO, b"bye"),
        )
        self.assertFalse(connection.isOpen)
        self.assertEqual(connection.receive(ask(FOUR, b"later on")), b"")
        self.assertAsked(b"before", b"call")

    def test_sameTurn(self) -> None:
        """U2: answers ready in the same turn leave, made before the end or after it."""
        connection = self.connect()
        connection.receive(ask(ONE, b"later 1") + ask(TWO, b"later 2"))
        self.running(b"later 1").answer(b"first")
        self.logins.end(ALICE)
        self.running(b"later 2").answer(b"second")
        self.assertEqual(connection.receive(ask(THREE, b"no more")), b"")
        self.assertEqual(connection.take(), answer(ONE, b"first") + answer(TWO, b"second"))
        self.assertAsked(b"later 1", b"later 2")

    def test_afterTheClose(self) -> None:
        """U2: what becomes ready when the connection is lost goes nowhere, and is not kept."""
        connection = self.connect()
        connection.receive(ask(ONE, b"later 1") + ask(TWO, b"later 2"))
        self.logins.end(ALICE)
        self.running(b"later 1").answer(b"never sent")
        self.assertTrue(self.login.disconnect(connection))
        self.running(b"later 2").answer(b"a late answer")
        self.assertFalse(holds(self.login, b"a late answer"))
        self.assertEqual(self.application.ready, [connection])
        self.assertEqual(connection.take(), b"")
        self.assertEqual(self.login.runningCount, 0)

    def test_whileAway(self) -> None:
        """U2: a login without a connection ends as well, and its late answers are not kept."""
        connection = self.connect()
        connection.receive(ask(ONE, b"later"))
        self.login.disconnect(connection)
        self.logins.end(ALICE)
        self.running(b"later").answer(b"a late answer")
        self.assertFalse(holds(self.login, b"a late answer"))
        self.assertEqual(self.application.ready, [])

    def test_nothingWaitsAnyMore(self) -> None:
        """U2: no request waits for room or for the transport once the login has ended."""
        for batch in (
            ask(ONE, b"zeros 65530") + ask(TWO, b"zeros 65530") + ask(THREE, b"zeros 65530"),
            b"".join(ask(ONE, b"later %d" % number) for number in range(129)),
        ):
            connection = self.connect()
            connection.receive(batch)
            self.assertTrue(connection.hasMore or connection.isFull)
            self.logins.end(ALICE)
            self.assertFalse(connection.hasMore or connection.isFull)
            self.setUp()

    def test_loginAgain(self) -> None:
        """U5: a login of the same name has no responses and no index of the old one."""
        connection = self.connect()
        connection.receive(ask(ONE, b"old") + ask(TWO, b"later"))
        self.logins.end(ALICE)
        login = self.logins.admit(ALICE, bytes(8))
        self.assertEqual(
            login.connect(1, None).receive(ask(ONE, b"new") + ask(TWO, b"new")),
            answer(ONE, b"re:new") + answer(TWO, b"re:new"),
        )
        self.running(b"later").answer(b"of the old one")
        assert login.connection is not None
        self.assertEqual(login.connection.take(), b"")


class RoomTests(LoginTestCase):
    """How many requests run at once (B2)."""

    limits = SessionLimits(maxRunning=2)

    def test_full(self) -> None:
        """B2: exactly so many run; one more waits, with all behind it, for any to be answered."""
        connection = self.connect()
        connection.receive(ask(ONE, b"later 1") + ask(TWO, b"later 2"))
        self.assertFalse(connection.isFull)
        self.assertEqual(connection.receive(ask(THREE, b"third") + ask(FOUR, b"fourth")), b"")
        self.assertTrue(connection.isFull)
        self.assertEqual(connection.receive(b""), b"")
        self.assertTrue(connection.isFull)
        self.assertAsked(b"later 1", b"later 2")
        self.running(b"later 2").answer(b"done")
        self.assertEqual(self.application.ready, [connection])
        self.assertEqual(
            connection.receive(b""),
            answer(TWO, b"done") + answer(THREE, b"re:third") + answer(FOUR, b"re:fourth"),
        )
        self.assertFalse(connection.isFull)

    def test_fullAgain(self) -> None:
        """B2: one answer makes room for one request that runs on."""
        connection = self.connect()
        connection.receive(b"".join(ask(numbered(n), b"later %d" % n) for n in range(5)))
        self.assertAsked(b"later 0", b"later 1")
        self.running(b"later 0").fail(b"")
        connection.receive(b"")
        self.assertAsked(b"later 0", b"later 1", b"later 2")
        self.assertTrue(connection.isFull)
        self.assertEqual(self.login.runningCount, 2)

    def test_repeats(self) -> None:
        """B2, S5: a session repeated while it runs counts for as often as it runs."""
        connection = self.connect()
        connection.receive(ask(ONE, b"later 1") + ask(ONE, b"later 2") + ask(ONE, b"now"))
        self.assertTrue(connection.isFull)
        self.assertEqual(self.login.runningCount, 2)
        self.running(b"later 1").answer(b"goes nowhere, but makes room")
        self.assertEqual(self.application.ready, [connection])
        self.assertEqual(connection.receive(b""), answer(ONE, b"re:now"))
        self.running(b"later 2").answer(b"goes nowhere either")
        self.assertEqual(connection.take(), b"")
        self.assertEqual(self.login.runningCount, 0)

    def test_acrossConnections(self) -> None:
        """B2: what earlier connections left running takes room; replays and adoptions need none."""
        connection = self.connect()
        connection.receive(ask(ONE, b"now") + ask(TWO, b"later 2") + ask(THREE, b"later 3"))
        connection = self.reconnect()
        self.assertEqual(
            connection.receive(ask(TWO, b"") + ask(ONE, b"") + ask(FOUR, b"new")),
            answer(ONE, b"re:now"),
        )
        self.assertTrue(connection.isFull)
        self.running(b"later 2").answer(b"second")
        self.assertEqual(connection.receive(b""), answer(TWO, b"second") + answer(FOUR, b"re:new"))
        self.assertAsked(b"now", b"later 2", b"later 3", b"new")

    def test_waitingIsNotRun(self) -> None:
        """B2, H4: a request that still waits when its connection is lost has never been."""
        self.connect().receive(b"".join(ask(numbered(n), b"later %d" % n) for n in range(3)))
        connection = self.reconnect()
        self.assertFalse(connection.isFull)
        connection.receive(ask(numbered(2), b"x"))
        self.assertTrue(connection.isFull)
        self.running(b"later 0").answer(b"unasked, but makes room")
        self.assertEqual(self.application.ready, [connection])
        self.assertEqual(connection.receive(b""), answer(numbered(2), b"re:x"))


class MemoryTests(LoginTestCase):
    """How much one batch may make before the transport has taken it (B3)."""

    def test_largeAnswers(self) -> None:
        """B3: a batch of small requests makes its large answers bit by bit, and all of them."""
        for content, response in (
            (b"zeros 65530", b"\xff\xff" + bytes(65530) + b"\x01"),
            (b"soon 65530", b"\xff\xff" + bytes(65530) + b"\x01"),
            (b"fail 65530", b"\xff\xff" + bytes(65530) + b"\x00"),
        ):
            sessions = [numbered(number) for number in range(10)]
            batch = b"".join(ask(session, content) for session in sessions)
            answers = self.drain(self.connect(), batch)
            self.assertEqual(answers, b"".join(response + session for session in sessions))
            self.assertAsked(*[content] * 10)
            self.setUp()

    def test_replays(self) -> None:
        """B3, S6: so it is with large answers that are asked for again."""
        asked = b"".join(ask(numbered(number), b"zeros 65530") for number in range(10))
        first = self.drain(self.connect(), asked)
        self.assertEqual(self.drain(self.connect(), asked), first)
        self.assertAsked(*[b"zeros 65530"] * 10)

    def test_edge(self) -> None:
        """B3: a batch goes on up to 131,072 bytes of content, and stops behind more."""
        for size, isServed in ((12, True), (13, False)):
            connection = self.connect()
            batch = ask(ONE, b"zeros 65530") * 2 + ask(TWO, b"zeros %d" % size)
            sent = connection.receive(batch + ask(THREE, b"last"))
            last = answer(THREE, b"re:last")
            self.assertEqual(sent.endswith(last), isServed)
            self.assertEqual(connection.receive(b""), b"" if isServed else last)
            self.assertFalse(connection.hasMore)

    def test_countedOnce(self) -> None:
        """B3: answers that come by themselves count for what they are, and no others with them."""
        batch = ask(ONE, b"zeros 65530") + ask(TWO, b"soon 1") * 3 + ask(THREE, b"last")
        sent = self.connect().receive(batch)
        self.assertTrue(sent.endswith(answer(THREE, b"re:last")))

    def test_order(self) -> None:
        """B3, S1: what arrives while requests wait comes behind them."""
        connection = self.connect()
        connection.receive(ask(ONE, b"zeros 65530") * 3 + ask(TWO, b"waits") + b"\x00\x06th")
        self.assertTrue(connection.hasMore)
        self.assertEqual(
            connection.receive(THREE + ask(FOUR, b"behind")),
            answer(TWO, b"re:waits") + answer(THREE, b"re:th") + answer(FOUR, b"re:behind"),
        )
