"""
One user: logs in, asks, has the connection cut, and minds every answer.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from msgserver.clientlogin import LoggedIn
from msgserver.errors import MsgServerError, OutcomeUnknown, RequestFailed
from msgserver.loadtest.client import WatchedClient
from msgserver.loadtest.dialogue import Asked, Dialogue
from msgserver.loadtest.plan import Plan
from msgserver.loadtest.recorder import Recorder
from msgserver.loadtest.results import shown


@frozen
class Surroundings:
    """
    What all users of a process share.

    @ivar takeLogin: logs the user of a number in.
    @ivar gate: where to connect when logins tell no address.
    @ivar connectTo: makes the endpoint of an address that a login tells; None for plain TCP.
    @ivar retryPolicy: the client's.
    """

    plan: Plan
    clock: IReactorTime
    recorder: Recorder
    dialogue: Dialogue
    random: Random
    takeLogin: Callable[[int], Deferred[LoggedIn]]
    gate: IStreamClientEndpoint | None
    connectTo: Callable[[str, int], IStreamClientEndpoint] | None
    retryPolicy: Callable[[int], float]


@frozen
class _Pending:
    """
    A request that has no answer yet.

    @ivar intended: when it was to be asked.
    @ivar life: which of the user's connections there was; 0 for none.
    """

    asked: Asked
    intended: float
    life: int


class LoadUser:
    """
    One user.

    @param number: from 1.
    @ivar isOver: the server wants no more of this user.
    """

    def __init__(self, number: int, surroundings: Surroundings) -> None:
        self._number = number
        self._around = surroundings
        self._recorder = surroundings.recorder
        self._name = surroundings.plan.target.nameOf(number)
        self._client: WatchedClient | None = None
        self._asked = 0
        self._pending: dict[int, _Pending] = {}
        self._thinking: set[IDelayedCall] = set()
        self._mayAsk = True
        self._isClosed = False
        self._hasLoggedIn = False
        # Which connection it is, from 1; and whether there is one.
        self._life = 0
        self._isConnected = False
        self._isCut = False
        self._awaySince: float | None = None
        self.isOver = False

    @property
    def pending(self) -> int:
        """How many requests have no answer yet."""
        return len(self._pending)

    @property
    def isConnected(self) -> bool:
        """Whether there is a connection that the gate has accepted."""
        return self._isConnected

    @property
    def isAway(self) -> bool:
        """Whether there is no connection, and is to be one."""
        return self._client is not None and not self._isConnected and not self.isOver

    def begin(self) -> None:
        """Log in, connect, and, in a closed loop, ask from then on."""
        around = self._around
        self._client = client = WatchedClient(
            around.clock,
            self._takeLogin,
            around.gate,
            self._stray,
            self._attemptFailed,
            maxUnanswered=around.plan.maxUnanswered,
            retryPolicy=around.retryPolicy,
            connectTo=around.connectTo,
        )
        client.on("connected", self._connected)
        client.on("back", self._connected)
        client.on("away", self._away)
        client.on("ended", self._ended)

    def ask(self, intended: float) -> None:
        """
        Ask; where there is no connection, when there is one.

        @param intended: when this was to be, at the latest now.
        """
        assert self._client is not None, "not begun"
        self._asked += 1
        asked = self._around.dialogue.ask(self._name, self._asked)
        pending = _Pending(asked, intended, self._life if self._isConnected else 0)
        self._pending[asked.number] = pending
        self._recorder.asked(intended)
        answer = self._client.request(asked.content)
        answer.addCallbacks(
            self._answered, self._failed, callbackArgs=(pending,), errbackArgs=(pending,)
        )

    def cut(self) -> None:
        """Cut the connection, as the network might."""
        if self._client is not None and self._isConnected and not self._isCut:
            self._isCut = True
            self._recorder.cut()
            self._client.dropConnection()

    def finish(self) -> None:
        """Ask nothing more."""
        self._mayAsk = False
        for call in self._thinking:
            call.cancel()
        self._thinking.clear()

    def close(self) -> Deferred[None]:
        """Leave. What has no answer by now is missing one."""
        self.finish()
        self._isClosed = True
        for pending in self._pending.values():
            self._recorder.trouble("missing", pending.asked, "no answer at the end")
        self._pending.clear()
        counts = self._recorder.results.counts
        if self.isAway:
            counts["away" if self._life else "never"] += 1
        return succeed(None) if self._client is None else self._client.close()

    # What the client tells.

    def _takeLogin(self) -> Deferred[LoggedIn]:
        began = self._recorder.now()

        def done(loggedIn: LoggedIn) -> LoggedIn:
            self._recorder.loggedIn(self._recorder.now() - began, not self._hasLoggedIn)
            self._hasLoggedIn = True
            return loggedIn

        return self._around.takeLogin(self._number).addCallback(done)

    def _connected(self) -> None:
        isFirst = self._life == 0
        self._life += 1
        self._isConnected = True
        self._recorder.came()
        if self._awaySince is not None:
            self._recorder.back(self._recorder.now() - self._awaySince)
            self._awaySince = None
        if isFirst and self._mayAsk and not self._around.plan.isOpen:
            for _ in range(self._around.plan.inFlight):
                self.ask(self._recorder.now())

    def _away(self) -> None:
        if self._isClosed:
            return
        self._isConnected = False
        self._awaySince = self._recorder.now()
        self._recorder.away(self._isCut)
        self._isCut = False

    def _ended(self, reason: Exception) -> None:
        self.isOver = True
        if not self._isClosed:
            self._recorder.results.counts["ended"] += 1

    def _stray(self, session: int, wasAsked: bool) -> None:
        # What is closed has forgotten what it asked.
        if not self._isClosed:
            self._recorder.stray(self._name, session, wasAsked)

    def _attemptFailed(self, error: Exception) -> None:
        if not self._isClosed:
            self._recorder.attemptFailed(reasonOf(error))

    # What becomes of requests.

    def _answered(self, answer: bytes, pending: _Pending) -> None:
        self._pending.pop(pending.asked.number, None)
        isRight = self._around.dialogue.isRight(pending.asked, answer)
        isSteady = self._isConnected and pending.life == self._life
        self._recorder.answered(pending.intended, isRight, isSteady)
        if not isRight:
            self._recorder.trouble("wrong", pending.asked, f"answered {shown(answer)}")
        self._goOn()

    def _failed(self, failure: Failure, pending: _Pending) -> None:
        if self._isClosed:
            return
        del self._pending[pending.asked.number]
        error = failure.value
        assert error is not None
        if isinstance(error, RequestFailed):
            told = f"failed with {shown(error.content)}"
            self._recorder.trouble("failed", pending.asked, told)
            self._goOn()
        elif isinstance(error, OutcomeUnknown):
            self._recorder.trouble("unknown", pending.asked, str(error))
            self._goOn()
        else:
            self._recorder.trouble("refused", pending.asked, reasonOf(error))

    def _goOn(self) -> None:
        """In a closed loop, ask the next, after some thought."""
        around = self._around
        if around.plan.isOpen or not self._mayAsk:
            return
        least, most = around.plan.think
        if most == 0:
            self.ask(self._recorder.now())
            return

        def think() -> None:
            self._thinking.discard(call)
            self.ask(self._recorder.now())

        call = around.clock.callLater(around.random.uniform(least, most), think)
        self._thinking.add(call)


def reasonOf(error: BaseException) -> str:
    """Say why something failed, in a few words, the same for the same reason."""
    name = type(error).__name__
    text = str(error).rstrip(".")
    if isinstance(error, MsgServerError):
        return f"{name}: {text}" if text else name
    # Twisted's name the address or the number of the error; what they are called says enough.
    return name
