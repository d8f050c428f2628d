"""
The request that a handler is serving, for handlers that ask. Pure.
"""

from __future__ import annotations

from contextvars import ContextVar

from attrs import frozen

from msgserver.errors import InvalidState
from msgserver.wire.naming import User


class Serving:
    """
    The request that is being served.

    To set a context variable costs as much as all else that is done for a small request. So it
    is set to one of these, which is there for one request after the other. A request that is
    answered later keeps it for itself, in whatever context its handler has gone on, and those
    behind it have another: see L{Desk.renew}.

    @ivar session: None while none is being served, or once its request is answered.
    """

    __slots__ = ("session", "user")

    user: User

    def __init__(self) -> None:
        self.session: bytes | None = None


CURRENT: ContextVar[Serving | None] = ContextVar("msgserver.request", default=None)
"""What handlers and the coroutines that they start find in their context."""


class Desk:
    """
    Where what is being served is noted down: there is one, as there is one context variable.

    @ivar serving: for the next request. It may be another after each handler.
    """

    __slots__ = ("serving",)

    def __init__(self) -> None:
        self.serving = Serving()

    def open(self) -> None:
        """Have the present context know of the requests to come."""
        if CURRENT.get() is not self.serving:
            CURRENT.set(self.serving)

    def renew(self) -> Serving:
        """
        Have another from now on.

        @return: what there was, for the request that is waiting.
        """
        left, self.serving = self.serving, Serving()
        CURRENT.set(self.serving)
        return left


DESK = Desk()


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
    Tell which request the calling handler is serving. It holds on in coroutines, until the
    request is answered. What a handler leaves running behind its answer serves none, and must
    not ask: it may be told of another.

    @raise InvalidState: none is being served.
    """
    current = CURRENT.get()
    if current is None or current.session is None:
        raise InvalidState("no request is being served here")
    return CurrentRequest(current.user, current.session)
