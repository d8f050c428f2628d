"""
An agent for each login: the user's part of the application, loaded at login and saved at its end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from math import inf
from os import urandom
from types import MappingProxyType
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.errors import Forbidden, InvalidState, RequestFailed
from msgserver.handlers.pool import Pool, agentMaker
from msgserver.handlers.saving import Saving
from msgserver.handlers.seats import Seat
from msgserver.handlers.workers import Beginning, Workers
from msgserver.interfaces import (
    IAgent,
    ICounts,
    IMsgGate,
    IMsgHandler,
    INoticesClosing,
    INoticesConnections,
    MaybeLater,
    User,
)
from msgserver.later import asked
from msgserver.wire.naming import encode64

EVENTS = (
    "agents_made",
    "makes_failed",
    "loads",
    "loads_refused",
    "loads_failed",
    "loads_unsaved",
    "saves",
    "saves_failed",
    "saves_late",
    "workers_started",
    "workers_died",
    "agents_lost",
)
"""What an L{AgentHandler} counts."""

MAX_PROCESSES = 256
"""Worker processes of one handler at most; as many as a gate may have."""

_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})

_SUBID_ENTROPY = 12
"""The random bytes of a subid: 16 characters of base64 (H5 asks for 8 bytes)."""


@implementer(IAgent)
class Agent(ABC):
    """
    An agent that does nothing yet: subclass it and write L{request}.

    @ivar user: whose agent it is, from L{load} on.
    @ivar gate: the gate, from L{load} on.
    """

    user: User
    gate: IMsgGate

    def load(self) -> MaybeLater[None]:
        """See L{IAgent.load}."""
        return None

    @abstractmethod
    def request(self, content: bytes) -> MaybeLater[bytes]:
        """See L{IAgent.request}."""

    def away(self) -> MaybeLater[None]:
        """See L{IAgent.away}."""
        return None

    def back(self) -> MaybeLater[None]:
        """See L{IAgent.back}."""
        return None

    def save(self) -> MaybeLater[None]:
        """See L{IAgent.save}."""
        return None


@implementer(IMsgHandler, INoticesConnections, INoticesClosing, ICounts)
class AgentHandler:
    """
    A handler that has an agent for each login.

    @param agentFactory: makes an agent, an L{IAgent}; as C{module:Name} where it is told from a
        config file.
    @param options: the keyword arguments that it is called with.
    @param pool: how many agents are made in advance, before it is known for whom.
    @param ordered: an agent's requests run one after another, in the order in which they came;
        otherwise side by side.
    @param saveTimeout: seconds that the end of a login waits for: half of it at most for
        requests that are running, the rest for C{save}. It should be below C{kick_timeout}.
    @param processes: how many worker processes the agents live in; 0: they live in this one.
    @param hangTimeout: seconds that a worker may give no sign of life, as while an agent computes,
        before it is killed and started anew; 0: for ever.
    @param clock: the reactor, where it is not the global one.
    @raise ValueError: one of these is not as it must be.
    """

    log = Logger()
    gate: IMsgGate

    def __init__(
        self,
        agentFactory: Callable[..., IAgent] | str,
        *,
        options: Mapping[str, Any] = _NO_OPTIONS,
        pool: int = 0,
        ordered: bool = True,
        saveTimeout: float = 2.5,
        processes: int = 0,
        hangTimeout: float = 60.0,
        clock: IReactorTime | None = None,
    ) -> None:
        _check(options=options, pool=pool, ordered=ordered, processes=processes)
        if processes > MAX_PROCESSES:
            raise ValueError(f"processes: must be at most {MAX_PROCESSES}, not {processes}")
        _checkTime("saveTimeout", saveTimeout)
        if hangTimeout != 0:
            _checkTime("hangTimeout", hangTimeout)
        if clock is None:
            from twisted.internet import reactor

            clock = cast(IReactorTime, reactor)
        self._isOrdered = ordered
        self._counts = dict.fromkeys(EVENTS, 0)
        make = agentMaker(agentFactory, options)
        self._agents: Pool | Workers
        if not processes:
            self._agents = Pool(make, pool, clock, self._count)
        elif isinstance(agentFactory, str):
            begin = Beginning(agentFactory, dict(options), pool, saveTimeout)
            self._agents = Workers(begin, processes, clock, self._count, hangTimeout)
        else:
            raise ValueError("agentFactory: must be text, module:Name, where there are processes")
        self._seats: dict[bytes, Seat] = {}
        self._saving = Saving(clock, saveTimeout, self._count, self._forget)

    # IMsgHandler

    def gateOpened(self, gate: IMsgGate) -> None:
        """See L{IMsgHandler.gateOpened}."""
        self.gate = gate
        self._agents.start(gate)

    async def loginReceived(self, uid: bytes, secret: bytes) -> bytes:
        """See L{IMsgHandler.loginReceived}: the login is admitted when its agent has loaded."""
        user = User(uid, encode64(urandom(_SUBID_ENTROPY)), self.gate.servername)  # H5
        # Who loaded meanwhile would load what was before.
        if not await self._saving.allLeft(uid):
            self._count("loads_unsaved")
            self.log.warn(
                "{uid} logs in though an earlier login is not saved yet",
                event="load_unsaved",
                uid=uid,
            )
        agent = self._taken(user)
        try:
            await self._load(agent, user)
            self._seats[user.username] = Seat(user, agent, self._isOrdered)
            # Not by the gate later: then an agent would stay whose login cannot be.
            self.gate.login(user, secret)
        except BaseException as error:
            self._seats.pop(user.username, None)
            self._agents.forget(agent)
            if isinstance(error, InvalidState):
                raise Forbidden(str(error)) from None
            raise
        return user.subid

    def requestReceived(self, user: User, content: bytes) -> Any:
        """See L{IMsgHandler.requestReceived}."""
        # By the username: to hash a User costs as much as all else that is done here.
        seat = self._seats.get(user.username)
        if seat is None:
            raise RequestFailed
        return seat.ask(content)

    def connected(self, user: User) -> MaybeLater[None]:
        """See L{INoticesConnections.connected}."""
        seat = self._seats.get(user.username)
        if seat is None or not seat.isAway:
            return None
        seat.isAway = False
        seat.isUnsaved = True
        return seat.agent.back()

    def disconnected(self, user: User) -> MaybeLater[None]:
        """See L{IMsgHandler.disconnected}."""
        seat = self._seats.get(user.username)
        if seat is None:
            return None
        seat.isAway = seat.isUnsaved = True
        return seat.agent.away()

    def kicked(self, user: User) -> MaybeLater[None]:
        """See L{IMsgHandler.kicked}: the agent is saved."""
        seat = self._seats.get(user.username)
        return None if seat is None else self._saving.save(seat)

    def loggedOut(self, user: User) -> MaybeLater[None]:
        """See L{IMsgHandler.loggedOut}: the agent is saved, unless nothing ran since it was."""
        seat = self._seats.pop(user.username, None)
        return None if seat is None else self._saving.leave(seat)

    # INoticesClosing, ICounts

    async def gateClosed(self) -> None:
        """See L{INoticesClosing.gateClosed}."""
        await self._saving.allLeft()
        await asked(self._agents.stop)

    def counts(self) -> Mapping[str, int]:
        """See L{ICounts.counts}."""
        return self._counts

    def _count(self, event: str) -> None:
        self._counts[event] += 1

    # The life of an agent

    def _taken(self, user: User) -> IAgent:
        try:
            return self._agents.take(user, self.gate)
        except Exception:
            self.log.failure("no agent could be made for {user}", user=user, event="make_failed")
            raise Forbidden("no agent could be made") from None

    async def _load(self, agent: IAgent, user: User) -> None:
        try:
            # Who gives a login up is let go of at once, whatever load does then.
            await asked(_loaded, agent)
        except CancelledError:
            raise
        except Forbidden:
            self._count("loads_refused")
            raise
        except Exception:
            self._count("loads_failed")
            self.log.failure(
                "the agent of {user} could not load",
                user=user,
                event="load_failed",
                uid=user.uid,
                subid=user.subid,
            )
            raise Forbidden("the agent could not load") from None
        self._count("loads")

    def _forget(self, seat: Seat) -> None:
        self._agents.forget(seat.agent)


def _loaded(agent: IAgent) -> Deferred[object]:
    return maybeDeferred(agent.load).addErrback(_cancelled)


def _cancelled(failure: Failure) -> None:
    # By the agent's own doing: to those who wait, it looks as if they had given the login up.
    failure.trap(CancelledError)
    raise RuntimeError("what load waited for was cancelled") from failure.value


def _check(*, options: object, ordered: object, **numbers: object) -> None:
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise ValueError("options: must be a table of the agent's keyword arguments")
    if not isinstance(ordered, bool):
        raise ValueError(f"ordered: must be true or false, not {ordered!r}")
    for name, number in numbers.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise ValueError(f"{name}: must be a whole number, 0 or more, not {number!r}")


def _checkTime(name: str, seconds: object) -> None:
    isNumber = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not isNumber or not 0 < cast(float, seconds) < inf:
        raise ValueError(f"{name}: must be a number of seconds above 0, not {seconds!r}")
