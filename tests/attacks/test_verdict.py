"""The verdict on a run: each thing that must not be is found, and nothing else."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.attacks.attacks import ATTACKS
from tests.attacks.honest import LOGIN, RECONNECT, REQUEST, Experience
from tests.attacks.stage import Setting
from tests.attacks.verdict import AFTER, BEFORE, DURING, Bounds, Seen, faultsOf
from tests.attacks.watching import Period

MIB = 1024 * 1024

BOUNDS = Bounds(connections=1000, memory=30 * MIB, kept=10 * MIB)


def served() -> Experience:
    """Give what a user sees who is served."""
    experience = Experience()
    for kind in (REQUEST, RECONNECT, LOGIN):
        experience.seconds[kind].append(0.1)
    return experience


def seen() -> Seen:
    """Give what is seen where all is well."""
    return Seen(
        periods={
            BEFORE: Period(memory=50 * MIB, descriptors=15, cpu=0.1),
            DURING: Period(memory=80 * MIB, descriptors=900, cpu=0.9),
            AFTER: Period(memory=70 * MIB, descriptors=15, cpu=0.1),
        },
        experiences={name: served() for name in (BEFORE, DURING, AFTER)},
        recovery=0.5,
        left=52 * MIB,
        unanswered={REQUEST: 0},
        log="2026-11-24 all is well\n",
    )


class VerdictTests(SynchronousTestCase):
    def assertFault(self, part: str, changed: Seen) -> None:
        """See that exactly one thing is found to be wrong."""
        faults = faultsOf(changed, BOUNDS)
        self.assertEqual(len(faults), 1, faults)
        self.assertIn(part, faults[0])

    def during(self, **changes: int) -> Seen:
        """Give what is seen with another period of the attack."""
        periods = {**seen().periods, DURING: evolve(seen().periods[DURING], **changes)}
        return evolve(seen(), periods=periods)

    def test_well(self) -> None:
        """Nothing is found where all is well."""
        self.assertEqual(faultsOf(seen(), BOUNDS), [])

    def test_descriptors(self) -> None:
        """Too many at once, and those that stay."""
        self.assertFault("2085 more during the attack", self.during(descriptors=2100))
        self.assertFault("are open still", evolve(seen(), recovery=None))

    def test_memory(self) -> None:
        """Too much at once, and what stays in use."""
        self.assertFault("200.0 MiB during the attack", self.during(memory=200 * MIB))
        self.assertFault("69.0 MiB in use in the end", evolve(seen(), left=69 * MIB))

    def test_log(self) -> None:
        """A bug that shows under attack."""
        self.assertFault("traceback", evolve(seen(), log="Traceback (most recent call last)"))
        self.assertFault("traceback", evolve(seen(), log="Unhandled error in Deferred"))

    def test_user(self) -> None:
        """Requests that fail, and nobody who comes in."""
        for what in ("failed", "wrong"):
            experience = served()
            experience.counts[what] = 2
            experiences = {**seen().experiences, DURING: experience}
            self.assertFault("2 requests lost", evolve(seen(), experiences=experiences))
        for kind in (RECONNECT, LOGIN):
            experience = served()
            del experience.seconds[kind]
            experiences = {**seen().experiences, DURING: experience}
            self.assertFault(f"no {kind}", evolve(seen(), experiences=experiences))
        self.assertFault("never answered", evolve(seen(), unanswered={REQUEST: 1}))

    def test_bounds(self) -> None:
        """Bounds are what the limits add up to: those that are set, or the defaults."""
        attack = ATTACKS["silent"]
        self.assertEqual(Bounds.of(attack, Setting()).connections, 2 * 512)
        limits = Setting(login={"max_strangers": 5}, gate={"max_strangers": 6})
        self.assertEqual(Bounds.of(attack, limits).connections, 11)
        limits = Setting(login={"max_strangers": 5, "maxclient": 7}, hasPasswords=True)
        self.assertEqual(Bounds.of(attack, limits).connections, 5 + 512 + 7)
