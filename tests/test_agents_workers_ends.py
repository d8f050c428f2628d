"""L{msgserver.handlers.workers}: how workers end, and what they leave to be said."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.logger import LogEvent, Logger, LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure

from msgserver.errors import Forbidden
from msgserver.handlers.workerprotocol import WorkerError
from msgserver.handlers.workers import (
    FIRST_WAIT,
    LONGEST_WAIT,
    STEADY,
    STOP_WAIT,
)
from msgserver.interfaces import User
from msgserver.jsonlog import RELAYED, formatAsJSON
from tests.gates import ONE, THREE, TWO
from tests.workers import IN_FIRST, IN_SECOND, RunningCase


class DeathTests(RunningCase):
    """A worker dies."""

    def test_runningRequests(self) -> None:
        """What ran there is answered with flag 0, what waited too, and its users are logged out."""
        for session, content in ((ONE, b"later:a"), (TWO, b"hello"), (THREE, b"hello")):
            self.client.ask(session, content)
        self.reactor.settle()
        with capturedLogs() as events:
            self.process.die()
        self.assertEqual(self.heard(), [b"\x00" + ONE, b"\x00" + TWO, b"\x00" + THREE])
        self.assertTrue(self.client.isClosed)
        self.assertEqual(list(self.agents.gate.online()), [])
        (event,) = (each for each in events if each.get("event") == "worker_died")
        self.assertEqual((event["worker"], event["agents"]), ("worker 2", 1))
        counts = self.agents.counts()
        self.assertEqual((counts["workers_died"], counts["agents_lost"]), (1, 1))
        self.assertEqual((counts["saves"], counts["saves_failed"]), (0, 0))

    def test_othersLive(self) -> None:
        """Who is in another worker hears nothing of it."""
        bob = self.connect(self.loggedIn(IN_FIRST))
        self.process.die()
        bob.ask(ONE, b"hello")
        self.assertEqual(self.heard(bob), [b"hello\x01" + ONE])

    def test_startedAnew(self) -> None:
        """It is started anew, and who logs in meanwhile waits for it."""
        self.process.die()
        promised = self.loginOf(IN_SECOND)
        self.reactor.advance(FIRST_WAIT - 0.01)
        self.assertEqual(len(self.reactor.processes), 2)
        self.reactor.advance(0.01)
        self.assertEqual(len(self.reactor.processes), 3)
        self.assertNoResult(promised)
        self.reactor.settle()
        user = User(IN_SECOND, self.successResultOf(promised), b"sample")
        client = self.connect(user)
        client.ask(ONE, b"hello")
        self.assertEqual(self.heard(client), [b"hello\x01" + ONE])

    def test_backOff(self) -> None:
        """One that dies again and again is started less and less often, but never not at all."""
        waits = []
        for _ in range(8):
            self.reactor.processes[-1].die()
            before = len(self.reactor.processes)
            began = self.reactor.seconds()
            while len(self.reactor.processes) == before:
                self.reactor.advance(0.25)
            self.reactor.settle()
            waits.append(self.reactor.seconds() - began)
        self.assertEqual(waits, [0.5, 1, 2, 4, 8, LONGEST_WAIT, LONGEST_WAIT, LONGEST_WAIT])

    def test_steady(self) -> None:
        """One that has lived for a while starts as at first."""
        for _ in range(3):
            self.reactor.processes[-1].die()
            self.reactor.advance(LONGEST_WAIT)
            self.reactor.settle()
        self.reactor.advance(STEADY)
        count = len(self.reactor.processes)
        self.reactor.processes[-1].die()
        self.reactor.advance(FIRST_WAIT)
        self.assertEqual(len(self.reactor.processes), count + 1)

    def test_whileLoading(self) -> None:
        """Whose agent is just loading is refused."""
        self.table.answers["load"] = [Deferred()]
        promised = self.loginOf(IN_SECOND)
        self.reactor.settle()
        self.process.die()
        self.failureResultOf(promised, Forbidden)

    def test_whileSaving(self) -> None:
        """Who is just being saved is lost, which is told; and nothing waits for it."""
        self.table.answers["save"] = [Deferred()]
        ended = self.service.end(self.user)
        self.reactor.settle()
        self.process.die()
        self.successResultOf(ended)
        self.assertEqual(self.agents.counts()["agents_lost"], 1)
        self.assertEqual(self.agents.counts()["saves_failed"], 0)

    def test_away(self) -> None:
        """Who comes and goes while a worker dies harms nobody."""
        self.client.lose()
        self.process.die()
        self.reactor.settle()
        self.assertEqual(list(self.agents.gate.online()), [])

    def test_garbage(self) -> None:
        """What an agent's own code writes to the line ends the worker, and not the gate."""
        self.process.write(b"\xff" * 100)
        self.reactor.settle()
        self.assertEqual(list(self.agents.gate.online()), [])
        self.assertFalse(self.process.isAlive)

    def test_closesTheLine(self) -> None:
        """One that cannot be heard any more is of no use, and killed."""
        self.process.close()
        self.assertEqual(self.process.signals, ["KILL"])
        self.assertEqual(list(self.agents.gate.online()), [])

    def test_atOnce(self) -> None:
        """Who logs in at the very moment that a request fails by it waits for the next one."""
        agent = next(iter(self.agents._seats.values())).agent
        promised: list[Deferred[bytes]] = []
        answer: Any = agent.request(b"later:a")
        answer.addErrback(lambda _: promised.append(self.loginOf(IN_SECOND)))
        self.reactor.settle()
        self.process.die()
        self.assertNoResult(promised[0])
        self.reactor.advance(FIRST_WAIT)
        self.reactor.settle()
        self.successResultOf(promised[0])

    def test_whoHasLeft(self) -> None:
        """Whose login has ended is not lost with it."""
        self.service.end(self.user)
        self.reactor.settle()
        with capturedLogs() as events:
            self.process.die()
        (event,) = (each for each in events if each.get("event") == "worker_died")
        self.assertEqual(event["agents"], 0)

    def test_leftBehind(self) -> None:
        """A worker whose children keep its pipes open is dead all the same."""
        pipes = self.process._pipes
        pipes.processExited(_signalled())
        self.assertEqual(list(self.agents.gate.online()), [self.user])
        self.reactor.advance(1.0)
        self.assertEqual(list(self.agents.gate.online()), [])


