"""
Which faults a network has, drawn at random from a seed. Pure.

Half of them come with the connection: it will be cut at this byte, or dripping from the start. The
others strike at a moment, and often everybody.
"""

from __future__ import annotations

from enum import Enum
from random import Random
from typing import TypeAlias

from attrs import frozen

_MOST_BYTES = 60_000
"""Bytes that a connection carries one way until its fault; as often below a tenth as above."""


class Direction(Enum):
    """Which way bytes go."""

    UP = "to the server"
    DOWN = "to the client"


class CutHow(Enum):
    """What the ends of a connection see of a cut."""

    RESET = "reset"
    """RST: what is on its way may be lost."""
    END = "end"
    """FIN: what has been passed on arrives."""
    HALF = "half-close"
    """FIN one way; the other way goes on until the end that saw it closes."""


@frozen
class Cut:
    """
    How a connection is cut.

    @ivar first: the way that is cut at once: UP is the server's end, DOWN the client's.
    @ivar lag: seconds until the other end sees anything; 0: it does at once.
    """

    how: CutHow
    first: Direction
    lag: float


@frozen
class Stall:
    """Nothing passes these ways for so many seconds, and nothing is lost."""

    ways: tuple[Direction, ...]
    seconds: float


@frozen
class Overtaking:
    """
    A client's last bytes arrive when its next connection is up (H4).

    What it sends is held back for so many seconds; after a third of them its end is reset, and the
    server's end as late again.
    """

    seconds: float


Fault: TypeAlias = Cut | Stall | Overtaking


@frozen
class Trigger:
    """Something happens to a connection when it has carried so many bytes one way."""

    way: Direction
    after: int
    what: Fault


@frozen
class Plan:
    """
    What one connection will suffer.

    @ivar triggers: what happens at some byte, at most one for each way.
    @ivar delays: seconds that bytes take, by the way they go; 0 where it is not in there.
    @ivar drips: the ways in which writes are split into single bytes.
    @ivar lifetime: seconds until it is cut with C{cut}, if it lasts as long; None: for ever.
    """

    triggers: tuple[Trigger, ...] = ()
    delays: tuple[tuple[Direction, float], ...] = ()
    drips: tuple[Direction, ...] = ()
    lifetime: float | None = None
    cut: Cut = Cut(CutHow.RESET, Direction.UP, 0.0)


CALM = Plan()
"""A connection that works."""


class Faults:
    """A source of faults."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def plan(self) -> Plan:
        """Draw what a new connection will suffer."""
        chance = self._random.random
        triggers: list[Trigger] = []
        for way in Direction:
            kind = chance()
            if kind < 0.4:
                triggers.append(Trigger(way, self._bytes(), self.cut()))
            elif kind < 0.5:
                triggers.append(Trigger(way, self._bytes(), self.stall()))
            elif kind < 0.65:
                overtaking = Overtaking(self._random.uniform(0.2, 3.0))
                triggers.append(Trigger(way, self._bytes(), overtaking))
        delays = [(way, self._random.uniform(0.001, 0.15)) for way in Direction if chance() < 0.1]
        drips = [way for way in Direction if chance() < 0.1]
        lifetime = self._random.expovariate(1 / 10)
        return Plan(tuple(triggers), tuple(delays), tuple(drips), lifetime, self.cut())

    def cut(self) -> Cut:
        """Draw a cut."""
        how = self._random.choices(tuple(CutHow), (5, 3, 2))[0]
        lag = self._random.choices((0.0, self._random.uniform(0.05, 4.0)), (3, 2))[0]
        return Cut(how, self._way(), lag)

    def stall(self) -> Stall:
        """Draw a stall."""
        ways = tuple(Direction) if self._random.random() < 0.5 else (self._way(),)
        return Stall(ways, self._random.uniform(0.1, 3.0))

    def isHit(self, share: float) -> bool:
        """Draw whether one of many is hit, where such a share is."""
        return self._random.random() < share

    def _way(self) -> Direction:
        return self._random.choice(tuple(Direction))

    def _bytes(self) -> int:
        # Evenly over the magnitudes, so that the handshake is hit as well.
        return int(_MOST_BYTES ** self._random.random())
