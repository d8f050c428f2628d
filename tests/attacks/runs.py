"""One attack from its begin to its end."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen

from attrs import evolve, frozen

from tests.attacks.attacks import ATTACKS, Attack, Strength
from tests.attacks.honest import Experience, HonestUser
from tests.attacks.stage import Setting, Stage, startServer
from tests.attacks.verdict import (
    AFTER,
    BEFORE,
    DURING,
    SPARE_DESCRIPTORS,
    Bounds,
    Seen,
    faultsOf,
)
from tests.attacks.watching import Period, Watch, usageOf
from tests.endtoend.clusters import CLOCK, pause, until
from tests.endtoend.processes import ROOT

PATIENCE = 60.0
"""Seconds until something that should have happened long ago is given up."""

_QUIET, _SHORT_QUIET = 5.0, 0.3
"""Seconds of each period without an attack, at full strength and at the least."""

_INTERVAL, _SHORT_INTERVAL = 1.0, 0.2
"""Seconds from one of the user's reconnects, and logins, to the next; likewise."""

_COUNTED = "counted"
"""The file where an attacker writes what it has counted."""

_WEAK_LOGIN: Mapping[str, float] = {"login_timeout": 2, "gate_timeout": 1.5}
_WEAK_GATE: Mapping[str, float] = {
    "handshake_timeout": 1,
    "stall_timeout": 1,
    "kick_timeout": 1,
    "drain_timeout": 1,
}
"""Time-outs where attacks last for about a second each."""


@frozen
class Report:
    """
    What came of an attack.

    @ivar counts: what the attacker counted.
    @ivar faults: what is not as it must be; none where all is well.
    """

    name: str
    about: str
    seen: Seen
    counts: Counter[str]
    faults: list[str]


async def run(name: str, scale: float, folder: Path) -> Report:
    """
    Attack a server, and see what becomes of it and of its user.

    @param name: which of L{ATTACKS}.
    @param scale: how strong the attack is: 1, or less.
    @param folder: an empty one.
    """
    attack, strength = ATTACKS[name], Strength(scale)
    setting = settingOf(attack, strength)
    # At once, so that it is ready in time and takes nobody's processor later.
    attacker = _startAttacker(folder, name, strength)
    try:
        stage = await startServer(folder, setting)
        try:
            running = _Run(attack, strength, stage, attacker)
            seen = await running.all()
        finally:
            stage.server.__exit__(*sys.exc_info())
    finally:
        attacker.kill()
        attacker.communicate()
    counts = Counter(json.loads((folder / _COUNTED).read_text()))
    return Report(name, attack.about, seen, counts, faultsOf(seen, Bounds.of(attack, setting)))


def _startAttacker(folder: Path, name: str, strength: Strength) -> Popen[bytes]:
    """Start the process that is to attack once it is told where."""
    command = [sys.executable, "-m", "tests.attacks.attacker", name, str(strength.scale)]
    with (folder / _COUNTED).open("wb") as output:
        return Popen(command, cwd=ROOT, stdin=PIPE, stdout=output)


def settingOf(attack: Attack, strength: Strength) -> Setting:
    """Shrink limits as much as the attacks on them; at full strength they are the defaults."""
    own = attack.setting
    if strength.scale >= 1:
        return own
    least = strength.count
    login = {
        **_WEAK_LOGIN,
        "max_strangers": least(512, 8),
        "address_maxclient": least(64, 4),
        "address_burst": least(100, 20),
        "free_failures": least(5),
    }
    gate = {
        **_WEAK_GATE,
        "max_strangers": least(512, 8),
        "address_maxclient": least(256, 8),
        "address_burst": least(200, 20),
        **{key: min(value, 1) for key, value in own.gate.items()},
    }
    return evolve(own, login=login, gate=gate)


class _Run:
    """One attack."""

    def __init__(
        self, attack: Attack, strength: Strength, stage: Stage, attacker: Popen[bytes]
    ) -> None:
        self._attack = attack
        self._strength = strength
        self._stage = stage
        self._attacker = attacker
        self._pid = stage.server.process.pid
        self._watch = Watch(self._pid)
        self._periods: dict[str, Period] = {}
        self._experiences: dict[str, Experience] = {}
        interval = strength.seconds(_INTERVAL, _SHORT_INTERVAL)
        self._user = HonestUser(stage.ports, stage.setting.tokenOf, interval)

    async def all(self) -> Seen:
        """Go through it."""
        await self._user.served(PATIENCE)
        quiet = self._strength.seconds(_QUIET, _SHORT_QUIET)
        await self._user.trim()
        await self._period(BEFORE, self._quiet(quiet))
        written = len(self._stage.server.log)
        await self._period(DURING, self._attacked())
        recovery = await self._recovered()
        if self._attack.isLasting:
            await pause(self._stage.setting.gate["away_timeout"] + quiet)
        await self._period(AFTER, self._quiet(quiet))
        await self._user.trim()
        left = usageOf(self._pid).memory
        unanswered = await self._user.stop(PATIENCE)
        log = self._stage.server.log[written:]
        return Seen(self._periods, self._experiences, recovery, left, unanswered, log)

    async def _period(self, name: str, ended: Awaitable[None]) -> None:
        self._experiences[name] = experience = Experience()
        self._watch.begin()
        self._user.begin(experience)
        await ended
        self._periods[name] = self._watch.end()

    async def _quiet(self, seconds: float) -> None:
        await pause(seconds)
        # Where not, the verdict says so.
        with suppress(AssertionError):
            await self._user.served(PATIENCE)

    async def _attacked(self) -> None:
        usernames = [each.decode() for each in self._user.usernames.values()]
        told = json.dumps({"ports": self._stage.ports, "usernames": usernames})
        process = self._attacker
        assert process.stdin is not None
        process.stdin.write(f"{told}\n".encode())
        process.stdin.flush()
        most = self._strength.seconds(self._attack.seconds) + PATIENCE
        await until(lambda: process.poll() is not None, most, "the attack ends")
        if process.returncode:
            raise AssertionError(f"the attacker failed: {process.returncode}")

    async def _recovered(self) -> float | None:
        most = self._periods[BEFORE].descriptors + SPARE_DESCRIPTORS
        begun = CLOCK.seconds()
        try:
            await until(lambda: usageOf(self._pid).descriptors <= most, PATIENCE, "free again")
        except AssertionError:
            return None
        return CLOCK.seconds() - begun
