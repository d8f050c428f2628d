"""
For tests of L{msgserver.testing}: a handler that tells all that happens, and a server with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from msgserver import MsgHandler, RequestFailed, User
from msgserver.testing import MemoryServer


class Teller(MsgHandler):
    """
    Answers with how many requests there were, or as the content says.

    @ivar happened: what was called, and for which uid.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.happened: list[tuple[str, bytes]] = []
        self.requests: list[bytes] = []
        self._clock = clock

    def requestReceived(self, user: User, content: bytes) -> Any:
        self.requests.append(content)
        word, _, rest = content.partition(b" ")
        answer: Callable[[User, bytes], Any] = getattr(self, f"_{word.decode()}", self._count)
        return answer(user, rest)

    def loginReceived(self, uid: bytes, secret: bytes) -> None:
        self.happened.append(("loginReceived", uid))

    def disconnected(self, user: User) -> None:
        self.happened.append(("disconnected", user.uid))

    def kicked(self, user: User) -> None:
        self.happened.append(("kicked", user.uid))

    def loggedOut(self, user: User) -> None:
        self.happened.append(("loggedOut", user.uid))

    def _count(self, user: User, content: bytes) -> bytes:
        return b"%d" % len(self.requests)

    def _bug(self, user: User, content: bytes) -> bytes:
        raise ZeroDivisionError(content)

    def _no(self, user: User, content: bytes) -> bytes:
        raise RequestFailed(content)

    def _bye(self, user: User, content: bytes) -> bytes:
        self.gate.logout(user)
        return b"bye"

    def _later(self, user: User, content: bytes) -> Deferred[bytes]:
        assert self._clock is not None
        return deferLater(self._clock, float(content), lambda: b"late")

    async def _awaited(self, user: User, content: bytes) -> bytes:
        answer: bytes = await self._later(user, content)
        return answer + b", awaited"


class ServerCase(SynchronousTestCase):
    """A server with a L{Teller}, and alice."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.handler = Teller(self.clock)
        self.server = MemoryServer(self.handler, clock=self.clock)
        self.addCleanup(self.server.stop)
        self.alice = self.server.client(b"alice")
