"""
What strangers may hold: so many connections, for so long. Both ports use it (B1, H3, L1).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IReactorTime

from msgserver.deadlines import Deadlines

_Connection = TypeVar("_Connection", bound=Hashable)


class ConnectionLimits(Generic[_Connection]):
    """
    Counts connections, and gives each a time to prove itself.

    They are counted when they have their transport, not in C{buildProtocol}: one that
    returns None there is no connection to a TLS or PROXY wrapper, which needs one.

    @param maxclient: how many at once (B1).
    @param seconds: how long each has from L{opened} until L{proved} or L{closed}.
    @param expired: called with a connection whose time has run out.
    @ivar refused: how many connections were one too many.
    """

    def __init__(
        self,
        clock: IReactorTime,
        maxclient: int,
        seconds: float,
        expired: Callable[[_Connection], object],
    ) -> None:
        self.refused = 0
        self._maxclient = maxclient
        self._connections: set[_Connection] = set()
        self._deadlines = Deadlines(clock, seconds, expired)

    def __len__(self) -> int:
        return len(self._connections)

    def opened(self, connection: _Connection) -> bool:
        """Take in a new connection, or say no, and count that, where it is one too many."""
        if len(self._connections) >= self._maxclient:
            self.refused += 1
            return False
        self._connections.add(connection)
        self._deadlines.start(connection)
        return True

    def proved(self, connection: _Connection) -> None:
        """Let a connection stay for as long as it likes."""
        self._deadlines.stop(connection)

    def closed(self, connection: _Connection) -> None:
        """Forget a connection, taken in or not."""
        self._connections.discard(connection)
        self._deadlines.stop(connection)
