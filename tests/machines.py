"""
How the state machines are run: the same few examples in every test run, or many new ones.

For more than the tests do, and other examples each time::

    python -m tests.machines --examples 100000 [--steps 50] [machine ...]
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections import Counter
from importlib import import_module
from typing import ClassVar

from hypothesis import HealthCheck, Phase, currently_in_test_context, event, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

MACHINES = {
    "any": ("tests.sessionsmachine", "AnyMachine"),
    "increasing": ("tests.sessionsmachine", "IncreasingMachine"),
    "login": ("tests.wire.loginmachine", "LoginMachine"),
    "modern": ("tests.wire.loginmachine", "ModernLoginMachine"),
    "gate": ("tests.wire.gatemachine", "GateMachine"),
}
"""Each machine's module and class, by the name that the command knows it by."""

STEPS = 30
"""How many steps an example has at most, unless the command says otherwise."""

# How long an example takes is no verdict; shared computers are slow at times.
_common = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


class Machine(RuleBasedStateMachine):
    """
    A state machine that notes which situations its examples reach.

    @cvar situations: those that every run must reach; each begins with its rule.
    @cvar rare: those that a short run may miss.
    @cvar reached: in how many examples each came about.
    """

    situations: ClassVar[frozenset[str]] = frozenset()
    rare: ClassVar[frozenset[str]] = frozenset()
    reached: ClassVar[Counter[str]]

    def __init_subclass__(cls) -> None:
        """Count for each machine by itself."""
        cls.reached = Counter()

    def __init__(self) -> None:
        super().__init__()
        self._noted: set[str] = set()

    def note(self, situation: str) -> None:
        """
        Take note that a situation has come about; hypothesis counts it, too.

        @param situation: one of L{situations} or L{rare}.
        """
        if situation not in self._noted:
            assert situation in self.situations | self.rare, situation
            self._noted.add(situation)
            self.reached[situation] += 1
            if currently_in_test_context():
                event(situation)

    @property
    def noted(self) -> frozenset[str]:
        """What has come about in this example."""
        return frozenset(self._noted)

    @classmethod
    def unreached(cls) -> list[str]:
        """Give the situations that no example so far has come upon."""
        return sorted(cls.situations - cls.reached.keys())


def runAlways(machine: type[Machine], maxExamples: int) -> None:
    """
    Run a machine as the tests do: the same examples each time.

    @raise AssertionError: a situation was not reached, or whatever the machine has found.
    """
    machine.reached.clear()
    fixed = settings(
        _common,
        derandomize=True,
        database=None,
        max_examples=maxExamples,
        stateful_step_count=STEPS,
    )
    run_state_machine_as_test(machine, settings=fixed)
    unreached = machine.unreached()
    assert not unreached, f"no example reaches {unreached}"


def main(arguments: list[str]) -> None:
    """Run machines for as many examples as told, and print what was reached."""
    parser = ArgumentParser(prog="python -m tests.machines", description=__doc__)
    parser.add_argument("machines", metavar="machine", nargs="*", help=", ".join(MACHINES))
    parser.add_argument("--examples", type=int, default=1000, help="of each machine")
    parser.add_argument("--steps", type=int, default=STEPS, help="at most, of each example")
    options = parser.parse_args(arguments)
    for name in options.machines or MACHINES:
        if name not in MACHINES:
            parser.error(f"no machine {name!r}: there are {', '.join(MACHINES)}")
    many = settings(
        _common,
        database=None,
        max_examples=options.examples,
        stateful_step_count=options.steps,
        print_blob=False,
        phases=[Phase.generate, Phase.target, Phase.shrink],
    )
    for name in options.machines or MACHINES:
        module, className = MACHINES[name]
        machine: type[Machine] = getattr(import_module(module), className)
        print(f"{name}: {options.examples} examples of at most {options.steps} steps", flush=True)
        run_state_machine_as_test(machine, settings=many)
        for situation in sorted(machine.situations | machine.rare):
            print(f"{machine.reached[situation]:8}  {situation}")


if __name__ == "__main__":
    main(sys.argv[1:])
