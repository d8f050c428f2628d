"""
Apply deliberate faults one at a time, and see that the suite catches each.

The tests most likely to catch a fault come first, then all other fast ones, and those with real
processes last. The exit status is 1 where a fault survives, or is none.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from tests.mutants.faultlist import FOLDER, Fault, readFaults
from tests.mutants.hunting import Fate, Hunt, Means, NotGreen, Verdict
from tests.mutants.simulated import DELIVERY, STEPS
from tests.mutants.trees import ROOT, Tree
from tests.mutants.trials import TEST_SECONDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Do as the command line says, and give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only faults with this in their name, file, rule")
    parser.add_argument("--list", action="store_true", help="list the faults, and run nothing")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--fast", action="store_true", help="no tests with real processes")
    parser.add_argument("--seconds", type=int, default=TEST_SECONDS, help="for one test")
    parser.add_argument("--without", action="append", default=[], help="a test module to skip")
    parser.add_argument("--simulate", type=int, default=0, help="steps of the simulator as well")
    parser.add_argument("--only-simulation", action="store_true", help="the simulator alone")
    parser.add_argument("--faults", type=Path, default=FOLDER, help=argparse.SUPPRESS)
    parser.add_argument("--tree", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    steps = options.simulate
    faults = [each for each in readFaults(options.faults) if each.isMeant(options.words or [""])]
    if options.only_simulation:
        steps = steps or STEPS
        faults = [each for each in faults if each.file in DELIVERY]
    if not faults:
        parser.error("there is no such fault")
    if options.list:
        print("\n".join(f"{each.rule}  {each.file}: {each.name}" for each in faults))
        return 0
    means = Means(
        not options.only_simulation,
        not options.fast,
        steps,
        tuple(options.without),
        options.seconds,
    )
    try:
        verdicts = list(_told(_hunt(options.tree, faults, means, options.jobs)))
    except NotGreen as error:
        print(f"\n{error}")
        return 1
    return _sumUp(verdicts, options.tree)


def _hunt(root: Path, faults: Iterable[Fault], means: Means, jobs: int) -> Iterator[Verdict]:
    """Try each fault, in copies of the tree as it is now."""
    with TemporaryDirectory(prefix="mutants-") as temporary:
        pristine = Tree.copy(root, Path(temporary, "pristine"))
        hunt = Hunt(pristine, means)
        if means.tests:
            print("Without a fault:", end=" ", flush=True)
            hunt.checkGreen()
            print("all fast tests pass.", flush=True)
        trees: SimpleQueue[Tree] = SimpleQueue()
        for number in range(jobs):
            trees.put(Tree.copy(pristine.root, Path(temporary, f"tree-{number}")))

        def tryOne(fault: Fault) -> Verdict:
            tree = trees.get()
            try:
                return hunt.tryFault(fault, tree)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(jobs) as executor:
            yield from executor.map(tryOne, faults)


def _told(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    for verdict in verdicts:
        print(verdict, flush=True)
        yield verdict


def _sumUp(verdicts: Sequence[Verdict], root: Path) -> int:
    """Say what it all comes to, and show what survived."""
    fates = Counter(verdict.fate for verdict in verdicts)
    catchers = Counter(
        verdict.catcher.rsplit(".", 2)[0] for verdict in verdicts if verdict.fate is Fate.CAUGHT
    )
    print()
    for module, count in catchers.most_common():
        print(f"{count:5} caught by {module}")
    asked = [verdict.found for verdict in verdicts if verdict.found is not None]
    if asked:
        found = sum(bool(each.violation) for each in asked)
        print(f"{found:5} of {len(asked)} found by the simulator alone")
    print(f"{len(verdicts)} faults:", ", ".join(f"{n} {fate.value}" for fate, n in fates.items()))
    for verdict in verdicts:
        if verdict.fate is Fate.SURVIVED:
            print(f"\nSurvived ({verdict.fault.rule}):")
            print(verdict.fault.diff((root / verdict.fault.file).read_text()))
    return 1 if fates[Fate.SURVIVED] or fates[Fate.BAD] else 0


if __name__ == "__main__":
    sys.exit(main())
