"""
What becomes of a gate's logins and their connections, in numbers: for whoever watches it.

Nothing here is touched by a request.
"""

from __future__ import annotations

from enum import Enum

from twisted.internet.interfaces import IReactorTime

from msgserver.histograms import Histogram
from msgserver.sessions import Connection, Login


class LogoutReason(Enum):
    """Why a login has ended, in a word."""

    LOGOUT = "logout"
    """The handler has ended it."""
    KICK = "kick"
    """A newer login, or an operator, has (U3, U4)."""
    AWAY = "away"
    """It was without a connection for too long (U2)."""
    FORGOTTEN = "forgotten"
    """It was asked for what it no longer knows (S7)."""
    SHUTDOWN = "shutdown"
    """The gate stops (B5)."""


class GateCounts:
    """
    Counts what happens to logins.

    A client whose new connection comes before its old one is noticed to be gone was away for no
    time that anybody here could know: for 0 seconds.

    @ivar logouts: how many logins have ended, by the reason.
    @ivar reconnectGap: seconds from the loss of a login's connection to its next handshake.
    @ivar dropToAnswer: seconds from there to the first answer that leaves after it.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.logouts = dict.fromkeys(LogoutReason, 0)
        self.reconnectGap = Histogram()
        self.dropToAnswer = Histogram()
        self._clock = clock
        # When those that are without a connection lost it, and when those that are back had.
        self._dropped: dict[Login, float] = {}
        self._unanswered: dict[Connection, float] = {}

    def connected(self, connection: Connection, *, isReplacing: bool) -> None:
        """
        Take note of a handshake that was accepted.

        @param isReplacing: the login's earlier connection had not been lost so far.
        """
        now = self._clock.seconds()
        since = now if isReplacing else self._dropped.pop(connection.login, None)
        if since is None:
            return  # The login's first.
        self.reconnectGap.observe(now - since)
        self._unanswered[connection] = since

    def isAwaited(self, connection: Connection) -> bool:
        """Say whether it matters when a connection's first answer leaves: its client was away."""
        return connection in self._unanswered

    def answered(self, connection: Connection) -> None:
        """Take note that an answer leaves on a connection, its first."""
        since = self._unanswered.pop(connection, None)
        if since is not None:
            self.dropToAnswer.observe(self._clock.seconds() - since)

    def dropped(self, login: Login) -> None:
        """Take note that a login is without a connection from now on."""
        self._dropped[login] = self._clock.seconds()

    def lost(self, connection: Connection) -> None:
        """Take note that a connection is no more, the login's current one or not."""
        self._unanswered.pop(connection, None)

    def ended(self, login: Login, reason: LogoutReason) -> None:
        """Take note that a login is no more."""
        self._dropped.pop(login, None)
        self.logouts[reason] += 1
