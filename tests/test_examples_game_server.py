"""
The game of the examples behind a gate in memory, and what asks it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from examples.game import orders
from examples.game.goods import WORLD_CENTS
from examples.game.server import LONGEST_REQUEST, GameHandler, RunInThread
from examples.game.store import Store
from msgserver.client import MsgClient
from msgserver.errors import Forbidden, RequestFailed
from msgserver.testing import MemoryServer, everyCut

ONE, TWO = ("0" * 31 + digit for digit in "12")


def doAtOnce(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    """Use the database in this thread."""
    return maybeDeferred(function, *arguments)


def makeServer(run: RunInThread = doAtOnce) -> MemoryServer:
    """Make a server whose database answers at once, unless told otherwise."""
    clock = Clock()
    return MemoryServer(GameHandler(":memory:", run=run, clock=clock), clock=clock)


class Later:
    """Uses the database when a test says so."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], object]] = []
        self.isAtOnce = True

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        if self.isAtOnce:
            return maybeDeferred(function, *arguments)
        result: Deferred[Any] = Deferred()
        self._calls.append(lambda: maybeDeferred(function, *arguments).chainDeferred(result))
        return result

    def catchUp(self) -> None:
        """Do what was to be done."""
        while self._calls:
            self._calls.pop(0)()


class ServerTestCase(SynchronousTestCase):
    """A server, and Alice."""

    def setUp(self) -> None:
        self.later = Later()
        self.server = makeServer(run=self.later)
        self.addCleanup(self.server.stop)
        self.alice = self.server.client(b"alice")

    def ask(self, content: bytes, client: MsgClient | None = None) -> str:
        """Ask, and give the answer."""
        answer: bytes = self.server.result((client or self.alice).request(content))
        return answer.decode()

    def refused(self, content: bytes) -> str:
        """Ask, and give the refusal."""
        failed = self.assertRaises(RequestFailed, self.ask, content)
        return str(failed.content, "ascii")


class ServerTests(ServerTestCase):
    """L{GameHandler} and its players."""

    def test_look(self) -> None:
        """One sees where one is, and who is awake."""
        self.assertEqual(
            self.ask(b"look"),
            "you are in town; there is a shop, and a way to the mine; awake: alice",
        )
        self.server.client(b"bob")
        self.assertTrue(self.ask(b"look").endswith("; awake: alice, bob"))

    def test_manyAwake(self) -> None:
        """Of many who are awake, some are named."""
        for number in range(20):
            self.server.client(b"bob%d" % number)
        self.assertTrue(self.ask(b"look").endswith(", ..."))

    def test_order(self) -> None:
        """An order is done by its id."""
        bought = "you buy a rope for 2.50; you have 97.50"
        self.assertEqual(self.ask(orders.request("buy", "rope", id=ONE)), bought)
        self.assertEqual(self.ask(orders.request("buy", "rope", id=ONE)), bought)
        self.assertEqual(self.ask(b"inventory"), "you have 97.50, 1 rope")

    def test_turns(self) -> None:
        """Requests are done in their order, though the database takes its time."""
        self.later.isAtOnce = False
        answers = [
            self.alice.request(content)
            for content in (b"go mine", orders.request("dig", id=ONE), b"go town", b"inventory")
        ]
        for _ in answers:
            self.server.settle()
            self.later.catchUp()
        self.assertEqual(self.server.result(answers[-1]), b"you have 101.75")

    def test_saved(self) -> None:
        """A second login finds the player where the first had gone."""
        self.ask(b"go mine")
        second = self.server.client(b"alice")
        self.assertEqual(self.ask(orders.request("dig", id=ONE), second)[:7], "you dig")

    def test_nonsense(self) -> None:
        """What cannot be understood is refused, and says what can be."""
        usage = "look, go PLACE, dig, shop, buy ITEM, give WHOM AMOUNT, inventory"
        for content in (b"", b" ", b"fly", b"go", b"go moon", b"look up", b"buy", b"inventory x"):
            self.assertEqual(self.refused(content), usage, content)
        self.assertEqual(self.refused("go hölle".encode()), "say it in ASCII")

    def test_id(self) -> None:
        """An order without an id that is one is not done."""
        for id in ("rope", "1", "0" * 31, "0" * 33, "G" * 32, "A" * 32):
            self.assertEqual(
                self.refused(f"buy {id} rope".encode()),
                "an order needs an id of 32 hexadecimal digits",
            )
        self.assertEqual(self.ask(b"inventory"), "you have 100.00")

    def test_longestRequest(self) -> None:
        """A request has at most so many bytes: orders are kept."""
        longest = orders.request("buy", id=ONE).ljust(LONGEST_REQUEST - 1) + b"x"
        self.assertEqual(self.refused(longest), "the shop has no x")
        self.assertEqual(self.refused(longest + b"x"), "that is too long")

    def test_name(self) -> None:
        """Nobody plays under a name that is none, such as the shop's."""
        for uid in (b"@shop", b"", b"Alice", b"a b", b"\xff", b"x" * 33):
            client = self.server.client(uid)
            whenConnected = client.whenConnected(failAfterFailures=1)
            self.assertRaises(Forbidden, self.server.result, whenConnected)

    def test_noFile(self) -> None:
        """A database that cannot be opened is a mistake in the config."""
        raised = self.assertRaises(ValueError, GameHandler, "/nowhere/game.sqlite")
        self.assertEqual(str(raised), "file: /nowhere/game.sqlite: unable to open database file")

    def test_openingCents(self) -> None:
        """So is an opening sum that no player could ever get."""
        for cents in (-1, 100.5, True, "100", WORLD_CENTS + 1):
            raised = self.assertRaises(ValueError, GameHandler, ":memory:", cents, run=doAtOnce)
            self.assertEqual(
                str(raised),
                f"openingCents: must be a whole number, 0 to {WORLD_CENTS}, not {cents!r}",
            )


