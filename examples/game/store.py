"""
The game's database: what nobody may lose, and nobody may get twice.

Everything that moves money is an order. Whoever orders makes an id for it first, and asks again
with the same id as long as the outcome is unknown. An order's id, what it did and what was
answered are written in one transaction: so either all of that has happened or none, and the same
id gets the same answer for as long as it is known (L{KEPT_DAYS}).

Nothing here knows Twisted or threads: L{examples.game.server.Writer} runs it in a thread.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from attrs import frozen

from examples.game.goods import (
    GOODS,
    MINE,
    OPENING_CENTS,
    SHOP,
    WAGE_CENTS,
    WORLD_CENTS,
    money,
    parseMoney,
)

KEPT_DAYS = 30.0
"""How long an order's id is known after it was made, in days."""

ID = re.compile(r"[0-9a-f]{32}")
"""A uuid as L{uuid.UUID.hex} writes it."""

NAME = re.compile(r"[a-z0-9_-]{1,32}")
"""A player's name."""

_SCHEMA = """
create table if not exists accounts (
    name text primary key, cents integer not null check (cents >= 0)
) strict;
create table if not exists items (
    player text not null, item text not null, count integer not null check (count > 0),
    primary key (player, item)
) strict;
create table if not exists players (name text primary key, place text not null) strict;
create table if not exists orders (
    player text not null, id text not null, verb text not null, argument text not null,
    isDone integer not null, answer text not null, madeAt real not null,
    primary key (player, id)
) strict;
create index if not exists ordersByAge on orders (madeAt);
"""


class Declined(Exception):
    """An order that is not carried out; the text says why, to the player."""


@frozen
class Order:
    """
    What a player orders.

    @ivar id: made by whoever orders, and by nobody else for anything else.
    @ivar verb: C{dig}, C{buy} or C{give}.
    @ivar argument: of the verb, such as C{rope}, or C{bob 2.50}.
    @ivar place: where the player stands.
    """

    player: str
    id: str
    verb: str
    argument: str
    place: str


@frozen
class Belongings:
    """
    What a player has.

    @ivar items: how many of each; never 0.
    """

    cents: int
    items: Mapping[str, int]


