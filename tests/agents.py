"""
Agents that do as asked, at a gate in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from msgserver.current import currentRequest
from msgserver.errors import RequestFailed
from msgserver.handlers import Agent, AgentHandler
from msgserver.interfaces import IMsgHandler, User
from msgserver.msgprotocol import MsgFactory
from msgserver.msgservice import MsgService
from tests.gates import GateCase


class Table:
    """
    A database, and what happened, in its order.

    @ivar rows: by uid.
    @ivar told: the name of each call of an agent's method, and the user's uid.
    @ivar answers: what the next calls of a name give, in their order; None when none is left.
    @ivar promised: what requests of content C{later:NAME} wait for, by name.
    @ivar results: what the next requests of content C{result} give.
    @ivar makeErrors: what the next makings of an agent raise.
    """

    def __init__(self) -> None:
        self.rows: dict[bytes, int] = {}
        self.told: list[tuple[str, bytes]] = []
        self.answers: dict[str, list[Any]] = {}
        self.promised: dict[bytes, Deferred[Any]] = {}
        self.makeErrors: list[Exception] = []
        self.made: list[Player] = []
        self.results: list[Any] = []

    def make(self) -> Player:
        """Make an agent, unless that is to fail."""
        if self.makeErrors:
            raise self.makeErrors.pop(0)
        self.made.append(Player(self))
        return self.made[-1]

    def names(self, uid: bytes = b"alice") -> list[str]:
        """Give the names of the calls for one user."""
        return [name for name, whose in self.told if whose == uid]


TABLES: list[Table] = []
"""Where agents that are told of by name find their table: in the last."""


def makePlayer(greeting: str = "") -> Player:
    """Make an agent of the present test's."""
    return TABLES[-1].make()


class Player(Agent):
    """Counts its requests; the content says how each is answered."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.count = 0
        self.seen: list[bytes] = []

    def load(self) -> Any:
        """Load the count."""
        self.count = self.table.rows.get(self.user.uid, 0)
        return self._told("load")

    def request(self, content: bytes) -> Any:
        """Answer as the content says, and count."""
        self.seen.append(content)
        order, _, rest = content.partition(b":")
        if order == b"raise":
            raise ValueError("a bug of the agent")
        if order == b"refuse":
            raise RequestFailed(rest)
        if order == b"later":
            promised = self.table.promised[rest] = Deferred()
            return promised.addCallback(self._counted)
        if order == b"async":
            return self._wait(rest)
        if order == b"at once":
            return self._atOnce()
        if order == b"result":
            return self.table.results.pop(0)
        if order == b"text":
            return "text"
        if order == b"session":
            return currentRequest().session
        if order == b"logout":
            self.gate.logout(self.user)
            self.count += 1
            return b"bye"
        return self._counted(content)

    def away(self) -> Any:
        """Write it down."""
        return self._told("away")

    def back(self) -> Any:
        """Write it down."""
        return self._told("back")

    def save(self) -> Any:
        """Save the count as it is now, and answer as the test says."""
        count = self.count
        answer = self._told("save")
        if isinstance(answer, Deferred):
            answer.addCallback(lambda _: self.table.rows.__setitem__(self.user.uid, count))
        else:
            self.table.rows[self.user.uid] = count
        return answer

    def _counted(self, content: bytes) -> bytes:
        self.count += 1
        return content

    async def _wait(self, name: bytes) -> bytes:
        promised = self.table.promised[name] = Deferred()
        await promised
        self.count += 1
        return currentRequest().session

    async def _atOnce(self) -> bytes:
        self.count += 1
        return b"at once"

    def _told(self, name: str) -> Any:
        self.table.told.append((name, self.user.uid))
        answers = self.table.answers.get(name)
        answer = answers.pop(0) if answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


class Echo(Agent):
    """The smallest agent there is."""

    def __init__(self, before: str = "") -> None:
        self.before = before.encode()

    def request(self, content: bytes) -> bytes:
        """Answer with the request."""
        return self.before + content


class AgentCase(GateCase):
    """A gate whose handler is an L{AgentHandler}; its options are class attributes."""

    pool = 0
    ordered = True

    def setUp(self) -> None:
        super().setUp()
        self.table = Table()
        self.agents = AgentHandler(
            self.table.make, pool=self.pool, ordered=self.ordered, clock=self.clock
        )
        self.serve(self.agents)

    def serve(self, handler: IMsgHandler) -> None:
        """Have the gate's handler be another."""
        self.service = MsgService(
            handler, b"sample", self.clock, self.directory, lifeLimits=self.lifeLimits
        )
        self.factory = MsgFactory(self.service, self.clock, self.gateLimits)
        self.service.startService()

    def counted(self) -> dict[str, int]:
        """Give the counts that are not 0."""
        return {event: count for event, count in self.agents.counts().items() if count}

    def player(self, user: User) -> Player:
        """Give the agent of a user."""
        (player,) = (each for each in self.table.made if getattr(each, "user", None) == user)
        return player
