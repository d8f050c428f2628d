"""
What is done to clients and gate while requests are under way: faults at random, a gate that is
frozen, a gate that is killed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from time import monotonic_ns

from attrs import define, field, frozen

from tests.chaos.faults import Faults
from tests.chaos.judge import History, Outcome, Verdict, judge
from tests.chaos.load import Crowd, logIn
from tests.chaos.orders import Verb
from tests.chaos.stage import Stage, Usage
from tests.endtoend.clusters import CLOCK, pause, until

_BEAT = 0.1
"""Seconds between two looks at what may happen to everybody."""

_PATIENCE = 60.0
"""Seconds, when nothing breaks any more, until a request without an answer is lost."""

_AFTERMATH = 10.0
"""Seconds until the gate must have let go of connections whose other end is gone."""

FROZEN_SECONDS = 5.0
"""Seconds for which a gate is frozen."""


@frozen
class Settings:
    """
    What a run is like.

    @ivar folder: an empty one, for the servers' files.
    @ivar seconds: how long faults strike, or how long there is load around what strikes once.
    @ivar sessions: which sessions the gate takes (S7).
    """

    folder: Path
    seed: int
    clients: int
    seconds: float
    sessions: str = "any"


@define
class Report:
    """
    What came of one run.

    @ivar counts: what was counted of the clients; C{faults}, by their names, of the network.
    @ivar tracebacks: the logs of the servers that have one.
    @ivar before: what the gate held before the first client; C{after} is it after the last.
    @ivar remark: what there is to know about the figures.
    """

    title: str
    verdict: Verdict
    counts: Counter[str]
    faults: Counter[str]
    tracebacks: list[str]
    before: Usage
    after: Usage
    figures: dict[str, str] = field(factory=dict)
    remark: str = ""

    @property
    def hasLeaked(self) -> bool:
        """The gate has descriptors open that it has no use for."""
        return self.after.descriptors > self.before.descriptors

    @property
    def isGood(self) -> bool:
        """Nothing is to be complained of."""
        return self.verdict.isKept and not self.tracebacks and not self.hasLeaked


async def attacked(settings: Settings) -> Report:
    """Have faults at random."""
    faults = Faults(Random(f"{settings.seed}: faults"))

    async def attack(stage: Stage, crowd: Crowd, events: Counter[str]) -> None:
        stage.breakWith(faults.plan)
        random = Random(f"{settings.seed}: events")
        # Those of before suffer too, and in a short run there is this at least.
        stage.gateProxy.resetAll()
        until = CLOCK.seconds() + settings.seconds
        while CLOCK.seconds() < until:
            await pause(_BEAT)
            _happen(stage, faults, random)
            if random.random() < _BEAT * len(crowd.clients) / 300:
                _kick(stage, random.choice(crowd.histories), events)

    return await _underLoad("faults at random", settings, attack)


def _happen(stage: Stage, faults: Faults, random: Random) -> None:
    """Have something happen to everybody, or not."""
    for proxy in stage.proxies:
        if random.random() < _BEAT / 12:
            proxy.resetAll()
        if random.random() < _BEAT / 4:
            proxy.cutSome(faults, random.random() / 2)
        if random.random() < _BEAT / 8:
            proxy.stall(faults.stall())
        if random.random() < _BEAT / 6:
            proxy.refuse(random.uniform(0.05, 1.0))


def _kick(stage: Stage, history: History, events: Counter[str]) -> None:
    """Log in as that user, from elsewhere: that kicks the login that there is."""
    history.disturbed.append(monotonic_ns())

    def kicked(_: object) -> None:
        events["kicks by another login"] += 1

    # It may be refused, where the user is logging in at this moment.
    logIn(history.uid, stage.loginPort).addCallbacks(kicked, lambda _: None)


async def stunned(settings: Settings) -> Report:
    """Have the gate stand still for some seconds, and some of its connections break meanwhile."""

    async def freeze(stage: Stage, crowd: Crowd, events: Counter[str]) -> None:
        faults = Faults(Random(f"{settings.seed}: faults"))
        await pause(settings.seconds / 2)
        stage.freezeGate()
        try:
            await pause(FROZEN_SECONDS / 2)
            stage.gateProxy.cutSome(faults, 0.4)
            await pause(FROZEN_SECONDS / 2)
        finally:
            stage.thawGate()
        await pause(settings.seconds / 2)

    return await _underLoad(f"gate frozen for {FROZEN_SECONDS:g} s", settings, freeze)


async def killed(settings: Settings) -> Report:
    """
    Kill the gate, and start another.

    Its memory is gone, and with it every login. What is promised then: nothing runs twice, no
    answer is wrong, and each request ends, if not with an answer then with OutcomeUnknown.
    """

    async def kill(stage: Stage, crowd: Crowd, events: Counter[str]) -> None:
        await pause(settings.seconds / 2)
        stage.killGate()
        events["gates killed"] += 1
        await pause(0.5)
        await stage.startGate()
        await pause(settings.seconds / 2)

    return await _underLoad("gate killed", settings, kill)


async def _underLoad(
    title: str,
    settings: Settings,
    strike: Callable[[Stage, Crowd, Counter[str]], Awaitable[None]],
) -> Report:
    """Have clients ask while something strikes them; then have peace, and judge."""
    stage = Stage(settings.folder, settings.clients, settings.sessions)
    try:
        await stage.start()
        before = stage.usage
        crowd = Crowd(settings.clients, stage.loginProxy.port, settings.seed)
        await crowd.each(lambda client: client.whenConnected())
        crowd.beginAsking()
        events: Counter[str] = Counter()
        await strike(stage, crowd, events)
        return await conclude(title, stage, crowd, before, events)
    finally:
        await stage.stop()


async def conclude(
    title: str, stage: Stage, crowd: Crowd, before: Usage, events: Counter[str]
) -> Report:
    """Have peace, wait until all is answered, have everybody hang up, and judge."""
    for proxy in stage.proxies:
        proxy.calm()
    crowd.stopAsking()
    # What is not answered by then is a case for the judge, not an error.
    with suppress(AssertionError):
        await until(lambda: crowd.underWay == 0, _PATIENCE, "all is answered")
    await crowd.close()
    with suppress(AssertionError):
        await until(
            lambda: stage.usage.descriptors <= before.descriptors, _AFTERMATH, "all is closed"
        )
    faults = stage.gateProxy.faults + stage.loginProxy.faults + events
    verdict = judge(crowd.histories, stage.journal, stage.deaths)
    counts = crowd.counts
    counts["logouts"] = sum(
        asked.order.verb is Verb.LOGOUT and asked.outcome is Outcome.ANSWERED
        for history in crowd.histories
        for asked in history.asked
    )
    return Report(title, verdict, counts, faults, stage.tracebacks, before, stage.usage)
