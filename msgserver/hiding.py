"""
Logging what a handler raised that had been given a secret (L6).
"""

from __future__ import annotations

from twisted.python.failure import Failure
from twisted.python.reflect import qual


class Hidden(Exception):
    """
    What a handler raised, without its text: C{users[token]} raises a C{KeyError} whose text is
    the token.

    @ivar kind: its type.
    """

    def __init__(self, kind: type[BaseException]) -> None:
        super().__init__(f"{qual(kind)}, whose text is not logged: it may have a secret in it")
        self.kind = kind


def hidden(failure: Failure) -> Failure:
    """Make a failure, for the log, that tells of another the type alone, and where it was."""
    assert failure.value is not None
    return Failure(Hidden(type(failure.value)), Hidden, failure.getTracebackObject())


def isOf(failure: Failure, kind: type[BaseException]) -> bool:
    """Say whether a failure, hidden or not, is of a kind."""
    error = failure.value
    return issubclass(error.kind if isinstance(error, Hidden) else type(error), kind)
