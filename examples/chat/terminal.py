"""
A person's end of the chat: lines that are typed, and lines that are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IHalfCloseableProtocol, ITransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from examples.chat.screen import ERASE, Screen
from examples.chat.talker import Talker
from examples.chat.words import Join, Leave, Mistake, Request, Say, Who
from msgserver.errors import MsgServerError, OutcomeUnknown, RequestFailed

HELP = """\
/join ROOM      enter a room, and talk there from now on
/leave [ROOM]   leave it
/who [ROOM]     tell who is in it
/cut            break the connection; it comes back by itself
/offline        pull the plug: no connection until /online
/online         put it back in
/quit           log off
Anything else is said in the room that was joined last."""


@implementer(IHalfCloseableProtocol)
class Terminal(LineReceiver):
    """
    Reads what is typed, and does it.

    @param network: what C{/cut}, C{/offline} and C{/online} do.
    @param typed: called when a line was typed, an empty one too, by somebody who stays.
    @ivar ended: fires when there is nothing more to read, or to quit.
    """

    delimiter = b"\n"

    def __init__(
        self,
        screen: Screen,
        network: dict[str, Callable[[], object]],
        typed: Callable[[], object] = lambda: None,
    ) -> None:
        self.ended: Deferred[None] = Deferred()
        self.closed: Deferred[None] = Deferred()
        self._screen = screen
        self._network = network
        self._typed = typed
        self._room: str | None = None
        self._isShown = True
        # A line that is too long has begun; what came behind its end.
        self._isTooLong = False
        self._following = b""

    def begin(self, talker: Talker) -> None:
        """Take note who is talking, before anything is typed."""
        self._talker = talker

    def show(self, line: str) -> None:
        """Show a line."""
        if self._isShown:
            self._standard.write(line.encode(errors="replace") + self.delimiter)

    def note(self, text: str) -> None:
        """Show something that nobody has said."""
        self.show(self._screen.note(text))

    def complain(self, text: str) -> None:
        """Show what has gone wrong."""
        self.show(self._screen.complaint(text))

    def dataReceived(self, data: bytes) -> None:
        """Take what was typed, line by line."""
        super().dataReceived(data)  # type: ignore[no-untyped-call]
        while self._following:
            following, self._following = self._following, b""
            super().dataReceived(following)  # type: ignore[no-untyped-call]

    def lineReceived(self, line: bytes) -> None:
        """Do what was typed."""
        if self._isTooLong:
            self._isTooLong = False
            return
        typed = line.decode(errors="replace").strip()
        if typed.startswith("/"):
            self._command(*typed.split(maxsplit=1))
        elif typed:
            self._inRoom(lambda room: self._say(room, typed), None)
        if not self.ended.called:
            self._typed()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Say so, and go on behind its end."""
        if not self._isTooLong:
            self.complain("that line is too long")
        _, delimiter, self._following = line.partition(self.delimiter)
        self._isTooLong = not delimiter

    def readConnectionLost(self) -> None:
        """Quit, as there will be no more commands; the last one may have no end."""
        self._typed = lambda: None
        self.dataReceived(self.delimiter)
        self.end()

    def writeConnectionLost(self) -> None:
        """Quit, as nobody is looking."""
        self._isShown = False
        self.end()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Quit."""
        self._isShown = False
        self.end()
        self.closed.callback(None)

    def close(self) -> Deferred[None]:
        """Let what is shown be seen, and close."""
        if not self._isShown:
            return succeed(None)
        self._standard.loseConnection()
        return self.closed

    @property
    def _standard(self) -> ITransport:
        assert self.transport is not None, "shown before there is a terminal"
        return self.transport

    def end(self, reason: Exception | None = None) -> None:
        """Read no more: for a reason, or because somebody has quit."""
        if not self.ended.called:
            self.ended.callback(None) if reason is None else self.ended.errback(reason)

    def _command(self, name: str, rest: str = "") -> None:
        room = rest.strip().removeprefix("#") or None
        if name == "/join" and room:
            self._do(self._join(room))
        elif name == "/leave":
            self._inRoom(self._leave, room)
        elif name == "/who":
            self._inRoom(self._who, room)
        elif name in self._network and not room:
            self._network[name]()
        elif name == "/quit" and not room:
            self.end()
        elif name == "/help":
            for line in HELP.splitlines():
                self.note(line)
        else:
            self.complain(f"there is no {name}, or not like that; /help tells what there is")

    def _inRoom(self, do: Callable[[str], Coroutine[Any, Any, None]], room: str | None) -> None:
        room = room or self._room
        if room is None:
            self.complain("you are in no room; /join one first")
        else:
            self._do(do(room))

    def _do(self, doing: Coroutine[Any, Any, None]) -> None:
        Deferred.fromCoroutine(doing).addErrback(self._failed)

    async def _join(self, room: str) -> None:
        # At once, so that what is typed next is said there.
        before, self._room = self._room, room
        try:
            await self._ask(Join(room))
        except Exception:
            if self._room == room:
                self._room = before
            raise

    async def _leave(self, room: str) -> None:
        await self._ask(Leave(room))
        if self._room == room:
            self._room = next(iter(self._talker.rooms), None)

    async def _who(self, room: str) -> None:
        members = (await self._ask(Who(room)))["members"]
        names = ", ".join(f"{member['user']} ({member['state']})" for member in members)
        self.note(f"in {room}: {names}")

    async def _say(self, room: str, text: str) -> None:
        said = Say(room, text)
        if self._screen.isColoured and self._talker.isConnected:
            # It is shown as everybody sees it, in a moment.
            self._standard.write(ERASE.encode())
        try:
            await self._ask(said)
        except OutcomeUnknown:
            self.complain(f"nobody knows whether this was said: {text}")

    async def _ask(self, request: Request) -> dict[str, Any]:
        return await self._talker.ask(request)

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, RequestFailed):
            self.complain(error.content.decode(errors="replace") or "the server has failed")
        elif isinstance(error, (Mistake, MsgServerError)):
            self.complain(str(error))
        else:
            self.complain(f"a bug of this client: {error!r}")
