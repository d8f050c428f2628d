"""
The asyncio client's surroundings: an event loop of which the test makes the time, with
connections in memory; and real loops for whoever wants those.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

import uvloop
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from msgserver.aio import MsgClient
from msgserver.clientlogin import LoggedIn
from tests.peers import FIRST, SECOND, GatePeer, Peer

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}
"""The loops that the client is for, by name."""

_T = TypeVar("_T")
_ErrorT = TypeVar("_ErrorT", bound=BaseException)


class Socket:
    """
    As much of a socket as keep-alive asks for.

    @ivar options: what was set, by level and name.
    """

    def __init__(self, family: int) -> None:
        self.family = family
        self.options: dict[tuple[int, int], int] = {}

    def setsockopt(self, level: int, name: int, value: int) -> None:
        """Take note."""
        self.options[level, name] = value


class Transport(asyncio.Transport):
    """What the client's protocol writes to; the other end is a L{Peer}."""

    def __init__(self, loop: Loop, protocol: asyncio.Protocol, wire: StringTransport) -> None:
        super().__init__({"socket": loop.socket})
        self._loop = loop
        self._protocol = protocol
        self._wire = wire
        self._isLost = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Have the peer hear it."""
        assert not self._isLost, "written after the loss"
        self._wire.write(bytes(data))

    def close(self) -> None:
        """Close it, in a turn of the loop's."""
        self._wire.loseConnection()
        self._loop.call_soon(self.lose, None)

    def abort(self) -> None:
        """Cut it, in a turn of the loop's."""
        self.close()

    def lose(self, error: BaseException | None) -> None:
        """Tell the protocol, once."""
        if not self._isLost:
            self._isLost = True
            self._protocol.connection_lost(cast(Exception | None, error))


