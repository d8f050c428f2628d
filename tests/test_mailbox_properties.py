"""
Tests for L{msgserver.handlers.mailbox}: whatever is done with it, in whatever order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.handlers import Mailbox
from msgserver.wire.messages import MAX_MESSAGE, parseAnswer

MOST = MAX_MESSAGE + 2
ALL = 99
"""Claims to have seen what there is, whatever was sent."""

USERS = (b"alice", b"bob", b"carol")


def _draw(random: Random) -> tuple[str, bytes, int]:
    """Draw what is done, with whom, and how much of it."""
    name = random.choices(*zip(*_WEIGHTS.items(), strict=True))[0]
    return name, random.choice(USERS), random.choice(_AMOUNTS.get(name, (0,)))


_WEIGHTS = {
    "poll": 12,
    "push": 4,
    "broadcast": 3,
    "cancel": 1,
    "release": 1,
    "forget": 1,
    "turn": 3,
}
_AMOUNTS = {
    "poll": (0, 0, -1, 4, ALL),
    "push": (0, 7, MAX_MESSAGE),
    "broadcast": (3, MAX_MESSAGE),
    "turn": (0, 0, 0, 120, 240),
}


class _Course:
    """
    A mailbox, and whoever polls it as they like.

    @ivar errors: what a timer has raised: there should be nobody whom it could hurt.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.mailbox = Mailbox(self.clock, maxMessages=3, maxBytes=MOST, maxIdle=2, maxTotal=MOST)
        self.polls: dict[bytes, list[Deferred[bytes]]] = {user: [] for user in USERS}
        self.known: dict[bytes, tuple[bytes, int]] = dict.fromkeys(USERS, (bytes(8), 0))

    def poll(self, user: bytes, ahead: int) -> None:
        """Ask, and claim to have seen more, or less, than one has."""
        box, seen = self.known[user]
        seen = max(seen + ahead, 0) if any(box) else 0
        if ahead == ALL and user in self.mailbox._boxes:
            messages = self.mailbox._boxes[user].messages
            box, seen = messages._box, messages._first + len(messages) - 1
        answer = self.mailbox.poll(user, box + seen.to_bytes(8, "big"))
        self.polls[user].append(answer)
        answer.addCallbacks(lambda content: self._answered(user, content), lambda _: None)

    def _answered(self, user: bytes, content: bytes) -> None:
        box, first, messages = parseAnswer(content)
        self.known[user] = box, first - 1 + len(messages)
        if len(messages) == 2:
            # From within: what a handler does when it hears that a poll is answered.
            self.mailbox.push(USERS[0], b"echo")

    def push(self, user: bytes, size: int) -> None:
        """Push a message of so many bytes."""
        self.mailbox.push(user, bytes(size))

    def broadcast(self, user: bytes, size: int) -> None:
        """Push to all but one, by a generator."""
        self.mailbox.broadcast((user for user in USERS[1:]), bytes(size))

    def cancel(self, user: bytes, _: int) -> None:
        """Cancel all of a user's polls."""
        for answer in self.polls[user]:
            answer.cancel()

    def release(self, user: bytes, _: int) -> None:
        """Release a user's poll."""
        self.mailbox.release(user)

    def forget(self, user: bytes, _: int) -> None:
        """Forget a user."""
        self.mailbox.forget(user)

    def close(self, user: bytes, _: int) -> None:
        """Let no poll stand any more."""
        self.mailbox.close()

    def turn(self, user: bytes, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    def boxes(self) -> Iterator[tuple[bytes, int, bool]]:
        """Give whose each box is, how much is in it, and whether a poll stands at it."""
        for user, box in self.mailbox._boxes.items():
            assert isinstance(user, bytes)
            yield user, box.messages.size, box.waiting is not None


class AccountingTests(SynchronousTestCase):
    """What is counted is what there is, and within its bounds."""

    def test_anyCourse(self) -> None:
        """
        Whoever polls, hostile ones too: C{total} is the sum of all boxes, none is over its
        limit, those at which no poll stands are within C{maxIdle}; in all there is no more than
        C{maxTotal}, but for boxes at which one does; a poll that is unanswered stands at the box
        that messages go to; and no timer fails.
        """
        for seed in range(300):
            random, course = Random(seed), _Course()
            try:
                for _ in range(60):
                    self._do(course, *_draw(random))
                self._do(course, "close", b"", 0)
                for _ in range(20):
                    self._do(course, *_draw(random))
            except Exception as error:
                error.add_note(f"seed {seed}")
                raise

    def _do(self, course: _Course, name: str, user: bytes, amount: int) -> None:
        do: Callable[[bytes, int], None] = getattr(course, name)
        do(user, amount)
        mailbox, boxes = course.mailbox, list(course.boxes())
        self.assertEqual(mailbox.total, sum(size for _, size, _ in boxes))
        self.assertTrue(all(size <= MOST for _, size, _ in boxes))
        idle = {user: size for user, size, isStanding in boxes if not isStanding}
        self.assertLessEqual(len(idle), 2)
        self.assertLessEqual(sum(idle.values()), MOST)
        self.assertEqual({box.user for box in mailbox._idle}, idle.keys())
        standing = {user for user, _, isStanding in boxes if isStanding}
        asking = {user for user, polls in course.polls.items() if not all(p.called for p in polls)}
        self.assertEqual(asking, standing)
