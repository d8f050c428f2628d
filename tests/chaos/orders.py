"""
What a request asks the handler to do, and what its answer must be. Pure.

Handler and clients both stand on it: the handler makes answers that say which run of the request
made them, and when; a client reads them, and sees whether they are those of its request.
"""

from __future__ import annotations

from enum import Enum

from attrs import field, frozen

from msgserver.wire.framing import MAX_REQUEST, MAX_RESPONSE


class Verb(Enum):
    """What the handler does."""

    ANSWER = b"answer"
    FAIL = b"fail"
    """It fails in the way of S4, with content."""
    LOGOUT = b"logout"
    """It answers, and ends the login."""
    HOLD = b"hold"
    """It answers when it is told to let go of all that it holds."""


@frozen
class Answer:
    """
    What an answer says of itself.

    @ivar serial: which run made it; no two runs have the same.
    @ivar began: when that began, in nanoseconds of the machine's monotonic clock.
    @ivar made: when it was answered, by the same clock.
    """

    serial: bytes
    began: int
    made: int


@frozen
class Order:
    """
    One request.

    @ivar name: no other request of the run has it; without spaces.
    @ivar milliseconds: how long the handler takes; 0: it answers at once.
    @ivar requestSize: bytes of the request's content, if the order needs no more.
    @ivar answerSize: bytes of the answer's content, if what it says needs no more.
    """

    name: bytes
    verb: Verb = Verb.ANSWER
    milliseconds: int = 0
    requestSize: int = field(default=0)
    answerSize: int = field(default=0)

    @requestSize.validator
    def _checkRequest(self, _: object, size: int) -> None:
        if size > MAX_REQUEST:
            raise ValueError(f"no request has {size} bytes")

    @answerSize.validator
    def _checkAnswer(self, _: object, size: int) -> None:
        if size > MAX_RESPONSE:
            raise ValueError(f"no answer has {size} bytes")

    def encode(self) -> bytes:
        """Write the request's content."""
        words = (self.verb.value, self.name, self.milliseconds, self.requestSize, self.answerSize)
        return _filled(b"%b %b %d %d %d " % words, self.name, self.requestSize)

    @classmethod
    def decode(cls, content: bytes) -> Order:
        """
        Read a request's content.

        @raise ValueError: it is not what L{encode} wrote, to the last byte.
        """
        verb, name, *numbers = content.split(b" ", 5)[:5]
        order = cls(name, Verb(verb), *map(int, numbers))
        if order.encode() != content:
            raise ValueError("a request that nobody sent in this way")
        return order

    def answer(self, answer: Answer) -> bytes:
        """Write the answer's content."""
        words = (self.name, answer.serial, answer.began, answer.made)
        return _filled(b"%b %b %d %d " % words, self.name, self.answerSize)

    def readAnswer(self, content: bytes) -> Answer | None:
        """Read an answer's content; None where it is none to this order, to the last byte."""
        try:
            _, serial, began, made = content.split(b" ", 4)[:4]
            answer = Answer(serial, int(began), int(made))
        except ValueError:
            return None
        return answer if self.answer(answer) == content else None


def nameOf(content: bytes) -> bytes:
    """Tell the name in a request's content, or in the beginning of one."""
    return content.split(b" ", 2)[1]


def _filled(head: bytes, name: bytes, size: int) -> bytes:
    """Fill up to a size with what no other request has."""
    missing = size - len(head)
    if missing <= 0:
        return head
    return head + (name * (missing // len(name) + 1))[:missing]
