"""
Playing worlds, one seed after the other; and making a history that shows a fault short.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from random import Random

from attrs import frozen

from tests.simulation.ending import Simulation
from tests.simulation.parts import Violation
from tests.simulation.transitions import Reached
from tests.simulation.world import STEPS, TROUBLES, Step

STEPS_IN_WORLD = 800
"""The steps of a world before it is ended."""

_NAMES = {name.replace(" ", "-"): name for name in (*STEPS, *TROUBLES)}


@frozen
class Found:
    """
    An invariant that did not hold.

    @ivar history: what shows it, in the world of the seed.
    @ivar isHealed: whether that world was healed before it was ended.
    @ivar isAtEnd: whether it takes the end to show it.
    """

    seed: int
    history: Sequence[Step]
    isHealed: bool
    isAtEnd: bool
    violation: Violation

    def options(self) -> str:
        """Write the options of the command that shows it again."""
        history = " ".join(map(str, self.history))
        option = "" if self.isHealed else " --unhealed"
        return f"--seed {self.seed}{option} --history '{history}'"


def readHistory(text: str) -> list[Step]:
    """
    Read a history as L{Found.options} writes it.

    @raise ValueError: it is none.
    """
    history = []
    for word in text.split():
        match = re.fullmatch(r"([a-z-]+):(\d+):(\d+)", word)
        if match is None or match[1] not in _NAMES:
            raise ValueError(f"{word} is no step")
        history.append(Step(_NAMES[match[1]], int(match[2]), int(match[3])))
    if not history:
        raise ValueError("there is no step in it")
    return history


def isHealed(seed: int) -> bool:
    """Say whether the world of a seed is healed before it is ended: two in three are."""
    return seed % 3 != 0


def playSeed(seed: int, steps: int, reached: Reached) -> tuple[int, Found | None]:
    """
    Play a world to its end.

    @return: how many steps were taken; and what did not hold.
    """
    world = Simulation(seed, reached, None)
    world.play(Random(f"play {seed}"), steps)
    taken, isAtEnd = len(world.history), world.failure is None
    world.finish(isHealed(seed))
    if world.failure is None:
        return taken, None
    return taken, Found(seed, world.history[:taken], isHealed(seed), isAtEnd, world.failure)


def playHistory(
    seed: int,
    history: Iterable[Step],
    isHealed: bool,
    isToEnd: bool = True,
    tell: Callable[[str], None] | None = None,
) -> Found | None:
    """
    Play a history in the world of a seed.

    @param isToEnd: play the end, too.
    """
    world = Simulation(seed, Reached(), tell)
    taken: list[Step] = []
    for number, step in enumerate(history):
        if tell is not None:
            tell(f"{number + 1:4} {step}")
        before = len(world.history)
        world.take(step)
        taken += world.history[before:]
        if world.failure is not None:
            break
    isAtEnd = world.failure is None
    if isAtEnd and isToEnd and tell is not None:
        tell("     the end")
    world.finish(isHealed, isToEnd)
    if world.failure is None:
        return None
    return Found(seed, taken, isHealed, isAtEnd, world.failure)


def tellWorld(seed: int, steps: int, tell: Callable[[str], None]) -> None:
    """Play a world as L{playSeed} does, and tell of all that happens in it."""
    world = Simulation(seed, Reached(), tell)
    world.play(Random(f"play {seed}"), steps)
    for step in world.history:
        tell(str(step))
    world.finish(isHealed(seed))


def shrink(found: Found, tries: int = 2_000) -> Found:
    """
    Make a history shorter, and its numbers smaller, while it breaks the same rule likewise.

    @param tries: how many histories are played at most.
    """
    left = tries

    def attempt(history: Sequence[Step]) -> bool:
        nonlocal found, left
        left -= 1
        other = playHistory(found.seed, history, found.isHealed, found.isAtEnd)
        if other is None or other.violation.kind != found.violation.kind:
            return False
        found = other
        return True

    # Away with parts of it, the large ones first.
    size = len(found.history) // 2
    while size and left > 0:
        start = 0
        while start < len(found.history) and left > 0:
            before = found.history
            if not attempt([*before[:start], *before[start + size :]]):
                start += size
        size = min(size, len(found.history)) // 2 if size > 1 else 0
    # Then each number as small as may be.
    number = 0
    while number < len(found.history) and left > 0:
        step = found.history[number]
        for smaller in (Step(step.name, 0, 0), Step(step.name, step.x % 8, step.y % 64)):
            if smaller == step:
                break
            if attempt([*found.history[:number], smaller, *found.history[number + 1 :]]):
                break
        number += 1
    return found
