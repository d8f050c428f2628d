"""
The asyncio client's connections: L{msgserver.wire}'s client ends on asyncio's transports.

They hold no policy: which connections there are, and what comes of how they end, is
L{msgserver.aio}'s.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar, cast

from msgserver.clientlogin import ADDRESS_GRACE, ClientLogin, parseAddress
from msgserver.errors import ProtocolError, Refused, RequestFailed
from msgserver.wire.gate import Connected, Response
from msgserver.wire.login import Admitted, LoginClient

NEXT_ADDRESS = 0.25
"""Seconds that one address of a name may take to answer until the next is tried beside it."""

Place: TypeAlias = str | tuple[str, int]
"""Where a server is: the path of a UNIX socket, or a host and its port."""

_UNIX = "unix:"

_log = logging.getLogger("msgserver.aio")


def parsePlace(address: str, isEncrypted: bool = False) -> Place:
    """
    Read where a server is: C{host:port}, C{[IPv6 address]:port}, or C{unix:} and a path.

    @param isEncrypted: TLS is to be spoken there, which has to know a host.
    @raise ValueError: it is none of them, or a path where there is to be TLS.
    """
    if not address.startswith(_UNIX):
        try:
            return parseAddress(address)
        except ProtocolError:
            pass
    elif isEncrypted:
        raise ValueError(f"{address}: no TLS on a UNIX socket, which has no host to verify")
    elif path := address.removeprefix(_UNIX):
        return path
    raise ValueError(f"{address!r} is no address: host:port, [IPv6 address]:port or unix:/path")


VerdictT = TypeVar("VerdictT")


class Conversation(asyncio.Protocol, Generic[VerdictT]):
    """
    A connection to a server, which says yes or no first.

    @ivar lost: set when the connection is lost.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._verdict: VerdictT | Exception | None = None
        self._isDecided = asyncio.Event()
        self._outgoing: list[bytes] = []
        self._whenLost: list[Callable[[], None]] = []
        self.lost = asyncio.Event()

    async def connect(self, place: Place, context: ssl.SSLContext | None = None) -> None:
        """
        Make the connection.

        @param context: for TLS, by the name of the host; None for none.
        @raise OSError: there is none.
        """
        loop = self._loop
        if isinstance(place, str):
            await loop.create_unix_connection(lambda: self, place)
        else:
            host, port = place
            options: dict[str, Any] = {}
            if context is not None:
                options = {"ssl": context, "server_hostname": host}
            if isinstance(loop, asyncio.BaseEventLoop):
                # Others, such as uvloop's, do not know how to.
                options["happy_eyeballs_delay"] = NEXT_ADDRESS
            await loop.create_connection(lambda: self, host, port, **options)

    async def verdict(self) -> VerdictT:
        """
        Wait for what the server says.

        @raise Refused: it says no.
        @raise ProtocolError: this is no such server.
        @raise OSError: the connection was lost first.
        """
        await self._isDecided.wait()
        verdict = self._verdict
        assert verdict is not None
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    @property
    def transport(self) -> asyncio.Transport:
        """The transport of a connection that was made."""
        assert self._transport is not None, "not connected"
        return self._transport

    def abort(self) -> None:
        """Cut the connection, if there is one, at once."""
        if self._transport is not None:
            self._transport.abort()

    async def end(self) -> None:
        """Cut the connection, if there is one, and wait until nothing is left of it."""
        if self._transport is not None:
            self._transport.abort()
            await self.lost.wait()

    def whenLost(self, callback: Callable[[], None]) -> None:
        """Call back when the connection is lost, in a turn of the loop's; or was."""
        if self.lost.is_set():
            self._loop.call_soon(callback)
        else:
            self._whenLost.append(callback)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        # Not by its class, which with uvloop is none of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, reason: Exception | None) -> None:
        """Tell whoever waits for the verdict, or for the end."""
        self._decide(reason or ConnectionResetError("the server has closed the connection"))
        self.lost.set()
        callbacks, self._whenLost = self._whenLost, []
        for callback in callbacks:
            callback()

    def _decide(self, verdict: VerdictT | Exception) -> None:
        if self._verdict is None:
            self._verdict = verdict
            self._isDecided.set()

    def _write(self, data: bytes) -> None:
        # What is written after the loss would be counted, and logged, by asyncio.
        if data:
            if not self._outgoing:
                self._loop.call_soon(self._flush)
            self._outgoing.append(data)

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        # What is written after the loss would be counted, and logged, by asyncio.
        if self._transport is not None and not self.lost.is_set():
            self._transport.write(b"".join(outgoing))


