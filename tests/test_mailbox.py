"""
Tests for L{msgserver.handlers.mailbox}: what is pushed, to whom, and over which breaks.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from msgserver import RequestFailed, User
from msgserver.errors import MessagesMissed, MessageTooLong
from msgserver.handlers import Mailbox
from msgserver.wire.messages import MAX_MESSAGE, Inbox

LONG = bytes(30_000)


class Reader:
    """A client's end of a box, which asks when the test says."""

    def __init__(self, mailbox: Mailbox, user: object = b"alice") -> None:
        self._mailbox = mailbox
        self._user = user
        self.inbox = Inbox()
        self.taken: list[bytes | int | None] = []

    def ask(self) -> Deferred[bytes]:
        """Ask, and give what comes of it."""
        return self._mailbox.poll(self._user, self.inbox.poll())

    def take(self, answer: bytes) -> list[bytes | int | None]:
        """Take an answer; a number stands for so many missed."""
        taken = [
            item.count if isinstance(item, MessagesMissed) else item
            for item in self.inbox.take(answer)
        ]
        self.taken += taken
        return taken


class MailboxTestCase(SynchronousTestCase):
    """A mailbox on a clock, and one who has learnt which box is theirs."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.mailbox, self.alice = self.make()

    def make(self, **limits: Any) -> tuple[Mailbox, Reader]:
        """Make a mailbox with some limits."""
        mailbox = Mailbox(self.clock, **limits)
        return mailbox, self.reader(mailbox)

    def reader(self, mailbox: Mailbox, user: object = b"alice") -> Reader:
        """Make somebody who knows the box, by the first poll."""
        reader = Reader(mailbox, user)
        self.assertEqual(reader.take(self.successResultOf(reader.ask())), [])
        return reader

    def read(self, reader: Reader) -> list[bytes | int | None]:
        """Ask, with the answer there already."""
        return reader.take(self.successResultOf(reader.ask()))

    def push(self, *messages: bytes) -> None:
        """Push to alice, and let a turn pass."""
        for message in messages:
            self.mailbox.push(b"alice", message)
        self.clock.advance(0)


class PollTests(MailboxTestCase):
    """Who asks, and what is answered when."""

    def test_hangs(self) -> None:
        """With nothing to say a poll stands until there is; the answer is not in its turn."""
        answer = self.alice.ask()
        self.clock.advance(60)
        self.assertNoResult(answer)
        self.mailbox.push(b"alice", b"one")
        self.assertNoResult(answer)
        self.clock.advance(0)
        self.assertEqual(self.alice.take(self.successResultOf(answer)), [b"one"])

    def test_gathered(self) -> None:
        """All that is pushed in one turn leaves in one answer, by one timer for all boxes."""
        bob = self.reader(self.mailbox, b"bob")
        answers = self.alice.ask(), bob.ask()
        before = len(self.clock.getDelayedCalls())
        for number in range(3):
            self.mailbox.push(b"alice", b"%d" % number)
            self.mailbox.push(b"bob", b"%d" % number)
        self.assertEqual(len(self.clock.getDelayedCalls()), before + 1)
        self.clock.advance(0)
        for reader, answer in zip((self.alice, bob), answers, strict=True):
            self.assertEqual(reader.take(self.successResultOf(answer)), [b"0", b"1", b"2"])

    def test_waits(self) -> None:
        """What was pushed with no poll standing is there for the next, in one answer."""
        self.push(b"one")
        self.push(b"two")
        self.assertEqual(self.read(self.alice), [b"one", b"two"])
        self.assertEqual(self.mailbox.total, 10)
        self.assertNoResult(self.alice.ask())
        self.assertEqual(self.mailbox.total, 0)

    def test_asManyAsFit(self) -> None:
        """An answer has what fits; the rest is in the next ones."""
        self.push(LONG, LONG, LONG, b"last")
        self.assertEqual(self.read(self.alice), [LONG, LONG])
        self.assertEqual(self.read(self.alice), [LONG, b"last"])

    def test_acknowledged(self) -> None:
        """A message goes when a poll says that it has arrived, not when it was sent."""
        self.push(b"one")
        for _ in range(3):
            self.successResultOf(self.alice.ask())
        self.assertEqual(self.mailbox.total, 5)
        self.assertEqual(self.read(self.alice), [b"one"])

    def test_another(self) -> None:
        """A second poll takes the place of the first, which fails and says why."""
        first, second = self.alice.ask(), self.alice.ask()
        failure = self.failureResultOf(first, RequestFailed)
        self.assertEqual(failure.value.content, b"another poll has taken the place of this one")
        self.push(b"one")
        self.assertEqual(self.alice.take(self.successResultOf(second)), [b"one"])

    def test_anotherAsksAgain(self) -> None:
        """Who asks again as soon as that is told loses no poll by it."""
        answers: list[Deferred[bytes]] = []
        first = self.alice.ask()
        first.addErrback(lambda _: answers.append(self.alice.ask()))
        answers.append(self.alice.ask())
        self.push(b"one")
        outer, inner = answers[1], answers[0]
        self.failureResultOf(outer, RequestFailed)
        self.assertEqual(self.alice.take(self.successResultOf(inner)), [b"one"])

    def test_cancelled(self) -> None:
        """A poll that is cancelled is let go of, and no message with it."""
        answer = self.alice.ask()
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.push(b"one")
        self.assertEqual(self.read(self.alice), [b"one"])

    def test_cancelledInTheTurn(self) -> None:
        """Nor where it is cancelled between the push and the answer, or another has come."""
        answer = self.alice.ask()
        self.mailbox.push(b"alice", b"one")
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.clock.advance(0)
        self.assertEqual(self.read(self.alice), [b"one"])
        first = self.alice.ask()
        self.mailbox.push(b"alice", b"two")
        second = self.alice.ask()
        self.failureResultOf(first, RequestFailed)
        self.clock.advance(0)
        self.assertEqual(self.alice.take(self.successResultOf(second)), [b"two"])

    def test_nonsense(self) -> None:
        """What is no poll is refused in one line, makes no box, and dislodges no poll."""
        answer = self.alice.ask()
        for user in (b"alice", b"mallory"):
            for content in (b"", b"hello", bytes(15) + b"\1"):
                self.failureResultOf(self.mailbox.poll(user, content), RequestFailed)
        failure = self.failureResultOf(self.mailbox.poll(b"alice", b"hello"), RequestFailed)
        self.assertEqual(failure.value.content, b"a poll has 16 bytes, not 5")
        future = self.alice.inbox.poll()[:8] + (1).to_bytes(8, "big")
        self.failureResultOf(self.mailbox.poll(b"alice", future), RequestFailed)
        self.assertEqual(len(self.mailbox), 1)
        self.push(b"one")
        self.assertEqual(self.alice.take(self.successResultOf(answer)), [b"one"])

    def test_pollTimeout(self) -> None:
        """A poll stands for 240 seconds; then it is answered with nothing, and one asks again."""
        answer = self.alice.ask()
        self.clock.advance(239)
        self.assertNoResult(answer)
        self.clock.advance(1)
        self.assertEqual(self.alice.take(self.successResultOf(answer)), [])
        self.assertNoResult(self.alice.ask())

    def test_pollForEver(self) -> None:
        """With a pollTimeout of 0 it stands for ever, and nothing is timed."""
        _, alice = self.make(pollTimeout=0)
        answer = alice.ask()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNoResult(answer)

    def test_pushedByAnAnswer(self) -> None:
        """What an answer's callback pushes leaves as any other, though all are being answered."""
        self.alice.ask().addCallback(lambda answer: self.mailbox.push(b"bob", b"echo"))
        bob = self.reader(self.mailbox, b"bob")
        answer = bob.ask()
        self.push(b"one")
        self.assertEqual(bob.take(self.successResultOf(answer)), [b"echo"])

    def test_seenBeforeItWasSent(self) -> None:
        """
        Who says to have seen, in the turn of the push, what was not sent yet, goes without it;
        nobody else does.
        """
        bob = self.reader(self.mailbox, b"bob")
        answers = self.alice.ask(), bob.ask()
        self.mailbox.broadcast((b"alice", b"bob"), b"one")
        ahead = self.mailbox.poll(b"alice", self.alice.inbox.poll()[:8] + bytes(7) + b"\1")
        self.clock.advance(0)
        self.failureResultOf(answers[0], RequestFailed)
        self.assertNoResult(ahead)
        self.assertEqual(bob.take(self.successResultOf(answers[1])), [b"one"])
        self.push(b"two")
        self.assertEqual(self.alice.take(self.successResultOf(ahead)), [1, b"two"])


