"""
The request that a handler is serving, for handlers that ask. Pure.
"""

from __future__ import annotations

from contextvars import ContextVar

from attrs import frozen

from msgserver.errors import InvalidState
from msgserver.wire.naming import User

CURRENT: ContextVar[tuple[User, bytes] | None] = ContextVar("msgserver.request", default=None)
"""The user and the session of the request being served; set by L{msgserver.sessions}."""


@frozen
class CurrentRequest:
    """
    What the signature of C{requestReceived} does not show of a request.

    @ivar session: the client's token for it, 4 bytes.
    """

    user: User
    session: bytes

    @property
    def key(self) -> bytes:
        """
        The same for every delivery of one request, and another for every other request of
        any login, as long as the client does not reuse sessions; ours never does.
        """
        return b"%b/%b" % (self.user.username, self.session.hex().encode())


def currentRequest() -> CurrentRequest:
    """
    Tell which request the calling handler is serving. It holds on in coroutines.

    @raise InvalidState: none is being served.
    """
    current = CURRENT.get()
    if current is None:
        raise InvalidState("no request is being served here")
    return CurrentRequest(*current)