class Store:
    """
    The database, for one thread at a time.

    @param file: where it is, or shall be.
    @param now: tells the time, in seconds since 1970.
    @param keptDays: see L{KEPT_DAYS}. An order that is asked again later than that is a new one.
    """

    def __init__(
        self, file: str, now: Callable[[], float] = time.time, keptDays: float = KEPT_DAYS
    ) -> None:
        self._now = now
        # Transactions are begun here, not by the module's guess: it would begin them too late.
        self._database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        # Readers do not hold up the writer so, nor the writer them.
        self._database.execute("pragma journal_mode = wal")
        # What was answered must be true after a power cut, too.
        self._database.execute("pragma synchronous = full")
        self._database.executescript(_SCHEMA)
        with self._transaction():
            if self._cents(MINE) is None:
                self._database.execute("insert into accounts values (?, ?)", (MINE, WORLD_CENTS))
                self._database.execute("insert into accounts values (?, 0)", (SHOP,))
            known = self._now() - keptDays * 86400
            self._database.execute("delete from orders where madeAt < ?", (known,))

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def load(self, player: str, place: str, cents: int = OPENING_CENTS) -> str:
        """
        Tell where a player was when last saved.

        @param place: where a new one is.
        @param cents: what a new one gets.
        """
        with self._transaction():
            if self._cents(player) is None:
                self._database.execute("insert into accounts values (?, 0)", (player,))
                self._database.execute("insert into players values (?, ?)", (player, place))
                self._move(cents, MINE, player)
            rows = self._database.execute("select place from players where name = ?", (player,))
            return str(rows.fetchone()[0])

    def save(self, player: str, place: str) -> None:
        """Write down where a player is."""
        with self._transaction():
            self._database.execute("update players set place = ? where name = ?", (place, player))

    def belongings(self, player: str) -> Belongings:
        """Tell what a player has."""
        with self._transaction():
            items = self._database.execute(
                "select item, count from items where player = ? order by item", (player,)
            )
            return Belongings(self._cents(player) or 0, dict(items.fetchall()))

    def carryOut(self, order: Order) -> str:
        """
        Carry out an order, or tell what came of it when that was done already.

        @return: what to tell the player. It is the same for the same id, word for word.
        @raise Declined: nothing was moved; and it never will be for this id. The first verdict
            stands: an earlier copy of the order, from a login that has ended, may be under way
            still, and must not do what this one has refused.
        """
        with self._transaction():
            isDone, answer = self._verdict(order) or self._judge(order)
        if not isDone:
            raise Declined(answer)
        return answer

    def _verdict(self, order: Order) -> tuple[bool, str] | None:
        rows = self._database.execute(
            "select verb, argument, isDone, answer from orders where player = ? and id = ?",
            (order.player, order.id),
        )
        row = rows.fetchone()
        if row is None:
            return None
        verb, argument, isDone, answer = row
        if (verb, argument) != (order.verb, order.argument):
            return False, f"this id is of another order: {verb} {argument}".rstrip()
        return bool(isDone), answer

    def _judge(self, order: Order) -> tuple[bool, str]:
        try:
            isDone, answer = True, self._do(order)
        except Declined as refusal:
            isDone, answer = False, str(refusal)
        self._note(order, isDone, answer)
        return isDone, answer

    def _note(self, order: Order, isDone: bool, answer: str) -> None:
        self._database.execute(
            "insert into orders values (?, ?, ?, ?, ?, ?, ?)",
            (
                order.player,
                order.id,
                order.verb,
                order.argument,
                isDone,
                answer,
                self._now(),
            ),
        )

    def _do(self, order: Order) -> str:
        """Do what is ordered. What raises L{Declined} has changed nothing."""
        match order.verb:
            case "dig":
                return self._dig(order)
            case "buy":
                return self._buy(order)
            case "give":
                return self._give(order)
        raise Declined(f"nobody knows how to {order.verb}")

    def _dig(self, order: Order) -> str:
        if order.place != "mine":
            raise Declined("there is nothing to dig for here: go mine")
        self._pay(WAGE_CENTS, MINE, order.player, "the mine is empty")
        return f"you dig, and find {money(WAGE_CENTS)}; {self._left(order.player)}"

    def _buy(self, order: Order) -> str:
        if order.place != "town":
            raise Declined("the shop is in town: go town")
        price = GOODS.get(order.argument)
        if price is None:
            raise Declined(f"the shop has no {order.argument}")
        self._pay(price, order.player, SHOP, f"that costs {money(price)}, more than you have")
        self._database.execute(
            "insert into items values (?, ?, 1)"
            " on conflict (player, item) do update set count = count + 1",
            (order.player, order.argument),
        )
        return f"you buy a {order.argument} for {money(price)}; {self._left(order.player)}"

    def _give(self, order: Order) -> str:
        other, _, amount = order.argument.partition(" ")
        cents = parseMoney(amount)
        if not cents:
            raise Declined("give whom, and how much? give bob 2.50")
        if NAME.fullmatch(other) is None or self._cents(other) is None:
            raise Declined("there is no such player")
        if other == order.player:
            raise Declined("that is yourself")
        self._pay(cents, order.player, other, "that is more than you have")
        return f"you give {other} {money(cents)}; {self._left(order.player)}"

    def _left(self, player: str) -> str:
        return f"you have {money(self._cents(player) or 0)}"

    def _pay(self, cents: int, payer: str, payee: str, refusal: str) -> None:
        if (self._cents(payer) or 0) < cents:
            raise Declined(refusal)
        self._move(cents, payer, payee)

    def _move(self, cents: int, payer: str, payee: str) -> None:
        for name, change in ((payer, -cents), (payee, cents)):
            self._database.execute(
                "update accounts set cents = cents + ? where name = ?", (change, name)
            )

    def _cents(self, name: str) -> int | None:
        rows = self._database.execute("select cents from accounts where name = ?", (name,))
        row = rows.fetchone()
        return None if row is None else int(row[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Have all of it happen, or, where it raises, nothing."""
        # The lock is taken now: what is read here must still be so when it is written.
        self._database.execute("begin immediate")
        try:
            yield
            self._database.execute("commit")
        except BaseException:
            # SQLite itself may have rolled back already, where the disk is full for instance.
            if self._database.in_transaction:
                self._database.execute("rollback")
            raise
