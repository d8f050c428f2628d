"""L{msgserver.handlers.workers}: agents in worker processes, on pipes in memory."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from msgserver.current import currentRequest
from msgserver.errors import Forbidden, InvalidState, RequestFailed
from msgserver.handlers import AgentHandler
from msgserver.handlers.remoteagents import RemoteAgent
from msgserver.handlers.workergate import WorkerGate
from msgserver.handlers.workerprotocol import WorkerError
from msgserver.handlers.workers import (
    FIRST_WAIT,
    LOGIN_WAIT,
    Worker,
    Workers,
    pinned,
)
from msgserver.interfaces import IAgent, IMsgGate, User
from msgserver.wire.framing import MAX_RESPONSE
from tests.agents import makePlayer
from tests.gates import ONE, TWO
from tests.workers import IN_FIRST, IN_SECOND, Reactor, RunningCase, WorkersCase


class PinnedTests(SynchronousTestCase):
    """Which worker a user's agents are in."""

    def test_stable(self) -> None:
        """It depends on nothing but the user and their number: not on the run, nor the machine."""
        self.assertEqual([pinned(b"%d" % n, 4) for n in range(8)], [1, 2, 0, 1, 2, 0, 0, 2])
        self.assertEqual((pinned(IN_FIRST, 2), pinned(IN_SECOND, 2)), (0, 1))

    def test_even(self) -> None:
        """Users are spread evenly."""
        counted = [0] * 4
        for number in range(4000):
            counted[pinned(b"user %d" % number, 4)] += 1
        self.assertTrue(all(900 < count < 1100 for count in counted), counted)


class OptionsTests(SynchronousTestCase):
    """What processes need of the handler's options."""

    def test_text(self) -> None:
        """Each finds the factory for itself: it must be told by name."""
        error = self.assertRaises(ValueError, AgentHandler, makePlayer, processes=1)
        self.assertIn("agentFactory: must be text", str(error))

    def test_pickle(self) -> None:
        """Its options go there, too."""
        error = self.assertRaises(
            ValueError,
            AgentHandler,
            "tests.agents:makePlayer",
            options={"greeting": lambda: None},
            processes=1,
        )
        self.assertIn("options: cannot be sent", str(error))

    def test_nothingIsStarted(self) -> None:
        """To make a handler starts nothing: a config may just be looked at."""
        reactor = Reactor()
        AgentHandler("tests.agents:makePlayer", processes=2, clock=reactor)
        self.assertEqual((reactor.processes, reactor.getDelayedCalls()), ([], []))


