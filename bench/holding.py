"""
What a gate's logins and connections take of memory: C{python -m bench.holding}.

A gate of its own process, C{twistd msgserver} with the defaults, admits logins and is
connected to, step by step. At each step the memory that is the process's own is read, after a
collection of garbage. What the kernel holds is not in it: sockets, and what is on its way.

Linux only: it reads memory from /proc.
"""

from __future__ import annotations

import resource
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from socket import MSG_WAITALL, socket

from attrs import frozen

from bench.controlled import ORDER, ControlledGate, Look, controlledGate
from bench.figures import Row, spreads, table
from bench.options import endInOrder, machineFacts, number
from bench.servers import BenchError
from bench.visitfigures import requireLinux, writeJson
from bench.visits import OK, Visit, Visits, contentOf, helloOf
from msgserver.wire.framing import SESSION_SIZE
from msgserver.wire.gate import ANSWERED, requestPacket, responsePacket

_KEPT = 128
"""How many answers a gate keeps at least, by its defaults; at most twice as many."""

_SIZE = 64
"""The bytes of an answer's content, where they are kept."""

_GROUP = 100
"""How many handshakes there are at once."""

_WARM_UP = 20
"""Logins, and requests of each, before memory is first looked at."""

_LARGE = 60_000
"""The bytes of an answer's content, where they are not read."""

_ASKED = 1000
"""How many of those one who does not read asks for."""

_SLOW = 20
"""How many do not read."""

_SETTLED = 0.5
"""Seconds without a further request after which nothing more is expected to happen."""

_PATIENCE = 30.0
"""Seconds until something that should have happened long ago is given up."""

_SPARE_FILES = 100
"""How many files a process has open besides its connections, at most."""

ROWS = (
    Row("new", "away, never connected"),
    Row("away", "away, was connected"),
    Row("connected", "connected, idle"),
    Row("full", f"connected, {_KEPT} answers of {_SIZE} bytes kept"),
    Row("most", f"connected, {2 * _KEPT} kept: the most there are"),
    Row("awayFull", f"away, {2 * _KEPT} kept"),
    Row("back", f"connected again, {2 * _KEPT} to be asked for again"),
    Row("slow", "connected, answers not read"),
    Row("made", "  bytes of answers that were made for it"),
)
"""All in bytes a login, the login and what it keeps included."""

TARGETS = {"away": 1024, "connected": 3 * 1024, "full": 40 * 1024}
"""How many bytes are to be enough."""


@frozen
class _Step:
    """What there is at a step, in bytes a login."""

    base: int
    logins: int

    def of(self, memory: int) -> float:
        return (memory - self.base) / self.logins


def measureLogins(count: int) -> dict[str, float]:
    """
    Measure so many logins, in all that may become of them but the last two of L{ROWS}.

    @raise BenchError: they are not what they are to be.
    """
    everybody = range(_WARM_UP + 1, _WARM_UP + 1 + count)
    with controlledGate(count + _GROUP) as gate:
        _warmUp(gate)
        step = _Step(gate.memory(), count)
        gate.admit(everybody[0], count)
        figures = {"new": step.of(gate.memory())}
        Visits(gate.port).make(_visits(everybody, 1), _GROUP)
        waitUntil(gate, lambda look: look.connected == 0)
        figures["away"] = step.of(gate.memory())
        visits = Visits(gate.port)
        try:
            visits.make(_visits(everybody, 2), _GROUP, staying=count)
            waitUntil(gate, lambda look: look.connected == count)
            figures["connected"] = step.of(gate.memory())
            ask(visits.streams, range(_KEPT))
            figures["full"] = step.of(gate.memory())
            ask(visits.streams, range(_KEPT, 2 * _KEPT))
            figures["most"] = step.of(gate.memory())
            visits.close()
            waitUntil(gate, lambda look: look.connected == 0)
            figures["awayFull"] = step.of(gate.memory())
            visits.make(_visits(everybody, 3), _GROUP, staying=count)
            waitUntil(gate, lambda look: look.connected == count)
            figures["back"] = step.of(gate.memory())
            gate.check()
        finally:
            visits.close()
    return figures


def measureSlow(count: int = _SLOW, asked: int = _ASKED) -> dict[str, float]:
    """
    Measure clients who ask for large answers and read none of them.

    @param asked: how many answers each asks for.
    @raise BenchError: they were given everything, so that nothing was held back.
    """
    everybody = range(_WARM_UP + 1, _WARM_UP + 1 + count)
    with controlledGate(count + _GROUP) as gate:
        _warmUp(gate)
        gate.admit(everybody[0], count)
        step = _Step(gate.memory(), count)
        before = gate.look().requests
        visits = Visits(gate.port)
        try:
            visits.make(_visits(everybody, 1), count, staying=count)
            for stream in visits.streams:
                order = ORDER + b"give %d" % _LARGE
                stream.sendall(b"".join(requestPacket(_sessionOf(n), order) for n in range(asked)))
            made = _settled(gate) - before
            figures = {"slow": step.of(gate.memory()), "made": made / count * _LARGE}
            waitUntil(gate, lambda look: look.connected == count)
            gate.check()
        finally:
            visits.close()
    checkHeld(made, count * asked)
    return figures


