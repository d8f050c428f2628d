"""
Making agents: when they are needed, or in advance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from inspect import isabstract, signature
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyClass

from msgserver.interfaces import IAgent, IMsgGate, User
from msgserver.loading import findHandler, verifyHandler


def agentMaker(
    agentFactory: Callable[..., IAgent] | str, options: Mapping[str, Any]
) -> Callable[[], IAgent]:
    """
    Find what makes agents; none is made yet.

    @param agentFactory: a callable, or its name as C{module:Name}.
    @param options: the keyword arguments that it is to be called with.
    @raise ValueError: it is not there, does not take them, or is a class of something else.
    """
    name = agentFactory
    factory: Any = findHandler(agentFactory) if isinstance(agentFactory, str) else agentFactory
    if not callable(factory):
        raise ValueError(f"agentFactory: {name!r} is no callable, and no text module:Name")
    if isinstance(factory, type):
        _checkClass(factory)
    try:
        known = signature(factory)
    except (TypeError, ValueError):
        pass  # A callable in C that does not tell; then calling it will.
    else:
        try:
            known.bind(**options)
        except TypeError as error:
            names = ", ".join(known.parameters) or "none"
            raise ValueError(f"options: {error}; those of an agent are: {names}") from None

    def make() -> IAgent:
        agent: IAgent = factory(**options)
        return agent

    return make


def _checkClass(factory: type) -> None:
    missing = ", ".join(sorted(getattr(factory, "__abstractmethods__", ())))
    if isabstract(factory):
        raise ValueError(f"agentFactory: {factory.__qualname__} has no {missing}")
    try:
        verifyClass(IAgent, factory)
    except Invalid as invalid:
        text = " ".join(str(invalid).split())
        raise ValueError(f"agentFactory: {factory.__qualname__} is no IAgent: {text}") from None


class Pool:
    """
    Makes agents, and has some of them ready.

    @param make: makes one; it may raise.
    @param size: how many are ready, but while it refills; 0: each is made when it is needed.
    @param count: counts an event: C{agents_made} or C{makes_failed}.
    """

    log = Logger()

    def __init__(
        self,
        make: Callable[[], IAgent],
        size: int,
        clock: IReactorTime,
        count: Callable[[str], object],
    ) -> None:
        self._make = make
        self._size = size
        self._clock = clock
        self._count = count
        self._ready: deque[IAgent] = deque()
        self._refilling: IDelayedCall | None = None
        self._isVerified = False

    def __len__(self) -> int:
        """Tell how many are ready."""
        return len(self._ready)

    def start(self, gate: IMsgGate) -> None:
        """Have it filled, one agent in each turn of the reactor."""
        self._fill()

    def _fill(self) -> None:
        if self._refilling is None and len(self._ready) < self._size:
            self._refilling = self._clock.callLater(0, self._refill)

    def stop(self) -> None:
        """Make no more in advance, and let go of those that are ready."""
        self._size = 0
        self._ready.clear()
        if self._refilling is not None:
            self._refilling.cancel()
            self._refilling = None

    def take(self, user: User, gate: IMsgGate) -> IAgent:
        """
        Give a user an agent: one that is ready, otherwise one that is made now.

        @raise Exception: it cannot be made, or is none; not logged here.
        """
        try:
            agent = self._ready.popleft() if self._ready else self._made()
        finally:
            self._fill()
        agent.user = user
        agent.gate = gate
        if not self._isVerified:
            verifyHandler(agent, IAgent)
            self._isVerified = True
        return agent

    def forget(self, agent: IAgent) -> None:
        """Take note that an agent is needed no more: whoever has it lets it go."""

    def _made(self) -> IAgent:
        try:
            agent = self._make()
        except Exception:
            self._count("makes_failed")
            raise
        self._count("agents_made")
        return agent

    def _refill(self) -> None:
        self._refilling = None
        try:
            self._ready.append(self._made())
        except Exception:
            # Not again at once: what has failed fails again. The next agent taken is the next try.
            self.log.failure("no agent could be made for the pool", event="make_failed")
        else:
            self._fill()