class StartTests(WorkersCase):
    """How workers are started."""

    def test_started(self) -> None:
        """Each is the module, where the config was read, with pipes of its own for the line."""
        self.start()
        self.assertEqual(len(self.reactor.started), 2)
        for how in self.reactor.started:
            self.assertEqual(how["executable"], sys.executable)
            self.assertEqual(how["args"], [sys.executable, "-m", "msgserver.handlers.worker"])
            self.assertEqual(how["path"], os.getcwd())
            pipes = {1: "r", 2: "r", 3: "w", 4: "r"}
            self.assertEqual({fd: how["childFDs"][fd] for fd in pipes}, pipes)
        self.assertEqual(self.counted(), {"workers_started": 2})

    def test_signals(self) -> None:
        """
        Those that go to all processes wait until a worker ignores them, which takes it a while;
        here they wait no longer than it takes to start it, whether or not that works.
        """
        signals = {signal.SIGINT, signal.SIGTERM}
        self.start()
        for how in self.reactor.started:
            self.assertLessEqual(signals, how["held"])
        self.assertFalse(signals & signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        self.reactor.refusal = BlockingIOError("too many processes")
        self.reactor.processes[0].die()
        self.reactor.advance(FIRST_WAIT)
        self.assertFalse(signals & signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    def test_secretOptions(self) -> None:
        """The agents' options, such as a database's password, are on no command line."""
        self.agents = AgentHandler(
            "tests.agents:makePlayer",
            options={"greeting": "hunter2" * 20000},
            processes=1,
            clock=self.reactor,
        )
        self.serve(self.agents)
        self.reactor.settle()
        self.assertNotIn("hunter2", repr(self.reactor.started[0]))
        self.loggedIn()

    def test_loginWaits(self) -> None:
        """A login waits for its worker."""
        self.service.startService()
        promised = self.loginOf()
        self.assertNoResult(promised)
        self.reactor.settle()
        self.successResultOf(promised)

    def test_notForEver(self) -> None:
        """And is refused where that takes too long."""
        self.service.startService()
        promised = self.loginOf()
        self.reactor.advance(LOGIN_WAIT - 0.01)
        self.assertNoResult(promised)
        self.reactor.advance(0.01)
        self.failureResultOf(promised, Forbidden)

    def test_givenUp(self) -> None:
        """A login that is given up while it waits harms nobody."""
        self.service.startService()
        promised = self.loginOf()
        promised.addErrback(lambda _: None)
        promised.cancel()
        self.reactor.settle()
        self.loggedIn()

    def test_cannotStart(self) -> None:
        """Where no process can be started that is told, and tried again, less and less often."""
        self.reactor.refusal = BlockingIOError("too many processes")
        with capturedLogs() as events:
            self.service.startService()
        self.assertEqual(len(events), 2)
        self.assertIn("too many processes", str(formatEvent(events[0])))
        self.reactor.refusal = None
        self.reactor.advance(FIRST_WAIT)
        self.reactor.settle()
        self.loggedIn()

    def test_cannotBegin(self) -> None:
        """Where the factory cannot be found there, that is told."""
        workers: Any = self.agents._agents
        workers.beginning = evolve(workers.beginning, agentFactory="nosuchmodule:Name")
        with capturedLogs() as events:
            self.start()
        texts = [str(formatEvent(event)) for event in events]
        self.assertTrue(
            any("worker 1 cannot begin: there is no module nosuchmodule" in t for t in texts), texts
        )
        self.assertTrue(all(process.signals == ["KILL"] for process in self.reactor.processes))


class RequestTests(RunningCase):
    """Requests, and their answers."""

    def script(self, request: Callable[[bytes], bytes]) -> None:
        """Have the user's agent answer its requests otherwise."""
        self.process.host._seats[self.user.username]._request = request

    def test_interface(self) -> None:
        """What stands for an agent is one."""
        workers = self.agents._agents
        assert isinstance(workers, Workers)
        gate = self.agents.gate
        verifyObject(IAgent, RemoteAgent(Worker("worker 3", workers), self.user, gate))

    def test_answers(self) -> None:
        """An agent answers as ever: with bytes, a failure, or later."""
        for content, packet in (
            (b"hello", b"hello\x01"),
            (b"", b"\x01"),
            (b"refuse:no", b"no\x00"),
            (b"at once", b"at once\x01"),
            (b"session", ONE + b"\x01"),
        ):
            self.client.ask(ONE, content)
            self.assertEqual(self.heard(), [packet + ONE])

    def test_later(self) -> None:
        """One that answers later has its request's session all the while."""
        self.client.ask(TWO, b"async:a")
        self.assertEqual(self.heard(), [])
        self.table.promised.pop(b"a").callback(None)
        self.assertEqual(self.heard(), [TWO + b"\x01" + TWO])

    def test_afterTheAnswer(self) -> None:
        """What an agent leaves running behind its answer is told of no request."""
        contexts: list[Context] = []

        def request(content: bytes) -> bytes:
            contexts.append(copy_context())
            return contexts[-1].run(currentRequest).session

        self.script(request)
        self.client.ask(ONE, b"")
        self.assertEqual(self.heard(), [ONE + b"\x01" + ONE])
        self.assertRaises(InvalidState, contexts[0].run, currentRequest)

    def test_longTraceback(self) -> None:
        """Of a traceback that is longer than the line takes there is the end."""

        def request(content: bytes) -> bytes:
            raise ValueError("\udc80" * 100_000 + "the end")

        self.script(request)
        self.client.ask(ONE, b"")
        self.assertEqual(self.heard(), [b"\x00" + ONE])
        (failure,) = self.flushLoggedErrors(WorkerError)
        self.assertIn(r"\udc80the end", str(failure.value))

    def test_longest(self) -> None:
        """The longest request and the longest answer fit."""
        content = bytes(range(256)) * 255 + bytes(MAX_RESPONSE - 65280)
        self.client.ask(ONE, content)
        self.assertEqual(self.heard(), [content + b"\x01" + ONE])
        self.client.ask(TWO, content + b"x")
        self.assertEqual(self.heard(), [b"\x00" + TWO])
        (failure,) = self.flushLoggedErrors(WorkerError)
        self.assertEqual(
            str(failure.value), "the agent answered with 65531 bytes; it takes up to 65530 bytes"
        )

    def test_bugs(self) -> None:
        """A bug of an agent is logged here with its traceback there, once; so is no bytes."""
        self.client.ask(ONE, b"raise")
        self.assertEqual(self.heard(), [b"\x00" + ONE])
        (failure,) = self.flushLoggedErrors(WorkerError)
        self.assertIn("ValueError: a bug of the agent", str(failure.value))
        self.assertIn("tests/agents.py", str(failure.value))
        self.client.ask(TWO, b"text")
        self.assertEqual(self.heard(), [b"\x00" + TWO])
        (failure,) = self.flushLoggedErrors(WorkerError)
        self.assertIn("<class 'str'>", str(failure.value))

    def test_badRefusal(self) -> None:
        """A RequestFailed with what is no content is a bug, as ever."""
        for wrong in ("text", bytes(MAX_RESPONSE + 1)):
            self.script(lambda content, w=wrong: raising(RequestFailed(w)))  # type: ignore[misc]
            self.client.ask(ONE, b"")
            self.assertEqual(self.heard(), [b"\x00" + ONE])
            (failure,) = self.flushLoggedErrors(WorkerError)
            self.assertIn("a RequestFailed has", str(failure.value))

    def test_oddErrors(self) -> None:
        """An error that cannot even be told costs its own request, and nobody the worker."""

        class Odd(Forbidden):
            def __str__(self) -> str:
                raise ZeroDivisionError

        class Unreadable(RequestFailed):
            @property
            def content(self) -> bytes:
                raise ZeroDivisionError

            @content.setter
            def content(self, content: bytes) -> None:
                pass

        for error in (Odd(), Unreadable()):
            self.script(lambda content, e=error: raising(e))  # type: ignore[misc]
            self.client.ask(ONE, b"")
            self.assertEqual(self.heard(), [b"\x00" + ONE])
            self.assertTrue(self.process.isAlive)
            (failure,) = self.flushLoggedErrors(WorkerError)
            self.assertIn(type(error).__name__, str(failure.value))

    def test_logoutOfNoUser(self) -> None:
        """Who has no user logged out is told at once, and does not wait for ever."""
        gate = self.player(self.user).gate
        self.assertRaises(AttributeError, gate.logout, b"alice")

    def test_unknownThere(self) -> None:
        """A worker that does not know an agent says so: that would be a bug of ours."""
        self.process.host._seats.clear()
        self.client.ask(ONE, b"hello")
        self.assertEqual(self.heard(), [b"\x00" + ONE])
        self.service.end(self.user)
        self.reactor.settle()
        for failure in self.flushLoggedErrors(WorkerError):
            self.assertIn("there is no agent of", str(failure.value))
        self.assertEqual(self.agents.counts()["saves_failed"], 1)

    def test_direct(self) -> None:
        """An agent may be asked outside of a request; then there is none that is current."""
        agent = next(iter(self.agents._seats.values())).agent
        assert isinstance(agent, RemoteAgent)
        answer = agent.request(b"hello")
        self.reactor.settle()
        self.assertEqual(self.successResultOf(answer), b"hello")
        agent.forget()
        self.assertRaises(RequestFailed, agent.request, b"hello")

    def test_inOrder(self) -> None:
        """One agent's requests run one after another."""
        self.client.ask(ONE, b"later:a")
        self.client.ask(TWO, b"hello")
        self.assertEqual(self.heard(), [])
        self.assertEqual(self.player(self.user).seen, [b"later:a"])
        self.table.promised.pop(b"a").callback(b"first")
        self.assertEqual(self.heard(), [b"first\x01" + ONE, b"hello\x01" + TWO])

    def test_logout(self) -> None:
        """An agent may log its user out, and what it answers then still arrives."""
        self.client.ask(ONE, b"logout")
        self.assertEqual(self.heard(), [b"bye\x01" + ONE])
        self.assertTrue(self.client.isClosed)
        self.assertEqual(list(self.agents.gate.online()), [])
        self.assertEqual(self.table.names(IN_SECOND), ["load", "save"])
        self.assertEqual(self.table.rows, {IN_SECOND: 1})

    def test_gate(self) -> None:
        """What an agent has as its gate is one, but for what only the gate knows."""
        gate = self.player(self.user).gate
        verifyObject(IMsgGate, gate)
        self.assertIsInstance(gate, WorkerGate)
        self.assertEqual(gate.servername, b"sample")
        self.assertEqual(gate.userid(self.user.username), self.user)
        self.assertEqual(
            gate.username(self.user.uid, self.user.subid, b"sample"), self.user.username
        )
        for refuse in (gate.online, lambda: gate.ip(self.user), lambda: gate.login(self.user, b"")):
            error = self.assertRaises(InvalidState, refuse)
            self.assertIn("is not there in a worker process", str(error))


class LifeTests(RunningCase):
    """Logins and their ends."""

    def test_life(self) -> None:
        """An agent is told all that it is told elsewhere, and forgotten in the end."""
        self.client.lose()
        self.reactor.settle()
        client = self.connect(self.user, 2)
        client.ask(ONE, b"hello")
        self.assertEqual(self.heard(client), [b"hello\x01" + ONE])
        ended = self.service.end(self.user)
        self.assertNoResult(ended)
        self.reactor.settle()
        self.successResultOf(ended)
        self.assertEqual(self.table.names(IN_SECOND), ["load", "away", "back", "save"])
        self.assertEqual(self.process.host._seats, {})
        self.assertEqual(
            self.counted(), {"workers_started": 2, "agents_made": 1, "loads": 1, "saves": 1}
        )

    def test_pinned(self) -> None:
        """A user's agents are where that user's are, and nowhere else."""
        for uid in (IN_FIRST, IN_SECOND, IN_FIRST):
            self.loggedIn(uid)
        first, second = self.reactor.processes
        for process, uid, count in ((first, IN_FIRST, 2), (second, IN_SECOND, 2)):
            self.assertEqual([a.user.uid for a in process.host._seats.values()], [uid] * count)

    def test_forbidden(self) -> None:
        """An agent's no is a no; anything else is logged, with where it was."""
        self.table.answers["load"] = [Forbidden("banned"), ZeroDivisionError("no database")]
        promised = self.loginOf(IN_FIRST)
        self.reactor.settle()
        self.assertEqual(str(self.failureResultOf(promised, Forbidden).value), "banned")
        promised = self.loginOf(IN_FIRST)
        self.reactor.settle()
        self.failureResultOf(promised, Forbidden)
        (failure,) = self.flushLoggedErrors(WorkerError)
        self.assertIn("ZeroDivisionError: no database", str(failure.value))
        self.assertEqual(self.reactor.processes[0].host._seats, {})
        counts = self.agents.counts()
        self.assertEqual((counts["loads_refused"], counts["loads_failed"]), (1, 1))

    def test_saveFails(self) -> None:
        """A save that fails is logged and counted here."""
        self.table.answers["save"] = [ZeroDivisionError("no database")]
        with capturedLogs() as events:
            self.service.end(self.user)
            self.reactor.settle()
        (event,) = (each for each in events if each.get("event") == "save_failed")
        self.assertEqual((event["uid"], event["reason"]), (IN_SECOND, "error"))
        self.assertIn("no database", str(event["log_failure"].value))
        self.assertEqual(len(self.flushLoggedErrors(WorkerError)), 1)
        self.assertEqual(self.agents.counts()["saves_failed"], 1)

    def test_nextLogin(self) -> None:
        """The next login has what was saved."""
        self.client.ask(ONE, b"hello")
        self.assertEqual(len(self.heard()), 1)
        saved: Deferred[None] = Deferred()
        self.table.answers["save"] = [saved]
        self.service.end(self.user)
        promised = self.loginOf(IN_SECOND)
        self.reactor.settle()
        self.assertNoResult(promised)
        saved.callback(None)
        self.reactor.settle()
        user = User(IN_SECOND, self.successResultOf(promised), b"sample")
        self.assertEqual(self.player(user).count, 1)

    def test_factoryFails(self) -> None:
        """Where no agent can be made there, its user is refused; that is counted and logged."""
        self.table.makeErrors = [ZeroDivisionError("no memory")]
        promised = self.loginOf(IN_FIRST)
        self.reactor.settle()
        self.failureResultOf(promised, Forbidden)
        (failure,) = self.flushLoggedErrors(WorkerError)
        self.assertIn("no memory", str(failure.value))
        self.assertEqual(self.agents.counts()["makes_failed"], 1)

    def test_givenUp(self) -> None:
        """A login that is given up while its agent loads leaves none there."""
        loaded: Deferred[None] = Deferred()
        self.table.answers["load"] = [loaded]
        promised = self.loginOf(IN_FIRST)
        promised.addErrback(lambda _: None)
        self.reactor.settle()
        promised.cancel()
        loaded.callback(None)
        self.reactor.settle()
        self.assertEqual(self.reactor.processes[0].host._seats, {})
        self.assertEqual(list(self.agents.gate.online()), [self.user])


class PoolTests(WorkersCase):
    """A pool in each worker."""

    pool = 2

    def test_pool(self) -> None:
        """Each makes its agents in advance, and that is counted here."""
        self.start()
        self.reactor.advance(0)
        self.reactor.settle()
        self.assertEqual(self.agents.counts()["agents_made"], 4)


def raising(error: Exception) -> bytes:
    """Raise, where an expression is wanted."""
    raise error
