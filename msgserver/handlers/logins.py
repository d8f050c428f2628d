"""
A login handler that has a table of users.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from msgserver.errors import Unauthorized
from msgserver.interfaces import Account, ILoginHandler, INamesUser
from msgserver.passwords import UNKNOWN, isHash, isPassword
from msgserver.turns import Turns
from msgserver.wire.naming import decode64

_TOKEN = re.compile(rb"([^@]+)@([^:]+):(.+)", re.DOTALL)


@implementer(ILoginHandler, INamesUser)
class PasswordLoginHandler:
    """
    A table of users and their passwords, for examples and small installations.

    It understands the token of the original's examples,
    C{base64(user)@base64(server):base64(password)}; the user's name is the uid.

    @param users: what L{msgserver.passwords.hashPassword} made of each user's password.
    @param servers: the login points that exist; a token for another is refused.
    @param runInThread: runs a function that takes long, and gives a Deferred of its result.
    """

    def __init__(
        self,
        users: Mapping[str, str],
        servers: Sequence[str],
        runInThread: Callable[..., Deferred[Any]] = deferToThread,
    ) -> None:
        if isinstance(servers, str):
            raise ValueError(f'servers: must be a list, such as ["{servers}"]')
        for user, stored in users.items():
            if not isinstance(stored, str) or not isHash(stored):
                raise ValueError(
                    f"users.{user}: not a password hash; 'python -m msgserver.passwords' makes one"
                )
        self._users = {user.encode(): stored for user, stored in users.items()}
        self._servers = {server.encode() for server in servers}
        self._runInThread = runInThread
        # More at once would take no less time, but more memory: 16 MiB each.
        self._turns = Turns(os.cpu_count() or 1)

    def uidOf(self, token: bytes) -> bytes | None:
        """See L{INamesUser.uidOf}."""
        match = _TOKEN.fullmatch(token)
        try:
            return None if match is None else decode64(match[1])
        except ValueError:
            return None

    async def authenticate(self, token: bytes) -> Account:
        """See L{ILoginHandler.authenticate}."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise Unauthorized("the token is not of the form user@server:password")
        try:
            user, server, password = map(decode64, match.groups())
        except ValueError:
            raise Unauthorized("a part of the token is not base64") from None
        # A user who does not exist takes as long to refuse as one who does.
        stored = self._users.get(user, UNKNOWN)
        if not await self._isPassword(password, stored):
            raise Unauthorized("wrong user or password")
        if server not in self._servers:
            raise Unauthorized("no such server")
        return Account(server, user)

    async def _isPassword(self, password: bytes, stored: str) -> Any:
        await self._turns.begin()
        answer: Deferred[Any] = Deferred()

        def ended(result: object) -> None:
            # Not before: a thread goes on, whether or not anybody waits for it.
            self._turns.end()
            if not answer.called:
                answer.callback(result)

        self._runInThread(isPassword, password, stored).addBoth(ended)
        return await answer
