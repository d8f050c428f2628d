"""
What is made of the results: figures, a verdict, and what to think of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from attrs import asdict, field, frozen

from msgserver.loadtest.conditions import coresOf, machine, optionsOf
from msgserver.loadtest.latencies import Latencies
from msgserver.loadtest.plan import Plan
from msgserver.loadtest.results import TROUBLES, Results, latencyOf
from msgserver.loadtest.statuses import Status
from msgserver.loadtest.units import percent, seconds, span

BUSY = 0.9
"""A process of the tester that takes more of a core than this may be what is measured."""

HELD_UP = 0.1
"""The share of the time that the tester may wait for a core before that is said."""

LAG = 0.02
"""The seconds that one in a hundred of the tester's timers may be late before that is said."""

KEPT_UP = 0.98
"""The share of a schedule that must be answered in time; less, and that is said."""

PERCENTILES = (50.0, 90.0, 99.0, 99.9)

TOLD = {
    "wrong": "wrong answers",
    "failed": "requests failed by the server's handler (flag 0)",
    "doubled": "answers to requests that had theirs, or never were",
    "missing": "requests without an answer at the end",
    "unknown": "requests whose login ended before their answer",
    "refused": "requests that could not be asked",
    "uncounted": "requests of which the tester has lost count, which is a bug of it",
    "ended": "users of whom the server wanted no more",
    "never": "users who never had a connection",
    "away": "users who were not back at the end",
}
"""What must not happen, and how it is called."""

_SILENT = ("failed", "missing", "unknown", "refused")


