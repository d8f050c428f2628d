"""
What a fault is, and where they are written down.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from difflib import unified_diff
from pathlib import Path

from attrs import frozen

FOLDER = Path(__file__).parent / "faults"
"""Where the faults are: each file a table of arrays, by the file that they are faults in."""


class BadFault(Exception):
    """A fault that cannot be made, or that nothing can be learned from."""


@frozen
class Fault:
    """
    One deliberate fault.

    @ivar name: what goes wrong, in plain words.
    @ivar rule: the rule that it breaks, or the nearest to what it breaks.
    @ivar file: from the root of the tree.
    @ivar old: a text that occurs in the file once.
    @ivar new: what stands there instead.
    """

    name: str
    rule: str
    file: str
    old: str
    new: str

    def applied(self, source: str) -> str:
        """
        Put the fault into the text of its file.

        @raise BadFault: its old text does not occur there exactly once.
        """
        count = source.count(self.old)
        if count != 1:
            raise BadFault(f"its old text occurs {count} times in {self.file}")
        return source.replace(self.old, self.new)

    def diff(self, source: str) -> str:
        """Show what the fault makes of the text of its file."""
        lines = unified_diff(
            source.splitlines(),
            self.applied(source).splitlines(),
            self.file,
            f"{self.file}: {self.name}",
            lineterm="",
        )
        return "\n".join(lines)

    def isMeant(self, words: Iterable[str]) -> bool:
        """Say whether one of the words occurs in the fault's name, or is its file or rule."""
        return any(
            word in self.name or word == self.rule or self.file.endswith(word) for word in words
        )


def readFaults(folder: Path = FOLDER) -> list[Fault]:
    """
    Read all faults, in the order of their files.

    @raise TypeError: something of a fault is missing, or is too much.
    """
    return [
        Fault(file=file, **described)
        for path in sorted(folder.glob("*.toml"))
        for file, faults in tomllib.loads(path.read_text()).items()
        for described in faults
    ]