class HangTests(RunningCase):
    """A worker lives, and gives no sign of it."""

    hangTimeout = 30.0

    def test_killed(self) -> None:
        """It is killed when the time is up, which is told, and started anew."""
        self.process.isStuck = True
        self.client.ask(ONE, b"hello")
        with capturedLogs() as events:
            self.wait(self.hangTimeout)
            self.assertEqual(self.process.signals, [])
            self.wait(self.hangTimeout / 2 + 1)
        self.assertEqual(self.process.signals, ["KILL"])
        (event,) = (each for each in events if each.get("event") == "worker_hangs")
        self.assertEqual(
            formatEvent(event), "worker 2 has given no sign of life for 30 s: it is killed"
        )
        self.assertEqual(self.heard(), [b"\x00" + ONE])
        self.assertEqual(list(self.agents.gate.online()), [])
        self.wait(FIRST_WAIT)
        self.loggedIn(IN_SECOND)

    def test_busy(self) -> None:
        """One that computes for less than that is left alone, as are those that are idle."""
        for _ in range(5):
            self.process.isStuck = True
            self.wait(self.hangTimeout - 0.1)
            self.process.isStuck = False
            self.wait(self.hangTimeout)
        self.client.ask(ONE, b"later:a")
        self.wait(10 * self.hangTimeout)
        self.assertEqual([each.signals for each in self.reactor.processes], [[], []])

    def test_leap(self) -> None:
        """A clock that leaps, as on a machine that was asleep, kills nobody."""
        self.reactor.advance(100 * self.hangTimeout)
        self.reactor.settle()
        self.wait(self.hangTimeout)
        self.assertEqual([each.signals for each in self.reactor.processes], [[], []])

    def test_stop(self) -> None:
        """Nothing is left to do when workers have ended, or died."""
        self.process.die()
        stopped = self.stop()
        self.client.lose()
        self.reactor.settle()
        self.reactor.settle()
        self.successResultOf(stopped)
        self.reactor.advance(0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def wait(self, seconds: float) -> None:
        """Let time pass, little by little."""
        for _ in range(100):
            self.reactor.advance(seconds / 100)
            self.reactor.settle()


class UnwatchedTests(RunningCase):
    """A C{hangTimeout} of 0."""

    hangTimeout = 0

    def test_never(self) -> None:
        """However long a worker takes, it is left alone."""
        self.process.isStuck = True
        for _ in range(10):
            self.reactor.advance(1000)
            self.reactor.settle()
        self.assertEqual(self.process.signals, [])


class StopTests(RunningCase):
    """The gate stops."""

    def test_inOrder(self) -> None:
        """Agents are saved first, then their workers end."""
        saved: Deferred[None] = Deferred()
        self.table.answers["save"] = [saved]
        stopped = self.stop()
        self.client.lose()
        self.reactor.settle()
        self.assertNoResult(stopped)
        self.assertTrue(all(process.isAlive for process in self.reactor.processes))
        saved.callback(None)
        self.reactor.settle()
        self.reactor.settle()
        self.successResultOf(stopped)
        self.assertEqual([process.isAlive for process in self.reactor.processes], [False, False])
        self.assertEqual([process.signals for process in self.reactor.processes], [[], []])
        self.assertEqual(self.agents.counts()["workers_died"], 0)
        self.assertEqual(self.agents.counts()["saves"], 1)
        self.reactor.advance(LONGEST_WAIT)
        self.assertEqual(len(self.reactor.processes), 2)

    def test_stuck(self) -> None:
        """One that does not end is killed."""
        self.service.end(self.user)
        self.reactor.settle()
        self.process.isStuck = True
        stopped = self.stop()
        self.client.lose()
        self.reactor.settle()
        self.reactor.advance(self.saveTimeout + STOP_WAIT - 0.01)
        self.assertEqual(self.process.signals, [])
        self.reactor.advance(0.01)
        self.assertEqual(self.process.signals, ["KILL"])
        self.successResultOf(stopped)

    def test_whileStarting(self) -> None:
        """One that is about to be started is not, and who waits for it is refused."""
        self.process.die()
        promised = self.loginOf(IN_SECOND)
        stopped = self.stop()
        self.client.lose()
        self.reactor.settle()
        self.failureResultOf(promised, Forbidden)
        self.successResultOf(stopped)
        self.reactor.advance(LONGEST_WAIT)
        self.assertEqual(len(self.reactor.processes), 2)


class ParentGoneTests(RunningCase):
    """The gate has died: what the worker does by itself."""

    def test_saves(self) -> None:
        """It saves the agents that it has, then ends."""
        self.client.ask(ONE, b"hello")
        self.reactor.settle()
        saved: Deferred[None] = Deferred()
        self.table.answers["save"] = [saved]
        self.process.closeChildFD(3)
        self.process.pump()
        self.assertTrue(self.process.isAlive)
        saved.callback(None)
        self.assertFalse(self.process.isAlive)
        self.assertEqual(self.table.rows, {IN_SECOND: 1})

    def test_notForEver(self) -> None:
        """It does not wait for one that hangs, and one that fails is its log's."""
        self.loggedIn(IN_SECOND)
        self.table.answers["save"] = [Deferred(), ZeroDivisionError()]
        self.process.closeChildFD(3)
        self.process.pump()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.process.isAlive)
        self.reactor.advance(self.saveTimeout)
        self.assertFalse(self.process.isAlive)

    def test_whileLoading(self) -> None:
        """An agent that has not loaded is not saved: it would undo what was saved before."""
        self.table.answers["load"] = [Deferred()]
        self.loginOf(IN_SECOND).addErrback(lambda _: None)
        self.reactor.settle()
        self.process.closeChildFD(3)
        self.process.pump()
        self.assertEqual(self.table.names(IN_SECOND), ["load", "load", "save"])
        self.assertFalse(self.process.isAlive)

    def test_loadFailed(self) -> None:
        """Nor is one that could not load, though the gate did not get to say that it may go."""
        loaded: Deferred[None] = Deferred()
        self.table.answers["load"] = [loaded]
        self.loginOf(IN_SECOND).addErrback(lambda _: None)
        self.reactor.settle()
        loaded.errback(Forbidden("banned"))
        self.process._fromWorker.clear()
        self.process.closeChildFD(3)
        self.process.pump()
        self.assertEqual(self.table.names(IN_SECOND), ["load", "load", "save"])

    def test_whileSaving(self) -> None:
        """A save that runs already is waited for, and none is begun beside it."""
        self.client.ask(ONE, b"hello")
        self.reactor.settle()
        saved: Deferred[None] = Deferred()
        self.table.answers["save"] = [saved]
        self.service.end(self.user)
        self.reactor.settle()
        self.process.closeChildFD(3)
        self.process.pump()
        self.assertTrue(self.process.isAlive)
        saved.callback(None)
        self.assertFalse(self.process.isAlive)
        self.assertEqual(self.table.names(IN_SECOND), ["load", "save"])
        self.assertEqual(self.table.rows, {IN_SECOND: 1})

    def test_saveFailedBefore(self) -> None:
        """One whose save has failed is tried once more; one that is saved is not saved again."""
        bob = self.loggedIn(IN_FIRST)
        self.table.answers["save"] = [ZeroDivisionError()]
        for user in (self.user, bob):
            self.agents.kicked(user)
            self.reactor.settle()
        self.assertEqual(len(self.flushLoggedErrors(WorkerError)), 1)
        for process in self.reactor.processes:
            process.closeChildFD(3)
            process.pump()
        self.assertEqual(self.table.names(IN_SECOND), ["load", "save", "save"])
        self.assertEqual(self.table.names(IN_FIRST), ["load", "save"])

    def test_whileRunning(self) -> None:
        """A request that runs is waited for, for half of the time, and so is what it changes."""
        self.client.ask(ONE, b"later:a")
        self.reactor.settle()
        self.process.closeChildFD(3)
        self.process.pump()
        self.assertEqual(self.table.names(IN_SECOND), ["load"])
        self.table.promised.pop(b"a").callback(b"done")
        self.assertEqual(self.table.rows, {IN_SECOND: 1})
        self.assertFalse(self.process.isAlive)


