"""
An agent that lives in a worker process, as the gate has it.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.current import currentRequest
from msgserver.errors import Forbidden, InvalidState, RequestFailed
from msgserver.handlers.workerprotocol import AgentLost, Forget, Line, Load, Request, Tell, ask
from msgserver.interfaces import IAgent, IMsgGate, User


class Home(Protocol):
    """
    Where agents live.

    @ivar agents: those that do.
    """

    name: str
    agents: set[RemoteAgent]

    async def ready(self) -> Line:
        """
        Give the line to it, when there is one.

        @raise Forbidden: that takes too long.
        """


@implementer(IAgent)
class RemoteAgent:
    """
    An agent that lives in a worker. It is made there when it loads.

    @ivar line: to its worker; None before it loads, and once the worker has died.
    """

    def __init__(self, home: Home, user: User, gate: IMsgGate) -> None:
        self.user = user
        self.gate = gate
        self.line: Line | None = None
        self._home = home

    async def load(self) -> None:
        """See L{IAgent.load}."""
        line = await self._home.ready()
        self.line = line
        self._home.agents.add(self)
        try:
            await ask(line, Load, username=self.user.username)
        except AgentLost:
            raise Forbidden(f"{self._home.name} has died") from None

    def request(self, content: bytes) -> Deferred[bytes]:
        """See L{IAgent.request}."""
        if self.line is None:
            raise RequestFailed
        try:
            session = currentRequest().session
        except InvalidState:
            session = b""
        answer = ask(
            self.line, Request, username=self.user.username, session=session, content=content
        )
        return answer.addErrback(_requestFailed)

    def away(self) -> Deferred[None]:
        """See L{IAgent.away}."""
        return self._tell(b"away").addErrback(_unlessLost)

    def back(self) -> Deferred[None]:
        """See L{IAgent.back}."""
        return self._tell(b"back").addErrback(_unlessLost)

    def save(self) -> Deferred[None]:
        """
        See L{IAgent.save}.

        @return: fails with an L{AgentLost} where there is nothing to be saved any more.
        """
        return self._tell(b"save")

    def forget(self) -> None:
        """Have it forgotten in its worker, where it is there."""
        self._home.agents.discard(self)
        if self.line is not None:
            self.line.call(Forget, username=self.user.username)
            self.line = None

    def _tell(self, method: bytes) -> Deferred[None]:
        if self.line is None:
            return fail(AgentLost())
        told = ask(self.line, Tell, username=self.user.username, method=method)
        return told.addCallback(lambda _: None)


def _requestFailed(failure: Failure) -> Failure:
    # That its worker has died is logged once, and not for each request.
    return Failure(RequestFailed()) if failure.check(AgentLost) else failure


def _unlessLost(failure: Failure) -> None:
    failure.trap(AgentLost)