class PushTests(MailboxTestCase):
    """To whom what is pushed goes."""

    def test_broadcast(self) -> None:
        """Everybody gets it, and no box has a copy of its bytes."""
        readers = [self.reader(self.mailbox, name) for name in (b"bob", b"carol")]
        self.mailbox.broadcast((b"alice", b"bob", b"carol"), b"to all")
        self.mailbox.push(b"bob", b"to bob")
        self.clock.advance(0)
        boxes = [box.messages._frames[0] for box in self.mailbox._boxes.values()]
        self.assertEqual(len(boxes), 3)
        self.assertTrue(all(framed is boxes[0] for framed in boxes))
        taken = [self.read(reader) for reader in (self.alice, *readers)]
        self.assertEqual(taken, [[b"to all"], [b"to all", b"to bob"], [b"to all"]])

    def test_tooLong(self) -> None:
        """A message that fits no answer is refused, to whomever, and is in no box."""
        self.assertRaises(MessageTooLong, self.mailbox.push, b"alice", bytes(MAX_MESSAGE + 1))
        self.assertRaises(
            MessageTooLong, self.mailbox.broadcast, (b"alice", b"bob"), bytes(MAX_MESSAGE + 1)
        )
        self.assertEqual((len(self.mailbox), self.mailbox.total), (1, 0))
        self.push(bytes(MAX_MESSAGE))
        self.assertEqual(self.read(self.alice), [bytes(MAX_MESSAGE)])

    def test_beforeTheFirstPoll(self) -> None:
        """A box begins with its first message, if that comes before the first poll."""
        self.mailbox.push(b"bob", b"welcome")
        self.assertEqual(self.read(self.reader(self.mailbox, b"bob")), [b"welcome"])

    def test_anyKey(self) -> None:
        """With a login for a key, each login has a box of its own."""
        first, second = (User(b"alice", subid, b"sample") for subid in (b"1", b"2"))
        self.mailbox.push(first, b"one")
        self.assertEqual(self.read(self.reader(self.mailbox, first)), [b"one"])
        self.assertNoResult(self.reader(self.mailbox, second).ask())