def _warmUp(gate: ControlledGate) -> None:
    """Have everything in memory that is there but once, however many logins there are."""
    visits = Visits(gate.port)
    gate.admit(1, _WARM_UP)
    try:
        visits.make(_visits(range(1, _WARM_UP + 1), 1), _WARM_UP, staying=_WARM_UP)
        ask(visits.streams, range(_WARM_UP))
    finally:
        visits.close()
    waitUntil(gate, lambda look: look.connected == 0)


def _visits(logins: Iterable[int], index: int) -> Iterable[Visit]:
    return (Visit(login, helloOf(login, index), OK) for login in logins)


def _sessionOf(number: int) -> bytes:
    return number.to_bytes(SESSION_SIZE, "big")


def ask(streams: Sequence[socket], sessions: Iterable[int]) -> None:
    """
    Have each of some connections ask for echoes, one after the other, and read each.

    @raise BenchError: an answer is not what it must be.
    """
    for session in map(_sessionOf, sessions):
        content = contentOf(session, _SIZE)
        request = requestPacket(session, content)
        expected = responsePacket(session, ANSWERED, content)
        for stream in streams:
            stream.sendall(request)
        for stream in streams:
            if (got := stream.recv(len(expected), MSG_WAITALL)) != expected:
                raise BenchError(f"answered {got!r} instead of {expected!r}")


def waitUntil(gate: ControlledGate, isSo: Callable[[Look], bool]) -> None:
    """
    Wait until the gate is as it is to be.

    @raise BenchError: that takes too long.
    """
    deadline = time.monotonic() + _PATIENCE
    while not isSo(look := gate.look()):
        if time.monotonic() > deadline:
            raise BenchError(f"after {_PATIENCE:g} s, still {look}")
        time.sleep(0.02)


def _settled(gate: ControlledGate) -> int:
    """Wait until there are no further requests, and tell how many there were."""
    requests, since = -1, 0.0
    while time.monotonic() < since + _SETTLED or requests < 0:
        if (now := gate.look().requests) != requests:
            requests, since = now, time.monotonic()
        time.sleep(0.02)
    return requests


def checkHeld(made: int, asked: int) -> None:
    """
    See to it that not all of the answers were made that nobody reads.

    @raise BenchError: they were, or none was.
    """
    if not 0 < made < asked:
        raise BenchError(f"{made} answers were made of {asked} that nobody reads: nothing is held")


def verdictsOf(rounds: Mapping[str, Sequence[Mapping[str, float]]]) -> list[str]:
    """Say of each target whether it is met."""
    told = spreads(ROWS, rounds)
    titles = {row.key: row.title for row in ROWS}
    verdicts = []
    for key, most in TARGETS.items():
        for spread in told[key]["figures"].values():
            verdict = "met" if spread.median <= most else "MISSED"
            verdicts.append(f"{titles[key]}: at most {most:,}: {spread.median:,.0f}, {verdict}")
    return verdicts


def _raiseLimit(connections: int) -> None:
    needed = connections + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise BenchError(f"it takes {needed} open files, and the limit is {hard} (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _parse(arguments: Sequence[str]) -> Namespace:
    about = "Measure what a gate's logins and connections take of memory."
    parser = ArgumentParser("python -m bench.holding", description=about)
    add = parser.add_argument
    add("--logins", type=number(10, 50_000), help="how many (10000)")
    add("--rounds", type=number(1, 20), default=1, help="how often all is measured (1)")
    add("--json", metavar="FILE", type=Path, help="write all figures of all rounds there, too")
    add("--quick", action="store_true", help="fewer logins, some seconds")
    parser.set_defaults(logins=1000 if "--quick" in arguments else 10_000)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Measure, and print what came of it."""
    options = _parse(arguments)
    requireLinux()
    endInOrder()
    facts = machineFacts()
    print("; ".join(f"{key} {value}" for key, value in facts.items()))
    print(f"{options.logins} logins, {_SLOW} that do not read; {options.rounds} rounds", flush=True)
    rounds: dict[str, list[dict[str, float]]] = {"gate": []}
    try:
        _raiseLimit(options.logins + _GROUP)
        for _ in range(options.rounds):
            rounds["gate"].append(measureLogins(options.logins) | measureSlow())
    except BenchError as error:
        raise SystemExit(str(error)) from None
    print("", table("bytes a login", ROWS, rounds), sep="\n")
    print("", "Targets", *verdictsOf(rounds), sep="\n")
    if options.json is not None:
        writeJson(options, facts, {"rounds": rounds, "summary": spreads(ROWS, rounds)})


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit(130) from None
