"""
The loop that works everywhere: plays made anew, and those that reached something changed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from random import Random

from attrs import define

from tests.fuzz import corpus
from tests.fuzz.crashes import findIn, limited
from tests.fuzz.mutation import makePlay, mutate
from tests.fuzz.plays import Play
from tests.fuzz.reached import Reached
from tests.fuzz.stages import Target
from tests.fuzz.watching import Broken

_NEW = 0.3
"""How many of the plays are made anew."""

_WATCHED = 3
"""Every how many plays what they reach is looked at."""

_COLLECT = 50
"""How many plays are run between two looks at their garbage."""


@define
class Outcome:
    """
    What came of fuzzing one target.

    @ivar executions: the plays that were run.
    @ivar added: those that were added to the working corpus.
    @ivar broken: the play that broke something, and what it was.
    """

    engine: str
    executions: int
    seconds: float
    added: int
    broken: tuple[Play, str] | None = None


def fuzz(target: Target, plays: Iterable[Play], seconds: float, seed: int, folder: Path) -> Outcome:
    """
    Run plays until the time is up or something breaks.

    @param plays: what to begin with.
    @param folder: where plays go that reach a line for the first time.
    """
    random = Random(seed)
    reached = Reached(target.modules)
    pool: list[Play] = []
    begin = time.monotonic()
    outcome = Outcome("own", 0, 0.0, 0)
    first = list(plays)
    recent: list[Play] = []
    while (elapsed := time.monotonic() - begin) < seconds or first:
        outcome.seconds = elapsed
        isNew = not first
        if first:
            play = first.pop()
        elif not pool or random.random() < _NEW:
            play = makePlay(target.grammar, random)
        else:
            play = mutate(target.grammar, random.choice(pool), random, random.choice(pool))
        outcome.executions += 1
        before = len(reached.lines)
        try:
            # Watching costs more than the play does, once there is little left to see.
            isWatched = not isNew or outcome.executions % _WATCHED == 0
            with limited(), reached.watching() if isWatched else nullcontext():
                target.run(play)
        except Broken as broken:
            outcome.broken = play, str(broken)
            return outcome
        recent.append(play)
        if len(recent) == _COLLECT:
            outcome.broken = _collect(target, recent)
            if outcome.broken is not None:
                return outcome
            recent.clear()
        if len(reached.lines) > before or not isNew:
            pool.append(play)
            if isNew:
                outcome.added += 1
                corpus.add(target, play, folder)
    outcome.seconds = time.monotonic() - begin
    return outcome


def _collect(target: Target, plays: list[Play]) -> tuple[Play, str] | None:
    """Have the garbage of plays say what is wrong, and find out whose it was."""
    if findIn(target, ()) is None:
        return None
    for play in plays:
        found = findIn(target, play)
        if found is not None:
            return play, found
    return None
