"""
The control link in memory: places where login servers listen, connections that a test may cut or
hold, and one clock.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from twisted.cred.portal import IRealm
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from twisted.spread import pb
from twisted.test.iosim import FakeTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from msgserver.cluster import IGate, LoginRecord, Registration
from msgserver.remote import servers
from msgserver.remote.door import OPERATOR, ControlFactory, Keys, enter, identityOf
from msgserver.remote.gates import ControlRealm
from msgserver.remote.link import Link, LinkBroker, LinkTimes
from msgserver.remote.servers import GateKey
from msgserver.testing import MemoryDirectory

SAMPLE = identityOf(b"sample")
KEY = b"the key of sample"
OTHER_KEY = b"the key of other"
OPERATOR_KEY = b"the key of operators"
KEYS = {SAMPLE: KEY, identityOf(b"other"): OTHER_KEY, OPERATOR: OPERATOR_KEY}
SAMPLE_KEY = GateKey(SAMPLE, KEY)

TIMES = LinkTimes(proof=10, pingInterval=5, answer=4)
GATE_TIMEOUT = 3.0

STEP = 0.25
"""Seconds that a turn of the reactor takes."""

_CLIENT = IPv4Address("TCP", "192.0.2.1", 54321)

_T = TypeVar("_T")


def warnings(events: Sequence[LogEvent]) -> list[str]:
    """Tell what was logged as a warning or worse."""
    return [formatEvent(event) for event in events if event["log_level"] >= LogLevel.warn]


class End(FakeTransport):
    """
    One end of a connection. It aborts as a real one does: what is left to send is not sent.

    @ivar arriving: what is on its way to it, in order; None is the end.
    """

    other: End

    def __init__(self, protocol: IProtocol, isServer: bool) -> None:
        super().__init__(protocol, isServer, peerAddress=_CLIENT)
        self.arriving: list[bytes | None] = []

    def abortConnection(self) -> None:
        """Close, and deliver nothing."""
        self.stream = []
        self.disconnecting = True

    def leave(self) -> bool:
        """Put what was written on its way; say whether that was anything."""
        data: bytes | None = self.getOutBuffer()
        if data:
            self.other.arriving.append(data)
        if self.disconnecting and not self.disconnected:
            self.other.arriving.append(None)
            self.lose()
            return True
        return bool(data)

    def arrive(self) -> bool:
        """Hand over what has arrived; say whether that was anything."""
        arrived, self.arriving = self.arriving, []
        for data in arrived:
            if data is None:
                self.lose()
            elif not self.disconnecting:
                self.bufferReceived(data)
        return bool(arrived)

    def lose(self) -> None:
        """Lose the connection, unless that has happened already."""
        if not self.disconnected:
            self.disconnecting = self.disconnected = True
            self.protocol.connectionLost(Failure(ConnectionDone()))


class Wire:
    """
    A connection.

    @ivar client: the end of who has connected.
    @ivar server: the end of the login server.
    @ivar isHeld: nothing arrives at either end, as if the other were frozen.
    """

    def __init__(self, client: IProtocol, server: IProtocol) -> None:
        self.client = End(client, False)
        self.server = End(server, True)
        self.client.other, self.server.other = self.server, self.client
        self.isHeld = False
        server.makeConnection(self.server)
        client.makeConnection(self.client)

    @property
    def isLost(self) -> bool:
        """Whether both ends have lost it."""
        return bool(self.client.disconnected and self.server.disconnected)

    def flow(self) -> bool:
        """Let pass what there is; say whether that was anything."""
        ends = self.client, self.server
        moved = [end.leave() for end in ends]
        if not self.isHeld:
            moved += [end.arrive() for end in ends]
        return any(moved)

    def cut(self) -> None:
        """Lose it at both ends, with what was on its way."""
        self.client.lose()
        self.server.lose()


@implementer(IStreamClientEndpoint)
class Place:
    """
    Where a login server listens, or not; and the connections that lead there.

    @ivar factory: the login server's; None if nobody listens.
    @ivar isHeld: new connections are made, and held.
    @ivar attempts: when each attempt to connect was made, in seconds of the clock.
    @ivar wires: the connections made so far, in their order.
    """

    def __init__(self, clock: Clock) -> None:
        self.factory: IProtocolFactory | None = None
        self.isHeld = False
        self.attempts: list[float] = []
        self.wires: list[Wire] = []
        self._clock = clock

    @property
    def wire(self) -> Wire:
        """The connection that was made last."""
        return self.wires[-1]

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See L{IStreamClientEndpoint.connect}."""
        self.attempts.append(self._clock.seconds())
        if self.factory is None:
            return fail(ConnectionRefusedError())
        client = protocolFactory.buildProtocol(_CLIENT)
        server = self.factory.buildProtocol(_CLIENT)
        assert client is not None and server is not None
        self.wires.append(Wire(client, server))
        self.wire.isHeld = self.isHeld
        return succeed(client)

    def hold(self, isHeld: bool = True) -> None:
        """Hold all connections, and those to come; or let them go on."""
        self.isHeld = isHeld
        for wire in self.wires:
            wire.isHeld = isHeld

    def cut(self) -> None:
        """Cut all connections."""
        for wire in self.wires:
            wire.cut()


