"""
A login handler that has a table of users.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from msgserver.errors import Unauthorized
from msgserver.interfaces import Account, ILoginHandler, INamesUser
from msgserver.passwords import UNKNOWN, isHash, isPassword, parsePasswordToken
from msgserver.turns import Turns


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
        try:
            return parsePasswordToken(token)[0]
        except ValueError:
            return None

    async def authenticate(self, token: bytes) -> Account:
        """See L{ILoginHandler.authenticate}."""
        try:
            user, server, password = parsePasswordToken(token)
        except ValueError as error:
            raise Unauthorized(str(error)) from None
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
