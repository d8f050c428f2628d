"""
Trying the suite on one fault after the other.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from enum import Enum
from threading import Lock

from attrs import frozen

from tests.mutants.faultlist import BadFault, Fault
from tests.mutants.simulated import DELIVERY, Found, simulate
from tests.mutants.suites import Suite
from tests.mutants.trees import Tree
from tests.mutants.trials import TEST_SECONDS, End, Outcome, Running, runTests

SIMULATION_SECONDS = 300
"""How long the simulator may take over one fault."""


class NotGreen(Exception):
    """The suite fails without a fault, so nothing can be learned from its failures."""


class Fate(Enum):
    """What has become of a fault."""

    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    BAD = "BAD FAULT"
    SIMULATED = "simulated"


@frozen
class Verdict:
    """
    What has become of a fault, and why.

    @ivar catcher: the test that caught it, or what is wrong with it.
    @ivar seconds: how long that took.
    @ivar found: what the simulator says; None where it was not asked.
    """

    fault: Fault
    fate: Fate
    catcher: str
    seconds: float
    found: Found | None = None

    def __str__(self) -> str:
        fault = self.fault
        file = fault.file.removeprefix("msgserver/")
        line = f"{self.fate.value:9} {fault.rule}  {file}: {fault.name}"
        if self.catcher:
            line += f"  <- {self.catcher}"
        if self.fate is not Fate.SIMULATED:
            line += f"  ({self.seconds:.1f} s)"
        return line if self.found is None else f"{line}  simulator: {self.found}"


@frozen
class Means:
    """
    What faults are hunted with.

    @ivar tests: whether the suite is run at all.
    @ivar slow: whether tests with real processes are run where no other has caught a fault.
    @ivar steps: how many the simulator takes over a fault in the delivery path; 0: none.
    @ivar without: the names of test modules, and of packages of them, that are left out.
    @ivar seconds: how long one test may take.
    """

    tests: bool = True
    slow: bool = True
    steps: int = 0
    without: tuple[str, ...] = ()
    seconds: int = TEST_SECONDS


class Hunt:
    """
    Tries the suite on faults, each in a tree that nobody else uses meanwhile.

    @param pristine: a tree without a fault, for what has to be checked there.
    """

    def __init__(self, pristine: Tree, means: Means) -> None:
        self._pristine = pristine
        self._means = means
        self._suite = Suite(pristine.root)
        self._slow = self._wanted(self._suite.slow) if means.slow else []
        self._slowIsGreen = False
        self._lock = Lock()
        self._running = Running()

    def end(self) -> None:
        """Kill all that runs; whoever waits for it, in another thread, has nothing to wait for."""
        self._running.endAll()

    def checkGreen(self) -> None:
        """
        See that the fast tests pass without a fault.

        @raise NotGreen: one does not.
        """
        self._check(self._wanted(self._suite.fast))

    def tryFault(self, fault: Fault, tree: Tree) -> Verdict:
        """
        Find out which test catches a fault.

        @raise NotGreen: tests with real processes are needed, and fail without a fault.
        @raise Ended: nothing is run any more.
        """
        began = time.monotonic()
        try:
            with tree.mutated(fault):
                fate, catcher = self._hunt(fault, tree)
                seconds = time.monotonic() - began
                found = None
                if self._means.steps and fault.file in DELIVERY and fate is not Fate.BAD:
                    found = self._simulate(tree)
        except BadFault as error:
            return Verdict(fault, Fate.BAD, str(error), time.monotonic() - began)
        return Verdict(fault, fate, catcher, seconds, found)

    def _hunt(self, fault: Fault, tree: Tree) -> tuple[Fate, str]:
        if not self._means.tests:
            return Fate.SIMULATED, ""
        for modules in (self._suite.likely(fault.file), self._suite.unlikely(fault.file)):
            outcome = self._run(tree, self._wanted(modules))
            if outcome.end is not End.GREEN:
                return _fateOf(outcome)
        if self._slow:
            with self._lock:
                if not self._slowIsGreen:
                    self._check(self._slow)
                    self._slowIsGreen = True
        return _fateOf(self._run(tree, self._slow))

    def _check(self, modules: list[str]) -> None:
        outcome = self._run(self._pristine, modules, goOn=True)
        if outcome.end is not End.GREEN:
            failed = "\n".join(f"  {test}" for test in outcome.failed)
            raise NotGreen(f"Without a fault, {outcome.end.value}:\n{failed}\n{outcome.detail}")

    def _run(self, tree: Tree, modules: list[str], goOn: bool = False) -> Outcome:
        return runTests(tree, modules, self._means.seconds, goOn, self._running)

    def _simulate(self, tree: Tree) -> Found:
        return simulate(tree, self._means.steps, SIMULATION_SECONDS, self._running)

    def _wanted(self, modules: Iterable[str]) -> list[str]:
        # All that is in a package begins with its name and a dot. An empty tuple begins nothing.
        unwanted = tuple(f"{name}." for name in self._means.without)
        return [each for each in modules if not f"{each}.".startswith(unwanted)]


def _fateOf(outcome: Outcome) -> tuple[Fate, str]:
    match outcome.end:
        case End.GREEN:
            return Fate.SURVIVED, ""
        case End.BAD:
            return Fate.BAD, f"its import fails: {outcome.detail.strip().splitlines()[-1]}"
        case End.FAILED:
            return Fate.CAUGHT, outcome.test
        case End.TIMEOUT:
            return Fate.CAUGHT, f"a time-out in {outcome.test}"
        case End.CRASHED:
            return Fate.CAUGHT, f"a crash in {outcome.test}"