class Directory(MemoryDirectory):
    """
    A login side that writes down what gates tell it, and which of them.

    @ivar gates: those that have registered, in their order.
    @ivar pages: how many logins each L{adopt} was about, in their order.
    @ivar meanwhile: what is to happen when the next ones are told of, in their order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gates: list[IGate] = []
        self.pages: list[int] = []
        self.meanwhile: list[Callable[[], object]] = []

    def adopt(self, gate: IGate, logins: Sequence[LoginRecord]) -> Deferred[Sequence[LoginRecord]]:
        """See L{ILoginDirectory.adopt}."""
        self.pages.append(len(logins))
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return super().adopt(gate, logins)

    def register(
        self, gate: IGate, describe: Callable[[], Registration]
    ) -> Deferred[Sequence[LoginRecord]]:
        """See L{ILoginDirectory.register}."""
        self.gates.append(gate)
        return super().register(gate, describe)

    @property
    def gate(self) -> IGate:
        """The gate that has registered last."""
        return self.gates[-1]


class LinkCase(SynchronousTestCase):
    """Tests that need a clock, and a place where a login server may listen."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.places: list[Place] = []
        self.place = self.makePlace()
        # Without the chance that is in it, the back-off is the same each time.
        self.patch(servers, "random", lambda: 0.5)

    def makePlace(self) -> Place:
        """Make a place for one more login server."""
        self.places.append(Place(self.clock))
        return self.places[-1]

    def turn(self) -> None:
        """Let pass what there is, until there is nothing more."""
        moving = True
        while moving:
            self.clock.advance(0)
            moving = any([wire.flow() for place in self.places for wire in place.wires])

    def wait(self, seconds: float) -> None:
        """Let time pass, and bytes flow."""
        self.turn()
        for _ in range(round(seconds / STEP)):
            self.clock.advance(STEP)
            self.turn()

    def resultOf(self, main: Deferred[_T] | Coroutine[Deferred[Any], Any, _T]) -> _T:
        """Give what comes of C{main} in no time."""
        promised = Deferred.fromCoroutine(main) if isinstance(main, Coroutine) else main
        self.turn()
        result: _T = self.successResultOf(promised)
        return result

    def assertFails(
        self,
        main: Deferred[Any] | Coroutine[Deferred[Any], Any, Any],
        error: type[Exception],
        text: str | None = None,
    ) -> None:
        """See C{main} fail in no time, and how."""
        promised = Deferred.fromCoroutine(main) if isinstance(main, Coroutine) else main
        self.turn()
        failure = self.failureResultOf(promised, error)
        if text is not None:
            self.assertEqual(str(failure.value), text)

    def assertQuiet(self) -> None:
        """See that no timer is left."""
        self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ControlCase(LinkCase):
    """
    Tests that need a login server that takes links.

    @cvar maxclient: how many at once.
    @ivar directory: what gates report to.
    @ivar operations: what operators command; there is nothing of it.
    """

    maxclient = 10
    operations: Any = None

    def setUp(self) -> None:
        super().setUp()
        self.directory = Directory()
        self.factory = self.place.factory = self.makeFactory(self.makeRealm())

    def makeRealm(self) -> IRealm:
        """Make the realm of a login server that has no operations."""
        return ControlRealm(self.directory, self.operations, self.clock, TIMES, GATE_TIMEOUT)

    def makeFactory(self, realm: IRealm) -> ControlFactory:
        """Make what takes the links of a login server that knows all keys."""
        return ControlFactory(realm, Keys(KEYS), self.clock, self.maxclient, TIMES)

    def enter(
        self, identity: bytes = SAMPLE, key: bytes = KEY
    ) -> Deferred[tuple[Link, pb.RemoteReference]]:
        """Begin to connect, as who says to be of that name and key."""
        return Deferred.fromCoroutine(enter(self.place, identity, key, self.clock, TIMES))

    def entered(
        self, identity: bytes = SAMPLE, key: bytes = KEY
    ) -> tuple[Link, pb.RemoteReference]:
        """Connect, successfully."""
        return self.resultOf(self.enter(identity, key))

    def brokerOf(self, wire: Wire) -> LinkBroker:
        """Give the login server's end of a link."""
        broker = wire.server.protocol
        assert isinstance(broker, LinkBroker)
        return broker
