"""
What the commands for users share: where servers are, who proves what, and how they complain.
"""

from __future__ import annotations

from argparse import ArgumentTypeError

from msgserver.clientlogin import parseAddress
from msgserver.errors import ProtocolError
from msgserver.identity import parseIdentity

PASSWORD_VARIABLE = "MSGSERVER_PASSWORD"
"""The environment variable that may have the password."""

MAX_SECRET = 4096
"""The most bytes of a password, or of a token: more might not fit the line of a login (L1)."""

MISTAKEN = 2
"""The exit status where what was typed is wrong, as it is L{argparse}'s."""


class Complaint(Exception):
    """
    Why a command ends here; its text is one line, for whoever typed it.

    @ivar status: the exit status.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def address(text: str) -> str:
    """Read where a server is: C{host:port}, C{[IPv6 address]:port} or C{unix:} and a path."""
    if text.startswith("unix:") and text != "unix:":
        return text
    try:
        parseAddress(text)
    except ProtocolError:
        raise ArgumentTypeError("host:port, [IPv6 address]:port or unix:/path is wanted") from None
    return text


def identity(text: str) -> str:
    """Read the public part of an identity key."""
    try:
        parseIdentity(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return text


def readSecrets(path: str, what: str, most: int = -1) -> bytes:
    """
    Read a file that has a password or tokens.

    @param what: what it has, for whoever reads a complaint.
    @param most: how many bytes it may have; -1 for any number.
    @raise Complaint: it cannot be read, is empty, or has more.
    """
    try:
        with open(path, "rb") as file:
            content = file.read() if most < 0 else file.read(most + 1)
    except OSError as error:
        raise Complaint(
            MISTAKEN, f"the {what} cannot be read from {path}: {error.strerror}"
        ) from None
    if not content.strip():
        raise Complaint(MISTAKEN, f"{path} is empty, and no {what}")
    if 0 <= most < len(content):
        raise Complaint(MISTAKEN, f"{path} has more than {most} bytes, and no {what}")
    return content
