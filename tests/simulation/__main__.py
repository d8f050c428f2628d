"""Search simulated networks for a broken promise; or play a history again."""

from __future__ import annotations

import argparse
import os
import sys
import time

from twisted.logger import globalLogBeginner

from tests.simulation.running import (
    STEPS_IN_WORLD,
    Found,
    playHistory,
    playSeed,
    readHistory,
    shrink,
    tellWorld,
)
from tests.simulation.transitions import Reached

_ENOUGH = 1_000_000
"""Steps that reach every situation, from any seed; a tenth most often does."""

_INTERRUPTED = 130
"""The exit status of what Ctrl-C has ended, as shells have it."""


def main(arguments: list[str] | None = None) -> int:
    """Do as the command line says, and give the exit status."""
    options = _parse(arguments)
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    if options.history is not None:
        return _replay(options)
    if options.tell:
        tellWorld(options.seed, min(options.world, options.steps), print)
        return 0
    reached = Reached()
    taken, seed, begun = 0, options.seed, time.monotonic()
    try:
        while taken < options.steps:
            count, found = playSeed(seed, min(options.world, options.steps - taken), reached)
            taken += count
            if found is not None:
                _tell(found, taken, not options.no_shrink)
                return 1
            seed += 1
    except KeyboardInterrupt:
        print(f"Interrupted after {taken:,} steps, in the world of seed {seed}.")
        return _INTERRUPTED
    _sumUp(reached, taken, seed - options.seed, time.monotonic() - begun)
    if options.coverage:
        print(reached.table())
    return _judge(reached, options.all_reached)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"{_python()} -m tests.simulation",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--steps", type=_positive, default=100_000, help="how many to take in all")
    add("--seed", type=_natural, default=0, help="the first world's; then one up")
    add("--world", type=_positive, default=STEPS_IN_WORLD, help="steps in a world")
    add("--history", help="play this in the world of --seed, and tell of it")
    add("--unhealed", action="store_true", help="with --history: end that world as it is")
    add("--coverage", action="store_true", help="list the situations, with how often each was")
    add("--all-reached", action="store_true", help="fail where a situation was never reached")
    add("--no-shrink", action="store_true", help="show a fault as it was found")
    add("--tell", action="store_true", help="tell all that happens in one world")
    options = parser.parse_args(arguments)
    if options.history is not None:
        try:
            options.history = readHistory(options.history)
        except ValueError as error:
            parser.error(f"--history: {error}")
    elif options.unhealed:
        parser.error("--unhealed says how a --history is to end, and there is none")
    return options


def _positive(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 10**12):
        raise argparse.ArgumentTypeError(f"{text} is no whole number of 1 or more")
    return int(text)


def _natural(text: str) -> int:
    if not (text.isdecimal() and int(text) < 10**12):
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 0 to 10**12 - 1")
    return int(text)


def _python() -> str:
    """Name this interpreter as a shell in this folder would."""
    path = os.path.relpath(sys.executable)
    return sys.executable if path.startswith("..") else path


def _sumUp(reached: Reached, taken: int, worlds: int, seconds: float) -> None:
    unreached = len(reached.unreached())
    each = "world" if worlds == 1 else "worlds"
    print(f"{taken:,} steps in {worlds:,} {each} held every invariant, in", end=" ")
    print(f"{seconds:.1f} seconds ({seconds / taken * 1e6:.0f} microseconds a step).")
    situations = len(reached.counts) + unreached
    print(f"{len(reached.counts)} situations of {situations} reached.")


def _judge(reached: Reached, mustAll: bool) -> int:
    unreached = reached.unreached()
    if unreached:
        print("\nNever reached:")
        print("\n".join(f"  {name}" for name in unreached))
    if not unreached or not mustAll:
        return 0
    print("No invariant was broken. But of what was never reached nothing is known, so this")
    print(f"counts as a failure. Take more steps: {_ENOUGH:,} reach everything.")
    return 1


def _replay(options: argparse.Namespace) -> int:
    found = playHistory(options.seed, options.history, not options.unhealed, tell=print)
    if found is None:
        print(f"{len(options.history)} steps, and the end, held every invariant.")
        return 0
    print(f"VIOLATION {found.violation}")
    return 1


def _tell(found: Found, taken: int, isShrunk: bool) -> None:
    print(f"VIOLATION {found.violation}")
    print(f"After {taken:,} steps, in the world of seed {found.seed}.")
    if isShrunk:
        print("Looking for the shortest history that breaks the same rule likewise. Each line")
        print("is a step, and what came of it; names and numbers are other ones than above:")
        sys.stdout.flush()
        try:
            found = shrink(found)
        except KeyboardInterrupt:
            print("Interrupted: this is how it was found.")
        playHistory(found.seed, found.history, found.isHealed, tell=print)
        print(f"VIOLATION {found.violation}")
    print(f"\nAgain: {_python()} -m tests.simulation {found.options()}")


if __name__ == "__main__":
    sys.exit(main())
