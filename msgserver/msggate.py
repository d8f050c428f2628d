"""
A gate as its handler sees it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from msgserver.interfaces import IMsgGate, User
from msgserver.wire.naming import parseUsername

if TYPE_CHECKING:
    from msgserver.msgservice import MsgService


@implementer(IMsgGate)
class MsgGate:
    """What a L{MsgService} lets its handler do: see L{IMsgGate}, method by method."""

    def __init__(self, service: MsgService) -> None:
        self.servername = service.servername
        self._service = service

    def userid(self, username: bytes) -> User:
        """See L{IMsgGate.userid}."""
        return parseUsername(username)

    def username(self, uid: bytes, subid: bytes, server: bytes) -> bytes:
        """See L{IMsgGate.username}."""
        return User(uid, subid, server).username

    def login(self, user: User, secret: bytes) -> None:
        """See L{IMsgGate.login}."""
        self._service.admit(user, secret)

    def logout(self, user: User) -> Deferred[None]:
        """See L{IMsgGate.logout}."""
        self._service.end(user)
        return succeed(None)

    def ip(self, user: User) -> str | None:
        """See L{IMsgGate.ip}."""
        login = self._service.find(user)
        if login is None or login.connection is None:
            return None
        peer: str | None = login.connection.transport.peer
        return peer

    def online(self) -> Iterable[User]:
        """See L{IMsgGate.online}."""
        return self._service.users()
