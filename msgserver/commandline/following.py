"""
What the server pushes: shown as it comes, and kept for whoever expects it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from msgserver.commandline.clients import Client
from msgserver.commandline.events import contentText
from msgserver.commandline.statuses import Unexpected
from msgserver.errors import ClientClosed, MessagesMissed, RequestFailed

MAX_KEPT = 1000
"""How many messages are kept that nobody has expected yet; then the oldest goes."""


class Follower:
    """
    Follow what the server pushes, of any prefixes.

    @param showMessage: takes a message, as it comes.
    @param showNote: takes what else there is to tell, in words, and what the server said of it.
    """

    def __init__(
        self,
        client: Client,
        showMessage: Callable[[bytes], object],
        showNote: Callable[[str, bytes | None], object],
    ) -> None:
        self._client = client
        self._showMessage = showMessage
        self._showNote = showNote
        self._tasks: dict[bytes, asyncio.Task[None]] = {}
        self._kept: deque[bytes] = deque(maxlen=MAX_KEPT)
        self._changed = asyncio.Event()

    def follow(self, prefix: bytes) -> None:
        """Follow what polls of this prefix give, if that is not done already."""
        task = self._tasks.get(prefix)
        if task is None or task.done():
            task = self._tasks[prefix] = asyncio.create_task(self._follow(prefix))
            task.add_done_callback(lambda _: self._changed.set())

    async def expect(self, content: bytes, seconds: float | None) -> None:
        """
        Wait for the next message that was not expected yet.

        @param content: what it must be.
        @param seconds: how long to wait; None for ever.
        @raise Unexpected: it is another, or there is none.
        """
        if not self._tasks:
            raise Unexpected('"messages" has to ask for messages first')
        try:
            async with asyncio.timeout(seconds):
                while not self._kept:
                    if all(task.done() for task in self._tasks.values()):
                        raise Unexpected("the server gives no messages")
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise Unexpected(f"no message within {seconds:g} seconds") from None
        message = self._kept.popleft()
        if message != content:
            raise Unexpected(
                f"the message should be {contentText(content)}, not {contentText(message)}"
            )

    async def stop(self) -> None:
        """Follow nothing any more."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _follow(self, prefix: bytes) -> None:
        messages = self._client.messages(prefix)
        while True:
            try:
                self._take(await anext(messages))
            except MessagesMissed as missed:
                self._showNote(str(missed), None)
            except RequestFailed as failure:
                self._showNote("the server gives no messages", failure.content)
                return
            except ClientClosed:
                return
            except Exception as error:
                # A server that pushes nothing answers polls as it answers anything.
                self._showNote(f"no messages: {error}", None)
                return

    def _take(self, message: bytes) -> None:
        self._kept.append(message)
        self._changed.set()
        self._showMessage(message)
