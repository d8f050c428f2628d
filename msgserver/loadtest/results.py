"""
What has happened: of one process, and then of all.
"""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest
from typing import Any

from attrs import asdict, define, field, frozen

from msgserver.loadtest.effort import Effort
from msgserver.loadtest.latencies import Latencies

MAX_EXAMPLES = 3
"""How many examples there are of each kind of trouble."""

_SHOWN = 100
"""How many bytes of a request or an answer an example shows."""

_PER_OCTAVE = 4

LATENCIES = ("all", "steady", "cut", "turn", "login", "back", "pause", "late")
"""
What durations are kept of: C{all} requests; those whose connection was there from first to last,
C{steady}; those whose user waited for a C{turn} meanwhile, as connections are fewer than users; and
the others, C{cut}; logins; from the loss of a connection until the user was C{back} in the same
turn, and from one turn to the next, C{pause}; and by how much requests were sent too late, by the
tester's own fault.
"""

TROUBLES = ("wrong", "failed", "doubled", "missing", "unknown", "refused")
"""
What may become of a request but its answer: a C{wrong} one; the handler C{failed}, flag 0; a
second answer, or one that nobody asked for, C{doubled}; none at all, C{missing}; its login ended
before, C{unknown}; the client took it not, C{refused}, as too many waited.
"""


def levelOf(seconds: float) -> int:
    """Give the number of the level that a latency is on; there are four to each doubling."""
    micros = max(4, int(seconds * 1_000_000))
    octave = micros.bit_length() - 3
    return octave * _PER_OCTAVE + (micros >> octave) - 4


def latencyOf(level: int) -> float:
    """Give the least latency of a level, in seconds."""
    octave, step = divmod(level, _PER_OCTAVE)
    return ((4 + step) << octave) / 1_000_000


@frozen
class Example:
    """
    One case of trouble.

    @ivar kind: one of L{TROUBLES}.
    @ivar asked: the request, as Python writes it; empty where it is not known.
    @ivar told: what came instead of its answer.
    """

    kind: str
    user: str
    number: int
    asked: str
    told: str


def shown(content: bytes) -> str:
    """Write the beginning of some bytes so that any terminal takes it."""
    more = f"... ({len(content):,} bytes)" if len(content) > _SHOWN else ""
    return repr(content[:_SHOWN])[1:] + more


@define
class Moment:
    """
    What happened in one interval.

    @ivar answers: how many answers came; those measured and those not.
    @ivar cuts: how many connections were cut by the tester.
    @ivar lost: how many were lost otherwise.
    @ivar turns: how many were given up, as a turn was over.
    @ivar connected: how many users had a connection at its end.
    @ivar levels: how many answers there were of each level of latency: see L{levelOf}.
    """

    answers: int = 0
    troubles: int = 0
    cuts: int = 0
    lost: int = 0
    turns: int = 0
    connected: int = 0
    levels: Counter[int] = field(factory=Counter, converter=Counter)

    def add(self, other: Moment) -> None:
        """Add another process's."""
        self.answers += other.answers
        self.troubles += other.troubles
        self.cuts += other.cuts
        self.lost += other.lost
        self.turns += other.turns
        self.connected += other.connected
        self.levels.update(other.levels)

    def encode(self) -> dict[str, Any]:
        """Write it as what JSON can say."""
        return {
            "answers": self.answers,
            "troubles": self.troubles,
            "cuts": self.cuts,
            "lost": self.lost,
            "turns": self.turns,
            "connected": self.connected,
            "levels": dict(self.levels),
        }

    @classmethod
    def decode(cls, document: dict[str, Any]) -> Moment:
        """Read what L{encode} writes, or JSON has made of it."""
        levels = {int(level): count for level, count in document["levels"].items()}
        return cls(**{**document, "levels": levels})


def _noLatencies() -> dict[str, Latencies]:
    return {name: Latencies() for name in LATENCIES}


