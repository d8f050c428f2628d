"""
Where the token comes from: a file, the environment, or whoever sits at the terminal.

It is handed on, and kept nowhere else; nothing here writes or shows it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from getpass import getpass

from msgserver.commandline.commands import encoded
from msgserver.commandline.options import Options
from msgserver.commandline.statuses import Status
from msgserver.commandparts import MAX_SECRET, PASSWORD_VARIABLE, Complaint, readSecrets
from msgserver.passwords import passwordToken

TERMINAL = "/dev/tty"
"""Where a password is asked for."""


def takeToken(
    options: Options,
    environment: Mapping[str, str] = os.environ,
    ask: Callable[[str], str] | None = None,
) -> bytes:
    """
    Give the token to log in with: what a file has, or one as
    L{msgserver.handlers.PasswordLoginHandler} wants it.

    @param ask: asks for a password; by default, at the terminal, without showing it.
    @raise Complaint: there is none.
    """
    if options.tokenFile is not None:
        return readSecrets(options.tokenFile, "token", MAX_SECRET)
    if options.passwordFile is not None:
        password = readSecrets(options.passwordFile, "password", MAX_SECRET).splitlines()[0]
    elif (found := environment.get(PASSWORD_VARIABLE)) is not None:
        password = encoded(found)
    else:
        password = encoded(_ask(f"Password of {options.user}: ", ask or _atTerminal))
    if not password:
        raise Complaint(Status.MISTAKEN, "the password is empty")
    if len(password) > MAX_SECRET:
        raise Complaint(Status.MISTAKEN, f"the password has more than {MAX_SECRET} bytes")
    return passwordToken(options.user, options.server, password)


def _ask(prompt: str, ask: Callable[[str], str]) -> str:
    try:
        return ask(prompt)
    except (EOFError, OSError):
        raise Complaint(
            Status.MISTAKEN,
            f"there is no terminal to ask for the password: --password-file FILE or"
            f" {PASSWORD_VARIABLE} can have it",
        ) from None


def _atTerminal(prompt: str) -> str:
    # Without a terminal getpass would read the password, visibly, from where commands come from.
    with open(TERMINAL, "rb"):
        pass
    return getpass(prompt)
