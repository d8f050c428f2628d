"""
Apply deliberate faults one at a time, and see that the suite catches each.

The tests most likely to catch a fault come first, then all other fast ones, and those with real
processes last. The exit status is 1 where a fault survives, or is none.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from tests.mutants.faultlist import FOLDER, Fault, readFaults
from tests.mutants.hunting import Fate, Hunt, Means, NotGreen, Verdict
from tests.mutants.simulated import DELIVERY, STEPS
from tests.mutants.trees import ROOT, Tree
from tests.mutants.trials import TEST_SECONDS

_INTERRUPTED = 130
"""The exit status of what Ctrl-C has ended, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do as the command line says, and give the exit status."""
    options, faults = _parse(arguments)
    try:
        if not options.list:
            return _tryAll(options, faults)
        print("\n".join(f"{each.rule}  {each.file}: {each.name}" for each in faults), flush=True)
        return 0
    except BrokenPipeError:
        # Whoever read it has read enough; nothing is to be written there at the end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0 if options.list else 1


def _parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[Fault]]:
    """Read the command line, and the faults that it names."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only faults with this in their name, file, rule")
    parser.add_argument("--list", action="store_true", help="list the faults, and run nothing")
    parser.add_argument("--jobs", type=_atLeast(1), default=1, help="how many at a time (1)")
    parser.add_argument("--fast", action="store_true", help="no tests with real processes")
    parser.add_argument(
        "--seconds",
        type=_atLeast(1),
        default=TEST_SECONDS,
        help=f"how long one test may take ({TEST_SECONDS})",
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="MODULE",
        help="a test module to skip, or a package of them, such as tests.wire",
    )
    parser.add_argument(
        "--simulate",
        type=_atLeast(0),
        default=0,
        metavar="STEPS",
        help="steps of the simulator as well (0)",
    )
    parser.add_argument("--only-simulation", action="store_true", help="the simulator alone")
    parser.add_argument("--faults", type=Path, default=FOLDER, help=argparse.SUPPRESS)
    parser.add_argument("--tree", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for name in options.without:
        if not _isModule(options.tree, name):
            parser.error(f"--without: there is no module {name!r} in {options.tree}")
    faults = [each for each in readFaults(options.faults) if each.isMeant(options.words or [""])]
    if options.only_simulation:
        options.simulate = options.simulate or STEPS
        faults = [each for each in faults if each.file in DELIVERY]
    if not faults:
        parser.error("there is no such fault: --list, without words, shows all there are")
    return options, faults


def _atLeast(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of {least} or more")
        return number

    return read


def _isModule(root: Path, name: str) -> bool:
    """Say whether a tree has a module or a package of that name."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        return False
    path = root.joinpath(*parts)
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _tryAll(options: argparse.Namespace, faults: Sequence[Fault]) -> int:
    """Try faults, tell of each, and sum up; give the exit status."""
    means = Means(
        not options.only_simulation,
        not options.fast,
        options.simulate,
        tuple(options.without),
        options.seconds,
    )
    verdicts: list[Verdict] = []
    try:
        with closing(_hunt(options.tree, faults, means, options.jobs)) as hunt:
            for verdict in hunt:
                print(verdict, flush=True)
                verdicts.append(verdict)
    except NotGreen as error:
        print(f"\n{error}")
        return 1
    except KeyboardInterrupt:
        fates = Counter(verdict.fate for verdict in verdicts)
        told = ", ".join(f"{n} {fate.value}" for fate, n in fates.items()) or "nothing is known"
        print(f"Interrupted. Of {len(faults)} faults {len(verdicts)} were tried: {told}.")
        return _INTERRUPTED
    return _sumUp(verdicts, options.tree)


def _hunt(
    root: Path, faults: Sequence[Fault], means: Means, jobs: int
) -> Generator[Verdict, None, None]:
    """Try each fault, in copies of the tree as it is now."""
    with TemporaryDirectory(prefix="mutants-") as temporary:
        pristine = Tree.copy(root, Path(temporary, "pristine"))
        hunt = Hunt(pristine, means)
        if means.tests:
            print("Without a fault: running the fast tests (a minute or two)...", flush=True)
            hunt.checkGreen()
            print("All fast tests pass without a fault.", flush=True)
        trees: SimpleQueue[Tree] = SimpleQueue()
        for number in range(min(jobs, len(faults))):
            trees.put(Tree.copy(pristine.root, Path(temporary, f"tree-{number}")))

        def tryOne(fault: Fault) -> Verdict:
            tree = trees.get()
            try:
                return hunt.tryFault(fault, tree)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(jobs) as executor:
            try:
                yield from executor.map(tryOne, faults)
            except BaseException:
                # Whoever wants no more, by Ctrl-C for one, does not wait for what runs.
                hunt.end()
                raise


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
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
