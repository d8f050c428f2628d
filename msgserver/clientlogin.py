"""
The client's half of a login: what it still wants answers to, and what it asks again.

Nothing here knows a transport, a clock or randomness; the Twisted client
(L{msgserver.client}) and the one for asyncio (L{msgserver.aio}) stand on the same
L{ClientLogin}. What a client has to do so that a request is answered once and runs once,
however often connections break:

  - it logs in, and keeps what that gave it: L{LoggedIn};
  - each connection's handshake has a greater index than the last (H);
  - each request has a session that no unanswered request has (S5);
  - on a new connection it first asks again, under the same sessions and in the order first
    asked, whatever is unanswered: those are the same requests to the gate, which runs none of
    them twice (S6);
  - it has no more requests unanswered than half of the responses that the gate keeps (S7);
  - when the login has ended, what was sent under it may or may not have run, and the next
    login knows nothing of it (U5): only the caller can say whether to ask again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from attrs import define, field, frozen

from msgserver.errors import InvalidState, ProtocolError
from msgserver.wire.framing import MAX_REQUEST, SESSION_SIZE
from msgserver.wire.gate import GateClient, requestPacket
from msgserver.wire.naming import User

MAX_UNANSWERED = 64
"""
How many requests are sent and unanswered at a time: half of a gate's default
C{expired_number}, so that asking again always finds the response (S7).

After a response that got lost, the gate may have made those of the others that were
unanswered, and lost with it; and as many again of requests that were made meanwhile, one for
each that was asked again before it and answered. From then on it is the first asked again.

