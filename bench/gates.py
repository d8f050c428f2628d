"""
Requests a second of a gate, and what one costs: C{python -m bench.gates}.

Each contender is a process, alone on one core, and so is the load for it, on another. All of
them run side by side, but only one at a time is not stopped; they take turns in each round, and
each turn begins with another one. What counts is the ratio to a server that only sends back what
it gets, in the same round.

Linux only: it binds processes to cores, stops them, and reads their CPU time from /proc.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import asdict

import msgserver
from bench.figures import spreads
from bench.gatecontenders import BARE, GateContender, Running, contenders
from bench.gatefigures import ROWS, Results, figuresOf, judge, notesOn, tableOf
from bench.loads import Load, LoadFigures
from bench.options import endInOrder, machineFacts, number, seconds
from bench.servers import BenchError, machineSeconds
from bench.workloads import OPEN, QUICK, WORKLOADS, Workload, hellosOf
from msgserver.compiled import isCompiled

RESULTS = Path(__file__).resolve().parent / "results"
"""Where the results of releases are kept."""

_WARM_UP = 0.5
"""Seconds of load before the first round, and before each measurement, at most."""

_SPARE_FILES = 100
"""How many files a process has open besides its connections, at most."""


def coresOf(available: Sequence[int]) -> tuple[int, int]:
    """Give the core for the servers and that for their loads, out of those that there are."""
    return available[0], available[-1]


class _Turn:
    """A contender that runs and waits for its turns, and its load."""

    def __init__(self, workload: Workload, running: Running, load: Load) -> None:
        self._workload = workload
        self._program = running.program
        self._load = load

    def measure(self, seconds: float) -> dict[str, float]:
        """Let it go on for some seconds, and give its figures."""
        self._program.resume()
        # What the others have left in the caches is gone after this.
        self._put(min(_WARM_UP, seconds / 5))
        begun = self._times()
        load = self._put(seconds)
        times = [after - before for before, after in zip(begun, self._times(), strict=True)]
        self._program.check()
        peak = self._program.peakBytes
        self._program.pause()
        cpu, waited, busy, available = times
        return figuresOf(self._workload, load, cpu, waited, peak, (busy, available))

    def _times(self) -> tuple[float, ...]:
        return self._program.cpuSeconds, self._program.waitSeconds, *machineSeconds()

    def _put(self, seconds: float) -> LoadFigures:
        if self._workload.rate is not None:
            return self._load.open(seconds, self._workload.rate)
        return self._load.closed(seconds)


def measure(
    workload: Workload, those: Sequence[GateContender], rounds: int, seconds: float
) -> dict[str, list[dict[str, float]]]:
    """
    Measure contenders under a workload, one after the other, in each round.

    @param seconds: for how long each is measured, in each round.
    @return: by the contenders' names.
    @raise BenchError: one of them failed, or gave a wrong answer.
    """
    _raiseLimit(workload)
    serverCore, loadCore = coresOf(sorted(os.sched_getaffinity(0)))
    results: dict[str, list[dict[str, float]]] = {each.name: [] for each in those}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        turns = {}
        for contender in those:
            running = contender.start(contender.name, folder, workload, serverCore)
            stack.callback(running.program.stop)
            load = Load(
                running.port,
                workload.connections,
                workload.depth,
                workload.size,
                contender.kind,
                hellosOf(workload) if contender.kind == "gate" else None,
                loadCore,
            )
            stack.enter_context(load)
            load.closed(min(_WARM_UP, seconds))
            running.program.pause()
            turns[contender.name] = _Turn(workload, running, load)
        names = list(turns)
        for turn in range(rounds):
            # Each is the first in its turn.
            begin = turn % len(names)
            for name in (*names[begin:], *names[:begin]):
                results[name].append(turns[name].measure(seconds))
    return results


def _raiseLimit(workload: Workload) -> None:
    """Let the processes started from here have as many connections open as it takes."""
    needed = workload.connections + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise BenchError(f"it takes {needed} open files, and the limit is {hard} (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def parse(arguments: Sequence[str], those: Sequence[GateContender]) -> Namespace:
    """
    Read a command line.

    @param those: all contenders that there are.
    @raise SystemExit: it is wrong, which has been said.
    """
    about = "Measure requests a second of gates, and what one costs."
    parser = ArgumentParser("python -m bench.gates", description=about)
    add = parser.add_argument
    names = [each.name for each in those if each.name != BARE]
    add("--only", choices=names, nargs="+", help=f"these contenders, besides {BARE}")
    add("--workloads", choices=list(WORKLOADS), nargs="+", metavar="NAME", help="only these")
    add("--list", action="store_true", help="list the workloads, and end")
    add("--open", action="store_true", help="only the workloads that are on schedule")
    add("--rounds", type=number(1, 100), help="how often all is measured (5)")
    add("--seconds", type=seconds(0.05, 60), help="how long, in each round (1.5)")
    add("--quick", action="store_true", help="few workloads and rounds, under a minute")
    add("--json", metavar="FILE", type=Path, help="write all figures of all rounds there, too")
    add("--release", action="store_true", help="keep the results in bench/results/")
    parser.set_defaults(rounds=5, seconds=1.5, workloads=list(WORKLOADS))
    parser.set_defaults(only=[each.name for each in those if not each.isOptional])
    if "--quick" in arguments:
        parser.set_defaults(rounds=3, seconds=0.5, workloads=list(QUICK))
    if "--open" in arguments:
        parser.set_defaults(workloads=[workload.name for workload in OPEN])
    return parser.parse_args(arguments)


def summaryOf(
    results: Results, titles: Mapping[str, str], notes: Mapping[str, list[str]]
) -> dict[str, object]:
    """
    Give what is kept of results, besides where and when they were made.

    @param titles: of the contenders, by their names.
    @param notes: on the workloads, by their names.
    """
    return {
        "titles": titles,
        "summary": {name: spreads(ROWS, rounds) for name, rounds in results.items()},
        "targets": judge(results, isCompiled),
        "notes": notes,
        "rounds": results,
    }


def main(arguments: Sequence[str]) -> None:
    """Measure, and print what came of it."""
    everybody = contenders()
    options = parse(arguments, everybody)
    if options.list:
        print("\n".join(f"{name:16} {each.title}" for name, each in WORKLOADS.items()))
        return
    if sys.platform != "linux":
        raise SystemExit("this runs on Linux only: it takes /proc, epoll and sched_setaffinity")
    endInOrder()
    those = [each for each in everybody if each.name in (BARE, *options.only)]
    titles = {each.name: each.title for each in those}
    facts = {"msgserver": msgserver.__version__, "compiled": isCompiled, **machineFacts()}
    print("; ".join(f"{key} {value}" for key, value in facts.items()))
    print(f"{options.rounds} rounds of {options.seconds:g} s: median (least–most)", flush=True)
    results: Results = {}
    notes: dict[str, list[str]] = {}
    for name in options.workloads:
        workload = WORKLOADS[name]
        print("", f"{name}: {workload.title}", sep="\n", flush=True)
        try:
            results[name] = measure(workload, those, options.rounds, options.seconds)
        except BenchError as error:
            raise SystemExit(f"{name}: {error}") from None
        notes[name] = notesOn(workload, results[name], titles)
        print(tableOf(results[name], titles), *(f"! {note}" for note in notes[name]), sep="\n")
    if verdicts := judge(results, isCompiled):
        print("", "Targets", *(verdict.write(titles) for verdict in verdicts), sep="\n")
    settings = {"rounds": options.rounds, "seconds": options.seconds}
    everything = {"machine": facts, "options": settings, **summaryOf(results, titles, notes)}
    text = json.dumps(everything, default=asdict, indent=1) + "\n"
    if options.json is not None:
        options.json.write_text(text)
    if options.release:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{msgserver.__version__}.json").write_text(text)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit(130) from None