class LoginConversation(Conversation[Admitted]):
    """
    One login (L). The verdict is there when the server has said all that it will.
    """

    def __init__(self, wire: LoginClient) -> None:
        super().__init__()
        self._wire = wire
        self._grace: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Go on with the conversation."""
        self._wire.feed(data)
        try:
            event = self._wire.nextEvent()
        except (Refused, ProtocolError) as error:
            self._decide(error)
            return
        self._write(self._wire.dataToSend())
        if event is not None:
            self._decide(event)
        elif self._wire.isAdmitted and self._grace is None:
            # Where there is no address to say, a close follows; from the original's server,
            # nothing ever does.
            self._grace = self._loop.call_later(ADDRESS_GRACE, self._allSaid)

    def connection_lost(self, reason: Exception | None) -> None:
        """Make what there is of what the server has said."""
        if self._grace is not None:
            self._grace.cancel()
        if self._wire.isAdmitted or reason is None:
            self._allSaid()
        super().connection_lost(reason)

    def _allSaid(self) -> None:
        try:
            event = self._wire.feedEnd()
        except ProtocolError as error:
            self._decide(error)
        else:
            if event is not None:
                self._decide(event)


class GateConversation(Conversation[Connected]):
    """
    One connection to a gate: the handshake (H), then requests and responses (S).

    @param login: the login to connect with; it has the requests, and whoever waits for them.
    @ivar heard: how often something was received.
    """

    def __init__(self, login: ClientLogin[asyncio.Future[bytes]]) -> None:
        super().__init__()
        self._login = login
        self._wire = login.newConnection()
        self._mayAsk = False
        self._isFull = False
        self.heard = 0

    def askAgain(self) -> None:
        """Send what is unanswered (S6), then what has waited."""
        self._mayAsk = True
        self._write(self._login.askAgain())
        self.sendRequests()

    def sendRequests(self) -> None:
        """
        Send what waits, as much as may be unanswered at a time (S7); nothing where the transport
        has as much to send as it wants.
        """
        if self._mayAsk and not self._isFull:
            self._write(self._login.dataToSend())

    def pause_writing(self) -> None:
        """Take note that the gate reads more slowly than we write."""
        self._isFull = True

    def resume_writing(self) -> None:
        """Go on with what waits."""
        self._isFull = False
        self.sendRequests()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who we are."""
        super().connection_made(transport)
        self._write(self._wire.hello)

    def data_received(self, data: bytes) -> None:
        """Take the gate's verdict, and then its responses."""
        self.heard += 1
        self._wire.feed(data)
        try:
            while (event := self._wire.nextEvent()) is not None:
                if isinstance(event, Connected):
                    self._decide(event)
                else:
                    self._responseReceived(event)
        except (Refused, ProtocolError) as error:
            if isinstance(self._verdict, Connected):
                _log.info("closed the connection to the gate: %r", error)
            self._decide(error)
            self.abort()
        else:
            # There is room for more.
            self.sendRequests()

    def _responseReceived(self, response: Response) -> None:
        answer = self._login.answered(response.session)
        if answer is None or answer.done():
            return
        if response.isAnswer:
            answer.set_result(response.content)
        else:
            answer.set_exception(RequestFailed(response.content))
