"""
Fuzz for as long as told, or replay what was found.
"""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path
from random import randrange

from twisted.logger import ILogObserver, LogEvent, globalLogBeginner
from zope.interface import implementer

from tests.fuzz import corpus, engine, guided
from tests.fuzz.crashes import findIn, minimise, save
from tests.fuzz.engine import Outcome
from tests.fuzz.reached import Reached
from tests.fuzz.stages import Target
from tests.fuzz.targets import TARGETS

WORKING = Path(".fuzz")
"""Where what is new goes; git does not look at it."""


@implementer(ILogObserver)
class _Nowhere:
    """Writes nothing."""

    def __call__(self, event: LogEvent) -> None:
        pass


def silence() -> None:
    """Have nothing of what is logged written anywhere."""
    globalLogBeginner.beginLoggingTo([_Nowhere()], redirectStandardIO=False)


def main() -> int:
    """Do as the command line says; the exit status is 1 where something was found."""
    options = _parse()
    silence()
    # What is there now stays there: looking for garbage is not to look at it each time.
    gc.freeze()
    names = options.targets or list(TARGETS)
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        print(f"No such target: {', '.join(unknown)}. There are: {', '.join(TARGETS)}.")
        return 2
    targets = [TARGETS[name] for name in names]
    if options.replay is not None:
        return _replay(targets, options.replay)
    if options.curate:
        return _curate(targets, options.working)
    isGuided = guided.isInstalled() if options.engine == "auto" else options.engine == "atheris"
    print(f"Engine: {'atheris' if isGuided else 'own'}. Seed: {options.seed}.")
    found = 0
    for target in targets:
        share = options.seconds / len(targets)
        folders = (corpus.KEPT, options.working)
        if isGuided:
            outcome = guided.fuzz(target.name, folders[:1], share, options.seed, options.working)
        else:
            plays = corpus.load(target, *folders)
            outcome = engine.fuzz(target, plays, share, options.seed, options.working)
        found += _report(target, outcome, options.working)
    return 1 if found else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; else all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--seed", type=int, default=randrange(2**31), help="by default another")
    parser.add_argument("--engine", choices=("auto", "atheris", "own"), default="auto")
    parser.add_argument("--working", type=Path, default=WORKING, help="the folder of what is new")
    parser.add_argument("--replay", type=Path, help="run the play in this file; name its target")
    parser.add_argument(
        "--curate", action="store_true", help="choose anew which plays the tree keeps"
    )
    return parser.parse_args()


def _replay(targets: list[Target], path: Path) -> int:
    if len(targets) != 1:
        byName = [target for target in targets if path.name.startswith(target.name + "-")]
        if len(byName) != 1:
            print("Name the target that the play is for.")
            return 2
        targets = byName
    (target,) = targets
    found = findIn(target, target.grammar.read(path.read_bytes()))
    print(found or "Nothing is wrong.")
    return 1 if found else 0


def _report(target: Target, outcome: Outcome, working: Path) -> int:
    """Print what came of it; tell how much was found."""
    rate = outcome.executions / max(outcome.seconds, 0.001)
    print(
        f"{target.name}: {outcome.executions} plays in {outcome.seconds:.0f} s, {rate:.0f} a"
        f" second; {outcome.added} added to {working / target.name}"
    )
    if outcome.broken is None:
        plays = corpus.load(target, corpus.KEPT, working)
        outcome.broken = corpus.firstBroken(target, plays)
    if outcome.broken is None:
        reached = corpus.reach(target, plays)
        print(f"  reached {_share(reached)} of the lines of {len(target.modules)} modules")
        for module, lines in reached.missing().items():
            print(f"    not in {module}: {', '.join(map(str, lines))}")
        return 0
    play, found = outcome.broken
    if findIn(target, play) is not None:
        play = minimise(target, play)
        found = findIn(target, play) or found
    path = save(target, play, found, working)
    print(f"FOUND in {target.name}: {found}")
    print(target.grammar.write(play).decode(), end="")
    print(f"Written to {path}. Again: python -m tests.fuzz {target.name} --replay {path}")
    return 1


def _share(reached: Reached) -> str:
    count, all = len(reached.lines), len(reached.all)
    return f"{count} of {all} ({count / all:.1%})"


def _curate(targets: list[Target], working: Path) -> int:
    for target in targets:
        plays = corpus.load(target, corpus.KEPT, working)
        broken = corpus.firstBroken(target, plays)
        if broken is not None:
            print(f"A play of {target.name} breaks something: {broken[1]}")
            return 1
        chosen = corpus.choose(target, plays, corpus.KEPT)
        corpus.replace(target, chosen, corpus.KEPT)
        print(f"{target.name}: {len(chosen)} of {len(plays)} plays kept, beside those with a name")
    return 0


if __name__ == "__main__":
    sys.exit(main())
