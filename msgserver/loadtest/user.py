"""
One user: logs in, asks, has the connection cut, and minds every answer.
"""

from __future__ import annotations

from math import inf

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from msgserver.clientlogin import LoggedIn
from msgserver.errors import MsgServerError, OutcomeUnknown, RequestFailed
from msgserver.loadtest.client import WatchedClient
from msgserver.loadtest.dialogue import Asked
from msgserver.loadtest.results import shown
from msgserver.loadtest.surroundings import Surroundings
from msgserver.loadtest.turns import Turn


@frozen
class _Pending:
    """
    A request that has no answer yet.

    @ivar intended: when it was to be asked.
    @ivar life: which of the user's connections there was; 0 for none.
    @ivar turn: which of the user's turns it was; 0 for none.
    """

    asked: Asked
    intended: float
    life: int
    turn: int


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
        # The last connection was not given up, but cut or lost.
        self._wasLost = False
        self._lastTurn = 0
        # Requests that are asked when there is a turn.
        self._postponed = 0
        seconds = surroundings.plan.turn if surroundings.plan.takesTurns else inf
        self._turn = Turn(surroundings.line, seconds, surroundings.clock, self._drop)
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
        isToBe = self._client is not None and not self.isOver and not self._turn.isLast
        return isToBe and not self._isConnected

    def begin(self) -> None:
        """Log in, connect, and, in a closed loop, ask from then on."""
        around = self._around
        self._client = client = WatchedClient(
            around.clock,
            self._takeLogin,
            self._turn.at(around.gate),
            self._stray,
            self._attemptFailed,
            maxUnanswered=around.plan.maxUnanswered,
            retryPolicy=around.retryPolicy,
            connectTo=lambda host, port: self._turn.at(around.connectTo(host, port)),
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
        life = self._life if self._isConnected else 0
        turn = self._turn.number if self._turn.isOn else 0
        pending = _Pending(asked, intended, life, turn)
        self._pending[asked.number] = pending
        self._recorder.asked(intended)
        answer = self._client.request(asked.content)
        answer.addCallbacks(
            self._answered, self._failed, callbackArgs=(pending,), errbackArgs=(pending,)
        )

    def cut(self) -> None:
        """Cut the connection, as the network might."""
        isThere = self._isConnected and not self._isCut and not self._turn.isGoing
        if self._client is not None and isThere:
            self._isCut = True
            self._recorder.cut()
            self._client.dropConnection()

    def finish(self) -> None:
        """Ask nothing more."""
        self._mayAsk = False
        self._postponed = 0
        for call in self._thinking:
            call.cancel()
        self._thinking.clear()
        self._rest()

    def close(self) -> Deferred[None]:
        """Leave. What has no answer by now is missing one."""
        self.finish()
        self._isClosed = True
        isAway = self.isAway
        self._turn.close()
        for pending in self._pending.values():
            self._recorder.trouble("missing", pending.asked, "no answer at the end")
        self._pending.clear()
        counts = self._recorder.results.counts
        if isAway:
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
        self._turn.connected()
        self._recorder.came()
        if self._awaySince is not None:
            isSameTurn = self._turn.number == self._lastTurn
            seconds = self._recorder.now() - self._awaySince
            self._recorder.back(seconds, self._wasLost, isSameTurn)
            self._awaySince = None
        if isFirst and self._mayAsk and not self._around.plan.isOpen:
            self._postponed = self._around.plan.inFlight
        postponed, self._postponed = self._postponed, 0
        for _ in range(postponed):
            self.ask(self._recorder.now())
        self._rest()

    def _away(self) -> None:
        if self._isClosed:
            return
        self._isConnected = False
        self._awaySince = self._recorder.now()
        self._lastTurn = self._turn.number
        why = "cut" if self._isCut else "turn" if self._turn.isGoing else "lost"
        self._wasLost = why != "turn"
        self._recorder.away(why)
        self._isCut = False
        self._turn.away()

    def _drop(self) -> None:
        """Make room for the next, as the turn is over."""
        if self._client is not None:
            self._client.dropConnection()

    def _rest(self) -> None:
        """Where nothing is left to be done, others may have the connection."""
        if not self._mayAsk and self._isConnected and not self._pending:
            self._turn.finish()

    def _ended(self, reason: Exception) -> None:
        self.isOver = True
        if not self._isClosed:
            self._recorder.results.counts["ended"] += 1

    def _stray(self, session: int, wasAsked: bool) -> None:
        # What is closed has forgotten what it asked.
        if not self._isClosed:
            self._recorder.stray(self._name, session, wasAsked)

    def _attemptFailed(self, error: Exception) -> None:
        self._turn.failed()
        if not self._isClosed:
            self._recorder.attemptFailed(reasonOf(error))

    # What becomes of requests.

    def _answered(self, answer: bytes, pending: _Pending) -> None:
        self._pending.pop(pending.asked.number, None)
        isRight = self._around.dialogue.isRight(pending.asked, answer)
        self._recorder.answered(pending.intended, isRight, self._kindOf(pending))
        if not isRight:
            self._recorder.trouble("wrong", pending.asked, f"answered {shown(answer)}")
        self._goOn()

    def _kindOf(self, pending: _Pending) -> str | None:
        """Say what a request has lived through; None where it waited for a first connection."""
        if pending.life == 0 and self._life == 1 and not self._around.plan.takesTurns:
            return None
        if self._isConnected and pending.life == self._life:
            return "steady"
        return "cut" if pending.turn == self._turn.number else "turn"

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
            self._rest()

    def _goOn(self) -> None:
        """In a closed loop, ask the next, after some thought."""
        around = self._around
        if not self._mayAsk:
            self._rest()
        if around.plan.isOpen or not self._mayAsk:
            return
        least, most = around.plan.think
        if most == 0:
            self._askNext()
            return

        def think() -> None:
            self._thinking.discard(call)
            self._askNext()

        call = around.clock.callLater(around.random.uniform(least, most), think)
        self._thinking.add(call)

    def _askNext(self) -> None:
        """Ask; whose turn it is not, asks then."""
        if self._turn.isOn:
            self.ask(self._recorder.now())
        else:
            self._postponed += 1


def reasonOf(error: BaseException) -> str:
    """Say why something failed, in a few words, the same for the same reason."""
    name = type(error).__name__
    text = str(error).rstrip(".")
    if isinstance(error, MsgServerError):
        return f"{name}: {text}" if text else name
    # Twisted's name the address or the number of the error; what they are called says enough.
    return name
