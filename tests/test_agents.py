"""L{msgserver.handlers.agents}: an agent for each login, at a real gate in memory."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Generator
from importlib import import_module
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from zope.interface.verify import verifyClass, verifyObject

from msgserver.errors import Forbidden, GateUnavailable
from msgserver.handlers import AgentHandler
from msgserver.handlers.agents import EVENTS
from msgserver.handlers.seats import Seat
from msgserver.interfaces import (
    IAgent,
    ICounts,
    IMsgHandler,
    INoticesClosing,
    INoticesConnections,
    User,
)
from tests.agents import AgentCase, Echo
from tests.gates import ONE, SECRET, THREE, TWO


class InterfaceTests(AgentCase):
    """What they say they are."""

    def test_interfaces(self) -> None:
        """The handler is all that the gate looks for, and an agent is an agent."""
        for interface in (IMsgHandler, INoticesConnections, INoticesClosing, ICounts):
            verifyObject(interface, self.agents)
        verifyClass(IAgent, Echo)

    def test_defaults(self) -> None:
        """An agent has nothing to do but answer, and a handler's options are those of the page."""
        agent = Echo()
        for method in (agent.load, agent.away, agent.back, agent.save):
            self.assertIsNone(method())
        parameters = inspect.signature(AgentHandler).parameters
        defaults = {name: each.default for name, each in parameters.items()}
        self.assertEqual(
            [defaults[name] for name in ("pool", "ordered", "saveTimeout", "processes", "clock")],
            [0, True, 2.5, 0, None],
        )
        self.assertEqual(dict(defaults["options"]), {})

    def test_everyEvent(self) -> None:
        """What is counted is there from the start, at 0, and nothing else is counted."""
        self.assertEqual(self.agents.counts(), dict.fromkeys(EVENTS, 0))
        counted = set()
        for name in ("agents", "pool", "saving", "workers"):
            module = import_module(f"msgserver.handlers.{name}")
            for node in ast.walk(ast.parse(inspect.getsource(module))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("count"):
                    counted |= {e.value for e in node.args if isinstance(e, ast.Constant)}
        self.assertEqual(counted, set(EVENTS))


class LoginTests(AgentCase):
    """Agents and logins."""

    def test_life(self) -> None:
        """An agent is made, told whose it is, loads, answers, and saves when the login ends."""
        self.table.rows[b"alice"] = 7
        user = self.login()
        client = self.connect(user)
        client.ask(ONE, b"hello")
        self.assertEqual(client.heard(), [b"hello\x01" + ONE])
        player = self.player(user)
        self.assertIs(player.gate, self.agents.gate)
        self.assertEqual(player.count, 8)
        self.successResultOf(self.service.end(user))
        self.assertEqual(self.table.names(), ["load", "save"])
        self.assertEqual(self.table.rows, {b"alice": 8})
        self.assertEqual(self.counted(), {"agents_made": 1, "loads": 1, "saves": 1})

    def test_agents(self) -> None:
        """Each login has an agent of its own."""
        alice, bob = self.login(), self.login(b"bob")
        for user in (alice, bob):
            self.connect(user).ask(ONE, b"I am " + user.uid)
        self.assertEqual(self.player(alice).seen, [b"I am alice"])
        self.assertEqual(self.player(bob).seen, [b"I am bob"])

    def test_subids(self) -> None:
        """H5: a subid has 64 random bits or more, and no two are alike."""
        subids = {self.login().subid for _ in range(100)}
        self.assertEqual(len(subids), 100)
        self.assertEqual({len(subid) for subid in subids}, {16})

    def test_loadsLater(self) -> None:
        """Nobody is logged in before the agent has loaded."""
        loaded: Deferred[None] = Deferred()
        self.table.answers["load"] = [loaded]
        promised = self.loginOf()
        self.assertNoResult(promised)
        self.assertEqual(list(self.agents.gate.online()), [])
        loaded.callback(None)
        subid = self.successResultOf(promised)
        self.assertEqual(list(self.agents.gate.online()), [User(b"alice", subid, b"sample")])

    def test_epoch(self) -> None:
        """The login side knows of the login: it hears of its end."""
        user = self.login()
        self.service.end(user)
        self.assertEqual(self.directory.ended, [(user.uid, user.subid)])

    def test_forbidden(self) -> None:
        """An agent that says no is no bug: its user is refused, and not logged in."""
        self.table.answers["load"] = [Forbidden("banned")]
        failure = self.failureResultOf(self.loginOf(), Forbidden)
        self.assertEqual(str(failure.value), "banned")
        self.assertEqual(list(self.agents.gate.online()), [])
        self.assertEqual(self.counted(), {"agents_made": 1, "loads_refused": 1})

    def test_loadFails(self) -> None:
        """Anything else is logged, once, with what it is, and refused all the same."""
        for error in (ZeroDivisionError("no database"), GateUnavailable("another no")):
            self.table.answers["load"] = [error]
            with capturedLogs() as events:
                self.failureResultOf(self.loginOf(), Forbidden)
            (event,) = (each for each in events if each.get("event") == "load_failed")
            self.assertEqual(event["uid"], b"alice")
            self.assertIs(event["log_failure"].value, error)
            self.assertEqual(len(self.flushLoggedErrors(type(error))), 1)
        self.assertEqual(self.counted(), {"agents_made": 2, "loads_failed": 2})
        self.login()

    def test_cancelledItself(self) -> None:
        """Nor is it silent where load gives something up that it has waited for."""
        loaded: Deferred[None] = Deferred()
        self.table.answers["load"] = [loaded]
        promised = self.loginOf()
        loaded.cancel()
        self.failureResultOf(promised, Forbidden)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.counted(), {"agents_made": 1, "loads_failed": 1})

    def test_givenUp(self) -> None:
        """L1: a login that is given up while it loads is none, even if load goes on."""
        loaded: Deferred[None] = Deferred(lambda _: loaded.callback(None))
        self.table.answers["load"] = [loaded]
        promised = self.loginOf()
        promised.addErrback(lambda _: None)
        promised.cancel()
        self.assertEqual(list(self.agents.gate.online()), [])
        self.assertEqual(self.counted(), {"agents_made": 1})

    def test_stopping(self) -> None:
        """Who is still loading when the gate stops is not logged in, and leaves nothing behind."""
        loaded: Deferred[None] = Deferred()
        self.table.answers["load"] = [loaded]
        promised = self.loginOf()
        self.successResultOf(self.stop())
        loaded.callback(None)
        self.failureResultOf(promised, Forbidden)
        self.assertEqual(self.table.names(), ["load"])
        self.assertEqual(self.agents._seats, {})

    def test_factoryFails(self) -> None:
        """Where no agent can be made its user is refused, and the next one is another matter."""
        self.table.makeErrors = [ZeroDivisionError()]
        self.failureResultOf(self.loginOf(), Forbidden)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.login()
        self.assertEqual(self.counted(), {"makes_failed": 1, "agents_made": 1, "loads": 1})

    def test_notAnAgent(self) -> None:
        """What a function makes is looked at once, at the first login."""

        class Stranger:
            """No agent."""

        handler = AgentHandler(lambda: Stranger(), clock=self.clock)  # type: ignore[arg-type,return-value]
        self.serve(handler)
        self.failureResultOf(self.loginOf(), Forbidden)
        (failure,) = self.flushLoggedErrors(ValueError)
        self.assertIn("Stranger is no IAgent", str(failure.value))

    def test_unknownLogin(self) -> None:
        """A login that came another way has no agent: its requests fail, and its end is nothing."""
        user = User(b"eve", b"1", b"sample")
        self.agents.gate.login(user, SECRET)
        client = self.connect(user)
        client.ask(ONE, b"hello")
        self.assertEqual(client.heard(), [b"\x00" + ONE])
        client.lose()
        self.connect(user, 2)
        self.successResultOf(self.service.kick(user.uid, user.subid))
        self.assertEqual(self.counted(), {})