It is a number of responses: where they are so large that 64 of them twice are more than the
gate's C{cache_bytes}, fewer must be unanswered.
"""

ADDRESS_GRACE = 0.5
"""Seconds that a server which has said yes has to say where the gate is as well (L5)."""

_SESSIONS = 2 ** (8 * SESSION_SIZE)
_PORT_DIGITS = 5

WaiterT = TypeVar("WaiterT")
"""Whatever a client gives its callers to wait for an answer: a Deferred, a Future."""


@frozen
class LoggedIn:
    """
    What a login leaves the client with.

    @ivar user: the login's name, for the gate's handshake.
    @ivar secret: what proves the handshake; never logged (L6).
    @ivar address: the gate's C{host:port}, or None where the client knows it (L5).
    """

    user: User
    secret: bytes = field(repr=False)
    address: str | None = None


def parseAddress(address: str) -> tuple[str, int]:
    """
    Take a gate's C{host:port} apart; an IPv6 address stands in brackets.

    @raise ProtocolError: it is not of that form: the login server gave nonsense.
    """
    host, colon, digits = address.rpartition(":")
    isBracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if isBracketed else host
    # Not many digits: there is a number of them that Python does not read.
    isNumber = digits.isascii() and digits.isdecimal() and len(digits) <= _PORT_DIGITS
    isPort = isNumber and 0 < int(digits) < 2**16
    if not _isHost(host) or not isPort or (":" in host) is not isBracketed:
        raise ProtocolError("the gate's address is not of the form host:port")
    return host, int(digits)


def _isHost(host: str) -> bool:
    try:
        # As resolvers do, who would fail with a UnicodeError, for ever.
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def contentOf(content: object) -> bytes:
    """
    Take what is to be asked, as bytes that nobody changes any more.

    @raise TypeError: it is no bytes.
    @raise ValueError: it is over 65,531 bytes.
    """
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise TypeError(f"a request takes bytes, not {type(content).__name__}")
    taken = bytes(content)
    if len(taken) > MAX_REQUEST:
        raise ValueError(f"a request takes at most {MAX_REQUEST} bytes, not {len(taken)}")
    return taken


@define(eq=False)
class Request(Generic[WaiterT]):
    """
    One request, until it is answered.

    @ivar content: 0 to 65,531 bytes.
    @ivar waiter: who is told the answer; None where nobody wants it any more.
    """

    content: bytes = field(repr=False)
    waiter: WaiterT | None


class ClientLogin(Generic[WaiterT]):
    """
    The logins of one client, one at a time, and the requests that it has asked.

    @param maxUnanswered: how many requests are sent and unanswered at a time; no more than
        the gate's C{expired_number}. Those past it wait.
    """

    def __init__(self, maxUnanswered: int = MAX_UNANSWERED) -> None:
        self._maxUnanswered = maxUnanswered
        self._loggedIn: LoggedIn | None = None
        self._index = 0
        self._lastSession = 0
        # By session, in the order first asked.
        self._unanswered: dict[bytes, Request[WaiterT]] = {}
        # Never sent; an OrderedDict because it gives its first away in constant time.
        self._waiting: OrderedDict[Request[WaiterT], None] = OrderedDict()

    @property
    def loggedIn(self) -> LoggedIn | None:
        """The current login; None before the first, and between one's end and the next."""
        return self._loggedIn

    def begin(self, loggedIn: LoggedIn) -> None:
        """
        Take a new login. What waits will be sent under it.

        @raise InvalidState: the last one has not ended.
        """
        if self._loggedIn is not None:
            raise InvalidState("the last login has not ended")
        self._loggedIn = loggedIn
        self._index = 0
        self._lastSession = 0

    def end(self) -> list[WaiterT]:
        """
        Take note that the login is no more. What was never sent waits for the next one.

        @return: who waits for the requests that were sent, in the order asked: it is unknown
            what became of them (U5).
        """
        self._loggedIn = None
        ended, self._unanswered = self._unanswered, {}
        return [request.waiter for request in ended.values() if request.waiter is not None]

    def abandon(self) -> list[WaiterT]:
        """
        Give up the requests that were never sent.

        @return: who waits for them, in the order asked.
        """
        abandoned, self._waiting = self._waiting, OrderedDict()
        return [request.waiter for request in abandoned if request.waiter is not None]

    def newConnection(self) -> GateClient:
        """
        Give the wire of one more connection, with the next index (H).

        @raise InvalidState: there is no login.
        """
        if self._loggedIn is None:
            raise InvalidState("there is no login to connect with")
        self._index += 1
        return GateClient(self._loggedIn.user, self._loggedIn.secret, self._index)

    @property
    def unanswered(self) -> int:
        """How many requests are sent and unanswered."""
        return len(self._unanswered)

    @property
    def waiting(self) -> int:
        """How many requests have never been sent."""
        return len(self._waiting)

    @property
    def hasRoom(self) -> bool:
        """Whether one more request would be sent as soon as there is a connection."""
        return not self._waiting and len(self._unanswered) < self._maxUnanswered

    def ask(self, content: bytes, waiter: WaiterT | None) -> Request[WaiterT]:
        """
        Take a request; L{dataToSend} sends it when there is room.

        @param waiter: what L{answered} gives back; None where nobody wants the answer.
        @raise TypeError: the content is no bytes: it would break each connection when it is sent.
        @raise ValueError: the content is over 65,531 bytes.
        """
        request = Request(contentOf(content), waiter)
        self._waiting[request] = None
        return request

    def cancel(self, request: Request[WaiterT]) -> None:
        """
        Take note that nobody wants the answer any more.

        What has been sent keeps its session until the answer is here, and is asked again
        like any other: a session may be used anew only after that (S5).
        """
        request.waiter = None
        self._waiting.pop(request, None)

    def dataToSend(self) -> bytes:
        """Give the requests that wait, once, as many as there is room for (S7)."""
        packets = []
        while self._waiting and len(self._unanswered) < self._maxUnanswered:
            request, _ = self._waiting.popitem(last=False)
            session = self._nextSession()
            self._unanswered[session] = request
            packets.append(requestPacket(session, request.content))
        return b"".join(packets)

    def askAgain(self) -> bytes:
        """Give every unanswered request anew: the first to be sent on a new connection (S6)."""
        return b"".join(
            requestPacket(session, request.content) for session, request in self._unanswered.items()
        )

    def answered(self, session: bytes) -> WaiterT | None:
        """
        Take note of a response; its session is free again.

        @return: who waits for it, or None: nobody does any more, or nobody ever asked.
        """
        request = self._unanswered.pop(session, None)
        return None if request is None else request.waiter

    def _nextSession(self) -> bytes:
        while True:
            self._lastSession = (self._lastSession + 1) % _SESSIONS
            session = self._lastSession.to_bytes(SESSION_SIZE, "big")
            if session not in self._unanswered:
                return session
