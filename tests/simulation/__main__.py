"""
C{python -m tests.simulation}: play so many steps, or a history again.
"""

from __future__ import annotations

import argparse
import sys
import time

from twisted.logger import globalLogBeginner

from tests.simulation.running import (
    STEPS_IN_WORLD,
    Found,
    isHealed,
    playHistory,
    playSeed,
    readHistory,
    shrink,
    tellWorld,
)
from tests.simulation.transitions import Reached


def main() -> int:
    """Do as the command line says, and give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000, help="how many to take in all")
    parser.add_argument("--seed", type=int, default=0, help="the first world's; then one up")
    parser.add_argument("--world", type=int, default=STEPS_IN_WORLD, help="steps in a world")
    parser.add_argument("--history", help="play this in the world of --seed, and tell of it")
    parser.add_argument("--unhealed", action="store_true", help="end that world as it is")
    parser.add_argument("--coverage", action="store_true", help="list the situations reached")
    parser.add_argument(
        "--all-reached", action="store_true", help="fail where a situation was not reached"
    )
    parser.add_argument("--no-shrink", action="store_true", help="show a fault as it was found")
    parser.add_argument("--tell", action="store_true", help="tell all that happens in one world")
    options = parser.parse_args()
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    if options.history is not None:
        return _replay(options, parser)
    if options.tell:
        tellWorld(options.seed, min(options.world, options.steps), print)
        return 0
    reached = Reached()
    taken, seed, begun = 0, options.seed, time.monotonic()
    while taken < options.steps:
        count, found = playSeed(seed, min(options.world, options.steps - taken), reached)
        taken += count
        if found is not None:
            _tell(found, taken, not options.no_shrink)
            return 1
        seed += 1
    seconds = time.monotonic() - begun
    unreached = reached.unreached()
    print(f"{taken:,} steps in {seed - options.seed:,} worlds held every invariant, in", end=" ")
    print(f"{seconds:.1f} seconds ({seconds / taken * 1e6:.0f} microseconds a step).")
    print(f"{len(reached.counts)} situations of {len(reached.counts) + len(unreached)} reached.")
    if options.coverage:
        print(reached.table())
    if unreached:
        print(f"Never reached: {', '.join(unreached)}")
    return 1 if unreached and options.all_reached else 0


def _replay(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    try:
        history = readHistory(options.history)
    except ValueError as error:
        parser.error(f"--history: {error}")
    found = playHistory(options.seed, history, not options.unhealed, tell=print)
    if found is None:
        print("Every invariant held.")
        return 0
    print(f"VIOLATION {found.violation}")
    return 1


def _tell(found: Found, taken: int, isShrunk: bool) -> None:
    print(f"VIOLATION {found.violation}")
    print(f"After {taken:,} steps, in the world of seed {found.seed}", end="")
    print(f" ({'healed' if isHealed(found.seed) else 'not healed'}).")
    if isShrunk:
        found = shrink(found)
        print(f"The shortest history found that breaks {found.violation.rule}:")
        playHistory(found.seed, found.history, found.isHealed, tell=print)
        print(f"VIOLATION {found.violation}")
    print(f"Again: {found.command()}")


if __name__ == "__main__":
    sys.exit(main())
