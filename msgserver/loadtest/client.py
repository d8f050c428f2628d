"""
Our Twisted client, with a look at what it passes over in silence: second answers, and the reasons
for which an attempt to connect has failed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from msgserver.client import MsgClient
from msgserver.clientlogin import ClientLogin, LoggedIn


class WatchedLogin(ClientLogin[Deferred[bytes]]):
    """
    Tells of responses that answer no request.

    @param stray: called with the number of the session, and whether it was ever asked.
    """

    def __init__(self, maxUnanswered: int, stray: Callable[[int, bool], None]) -> None:
        super().__init__(maxUnanswered)
        self._stray = stray

    def answered(self, session: bytes) -> Deferred[bytes] | None:
        """See L{ClientLogin.answered}."""
        if session not in self._unanswered:
            number = int.from_bytes(session, "big")
            self._stray(number, 0 < number <= self._lastSession)
        return super().answered(session)


class WatchedClient(MsgClient):
    """
    A client whose user hears everything.

    @param stray: see L{WatchedLogin}.
    @param attemptFailed: called with the reason.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        takeLogin: Callable[[], Awaitable[LoggedIn]],
        gate: IStreamClientEndpoint | None,
        stray: Callable[[int, bool], None],
        attemptFailed: Callable[[Exception], None],
        **options: Any,
    ) -> None:
        super().__init__(reactor, takeLogin, gate, **options)
        # No attempt has begun: that is for the next turn of the reactor.
        self._login = WatchedLogin(options["maxUnanswered"], stray)
        self._attemptFailed = attemptFailed

    def _note(self, isWarning: bool, text: str, error: Exception) -> None:
        self._attemptFailed(error)
