"""
What the servers run.

A handler of a gate makes its logins itself, so that no login server is needed:
L{loginsOf} tells which they are, and their secrets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from msgserver import Account, ILoginHandler, MsgHandler, User
from msgserver.interfaces import IMsgGate, MaybeLater

SERVER = b"bench"
"""The server name of every gate."""

BURST = 32
"""How many answers come in one turn, where they come in bursts."""


@implementer(ILoginHandler)
class Welcome:
    """Lets everybody in at once: the token is the uid."""

    def authenticate(self, token: bytes) -> Account:
        """See L{ILoginHandler.authenticate}."""
        return Account(SERVER, token)


def loginsOf(count: int) -> Iterator[tuple[User, bytes]]:
    """Give so many logins, always the same: who, and the secret (of the classic suite)."""
    for number in range(count):
        yield User(b"u%d" % number, b"s", SERVER), b"%08d" % number


class Immediate(MsgHandler):
    """
    Answers a request with its content, at once.

    @param logins: how many there are.
    """

    def __init__(self, logins: int) -> None:
        self._logins = logins

    def gateOpened(self, gate: IMsgGate) -> None:
        """See L{IMsgHandler.gateOpened}."""
        super().gateOpened(gate)
        for user, secret in loginsOf(self._logins):
            gate.login(user, secret)

    def requestReceived(self, user: User, content: bytes) -> MaybeLater[bytes]:
        """See L{IMsgHandler.requestReceived}."""
        return content


class _Player:
    """What an application has for each user."""

    def __init__(self) -> None:
        self.count = 0

    def requestReceived(self, content: bytes) -> bytes:
        """Answer."""
        self.count += 1
        return content


class PerUser(Immediate):
    """Has an object for each user, which answers, at once."""

    def __init__(self, logins: int) -> None:
        super().__init__(logins)
        self._players = {user: _Player() for user, _ in loginsOf(logins)}

    def requestReceived(self, user: User, content: bytes) -> bytes:
        """See L{IMsgHandler.requestReceived}."""
        return self._players[user].requestReceived(content)


class Coroutine(Immediate):
    """Is an C{async def}, and never waits."""

    async def requestReceived(self, user: User, content: bytes) -> bytes:
        """See L{IMsgHandler.requestReceived}."""
        return content


class _Later(Immediate):
    """
    Answers later.

    @param clock: what has turns; the reactor, where none is given.
    """

    def __init__(self, logins: int, clock: IReactorTime | None = None) -> None:
        super().__init__(logins)
        if clock is None:
            # Not before there is a server: it is installed on import.
            from twisted.internet import reactor

            clock = cast(IReactorTime, reactor)
        self._callLater = clock.callLater


class Late(_Later):
    """Waits for a Deferred of its own that fires a turn of the reactor later."""

    async def requestReceived(self, user: User, content: bytes) -> bytes:
        """See L{IMsgHandler.requestReceived}."""
        answer: Deferred[bytes] = Deferred()
        self._callLater(0, answer.callback, content)
        return await answer


class Bursts(_Later):
    """
    Waits for a Deferred that fires with others, L{BURST} at a time: so come the replies of a
    backend that many requests share a connection to. Fewer do not wait for further ones.
    """

    def __init__(self, logins: int, clock: IReactorTime | None = None) -> None:
        super().__init__(logins, clock)
        self._waiting: list[tuple[Deferred[bytes], bytes]] = []

    async def requestReceived(self, user: User, content: bytes) -> bytes:
        """See L{IMsgHandler.requestReceived}."""
        answer: Deferred[bytes] = Deferred()
        if not self._waiting:
            self._callLater(0, self._reply)
        self._waiting.append((answer, content))
        return await answer

    def _reply(self) -> None:
        burst, self._waiting = self._waiting[:BURST], self._waiting[BURST:]
        if self._waiting:
            self._callLater(0, self._reply)
        for answer, content in burst:
            answer.callback(content)
