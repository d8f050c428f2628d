"""
Compiled sessions: what tests cannot do with them, and a copy of the tree that has them.

C{python -m tests.compilation} runs all tests there; with names behind it, those alone.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from sysconfig import get_config_var
from tempfile import TemporaryDirectory
from unittest import skipIf
from zipfile import ZipFile

from msgserver.compiled import isCompiled
from tests.mutants.trees import ROOT, Tree

patchesSessions = skipIf(isCompiled, "what is compiled calls its own parts without looking them up")
"""For tests that put something else in the place of a part of sessions or kept."""


def whyNot() -> str | None:
    """Say what is missing here to compile, or None."""
    compiler = shlex.split(os.environ.get("CC") or get_config_var("CC") or "cc")[0]
    if which(compiler) is None:
        return f"there is no C compiler ({compiler})"
    if find_spec("mypyc") is None:
        return "there is no mypyc: it comes with mypy"
    return None


class NotCompiled(Exception):
    """There is no wheel: the text is what its building has printed."""


def buildWheel(tree: Tree, folder: Path) -> Path:
    """
    Build a compiled wheel of a tree, of what is installed here and nothing from elsewhere.

    @param folder: where to put it; there is none there yet.
    @raise NotCompiled: it cannot be built.
    """
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps"),
            *("--no-index", "--disable-pip-version-check", "--wheel-dir", folder, tree.root),
        ],
        env=os.environ | {"MSGSERVER_COMPILE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotCompiled(done.stdout)
    (wheel,) = folder.glob("*.whl")
    return wheel


def copyCompiled(folder: Path) -> Tree:
    """
    Copy the tree, compile it, and put what was compiled beside its sources.

    @raise NotCompiled: it cannot be compiled.
    """
    tree = Tree.copy(ROOT, folder / "tree")
    with ZipFile(buildWheel(tree, folder / "wheel")) as wheel:
        for name in wheel.namelist():
            if Path(name).suffix in (".so", ".pyd"):
                wheel.extract(name, tree.root)
    return tree


def main(arguments: list[str]) -> int:
    """Run tests on a compiled copy, and give their exit status."""
    parser = ArgumentParser(prog="python -m tests.compilation", description=__doc__)
    parser.add_argument("tests", nargs="*", default=["tests"], help="as trial names them")
    names = parser.parse_args(arguments).tests
    missing = whyNot()
    if missing is not None:
        parser.exit(1, f"{missing}\n")
    with TemporaryDirectory(prefix="msgserver-compiled-") as folder:
        try:
            tree = copyCompiled(Path(folder))
            done = subprocess.run(
                [sys.executable, "-m", "twisted.trial", *names],
                cwd=tree.root,
                env=tree.environment(),
                check=False,
            )
        except NotCompiled as error:
            parser.exit(1, str(error))
        except KeyboardInterrupt:
            return 130
        return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
