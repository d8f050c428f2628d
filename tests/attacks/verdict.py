"""What a server and its user may suffer at most under an attack, and whether they did."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import attrs
from attrs import frozen

from msgserver.linksections import Control
from msgserver.sections import Gate, Login, Ops
from tests.attacks.attacks import Attack
from tests.attacks.honest import LOGIN, RECONNECT, Experience
from tests.attacks.stage import Setting
from tests.attacks.watching import Period

_KIB, _MIB = 1024, 1024 * 1024

BEFORE, DURING, AFTER = "before", "during", "after"
"""The periods of a run."""

SPARE_DESCRIPTORS = 8
"""How many more may be open afterwards: the user's connections come and go."""

_OVERSHOOT = 150
"""Connections that are accepted and aborted within one turn of the reactor, at most about."""

_OF_CONNECTION = 16 * _KIB
"""Bytes that a connection takes at most, its transport, its protocol and its limits together."""

_SPARE_MEMORY = 8 * _MIB
"""
Bytes that a process may have more, and keep: what is free between what is not cannot be given
back, and the tables of addresses and users stay for a while, as they are to.
"""


@frozen
class Bounds:
    """
    How much the server may hold.

    @ivar connections: of strangers and attackers, at once.
    @ivar memory: bytes, beside those of the connections themselves; of which it keeps C{kept}.
    """

    connections: int
    memory: int
    kept: int

    @staticmethod
    def of(attack: Attack, setting: Setting) -> Bounds:
        """Add up what the limits are."""
        connections = setting.login.get("max_strangers", _default(Login, "maxStrangers"))
        connections += setting.gate.get("max_strangers", _default(Gate, "maxStrangers"))
        if setting.hasPasswords:
            # Who has proved to hold a secret, and waits for the password to be checked.
            connections += setting.login.get("maxclient", _default(Login, "maxclient"))
        if setting.hasOffice:
            connections += attrs.fields(Control).maxclient.default
            connections += attrs.fields(Ops).maxclient.default
        return Bounds(connections, attack.memory, attack.kept)


def _default(section: type[Login] | type[Gate], key: str) -> int:
    default: int = getattr(attrs.fields(section), key).default
    return default


@frozen
class Seen:
    """
    What was seen of a run.

    @ivar periods: what the server held before, during and after; C{experiences} likewise what
        the user saw.
    @ivar recovery: seconds from the attack's end until its descriptors were free again; None
        where they never were.
    @ivar left: bytes that the server had in use in the end: of its memory, what the allocator
        was told to give back is not in it.
    @ivar unanswered: what of the user's never came to its end, by its kind.
    @ivar log: what the server wrote while it was attacked, and afterwards.
    """

    periods: Mapping[str, Period]
    experiences: Mapping[str, Experience]
    recovery: float | None
    left: int
    unanswered: Mapping[str, int]
    log: str


def faultsOf(seen: Seen, bounds: Bounds) -> list[str]:
    """Say what is not as it must be; nothing where all is well."""
    return [*_faultsOfServer(seen, bounds), *_faultsOfUser(seen)]


def _faultsOfServer(seen: Seen, bounds: Bounds) -> Iterator[str]:
    before, during = seen.periods[BEFORE], seen.periods[DURING]
    more = during.descriptors - before.descriptors
    mayHold = bounds.connections + _OVERSHOOT
    if more > mayHold:
        yield f"descriptors: {more} more during the attack, rather than {mayHold}"
    if seen.recovery is None:
        yield "descriptors: those of the attack are open still"
    mayTake = before.memory + bounds.memory + _OF_CONNECTION * mayHold + _SPARE_MEMORY
    if during.memory > mayTake:
        yield f"memory: {mib(during.memory)} MiB during the attack, rather than {mib(mayTake)}"
    mayKeep = before.memory + bounds.kept + _SPARE_MEMORY
    if seen.left > mayKeep:
        yield f"memory: {mib(seen.left)} MiB in use in the end, rather than {mib(mayKeep)}"
    if re.search("Traceback|Unhandled", seen.log):
        yield "the log has a traceback"


def _faultsOfUser(seen: Seen) -> Iterator[str]:
    for name, experience in seen.experiences.items():
        if experience.lost:
            yield f"{name}: {experience.lost} requests lost: {dict(experience.counts)}"
        for kind in (RECONNECT, LOGIN):
            if not experience.seconds[kind]:
                yield f"{name}: no {kind} came through"
    if any(seen.unanswered.values()):
        yield f"never answered: {dict(seen.unanswered)}"


def mib(size: int) -> str:
    """Write a number of bytes in MiB."""
    return f"{size / _MIB:.1f}"
