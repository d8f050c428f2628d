"""
The market of the game: what it draws, what its check finds, and how it logs in. No process.
"""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from examples.game.goods import WORLD_CENTS
from examples.game.market import parse
from examples.game.marketcheck import Asked, Findings, Verdict, check
from examples.game.marketplayers import Trouble, drawWishes
from examples.game.marketserver import PATIENCE, MarketLoginHandler, MarketServer, writeToken
from examples.game.store import Declined, Order, Store
from msgserver.errors import Unauthorized
from msgserver.interfaces import Account, ILoginHandler

OPENING_CENTS = 10_000
RECORDED = (
    ("alice", "buy", "rope"),
    ("alice", "buy", "rope"),
    ("alice", "buy", "boat"),
    ("alice", "give", "bob 2.50"),
    ("bob", "buy", "lantern"),
)


class CheckTests(SynchronousTestCase):
    """L{check}, on a database that is tampered with."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "game.sqlite"
        self.store = Store(str(self.file))
        self.addCleanup(self.store.close)
        for player in ("alice", "bob"):
            self.store.load(player, "town", OPENING_CENTS)
        self.orders = [self.order(number, *recorded) for number, recorded in enumerate(RECORDED)]
        self.inventories = {
            "alice": "you have 92.50, 2 rope",
            "bob": "you have 89.51, 1 lantern",
        }

    def order(self, number: int, player: str, verb: str, argument: str) -> Asked:
        """Order something, as a player of the market does."""
        id = f"{number:032x}"
        try:
            answer = self.store.carryOut(Order(player, id, verb, argument, "town"))
        except Declined as refusal:
            return Asked(player, id, verb, argument, [Verdict(False, str(refusal))])
        return Asked(player, id, verb, argument, [Verdict(True, answer)])

    def check(self) -> Findings:
        """Check."""
        return check(self.file, self.orders, self.inventories, WORLD_CENTS, OPENING_CENTS)

    def tamper(self, statement: str) -> Findings:
        """Change the database, and check."""
        with sqlite3.connect(self.file) as database:
            self.assertGreater(database.execute(statement).rowcount, 0)
        database.close()
        return self.check()

    def test_holds(self) -> None:
        """Where nobody has tampered, all is well."""
        self.assertEqual(self.check(), Findings(4, 0, 0, WORLD_CENTS, []))

    def test_doubled(self) -> None:
        """A thing too many is found."""
        findings = self.tamper("update items set count = 3 where item = 'rope'")
        self.assertEqual((findings.doubled, findings.lost), (1, 0))
        self.assertIn("alice has bought 2 rope, and has 3", findings.faults)
        findings = self.tamper("insert into items values ('bob', 'boat', 1)")
        self.assertIn("bob has bought 0 boat, and has 1", findings.faults)

    def test_lost(self) -> None:
        """A thing too few is found."""
        findings = self.tamper("delete from items where item = 'rope'")
        self.assertEqual((findings.doubled, findings.lost), (0, 2))
        self.assertIn("alice has bought 2 rope, and has 0", findings.faults)

    def test_cent(self) -> None:
        """A cent that is missing or too much is found, in whosever account."""
        for name in ("alice", "bob", "@shop"):
            self.tamper(f"update accounts set cents = cents + 1 where name = '{name}'")
            findings = self.tamper("update accounts set cents = cents - 1 where name = '@mine'")
            self.assertEqual(findings.cents, WORLD_CENTS)
            self.assertTrue(
                any(fault.startswith(f"{name} should have") for fault in findings.faults)
            )
        findings = self.tamper("update accounts set cents = cents - 1 where name = '@mine'")
        self.assertIn("there was 1000000000.00 in all, and is 999999999.99", findings.faults)

    def test_noOrder(self) -> None:
        """An order that is not in the database is found; so is one that nobody asked."""
        findings = self.tamper(f"delete from orders where id = '{2:032x}'")
        self.assertEqual((findings.purchases, findings.lost), (3, 1))
        self.assertEqual(
            findings.faults, [f"alice's order {2:032x} (buy boat) is not in the database"]
        )
        self.orders.pop(2)
        last = self.orders.pop()
        findings = self.check()
        self.assertEqual(findings.doubled, 1)
        self.assertIn(f"bob has an order {last.id} that nobody asked", findings.faults)

    def test_answer(self) -> None:
        """An answer that is not what the player was told is found, whatever the first one was."""
        for verdict in (Verdict(True, "something else"), Verdict(False, "no")):
            self.orders[0].verdicts.append(verdict)
            [fault] = self.check().faults
            self.assertIn(f"alice's order {0:032x} (buy rope) was answered you buy", fault)
            self.orders[0].verdicts.pop()
        self.orders[2].verdicts.clear()
        self.assertEqual(len(self.check().faults), 1)

    def test_otherOrder(self) -> None:
        """An order that is another in the database is found."""
        findings = self.tamper("update orders set argument = 'boat' where argument = 'lantern'")
        self.assertEqual(
            findings.faults,
            [f"bob's order {4:032x} (buy lantern) is another order in the database"],
        )

    def test_inventory(self) -> None:
        """What a player is told to have at the end must be there."""
        for told in ("you have 89.51", "you have 89.50, 1 lantern", "nothing at all", ""):
            self.inventories["bob"] = told
            self.assertEqual(
                self.check().faults, [f"bob was told at the end: {told}; it is otherwise"]
            )


class WishesTests(SynchronousTestCase):
    """L{drawWishes}."""

    def test_counts(self) -> None:
        """There are as many purchases, cuts and second logins as were wanted."""
        wishes = drawWishes(Random(1), ["a", "b", "c"], 200, 30, 20)
        drawn = [wish for player in wishes for wish in wishes[player]]
        bought = [wish for wish in drawn if wish.verb == "buy"]
        self.assertEqual(
            Counter(wish.trouble for wish in bought),
            {Trouble.CUT: 30, Trouble.SECOND_LOGIN: 20, Trouble.NONE: 150},
        )
        self.assertEqual({wish.verb for wish in drawn}, {"buy", "give"})

    def test_seed(self) -> None:
        """The same seed draws the same."""
        first, again, other = (drawWishes(Random(seed), ["a", "b"], 50, 5, 5) for seed in (1, 1, 2))
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_notOneself(self) -> None:
        """Nobody gives to themselves."""
        wishes = drawWishes(Random(1), ["a", "b"], 200, 0, 0)
        gifts = [
            (player, wish.argument[0])
            for player in wishes
            for wish in wishes[player]
            if wish.verb == "give"
        ]
        self.assertEqual(set(gifts), {("a", "b"), ("b", "a")})


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def test_reckoned(self) -> None:
        """What is left open depends on the number of purchases."""
        options = parse(["--purchases=500"])
        self.assertEqual((options.cuts, options.second_logins, options.kill_server), (50, 10, 0))
        self.assertIsInstance(options.seed, int)
        options = parse(["--cuts=0", "--second-logins=0", "--seed=7"])
        self.assertEqual((options.cuts, options.second_logins, options.seed), (0, 0, 7))
        self.assertEqual((options.purchases, options.players), (10_000, 50))


class LoginTests(SynchronousTestCase):
    """L{MarketLoginHandler}."""

    def test_password(self) -> None:
        """Whoever knows the password may be anybody, and nobody else may be anybody."""
        handler = MarketLoginHandler("secret")
        self.assertTrue(verifyObject(ILoginHandler, handler))
        account = handler.authenticate(writeToken("player1", "secret"))
        self.assertEqual(account, Account(b"market", b"player1"))
        for token in (writeToken("player1", "x"), b"", b"secret", b"!:secret", b":secre"):
            self.assertRaises(Unauthorized, handler.authenticate, token)


class ServerTests(SynchronousTestCase):
    """L{MarketServer}, without a process."""

    def test_complaints(self) -> None:
        """Tracebacks in the log are found, and what was raised."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name)
        server = MarketServer(Clock(), path, "a:B", "secret", 1, 1)
        log = path / "log0"
        server._logs.append(log)
        log.write_text("all is well\n")
        self.assertEqual(server.complaints(), [])
        log.write_text(
            "Traceback (most recent call last):\n  File x\n    y()\nValueError: no\n\nmore\n" * 2
        )
        self.assertEqual(server.complaints(), ["ValueError: no"] * 2)

    def test_patience(self) -> None:
        """What does not happen is waited for so long, and no longer."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        clock = Clock()
        server = MarketServer(clock, Path(folder.name), "a:B", "secret", 1, 1)
        process = Popen([sys.executable, "-c", "input()"], stdin=PIPE)
        self.addCleanup(process.wait)
        server._process = process
        self.addCleanup(server.kill)
        happens = Deferred.fromCoroutine(server._happens(lambda: False))
        clock.pump([0.02] * int(PATIENCE / 0.02 - 1))
        self.assertNoResult(happens)
        clock.pump([0.02] * 2)
        self.assertFalse(self.successResultOf(happens))

    def test_private(self) -> None:
        """The password is in the config, which only the owner may read."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        MarketServer(Clock(), Path(folder.name), "a:B", "secret", 1, 1)
        self.assertIn('"secret"', (Path(folder.name) / "market.toml").read_text())
        self.assertEqual(Path(folder.name).stat().st_mode & 0o077, 0)
