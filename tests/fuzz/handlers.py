"""
What the users of both ports write: handlers that do as a play says, good or bad.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.current import currentRequest
from msgserver.errors import RequestFailed, Unauthorized
from msgserver.interfaces import Account, ILoginHandler, IMsgGate, IMsgHandler, User
from msgserver.wire.framing import MAX_RESPONSE
from tests.fuzz.watching import HandlerBug, HandlerRefusal, Watch

MAX_RUNNING = 4
"""How many requests of a login may run at once."""

MAX_UID = 1000
"""The bytes of the longest uid: its handshake must fit into a packet of the gate's."""

TOKEN_MARK = b"t0ken&sEcret:"
"""What every token of ours begins with, so that it is seen wherever it does not belong."""

Outcome = tuple[bytes, bytes]
"""The flag and the content of a response."""


@implementer(IMsgHandler)
class MsgHandler:
    """
    Answers a request as its content says, and notes what it came to.

    @param watch: told of what must not be.
    @ivar calls: the name of each call but requestReceived, with what it was about.
    @ivar modes: what the calls of a name do: see L{act}.
    @ivar outcomes: what was answered, by user and session.
    @ivar fresh: the user, session and content of requests that nobody has looked at yet.
    @ivar hanging: what calls that hang wait for.
    """

    gate: IMsgGate

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.calls: list[tuple[str, object]] = []
        self.modes: dict[str, str] = {}
        self.outcomes: dict[tuple[User, bytes], list[Outcome]] = {}
        self.fresh: list[tuple[User, bytes, bytes]] = []
        self.hanging: list[Deferred[Any]] = []
        self._later: list[Deferred[Any]] = []
        self._running: dict[User, int] = {}

    def gateOpened(self, gate: IMsgGate) -> None:
        """See L{IMsgHandler.gateOpened}."""
        self.gate = gate

    def loginReceived(self, uid: bytes, secret: bytes) -> Any:
        """See L{IMsgHandler.loginReceived}."""
        return self._called("loginReceived", uid)

    def disconnected(self, user: User) -> Any:
        """See L{IMsgHandler.disconnected}."""
        return self._called("disconnected", user)

    def kicked(self, user: User) -> Any:
        """See L{IMsgHandler.kicked}."""
        return self._called("kicked", user)

    def loggedOut(self, user: User) -> Any:
        """See L{IMsgHandler.loggedOut}."""
        return self._called("loggedOut", user)

    def _called(self, name: str, about: object) -> Any:
        self.calls.append((name, about))
        return act(self.modes.get(name, ""), self.hanging)

    def requestReceived(self, user: User, content: bytes) -> Any:
        """Answer a request: see L{_answer}."""
        session = currentRequest().session
        self.fresh.append((user, session, content))
        outcomes = self.outcomes.setdefault((user, session), [])
        order, _, rest = content.partition(b":")
        if order in (b"later", b"async"):
            self._running[user] = self._running.get(user, 0) + 1
            if (running := self._running[user]) > MAX_RUNNING:
                # Not raised: what a handler raises is answered, and goes no further (S4).
                self._watch.found.append(f"B2: {running} requests of {user} are running")
            promised: Deferred[Any] = Deferred()
            self._later.append(promised)
            promised.addBoth(self._noted, user, outcomes)
            return promised if order == b"later" else _wait(promised)
        try:
            answer = self._answer(user, order, rest, content)
        except Exception as error:
            outcomes.append(outcomeOf(error))
            raise
        outcomes.append(outcomeOf(b"bye" if order == b"await logout" else answer))
        return answer

    def _answer(self, user: User, order: bytes, rest: bytes, content: bytes) -> Any:
        if order == b"raise":
            raise HandlerBug("on purpose")
        if order == b"refuse":
            raise RequestFailed(rest)
        if order == b"refuse badly":
            raise RequestFailed(rest.decode("latin-1"))  # type: ignore[arg-type]  # as some will
        if order == b"logout":
            self.gate.logout(user)
            return b"bye"
        if order == b"await logout":
            return self._awaitLogout(user)
        if order == b"big":
            return bytes(min(int(rest), MAX_RESPONSE + 1) if rest.isdigit() else 0)
        if order == b"nonsense":
            return {b"text": "text", b"none": None}.get(rest, bytearray(rest))
        return content

    async def _awaitLogout(self, user: User) -> bytes:
        await self.gate.logout(user)
        return b"bye"

    def _noted(self, result: Any, user: User, outcomes: list[Outcome]) -> Any:
        self._running[user] -= 1
        outcomes.append(outcomeOf(result.value if isinstance(result, Failure) else result))
        return result

    def fulfil(self, number: int, answer: object) -> None:
        """Answer one of the requests that are running."""
        if self._later:
            promised = self._later.pop(number % len(self._later))
            if isinstance(answer, Exception):
                promised.errback(answer)
            else:
                promised.callback(answer)

    def fulfilAll(self) -> None:
        """Answer all requests that are running, and those that follow from it."""
        while self._later:
            self.fulfil(0, b"at last")


async def _wait(promised: Deferred[Any]) -> Any:
    return await promised


def outcomeOf(result: object) -> Outcome:
    """Say what a client is to be told where a handler gives, or raises, C{result} (S4)."""
    if isinstance(result, RequestFailed):
        return b"\x00", outcomeOf(result.content)[1]
    if isinstance(result, bytes) and len(result) <= MAX_RESPONSE:
        return b"\x01", result
    return b"\x00", b""


def act(mode: str, hanging: list[Deferred[Any]]) -> Any:
    """
    Do what a handler may do.

    @param hanging: gets what it waits for.
    """
    if mode == "raise":
        raise HandlerBug("on purpose")
    if mode == "refuse":
        raise HandlerRefusal("on purpose")
    if mode == "nonsense":
        return 7
    if mode == "hang":
        promised: Deferred[Any] = Deferred()
        hanging.append(promised)
        return promised
    return None


@implementer(ILoginHandler)
class LoginHandler:
    """
    Does what a token says: C{ok USER}, C{no}, C{elsewhere USER}, or a mode of L{act}.

    @ivar hanging: what calls that hang wait for.
    """

    def __init__(self, servername: bytes) -> None:
        self.hanging: list[Deferred[Any]] = []
        self._servername = servername

    def authenticate(self, token: bytes) -> Any:
        """See L{ILoginHandler.authenticate}."""
        order, _, uid = token.removeprefix(TOKEN_MARK).partition(b" ")
        if not token.startswith(TOKEN_MARK) or order == b"no" or len(uid) > MAX_UID:
            raise Unauthorized("a token that proves nothing")
        if order == b"ok":
            return Account(self._servername, uid)
        if order == b"elsewhere":
            return Account(b"elsewhere", uid)
        answer = act(order.decode("latin-1"), self.hanging)
        if answer is None:
            raise Unauthorized("a token that says nothing")
        return answer
