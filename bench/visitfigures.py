"""
What is measured of visits to a gate, and how it is told.
"""

from __future__ import annotations

import json
import os
import select
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import asdict

from bench.controlled import ControlledGate
from bench.figures import Row, percentile, spreads, table
from bench.gates import coresOf
from bench.options import endInOrder, machineFacts, number
from bench.servers import BenchError, machineSeconds
from bench.visits import VisitLoad

_FULL = 90.0
"""How busy, in percent, something is that cannot do more."""

_QUIET = 10.0
"""How much of the machine, in percent, other programs may take before that is said."""

Rounds = dict[str, list[dict[str, float]]]
"""By the contender's name, the figures of each round."""


def requireLinux() -> None:
    """
    See to it that this system has what the figures are taken with.

    @raise SystemExit: it has not.
    """
    if not (hasattr(select, "epoll") and Path("/proc/self/smaps_rollup").exists()):
        raise SystemExit("this needs Linux: epoll, and what /proc tells of processes")


def rowsOf(what: str) -> tuple[Row, ...]:
    """Give the rows of a table, where it is C{what} that is counted, in the singular."""
    return (
        Row("rate", f"{what}s/s", hasRatio=True),
        Row("cpu", f"CPU of the gate, µs a {what}", 1, hasRatio=True),
        Row("p50", "a visit's p50, ms", 2),
        Row("p99", "a visit's p99, ms", 2),
        Row("gateBusy", "gate busy, % of a core"),
        Row("clientsBusy", "clients busy, % of a core"),
        Row("othersBusy", "other programs busy, % of all cores"),
    )


def measured(
    gate: ControlledGate, make: Callable[[], VisitLoad], perVisit: int = 1
) -> dict[str, float]:
    """
    Measure some visits.

    @param make: makes them.
    @param perVisit: how many of what is counted there are in each.
    """
    cpu, (busy, available) = gate.cpuSeconds, machineSeconds()
    load = make()
    cpu = gate.cpuSeconds - cpu
    busyEnded, availableEnded = machineSeconds()
    gate.check()
    machine = busyEnded - busy, availableEnded - available
    return figuresOf(load, len(load.latencies) * perVisit, cpu, machine)


def figuresOf(
    load: VisitLoad, count: int, cpu: float, machine: tuple[float, float]
) -> dict[str, float]:
    """
    Make the figures of L{rowsOf}.

    @param count: how many there were of what is counted.
    @param cpu: seconds of the gate.
    @param machine: seconds that the cores were busy, and that they were there.
    """
    busy, available = machine
    # Both clocks are coarse, and so this may come out a little below nothing.
    others = max(0.0, busy - cpu - load.cpuSeconds)
    return {
        "rate": count / load.seconds,
        "cpu": cpu / count * 1e6,
        "p50": percentile(load.latencies, 0.5) * 1e3,
        "p99": percentile(load.latencies, 0.99) * 1e3,
        "gateBusy": cpu / load.seconds * 100,
        "clientsBusy": load.cpuSeconds / load.seconds * 100,
        "othersBusy": others / max(available, busy, 1e-9) * 100,
    }


def notesOn(what: str, rounds: Rounds) -> list[str]:
    """Say where the figures are those of something else than the gate."""
    told = spreads(rowsOf(what), rounds)
    notes = []
    for name in rounds:
        if told["clientsBusy"]["figures"][name].median > _FULL:
            notes.append(f"{name}: the clients were the bottleneck")
        others = told["othersBusy"]["figures"][name].median
        if others > _QUIET:
            notes.append(f"{name}: other programs took {others:.0f} % of the machine")
    return notes


def parserOf(program: str, about: str) -> ArgumentParser:
    """Make a command line with the options that all have."""
    parser = ArgumentParser(program, description=about)
    add = parser.add_argument
    add("--concurrency", type=number(1, 500), default=32, help="visits at once (32)")
    add("--rounds", type=number(1, 100), help="how often all is measured (5)")
    add("--json", metavar="FILE", type=Path, help="write all figures of all rounds there, too")
    add("--quick", action="store_true", help="fewer visits and rounds, some seconds")
    return parser


def run(
    what: str,
    title: str,
    options: Namespace,
    measure: Callable[[int], Rounds],
) -> None:
    """
    Measure, each process alone on a core where there are two, and print what came of it.

    @param measure: is given the core for the gate.
    """
    requireLinux()
    endInOrder()
    gateCore, ownCore = coresOf(sorted(os.sched_getaffinity(0)))
    os.sched_setaffinity(0, {ownCore})
    facts = machineFacts()
    print("; ".join(f"{key} {value}" for key, value in facts.items()))
    print(f"{title}; {options.rounds} rounds: median (least–most)", flush=True)
    try:
        rounds = measure(gateCore)
    except BenchError as error:
        raise SystemExit(str(error)) from None
    rows = rowsOf(what)
    print("", table("", rows, rounds), sep="\n")
    if notes := notesOn(what, rounds):
        print("", *(f"! {note}" for note in notes), sep="\n")
    if options.json is not None:
        writeJson(options, facts, {"rounds": rounds, "summary": spreads(rows, rounds)})


def writeJson(
    options: Namespace, facts: Mapping[str, object], results: Mapping[str, object]
) -> None:
    """Write all there is to be known to the file that the options name."""
    settings = {key: value for key, value in vars(options).items() if key != "json"}
    everything = {"machine": facts, "options": settings, **results}
    options.json.write_text(json.dumps(everything, default=asdict, indent=1) + "\n")


def inTurns(
    names: Sequence[str], rounds: int, measure: Callable[[str], dict[str, float]]
) -> Rounds:
    """Measure all contenders, one after the other, in each round; each is first in its turn."""
    results: Rounds = {name: [] for name in names}
    for turn in range(rounds):
        begin = turn % len(names)
        for name in (*names[begin:], *names[:begin]):
            results[name].append(measure(name))
    return results
