"""
Whether the simulator alone finds a fault, and after how many steps.
"""

from __future__ import annotations

import re
import sys

from attrs import frozen

from tests.mutants.trees import Tree
from tests.mutants.trials import KILLED, Running, runInSession

STEPS = 20_000
"""How many steps the simulator takes over a fault unless told otherwise."""

DELIVERY = frozenset(
    f"msgserver/{name}.py"
    for name in (
        *("sessions", "kept", "answering", "msgservice", "msgprotocol", "deadlines", "limits"),
        *("closing", "later", "client", "clientlogin", "clientprotocols", "reconnecting"),
        *("wire/framing", "wire/gate", "wire/naming"),
    )
)
"""The files on the way of a request and its answer: where the simulator may find a fault."""

_VIOLATION = re.compile(r"^VIOLATION (.*)$", re.MULTILINE)
_STEPS = re.compile(r"^After ([\d,]+) steps", re.MULTILINE)


@frozen
class Found:
    """
    What the simulator says of a fault.

    @ivar steps: after how many it was found; None where it does not say.
    @ivar violation: what did not hold; empty where everything did.
    """

    steps: int | None
    violation: str

    def __str__(self) -> str:
        if not self.violation:
            return "no"
        after = "" if self.steps is None else f" after {self.steps:,} steps"
        return f"yes{after}: {self.violation}"


def simulate(tree: Tree, steps: int, seconds: int, running: Running) -> Found:
    """
    Run the simulator in a tree.

    @param seconds: how long it may take.
    @param running: what keeps its process.
    """
    command = [sys.executable, "-m", "tests.simulation", "--steps", str(steps), "--no-shrink"]
    return readSimulation(*runInSession(command, tree, running, seconds))


def readSimulation(status: int, printed: str) -> Found:
    """
    Read what C{python -m tests.simulation} has said.

    @param status: that of its process.
    """
    if status == 0:
        return Found(None, "")
    violation = _VIOLATION.search(printed)
    steps = _STEPS.search(printed)
    if violation is not None:
        return Found(None if steps is None else int(steps[1].replace(",", "")), violation[1])
    if status == KILLED:
        return Found(None, "it never came to an end")
    last = printed.strip().rpartition("\n")[2]
    return Found(None, f"it crashed: {last[:200]}")