@define
class Results:
    """
    What has happened in a process.

    @ivar interval: the seconds of each of C{moments}.
    @ivar counts: how often: C{asked} and C{answered}, all in all; C{right} answers; C{inTime},
        those that came in the time that is measured; the L{TROUBLES}; C{logins}; C{came}, users
        who have logged in; C{cuts} by the tester, connections C{lost} otherwise; users C{back}
        after that, and C{away} at the end; C{turns} that were over; C{ended}, users of whom the
        server wanted no more; C{never}, users who never had a connection.
    @ivar reasons: how often each reason was given for a failed attempt to connect or to log in.
    @ivar latencies: by L{LATENCIES}.
    @ivar moments: from the start.
    @ivar seconds: how long was measured.
    @ivar lastLogin: when the last of all users had logged in, in seconds since the start.
    @ivar efforts: what each process of the tester took.
    """

    interval: float
    counts: Counter[str] = field(factory=Counter, converter=Counter)
    reasons: Counter[str] = field(factory=Counter, converter=Counter)
    latencies: dict[str, Latencies] = field(factory=_noLatencies)
    moments: list[Moment] = field(factory=list)
    examples: list[Example] = field(factory=list)
    seconds: float = 0.0
    lastLogin: float = 0.0
    efforts: list[Effort] = field(factory=list)

    def moment(self, time: float) -> Moment:
        """Give the interval of a time, in seconds since the start."""
        index = int(time / self.interval)
        while len(self.moments) <= index:
            last = self.moments[-1].connected if self.moments else 0
            self.moments.append(Moment(connected=last))
        return self.moments[index]

    def trouble(self, example: Example, time: float) -> None:
        """Count a case of trouble, and keep it if it is among the first."""
        self.counts[example.kind] += 1
        self.moment(time).troubles += 1
        self._keep(example)

    def add(self, other: Results) -> None:
        """Add another process's."""
        self.counts.update(other.counts)
        self.reasons.update(other.reasons)
        for name, latencies in self.latencies.items():
            latencies.add(other.latencies[name])
        self._align(other)
        others = other.moments
        # Where nothing happens any more, there are as many connections as there were.
        last = Moment(connected=others[-1].connected if others else 0)
        for mine, theirs in zip_longest(self.moments, others, fillvalue=last):
            mine.add(theirs)
        for example in other.examples:
            self._keep(example)
        self.seconds = max(self.seconds, other.seconds)
        self.lastLogin = max(self.lastLogin, other.lastLogin)
        self.efforts += other.efforts

    def _align(self, other: Results) -> None:
        """Have as many moments as the other, at least."""
        if other.moments:
            self.moment((len(other.moments) - 0.5) * self.interval)

    def _keep(self, example: Example) -> None:
        if sum(each.kind == example.kind for each in self.examples) < MAX_EXAMPLES:
            self.examples.append(example)

    def encode(self) -> dict[str, Any]:
        """Write it as what JSON can say."""
        return {
            "interval": self.interval,
            "counts": dict(self.counts),
            "reasons": dict(self.reasons),
            "latencies": {name: each.encode() for name, each in self.latencies.items()},
            "moments": [moment.encode() for moment in self.moments],
            "examples": [
                [each.kind, each.user, each.number, each.asked, each.told] for each in self.examples
            ],
            "seconds": self.seconds,
            "lastLogin": self.lastLogin,
            "efforts": [asdict(effort) for effort in self.efforts],
        }

    @classmethod
    def decode(cls, document: dict[str, Any]) -> Results:
        """Read what L{encode} writes."""
        return cls(
            document["interval"],
            document["counts"],
            document["reasons"],
            {name: Latencies(text) for name, text in document["latencies"].items()},
            [Moment.decode(each) for each in document["moments"]],
            [Example(*each) for each in document["examples"]],
            document["seconds"],
            document["lastLogin"],
            [Effort(**each) for each in document["efforts"]],
        )
