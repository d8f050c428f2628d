"""
Passwords as they may be stored: scrypt (RFC 7914), each with a salt of its own.

C{python -m msgserver.passwords} asks for a password and prints what to put into a config.
"""

from __future__ import annotations

import re
from getpass import getpass
from hashlib import scrypt
from hmac import compare_digest
from os import urandom

from msgserver.wire.naming import decode64, encode64

_SCHEME = "scrypt"
_TOKEN = re.compile(rb"([^@]+)@([^:]+):(.+)", re.DOTALL)
_STORED = re.compile(rf"{_SCHEME}\$" + r"([1-9][0-9]*)\$" * 3 + r"([^$]*)\$([^$]*)")
# 16 MiB and about 50 ms for each password.
_COST, _BLOCK_SIZE, _PARALLELISM = 2**14, 8, 1
_MOST_MEMORY = 64 * 1024 * 1024
_SALT_SIZE = 16
_HASH_SIZE = 32

UNKNOWN = f"{_SCHEME}${_COST}${_BLOCK_SIZE}${_PARALLELISM}$AAAAAAAAAAAAAAAAAAAAAA==${'A' * 43}="
"""A hash that no password is known for, and that takes as long as any to check against."""


def hashPassword(password: bytes) -> str:
    """Make what may be stored of a password: C{scrypt$n$r$p$base64(salt)$base64(hash)}."""
    salt = urandom(_SALT_SIZE)
    digest = scrypt(password, salt=salt, n=_COST, r=_BLOCK_SIZE, p=_PARALLELISM, dklen=_HASH_SIZE)
    parameters = f"{_SCHEME}${_COST}${_BLOCK_SIZE}${_PARALLELISM}"
    return f"{parameters}${encode64(salt).decode()}${encode64(digest).decode()}"


def passwordToken(user: str | bytes, server: str | bytes, password: str | bytes) -> bytes:
    """
    Make the token that L{msgserver.handlers.PasswordLoginHandler} takes, which is that of the
    original's examples: C{base64(user)@base64(server):base64(password)}.

    Text is written as UTF-8.

    @param server: the gate's name.
    """
    parts = (
        part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        for part in (user, server, password)
    )
    return b"%b@%b:%b" % tuple(map(encode64, parts))


def parsePasswordToken(token: bytes) -> tuple[bytes, bytes, bytes]:
    """
    Take apart what L{passwordToken} makes.

    @return: the user, the gate's name, the password.
    @raise ValueError: it is not of that form.
    """
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise ValueError("the token is not of the form user@server:password")
    try:
        user, server, password = map(decode64, match.groups())
    except ValueError:
        raise ValueError("a part of the token is not base64") from None
    return user, server, password


def isHash(stored: str) -> bool:
    """Say whether C{stored} is what L{hashPassword} makes."""
    try:
        _parse(stored)
    except ValueError:
        return False
    return True


def isPassword(password: bytes, stored: str) -> bool:
    """
    Say, in a time that does not depend on the answer, whether C{stored} was made from it.

    It takes some 50 ms of a processor, so a reactor's thread is no place for it.

    @raise ValueError: C{stored} is nothing that L{hashPassword} made.
    """
    cost, blockSize, parallelism, salt, digest = _parse(stored)
    found = scrypt(
        password,
        salt=salt,
        n=cost,
        r=blockSize,
        p=parallelism,
        maxmem=_MOST_MEMORY,
        dklen=len(digest),
    )
    return compare_digest(found, digest)


def _parse(stored: str) -> tuple[int, int, int, bytes, bytes]:
    match = _STORED.fullmatch(stored)
    if match is None:
        raise ValueError("not of the form scrypt$n$r$p$salt$hash")
    cost, blockSize, parallelism = map(int, match.groups()[:3])
    salt, digest = (decode64(part.encode()) for part in match.groups()[3:])
    if not digest or cost < 2 or cost & (cost - 1):
        raise ValueError("an empty hash, or a cost that is no power of two")
    # As OpenSSL reckons it.
    if 128 * blockSize * (cost + 2 + parallelism) > _MOST_MEMORY:
        raise ValueError("a hash that takes too much memory to check")
    return cost, blockSize, parallelism, salt, digest


def main() -> None:
    """
    Ask for a password and print its hash.

    @raise SystemExit: there was none.
    """
    try:
        password = getpass("Password: ")
    except EOFError:
        password = ""
    if not password:
        raise SystemExit("no password, no hash")
    print(hashPassword(password.encode()))


if __name__ == "__main__":
    main()
