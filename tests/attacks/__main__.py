"""
Strangers who mean harm: C{python -m tests.attacks}.

Its exit status is 0 where every check held, and 1 otherwise.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.attacks.attacks import ATTACKS
from tests.attacks.runs import run
from tests.attacks.tables import NOTES, table


def parse(arguments: Sequence[str]) -> Namespace:
    """Read the command line."""
    about = "Attack servers, and see that their users are served and that nothing is left over."
    parser = ArgumentParser("python -m tests.attacks", description=about)
    add = parser.add_argument
    names = ", ".join(ATTACKS)
    add("names", nargs="*", metavar="NAME", help=f"which attacks: {names}; all by default")
    add(
        "--scale", type=float, default=1.0, help="how strong they are; below 1 for a quick look (1)"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(ATTACKS):
        parser.error(f"no such attack: {', '.join(sorted(unknown))}; there are {names}")
    if not 0 < options.scale <= 1:
        parser.error("--scale: above 0, and at most 1")
    return options


async def runAll(options: Namespace, folder: Path) -> None:
    """Run all that is asked for, print what came of it, and exit."""
    isGood = True
    for name in options.names or ATTACKS:
        place = folder / name
        place.mkdir()
        report = await run(name, options.scale, place)
        print(table(report), flush=True)
        isGood &= not report.faults
    print(NOTES)
    sys.exit(0 if isGood else 1)


def main(arguments: Sequence[str]) -> None:
    """Run, and exit."""
    options = parse(arguments)

    def begin(reactor: Any) -> Deferred[None]:
        running = Deferred.fromCoroutine(runAll(options, Path(folder)))
        # On Ctrl-C too, the servers end.
        reactor.addSystemEventTrigger("before", "shutdown", running.cancel)
        return running

    with TemporaryDirectory() as folder:
        react(begin, ())


if __name__ == "__main__":
    main(sys.argv[1:])