class LogTests(RunningCase):
    """What workers say."""

    def said(self, data: bytes, descriptor: int = 1) -> list[LogEvent]:
        """Have it said, and give what is logged."""
        with capturedLogs() as events:
            self.process.say(data, descriptor)
        return [*events]

    def test_lines(self) -> None:
        """What is no log is logged as it is, line by line; on standard error it is a warning."""
        events = self.said(b"one\ntw")
        events += self.said(b"o\n\n")
        self.assertEqual(
            [formatEvent(each) for each in events], ["[worker 2] one", "[worker 2] two"]
        )
        self.assertEqual([each["log_level"] for each in events], [LogLevel.info] * 2)
        (event,) = self.said(b"ouch\n", 2)
        self.assertEqual(event["log_level"], LogLevel.warn)

    def test_longLine(self) -> None:
        """A line without an end is not kept for ever."""
        (event,) = self.said(b"x" * 70_000)
        self.assertEqual(len(event["text"]), 70_000)

    def test_lastWords(self) -> None:
        """What is not a whole line yet is logged when it has ended."""
        self.said(b"no end")
        with capturedLogs() as events:
            self.process.die()
        self.assertIn("[worker 2] no end", [formatEvent(each) for each in events])

    def test_events(self) -> None:
        """What is logged there has its level and its fields here."""
        with capturedLogs() as logged:
            Logger().error("{uid} is odd", uid=b"alice", event="odd")
        line = formatAsJSON(logged[0])
        assert line is not None
        (event,) = self.said(line.encode())
        self.assertEqual(event["log_level"], LogLevel.error)
        self.assertEqual(event[RELAYED]["event"], "odd")
        self.assertEqual(event["process"], "worker 2")
        self.assertIn("is odd", str(formatEvent(event)))


def _signalled() -> Failure:
    return Failure(ProcessTerminated(None, 9))
