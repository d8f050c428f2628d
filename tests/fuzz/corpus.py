"""
The plays that are kept: C{corpus/TARGET/} in the tree, and a working folder beside it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from tests.fuzz.crashes import limited
from tests.fuzz.plays import Play
from tests.fuzz.reached import Line, Reached
from tests.fuzz.stages import Target
from tests.fuzz.watching import Broken

KEPT = Path(__file__).resolve().parent / "corpus"
"""What the tree has: a folder a target."""

SUFFIX = ".play"


_MADE = re.compile(r"[0-9a-f]{12}\.play")


def load(target: Target, *folders: Path) -> list[Play]:
    """Read the plays of a target, each once, in an order that is always the same."""
    plays: dict[Play, None] = {}
    for folder in folders:
        for name in (target.name, *target.related):
            for path in sorted((folder / name).glob("*")):
                plays[target.grammar.read(path.read_bytes())] = None
    plays.pop((), None)
    return list(plays)


def add(target: Target, play: Play, folder: Path) -> Path:
    """Keep a play, under a name that is its own."""
    text = target.grammar.write(play)
    path = folder / target.name / (hashlib.sha256(text).hexdigest()[:12] + SUFFIX)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return path


def replace(target: Target, plays: Iterable[Play], folder: Path) -> None:
    """Keep these plays, in place of those that were found; those that have a name stay."""
    for path in (folder / target.name).glob("*"):
        if _MADE.fullmatch(path.name):
            path.unlink()
    for play in plays:
        add(target, play, folder)


def reach(target: Target, plays: Iterable[Play]) -> Reached:
    """
    Tell what plays reach together.

    @raise Broken: one of them breaks something.
    """
    reached = Reached(target.modules)
    for play in plays:
        with limited(), reached.watching():
            target.run(play)
    return reached


def firstBroken(target: Target, plays: Iterable[Play]) -> tuple[Play, str] | None:
    """Give the first play that breaks something, and what; None where none does."""
    for play in plays:
        try:
            with limited():
                target.run(play)
        except Broken as broken:
            return play, str(broken)
    return None


def choose(target: Target, plays: Iterable[Play], folder: Path) -> list[Play]:
    """
    Choose a few plays that reach together what all do, short ones first, and leave out of each
    what it does not need for that.

    @param folder: the plays there that have a name, or are a related target's, are kept anyway.
    """
    chosen: list[Play] = []
    kept = [
        target.grammar.read(path.read_bytes())
        for name in (target.name, *target.related)
        for path in sorted((folder / name).glob("*"))
        if name != target.name or not _MADE.fullmatch(path.name)
    ]
    # What the surroundings do by themselves is nobody's merit.
    reached = reach(target, [(), *kept]).lines
    for play in sorted(plays, key=lambda play: len(target.grammar.write(play))):
        fresh = _reachedBy(target, play) - reached
        if fresh:
            play = _shortened(target, play, fresh)
            reached |= _reachedBy(target, play)
            chosen.append(play)
    return chosen


def _reachedBy(target: Target, play: Play) -> set[Line]:
    return reach(target, [play]).lines


def _shortened(target: Target, play: Play, needed: set[Line]) -> Play:
    place = 0
    while place < len(play):
        shorter = play[:place] + play[place + 1 :]
        if needed <= _reachedBy(target, shorter):
            play = shorter
        else:
            place += 1
    return play
