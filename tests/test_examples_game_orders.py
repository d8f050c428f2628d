"""
The game's two seams: orders that are asked until they are answered, and the database's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Queue
from threading import current_thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from examples.game import orders
from examples.game.server import Writer
from msgserver.errors import ClientClosed, OutcomeUnknown, RequestFailed


class OrdersTests(SynchronousTestCase):
    """L{orders.answered}, by itself."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[Deferred[bytes]] = []
        self.answer = Deferred.fromCoroutine(orders.answered(self.ask, b"x", self.clock))

    def ask(self, content: bytes) -> Deferred[bytes]:
        """Take a request."""
        self.asked.append(Deferred())
        return self.asked[-1]

    def test_ids(self) -> None:
        """What moves money has an id, each another; what does not has none."""
        self.assertRegex(orders.request("buy", "rope"), rb"\Abuy [0-9a-f]{32} rope\Z")
        self.assertNotEqual(orders.request("dig"), orders.request("dig"))
        self.assertEqual(orders.request("go", "mine"), b"go mine")

    def test_unknown(self) -> None:
        """While the outcome is unknown it is asked again, at once."""
        for _ in range(3 * orders.MAX_FAILURES):
            self.asked[-1].errback(OutcomeUnknown())
        self.asked[-1].callback(b"y")
        self.assertEqual(self.successResultOf(self.answer), b"y")

    def test_refused(self) -> None:
        """A refusal is an answer."""
        self.asked[-1].errback(RequestFailed(b"no"))
        self.assertEqual(self.failureResultOf(self.answer, RequestFailed).value.content, b"no")
        self.assertEqual(len(self.asked), 1)

    def test_maxFailures(self) -> None:
        """Where the game itself fails so often in a row, it is given up."""
        for _ in range(orders.MAX_FAILURES - 1):
            self.asked[-1].errback(RequestFailed())
            self.assertNoResult(self.answer)
            self.clock.advance(orders.PAUSE)
        self.asked[-1].errback(RequestFailed())
        self.failureResultOf(self.answer, RequestFailed)
        self.assertEqual(len(self.asked), orders.MAX_FAILURES)

    def test_ended(self) -> None:
        """What ends the client ends it."""
        self.asked[-1].errback(OutcomeUnknown())
        self.asked[-1].errback(ClientClosed())
        self.failureResultOf(self.answer, ClientClosed)


class FakeReactor:
    """What of a reactor a L{Writer} needs."""

    def __init__(self) -> None:
        self._calls: Queue[Callable[[], object]] = Queue()
        self.shutdown: Callable[[], object] = lambda: None

    def addSystemEventTrigger(
        self, phase: str, event: str, function: Callable[..., object], *arguments: Any
    ) -> None:
        """Take what is to be done in the end."""
        assert (phase, event) == ("during", "shutdown")
        self.shutdown = lambda: function(*arguments)

    def callFromThread(self, function: Callable[..., object], *arguments: Any) -> None:
        """Take a call from a thread."""
        self._calls.put(lambda: function(*arguments))

    def turn(self) -> None:
        """Wait for a call, and do it."""
        self._calls.get(timeout=10)()


class WriterTests(SynchronousTestCase):
    """L{Writer}: the only tests here with a thread."""

    def test_oneThread(self) -> None:
        """All is done in one thread, in order, and so is the end, after all that was asked."""
        reactor = FakeReactor()
        writer = Writer(reactor)
        done: list[tuple[str, str]] = []

        def do(what: str) -> str:
            done.append((what, current_thread().name))
            return what

        writer.start(lambda: do("end"))
        results = [writer(do, what) for what in ("a", "b", "c")]
        reactor.shutdown()
        for _ in results:
            reactor.turn()
        self.assertEqual([self.successResultOf(each) for each in results], ["a", "b", "c"])
        self.assertEqual([what for what, _ in done], ["a", "b", "c", "end"])
        threads = {thread for _, thread in done}
        self.assertEqual(len(threads), 1)
        self.assertNotIn(current_thread().name, threads)
