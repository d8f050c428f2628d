"""
What a conversation needs of a client: L{msgserver.commandline.connecting} has it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal, Protocol, overload

from msgserver.clientlogin import LoggedIn


class Client(Protocol):
    """What a conversation needs of a client; L{msgserver.commandline.connecting} makes it."""

    @property
    def loggedIn(self) -> LoggedIn | None:
        """The current login."""

    @property
    def isConnected(self) -> bool:
        """Whether there is a connection."""

    @property
    def isOffline(self) -> bool:
        """Whether it stays away."""

    @property
    def unanswered(self) -> int:
        """How many requests are sent and unanswered."""

    @property
    def waiting(self) -> int:
        """How many requests wait to be sent."""

    def request(self, content: bytes) -> Awaitable[bytes]:
        """Ask."""

    def messages(self, prefix: bytes) -> AsyncIterator[bytes]:
        """Give what is pushed."""

    def dropConnection(self) -> None:
        """Cut the connection."""

    def goOffline(self) -> None:
        """Cut the connection, and make no other."""

    def goOnline(self) -> None:
        """Connect again."""

    @overload
    def on(
        self, happening: Literal["connected", "away", "back"], hook: Callable[[], object]
    ) -> Callable[[], None]: ...

    @overload
    def on(
        self, happening: Literal["loggedOut", "ended"], hook: Callable[[Exception], object]
    ) -> Callable[[], None]: ...
