"""
What a client makes of polls: the messages that its server pushes. Pure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgserver.errors import MessagesMissed, OutcomeUnknown
from msgserver.wire.messages import Inbox


class Messages:
    """
    What the server pushes to a client, one message after another, each once and in order: the
    other half of C{msgserver.handlers.Mailbox}::

        async for message in client.messages():
            ...

    A request stands at the server for as long as there is nothing to say, and survives broken
    connections as any request does (S6). The next one says what has arrived, and only then does
    the server let go of it: so nothing is lost or doubled when a login ends, either, as long as
    the mailbox is there. Of two at a time for one mailbox the one that asks last has the messages;
    the other ends with L{msgserver.errors.RequestFailed}.

    Requests that wait do not count for it: there is no L{msgserver.errors.TooManyWaiting}. But the
    one that stands is one of those that may be unanswered at a time.

    It raises L{msgserver.errors.MessagesMissed} where messages are lost for good: the mailbox was
    full, or is a new one. One may iterate on. L{msgserver.errors.RequestFailed} comes from the
    server's handler, as with other requests; L{msgserver.errors.ProtocolError}, where its answer is
    no mailbox's; and what ended the client ends this.
    """

    def __init__(self, ask: Callable[[bytes], Awaitable[bytes]], prefix: bytes = b"") -> None:
        self._ask = ask
        self._prefix = prefix
        self._inbox = Inbox()
        self._arrived: list[bytes | MessagesMissed] = []

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> bytes:
        while not self._arrived:
            try:
                answer = await self._ask(self._prefix + self._inbox.poll())
            except OutcomeUnknown:
                # Of a poll nothing is unknown that the next one does not make up for.
                continue
            # Behind what has arrived meanwhile, where two wait for messages of this.
            self._arrived[:0] = self._inbox.take(answer)[::-1]
        arrived = self._arrived.pop()
        if isinstance(arrived, MessagesMissed):
            raise arrived
        return arrived