class AwayTests(AgentCase):
    """Losing the connection, and coming back."""

    def test_awayAndBack(self) -> None:
        """An agent is told of both; a first connection is not coming back."""
        user = self.login()
        client = self.connect(user)
        self.assertEqual(self.table.names(), ["load"])
        client.lose()
        self.assertEqual(self.table.names(), ["load", "away"])
        client = self.connect(user, 2)
        self.assertEqual(self.table.names(), ["load", "away", "back"])
        client.lose()
        self.connect(user, 3)
        self.assertEqual(self.table.names(), ["load", *["away", "back"] * 2])

    def test_replaced(self) -> None:
        """Whose connection is replaced by another was never away."""
        user = self.login()
        self.connect(user)
        self.connect(user, 2)
        self.assertEqual(self.table.names(), ["load"])

    def test_beforeRequests(self) -> None:
        """The agent knows that its user is back before it is asked anything."""
        user = self.login()
        self.connect(user).lose()
        client = self.connect(user, 2)
        client.ask(ONE, b"hello")
        self.assertEqual(self.table.names(), ["load", "away", "back"])
        self.assertEqual(client.heard(), [b"hello\x01" + ONE])

    def test_fails(self) -> None:
        """What it raises is logged, and harms nobody."""
        user = self.login()
        self.table.answers = {"away": [ZeroDivisionError()], "back": [ZeroDivisionError()]}
        self.connect(user).lose()
        client = self.connect(user, 2)
        client.ask(ONE, b"hello")
        self.assertEqual(client.heard(), [b"hello\x01" + ONE])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)


