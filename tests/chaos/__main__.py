"""
The promise under attack: C{python -m tests.chaos}, or C{make chaos}.

Its exit status is 0 where nothing ran twice, nothing was lost and nothing was wrong, no server has
logged a traceback, and the gate holds no descriptor too many; and 1 otherwise.
"""

from __future__ import annotations

import resource
import secrets
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import react

from tests.chaos.runs import FROZEN_SECONDS, Report, Settings, attacked, killed, stunned
from tests.chaos.storm import POLICIES, storm
from tests.chaos.tables import NOTES, casesOf, table

_KINDS = ("faults", "frozen", "killed", "storm")

_ENDS = 3
"""Descriptors that this process has open for each client: its end, and two of the proxy."""

_OTHER_FILES = 200

_INTERRUPTED = 130
"""The exit status of what Ctrl-C has ended, as shells have it."""

_AROUND = 8.0
"""Seconds, about, that a part takes beside its own: servers start, and all is to be answered."""

_STORM_RATE = 100
"""Clients a second, about, that a storm comes to, from its start to its end."""

Run = Callable[[Settings], Awaitable[Report]]


def _number(least: float, most: float, kind: type = int) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not least <= number <= most:
            what = "whole number" if kind is int else "number"
            raise ArgumentTypeError(f"{text!r} is no {what} from {least:g} to {most:g}")
        return number

    return read


def _newFolder(text: str) -> Path:
    folder = Path(text)
    if folder.exists():
        raise ArgumentTypeError(f"{text} exists already")
    if not folder.absolute().parent.is_dir():
        raise ArgumentTypeError(f"{folder.absolute().parent} is no folder")
    return folder


def parse(arguments: Sequence[str]) -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(
        "python -m tests.chaos",
        description="Break connections at random, and see that no request runs twice, none is"
        " lost, and no answer is wrong.",
    )
    add = parser.add_argument
    add(
        "--seconds",
        type=_number(1, 86_400, float),
        default=60.0,
        help="how long faults strike at random; the parts in which the gate is frozen or killed"
        " have as much, up to 10, and storms take what they need (60)",
    )
    add("--clients", type=_number(1, 5000), default=300, help="clients, but for storms (300)")
    add("--seed", type=_number(0, 2**64), help="what faults are drawn from (a random one)")
    add(
        "--storm",
        type=_number(2, 6000),
        default=2000,
        metavar="CLIENTS",
        help="clients of the reconnect storms (2000)",
    )
    add("--sessions", choices=("any", "increasing"), default="any", help="the gate's, S7 (any)")
    add("--only", choices=_KINDS, nargs="+", default=_KINDS, help="these alone")
    add(
        "--keep",
        type=_newFolder,
        metavar="FOLDER",
        help="keep logs and journals there; it must be new",
    )
    options = parser.parse_args(arguments)
    if options.seed is None:
        options.seed = secrets.randbelow(2**32)
    return options


def runsOf(options: Namespace) -> Iterator[tuple[str, int, float, Run]]:
    """Give what is to be run: the name of its folder, clients, seconds, and what to call."""
    once = min(options.seconds, 10.0)
    runs: dict[str, tuple[float, Run]] = {
        "faults": (options.seconds, attacked),
        "frozen": (once, stunned),
        "killed": (once, killed),
    }
    for name, (seconds, run) in runs.items():
        if name in options.only:
            yield name, options.clients, seconds, run
    if "storm" in options.only:
        for number, backOff in enumerate(POLICIES):
            for isDouble in (False, True):
                name = f"storm{number}{'again' * isDouble}"
                yield name, options.storm, 0.0, partial(storm, backOff=backOff, isDouble=isDouble)


def durationOf(name: str, clients: int, seconds: float) -> float:
    """Tell about how many seconds a part takes."""
    if name.startswith("storm"):
        return clients / _STORM_RATE
    return seconds + _AROUND + (FROZEN_SECONDS if name == "frozen" else 0)


async def runAll(options: Namespace, folder: Path) -> bool:
    """Run all that is asked for, print what came of it, and tell whether all is well."""
    settings = Settings(folder, options.seed, options.clients, options.seconds, options.sessions)
    isGood = True
    runs = list(runsOf(options))
    for number, (name, clients, seconds, run) in enumerate(runs, 1):
        about = durationOf(name, clients, seconds)
        print(
            f"[{number} of {len(runs)}] {name}: {clients} clients, about {about:.0f} s", flush=True
        )
        place = folder / name
        place.mkdir()
        report = await run(evolve(settings, folder=place, clients=clients, seconds=seconds))
        print(table(report), *casesOf(report), "", sep="\n", flush=True)
        isGood &= report.isGood
    print(NOTES)
    print("All is well." if isGood else f"NOT WELL: see above; the seed is {options.seed}.")
    return isGood


def makeRoom(options: Namespace) -> None:
    """
    See that this process, and so the servers that it starts, may open as many files as needed.

    @raise SystemExit: it may not.
    """
    most = max(options.clients, options.storm if "storm" in options.only else 0)
    needed = most * _ENDS + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SystemExit(
            f"{most} clients need {needed} descriptors, and this process may have {hard}:"
            " see ulimit -Hn, or have fewer"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def main(arguments: Sequence[str]) -> None:
    """Run, and exit."""
    options = parse(arguments)
    makeRoom(options)
    about = sum(durationOf(name, count, time) for name, count, time, _ in runsOf(options))
    outcome: list[bool] = []
    isInterrupted = False

    async def run(folder: Path) -> None:
        with suppress(CancelledError):
            outcome.append(await runAll(options, folder))

    def begin(reactor: Any, folder: Path) -> Deferred[None]:
        running = Deferred.fromCoroutine(run(folder))

        def stop() -> None:
            nonlocal isInterrupted
            isInterrupted = not running.called
            running.cancel()

        # On Ctrl-C too, the servers end.
        reactor.addSystemEventTrigger("before", "shutdown", stop)
        return running

    with ExitStack() as stack:
        folder = options.keep
        if folder is None:
            folder = Path(stack.enter_context(TemporaryDirectory()))
        else:
            try:
                folder.mkdir()
            except OSError as error:
                raise SystemExit(f"--keep: {error}") from None
        print(
            f"seed {options.seed}; sessions: {options.sessions}; about {about / 60:.1f} minutes"
            " in all\n",
            flush=True,
        )
        # It exits by itself, and in good order where the run was broken off.
        with suppress(SystemExit):
            react(begin, (folder,))
    if isInterrupted:
        print(f"Interrupted; the seed is {options.seed}.")
        sys.exit(_INTERRUPTED)
    sys.exit(0 if outcome == [True] else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
