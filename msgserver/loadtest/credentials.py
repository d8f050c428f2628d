"""
Where the users' tokens come from. They are handed on, and kept nowhere else; nothing here writes
or shows one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from msgserver.commandparts import MAX_SECRET, PASSWORD_VARIABLE, Complaint, readSecrets
from msgserver.loadtest.plan import MAX_USERS, Plan
from msgserver.loadtest.statuses import Status
from msgserver.passwords import passwordToken

MAX_TOKENS = MAX_USERS * (MAX_SECRET + 1)
"""The most bytes of a file of tokens: all that there may be, and the end of each line."""


def tokensFromFile(path: str, users: int) -> tuple[str, ...]:
    """
    Read tokens from a file: one line for all users, or a line for each.

    @param users: how many there are.
    @return: as L{msgserver.loadtest.plan.Target} has them.
    @raise Complaint: it cannot be read, or has too few.
    """
    lines = readSecrets(path, "token", MAX_TOKENS).splitlines()
    tokens = tuple(os.fsdecode(line) for line in lines[:users])
    if 1 < len(tokens) < users:
        raise Complaint(
            Status.MISTAKEN,
            f"{path} has {len(tokens):,} tokens, a line each: {users:,} users need as many, or one"
            " line for all, with {n} or {user} in it",
        )
    for number, line in enumerate(lines[:users], 1):
        if not 0 < len(line) <= MAX_SECRET:
            raise Complaint(
                Status.MISTAKEN, f"{path}:{number}: a token has 1 to {MAX_SECRET:,} bytes"
            )
    return tokens


def takePassword(path: str | None, environment: Mapping[str, str] = os.environ) -> bytes:
    """
    Give the password that all users have: the first line of a file, or what the environment has.

    @param path: the file; None for the environment.
    @raise Complaint: there is none.
    """
    if path is not None:
        password = readSecrets(path, "password", MAX_SECRET).splitlines()[0]
    else:
        password = os.fsencode(environment.get(PASSWORD_VARIABLE, ""))
    if not 0 < len(password) <= MAX_SECRET:
        raise Complaint(
            Status.MISTAKEN,
            f"the users' password is wanted, 1 to {MAX_SECRET:,} bytes: --password-file FILE or"
            f" {PASSWORD_VARIABLE} can have it; or --demo, to try a server of its own",
        )
    return password


def passwordTokens(plan: Plan, password: bytes) -> tuple[str, ...]:
    """Write the tokens of all users, who have one password."""
    target = plan.target
    numbers = range(1, plan.users + 1)
    return tuple(
        passwordToken(target.nameOf(number), target.server, password).decode() for number in numbers
    )
