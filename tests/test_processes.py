"""
Tests for L{msgserver.processes}, on a reactor in memory whose processes do as they are told.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from twisted.internet.error import (
    ProcessDone,
    ProcessExitedAlready,
    ProcessTerminated,
    ReactorNotRunning,
)
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from msgserver.jsonlog import formatAsJSON
from msgserver.processes import GateProcesses, Supervised

STOP_TIME = 28.5


class Process:
    """
    A process that does what a test says: as much of an L{IProcessTransport} as that takes.

    @ivar options: its command line, from the name of our plugin on.
    @ivar signals: those that it has got.
    """

    def __init__(
        self, pid: int, protocol: Any, command: list[str], env: object, folder: object
    ) -> None:
        self.pid = pid
        self.env = env
        self.folder = folder
        self.command = command[: command.index("msgserver")]
        self.options = command[command.index("msgserver") :]
        self.signals: list[str] = []
        self._protocol = protocol
        self._isAlive = True

    def say(self, data: bytes, descriptor: int = 1) -> None:
        """Write something."""
        self._protocol.childDataReceived(descriptor, data)

    def exit(self, exitCode: int = 0, signal: int | None = None) -> None:
        """End, while somebody else has its ends of the pipes."""
        self._isAlive = False
        if signal is not None:
            self._reason = Failure(ProcessTerminated(None, signal))
        else:
            self._reason = Failure(ProcessTerminated(exitCode) if exitCode else ProcessDone(0))
        self._protocol.processExited(self._reason)

    def close(self) -> None:
        """Let nobody have the ends of the pipes any more."""
        self._protocol.processEnded(self._reason)

    def end(self, exitCode: int = 0, signal: int | None = None) -> None:
        """End, as processes mostly do."""
        self.exit(exitCode, signal)
        self.close()

    def signalProcess(self, signalID: str | int) -> None:
        """See L{IProcessTransport.signalProcess}."""
        if not self._isAlive:
            raise ProcessExitedAlready()
        self.signals.append(str(signalID))


class Reactor(MemoryReactorClock):
    """
    A reactor that starts processes.

    @ivar processes: all so far.
    @ivar refusal: what starting one raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Process] = []
        self.refusal: OSError | None = None

    def spawnProcess(
        self,
        processProtocol: Any,
        executable: str,
        args: list[str],
        env: dict[str, str],
        path: str,
        uid: int | None,
        gid: int | None,
    ) -> Process:
        """See L{IReactorProcess.spawnProcess}."""
        if self.refusal is not None:
            raise self.refusal
        process = Process(1001 + len(self.processes), processProtocol, args, env, path)
        self.processes.append(process)
        processProtocol.makeConnection(process)
        return process

    def stop(self) -> None:
        """See L{IReactorCore.stop}."""
        if self.hasStopped:
            raise ReactorNotRunning()
        super().stop()


class GateProcessesTestCase(SynchronousTestCase):
    """A gate of three processes."""

    def setUp(self) -> None:
        """Start them, and forget what that has logged."""
        self.events = self.enterContext(capturedLogs())
        self._heard = 0
        self.reactor = Reactor()
        self.service = GateProcesses(self.reactor, "/a/file", 3, STOP_TIME)
        self.service.startService()
        self.started = list(self.reactor.processes)
        self.logged()

    def logged(self) -> list[str]:
        """Tell what has been logged since the last time."""
        fresh = self.events[self._heard :]
        self._heard += len(fresh)
        return [f"{event['log_level'].name} {formatEvent(event)}" for event in fresh]

    def startedSince(self) -> list[str]:
        """Tell the numbers of the processes that have been started since the last time."""
        fresh = self.reactor.processes[len(self.started) :]
        self.started += fresh
        return [process.options[4] for process in fresh]


