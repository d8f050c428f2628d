"""
The game of the examples, without a process or a port: its database, its server, its client.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from examples.game.goods import GOODS, OPENING_CENTS, WAGE_CENTS, WORLD_CENTS, money, parseMoney
from examples.game.store import Belongings, Declined, Order, Store

ONE, TWO, THREE = ("0" * 31 + digit for digit in "123")
DAY = 86400.0


class StoreTestCase(SynchronousTestCase):
    """A database in a folder, with Alice and Bob in it."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = str(Path(folder.name) / "game.sqlite")
        self.now = 1_700_000_000.0
        self.store = self.open()
        for player in ("alice", "bob"):
            self.store.load(player, "town")

    def open(self, keptDays: float = 30.0) -> Store:
        """Open the database, once more if need be."""
        store = Store(self.file, lambda: self.now, keptDays)
        self.addCleanup(store.close)
        return store

    def order(self, verb: str, argument: str = "", id: str = ONE, player: str = "alice") -> str:
        """Order, from where that can be done."""
        place = "mine" if verb == "dig" else "town"
        return self.store.carryOut(Order(player, id, verb, argument, place))

    def refuse(self, verb: str, argument: str = "", id: str = ONE) -> str:
        """Order, and give the refusal."""
        return str(self.assertRaises(Declined, self.order, verb, argument, id))

    def cents(self, player: str) -> int:
        """Tell what a player has."""
        return self.store.belongings(player).cents

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """Ask the database what another program would see."""
        database = sqlite3.connect(self.file)
        with database:
            rows = database.execute(statement).fetchall()
        database.close()
        return rows


class OrderTests(StoreTestCase):
    """What moves money."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.checkSum)

    def checkSum(self) -> None:
        """See to it that no cent was made or lost, whatever was ordered."""
        self.assertEqual(self.query("select sum(cents) from accounts"), [(WORLD_CENTS,)])

    def test_buy(self) -> None:
        """A purchase takes the price from the player to the shop, and gives the thing."""
        self.assertEqual(self.order("buy", "rope"), "you buy a rope for 2.50; you have 97.50")
        self.order("buy", "rope", TWO)
        left = OPENING_CENTS - 2 * GOODS["rope"]
        self.assertEqual(self.store.belongings("alice"), Belongings(left, {"rope": 2}))
        shop = self.query("select cents from accounts where name = '@shop'")
        self.assertEqual(shop, [(2 * GOODS["rope"],)])

    def test_again(self) -> None:
        """The same id buys once, and is answered the same, whatever happened between."""
        first = self.order("buy", "rope")
        self.order("buy", "lantern", TWO)
        self.assertEqual(self.order("buy", "rope"), first)
        self.assertEqual(self.store.belongings("alice").items, {"lantern": 1, "rope": 1})

    def test_againAfterCrash(self) -> None:
        """An id is known to the next process, too."""
        first = self.order("buy", "rope")
        self.store = self.open()
        self.assertEqual(self.order("buy", "rope"), first)
        self.assertEqual(self.store.belongings("alice").items, {"rope": 1})

    def test_idOfAnotherPlayer(self) -> None:
        """Ids are each player's own."""
        self.order("buy", "rope")
        self.order("buy", "rope", player="bob")
        self.assertEqual(self.store.belongings("bob").items, {"rope": 1})

    def test_idOfAnotherOrder(self) -> None:
        """An id that is used for something else is refused, and does nothing."""
        self.order("buy", "rope")
        for verb, argument in (("buy", "lantern"), ("dig", ""), ("give", "bob 1")):
            self.assertEqual(self.refuse(verb, argument), "this id is of another order: buy rope")
        self.assertEqual(self.cents("alice"), OPENING_CENTS - GOODS["rope"])

    def test_tooDear(self) -> None:
        """What a player cannot pay is refused."""
        refusal = self.refuse("buy", "boat")
        self.assertEqual(refusal, "that costs 1200.00, more than you have")
        self.assertEqual(self.store.belongings("alice"), Belongings(OPENING_CENTS, {}))

    def test_refusalStands(self) -> None:
        """A refused id stays refused when the money is there: a late copy must not buy."""
        refusal = self.refuse("buy", "boat")
        self.store.load("carol", "town")
        with sqlite3.connect(self.file) as database:
            database.execute("update accounts set cents = cents - 200000 where name = '@mine'")
            database.execute("update accounts set cents = cents + 200000 where name = 'alice'")
        database.close()
        self.assertEqual(self.refuse("buy", "boat"), refusal)
        self.order("buy", "boat", TWO)

    def test_dig(self) -> None:
        """Digging pays a wage, in the mine."""
        self.assertEqual(self.order("dig"), "you dig, and find 1.75; you have 101.75")
        self.assertEqual(self.order("dig"), "you dig, and find 1.75; you have 101.75")
        self.assertEqual(self.cents("alice"), OPENING_CENTS + WAGE_CENTS)

    def test_give(self) -> None:
        """A gift goes from one player to the other."""
        self.assertEqual(self.order("give", "bob 2.50"), "you give bob 2.50; you have 97.50")
        self.assertEqual((self.cents("alice"), self.cents("bob")), (9750, 10250))

    def test_giveWhat(self) -> None:
        """A gift that is none is refused: of nothing, of too much, to nobody, to oneself."""
        for number, (argument, refusal) in enumerate(
            (
                ("", "give whom, and how much? give bob 2.50"),
                ("bob", "give whom, and how much? give bob 2.50"),
                ("bob -1", "give whom, and how much? give bob 2.50"),
                ("bob 0.00", "give whom, and how much? give bob 2.50"),
                ("bob 1.5", "give whom, and how much? give bob 2.50"),
                ("bob 99999999999", "give whom, and how much? give bob 2.50"),
                ("bob 100.01", "that is more than you have"),
                ("carol 1", "there is no such player"),
                ("@shop 1", "there is no such player"),
                ("alice 1", "that is yourself"),
            )
        ):
            self.assertEqual(self.refuse("give", argument, f"{number:032}"), refusal)
        self.assertEqual(self.cents("alice"), OPENING_CENTS)

    def test_where(self) -> None:
        """One digs in the mine and buys in town; an order that is done is done from anywhere."""
        orders = [
            Order("alice", ONE, "dig", "", "town"),
            Order("alice", TWO, "buy", "rope", "mine"),
        ]
        refusals = [str(self.assertRaises(Declined, self.store.carryOut, each)) for each in orders]
        self.assertEqual(
            refusals, ["there is nothing to dig for here: go mine", "the shop is in town: go town"]
        )
        bought = self.order("buy", "rope", THREE)
        again = self.store.carryOut(Order("alice", THREE, "buy", "rope", "mine"))
        self.assertEqual(again, bought)

    def test_unknown(self) -> None:
        """What the shop has not, and what nobody can do, is refused."""
        self.assertEqual(self.refuse("buy", "moon"), "the shop has no moon")
        self.assertEqual(self.refuse("steal", "moon", TWO), "nobody knows how to steal")

    def test_emptyMine(self) -> None:
        """The mine gives no more than it has."""
        with sqlite3.connect(self.file) as database:
            database.execute(
                "update accounts set cents = cents + (select cents from accounts"
                " where name = '@mine') where name = '@shop'"
            )
            database.execute("update accounts set cents = 0 where name = '@mine'")
        database.close()
        self.assertEqual(self.refuse("dig"), "the mine is empty")

    def test_allOrNothing(self) -> None:
        """An order that breaks in the middle has done nothing, and may be asked again."""
        for number, table in enumerate(("items", "orders", "accounts")):
            event = "update" if table == "accounts" else "insert"
            # The shop is paid last: by then the money has been taken.
            when = "when new.name = '@shop'" if table == "accounts" else ""
            self.query(
                f"create trigger break before {event} on {table} {when}"
                " begin select raise(abort, 'disk'); end"
            )
            before = self.store.belongings("alice")
            id = f"{number:032}"
            self.assertRaises(sqlite3.IntegrityError, self.order, "buy", "rope", id)
            self.assertEqual(self.store.belongings("alice"), before, table)
            self.assertEqual(self.query(f"select * from orders where id = '{id}'"), [])
            self.query("drop trigger break")
            self.order("buy", "rope", id)
        self.assertEqual(self.store.belongings("alice").items, {"rope": 3})


