"""
C{msgserver-client}: talk to any server of this wire, by hand or by script.

C{python -m msgserver.commandline} and C{python -m msgserver.client} are the same. What is said
on the command line, L{msgserver.commandline.options} reads; what is said at the prompt,
L{msgserver.commandline.commands}; L{msgserver.commandline.conversation} carries it out, and
L{msgserver.commandline.running} says which exit status comes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """
    Carry out a command line.

    @param arguments: without the command's own name; by default, those of the process.
    @raise SystemExit: always, with one of L{msgserver.commandline.statuses.Status}.
    """
    from msgserver.commandline.running import run

    raise SystemExit(run(arguments))