class StartingTests(GateProcessesTestCase):
    """What is started, and when."""

    def test_commandLines(self) -> None:
        """Each is this very program, as one process of the gate, in the same surroundings."""
        for number, process in enumerate(self.started, 1):
            self.assertEqual(process.command[:2], [sys.executable, "-c"])
            self.assertEqual(
                process.options,
                [
                    *("msgserver", "--config", "/a/file", "--process", str(number)),
                    *("--supervised", "--log-format", "json"),
                ],
            )
            self.assertEqual(process.env, dict(os.environ))
            self.assertEqual(process.folder, os.getcwd())
        self.assertEqual(len(self.started), 3)

    def test_laterFolder(self) -> None:
        """They are where the config was read, though twistd goes elsewhere to run."""
        service = GateProcesses(self.reactor, "/a/file", 1, STOP_TIME)
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir("/")
        service.startService()
        self.assertEqual(self.reactor.processes[-1].folder, before)

    def test_reactor(self) -> None:
        """They run on the reactor that this process was told to take."""
        self.assertIn("--reactor=default", self.started[0].command)
        asyncio = type("Other", (Reactor,), {"__module__": "twisted.internet.asyncioreactor"})()
        GateProcesses(asyncio, "/a/file", 1, STOP_TIME).startService()
        self.assertIn("--reactor=asyncio", asyncio.processes[0].command)

    def test_startedAnew(self) -> None:
        """One that ends after a while is started anew at once; the others are let be."""
        self.reactor.advance(5)
        self.started[1].end(signal=9)
        self.reactor.advance(0)
        self.assertEqual(self.startedSince(), ["2"])
        self.reactor.advance(3600)
        self.assertEqual(self.startedSince(), [])
        self.assertEqual([process.signals for process in self.started], [[]] * 4)

    def test_backOff(self) -> None:
        """One that ends as soon as it is started is started less and less often."""
        process = self.started[2]
        for wait in (1, 2, 4, 8, 10, 10):
            process.end(exitCode=1)
            self.reactor.advance(wait - 0.1)
            self.assertEqual(self.startedSince(), [])
            self.reactor.advance(0.1)
            self.assertEqual(self.startedSince(), ["3"])
            process = self.started[-1]
            # Just not long enough.
            self.reactor.advance(4.9)
        # All is forgiven to one that runs.
        self.reactor.advance(0.1)
        process.end(exitCode=1)
        self.reactor.advance(0)
        self.assertEqual(self.startedSince(), ["3"])
        self.started[-1].end(exitCode=1)
        self.reactor.advance(0.9)
        self.assertEqual(self.startedSince(), [])
        self.reactor.advance(0.1)
        self.assertEqual(self.startedSince(), ["3"])

    def test_cannotStart(self) -> None:
        """Where the system starts no process, that is logged, and tried again."""
        self.reactor.refusal = BlockingIOError(11, "no more processes")
        self.reactor.advance(5)
        self.started[0].end(exitCode=1)
        self.reactor.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(BlockingIOError)), 1)
        self.reactor.refusal = None
        self.reactor.advance(1)
        self.assertEqual(self.startedSince(), ["1"])

    def test_leftBehind(self) -> None:
        """
        One that has ended is started anew though something that it has started itself still
        holds its ends of the pipes.
        """
        self.reactor.advance(5)
        self.started[0].say(b"good night")
        self.started[0].exit(signal=9)
        self.reactor.advance(1)
        self.reactor.advance(0)
        self.assertEqual(self.startedSince(), ["1"])
        self.assertIn("warn [gate 1] has ended: signal 9", self.logged())
        # What is still said is logged, and when those are closed that is about nobody.
        self.started[0].say(b"gone\n")
        self.assertEqual(self.logged()[-1], "info [gate 1] gone")
        self.started[0].close()
        self.reactor.advance(3600)
        self.assertEqual((self.startedSince(), self.logged()), ([], []))


