"""
How many files a process may have open: each connection is one.
"""

from __future__ import annotations

from contextlib import suppress
from math import ceil

from msgserver.clientcore import LOGIN_TIMEOUT
from msgserver.commandparts import Complaint
from msgserver.loadtest.plan import Plan
from msgserver.loadtest.statuses import Status

_SPARE = 256
"""How many files a process has besides its users' connections; logins that linger among them."""


def raiseFileLimit() -> int | None:
    """
    Have as many files open, from now on, as the system allows.

    @return: how many; None where the system does not tell.
    """
    # There is nothing like it on Windows.
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return None if hard == resource.RLIM_INFINITY else hard
    return None


def checkFiles(plan: Plan, processes: int, limit: int | None) -> None:
    """
    See that each process may have the connections of its users.

    @param limit: how many files it may have open.
    @raise Complaint: it may not.
    """
    users = -(-plan.users // processes)
    files = _SPARE + min(users, ceil(_atOnce(plan) / processes))
    if limit is not None and files > limit:
        raise Complaint(
            Status.MISTAKEN,
            f"{users:,} users in a process take up to {files:,} open files, and the system"
            f" allows {limit:,}: use more --processes, or raise that (ulimit -Hn)",
        )


def _atOnce(plan: Plan) -> float:
    """Tell how many connections there are at a time: those of users, and those of logins."""
    if not plan.takesTurns or not plan.ramp:
        return plan.users
    # Who logs in has no place yet.
    return plan.connections + plan.users / plan.ramp * LOGIN_TIMEOUT