class OrderedTests(AgentCase):
    """Requests of one agent, one after another."""

    def setUp(self) -> None:
        super().setUp()
        self.user = self.login()
        self.client = self.connect(self.user)

    def ask(self, *contents: bytes) -> None:
        """Ask, each with a session of its own, from 1 on."""
        for number, content in enumerate(contents, 1):
            self.client.ask(number.to_bytes(4, "big"), content)
        self.turn()

    def test_atOnce(self) -> None:
        """An agent that answers at once costs no Deferred: its very answer is given on."""
        answer = self.agents.requestReceived(self.user, b"hello")
        self.assertIs(type(answer), bytes)
        self.assertIs(self.agents.requestReceived(self.user, answer), answer)

    def test_inOrder(self) -> None:
        """A request begins when the one before it has been answered, and not before."""
        self.ask(b"later:a", b"async:b", b"third")
        player = self.player(self.user)
        self.assertEqual(player.seen, [b"later:a"])
        self.assertEqual(self.client.heard(), [])
        self.table.promised.pop(b"a").callback(b"first")
        self.turn()
        self.assertEqual(player.seen, [b"later:a", b"async:b"])
        self.assertEqual(self.client.heard(), [b"first\x01" + ONE])
        self.table.promised.pop(b"b").callback(None)
        self.turn()
        self.assertEqual(player.seen, [b"later:a", b"async:b", b"third"])
        self.assertEqual(self.client.heard(), [TWO + b"\x01" + TWO, b"third\x01" + THREE])

    def test_failures(self) -> None:
        """Whatever becomes of a request, the next one has its turn."""
        self.ask(b"later:a", b"raise", b"refuse:no", b"text", b"at once", b"last")
        self.table.promised.pop(b"a").errback(ZeroDivisionError())
        self.turn()
        heard = self.client.heard()
        self.assertEqual(
            [packet[:-4] for packet in heard],
            [b"\x00", b"\x00", b"no\x00", b"\x00", b"at once\x01", b"last\x01"],
        )
        self.assertEqual([packet[-1] for packet in heard], [1, 2, 3, 4, 5, 6])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_failsAtOnce(self) -> None:
        """It is the same where nothing waits."""
        self.ask(b"raise", b"refuse:no", b"text", b"at once", b"last")
        self.assertEqual(
            [packet[:-4] for packet in self.client.heard()],
            [b"\x00", b"no\x00", b"\x00", b"at once\x01", b"last\x01"],
        )
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_awaitable(self) -> None:
        """What can be awaited is an answer, whatever it is."""

        class Promise:
            """No Deferred, and no coroutine."""

            def __await__(self) -> Generator[Any, Any, bytes]:
                """Be awaited."""
                return Deferred.fromCoroutine(self.answer()).__await__()

            async def answer(self) -> bytes:
                """Answer."""
                return b"promised"

        self.table.results = [Promise(), Promise()]
        self.ask(b"result", b"result")
        self.assertEqual(self.client.heard(), [b"promised\x01" + ONE, b"promised\x01" + TWO])

    def test_manyWait(self) -> None:
        """Those that wait have their turns without recursion, however many they are."""
        seat = Seat(self.user, self.player(self.user), isOrdered=True)
        answers = [seat.ask(b"later:a"), *[seat.ask(b"at once") for _ in range(1000)]]
        self.table.promised.pop(b"a").callback(b"first")
        self.assertEqual(
            [self.successResultOf(answer) for answer in answers], [b"first", *[b"at once"] * 1000]
        )

    def test_currentRequest(self) -> None:
        """A request that waited is the current one when its turn comes."""
        self.ask(b"later:a", b"session")
        self.table.promised.pop(b"a").callback(b"first")
        self.turn()
        self.assertEqual(self.client.heard(), [b"first\x01" + ONE, TWO + b"\x01" + TWO])

    def test_othersGoOn(self) -> None:
        """One agent's requests hold up nobody else's (S1)."""
        self.ask(b"later:a", b"second")
        bob = self.connect(self.login(b"bob"))
        bob.ask(ONE, b"hello")
        self.assertEqual(bob.heard(), [b"hello\x01" + ONE])