class AgainTests(ServerTestCase):
    """What is asked again."""

    def test_everyCut(self) -> None:
        """Wherever a connection breaks, what is bought is bought once, and so answered."""

        async def buy(server: MemoryServer) -> list[bytes]:
            client = server.client(b"alice")
            wanted = [orders.request("buy", "rope", id=ONE), b"go mine"]
            wanted += [orders.request("dig", id=TWO), b"inventory"]
            return [await orders.answered(client.request, each, server.clock) for each in wanted]

        answers: list[bytes] = everyCut(makeServer, buy, everyByte=False)
        self.assertEqual(answers[-1], b"you have 99.25, 1 rope")

    def test_kickedInTheMiddle(self) -> None:
        """An order whose login ends while it is done is done once, and answered to the next."""
        self.later.isAtOnce = False
        asked: list[int] = []
        answer = Deferred.fromCoroutine(
            orders.answered(
                self.alice.request,
                orders.request("buy", "rope", id=ONE),
                self.server.clock,
                lambda: asked.append(1),
            )
        )
        self.server.settle()
        # The disk takes longer than anybody waits for the end of a login.
        kicked = self.server.kick(b"alice")
        self.server.result(kicked)
        self.assertEqual(len(asked), 1)
        self.later.isAtOnce = True
        self.later.catchUp()
        self.assertEqual(self.server.result(answer), b"you buy a rope for 2.50; you have 97.50")
        self.assertEqual(self.ask(b"inventory"), "you have 97.50, 1 rope")

    def test_secondDevice(self) -> None:
        """Two devices that ask the same are answered the same, and it is done once."""
        content = orders.request("buy", "rope", id=ONE)
        first = self.ask(content)
        self.assertEqual(self.ask(content, self.server.client(b"alice")), first)
        self.assertEqual(self.ask(b"inventory"), "you have 97.50, 1 rope")

    def test_broken(self) -> None:
        """Where the database fails, the order is asked again, and done when it can be."""
        store: Store = self.server.handler._store
        store._database.execute("alter table orders rename to away")
        answer = Deferred.fromCoroutine(
            orders.answered(
                self.alice.request, orders.request("buy", "rope", id=ONE), self.server.clock
            )
        )
        self.server.settle()
        self.assertNoResult(answer)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        store._database.execute("alter table away rename to orders")
        self.server.advance(orders.PAUSE)
        self.assertEqual(self.successResultOf(answer), b"you buy a rope for 2.50; you have 97.50")
