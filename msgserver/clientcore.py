"""
What a client decides, whatever it runs on.

When to connect where, when to take a new login and when to give up, what to tell whom: that is
the same for Twisted (L{msgserver.client}) and for asyncio (L{msgserver.aio}), and here. Nothing
here knows a transport or a clock. L{ClientCore._attempt} is a coroutine that awaits what a
subclass hands it, so Deferreds are as good as asyncio's futures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar, get_args, overload

from attrs import define

from msgserver.clientlogin import (
    MAX_UNANSWERED,
    ClientLogin,
    LoggedIn,
    Request,
    WaiterT,
    contentOf,
)
from msgserver.clientmessages import Messages
from msgserver.errors import (
    BadRequest,
    ClientClosed,
    InvalidState,
    OutcomeUnknown,
    ProtocolError,
    Refused,
    TooManyWaiting,
    Unauthorized,
    UserNotFound,
)

LOGIN_TIMEOUT = 10.0
"""Seconds that a login may take, from connecting to the server's verdict."""

HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a gate has to answer the handshake."""

FIRST_DELAY = 0.2
"""Seconds until the next attempt when one has failed; twice as many after each further one."""

LONGEST_DELAY = 30.0
"""Seconds that no wait between attempts is longer than, but for what is added at random."""

MAX_WAITING = 10_000
"""How many requests wait to be sent: for a connection, or for others to be answered."""

KEEP_ALIVE = 30.0
"""Seconds without a sign of life until the other end is asked for one."""

Happening: TypeAlias = Literal["connected", "away", "back", "loggedOut", "ended"]
"""
What L{ClientCore.on} can tell of: C{connected}, the gate has accepted a connection under a new
login; C{away}, that was lost, and the login lives; C{back}, there is one again under the same
login; C{loggedOut}, the login has ended, and the reason; C{ended}, the client has, and the reason.
"""


class GateConnection(Protocol):
    """A connection that the gate has accepted, as the core sees it."""

    def askAgain(self) -> None:
        """Send what is unanswered, then what has waited (S6)."""

    def sendRequests(self) -> None:
        """Send what waits, as much as may be unanswered at a time (S7)."""

    def abort(self) -> None:
        """Cut it, at once."""

    def whenLost(self, callback: Callable[[], None]) -> None:
        """Call back when it is lost, or has been."""


ConnectionT = TypeVar("ConnectionT", bound=GateConnection)


class ClientCore(ABC, Generic[WaiterT, ConnectionT]):
    """
    A client's policy.

    A subclass makes attempts, one after another, for as long as L{_attempt} says that it is of
    use: again when the connection is lost, and after a while when an attempt has failed.

    @param takeLogin: logs in; called at most once in an attempt.
    @param hasGate: it is known where to connect when a login gives no address.
    @param maxUnanswered: how many requests are sent and unanswered at a time (S7).
    @param maxWaiting: how many more wait; one more is refused with L{TooManyWaiting}.
    @param loginAfter: how many attempts in a row must not have reached the gate before a new
        login is taken, where logins give addresses. 1 or more.
    @param keepAlive: the seconds without a sign of life until one is asked for; 0 for never.
    @param ping: the request that asks the server's program for it, if any does.
    @raise ValueError: a limit is out of its range, or C{ping} is too long.
    """

    def __init__(
        self,
        takeLogin: Callable[[], Awaitable[LoggedIn]],
        hasGate: bool,
        maxUnanswered: int = MAX_UNANSWERED,
        maxWaiting: int = MAX_WAITING,
        loginAfter: int = 3,
        keepAlive: float = KEEP_ALIVE,
        ping: bytes | None = None,
    ) -> None:
        _check("maxUnanswered", maxUnanswered, 1)
        _check("maxWaiting", maxWaiting, 1)
        _check("loginAfter", loginAfter, 1)
        _check("keepAlive", keepAlive, 0)
        try:
            self._ping = None if ping is None else contentOf(ping)
        except ValueError as error:
            raise ValueError(f"ping: {error}") from None
        self._keepAlive = keepAlive
        self._takeLogin = takeLogin
        self._hasGate = hasGate
        self._login: ClientLogin[WaiterT] = ClientLogin(maxUnanswered)
        self._maxWaiting = maxWaiting
        self._loginAfter = loginAfter
        self._connection: ConnectionT | None = None
        self._connectedUnder: LoggedIn | None = None
        self._ended: Exception | None = None
        # Attempts in a row that have not reached the gate of the current login.
        self._outOfReach = 0
        # By what stands for the taking in of each: the same function may be there twice.
        self._hooks: dict[str, dict[object, Callable[..., object]]] = {}

    # What a subclass does.

    @abstractmethod
    async def _reach(self) -> ConnectionT:
        """
        Connect to the gate of the current login, and shake hands.

        @raise Refused: the gate has said no.
        @raise Exception: it was not reached, or this is no gate.
        """

    @abstractmethod
    def _fail(self, waiter: WaiterT, error: Exception) -> None:
        """Tell a waiter that there will be no answer, unless it has given up waiting."""

    @abstractmethod
    def _stop(self) -> None:
        """Make no further attempt, and close the connection; not from within this call."""

    @abstractmethod
    def _note(self, isWarning: bool, text: str, error: Exception) -> None:
        """Write a line into the log."""

    @abstractmethod
    def _noteBug(self, text: str, error: Exception) -> None:
        """Write a line into the log, and the traceback of the user's own code."""

    # What there is to ask.

    @property
    def loggedIn(self) -> LoggedIn | None:
        """The current login; None where there is none yet, or none any more."""
        return self._login.loggedIn

    @property
    def isConnected(self) -> bool:
        """Whether there is a connection that the gate has accepted."""
        return self._connection is not None

    @property
    def unanswered(self) -> int:
        """How many requests are sent and unanswered."""
        return self._login.unanswered

    @property
    def waiting(self) -> int:
        """How many requests wait to be sent."""
        return self._login.waiting

    @overload
    def on(
        self, happening: Literal["connected", "away", "back"], hook: Callable[[], object]
    ) -> Callable[[], None]: ...

    @overload
    def on(
        self, happening: Literal["loggedOut", "ended"], hook: Callable[[Exception], object]
    ) -> Callable[[], None]: ...

    def on(self, happening: Happening, hook: Callable[..., object]) -> Callable[[], None]:
        """
        Have a function called whenever something happens. What it raises is logged.

        @param happening: see L{Happening}.
        @param hook: takes the reason where there is one, and nothing otherwise.
        @return: call it to have the function called no more.
        @raise ValueError: that never happens.
        """
        known = get_args(Happening)
        if happening not in known:
            raise ValueError(f"{happening!r} is none of {', '.join(map(repr, known))}")
        hooks = self._hooks.setdefault(happening, {})
        place = object()
        hooks[place] = hook

        def remove() -> None:
            hooks.pop(place, None)

        return remove

    def dropConnection(self) -> None:
        """Cut the connection, if there is one, as the network might; the client comes back."""
        if self._connection is not None:
            self._connection.abort()

    def messages(self, prefix: bytes = b"") -> Messages:
        """
        Give what the server pushes to this client, one message after another, for
        C{async for}; see L{Messages}.

        @param prefix: what the server's handler tells a poll from other requests by.
        """
        return Messages(self._poll, prefix)

    # What happens.

    def _ask(
        self, content: bytes, waiter: WaiterT | None, isPoll: bool = False
    ) -> Request[WaiterT]:
        """
        Take a request, and send it if there is a connection and room.

        @param isPoll: it is one of L{_poll}, of which there are as many as somebody listens:
            requests that wait are no reason to stop that.
        @raise ValueError: the content is too long.
        @raise TooManyWaiting: see there.
        @raise Exception: what has ended the client.
        """
        self._checkNotEnded()
        if self._login.waiting >= self._maxWaiting and not isPoll:
            raise TooManyWaiting(f"{self._maxWaiting} requests wait to be sent already")
        request = self._login.ask(content, waiter)
        if self._connection is not None:
            self._connection.sendRequests()
        return request

    @abstractmethod
    def _poll(self, content: bytes) -> Awaitable[bytes]:
        """Ask, without a time-out: the answer is there when the server has something to say."""

    def _feelPulse(self, pulse: Pulse, heard: int, content: bytes) -> None:
        """
        See to it that the connection is alive; called every so many seconds.

        @param heard: how much has been received on the connection so far.
        @param content: what to ask to have a sign of life.
        """
        if self._connection is None or not pulse.isSilent(heard):
            return
        if pulse.isAsking:
            self._connection.abort()
        elif self._login.hasRoom:
            # Else what was asked is a question already; and the ping could not be sent.
            pulse.isAsking = True
            self._login.ask(content, None)
            self._connection.sendRequests()

    def _end(self, reason: Exception) -> None:
        """End the client: whoever waits is told, and no further attempt is made."""
        if self._ended is not None:
            return
        self._ended = reason
        # Before anybody is told: who is may close the client, and wait for that.
        self._stop()
        self._failAll(self._login.end(), OutcomeUnknown(f"the client ended: {reason}"))
        self._failAll(self._login.abandon(), reason)
        self._happened("ended", reason)

    def _close(self) -> None:
        self._end(ClientClosed("the client was closed"))

    async def _attempt(self) -> ConnectionT:
        """
        Make a connection that the gate accepts, and send on it what is unanswered and waits.

        @raise Exception: it was none this time, or the client has ended.
        """
        try:
            connection = await self._connect()
        except Exception as error:
            # Who breaks the wire, or is not the server that was expected, may go on doing so:
            # somebody should look. But it may be anybody in the middle, so the client goes on.
            # So may a login that leads nowhere.
            isWarning = isinstance(error, (ProtocolError, InvalidState))
            self._note(isWarning, "no connection to the gate", error)
            raise
        self._connection = connection
        isBack = self._connectedUnder is self._login.loggedIn
        self._connectedUnder = self._login.loggedIn
        connection.whenLost(self._connectionLost)
        connection.askAgain()
        self._happened("back" if isBack else "connected")
        return connection

    async def _connect(self) -> ConnectionT:
        """Reach the gate, by way of the login server where need be."""
        self._checkNotEnded()
        if self._login.loggedIn is not None:
            # Also when a new login is due: the network may be back, and the gate with it.
            try:
                return await self._shakeHands()
            except Exception as error:
                if not self._isLoginDue():
                    raise
                self._note(False, "out of reach, taking a new login", error)
        await self._logIn()
        return await self._shakeHands()

    def _isLoginDue(self) -> bool:
        loggedIn = self._login.loggedIn
        # Without an address, another login would lead to the same gate.
        leadsElsewhere = loggedIn is not None and loggedIn.address is not None
        isOutOfReach = self._outOfReach >= self._loginAfter
        return leadsElsewhere and isOutOfReach

    async def _logIn(self) -> None:
        try:
            loggedIn = await self._takeLogin()
        except Unauthorized as refusal:
            self._end(refusal)
            raise
        if loggedIn.address is None and not self._hasGate:
            # It would lead nowhere for ever; the next may have what got lost of this one.
            raise InvalidState("the login gives no address, and no gate was given")
        # Closed meanwhile: what was waiting has been told, and nothing is to come after that.
        self._checkNotEnded()
        # Not before there is a new login: until then the old one's gate may be back.
        self._endLogin(OutcomeUnknown("the gate could not be reached"), loggedIn)
        self._outOfReach = 0

    async def _shakeHands(self) -> ConnectionT:
        self._checkNotEnded()
        try:
            connection = await self._reach()
        except Refused as refusal:
            self._outOfReach = 0
            self._refused(refusal)
            raise
        except Exception:
            self._outOfReach += 1
            raise
        self._outOfReach = 0
        return connection

    def _refused(self, refusal: Refused) -> None:
        if isinstance(refusal, BadRequest):
            self._end(refusal)
        elif isinstance(refusal, (UserNotFound, Unauthorized)):
            self._endLogin(OutcomeUnknown(f"the login has ended: {refusal}"))

    def _endLogin(self, reason: OutcomeUnknown, following: LoggedIn | None = None) -> None:
        """Take note that the login is no more, if there was one, and begin the following one."""
        hadLogin = self._login.loggedIn is not None
        unanswered = self._login.end()
        if following is not None:
            self._login.begin(following)
        self._failAll(unanswered, reason)
        if hadLogin:
            self._happened("loggedOut", reason)

    def _checkNotEnded(self) -> None:
        if self._ended is not None:
            # Else its traceback would grow with each time that it is raised.
            raise self._ended.with_traceback(None)

    def _connectionLost(self) -> None:
        self._connection = None
        self._happened("away")

    def _happened(self, happening: Happening, *reason: Exception) -> None:
        hooks = self._hooks.get(happening, {})
        for place in [*hooks]:
            # Whoever was told before may have taken this one away, or closed the client.
            hook = hooks.get(place)
            if hook is None or (self._ended is not None and happening != "ended"):
                continue
            try:
                hook(*reason)
            except Exception as error:
                self._noteBug(f"a hook of {happening!r} failed", error)

    def _failAll(self, waiters: Iterable[WaiterT], error: Exception) -> None:
        for waiter in waiters:
            self._fail(waiter, error)


@define
class Pulse:
    """
    Whether a connection has shown a sign of life since last asked.

    @ivar isAsking: a sign was asked for, and none has come yet.
    """

    heard: int = 0
    isAsking: bool = False

    def isSilent(self, heard: int) -> bool:
        """Say whether nothing was received since this was called last."""
        isSilent = heard == self.heard
        self.heard = heard
        self.isAsking &= isSilent
        return isSilent


def retryDelay(failures: int, random: Callable[[], float]) -> float:
    """
    Tell how many seconds to wait when so many attempts in a row have failed, 1 or more: 0.2,
    0.4 and so on to 30, and up to one more at random, so that not all the clients of a gate that
    restarts come at once.

    @param random: gives a number from 0 to 1.
    """
    # Bounded before it is raised: after a day without a network it would be beyond any float.
    return min(FIRST_DELAY * 2.0 ** min(failures - 1, 32), LONGEST_DELAY) + random()


def _check(name: str, value: float, least: int) -> None:
    # So written that what is no number is out of range as well.
    if not least <= value < inf:
        raise ValueError(f"{name}: must be {least} or more, not {value:g}")