class PlayerTests(StoreTestCase):
    """What is there besides orders."""

    def test_place(self) -> None:
        """A player is where they were when last saved, and at first at the start."""
        self.store.save("alice", "mine")
        self.store = self.open()
        self.assertEqual(self.store.load("alice", "town"), "mine")
        self.assertEqual(self.store.load("bob", "town"), "town")

    def test_newOnce(self) -> None:
        """The opening money is paid once."""
        self.store.load("alice", "town")
        self.assertEqual(self.cents("alice"), OPENING_CENTS)

    def test_keptDays(self) -> None:
        """A process that starts forgets ids that are older than so many days."""
        self.order("buy", "rope", ONE)
        self.now += DAY
        self.order("buy", "rope", TWO)
        self.now += 1.5 * DAY
        self.open(keptDays=2.0)
        self.assertEqual(self.query("select id from orders"), [(TWO,)])

    def test_readers(self) -> None:
        """Somebody who reads the file holds up nobody, and sees whole orders alone."""
        reader = sqlite3.connect(self.file)
        self.addCleanup(reader.close)
        reader.execute("begin")
        before = reader.execute("select sum(cents) from accounts").fetchall()
        self.order("buy", "rope")
        self.assertEqual(reader.execute("select count(*) from orders").fetchall(), [(0,)])
        self.assertEqual(reader.execute("select sum(cents) from accounts").fetchall(), before)

    def test_powerCut(self) -> None:
        """What was answered is on the disk: the log is written through at every order."""
        levels = self.store._database.execute("pragma synchronous").fetchall()
        self.assertEqual(levels, [(2,)])
        self.assertEqual(self.query("pragma journal_mode"), [("wal",)])


class MoneyTests(SynchronousTestCase):
    """Amounts as people write them."""

    def test_both(self) -> None:
        """What is written is read as the same number of cents."""
        for cents, text in ((0, "0.00"), (5, "0.05"), (250, "2.50"), (120_000, "1200.00")):
            self.assertEqual(money(cents), text)
            self.assertEqual(parseMoney(text), cents)
        self.assertEqual(parseMoney("12"), 1200)

    def test_none(self) -> None:
        """Nothing else is an amount."""
        for text in ("", "1.5", "1.", ".50", "-1", "1e3", "1,50", "0x1", " 1", "1.500", "٣"):
            self.assertIsNone(parseMoney(text))
