"""
How C{msgserver-client} ends: its exit statuses, and what it complains of.
"""

from __future__ import annotations

from enum import IntEnum

NAME = "msgserver-client"
"""What the command is called."""


class Status(IntEnum):
    """The exit statuses."""

    FINE = 0
    FAILED = 1
    MISTAKEN = 2
    REFUSED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


class Unexpected(Exception):
    """An expectation was not met; the text says what it was."""
