"""
The reconnect storm: everybody is dropped at the same instant, with requests under way.

At that instant the gate answers what it was at, so that each answer is made while its user is
away, or into a connection that is gone: what is measured is coming back, and hearing what was kept.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from attrs import define, field, frozen
from twisted.internet.defer import Deferred

from bench.figures import percentile
from msgserver.client import RETRY_POLICY
from tests.chaos.handler import HELD, RELEASE
from tests.chaos.judge import Asked
from tests.chaos.load import AskingClient, Crowd, RetryPolicy
from tests.chaos.orders import Order, Verb
from tests.chaos.runs import Report, Settings, conclude
from tests.chaos.stage import Stage
from tests.endtoend.clusters import CLOCK, pause, until

_HELD_EACH = 4
"""How many requests each client has under way."""

_LARGE = 2000
"""Bytes of one of the answers of each client; the others have what they need."""

_PATIENCE = 300.0
"""Seconds until what is not answered is lost: thousands of clients in one process are slow."""

_BEAT = 0.05
"""Seconds between two questions whether the gate has all of them."""

REMARK = (
    "  All clients and the proxy are one Python process, so the times are mostly theirs; what the"
    " gate\n  needs of them is its CPU."
)
"""What the figures of a storm are made of."""

BACK_OFF = "the client's own back-off"
NO_BACK_OFF = "a back-off of 0 s"

POLICIES: dict[str, RetryPolicy] = {BACK_OFF: RETRY_POLICY, NO_BACK_OFF: lambda failures: 0.0}
"""What clients do when they have been dropped, by its name."""


@frozen
class StormFigures:
    """
    What one storm took, in seconds from the instant of the drop.

    @ivar dropped: how many connections were.
    @ivar firsts: of each client, until its first answer that was asked for before.
    @ivar all: until the last answer of all.
    @ivar gateCpu: the CPU time of the gate meanwhile; C{clientsCpu} is that of the clients and
        the proxy together, which are one process.
    """

    dropped: int
    answers: int
    firsts: Sequence[float]
    all: float
    gateCpu: float
    clientsCpu: float

    def write(self) -> dict[str, str]:
        """Write them, by what they are."""
        told = {
            "connections dropped at once": f"{self.dropped:,}",
            "answers that were to come": f"{self.answers:,}",
            "until the last of all (s)": f"{self.all:.2f}",
            "CPU of the gate (s)": f"{self.gateCpu:.2f}",
            "CPU of clients and proxy (s)": f"{self.clientsCpu:.2f}",
        }
        if self.firsts:
            for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
                told[f"drop to a client's first, {name} (s)"] = (
                    f"{percentile(self.firsts, share):.2f}"
                )
        return told


@define
class _StopWatch:
    """When clients have heard of something, since they were dropped."""

    dropped: float = 0.0
    firsts: dict[bytes, float] = field(factory=dict)
    last: float = 0.0

    def watch(self, client: AskingClient) -> None:
        """Take note of what a client hears."""

        def heard(asked: Asked) -> None:
            self.last = CLOCK.seconds() - self.dropped
            self.firsts.setdefault(client.history.uid, self.last)

        client.heard = heard


async def storm(settings: Settings, backOff: str, isDouble: bool) -> Report:
    """
    Have a storm.

    @param backOff: which of L{POLICIES} clients have.
    @param isDouble: everybody is dropped again when half of them are back; the figures are from
        there on.
    """
    stage = Stage(settings.folder, settings.clients, settings.sessions)
    try:
        await stage.start()
        before = stage.usage
        policy = POLICIES[backOff]
        crowd = Crowd(settings.clients, stage.loginProxy.port, settings.seed, policy, True)
        await crowd.each(lambda client: client.whenConnected())
        figures = await _drop(stage, crowd, isDouble)
        title = "dropped again on the way back" if isDouble else "all dropped"
        report = await conclude(f"{title}, {backOff}", stage, crowd, before, Counter())
        report.figures.update(figures.write())
        report.remark = REMARK
        return report
    finally:
        await stage.stop()


async def _drop(stage: Stage, crowd: Crowd, isDouble: bool) -> StormFigures:
    """Have requests under way, drop everybody, have them answered, and take the time."""
    controller = stage.controller()
    watch = _StopWatch()
    for client in crowd.clients:
        watch.watch(client)
        for number in range(_HELD_EACH):
            size = _LARGE if number == 0 else 0
            client.ask(Order(client.nextName(), Verb.HOLD, answerSize=size))
    expected = crowd.underWay
    while int(await controller.request(HELD)) < expected:
        await pause(_BEAT)
    if isDouble:
        await _dropAndLetReturn(stage, crowd, len(crowd.clients) // 2)
    gateCpu, clientsCpu = stage.usage.cpuSeconds, time.process_time()
    watch.dropped = CLOCK.seconds()
    dropped = stage.gateProxy.resetAll()
    released = controller.request(RELEASE)
    # What is not answered by then is a case for the judge, not an error.
    with suppress(AssertionError):
        await until(lambda: crowd.underWay == 0, _PATIENCE, "all is answered")
    await released
    await controller.close()
    return StormFigures(
        dropped,
        expected,
        list(watch.firsts.values()),
        watch.last,
        stage.usage.cpuSeconds - gateCpu,
        time.process_time() - clientsCpu,
    )


async def _dropAndLetReturn(stage: Stage, crowd: Crowd, count: int) -> None:
    """Drop everybody, and wait until so many are back, and not one more."""
    enough: Deferred[None] = Deferred()
    back = 0

    def accepted() -> None:
        nonlocal back
        back += 1
        if back == count:
            enough.callback(None)

    for client in crowd.clients:
        client.watch.onAccepted = accepted
    stage.gateProxy.resetAll()
    await enough