@frozen
class Figures:
    """
    What has come of a load test.

    @ivar began: when, in ISO 8601.
    @ivar processes: how many made the load.
    @ivar isEarly: it was ended before its time.
    @ivar serverCpu: the share of a core that the server took while it was measured; None where it
        is not known.
    """

    plan: Plan
    results: Results
    began: str
    processes: int = 1
    isEarly: bool = False
    serverCpu: float | None = None
    machine: Mapping[str, str] = field(factory=machine)

    @property
    def rate(self) -> float:
        """Answers a second."""
        seconds = self.results.seconds
        return self.results.counts["inTime"] / seconds if seconds else 0.0

    @property
    def loginRate(self) -> float:
        """Users who logged in each second, from the start until the last had."""
        last = self.results.lastLogin
        return self.results.counts["came"] / last if last else 0.0

    @property
    def troubles(self) -> dict[str, int]:
        """What must not happen, and how often it did; only what did."""
        counts = Counter(self.results.counts)
        ends = ("right", *(name for name in TROUBLES if name != "doubled"))
        counts["uncounted"] += max(0, counts["asked"] - sum(counts[name] for name in ends))
        return {name: counts[name] for name in TOLD if counts[name]}

    @property
    def status(self) -> Status:
        """What the command ends with."""
        counts = self.results.counts
        if not self.troubles and counts["right"]:
            return Status.VERIFIED
        if self._isInterrupted:
            return Status.INTERRUPTED
        if not counts["logins"]:
            isRefused = any(reason.startswith("Unauthorized") for reason in self.results.reasons)
            return Status.REFUSED if isRefused else Status.UNREACHABLE
        return Status.FAILED

    @property
    def _isInterrupted(self) -> bool:
        """Whether it was ended before anything was asked, or had failed."""
        hasFailed = self.results.reasons or not self.troubles.keys() <= {"never", "away"}
        return self.isEarly and not self.results.counts["asked"] and not hasFailed

    @property
    def verdict(self) -> str:
        """What came of it, in a sentence."""
        counts = self.results.counts
        if self.status == Status.VERIFIED:
            return f"All {counts['right']:,} answers are there, once each, and verified."
        if self._isInterrupted:
            return "It was interrupted before anything was asked."
        if not counts["logins"]:
            return "Nobody could log in."
        if not self.troubles:
            return "Nothing was asked."
        told = "; ".join(f"{count:,} {TOLD[name]}" for name, count in self.troubles.items())
        return f"Not as it must be: {told}."

    @property
    def method(self) -> str:
        """What is measured, for whoever must judge the latencies."""
        plan = self.plan
        return f"{self._loop} {_turnsOf(plan)}" if plan.takesTurns else self._loop

    @property
    def _loop(self) -> str:
        plan = self.plan
        if plan.isOpen:
            return (
                f"Open loop: {plan.rate:,g} requests a second by a schedule, however long the"
                " answers take. Latency runs from when a request was due to its answer, time"
                " without a connection included."
            )
        least, most = plan.think
        then = "at once" if not most else f"{span(f'{least:g}', f'{most:g}')} s after its answer"
        requests = f"{plan.inFlight:,} request{'s' if plan.inFlight > 1 else ''}"
        return (
            f"Closed loop: each user has {requests} under way, and asks the next {then}. A server"
            " that stalls is asked less meanwhile; --rate measures by a schedule. Latency runs from"
            " asking to the answer, time without a connection included."
        )

    @property
    def notes(self) -> list[str]:
        """Say where the figures are those of something else than the server."""
        return [*self._testerNotes(), *self._serverNotes()]

    def _testerNotes(self) -> list[str]:
        efforts = self.results.efforts
        if not efforts:
            return []
        notes = []
        busiest = max(efforts, key=lambda effort: (effort.share >= BUSY, effort.busyShare))
        if busiest.busyShare >= BUSY:
            which = "The tester" if self.processes == 1 else "The busiest process of the tester"
            more = "more --processes" if self.processes > 1 else "--processes"
            share = f"{percent(busiest.share)} of a core"
            if busiest.share < BUSY:
                share += f", and waited for one for {percent(busiest.waitedShare)} more"
            notes.append(
                f"{which} was at {share}: these figures are the tester's, not"
                f" the server's; use {more}, or ask less."
            )
        waited = max(effort.waitedShare for effort in efforts)
        if waited >= HELD_UP:
            notes.append(
                f"The tester waited for a core for {percent(waited)} of the time, as other programs"
                f" of this machine had them all ({coresOf()} cores): latencies are longer by"
                " that. Run it on another machine than the server."
            )
        lag = max(effort.lag for effort in efforts)
        if lag >= LAG:
            notes.append(
                f"One in a hundred of the tester's timers was {seconds(lag)} late, or more: so may"
                " be what it measured."
            )
        return notes

    def _serverNotes(self) -> list[str]:
        notes = []
        if self.plan.isOpen and self.results.seconds:
            kept = self.rate / self.plan.rate
            if kept < KEPT_UP:
                turns = " Requests wait for their users' turns." if self.plan.takesTurns else ""
                notes.append(f"Of the schedule, {percent(kept)} was answered in time.{turns}")
        if unsent := self.results.counts["unsent"]:
            notes.append(
                f"{unsent:,} requests of the schedule were never asked, as the tester did not keep"
                " up: no latency has them."
            )
        silent = sum(self.results.counts[name] for name in _SILENT)
        if silent:
            notes.append(f"No latency has the {silent:,} requests that failed or have no answer.")
        if lost := self.results.counts["lost"]:
            notes.append(f"{lost:,} connections were lost that the tester did not cut.")
        if self.isEarly:
            notes.append("It was ended early.")
        return notes

    def document(self) -> dict[str, Any]:
        """Give all of it as what JSON can say. Times are in seconds; there is no secret in it."""
        results = self.results
        return {
            "began": self.began,
            "status": int(self.status),
            "verdict": self.verdict,
            "method": self.method,
            "notes": self.notes,
            "options": optionsOf(self.plan, self.processes),
            "requests": {
                "measuredSeconds": results.seconds,
                "perSecond": self.rate,
                **{
                    name: results.counts[name]
                    for name in ("asked", "answered", "right", "inTime", "unsent", *TROUBLES)
                },
            },
            "connections": {
                "loginsPerSecond": self.loginRate,
                **{
                    name: results.counts[name]
                    for name in (
                        *("logins", "cuts", "lost", "back", "turns"),
                        *("away", "ended", "never"),
                    )
                },
            },
            "latency": {name: summary(each) for name, each in results.latencies.items()},
            "failedAttempts": dict(results.reasons),
            "examples": [asdict(example) for example in results.examples],
            "tester": [
                {**asdict(effort), "share": effort.share, "waitedShare": effort.waitedShare}
                for effort in results.efforts
            ],
            "serverCpuShare": self.serverCpu,
            "machine": dict(self.machine),
            "timeline": self._timeline(),
        }

    def _timeline(self) -> dict[str, Any]:
        moments = []
        for number, moment in enumerate(self.results.moments):
            levels = {f"{latencyOf(level):g}": n for level, n in sorted(moment.levels.items())}
            fields = {**moment.encode(), "levels": levels}
            moments.append({"at": number * self.results.interval, **fields})
        return {"interval": self.results.interval, "moments": moments}


def _turnsOf(plan: Plan) -> str:
    asks = "" if plan.isOpen else "asks nothing new, and "
    return (
        f"Of {plan.users:,} users {plan.connections:,} are connected at a time, for {plan.turn:g} s"
        f" each or until somebody waits. Who is away {asks}is answered in the next turn."
    )


def summary(latencies: Latencies) -> dict[str, float]:
    """Sum latencies up, in seconds."""
    percentiles = {f"p{each:g}": latencies.percentile(each) for each in PERCENTILES}
    return {
        "count": latencies.count,
        "mean": latencies.mean,
        **percentiles,
        "max": latencies.max,
    }