class SideBySideTests(AgentCase):
    """The same, with C{ordered=False}."""

    ordered = False

    def test_sideBySide(self) -> None:
        """A request begins when it comes, whatever runs already."""
        user = self.login()
        client = self.connect(user)
        for session, content in ((ONE, b"later:a"), (TWO, b"async:b"), (THREE, b"third")):
            client.ask(session, content)
        self.turn()
        self.assertEqual(client.heard(), [b"third\x01" + THREE])
        self.table.promised.pop(b"b").callback(None)
        self.table.promised.pop(b"a").callback(b"first")
        self.turn()
        self.assertEqual(client.heard(), [TWO + b"\x01" + TWO, b"first\x01" + ONE])

    def test_atOnce(self) -> None:
        """What is answered at once is bytes at once, though others are running."""
        user = self.login()
        self.connect(user).ask(ONE, b"later:a")
        self.assertEqual(self.agents.requestReceived(user, b"hello"), b"hello")


class PoolTests(AgentCase):
    """Agents that are made in advance, at a gate."""

    pool = 2

    def test_takenFromThePool(self) -> None:
        """A login takes an agent that is ready, and the pool makes up for it."""
        self.assertEqual(len(self.table.made), 0)
        self.turn()
        self.assertEqual(len(self.table.made), 2)
        first = self.table.made[0]
        user = self.login()
        self.assertIs(self.player(user), first)
        self.assertEqual(len(self.table.made), 2)
        self.turn()
        self.assertEqual(len(self.table.made), 3)

    def test_stops(self) -> None:
        """With the gate the making stops."""
        self.turn()
        self.login()
        self.successResultOf(self.stop())
        self.clock.advance(1)
        self.assertEqual(len(self.table.made), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])
