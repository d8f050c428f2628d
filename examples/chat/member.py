"""
One of a crowd: who says numbered things in a room, and writes down what is heard there.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from examples.chat.words import (
    POLL,
    Join,
    Said,
    Say,
    parseEvent,
    parseObject,
    writeRequest,
)
from msgserver.client import MsgClient
from msgserver.errors import ClientClosed, MessagesMissed


class Member:
    """
    One of a crowd.

    @ivar heard: the number and the text of what was heard in the room, as it came.
    @ivar said: what this one has said, by the number that it was given.
    @ivar asking: how much was said that is not answered.
    @ivar cuts: how often a connection was broken that there was.
    @ivar failed: what has gone wrong, in words.
    """

    def __init__(self, name: str, client: MsgClient, room: str) -> None:
        self.name = name
        self.client = client
        self.room = room
        self.heard: list[tuple[int, str]] = []
        self.said: dict[int, str] = {}
        self.asking = 0
        self.cuts = 0
        self.failed: list[str] = []
        self._serial = 0
        Deferred.fromCoroutine(self._listen()).addErrback(self._fail)

    def join(self) -> Deferred[bytes]:
        """Enter the room."""
        return self.client.request(writeRequest(Join(self.room)))

    def say(self) -> None:
        """Say something that nobody has said, or will."""
        self._serial += 1
        text = f"{self.name} says {self._serial}"
        self.asking += 1
        answer = self.client.request(writeRequest(Say(self.room, text)))
        answer.addCallback(self._answered, text)
        answer.addErrback(self._fail)

    def cut(self) -> None:
        """Break the connection, if there is one."""
        if self.client.isConnected:
            self.cuts += 1
            self.client.dropConnection()

    def _answered(self, answer: bytes, text: str) -> None:
        self.asking -= 1
        self.said[parseObject(answer)["number"]] = text

    async def _listen(self) -> None:
        messages = self.client.messages(POLL)
        while True:
            try:
                async for message in messages:
                    event = parseEvent(message)
                    if isinstance(event, Said):
                        self.heard.append((event.number, event.text))
            except MessagesMissed as missed:
                self.failed.append(str(missed))

    def _fail(self, failure: Failure) -> None:
        if not failure.check(ClientClosed):
            self.failed.append(f"{type(failure.value).__name__}: {failure.getErrorMessage()}")
