"""
The loop of atheris (libFuzzer for Python), guided by what each play reaches.

It runs as a process of its own, since libFuzzer never gives a process back:
C{python -m tests.fuzz.guided TARGET FOUND SECONDS SEED CORPUS…}. atheris has no types, and is
not installed everywhere; this is the one file that knows it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.crashes import LONGEST
from tests.fuzz.engine import Outcome
from tests.fuzz.plays import MAX_DATA

_FOUND = 77
"""The exit status of a process that has found something."""

_MOST_BYTES = 4096
"""The longest play, in bytes as text."""

_BLIND = 0.1
"""How many of the changes are libFuzzer's own, of bytes, that know nothing of plays."""

_EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)|^#(\d+)\t", re.MULTILINE)


def isInstalled() -> bool:
    """Whether atheris is there."""
    return importlib.util.find_spec("atheris") is not None


def fuzz(name: str, kept: Sequence[Path], seconds: float, seed: int, folder: Path) -> Outcome:
    """
    Run plays until the time is up or something breaks, in a process.

    @param name: the target's.
    @param kept: folders of plays to begin with.
    @param folder: where plays go that reach something for the first time.
    """
    from tests.fuzz.targets import TARGETS

    working = folder / name
    working.mkdir(parents=True, exist_ok=True)
    before = len(list(working.iterdir()))
    found = folder / f"{name}.found"
    found.unlink(missing_ok=True)
    arguments = [name, str(found), f"{max(1, round(seconds))}", str(seed), str(working)]
    names = (name, *TARGETS[name].related)
    known = [each / one for each in (*kept, folder) for one in names]
    arguments += [str(each) for each in known if each.is_dir() and each != working]
    begin = time.monotonic()
    process = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    counts = [int(match[0] or match[1]) for match in _EXECUTED.findall(process.stderr)]
    outcome = Outcome(
        "atheris",
        counts[-1] if counts else 0,
        time.monotonic() - begin,
        len(list(working.iterdir())) - before,
    )
    if found.exists():
        play = TARGETS[name].grammar.read(found.read_bytes())
        outcome.broken = play, "found by atheris"
        found.unlink()
    elif slow := sorted(folder.glob(f"{found.name}-*")):
        # What libFuzzer itself ends for: a play that hangs, or takes all memory.
        outcome.broken = TARGETS[name].grammar.read(slow[0].read_bytes()), slow[0].name
    elif process.returncode:
        raise RuntimeError(f"atheris ended with {process.returncode}:\n{process.stderr[-3000:]}")
    return outcome


def main() -> None:
    """Be that process; it ends when the time is up."""
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    name, found, seconds, seed, *folders = sys.argv[1:]
    with atheris.instrument_imports(include=["msgserver"]):
        from tests.fuzz.targets import TARGETS
    from tests.fuzz.__main__ import silence
    from tests.fuzz.mutation import makePlay, mutate
    from tests.fuzz.watching import Broken

    silence()
    target = TARGETS[name]
    grammar = target.grammar

    def runOne(data: bytes) -> None:
        try:
            target.runText(data)
        except Broken:
            Path(found).write_bytes(data)
            os._exit(_FOUND)

    def change(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < _BLIND:
            blind: bytes = atheris.Mutate(data, most)
            return blind
        play = grammar.read(data)
        changed = mutate(grammar, play, random) if play else makePlay(grammar, random)
        return grammar.write(changed)[:most]

    def cross(data: bytes, other: bytes, most: int, seed: int) -> bytes:
        play = mutate(grammar, grammar.read(data), Random(seed), grammar.read(other))
        return grammar.write(play)[:most]

    options: list[Any] = [
        f"-max_total_time={seconds}",
        f"-seed={int(seed) + 1}",
        f"-timeout={LONGEST:.0f}",
        f"-max_len={min(_MOST_BYTES, MAX_DATA)}",
        "-print_final_stats=1",
        f"-artifact_prefix={found}-",
    ]
    atheris.Setup(
        [sys.argv[0], *options, *folders], runOne, custom_mutator=change, custom_crossover=cross
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
