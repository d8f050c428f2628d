"""
One who talks: the rooms they are in, what they have asked, and what they have heard, each once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred, succeed

from examples.chat.screen import Missed
from examples.chat.words import (
    POLL,
    Entered,
    Event,
    Exited,
    Here,
    Join,
    Leave,
    Mistake,
    Request,
    Said,
    Say,
    parseEvent,
    parseObject,
    writeRequest,
)
from msgserver.client import MsgClient
from msgserver.errors import MessagesMissed, MsgServerError, RequestFailed


@define
class _Heard:
    """
    How far one is in a room.

    @ivar run: which run of the server it is; another one numbers anew.
    @ivar number: what was heard last; 0 where that is nothing.
    """

    run: str
    number: int = 0


class Talker:
    """
    One who talks.

    The rooms stay joined when a login ends, and what was said meanwhile is heard as far as the
    room still has it: once, since what is said has a number.

    @param client: theirs; it must not be in use for messages otherwise.
    @param happened: called with what happens, in its order.
    @param failed: called with what went wrong that nobody has asked for.
    """

    def __init__(
        self,
        client: MsgClient,
        happened: Callable[[Event | Missed], object],
        failed: Callable[[str], object],
    ) -> None:
        self._client = client
        self._happened = happened
        self._failed = failed
        # Those in which they are, by what was answered; and as far as they have heard of it.
        self._rooms: dict[str, None] = {}
        self._heard: dict[str, _Heard] = {}
        self._logins = 0
        self._asking = 0
        self._unheard: dict[tuple[str, int], None] = {}
        self._onQuiet: list[Deferred[None]] = []
        client.on("connected", self._connected)
        client.on("back", lambda: self._askAside(Here()))
        self.listening: Deferred[None] = Deferred.fromCoroutine(self._listen())

    @property
    def rooms(self) -> list[str]:
        """The rooms they are in, as far as they know."""
        return [*self._rooms]

    @property
    def isConnected(self) -> bool:
        """Whether what is asked now is sent now."""
        return self._client.isConnected

    async def ask(self, request: Request) -> dict[str, Any]:
        """
        Ask the server.

        @return: its answer.
        @raise Exception: as L{MsgClient.request} fails.
        """
        self._asking += 1
        try:
            answer = parseObject(await self._request(request))
            if isinstance(request, Join):
                self._rooms[request.room] = None
            if isinstance(request, Leave):
                self._rooms.pop(request.room, None)
            if isinstance(request, Say):
                self._said(request.room, answer.get("number"))
            return answer
        finally:
            self._asking -= 1
            self._perhapsQuiet()

    async def _request(self, request: Request) -> bytes:
        logins = self._logins
        try:
            return await self._client.request(writeRequest(request))
        except RequestFailed:
            if logins == self._logins or getattr(request, "room", None) not in self._rooms:
                raise
        # What waits for a new login is sent before the rooms are joined again, which is under
        # way now.
        return await self._client.request(writeRequest(request))

    def whenQuiet(self) -> Deferred[None]:
        """Wait until all that was asked is answered, and what one has said oneself is heard."""
        if not (self._asking or self._unheard):
            return succeed(None)
        quiet: Deferred[None] = Deferred()
        self._onQuiet.append(quiet)
        return quiet

    def _connected(self) -> None:
        # Under a new login the server has one in no room.
        self._logins += 1
        for room in self.rooms:
            self._askAside(Join(room))

    def _askAside(self, request: Request) -> None:
        asked = Deferred.fromCoroutine(self.ask(request))
        asked.addErrback(lambda failure: self._failed(f"{request}: {failure.getErrorMessage()}"))

    async def _listen(self) -> None:
        messages = self._client.messages(POLL)
        while True:
            try:
                async for message in messages:
                    self._hear(parseEvent(message))
            except MessagesMissed as missed:
                self._happened(Missed(None, missed.count))
            except Mistake as mistake:
                self._failed(f"the server tells what cannot be: {mistake}")
            except MsgServerError as error:
                self._failed(str(error))
                return

    def _hear(self, event: Event) -> None:
        if isinstance(event, Entered):
            heard = self._heard.get(event.room)
            if heard is not None and heard.run == event.run:
                return  # Back, and never away as far as one is concerned.
            self._heard[event.room] = _Heard(event.run)
        elif isinstance(event, Exited):
            self._heard.pop(event.room, None)
        elif isinstance(event, Said) and not self._isNew(event):
            return
        self._happened(event)
        self._perhapsQuiet()

    def _isNew(self, said: Said) -> bool:
        self._unheard.pop((said.room, said.number), None)
        heard = self._heard.get(said.room)
        if heard is None and said.room in self._rooms:
            # That one has entered was among what the box has dropped.
            heard = self._heard[said.room] = _Heard("")
        if heard is None or said.number <= heard.number:
            # Said before one left; or told again to one who is back.
            return False
        if heard.number and said.number > heard.number + 1:
            self._happened(Missed(said.room, said.number - heard.number - 1))
        heard.number = said.number
        return True

    def _said(self, room: str, number: object) -> None:
        heard = self._heard.get(room)
        if isinstance(number, int) and (heard is None or heard.number < number):
            self._unheard[room, number] = None

    def _perhapsQuiet(self) -> None:
        if not (self._asking or self._unheard):
            waiting, self._onQuiet = self._onQuiet, []
            for quiet in waiting:
                quiet.callback(None)
