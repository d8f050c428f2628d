"""
Fuzz for as long as told, or replay what was found.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import sys
from collections.abc import Sequence
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

_INTERRUPTED = 130
"""The exit status of what Ctrl-C has ended, as shells have it."""


@implementer(ILogObserver)
class _Nowhere:
    """Writes nothing."""

    def __call__(self, event: LogEvent) -> None:
        pass


def silence() -> None:
    """Have nothing of what is logged written anywhere."""
    globalLogBeginner.beginLoggingTo([_Nowhere()], redirectStandardIO=False)


def main() -> int:
    """
    Do as the command line says.

    @return: the exit status: 1 where something was found.
    """
    options = parse()
    silence()
    # What is there now stays there: looking for garbage is not to look at it each time.
    gc.freeze()
    targets = [TARGETS[name] for name in options.targets or TARGETS]
    try:
        if options.replay is not None:
            return replay(targets, options.replay)
        if options.curate:
            return _curate(targets, options.working)
    except KeyboardInterrupt:
        print("Interrupted.")
        return _INTERRUPTED
    return fuzzAll(targets, options)


def fuzzAll(targets: Sequence[Target], options: argparse.Namespace) -> int:
    """Fuzz one target after the other, and say what was found; give the exit status."""
    isGuided = guided.isInstalled() if options.engine == "auto" else options.engine == "atheris"
    print(f"Engine: {'atheris' if isGuided else 'own'}. Seed: {options.seed}.", flush=True)
    found: list[Path] = []
    try:
        for target in targets:
            share = options.seconds / len(targets)
            folders = (corpus.KEPT, options.working)
            if isGuided:
                outcome = guided.fuzz(
                    target.name, folders[:1], share, options.seed, options.working
                )
            else:
                plays = corpus.load(target, *folders)
                outcome = engine.fuzz(target, plays, share, options.seed, options.working)
            _report(target, outcome, options, found)
    except KeyboardInterrupt:
        print(f"Interrupted at {target.name}; the seed is {options.seed}. {_sumUp(found)}")
        return _INTERRUPTED
    print(_sumUp(found))
    return 1 if found else 0


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """
    Read the command line.

    @raise SystemExit: it makes no sense, or what it needs is not there.
    """
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    add = parser.add_argument
    add("targets", nargs="*", help=f"of {', '.join(TARGETS)}; else all")
    add("--seconds", type=_seconds, default=60.0, help="for all targets together (60)")
    add("--seed", type=int, default=randrange(2**31), help="by default another each time")
    add(
        "--engine",
        choices=("auto", "atheris", "own"),
        default="auto",
        help="what makes plays: atheris, which pip install '.[fuzz]' installs; the loop of these"
        " tests' own; or atheris where it is installed (auto)",
    )
    add(
        "--working",
        type=Path,
        default=WORKING,
        help="the folder for plays that reach new lines, and for what is found; it is made"
        f" where it is missing ({WORKING})",
    )
    add(
        "--replay",
        type=_file,
        metavar="FILE",
        help="run the play in this file, and nothing else; name its target, unless the file is"
        " named after it",
    )
    add(
        "--curate",
        action="store_true",
        help="fuzz nothing, but choose anew, from the plays of the tree and the working folder,"
        " those that the tree keeps: this changes tests/fuzz/corpus",
    )
    add("--verbose", action="store_true", help="list the lines that no play has reached")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}; there are: {', '.join(TARGETS)}")
    if options.replay is None and not options.curate:
        if options.engine == "atheris" and not guided.isInstalled():
            parser.error("atheris is not installed: pip install '.[fuzz]', or use --engine own")
        try:
            options.working.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"--working: {error.strerror}: {options.working}")
        if not os.access(options.working, os.W_OK | os.X_OK):
            parser.error(f"--working: nothing can be written to {options.working}")
    return options


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds


def _file(text: str) -> Path:
    try:
        open(text, "rb").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{error.strerror}: {text}") from None
    return Path(text)


def replay(targets: Sequence[Target], path: Path) -> int:
    """Run the play in a file, and say what came of it; give the exit status."""
    if len(targets) != 1:
        byName = [target for target in targets if path.name.startswith(target.name + "-")]
        if len(byName) != 1:
            print("Name the target that the play is for.", file=sys.stderr)
            return 2
        targets = byName
    (target,) = targets
    play = target.grammar.read(path.read_bytes())
    if not play:
        print(f"Warning: no line of {path} is an action of {target.name}.", file=sys.stderr)
    found = findIn(target, play)
    if found is not None:
        print(f"FOUND in {target.name}: {found}")
        return 1
    print(f"Played {len(play)} action{'s' * (len(play) != 1)}; nothing is wrong.")
    return 0


def _report(
    target: Target, outcome: Outcome, options: argparse.Namespace, found: list[Path]
) -> None:
    """Print what came of a target; add the file of what was found, if anything was."""
    working: Path = options.working
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
        if options.verbose:
            for module, lines in reached.missing().items():
                print(f"    not in {module}: {', '.join(map(str, lines))}")
        return
    play, what = outcome.broken
    try:
        if findIn(target, play) is not None:
            play = minimise(target, play)
            what = findIn(target, play) or what
    finally:
        # Also where somebody would not wait until it is short.
        path = save(target, play, what, working)
        found.append(path)
        print(f"FOUND in {target.name}: {what}")
        print(target.grammar.write(play).decode(), end="")
        print(f"Written to {path}. Again: python -m tests.fuzz {target.name} --replay {path}")


def _sumUp(found: Sequence[Path]) -> str:
    if not found:
        return "Nothing was found."
    return f"Found, {len(found)} in all: {', '.join(map(str, found))}."


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
