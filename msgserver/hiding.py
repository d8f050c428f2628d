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
    """


def hidden(failure: Failure) -> Failure:
    """Make a failure, for the log, that tells of another the type alone, and where it was."""
    told = f"{qual(type(failure.value))}, whose text is not logged: it may have a secret in it"
    return Failure(Hidden(told), Hidden, failure.getTracebackObject())