class StoppingTests(GateProcessesTestCase):
    """How they are stopped."""

    def test_stop(self) -> None:
        """B5: each is told to stop; this is done when the last of them has."""
        stopped = self.service.stopService()
        self.assertEqual([process.signals for process in self.started], [["TERM"]] * 3)
        for process in self.started:
            self.reactor.advance(1)
            self.assertNoResult(stopped)
            process.end(signal=15)
        self.reactor.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual(self.startedSince(), [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_kill(self) -> None:
        """B5: what has not stopped in the time that it may take is killed, and it alone."""
        stopped = self.service.stopService()
        self.started[0].end()
        self.started[2].end()
        self.reactor.advance(STOP_TIME)
        self.assertEqual(self.started[1].signals, ["TERM"])
        self.reactor.advance(0.5)
        self.assertEqual(self.started[1].signals, ["TERM", "KILL"])
        self.assertNoResult(stopped)
        self.started[1].end(signal=9)
        self.reactor.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual([self.started[index].signals for index in (0, 2)], [["TERM"]] * 2)

    def test_whileWaiting(self) -> None:
        """One that waits to be started anew is not."""
        for process in self.started:
            process.end(exitCode=1)
        self.successResultOf(self.service.stopService())
        self.reactor.advance(3600)
        self.assertEqual(self.startedSince(), [])

    def test_leftBehind(self) -> None:
        """What a process has left behind is not waited for."""
        for process in self.started[1:]:
            process.end(exitCode=1)
        self.started[0].exit(exitCode=1)
        stopped = self.service.stopService()
        self.assertEqual(self.started[0].signals, [])
        self.assertNoResult(stopped)
        self.reactor.advance(1)
        self.reactor.advance(0.1)
        self.successResultOf(stopped)


class LogTests(GateProcessesTestCase):
    """What they say."""

    def say(self, process: int, level: str, message: str, **fields: str) -> None:
        """Have a process log something."""
        said = {"time": "then", "level": level, "source": "a.B", "message": message, **fields}
        self.started[process - 1].say(json.dumps(said).encode() + b"\n")

    def test_lines(self) -> None:
        """What a process logs is logged, at its level; not the time, which is here already."""
        self.say(1, "info", "MsgFactory starting on 8882")
        self.say(2, "warn", "{name} is no field")
        self.say(3, "critical", "a bug", traceback="Traceback\n  File")
        self.say(3, "debug", "fine")
        self.assertEqual(
            self.logged(),
            [
                "info [gate 1] [a.B#info] MsgFactory starting on 8882",
                "warn [gate 2] [a.B#warn] {name} is no field",
                "critical [gate 3] [a.B#critical] a bug\nTraceback\n  File",
                "debug [gate 3] [a.B#debug] fine",
            ],
        )

    def test_inJSON(self) -> None:
        """In a log of JSON it is what was said there, and by which process."""
        self.say(2, "warn", "no", event="refusal", peer="192.0.2.1")
        line = json.loads(formatAsJSON(self.events[-1]) or "")
        self.assertEqual(
            line,
            {
                "time": "then",
                "level": "warn",
                "source": "a.B",
                "message": "no",
                "event": "refusal",
                "peer": "192.0.2.1",
                "process": "gate 2",
            },
        )

    def test_ofItsOwn(self) -> None:
        """What it tells of a process of its own, such as an agents' worker, has both names."""
        said = {"time": "then", "level": "info", "source": "a.B", "message": "hello"}
        said["process"] = "worker 3"
        self.started[1].say(json.dumps(said).encode() + b"\n")
        self.assertEqual(self.logged(), ["info [gate 2 worker 3] [a.B#info] hello"])
        line = json.loads(formatAsJSON(self.events[-1]) or "")
        self.assertEqual(line["process"], "gate 2 worker 3")

    def test_longest(self) -> None:
        """The longest line of a log is one that is read as what it is."""
        event = {"log_format": "x" * 59_800, "log_namespace": "a"}
        line = formatAsJSON(event)
        assert line is not None
        self.assertNotIn("truncated", line)
        for start in range(0, len(line), 8192):
            self.started[0].say(line[start : start + 8192].encode())
        self.assertEqual(self.logged(), [f"info [gate 1] [a#info] {event['log_format']}"])

    def test_others(self) -> None:
        """What is no line of a log is logged as it is; what is said on stderr is a warning."""
        self.started[0].say(b"hello\n{name} is no field\n")
        self.started[1].say(b"gate.listen: no\n", descriptor=2)
        lines = [b"1", b"{}", b'{"level": "info"}', b"[" * 20000]
        lines += [b'{"level": "x", "source": "a", "message": "b"}']
        lines += [b'{"level": "info", "source": 1, "message": "b"}']
        self.started[2].say(b"\n".join(lines) + b"\n")
        self.assertEqual(
            self.logged(),
            [
                "info [gate 1] hello",
                "info [gate 1] {name} is no field",
                "warn [gate 2] gate.listen: no",
                *(f"info [gate 3] {line.decode()}" for line in lines),
            ],
        )
        self.assertEqual(self.events[-1]["process"], "gate 3")

    def test_pieces(self) -> None:
        """However it arrives, a line is a line; and there are no empty ones."""
        for byte in b"\none\n\ntwo\n":
            self.started[0].say(bytes([byte]))
            self.started[0].say(bytes([byte]).upper(), descriptor=2)
        self.assertEqual(
            sorted(self.logged()),
            [
                *(f"info [gate 1] {text}" for text in ("one", "two")),
                *(f"warn [gate 1] {text}" for text in ("ONE", "TWO")),
            ],
        )

    def test_anyBytes(self) -> None:
        """What is no text is shown as what it is."""
        self.started[0].say(b"\xc3\xa9\xff\n")
        self.assertEqual(self.logged(), ["info [gate 1] \N{LATIN SMALL LETTER E WITH ACUTE}\\xff"])

    def test_longLine(self) -> None:
        """A line that has no end is logged in parts, and takes no more memory than one."""
        for _ in range(20):
            self.started[0].say(b"x" * 8192)
        lines = self.logged()
        self.assertEqual([len(line) for line in lines], [len("info [gate 1] ") + 9 * 8192] * 2)
        self.started[0].say(b"y\nz\n")
        self.assertEqual([line[-2:] for line in self.logged()], ["xy", " z"])

    def test_unfinished(self) -> None:
        """A last line without an end is a line, and what is said after the end is heard."""
        self.started[0].say(b"Killed by ")
        self.started[0].exit(signal=9)
        self.started[0].say(b"somebody")
        self.assertEqual(self.logged(), [])
        self.started[0].close()
        self.assertEqual(
            self.logged(),
            ["info [gate 1] Killed by somebody", "warn [gate 1] has ended: signal 9"],
        )

    def test_life(self) -> None:
        """It is logged which process each is; and how it ended, as a warning if unasked."""
        self.reactor.advance(5)
        self.started[0].end(exitCode=3)
        self.reactor.advance(0)
        self.assertEqual(
            self.logged(),
            ["warn [gate 1] has ended: exit status 3", "info [gate 1] is process 1004"],
        )
        self.service.stopService()
        self.started[1].end()
        self.started[2].end(signal=15)
        self.assertEqual(
            self.logged(),
            ["info [gate 2] has ended: exit status 0", "info [gate 3] has ended: signal 15"],
        )


class SupervisedTests(SynchronousTestCase):
    """L{Supervised}"""

    def setUp(self) -> None:
        """Start one, with a pipe for standard input."""
        self.events = self.enterContext(capturedLogs())
        self.reactor = Reactor()
        stdin, self.supervisor = os.pipe()
        self.addCleanup(os.close, stdin)
        self.addCleanup(self.endSupervisor)
        self.handled: list[tuple[int, object]] = []
        self.service = Supervised(
            self.reactor, stdin, lambda *handled: self.handled.append(handled)
        )
        self.service.startService()

    def endSupervisor(self) -> None:
        """Close the supervisor's end."""
        if self.supervisor:
            os.close(self.supervisor)
            self.supervisor = 0

    def read(self) -> None:
        """Have the reactor look at standard input."""
        (reader,) = self.reactor.readers
        lost = reader.doRead()
        if lost is not None:
            reader.connectionLost(Failure(lost))
        self.assertEqual(len(self.reactor.readers), lost is None)

    def test_supervisorLost(self) -> None:
        """The process stops when its supervisor is no more, and says why."""
        self.read()
        os.write(self.supervisor, b"whatever\n")
        self.read()
        self.assertFalse(self.reactor.hasStopped)
        self.endSupervisor()
        self.read()
        self.assertTrue(self.reactor.hasStopped)
        told = [formatEvent(event) for event in self.events]
        self.assertEqual(told, ["the supervisor is gone: stopping"])

    def test_signalFirst(self) -> None:
        """A reactor that a signal has stopped is not stopped twice."""
        self.reactor.stop()
        self.endSupervisor()
        self.read()

    def test_stopping(self) -> None:
        """A process that is stopping already cares no more, nor for a second signal."""
        self.assertEqual(self.handled, [])
        self.service.stopService()
        self.assertEqual(self.handled, [(signal.SIGTERM, signal.SIG_IGN)])
        self.endSupervisor()
        self.read()
        self.assertFalse(self.reactor.hasStopped)
        self.assertEqual(self.events, [])
