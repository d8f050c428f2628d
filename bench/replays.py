"""
Replays a second of a gate: C{python -m bench.replays}.

Clients come back after a lost connection and ask again for everything that they have asked
before, behind their handshake, in one piece. What they get must be what they got then, and must
not have run again. Beside that, what it costs to ask for something new instead, which runs.

Linux only: epoll, and CPU time from /proc.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from itertools import count

from bench.controlled import controlledGate
from bench.options import number
from bench.servers import BenchError
from bench.visitfigures import Rounds, inTurns, measured, parserOf, run
from bench.visits import Visit, Visits, visitOf

MOST_ASKED = 128
"""How many answers a gate keeps at least, by its defaults."""

AGAIN, ANEW = "asked again", "asked anew"
"""The contenders."""


def measure(options: Namespace, core: int | None) -> Rounds:
    """
    Measure replays, and requests that run instead.

    @param core: the one that the gate runs on.
    @raise BenchError: something ran again, or did not run.
    """
    logins, asked = options.logins, options.asked
    names = (ANEW, AGAIN)
    with controlledGate(2 * options.concurrency, core) as gate:
        gate.admit(1, len(names) * logins)
        visits = Visits(gate.port)
        turns = {name: count() for name in names}

        def visitNow(name: str) -> Visit:
            turn = next(turns[name])
            before, login = divmod(turn, logins)
            first = before * asked if name == ANEW else 0
            sessions = range(first, first + asked)
            login += 1 + names.index(name) * logins
            return visitOf(login, before + 1, sessions, options.size)

        def come(name: str, number: int, runs: bool) -> dict[str, float]:
            # Made before they are measured, as what must be answered is.
            those = [visitNow(name) for _ in range(number)]
            before = gate.look().requests
            figures = measured(gate, lambda: visits.make(those, options.concurrency), asked)
            checkRun(gate.look().requests - before, number * asked if runs else 0)
            return figures

        for name in names:
            come(name, logins, runs=True)
        return inTurns(names, options.rounds, lambda name: come(name, options.visits, name == ANEW))


def checkRun(requests: int, expected: int) -> None:
    """
    See to it that as many requests ran as must have.

    @raise BenchError: there were more, or fewer.
    """
    if requests != expected:
        raise BenchError(f"{requests} requests ran, where {expected} were to run")


def _parse(arguments: Sequence[str]) -> Namespace:
    about = "Measure replays a second of a gate, and what one costs."
    parser = parserOf("python -m bench.replays", about)
    add = parser.add_argument
    add("--visits", type=number(1, 20_000), help="visits of each, in each round (500)")
    add("--logins", type=number(1, 5000), default=200, help="who comes back, in turn (200)")
    add("--asked", type=number(1, MOST_ASKED), default=128, help="requests of a visit (128)")
    add("--size", type=number(0, 256), default=64, help="bytes of a request's content (64)")
    parser.set_defaults(visits=500, rounds=5)
    if "--quick" in arguments:
        parser.set_defaults(visits=200, rounds=3)
    options = parser.parse_args(arguments)
    if options.logins <= options.concurrency:
        parser.error("--logins must be above --concurrency: each has one connection at a time")
    return options


def main(arguments: Sequence[str]) -> None:
    """Measure, and print what came of it."""
    options = _parse(arguments)
    title = f"{options.visits} visits of {options.asked} requests each, of {options.size} bytes"
    run("request", title, options, lambda core: measure(options, core))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit(130) from None
