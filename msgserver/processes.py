"""
A gate of several processes: the one that supervises, and what each of the others does for it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from math import ceil
from typing import Any

from twisted.application.reactors import getReactorTypes
from twisted.application.service import Service
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.fdesc import readFromFD, setNonBlocking
from twisted.internet.interfaces import IProcessTransport, IReactorProcess
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.runner.procmon import LoggingProtocol, ProcessMonitor
from zope.interface import Interface, implementer

from msgserver.relaying import Relay, endOf

_TWIST = (
    'import os, runpy; hasattr(os, "setsid") and os.setsid();'
    ' runpy.run_module("twisted", run_name="__main__", alter_sys=True)'
)
"""
Is twist, away from the supervisor's terminal, whose Ctrl-C is not for it: from the beginning on,
since it takes a while to get to any code of ours. Not twistd: twist stays in the foreground, and
needs no pid file.
"""

_STARTING = 5
"""Seconds that a process lives at least if there is nothing wrong with its config."""

_LONGEST_WAIT = 10
"""Seconds until a process that ends again and again is started anew, at most."""

_LOOK = 0.05
"""Seconds from one look at whether all have ended to the next."""


class GateProcesses(Service):
    """
    Runs the processes of a gate, and starts those anew that end.

    What they log is logged here. They stop when this process does, however it ends.

    @param file: the config file.
    @param count: how many.
    @param stopTime: seconds that one may take to stop before it is killed.
    """

    def __init__(self, reactor: Any, file: str, count: int, stopTime: float) -> None:
        self._clock = reactor
        self._monitor = ProcessMonitor(_Spawner(reactor))
        self._monitor.threshold = _STARTING
        self._monitor.maxRestartDelay = _LONGEST_WAIT
        self._monitor.killTime = ceil(stopTime)
        twist = [sys.executable, "-c", _TWIST, f"--reactor={_nameOf(reactor)}"]
        # Not what strangers do, at debug: what they could fill is a pipe that this process empties.
        log = ["--log-level=info"]
        for process in range(1, count + 1):
            options = ["--config", file, "--process", str(process), "--supervised"]
            # What is read here, however this process writes its own log.
            options += ["--log-format", "json"]
            # Where the config was read, and its handlers found: twistd may go elsewhere.
            self._monitor.addProcess(
                f"gate {process}",
                [*twist, *log, "msgserver", *options],
                env=dict(os.environ),
                cwd=os.getcwd(),
            )

    def startService(self) -> None:
        """Start the processes."""
        Service.startService(self)
        self._monitor.startService()

    def stopService(self) -> Deferred[None]:
        """Stop the processes, each in good order (B5), and wait for their end."""
        Service.stopService(self)
        self._monitor.stopService()
        return Deferred.fromCoroutine(self._allEnded())

    async def _allEnded(self) -> None:
        while self._monitor.protocols:
            await deferLater(self._clock, _LOOK)


@implementer(IReactorProcess)
class _Spawner:
    """The reactor as the monitor sees it: with a L{_Relay} between each process and itself."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __conform__(self, interface: type[Interface]) -> object:
        """Be what the reactor is, such as a clock."""
        return interface(self._reactor)

    def spawnProcess(
        self, processProtocol: Any, *arguments: Any, **options: Any
    ) -> IProcessTransport:
        """See L{IReactorProcess.spawnProcess}."""
        relay = _Relay(self._reactor, processProtocol)
        process: IProcessTransport = self._reactor.spawnProcess(relay, *arguments, **options)
        return process


class _Relay(Relay):
    """
    Logs what a process says, and that it ends; the rest is the monitor's affair.

    The monitor's own protocol would write each time twice, stop at a long line, and wait for
    the end of whatever the process has started and left behind.

    @param monitored: that protocol.
    """

    log = Logger()

    def __init__(self, clock: Any, monitored: LoggingProtocol) -> None:
        super().__init__(monitored.name, clock)
        self._monitored = monitored

    def connectionMade(self) -> None:
        """Tell which process it is."""
        self._monitored.makeConnection(self.transport)
        self.log.info("[{process}] is process {pid}", process=self.name, pid=self.transport.pid)

    def finished(self, reason: Failure) -> None:
        """Tell how it has ended."""
        isWanted = not self._monitored.service.running
        self.log.emit(
            LogLevel.info if isWanted else LogLevel.warn,
            "[{process}] has ended: {end}",
            process=self.name,
            end=endOf(reason),
        )
        self._monitored.processEnded(reason)


class Supervised(Service):
    """
    Makes a process stop with its supervisor.

    The supervisor stops it by SIGTERM. Where it cannot, since it was killed itself, its end of
    our standard input closes.

    @param stdin: the descriptor to watch.
    @param handle: sets what a signal does.
    """

    log = Logger()

    def __init__(
        self, reactor: Any, stdin: int = 0, handle: Callable[..., object] = signal.signal
    ) -> None:
        self._reactor = reactor
        self._stdin = stdin
        self._handle = handle

    def startService(self) -> None:
        """Watch standard input."""
        Service.startService(self)
        lifeline = _Lifeline(self._reactor, self._stdin, self._supervisorLost)
        FileDescriptor.startReading(lifeline)

    def stopService(self) -> None:
        """
        Take no second signal for one: systemd, and whoever signals all processes of a command,
        tells this one as well as its supervisor.
        """
        Service.stopService(self)
        self._handle(signal.SIGTERM, signal.SIG_IGN)

    def _supervisorLost(self) -> None:
        if self.running:
            self.log.warn("the supervisor is gone: stopping")
            try:
                self._reactor.stop()
            except ReactorNotRunning:
                pass  # A signal was first.


class _Lifeline(FileDescriptor):
    """A pipe in which nothing is ever said, but whose end is noticed."""

    def __init__(self, reactor: Any, descriptor: int, lost: Callable[[], None]) -> None:
        FileDescriptor.__init__(self, reactor)
        setNonBlocking(descriptor)
        self._descriptor = descriptor
        self._lost = lost

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> Any:
        return readFromFD(self._descriptor, lambda data: None)

    def connectionLost(self, reason: Failure) -> None:
        FileDescriptor.connectionLost(self, reason)
        self._lost()


def _nameOf(reactor: object) -> str:
    """Tell what twist calls the reactor that twistd was told to take."""
    for each in getReactorTypes():
        if getattr(each, "moduleName", None) == type(reactor).__module__:
            return str(each.shortName)
    return "default"
