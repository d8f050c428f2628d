"""
Handshakes a second of a gate: C{python -m bench.handshakes}.

Clients of logins that exist connect, shake hands, and are gone again, over real sockets: after
the connection before was lost; while it is still there, so that it is replaced (H4); and after
it was lost, with a cache full of answers that might be asked for again.

Linux only: epoll, and CPU time from /proc.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from itertools import count

from bench.controlled import controlledGate
from bench.options import number
from bench.visitfigures import Rounds, inTurns, measured, parserOf, run
from bench.visits import Visit, Visits, helloOf, visitOf

_LOGINS = 1000
"""The logins of each contender."""

_WARM_UP = 300
"""Handshakes before those that count."""

_KEPT = 128
"""How many answers the last contender's logins have, of so many bytes each."""
_SIZE = 64

LOST, REPLACED, CACHED = "lost", "replaced", f"{_KEPT} answers kept"
"""The contenders."""


def measure(options: Namespace, core: int | None) -> Rounds:
    """
    Measure handshakes.

    @param core: the one that the gate runs on.
    """
    names = (LOST, REPLACED, CACHED)
    # As many connections of the one contender stay open as are needed for each to be replaced.
    staying = _LOGINS + options.concurrency
    with controlledGate(staying + 2 * options.concurrency, core) as gate:
        gate.admit(1, len(names) * _LOGINS)
        visits = {name: Visits(gate.port) for name in names}
        serial = {name: count() for name in names}

        def make(name: str, number: int) -> list[Visit]:
            first = 1 + names.index(name) * _LOGINS
            turns = [next(serial[name]) for _ in range(number)]
            return [
                Visit(first + turn % _LOGINS, helloOf(first + turn % _LOGINS, 2 + turn // _LOGINS))
                for turn in turns
            ]

        def visit(name: str, number: int = options.handshakes) -> dict[str, float]:
            # Made before they are measured: the client's part costs as much as the gate's.
            those = make(name, number)
            stay = staying if name == REPLACED else 0
            return measured(gate, lambda: visits[name].make(those, options.concurrency, stay))

        first = 1 + names.index(CACHED) * _LOGINS
        asking = (visitOf(first + n, 1, range(_KEPT), _SIZE) for n in range(_LOGINS))
        visits[CACHED].make(asking, options.concurrency)
        for name in names:
            visit(name, _WARM_UP)
        # So that from now on each of its handshakes replaces a connection.
        visit(REPLACED, _LOGINS)
        try:
            return inTurns(names, options.rounds, visit)
        finally:
            for each in visits.values():
                each.close()


def _parse(arguments: Sequence[str]) -> Namespace:
    about = "Measure handshakes a second of a gate, and what one costs."
    parser = parserOf("python -m bench.handshakes", about)
    parser.add_argument(
        "--handshakes", type=number(1, 50_000), help="handshakes of each, in each round (2000)"
    )
    parser.set_defaults(handshakes=2000, rounds=5)
    if "--quick" in arguments:
        parser.set_defaults(handshakes=500, rounds=3)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Measure, and print what came of it."""
    options = _parse(arguments)
    title = f"{options.handshakes} handshakes, {options.concurrency} at once"
    run("handshake", title, options, lambda core: measure(options, core))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit(130) from None
