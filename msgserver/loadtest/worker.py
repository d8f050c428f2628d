"""
A process of the tester: C{python -m msgserver.loadtest.worker}, told what to do by its standard
input, and telling what comes of it on its standard output, a line of JSON each.

It is told its plan, then C{go}; and C{stop} where it is to end early. It ends when it is told
nothing more: whoever started it is gone.
"""

from __future__ import annotations

import gc
import json
import signal
import time
from random import Random
from typing import Any

from attrs import frozen
from twisted.application.internet import backoffPolicy
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from msgserver.clientcore import FIRST_DELAY, LONGEST_DELAY
from msgserver.loadtest.crew import Crew
from msgserver.loadtest.dialogue import Dialogue
from msgserver.loadtest.effort import EffortMeter
from msgserver.loadtest.files import raiseFileLimit
from msgserver.loadtest.plan import Plan
from msgserver.loadtest.reaching import Reach
from msgserver.loadtest.recorder import Recorder
from msgserver.loadtest.results import Results
from msgserver.loadtest.surroundings import Surroundings

PROGRESS = 0.5
"""Seconds between two lines that tell how it is going."""

GO, STOP = b"go", b"stop"
"""What a process is told, once it has its plan."""

_LONGEST_LINE = 1 << 28


@frozen
class Running:
    """The users of a process, and what is taken down of them."""

    crew: Crew
    recorder: Recorder
    meter: EffortMeter

    def progress(self) -> dict[str, Any]:
        """Tell how it is going, as what JSON can say; see L{msgserver.loadtest.live.Progress}."""
        levels = dict(self.recorder.fresh)
        self.recorder.fresh.clear()
        return {
            "connected": self.recorder.connected,
            "counts": dict(self.recorder.results.counts),
            "levels": levels,
            "cpu": self.meter.share(),
        }


def assemble(plan: Plan, reactor: Any, reach: Reach) -> Running:
    """Put together what carries a plan out."""
    clock = IReactorTime(reactor)
    # Of the reactor's own clock, which is set now and then, nothing is measured.
    recorder = Recorder(Results(plan.interval), time.monotonic)
    meter = EffortMeter(clock)
    random = Random(plan.seed)
    surroundings = Surroundings(
        plan=plan,
        clock=clock,
        recorder=recorder,
        dialogue=Dialogue(plan.template, plan.size, plan.expect, Random(plan.seed + 1)),
        random=random,
        takeLogin=reach.takeLogin,
        gate=reach.gate,
        connectTo=reach.connectTo,
        retryPolicy=retryPolicy(random),
    )
    crew = Crew(surroundings, meter, Random(plan.seed + 2), spareGarbage)
    return Running(crew, recorder, meter)


def spareGarbage() -> None:
    """
    Leave what there is by now out of garbage collections: thousands of users are here to stay, and
    to look at all of them takes tenths of a second, which would be measured.
    """
    gc.collect()
    gc.freeze()


def retryPolicy(random: Random) -> Any:
    """Make the policy that L{msgserver.client} has, with chances of our own."""
    return backoffPolicy(FIRST_DELAY / 2, LONGEST_DELAY, factor=2.0, jitter=random.random)


class Orders(LineOnlyReceiver):
    """
    What a process is told, and what it tells.

    @ivar ended: fires when it is told nothing more.
    """

    delimiter = b"\n"
    MAX_LENGTH = _LONGEST_LINE

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._running: Running | None = None
        self._progress = LoopingCall(lambda: self._tell("progress", self._current().progress()))
        self.ended: Deferred[None] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        """Obey."""
        if self._running is None:
            plan = Plan.decode(json.loads(line))
            self._running = assemble(plan, self._reactor, Reach(plan.target, self._reactor))
            self._tell("ready", True)
        elif line == GO:
            self._progress.start(PROGRESS)
            Deferred.fromCoroutine(self._running.crew.run()).addBoth(self._done)
        elif line == STOP:
            self._running.crew.stop()

    def connectionLost(self, reason: object = None) -> None:
        """End."""
        self.ended.callback(None)

    def _done(self, result: None | Failure) -> None:
        if self._progress.running:
            self._progress.stop()
        if isinstance(result, Failure):
            self._tell("error", result.getTraceback())
        else:
            self._tell("results", self._current().recorder.results.encode())

    def _current(self) -> Running:
        assert self._running is not None, "no plan yet"
        return self._running

    def _tell(self, what: str, value: object) -> None:
        assert self.transport is not None
        line = json.dumps({what: value}, separators=(",", ":"))
        self.transport.write(line.encode() + self.delimiter)


def main() -> None:
    """Do as standard input says, until it ends."""
    # Ctrl-C is for whoever started this, and who then tells this to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raiseFileLimit()
    # The reactor is installed on import.
    from twisted.internet import reactor

    core: Any = reactor
    orders = Orders(core)
    orders.ended.addCallback(lambda _: core.stop())
    StandardIO(orders)
    core.run(installSignalHandlers=False)


if __name__ == "__main__":
    main()
