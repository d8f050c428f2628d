"""
A copy of the tree, to put faults into: the tree itself is never touched.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mutants.faultlist import Fault

ROOT = Path(__file__).resolve().parents[2]


class Tree:
    """
    A tree that tests can run in.

    @ivar root: its folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def copy(cls, source: Path, root: Path) -> Tree:
        """
        Copy all of a tree but what git ignores.

        @param root: a folder that does not exist yet.
        """
        ignored = [".git"]
        file = source / ".gitignore"
        if file.exists():
            ignored += [line.strip("/") for line in file.read_text().split()]
        shutil.copytree(source, root, ignore=shutil.ignore_patterns(*ignored))
        return cls(root)

    @contextmanager
    def mutated(self, fault: Fault) -> Iterator[None]:
        """
        Have a fault in the tree for as long as the context lasts.

        @raise BadFault: its old text is not there, or not once.
        """
        path = self.root / fault.file
        source = path.read_text()
        path.write_text(fault.applied(source))
        try:
            yield
        finally:
            path.write_text(source)

    def environment(self) -> dict[str, str]:
        """
        Give what a process needs in its environment to import what is in this tree, and its
        children too: it comes before whatever is installed, an editable install included.
        """
        return {
            **os.environ,
            "PYTHONPATH": str(self.root),
            # What one fault compiled to is not to be taken for another.
            "PYTHONDONTWRITEBYTECODE": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(self.root.parent / "hypothesis"),
            # Where the scripts of the interpreter are, whether it is on the path or not.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }
