"""
Logins a second, with and without the control link: C{python -m bench.logins}.

A login server and its gate in one process, and the same with gates that are processes of their
own, over loopback TCP and over a UNIX socket: who logs in is admitted at once, so that what is
measured is the login itself, over the classic suite. The clients are one process, this one.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from attrs import asdict

from bench.contenders import CONTENDERS, Contender, running
from bench.figures import spreads, table
from bench.loginphases import ROWS, Phase, measure, phasesOf
from bench.options import endInOrder, machineFacts, number
from bench.servers import BenchError

_FULL = 90.0
"""How busy, in percent, something is that cannot do more."""

_QUIET = 10.0
"""How much of the machine, in percent, other programs may take before that is said."""

Results = dict[str, dict[str, list[dict[str, float]]]]
"""By the title of the phase and the name of the contender, the figures of each round."""


def run(
    contenders: Sequence[Contender], phases: Sequence[Phase], count: int, gates: int, rounds: int
) -> Results:
    """
    Measure all contenders, one after the other, in each round.

    None runs while another is measured. One that is stopped by SIGSTOP would be taken for dead:
    its two ends ask each other for signs of life.
    """
    results: Results = {phase.title: {each.name: [] for each in contenders} for phase in phases}
    for turn in range(rounds):
        # Each is the first in its turn.
        begin = turn % len(contenders)
        for contender in (*contenders[begin:], *contenders[:begin]):
            print(f"round {turn + 1} of {rounds}: {contender.name}", file=sys.stderr)
            with running(contender, gates) as cluster:
                for title, figures in measure(cluster, phases, count).items():
                    results[title][contender.name].append(figures)
    return results


def notesOn(results: Results) -> list[str]:
    """Say where the figures are those of something else than the servers."""
    notes = []
    for title, rounds in results.items():
        for name in rounds:
            told = {
                key: spread["figures"][name].median
                for key, spread in spreads(ROWS, {name: rounds[name]}).items()
            }
            if told["clientsBusy"] > _FULL:
                notes.append(f"{title}, {name}: the clients were the bottleneck")
            if told["othersBusy"] > _QUIET:
                share = f"{told['othersBusy']:.0f} % of the machine"
                notes.append(f"{title}, {name}: other programs took {share}")
            elif told["idle"] < 100 - _FULL and told["loginBusy"] < _FULL:
                notes.append(f"{title}, {name}: clients and servers had too few cores for them all")
    return notes


def _parse(arguments: Sequence[str]) -> Namespace:
    about = "Measure logins a second, with and without the control link."
    parser = ArgumentParser("python -m bench.logins", description=about)
    add = parser.add_argument
    names = [each.name for each in CONTENDERS]
    add("--logins", type=number(1, 20_000), help="logins of a phase (2000)")
    add("--concurrency", type=number(1, 1000), nargs="+", help="logins at once (1 32)")
    add("--gates", type=number(1, 64), help="gates that are processes of their own (2)")
    add("--rounds", type=number(1, 100), help="how often all is measured (5)")
    add("--only", choices=names, nargs="+", help="these contenders, compared to the first of them")
    add("--json", metavar="FILE", type=Path, help="write all figures of all rounds there, too")
    add("--quick", action="store_true", help="fewer logins and rounds, under 30 seconds")
    parser.set_defaults(logins=2000, concurrency=[1, 32], gates=2, rounds=5, only=names)
    if "--quick" in arguments:
        parser.set_defaults(logins=150, rounds=3)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Measure, and print what came of it."""
    options = _parse(arguments)
    endInOrder()
    contenders = [each for each in CONTENDERS if each.name in options.only]
    contenders.sort(key=lambda each: options.only.index(each.name))
    machine = machineFacts()
    phases = phasesOf(options.concurrency)
    try:
        results = run(contenders, phases, options.logins, options.gates, options.rounds)
    except BenchError as error:
        raise SystemExit(str(error)) from None
    print("; ".join(f"{key} {value}" for key, value in machine.items()))
    print(
        f"{options.logins} logins a phase, {options.gates} gates,"
        f" {options.rounds} rounds: median (least–most)"
    )
    for title, rounds in results.items():
        print("", table(title, ROWS, rounds), sep="\n")
    if notes := notesOn(results):
        print("", *notes, sep="\n")
    if options.json is not None:
        settings = {key: value for key, value in vars(options).items() if key != "json"}
        summary = {title: spreads(ROWS, rounds) for title, rounds in results.items()}
        everything = {"machine": machine, "options": settings, "rounds": results}
        text = json.dumps({**everything, "summary": summary}, default=asdict, indent=1)
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit(130) from None
