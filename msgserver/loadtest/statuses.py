"""
How C{msgserver-bench} ends: its exit statuses, and what it complains of.
"""

from __future__ import annotations

from enum import IntEnum

NAME = "msgserver-bench"
"""What the command is called."""


class Status(IntEnum):
    """The exit statuses."""

    VERIFIED = 0
    FAILED = 1
    MISTAKEN = 2
    REFUSED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130
