"""
A handler that does nothing yet, for others to stand on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from zope.interface import implementer

from msgserver.interfaces import IMsgGate, IMsgHandler, MaybeLater, User


@implementer(IMsgHandler)
class MsgHandler(ABC):
    """
    A handler that does nothing yet: subclass it and write L{requestReceived}.

    @ivar gate: the gate, from L{gateOpened} on.
    """

    gate: IMsgGate

    def gateOpened(self, gate: IMsgGate) -> None:
        """See L{IMsgHandler.gateOpened}."""
        self.gate = gate

    def loginReceived(self, uid: bytes, secret: bytes) -> MaybeLater[bytes | None]:
        """See L{IMsgHandler.loginReceived}: everybody who has authenticated is welcome."""
        return None

    @abstractmethod
    def requestReceived(self, user: User, content: bytes) -> MaybeLater[bytes]:
        """See L{IMsgHandler.requestReceived}."""

    def disconnected(self, user: User) -> MaybeLater[None]:
        """See L{IMsgHandler.disconnected}."""
        return None

    def kicked(self, user: User) -> MaybeLater[None]:
        """See L{IMsgHandler.kicked}."""
        return None

    def loggedOut(self, user: User) -> MaybeLater[None]:
        """See L{IMsgHandler.loggedOut}."""
        return None
