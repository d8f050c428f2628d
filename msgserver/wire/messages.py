"""
Messages that a server pushes, as the answers to polls; both ends. Pure.

The messages of a box are numbered from 1. A poll says which box it is about, and up to which
number all have arrived; zeros at first::

    box, 8 bytes | seen, 8 bytes, big-endian

Its answer has what comes next, in order; there is none as long as there is nothing to say::

    box, 8 bytes | number of the first message, 8 bytes | (length, 2 bytes | message) ...

A poll that names no box, or another one, is answered at once, without a message: which box this
is, and which number comes next. The server lets go of a message when a poll says that it has
arrived. Where a box was full the oldest are dropped, and the numbers tell how many those were.

L{Inbox} is the client's end and L{Outbox} the server's. Between them answers may get lost and
polls may be repeated (S6): each message is taken once, and in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from struct import Struct
from typing import Final

from attrs import frozen

from msgserver.errors import MessagesMissed, MessageTooLong, ProtocolError
from msgserver.wire.framing import MAX_RESPONSE

BOX_SIZE: Final = 8
"""The bytes of a box's name; it is a random one, and never all zeros."""

_HEADER = Struct(f">{BOX_SIZE}sQ")
_LENGTH = Struct(">H")
_NO_BOX = bytes(BOX_SIZE)
_LAST = (1 << 64) - 1

MAX_MESSAGE: Final = MAX_RESPONSE - _HEADER.size - _LENGTH.size
"""The longest message, in bytes: it fits into one answer."""


@frozen
class Poll:
    """
    What a client asks.

    @ivar box: which box the client knows; all zeros where it knows none yet.
    @ivar seen: the number up to which all messages of that box have arrived.
    """

    box: bytes
    seen: int


def parsePoll(content: bytes) -> Poll:
    """
    Read a poll.

    @raise ProtocolError: it is none.
    """
    if len(content) != _HEADER.size:
        raise ProtocolError(f"a poll has {_HEADER.size} bytes, not {len(content)}")
    box, seen = _HEADER.unpack(content)
    if box == _NO_BOX and seen:
        raise ProtocolError("a poll that has seen messages of no box")
    return Poll(box, seen)


def frame(message: bytes) -> bytes:
    """
    Make a message ready for any number of boxes.

    @raise MessageTooLong: it has more than L{MAX_MESSAGE} bytes.
    """
    if len(message) > MAX_MESSAGE:
        raise MessageTooLong(f"a message has at most {MAX_MESSAGE} bytes, not {len(message)}")
    return _LENGTH.pack(len(message)) + message


def writeAnswer(box: bytes, number: int, frames: Iterable[bytes]) -> bytes:
    """
    Write an answer with as many messages as fit.

    @param number: the number of the first message, or of the next one where there is none.
    @param frames: what L{frame} has made of the messages.
    @return: at most L{MAX_RESPONSE} bytes.
    """
    parts = [_HEADER.pack(box, number)]
    room = MAX_RESPONSE - _HEADER.size
    for framed in frames:
        room -= len(framed)
        if room < 0:
            break
        parts.append(framed)
    return b"".join(parts)


def parseAnswer(answer: bytes) -> tuple[bytes, int, list[bytes]]:
    """
    Read an answer.

    @return: the box, the number of the first message, and the messages.
    @raise ProtocolError: it is none.
    """
    if len(answer) < _HEADER.size:
        raise ProtocolError(f"an answer to a poll has {len(answer)} bytes alone")
    box, number = _HEADER.unpack_from(answer)
    messages: list[bytes] = []
    at = _HEADER.size
    while at < len(answer):
        start = at + _LENGTH.size
        at = start + int.from_bytes(answer[at:start], "big")
        if start > len(answer) or at > len(answer):
            raise ProtocolError("an answer to a poll ends within a message")
        messages.append(answer[start:at])
    if box == _NO_BOX or not 1 <= number <= _LAST - len(messages):
        raise ProtocolError("an answer to a poll with a box or a number that is none")
    return box, number, messages


class Inbox:
    """
    The client's end of a box: what has arrived.
    """

    def __init__(self) -> None:
        self._box = _NO_BOX
        self._seen = 0

    def poll(self) -> bytes:
        """Give the content of the next poll."""
        return _HEADER.pack(self._box, self._seen)

    def take(self, answer: bytes) -> list[bytes | MessagesMissed]:
        """
        Take a poll's answer.

        @return: the messages that are new, in their order, and where some are missing that.
        @raise ProtocolError: it is no such answer. Nothing has changed then.
        """
        box, number, messages = parseAnswer(answer)
        taken: list[bytes | MessagesMissed] = []
        if box != self._box:
            if self._box != _NO_BOX:
                # What the other box still had is gone with it.
                taken.append(MessagesMissed(None))
            self._box, self._seen = box, number - 1
        elif (missed := number - 1 - self._seen) > 0:
            taken.append(MessagesMissed(missed))
            self._seen = number - 1
        # An answer that comes a second time has nothing new.
        taken += messages[self._seen + 1 - number :]
        self._seen = max(self._seen, number - 1 + len(messages))
        return taken


class Outbox:
    """
    The server's end of a box: what has not arrived yet, as far as it knows.

    @ivar size: the bytes of the messages in it, with two more for each.

    @param box: its name, L{BOX_SIZE} bytes that no other box has had.
    @param maxMessages: how many messages it holds; 1 or more.
    @param maxBytes: what its L{size} is at most; L{MAX_MESSAGE} and two or more.
    """

    def __init__(self, box: bytes, maxMessages: int, maxBytes: int) -> None:
        self._box = box
        self._maxMessages = maxMessages
        self._maxBytes = maxBytes
        self._frames: deque[bytes] = deque()
        # The number of the first message here, or of the next one; and what has arrived.
        self._first = 1
        self._seen = 0
        self.size = 0

    def __len__(self) -> int:
        """Tell how many messages are in it."""
        return len(self._frames)

    def push(self, framed: bytes) -> None:
        """Put in what L{frame} has made of a message; where it is full, the oldest go."""
        self._frames.append(framed)
        self.size += len(framed)
        while len(self._frames) > self._maxMessages or self.size > self._maxBytes:
            self._drop()

    def answer(self, poll: Poll) -> bytes | None:
        """
        Let go of what has arrived, and give the answer to a poll.

        @return: None where there is nothing to say yet: ask again after L{push}.
        @raise ProtocolError: it has seen messages that there have not been.
        """
        if poll.box != self._box:
            return writeAnswer(self._box, self._seen + 1, ())
        if poll.seen >= self._first + len(self._frames):
            raise ProtocolError("a poll that has seen messages of the future")
        self._seen = max(self._seen, poll.seen)
        while self._first <= poll.seen:
            self._drop()
        if self._frames or poll.seen + 1 < self._first:
            return writeAnswer(self._box, self._first, self._frames)
        return None

    def nothing(self) -> bytes:
        """Give an answer without a message, for a poll that is to wait no longer."""
        return writeAnswer(self._box, self._seen + 1, ())

    def _drop(self) -> None:
        self.size -= len(self._frames.popleft())
        self._first += 1
