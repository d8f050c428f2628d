"""
Tests for L{msgserver.wire.messages}: a box of messages, from both of its ends.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import MessagesMissed, MessageTooLong, ProtocolError
from msgserver.wire.framing import MAX_RESPONSE
from msgserver.wire.messages import (
    MAX_MESSAGE,
    Inbox,
    Outbox,
    Poll,
    frame,
    parseAnswer,
    parsePoll,
    writeAnswer,
)

BOX = b"\x01ABCDEFG"
OTHER = b"\x01abcdefg"
ZEROS = bytes(8)
MOST = MAX_MESSAGE + 2

# Always the same examples, and no verdict by the clock: a failure here is one everywhere.
deterministic = settings(derandomize=True, database=None, deadline=None, max_examples=300)


def number(value: int) -> bytes:
    """Write a number as it is on the wire."""
    return value.to_bytes(8, "big")


def told(taken: list[bytes | MessagesMissed]) -> list[bytes | int | None]:
    """Give what was taken, with the count of what was missed instead of the error."""
    return [item.count if isinstance(item, MessagesMissed) else item for item in taken]


def makeOutbox(maxMessages: int = 1024, maxBytes: int = 1 << 20, box: bytes = BOX) -> Outbox:
    """Make a box for which a test tells the limits."""
    return Outbox(box, maxMessages, maxBytes)


def fill(outbox: Outbox, *messages: bytes) -> None:
    """Push some messages."""
    for message in messages:
        outbox.push(frame(message))


class WireTests(SynchronousTestCase):
    """The bytes of polls and answers."""

    def test_poll(self) -> None:
        """A poll is a box and a number; the first is all zeros."""
        self.assertEqual(Inbox().poll(), bytes(16))
        self.assertEqual(parsePoll(bytes(16)), Poll(ZEROS, 0))
        self.assertEqual(parsePoll(BOX + number(7)), Poll(BOX, 7))

    def test_notAPoll(self) -> None:
        """What has another length, or has seen messages of no box, is refused in one line."""
        for content in (b"", b"hello", bytes(15), bytes(17), ZEROS + number(1)):
            self.assertRaises(ProtocolError, parsePoll, content)
        error = self.assertRaises(ProtocolError, parsePoll, b"hello")
        self.assertEqual(str(error), "a poll has 16 bytes, not 5")

    def test_answer(self) -> None:
        """An answer is a box, a number, and the messages, each behind its length."""
        answer = writeAnswer(BOX, 3, [frame(b"one"), frame(b"")])
        self.assertEqual(answer, BOX + number(3) + b"\x00\x03one\x00\x00")
        self.assertEqual(parseAnswer(answer), (BOX, 3, [b"one", b""]))

    def test_asManyAsFit(self) -> None:
        """An answer takes the messages that fit, in order, and is never too long."""
        frames = [frame(bytes(30_000)), frame(bytes(30_000)), frame(bytes(6_000)), frame(b"")]
        answer = writeAnswer(BOX, 1, frames)
        self.assertEqual([len(message) for message in parseAnswer(answer)[2]], [30_000, 30_000])
        answer = writeAnswer(BOX, 1, [frame(bytes(MAX_MESSAGE)), frame(b"")])
        self.assertEqual(len(answer), MAX_RESPONSE)
        self.assertEqual(len(parseAnswer(answer)[2]), 1)

    def test_tooLong(self) -> None:
        """The longest message fills one answer; one byte more is refused."""
        self.assertEqual(MAX_MESSAGE, 65_512)
        self.assertEqual(len(frame(bytes(MAX_MESSAGE))), MAX_RESPONSE - 16)
        error = self.assertRaises(MessageTooLong, frame, bytes(MAX_MESSAGE + 1))
        self.assertEqual(str(error), "a message has at most 65512 bytes, not 65513")

    def test_notAnAnswer(self) -> None:
        """What is cut, or has a box or a number that cannot be, changes nothing."""
        whole = writeAnswer(BOX, 1, [frame(b"one"), frame(b"two")])
        inbox = Inbox()
        inbox.take(writeAnswer(BOX, 1, []))
        cuts = {16, 21}  # Between two messages nobody can tell.
        wrong = [whole[:end] for end in range(len(whole)) if end not in cuts]
        wrong += [ZEROS + number(1), BOX + number(0), BOX + number((1 << 64) - 1) + b"\x00\x00"]
        for answer in wrong:
            self.assertRaises(ProtocolError, inbox.take, answer)
        self.assertEqual(inbox.poll(), BOX + number(0))
        self.assertEqual(inbox.take(whole), [b"one", b"two"])

    @deterministic
    @given(st.binary(max_size=40))
    def test_anyBytes(self, data: bytes) -> None:
        """Whatever arrives is read, or is a L{ProtocolError}."""
        for parse in (parsePoll, Inbox().take):
            try:
                parse(data)
            except ProtocolError:
                pass

    @deterministic
    @given(st.lists(st.binary(max_size=20), max_size=8), st.integers(1, 1 << 40))
    def test_roundTrip(self, messages: list[bytes], first: int) -> None:
        """What is written is read."""
        answer = writeAnswer(BOX, first, map(frame, messages))
        self.assertEqual(parseAnswer(answer), (BOX, first, messages))


class InboxTests(SynchronousTestCase):
    """What a client makes of answers."""

    def setUp(self) -> None:
        self.inbox = Inbox()
        self.take(0)

    def take(self, first: int, *messages: bytes, box: bytes = BOX) -> list[bytes | int | None]:
        """Take an answer; a first number of 0 stands for none so far."""
        return told(self.inbox.take(writeAnswer(box, first or 1, map(frame, messages))))

    def test_inOrder(self) -> None:
        """What follows on what has arrived is new, and the next poll says so."""
        self.assertEqual(self.take(1, b"one", b"two"), [b"one", b"two"])
        self.assertEqual(self.inbox.poll(), BOX + number(2))
        self.assertEqual(self.take(3, b"three"), [b"three"])

    def test_twice(self) -> None:
        """What has arrived already is dropped, and what comes with it is not."""
        self.take(1, b"one", b"two")
        self.assertEqual(self.take(1, b"one", b"two"), [])
        self.assertEqual(self.take(2, b"two", b"three"), [b"three"])
        self.assertEqual(self.take(1, b"one"), [])
        self.assertEqual(self.inbox.poll(), BOX + number(3))

    def test_nothing(self) -> None:
        """An answer without a message changes nothing."""
        self.take(1, b"one")
        self.assertEqual(self.take(2), [])
        self.assertEqual(self.take(1), [])
        self.assertEqual(self.inbox.poll(), BOX + number(1))

    def test_gap(self) -> None:
        """Numbers that are left out are told, before what comes after them."""
        self.take(1, b"one")
        self.assertEqual(self.take(5, b"five"), [3, b"five"])
        self.assertEqual(self.take(9), [3])
        self.assertEqual(self.inbox.poll(), BOX + number(8))
        self.assertEqual(self.take(9, b"nine"), [b"nine"])

    def test_newBox(self) -> None:
        """Another box is told, with nobody knowing how many were in the old one."""
        self.take(1, b"one")
        self.assertEqual(self.take(4, box=OTHER), [None])
        self.assertEqual(self.inbox.poll(), OTHER + number(3))
        self.assertEqual(self.take(4, b"four", box=OTHER), [b"four"])

    def test_firstBox(self) -> None:
        """The first box is as good as any: what others have had of it is not missed."""
        inbox = Inbox()
        self.assertEqual(inbox.take(writeAnswer(BOX, 8, [])), [])
        self.assertEqual(inbox.poll(), BOX + number(7))


class OutboxTests(SynchronousTestCase):
    """What a server answers."""

    def test_firstPoll(self) -> None:
        """Who names no box, or another, is told at once which this is, and what comes next."""
        outbox = makeOutbox()
        fill(outbox, b"one")
        for poll in (Poll(ZEROS, 0), Poll(OTHER, 12)):
            self.assertEqual(outbox.answer(poll), BOX + number(1))
        outbox.answer(Poll(BOX, 1))
        self.assertEqual(outbox.answer(Poll(ZEROS, 0)), BOX + number(2))
        self.assertEqual(outbox.nothing(), BOX + number(2))

    def test_acknowledged(self) -> None:
        """Messages are there until a poll says that they have arrived."""
        outbox = makeOutbox()
        fill(outbox, b"one", b"two")
        for _ in range(2):
            self.assertEqual(
                outbox.answer(Poll(BOX, 0)), writeAnswer(BOX, 1, [b"\0\3one", b"\0\3two"])
            )
        self.assertEqual((len(outbox), outbox.size), (2, 10))
        self.assertEqual(outbox.answer(Poll(BOX, 1)), writeAnswer(BOX, 2, [b"\0\3two"]))
        self.assertEqual((len(outbox), outbox.size), (1, 5))
        self.assertIs(outbox.answer(Poll(BOX, 2)), None)
        self.assertEqual((len(outbox), outbox.size), (0, 0))

    def test_future(self) -> None:
        """Who has seen what was never sent is refused, and what is there stays."""
        outbox = makeOutbox()
        fill(outbox, b"one")
        self.assertRaises(ProtocolError, outbox.answer, Poll(BOX, 2))
        self.assertEqual(len(outbox), 1)
        self.assertIs(outbox.answer(Poll(BOX, 1)), None)

    def test_late(self) -> None:
        """A poll that is behind another's is told where the box stands: it has missed some."""
        outbox = makeOutbox()
        fill(outbox, b"one", b"two")
        outbox.answer(Poll(BOX, 2))
        self.assertEqual(outbox.answer(Poll(BOX, 1)), BOX + number(3))
        self.assertEqual(outbox.answer(Poll(ZEROS, 0)), BOX + number(3))

    def test_maxMessages(self) -> None:
        """One more than it holds drops the oldest; the client is told how many, once."""
        outbox, inbox = makeOutbox(maxMessages=2), Inbox()
        inbox.take(outbox.nothing())
        fill(outbox, b"one", b"two")
        self.assertEqual(len(outbox), 2)
        fill(outbox, b"three", b"four")
        self.assertEqual((len(outbox), outbox.size), (2, 13))
        self.assertEqual(told(self.exchange(inbox, outbox)), [2, b"three", b"four"])
        self.assertEqual(outbox.answer(parsePoll(inbox.poll())), None)

    def test_maxBytes(self) -> None:
        """So does one byte more; a message as long as can be always has room."""
        outbox, inbox = makeOutbox(maxBytes=MOST), Inbox()
        inbox.take(outbox.nothing())
        fill(outbox, bytes(MAX_MESSAGE - 3), b"x")
        self.assertEqual((len(outbox), outbox.size), (2, MOST))
        fill(outbox, b"")
        self.assertEqual(len(outbox), 2)
        fill(outbox, bytes(MAX_MESSAGE))
        self.assertEqual((len(outbox), outbox.size), (1, MOST))
        self.assertEqual(told(self.exchange(inbox, outbox)), [3, bytes(MAX_MESSAGE)])

    def test_droppedBeforeTheFirstPoll(self) -> None:
        """Who has just come is told what was dropped before that."""
        outbox, inbox = makeOutbox(maxMessages=1), Inbox()
        fill(outbox, b"one", b"two", b"three")
        self.assertEqual(told(self.exchange(inbox, outbox)), [])
        self.assertEqual(told(self.exchange(inbox, outbox)), [2, b"three"])

    def test_droppedButArrived(self) -> None:
        """What was dropped after it had arrived is not missed."""
        outbox, inbox = makeOutbox(maxMessages=1), Inbox()
        inbox.take(outbox.nothing())
        fill(outbox, b"one")
        self.exchange(inbox, outbox)
        fill(outbox, b"two")
        self.assertEqual(told(self.exchange(inbox, outbox)), [b"two"])

    def exchange(self, inbox: Inbox, outbox: Outbox) -> list[bytes | MessagesMissed]:
        """Poll once."""
        answer = outbox.answer(parsePoll(inbox.poll()))
        assert answer is not None
        return inbox.take(answer)


