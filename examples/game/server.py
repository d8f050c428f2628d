"""
The game behind a gate: what each player may ask, and where each stands.

Where a player stands is in memory, and saved when the login ends (L{Player.save}): a crash
costs the way gone since. Money and things are never in memory: they are asked of the database,
and an order is answered when it is on the disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from examples.game.goods import GOODS, OPENING_CENTS, WORLD_CENTS, money
from examples.game.store import ID, NAME, Belongings, Declined, Order, Store
from msgserver.errors import Forbidden, RequestFailed
from msgserver.handlers import Agent, AgentHandler
from msgserver.interfaces import IMsgGate

START = "town"
PLACES = {
    "town": "you are in town; there is a shop, and a way to the mine",
    "mine": "you are in the mine; there is something to dig for, and a way to town",
}
"""Where one can be, and what one sees there."""

LONGEST_REQUEST = 128
"""Bytes of a request: orders are kept, those that are refused as well."""

ORDERS = frozenset({"dig", "buy", "give"})


class RunInThread(Protocol):
    """Runs a function that takes long, and gives a Deferred of its result."""

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]: ...


class Writer:
    """
    The one thread that uses the database, so that nobody waits for a disk but who must.

    It is one and not several: SQLite has one writer at a time, so more threads would only wait
    for each other, and find the database locked. With one, the database does things in the
    order in which they were asked of it. C{twisted.enterprise.adbapi} would do as well, but it
    begins transactions when it likes, and its point is to have many connections.

    @param reactor: in place of the global one.
    """

    def __init__(self, reactor: Any = None) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(1, 1, "database")

    def start(self, atEnd: Callable[[], object]) -> None:
        """
        Begin; and end with the reactor, when all that was asked is done.

        @param atEnd: called last, in the thread.
        """
        if self._reactor is None:
            # Importing it installs it, which is not for the import of this module to decide.
            from twisted.internet import reactor

            self._reactor = reactor
        self._pool.start()
        # Services stop before that: those whose logins end then are saved still.
        self._reactor.addSystemEventTrigger("during", "shutdown", self._stop, atEnd)

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._pool, function, *arguments)

    def _stop(self, atEnd: Callable[[], object]) -> None:
        self._pool.callInThread(atEnd)
        self._pool.stop()


class Player(Agent):
    """
    One player, for one login.

    @ivar place: where the player stands.
    """

    def __init__(self, store: Store, run: RunInThread, openingCents: int) -> None:
        self._store = store
        self._run = run
        self._openingCents = openingCents
        self.place = START

    @property
    def name(self) -> str:
        """What the player is called, which is the login's uid."""
        return self.user.uid.decode("ascii", "replace")

    async def load(self) -> None:
        """Have the player where they were; see L{Agent.load}."""
        if NAME.fullmatch(self.name) is None:
            raise Forbidden("players are called 1 to 32 of a-z, 0-9, _ and -")
        self.place = await self._run(self._store.load, self.name, START, self._openingCents)

    async def request(self, content: bytes) -> bytes:
        """Do what a player says: C{look}, or C{buy ID rope}; see L{Agent.request}."""
        words = _words(content)
        try:
            answer = await self._obey(*words)
        except Declined as refusal:
            raise RequestFailed(str(refusal).encode()) from None
        return answer.encode()

    async def save(self) -> None:
        """Write down where the player is; see L{Agent.save}."""
        await self._run(self._store.save, self.name, self.place)

    async def _obey(self, verb: str = "", *words: str) -> str:
        match verb, words:
            case "look", ():
                return f"{PLACES[self.place]}; {_people(self.gate)}"
            case "go", (place,) if place in PLACES:
                self.place = place
                return PLACES[place]
            case "shop", ():
                return "\n".join(f"{item:<8} {money(cents):>8}" for item, cents in GOODS.items())
            case "inventory", ():
                return _told(await self._run(self._store.belongings, self.name))
            case verb, (id, *argument) if verb in ORDERS:
                return await self._order(verb, id, " ".join(argument))
        raise Declined("look, go PLACE, dig, shop, buy ITEM, give WHOM AMOUNT, inventory")

    async def _order(self, verb: str, id: str, argument: str) -> str:
        if ID.fullmatch(id) is None:
            raise Declined("an order needs an id of 32 hexadecimal digits")
        order = Order(self.name, id, verb, argument, self.place)
        answer: str = await self._run(self._store.carryOut, order)
        return answer


class GameHandler(AgentHandler):
    """
    Gives each login its L{Player}.

    @param file: the database; it is made where there is none.
    @param openingCents: what a new player gets, in cents.
    @param run: in place of a L{Writer}.
    @param makeStore: in place of L{Store}.
    @param clock: in place of the reactor.
    @raise ValueError: the file is no database, or there is no such sum.
    """

    def __init__(
        self,
        file: str,
        openingCents: int = OPENING_CENTS,
        run: RunInThread | None = None,
        makeStore: Callable[[str], Store] = Store,
        clock: IReactorTime | None = None,
    ) -> None:
        if type(openingCents) is not int or not 0 <= openingCents <= WORLD_CENTS:
            raise ValueError(
                f"openingCents: must be a whole number, 0 to {WORLD_CENTS}, not {openingCents!r}"
            )
        try:
            self._store = makeStore(file)
        except sqlite3.Error as error:
            raise ValueError(f"file: {file}: {error}") from None
        self._writer: Writer | None = None
        if run is None:
            run = self._writer = Writer()
        super().__init__(partial(Player, self._store, run, openingCents), clock=clock)

    def gateOpened(self, gate: IMsgGate) -> None:
        """See L{IMsgHandler.gateOpened}."""
        super().gateOpened(gate)
        if self._writer is not None:
            self._writer.start(self._store.close)


def _words(content: bytes) -> list[str]:
    if len(content) > LONGEST_REQUEST:
        raise RequestFailed(b"that is too long")
    try:
        return content.decode("ascii").split()
    except UnicodeDecodeError:
        raise RequestFailed(b"say it in ASCII") from None


def _people(gate: IMsgGate) -> str:
    names = sorted({user.uid.decode("ascii", "replace") for user in gate.online()})
    return f"awake: {', '.join(names[:20])}{', ...' * (len(names) > 20)}"


def _told(belongings: Belongings) -> str:
    items = [f"{count} {item}" for item, count in belongings.items.items()]
    return f"you have {', '.join([money(belongings.cents), *items])}"
