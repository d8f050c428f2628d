"""
Messages for users who have not asked for anything in particular: push, over a request that hangs.

A client asks its gate what there is, a I{poll}; the answer comes when there is something, and
then it asks again. The wire of it is in L{msgserver.wire.messages}, the client's half is
C{client.messages()}.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorCore, IReactorTime

from msgserver.deadlines import Deadlines
from msgserver.errors import ProtocolError, RequestFailed
from msgserver.wire.messages import (
    BOX_SIZE,
    MAX_MESSAGE,
    Outbox,
    Poll,
    frame,
    parsePoll,
)

MAX_MESSAGES = 1024
"""How many messages a box holds."""

MAX_BYTES = 1 << 20
"""How many bytes of messages a box holds, with two more for each message."""

MAX_IDLE = 10_000
"""How many boxes are kept that no poll stands at."""

MAX_TOTAL = 256 << 20
"""How many bytes all boxes hold, but for those that a poll stands at."""

POLL_TIMEOUT = 240.0
"""Seconds that a poll stands for; then it is answered with nothing."""


class Mailbox:
    """
    A box of messages for each user.

    What is pushed stays in the user's box until a poll says that it has arrived. So nothing is
    lost or doubled over broken connections (S6), nor over a new login, as long as the box is
    there. All that is pushed in one turn of the reactor leaves together.

    A box begins with the first poll, or the first message for it. A message that finds it full
    takes the place of the oldest; the client is told how many it has missed that way. Where there
    are too many boxes, or too much is in them, the one goes whose last poll is the longest ago,
    and its client, should it come back, is told that messages may be missed.

    A user is whatever tells one box from another: with C{user.uid} a box outlives logins and
    serves the next; with a L{User<msgserver.interfaces.User>} each login has its own.

    @param clock: where the time comes from; by default the global reactor.
    @param maxMessages: how many messages a box holds; 1 or more.
    @param maxBytes: how many bytes of messages a box holds, with two more for each; 65,514 or more.
    @param maxIdle: how many boxes are kept that no poll stands at; 1 or more. Between two polls
        none stands, so it should be more than there are clients.
    @param maxTotal: how many bytes all boxes hold; C{maxBytes} or more. What many boxes share
        counts for each of them. A box that a poll stands at stays, whatever is in it.
    @param pollTimeout: the seconds that a poll stands for, so that no more than that is kept for
        a client that is gone; the client asks again. 0 for ever.
    @param randomBytes: makes the names of boxes.
    @raise ValueError: a limit is out of its range.
    """

    def __init__(
        self,
        clock: IReactorTime | None = None,
        *,
        maxMessages: int = MAX_MESSAGES,
        maxBytes: int = MAX_BYTES,
        maxIdle: int = MAX_IDLE,
        maxTotal: int = MAX_TOTAL,
        pollTimeout: float = POLL_TIMEOUT,
        randomBytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        _check("maxMessages", maxMessages, 1)
        _check("maxBytes", maxBytes, len(frame(bytes(MAX_MESSAGE))))
        _check("maxIdle", maxIdle, 1)
        _check("maxTotal", maxTotal, maxBytes)
        _check("pollTimeout", pollTimeout, 0)
        if clock is None:
            # Importing it installs it, which is not for the import of this module to decide.
            from twisted.internet import reactor

            clock = IReactorTime(reactor)
        self._clock = clock
        self._maxMessages = maxMessages
        self._maxBytes = maxBytes
        self._maxIdle = maxIdle
        self._maxTotal = maxTotal
        self._randomBytes = randomBytes
        self._boxes: dict[Hashable, _Box] = {}
        # Those that no poll stands at, the one first whose last poll is the longest ago.
        self._idle: dict[_Box, None] = {}
        self._total = 0
        self._toAnswer: dict[_Box, None] = {}
        self._standing: Deadlines[_Box] = Deadlines(clock, pollTimeout, self._letGo)
        self._isClosed = False
        if IReactorCore.providedBy(clock):
            IReactorCore(clock).addSystemEventTrigger("before", "shutdown", self.close)

    def __len__(self) -> int:
        """Tell how many boxes there are."""
        return len(self._boxes)

    @property
    def total(self) -> int:
        """The bytes of messages in all boxes, with two more for each message."""
        return self._total

    def poll(self, user: Hashable, content: bytes) -> Deferred[bytes]:
        """
        Answer a poll, when there is something for the user: what a handler's C{requestReceived}
        returns for it.

        It takes the place of the user's earlier poll, which fails with L{RequestFailed}: whoever
        asks last gets the messages.

        @param content: what the client's half has sent, without the prefix of the application's.
        @return: the answer. Fails with L{RequestFailed} where the content is no poll. Cancelling
            it lets go of the poll, and of nothing else.
        """
        try:
            poll = parsePoll(content)
            box = self._box(user)
            answer = self._counted(box, poll)
        except ProtocolError as error:
            return fail(RequestFailed(str(error).encode()))
        if answer is None and self._isClosed:
            answer = box.messages.nothing()
        current: Deferred[bytes]
        if answer is None:
            # Not by way of `_rest`: in between, the box might have to make room for others.
            earlier, current = box.waiting, Deferred(lambda _: self._cancelled(box))
            box.poll, box.waiting = poll, current
            self._idle.pop(box, None)
            self._standing.start(box)
        else:
            earlier, current = self._rest(box), succeed(answer)
        if earlier is not None:
            # An answer with nothing would have two clients take turns for ever.
            earlier.errback(RequestFailed(b"another poll has taken the place of this one"))
        return current

    def push(self, user: Hashable, message: bytes) -> None:
        """
        Put a message into a user's box.

        @param message: 0 to 65,512 bytes.
        @raise MessageTooLong: it has more; it is in no box then.
        """
        self._put(user, frame(message))

    def broadcast(self, users: Iterable[Hashable], message: bytes) -> None:
        """
        Put a message into the boxes of many users; they share its bytes.

        @param message: 0 to 65,512 bytes.
        @raise MessageTooLong: it has more; it is in no box then.
        """
        framed = frame(message)
        for user in users:
            self._put(user, framed)

    def release(self, user: Hashable) -> None:
        """Answer the user's poll, if one stands, with nothing; the box and what is in it stay."""
        box = self._boxes.get(user)
        if box is not None:
            self._letGo(box)

    def close(self) -> None:
        """
        Have no poll stand any more, now or later, so that no gate need wait for it (B5).

        One that finds nothing is answered with nothing. Where the clock is a reactor, this is
        done when that is to stop.
        """
        self._isClosed = True
        for box in [*self._boxes.values()]:
            self._letGo(box)

    def forget(self, user: Hashable) -> None:
        """Throw a user's box away, if there is one; a poll that stands is answered with nothing."""
        box = self._boxes.pop(user, None)
        if box is None:
            return
        self._idle.pop(box, None)
        self._total -= box.messages.size
        self._letGo(box)

    def _box(self, user: Hashable) -> _Box:
        box = self._boxes.get(user)
        if box is None:
            # Its first byte keeps it from being all zeros.
            name = b"\x01" + self._randomBytes(BOX_SIZE - 1)
            box = _Box(user, Outbox(name, self._maxMessages, self._maxBytes))
            self._boxes[user] = box
            self._idle[box] = None
        return box

    def _put(self, user: Hashable, framed: bytes) -> None:
        box = self._box(user)
        before = box.messages.size
        box.messages.push(framed)
        self._total += box.messages.size - before
        if box.waiting is None:
            self._makeRoom()
        elif box not in self._toAnswer:
            if not self._toAnswer:
                self._clock.callLater(0, self._answerAll)
            self._toAnswer[box] = None

    def _answerAll(self) -> None:
        boxes, self._toAnswer = self._toAnswer, {}
        for box in boxes:
            # Its poll may have been let go of since; or another has come, and had its answer.
            if box.waiting is not None:
                answer = self._counted(box, box.poll)
                # None where that other has claimed to have seen what was not sent yet.
                if answer is not None:
                    self._answer(box, answer)

    def _counted(self, box: _Box, poll: Poll) -> bytes | None:
        before = box.messages.size
        answer = box.messages.answer(poll)
        self._total += box.messages.size - before
        return answer

    def _letGo(self, box: _Box) -> None:
        self._answer(box, box.messages.nothing())

    def _answer(self, box: _Box, answer: bytes) -> None:
        waiting = self._rest(box)
        if waiting is not None:
            waiting.callback(answer)

    def _cancelled(self, box: _Box) -> None:
        self._rest(box)

    def _rest(self, box: _Box) -> Deferred[bytes] | None:
        """Have no poll stand at a box, and give the one that stood."""
        waiting, box.waiting = box.waiting, None
        self._standing.stop(box)
        if self._boxes.get(box.user) is box:
            self._idle.pop(box, None)
            self._idle[box] = None
            self._makeRoom()
        return waiting

    def _makeRoom(self) -> None:
        while self._idle and (len(self._idle) > self._maxIdle or self._total > self._maxTotal):
            box = next(iter(self._idle))
            self.forget(box.user)


class _Box:
    """
    One user's messages, and the poll that stands for them.

    @ivar poll: what was asked last.
    @ivar waiting: who waits for its answer; None where no poll stands.
    """

    __slots__ = ("messages", "poll", "user", "waiting")

    poll: Poll

    def __init__(self, user: Hashable, messages: Outbox) -> None:
        self.user = user
        self.messages = messages
        self.waiting: Deferred[bytes] | None = None


def _check(name: str, value: float, least: int) -> None:
    if not value >= least:  # Nor is what is no number.
        raise ValueError(f"{name}: must be {least} or more, not {value}")