class BothEndsTests(SynchronousTestCase):
    """Whatever gets lost between the two ends."""

    @deterministic
    @given(st.lists(st.sampled_from(["push", "poll", "lose", "repeat", "restart"]), max_size=40))
    def test_onceInOrder(self, steps: list[str]) -> None:
        """
        S6: answers that get lost, polls and answers that come again, and new logins of the same
        client neither lose nor double a message.
        """
        ends = _Ends(makeOutbox())
        for step in steps:
            getattr(ends, step)()
        ends.finish()
        self.assertEqual(ends.taken, ends.pushed)

    @deterministic
    @given(
        st.lists(st.sampled_from(["push", "poll", "lose", "repeat", "restart"]), max_size=60),
        st.integers(1, 4),
    )
    def test_full(self, steps: list[str], maxMessages: int) -> None:
        """Where messages are dropped, those taken and those told as missed are all there were."""
        ends = _Ends(makeOutbox(maxMessages))
        for step in steps:
            getattr(ends, step)()
        ends.finish()
        at = 0
        for item in ends.taken:
            if isinstance(item, int):
                self.assertGreater(item, 0)
                at += item
            else:
                self.assertEqual(item, ends.pushed[at])
                at += 1
        self.assertEqual(at, len(ends.pushed))


class _Ends:
    """
    A box and its client, and a network that loses what it likes.

    @ivar taken: the messages, and the counts of those missed.
    """

    def __init__(self, outbox: Outbox) -> None:
        self.pushed: list[bytes] = []
        self.taken: list[bytes | int | None] = []
        self._outbox = outbox
        self._inbox = Inbox()
        self._old: list[bytes] = []
        self._take(outbox.nothing())

    def push(self) -> None:
        """Push another message."""
        message = b"%d" % len(self.pushed)
        self.pushed.append(message)
        fill(self._outbox, message)

    def poll(self) -> None:
        """Ask, and get the answer if there is one."""
        answer = self._ask()
        if answer is not None:
            self._take(answer)

    def lose(self) -> None:
        """Ask, and never get the answer; the next poll is the same."""
        self._ask()

    def repeat(self) -> None:
        """Get the last answer again."""
        if self._old:
            self._take(self._old[-1])

    def restart(self) -> None:
        """Take a login in which the box is asked for from the start."""
        self._outbox.answer(Poll(ZEROS, 0))
        self.poll()

    def finish(self) -> None:
        """Ask until there is nothing."""
        while (answer := self._ask()) is not None:
            self._take(answer)

    def _ask(self) -> bytes | None:
        return self._outbox.answer(parsePoll(self._inbox.poll()))

    def _take(self, answer: bytes) -> None:
        self._old.append(answer)
        self.taken += told(self._inbox.take(answer))