class LimitTests(MailboxTestCase):
    """What there is at most."""

    def test_maxMessages(self) -> None:
        """The message past 1024 drops the oldest; who missed it is told so, once."""
        messages = [b"%d" % number for number in range(1025)]
        self.push(*messages[:1024])
        self.assertEqual(self.read(self.alice), messages[:1024])
        self.assertNoResult(self.alice.ask())
        self.mailbox.release(b"alice")
        self.push(*messages)
        self.assertEqual(self.read(self.alice), [1, *messages[1:]])

    def test_maxBytes(self) -> None:
        """So does the byte past 1 MiB."""
        fits = (1 << 20) // (len(LONG) + 2)
        self.push(*[LONG] * fits, bytes((1 << 20) - fits * (len(LONG) + 2) - 2))
        self.assertEqual(self.mailbox.total, 1 << 20)
        self.push(b"")
        self.assertEqual(self.mailbox.total, (1 << 20) - len(LONG))
        self.assertEqual(self.read(self.alice)[0], 1)

    def test_maxIdle(self) -> None:
        """Past so many boxes the one goes whose last poll is the longest ago."""
        mailbox, alice = self.make(maxIdle=2)
        bob = self.reader(mailbox, b"bob")
        self.assertNoResult(alice.ask())
        mailbox.release(b"alice")
        mailbox.push(b"carol", b"one")
        self.assertEqual(len(mailbox), 2)
        mailbox.push(b"alice", b"two")
        self.assertEqual(self.read(alice), [b"two"])
        self.assertEqual(self.read(bob), [None])

    def test_maxIdleStanding(self) -> None:
        """A box that a poll stands at is kept, however many there are."""
        mailbox, alice = self.make(maxIdle=1)
        answers = [alice.ask()]
        for number in range(10):
            answers.append(self.reader(mailbox, number).ask())
        self.assertEqual(len(mailbox), 11)
        for answer in answers:
            self.assertNoResult(answer)
        mailbox.close()
        self.assertEqual(len(mailbox), 1)

    def test_maxTotal(self) -> None:
        """Past so many bytes in all, likewise."""
        most = MAX_MESSAGE + 2
        mailbox, alice = self.make(maxBytes=most, maxTotal=most)
        bob = self.reader(mailbox, b"bob")
        mailbox.push(b"alice", LONG)
        mailbox.push(b"bob", LONG)
        self.assertEqual((len(mailbox), mailbox.total), (2, 60_004))
        mailbox.push(b"bob", LONG)
        self.assertEqual((len(mailbox), mailbox.total), (1, 60_004))
        self.assertEqual(self.read(bob), [LONG, LONG])
        self.assertEqual(self.read(alice), [None])

    def test_maxTotalStanding(self) -> None:
        """Where it is boxes with polls that are too much, who begins to poll keeps the box."""
        most = MAX_MESSAGE + 2
        mailbox, alice = self.make(maxBytes=most, maxTotal=most)
        others = [self.reader(mailbox, name) for name in (b"bob", b"carol")]
        answers = [other.ask() for other in others]
        mailbox.broadcast((b"bob", b"carol"), bytes(MAX_MESSAGE))
        answer = alice.ask()
        self.assertNoResult(answer)
        mailbox.push(b"alice", b"one")
        self.clock.advance(0)
        self.assertEqual(alice.take(self.successResultOf(answer)), [b"one"])
        for other, waiting in zip(others, answers, strict=True):
            self.assertEqual(other.take(self.successResultOf(waiting)), [bytes(MAX_MESSAGE)])

    def test_defaults(self) -> None:
        """The limits are those that the documentation names."""
        from msgserver.handlers import mailbox

        self.assertEqual(
            (mailbox.MAX_MESSAGES, mailbox.MAX_BYTES, mailbox.MAX_IDLE, mailbox.MAX_TOTAL),
            (1024, 1048576, 10_000, 268435456),
        )

    def test_refused(self) -> None:
        """A limit that cannot be is refused in one line."""
        for name, least in (
            ("maxMessages", 1),
            ("maxBytes", MAX_MESSAGE + 2),
            ("maxIdle", 1),
            ("maxTotal", 1 << 20),
            ("pollTimeout", 0),
        ):
            self.make(**{name: least})
            error = self.assertRaises(ValueError, self.make, **{name: least - 1})
            self.assertEqual(str(error), f"{name}: must be {least} or more, not {least - 1}")


