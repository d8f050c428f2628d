"""
A talk with a server: line after line, until there are no more, or something ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time
from typing import Any

from msgserver.commandline.clients import Client
from msgserver.commandline.commands import Mistake, parse
from msgserver.commandline.connecting import reason
from msgserver.commandline.conversation import Conversation, Quit
from msgserver.commandline.display import Display
from msgserver.commandline.events import Event, nameOf
from msgserver.commandline.sources import Line, Source
from msgserver.commandline.statuses import Status, Unexpected
from msgserver.commandparts import Complaint
from msgserver.errors import Refused

GREETING = '"help" lists the commands; a line that begins with none of them is sent as it is'


class Talk:
    """
    Carry out the lines of a source, and show what happens meanwhile. To be made where an event
    loop runs, before the client has connected.

    @param timeout: seconds that an expected message may take; None for any number.
    @param clock: tells the time, in seconds since the epoch; by default, the machine's.
    """

    def __init__(
        self,
        client: Client,
        source: Source,
        display: Display,
        timeout: float | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        self._client = client
        self._source = source
        self._display = display
        self._clock = clock
        self._conversation = Conversation(client, display.show, timeout, clock)
        self._tell = self._conversation.tell
        self._unmet = 0
        self._over: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        display.failed = self._end
        client.on("connected", self._connected)
        client.on("away", lambda: self._tell("away"))
        client.on("back", lambda: self._tell("back"))
        client.on("loggedOut", lambda error: self._tell("loggedOut", reason(error)))

    def note(self, text: str) -> None:
        """Tell something in words."""
        self._tell("note", text)

    def greet(self, hint: str) -> None:
        """Say at a prompt what there is, and C{hint}, if it is not empty."""
        for text in filter(None, [hint, GREETING]):
            self.note(text)

    async def run(self) -> Status:
        """
        Talk until the lines end, and at a script's end until all answers are there.

        @return: whether all was well.
        @raise Complaint: it has ended before.
        @raise Exception: what the display has failed with, or the source has raised.
        """
        forget = self._client.on("ended", self._ended)
        talking = asyncio.create_task(self._talk())
        try:
            everything: list[asyncio.Future[Any]] = [talking, self._over]
            await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
            # What has ended the client has ended all that was asked, and is why.
            if self._over.done():
                raise self._over.result()
            talking.result()
        finally:
            forget()
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
            await self._conversation.stop()
        return Status.FAILED if self._unmet or self._conversation.failed else Status.FINE

    async def _talk(self) -> None:
        try:
            while (line := await self._source.next()) is not None:
                self._display.record(Event("command", self._clock(), line.text))
                await self._perform(line)
        except Quit:
            return
        if not self._source.isTyped:
            await self._conversation.wait()

    async def _perform(self, line: Line) -> None:
        try:
            command = parse(line.text, self._source.isTyped)
            if command is not None:
                await self._conversation.perform(command)
        except Mistake as mistake:
            self._complain(line, Status.MISTAKEN, str(mistake))
        except Unexpected as unexpected:
            self._unmet += 1
            self._complain(line, Status.FAILED, f"not as expected: {unexpected}")

    def _complain(self, line: Line, status: Status, text: str) -> None:
        """Show what is wrong with a line at the prompt; whatever is no prompt ends here."""
        if not self._source.isTyped:
            raise Complaint(status, f"{line.place}: {text}")
        self._tell("complaint", text)

    def _connected(self) -> None:
        loggedIn = self._client.loggedIn
        assert loggedIn is not None, "a gate has accepted a login"
        self._tell("connected", nameOf(loggedIn.user))

    def _ended(self, error: Exception) -> None:
        self._tell("ended", reason(error))
        status = Status.REFUSED if isinstance(error, Refused) else Status.UNREACHABLE
        self._end(Complaint(status, f"the client has ended: {reason(error)}"))

    def _end(self, error: Exception) -> None:
        if not self._over.done():
            self._over.set_result(error)
