"""The process that attacks, C{python -m tests.attacks.attacker}, as L{tests.attacks.runs} does."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Sequence

from tests.attacks.attacks import ATTACKS, Strength, Target
from tests.attacks.raids import attack

_TICK, _SHORT_TICK = 1.0, 0.2
"""Seconds from one byte of a drip to the next, at full strength and at the least."""

_NICENESS = 10
"""Real attackers bring processors of their own; here the server comes first."""


def main(arguments: Sequence[str]) -> None:
    """
    Wait until told what to attack, attack, and print what was counted.

    Where to, a line of JSON on standard input says: the ports of the server, and usernames.
    """
    name, scale = arguments
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.nice(_NICENESS)
    told = json.loads(sys.stdin.readline())
    strength = Strength(float(scale))
    chosen = ATTACKS[name]
    raids = chosen.raids(Target(told["ports"], told["usernames"], strength))
    seconds = strength.seconds(chosen.seconds)
    print(json.dumps(attack(raids, seconds, strength.seconds(_TICK, _SHORT_TICK))))


if __name__ == "__main__":
    main(sys.argv[1:])
