"""
The gate as agents in a worker process have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from zope.interface import implementer

from msgserver.errors import InvalidState
from msgserver.interfaces import IMsgGate, User
from msgserver.wire.naming import parseUsername


@implementer(IMsgGate)
class WorkerGate:
    """
    The gate as agents in a worker see it: who is online it does not know, and it cannot admit.

    @param logout: has the gate end a login; its Deferred fires when the gate has been told.
    """

    def __init__(self, servername: bytes, logout: Callable[[User], Deferred[None]]) -> None:
        self.servername = servername
        self._logout = logout

    def userid(self, username: bytes) -> User:
        """See L{IMsgGate.userid}."""
        return parseUsername(username)

    def username(self, uid: bytes, subid: bytes, server: bytes) -> bytes:
        """See L{IMsgGate.username}."""
        return User(uid, subid, server).username

    def logout(self, user: User) -> Deferred[None]:
        """
        See L{IMsgGate.logout}.

        @return: fires when the gate has been told.
        """
        return self._logout(user)

    def login(self, user: User, secret: bytes) -> None:
        """
        Refuse.

        @raise InvalidState: always.
        """
        raise InvalidState("gate.login is not there in a worker process")

    def ip(self, user: User) -> str | None:
        """
        Refuse.

        @raise InvalidState: always.
        """
        raise InvalidState("gate.ip is not there in a worker process")

    def online(self) -> Iterable[User]:
        """
        Refuse.

        @raise InvalidState: always.
        """
        raise InvalidState("gate.online is not there in a worker process")