class EndTests(MailboxTestCase):
    """How polls and boxes are let go of."""

    def test_release(self) -> None:
        """A poll is answered with nothing, and the box is as it was."""
        answer = self.alice.ask()
        self.mailbox.release(b"alice")
        self.assertEqual(self.alice.take(self.successResultOf(answer)), [])
        self.mailbox.release(b"alice")
        self.mailbox.release(b"nobody")
        self.push(b"one")
        self.assertEqual(self.read(self.alice), [b"one"])

    def test_forget(self) -> None:
        """A box is thrown away with what is in it; its client is told that it has another."""
        self.push(b"one")
        self.read(self.alice)
        answer = self.alice.ask()
        self.push(b"two")
        self.alice.take(self.successResultOf(answer))
        self.mailbox.forget(b"alice")
        self.mailbox.forget(b"alice")
        self.assertEqual((len(self.mailbox), self.mailbox.total), (0, 0))
        self.assertEqual(self.read(self.alice), [None])

    def test_forgetStanding(self) -> None:
        """A poll that stood is answered with nothing, and what was pushed in the turn is gone."""
        answer = self.alice.ask()
        self.mailbox.push(b"alice", b"one")
        self.mailbox.forget(b"alice")
        self.clock.advance(0)
        self.assertEqual(self.alice.take(self.successResultOf(answer)), [])
        self.assertEqual((len(self.mailbox), self.mailbox.total), (0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_close(self) -> None:
        """After that no poll stands; who asks is answered with what there is, and at once."""
        answer = self.alice.ask()
        self.mailbox.close()
        self.assertEqual(self.alice.take(self.successResultOf(answer)), [])
        self.assertEqual(self.read(self.alice), [])
        self.push(b"one")
        self.assertEqual(self.read(self.alice), [b"one"])
        self.assertEqual(self.read(self.alice), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_shutdown(self) -> None:
        """That happens when the reactor is to stop."""
        reactor = MemoryReactorClock()
        reactor.triggers = {}
        alice = self.reader(Mailbox(reactor))
        answer = alice.ask()
        for function, arguments, keywords in reactor.triggers["before"]["shutdown"]:
            function(*arguments, **keywords)
        self.assertEqual(alice.take(self.successResultOf(answer)), [])
        self.assertEqual(self.read(alice), [])
