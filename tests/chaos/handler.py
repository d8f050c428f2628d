"""What the gate runs: it does as ordered, and writes down each run."""

from __future__ import annotations

from pathlib import Path
from time import monotonic_ns

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from msgserver import MsgHandler, RequestFailed, User
from msgserver.interfaces import MaybeLater
from tests.chaos.journal import JournalFile
from tests.chaos.orders import Answer, Order, Verb

HELD = b"held"
"""A request that is no order: how many requests are held? It is not written down."""

RELEASE = b"release"
"""A request that is no order: let go of them. It is not written down."""


class ChaosHandler(MsgHandler):
    """
    Does as L{Order}s say.

    @param journal: the file to write each run to; it is appended to.
    """

    def __init__(self, journal: str) -> None:
        self._journal = JournalFile(Path(journal))
        self._held: list[Deferred[None]] = []

    def requestReceived(self, user: User, content: bytes) -> MaybeLater[bytes]:
        """Do one."""
        if content == HELD:
            return b"%d" % len(self._held)
        if content == RELEASE:
            return self._release()
        began = monotonic_ns()
        try:
            order = Order.decode(content)
        except ValueError:
            self._journal.garbled(content)
            raise RequestFailed(b"garbled") from None
        serial = self._journal.run(order.name, user.username)
        if order.verb is Verb.HOLD:
            held: Deferred[None] = Deferred()
            self._held.append(held)
            return self._finishAfter(held, user, order, serial, began)
        if order.milliseconds:
            pause = deferLater(IReactorTime(reactor), order.milliseconds / 1000, lambda: None)
            return self._finishAfter(pause, user, order, serial, began)
        return self._finish(user, order, serial, began)

    def loggedOut(self, user: User) -> None:
        """Write it down."""
        self._journal.ended(user.username)

    async def _finishAfter(
        self, wait: Deferred[None], user: User, order: Order, serial: bytes, began: int
    ) -> bytes:
        await wait
        return self._finish(user, order, serial, began)

    def _finish(self, user: User, order: Order, serial: bytes, began: int) -> bytes:
        if order.verb is Verb.LOGOUT:
            self.gate.logout(user)
        content = order.answer(Answer(serial, began, monotonic_ns()))
        if order.verb is Verb.FAIL:
            raise RequestFailed(content)
        return content

    def _release(self) -> bytes:
        held, self._held = self._held, []
        for each in held:
            each.callback(None)
        return b"%d" % len(held)
