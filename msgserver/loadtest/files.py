"""
How many files a process may have open: each connection is one.
"""

from __future__ import annotations

from contextlib import suppress

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
    if limit is not None and users + _SPARE > limit:
        raise Complaint(
            Status.MISTAKEN,
            f"{users:,} users in a process take up to {users + _SPARE:,} open files, and the system"
            f" allows {limit:,}: use more --processes, or raise that (ulimit -Hn)",
        )
