"""
What a load test does, as a value that can be handed to another process.
"""

from __future__ import annotations

import os
from typing import Any

from attrs import asdict, evolve, field, frozen

from msgserver.clientlogin import MAX_UNANSWERED

MAX_USERS = 100_000
"""How many users there may be, in all processes."""

_COLUMNS = 120
"""How many intervals a run is divided into, at most."""

_INTERVALS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


def _pair(values: Any) -> Any:
    # JSON has no tuples, and a list is no frozen value.
    return tuple(values)


@frozen
class Target:
    """
    Where to log in, and as whom. It is handed on by a pipe, and never shown.

    @ivar login: the login server: C{host:port}, C{[IPv6 address]:port} or C{unix:/path}.
    @ivar gate: the gate, in the same form, where logins do not tell its address (L5).
    @ivar usesTLS: both of them speak TLS.
    @ivar authorities: the certificates that are trusted then, in PEM form; empty for the
        machine's.
    @ivar server: the login point that accounts are for.
    @ivar user: the name of a user, in which C{{n}} stands for the user's number, from 1.
    @ivar tokens: one token, in which C{{n}} and C{{user}} are replaced; or one for each user,
        from the first. Any bytes, as L{os.fsdecode} has them.
    @ivar isClassic: the login is made with the classic suite.
    @ivar identity: the public part of the server's identity key; empty for none.
    """

    login: str
    gate: str
    usesTLS: bool = False
    authorities: str = ""
    server: str = "sample"
    user: str = "user{n}"
    tokens: tuple[str, ...] = field(default=(), repr=False, converter=_pair)
    isClassic: bool = False
    identity: str = ""

    def nameOf(self, number: int) -> bytes:
        """Give the name of the user of a number; it is the uid as well."""
        return os.fsencode(self.user.replace("{n}", str(number)))

    def tokenOf(self, number: int) -> bytes:
        """Give the token of the user of a number."""
        token = os.fsencode(self.tokens[0 if len(self.tokens) == 1 else number - 1])
        name = self.nameOf(number)
        return token.replace(b"{n}", b"%d" % number).replace(b"{user}", name)


@frozen
class Plan:
    """
    What to do. Times are in seconds.

    @ivar first: the number of the first user of this process.
    @ivar users: how many there are.
    @ivar connections: how many of them are connected at a time, 1 to C{users}; by default, all.
    @ivar turn: how long a user is connected until the next one is, where not all are.
    @ivar inFlight: how many requests each user has under way in a closed loop.
    @ivar rate: requests a second of all users, in an open loop; 0 for a closed loop.
    @ivar phase: by which share of the distance of two requests an open loop's schedule is later.
    @ivar think: the least and the most time between an answer and the next request.
    @ivar size: the least and the most bytes of a request.
    @ivar template: what a request is made of; see L{msgserver.loadtest.dialogue}.
    @ivar expect: what its answer must be.
    @ivar cuts: the share of the connections that is cut each second, 0 to 1.
    @ivar ramp: how long it takes until the last user has come.
    @ivar duration: how long is measured, from then on.
    @ivar grace: how long answers may take when nothing is asked any more.
    @ivar seed: what chance is made of.
    """

    target: Target
    first: int = 1
    users: int = 100
    inFlight: int = 1
    rate: float = 0.0
    think: tuple[float, float] = field(default=(0.0, 0.0), converter=_pair)
    size: tuple[int, int] = field(default=(64, 64), converter=_pair)
    template: str = "{user}.{number} {filler}"
    expect: str = "echo"
    cuts: float = 0.0
    ramp: float = 1.0
    duration: float = 10.0
    grace: float = 10.0
    seed: int = 1
    connections: int = field()
    turn: float = 1.0
    phase: float = 0.0

    @connections.default
    def _connections(self) -> int:
        return self.users

    @property
    def isOpen(self) -> bool:
        """Whether requests are sent by a schedule, however long the answers take."""
        return self.rate > 0

    @property
    def takesTurns(self) -> bool:
        """Whether there are fewer connections than users."""
        return self.connections < self.users

    @property
    def maxUnanswered(self) -> int:
        """How many requests of a user are sent and unanswered at a time, at most (S7)."""
        return MAX_UNANSWERED

    @property
    def interval(self) -> float:
        """The seconds of one column of what is shown over time."""
        whole = self.ramp + self.duration + self.grace
        return next((each for each in _INTERVALS if whole / each <= _COLUMNS), _INTERVALS[-1])

    def shares(self, processes: int) -> list[Plan]:
        """
        Divide the users, the connections and the rate among processes.

        @param processes: 1 to C{connections}.
        """
        shares = []
        first = self.first
        for number in range(processes):
            users, connections = (
                whole // processes + (number < whole % processes)
                for whole in (self.users, self.connections)
            )
            share = evolve(
                self,
                first=first,
                users=users,
                connections=connections,
                rate=self.rate * users / self.users,
                # Else all processes would ask at the same times.
                phase=number / processes,
                # Each process has chances of its own.
                seed=self.seed + number * 1_000_003,
            )
            shares.append(share)
            first += users
        return shares

    def encode(self) -> dict[str, Any]:
        """Write it as what JSON can say; the tokens are in it."""
        return asdict(self)

    @classmethod
    def decode(cls, document: dict[str, Any]) -> Plan:
        """Read what L{encode} writes."""
        return cls(**{**document, "target": Target(**document["target"])})


def withTarget(plan: Plan, **changes: Any) -> Plan:
    """Give a plan with something of its target changed."""
    target: Target = evolve(plan.target, **changes)
    return evolve(plan, target=target)