class _Translated:
    """A protocol of asyncio's as Twisted's peers know one. After each call the loop settles."""

    def __init__(self, loop: Loop, protocol: asyncio.Protocol) -> None:
        self._loop = loop
        self.protocol = protocol
        self.transport: Transport | None = None

    def makeConnection(self, wire: StringTransport) -> None:
        self.transport = Transport(self._loop, self.protocol, wire)
        self.protocol.connection_made(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self.protocol.data_received(data)
        self._loop.settle()

    def connectionLost(self, reason: Failure) -> None:
        assert self.transport is not None
        self.transport.lose(None if reason.check(ConnectionDone) else reason.value)
        self._loop.settle()


class Loop(asyncio.BaseEventLoop):
    """
    An event loop for tests: nothing happens in it but what the test has happen.

    @ivar peers: the connections made so far.
    @ivar places: where they, and those that failed, were to.
    @ivar options: and how.
    @ivar failure: what connecting fails with, where it is set.
    @ivar isSilent: whether connecting takes for ever.
    @ivar socket: what connections say that their socket is.
    @ivar complaints: what nobody took care of.
    @ivar peer: what is at the other end of those to come.
    """

    def __init__(self, peer: Callable[[IProtocol], Peer]) -> None:
        super().__init__()
        self.peer = peer
        self._now = 0.0
        self._until = 0.0
        # What BaseEventLoop waits with when it has nothing to do.
        self._selector = self
        self._newest: _Translated | None = None
        self.peers: list[Any] = []
        self.places: list[object] = []
        self.options: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self.isSilent = False
        self.socket = Socket(socket.AF_INET)
        self.complaints: list[dict[str, Any]] = []
        self.set_debug(True)
        self.set_exception_handler(lambda _, context: self.complaints.append(context))

    def time(self) -> float:
        """Tell the time that the test has made."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Have so much time pass, and everything happen that is due."""
        self._until = self._now + seconds
        self.run_forever()

    def settle(self) -> None:
        """Have everything happen that is due."""
        self.advance(0)

    def begin(self, coroutine: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Run a coroutine as far as it gets."""
        task = self.create_task(coroutine)
        self.settle()
        return task

    def sayAndLose(self, data: bytes) -> None:
        """Have the newest connection receive something, and be lost, in one turn."""
        newest = self._newest
        assert newest is not None and newest.transport is not None
        newest.protocol.data_received(data)
        newest.transport.lose(None)

    @property
    def newest(self) -> asyncio.Protocol:
        """The client's protocol on the newest connection."""
        assert self._newest is not None
        return self._newest.protocol

    def timers(self) -> list[asyncio.TimerHandle]:
        """List what waits for its time."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return [timer for timer in scheduled if not timer.cancelled()]

    def select(self, timeout: float | None) -> list[object]:
        """Have time pass up to the next timer, or return to the test."""
        if timeout is not None and self._now + timeout <= self._until:
            self._now += timeout
        else:
            self._now = self._until
            self.stop()
        return []

    def _process_events(self, events: list[object]) -> None:
        pass

    async def create_connection(  # type: ignore[override]
        self, factory: Callable[[], asyncio.Protocol], host: str, port: int, **options: Any
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Connect to a new peer."""
        return await self._connect(factory, (host, port), options)

    async def create_unix_connection(  # type: ignore[override]
        self, factory: Callable[[], asyncio.Protocol], path: str, **options: Any
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Connect to a new peer."""
        return await self._connect(factory, path, options)

    async def _connect(
        self, factory: Callable[[], asyncio.Protocol], place: object, options: dict[str, Any]
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        self.places.append(place)
        self.options.append(options)
        if self.failure is not None:
            raise self.failure
        if self.isSilent:
            await self.create_future()
        protocol = factory()
        translated = _Translated(self, protocol)
        self._newest = translated
        self.peers.append(self.peer(cast(IProtocol, translated)))
        assert translated.transport is not None
        return translated.transport, protocol


class LoopTestCase(SynchronousTestCase):
    """
    A test on a L{Loop}, at the end of which nothing is left: no task, no timer, no complaint.

    @cvar peer: what is at the other end of connections.
    @ivar logged: what the client has said in the log.
    """

    peer: Callable[[IProtocol], Peer] = GatePeer

    def setUp(self) -> None:
        """Make the loop."""
        super().setUp()
        self.logged: list[logging.LogRecord] = []
        handler = logging.Handler()
        self.patch(handler, "emit", self.logged.append)
        logger = logging.getLogger("msgserver.aio")
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)
        self.patch(logger, "propagate", False)
        # Not by its attribute: loggers remember what they have found out of their levels.
        self.addCleanup(logger.setLevel, logger.level)
        logger.setLevel(logging.INFO)
        self.loop = self.makeLoop()
        self.addCleanup(self.loop.close)
        self.addCleanup(self.assertNothingLeft)

    def makeLoop(self) -> Loop:
        """Make the loop."""
        return Loop(type(self).peer)

    def assertNothingLeft(self) -> None:
        """See to it."""
        self.loop.settle()
        gc.collect()
        self.assertEqual([task.get_name() for task in asyncio.all_tasks(self.loop)], [])
        self.assertEqual(self.loop.timers(), [])
        self.assertEqual(self.loop.complaints, [])

    def inLoop(self, call: Callable[[], _T]) -> _T:
        """Call something where the loop runs."""

        async def main() -> _T:
            return call()

        return self.resultOf(self.loop.begin(main()))

    def resultOf(self, future: asyncio.Future[_T]) -> _T:
        """Give a result that is there."""
        self.loop.settle()
        self.assertTrue(future.done(), "not done")
        return future.result()

    def errorOf(self, future: asyncio.Future[Any], error: type[_ErrorT]) -> _ErrorT:
        """Give what has failed, which must be of that class."""
        self.loop.settle()
        self.assertTrue(future.done(), "not done")
        if future.cancelled():
            self.assertIs(error, asyncio.CancelledError)
            return error()
        raised = future.exception()
        self.assertIs(type(raised), error)
        return cast(_ErrorT, raised)

    def warned(self) -> list[str]:
        """Give what the client has warned of since the last call."""
        logged, self.logged[:] = [*self.logged], []
        return [each.getMessage() for each in logged if each.levelno >= logging.WARNING]

    def assertNotDone(self, *futures: asyncio.Future[Any]) -> None:
        """See that there is no result yet."""
        self.loop.settle()
        self.assertFalse(any(future.done() for future in futures))


class ClientTestCase(LoopTestCase):
    """
    A client, its gate, and its logins: L{FIRST}, then L{SECOND}.

    @ivar retries: the attempts in a row of which each wait was asked for; a wait is 1 second.
    @cvar options: what else the client is made with.
    """

    options: dict[str, Any] = {}

    def setUp(self) -> None:
        """Make the client."""
        super().setUp()
        self.logins: list[Callable[[], LoggedIn]] = [lambda: FIRST, lambda: SECOND]
        self.retries: list[int] = []
        self.client = self.makeClient("gate.example:8888", **self.options)

    def makeClient(self, *arguments: Any, **options: Any) -> MsgClient:
        """Make one, which is closed at the end."""
        options.setdefault("retryPolicy", self.retry)
        client = self.inLoop(lambda: MsgClient(self.takeLogin, *arguments, **options))
        self.addCleanup(self.close, client)
        return client

    def close(self, client: MsgClient) -> None:
        """Close a client."""
        self.resultOf(client.close())

    async def takeLogin(self) -> LoggedIn:
        """Give the next login."""
        return self.logins.pop(0)()

    def retry(self, attempt: int) -> float:
        """Wait for a second."""
        self.retries.append(attempt)
        return 1.0

    def ask(self, content: bytes, timeout: float | None = None) -> asyncio.Future[bytes]:
        """Begin a request."""
        answer = self.client.request(content, timeout)
        self.loop.settle()
        return answer

    def gate(self) -> GatePeer:
        """Give the gate's end of the newest connection."""
        gate = self.loop.peers[-1]
        assert isinstance(gate, GatePeer)
        return gate

    def connect(self) -> GatePeer:
        """Give the first connection, or let the client make its next, up to its handshake."""
        known = len(self.loop.peers)
        if self.retries:
            self.loop.advance(1.0)
            self.assertEqual(len(self.loop.peers), known + 1)
        self.loop.settle()
        return self.gate()

    def connected(self) -> GatePeer:
        """Let the client make its next connection, and accept it."""
        gate = self.connect()
        gate.accept()
        return gate


def raising(error: Exception) -> Callable[[], Any]:
    """Make a login that fails."""

    def takeLogin() -> Any:
        raise error

    return takeLogin


def runOn(loop: str, main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """
    Run a coroutine on a real loop, in debug mode, as C{asyncio.run} does.

    @param loop: see L{LOOPS}.
    @raise AssertionError: it has left a socket or a transport, or an error that nobody took.
    """
    complaints: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        with asyncio.Runner(loop_factory=LOOPS[loop], debug=True) as runner:
            runner.get_loop().set_exception_handler(
                lambda _, context: complaints.append(str(context))
            )
            result = runner.run(main())
        gc.collect()
    complaints += [
        str(each.message) for each in caught if issubclass(each.category, ResourceWarning)
    ]
    assert not complaints, complaints
    return result
