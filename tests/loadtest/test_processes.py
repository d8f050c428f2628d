"""
Tests for the processes of a load test: L{msgserver.loadtest.worker}, L{msgserver.loadtest.workers},
and the servers that it may be tried on, L{msgserver.loadtest.server}.
"""

from __future__ import annotations

import json
import signal
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from msgserver.commandparts import Complaint
from msgserver.errors import Unauthorized
from msgserver.interfaces import Account, User
from msgserver.loadtest.plan import Plan, Target
from msgserver.loadtest.results import Results
from msgserver.loadtest.server import TWICE, AnybodyLoginHandler, EchoOnceHandler
from msgserver.loadtest.statuses import Status
from msgserver.loadtest.workers import Workers

PLAN = Plan(Target("login:1", "gate:2", tokens=("t",)), users=3)


class FakeProcess:
    """
    A process of which each word is the test's.

    @ivar told: the lines that it was told.
    """

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.told: list[bytes] = []
        protocol.makeConnection(self)

    def writeToChild(self, number: int, data: bytes) -> None:
        """Take what it is told."""
        self.told += data.splitlines()

    def signalProcess(self, name: str) -> None:
        """Die."""
        self.die()

    def die(self, code: int = 9) -> None:
        """End."""
        self.protocol.processEnded(Failure(ProcessTerminated(code)))

    def say(self, what: str, value: object, pieces: int = 1) -> None:
        """Say a line, in so many pieces."""
        line = json.dumps({what: value}).encode() + b"\n"
        size = -(-len(line) // pieces)
        for start in range(0, len(line), size):
            self.protocol.outReceived(line[start : start + size])


class WorkersTests(SynchronousTestCase):
    """Two processes, from the side of who starts them."""

    def setUp(self) -> None:
        self.processes: list[FakeProcess] = []
        self.began: list[int] = []
        self.masks: list[set[int]] = []
        self.progress: list[tuple[int, dict[str, Any]]] = []
        reactor: Any = self
        self.workers = Workers(PLAN.shares(2), reactor, lambda *told: self.progress.append(told))
        self.results: Deferred[Results] = Deferred.fromCoroutine(
            self.workers.run(lambda: self.began.append(len(self.processes[1].told)))
        )

    def tearDown(self) -> None:
        """End what has not ended."""
        self.results.addErrback(lambda _: None)
        for process in self.processes:
            if not process.protocol.ended.called:
                process.die()

    def spawnProcess(self, protocol: IProcessProtocol, *_: object, **__: object) -> None:
        """Start a process, as a reactor does."""
        self.masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        self.processes.append(FakeProcess(protocol))

    def test_together(self) -> None:
        """All begin when all are ready, and what comes of them is put together."""
        one, other = self.processes
        plans = [Plan.decode(json.loads(process.told.pop())) for process in self.processes]
        self.assertEqual(plans, PLAN.shares(2))
        one.say("ready", True)
        self.assertEqual(one.told, [])
        self.assertEqual(self.began, [])
        other.say("ready", True)
        # When all were told to go.
        self.assertEqual(self.began, [1])
        self.assertEqual((one.told, other.told), ([b"go"], [b"go"]))
        for number, process in enumerate(self.processes):
            results = Results(1.0)
            results.counts["right"] = 10 + number
            self.assertNoResult(self.results)
            process.say("results", results.encode(), pieces=7)
        self.assertEqual(self.successResultOf(self.results).counts["right"], 21)

    def test_progress(self) -> None:
        """What a process tells of its progress is handed on, with its number."""
        self.processes[1].say("progress", {"connected": 3})
        self.assertEqual(self.progress, [(1, {"connected": 3})])

    def test_stop(self) -> None:
        """All are told to stop; of those that have ended, nothing is expected."""
        self.workers.stop()
        self.assertEqual([process.told[1:] for process in self.processes], [[b"stop"]] * 2)

    def test_dies(self) -> None:
        """A process that dies ends it all, with its last words."""
        self.processes[0].say("ready", True)
        self.processes[1].say("ready", True)
        self.processes[0].protocol.errReceived(b"Traceback\nMemoryError: no more\n")
        self.processes[0].die()
        complaint = self.failureResultOf(self.results, Complaint).value
        self.assertEqual(complaint.status, Status.FAILED)
        self.assertEqual(str(complaint), "a process of the tester has ended: MemoryError: no more")

    def test_deaf(self) -> None:
        """
        A process is started so that Ctrl-C, which all of a terminal get, does not end it before it
        can say that it is not for it; who has started it hears it as before.
        """
        self.assertEqual([signal.SIGINT in mask for mask in self.masks], [True, True])
        self.assertNotIn(signal.SIGINT, signal.pthread_sigmask(signal.SIG_BLOCK, []))

    def test_dying(self) -> None:
        """Nor is it a mistake to tell or to kill what is gone, and has not been heard of yet."""

        def gone(*_: object) -> None:
            raise ProcessExitedAlready

        def closed(*_: object) -> None:
            raise KeyError(0)

        one, other = self.processes
        self.patch(other, "writeToChild", closed)
        self.patch(other, "signalProcess", gone)
        self.workers.stop()
        one.die()
        other.die()
        complaint = self.failureResultOf(self.results, Complaint).value
        self.assertIn("a process of the tester has ended", str(complaint))

    def test_diesAtOnce(self) -> None:
        """So does one that dies before it is ready."""
        self.processes[0].die()
        complaint = self.failureResultOf(self.results, Complaint).value
        self.assertIn("a process of the tester has ended", str(complaint))

    def test_fails(self) -> None:
        """A mistake of ours in a process is told, and is said to be one."""
        for process in self.processes:
            process.say("ready", True)
        self.processes[0].say("error", "Traceback:\nZeroDivisionError: division by zero\n")
        complaint = self.failureResultOf(self.results, Complaint).value
        self.assertIn("a bug of it: ZeroDivisionError: division by zero", str(complaint))


class ServerTests(SynchronousTestCase):
    """The handlers of the server to try it on."""

    def test_anybody(self) -> None:
        """Anybody may log in who has the password, and nobody else."""
        handler = AnybodyLoginHandler("pw")
        account = handler.authenticate(b"Ym9i@c2FtcGxl:cHc=")
        self.assertEqual(account, Account(b"sample", b"bob"))
        for token in (b"Ym9i@c2FtcGxl:cHg=", b"Ym9i@c2FtcGxl:pw", b"bob", b""):
            self.assertRaises(Unauthorized, handler.authenticate, token)

    def test_noPassword(self) -> None:
        """No password is a mistake."""
        self.assertRaises(ValueError, AnybodyLoginHandler, "")

    def test_echo(self) -> None:
        """A request is its own answer, numbered or not."""
        handler, bob = EchoOnceHandler(), User(b"bob", b"1", b"sample")
        for content in (b"bob.1 x", b"bob.2", b"bob.7 y", b"hello", b"hello", b"", b"eve.1 x"):
            self.assertEqual(handler.requestReceived(bob, content), content)

    def test_twice(self) -> None:
        """S6: one that runs twice in a login is told, and counts anew in the next."""
        handler, bob = EchoOnceHandler(), User(b"bob", b"1", b"sample")
        handler.requestReceived(bob, b"bob.5 x")
        self.assertEqual(handler.requestReceived(bob, b"bob.5 x"), TWICE + b"bob.5 x")
        self.assertEqual(handler.requestReceived(bob, b"bob.4 x"), TWICE + b"bob.4 x")
        again = User(b"bob", b"2", b"sample")
        self.assertEqual(handler.requestReceived(again, b"bob.1 x"), b"bob.1 x")
        handler.loggedOut(bob)
        handler.loggedOut(bob)
        self.assertEqual(handler.requestReceived(bob, b"bob.5 x"), b"bob.5 x")
