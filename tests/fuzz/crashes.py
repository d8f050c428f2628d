"""
What was found: the shortest play that shows it, and the file that it is written to.
"""

from __future__ import annotations

import hashlib
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.fuzz.plays import Action, Play
from tests.fuzz.stages import Target
from tests.fuzz.watching import Broken

LONGEST = 20.0
"""The seconds that a play may take; what takes longer hangs."""

_MOST_TRIES = 400
"""The plays that are tried in search of a shorter one."""


@contextmanager
def limited(seconds: float = LONGEST) -> Iterator[None]:
    """
    Put an end to a play that hangs, and to one that is interrupted.

    @raise Broken: it hangs.
    @raise KeyboardInterrupt: there was a Ctrl-C, whatever the play made of it.
    """
    isInterrupted = False

    def expired(number: int, frame: FrameType | None) -> None:
        raise Broken(f"a play hangs: it takes more than {seconds:g} seconds")

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal isInterrupted
        isInterrupted = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, expired)
    # Elsewhere somebody else sees to it.
    isOurs = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if isOurs:
        signal.signal(signal.SIGINT, interrupted)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if isOurs:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if isInterrupted:
            # A Deferred that was at work has taken it for an error of its callback.
            raise KeyboardInterrupt


def findIn(target: Target, play: Play) -> str | None:
    """Run a play; tell what was found, or None."""
    try:
        with limited():
            target.runCollecting(play)
    except Broken as broken:
        return str(broken)
    return None


def kindOf(found: str) -> str:
    """Tell what sort of find it is, so that a shorter play can be seen to show the same."""
    _, _, what = found.partition(": ")
    if what.startswith("an exception came out"):
        what = what.strip().splitlines()[-1]
    return re.sub(r"\b[0-9]+\w*|\W+", " ", what)[:30]


def minimise(target: Target, play: Play) -> Play:
    """Leave out of a play whatever it does not need to show what it shows."""
    found = findIn(target, play)
    assert found is not None
    kind = kindOf(found)
    tries = 0

    def shows(candidate: Play) -> bool:
        nonlocal tries
        tries += 1
        if tries > _MOST_TRIES:
            return False
        found = findIn(target, candidate)
        return found is not None and kindOf(found) == kind

    return _simplified(_without(play, shows), shows)


def _without(play: Play, shows: Callable[[Play], bool]) -> Play:
    size = max(len(play) // 2, 1)
    while True:
        start = 0
        while start < len(play):
            shorter = play[:start] + play[start + size :]
            if shows(shorter):
                play = shorter
            else:
                start += size
        if size == 1:
            return play
        size = max(size // 2, 1)


def _simplified(play: Play, shows: Callable[[Play], bool]) -> Play:
    for place, action in enumerate(play):
        for number, value in enumerate(action.values):
            if not isinstance(value, bytes) or len(value) < 2:
                continue
            for shorter in (b"", value[:1], value[: len(value) // 2], value[:-1]):
                values = action.values[:number] + (shorter,) + action.values[number + 1 :]
                candidate = play[:place] + (Action(action.verb, values),) + play[place + 1 :]
                if shows(candidate):
                    play, action = candidate, candidate[place]
                    break
    return play


def save(target: Target, play: Play, found: str, folder: Path) -> Path:
    """Write a find down: what it is, as comments, and the play."""
    text = target.grammar.write(play)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{target.name}-{hashlib.sha256(text).hexdigest()[:12]}.play"
    # No line of these is an action: none has a verb that begins so.
    comments = "".join(f"# {line}\n" for line in found.splitlines())
    path.write_bytes(comments.encode("utf-8", "replace") + text)
    return path
