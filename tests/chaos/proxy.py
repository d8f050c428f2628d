"""
The network between clients and a server: it passes bytes on, and breaks as planned.

It lives in the reactor of the clients. What an ordinary proxy does not do: one end of a connection
may be gone long before the other, and what it had sent until then still arrives there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.chaos.faults import (
    CALM,
    Cut,
    CutHow,
    Direction,
    Fault,
    Faults,
    Overtaking,
    Plan,
    Stall,
)
from tests.chaos.pipes import IStream, Pipe

_BACKLOG = 4096
"""How many connections may wait to be accepted: those of a reconnect storm."""

UP, DOWN = Direction.UP, Direction.DOWN


class End(Protocol):
    """
    One end of a link: the client's, or the server's.

    @param way: of what arrives here.
    @ivar isThere: it is connected.
    """

    transport: IStream

    def __init__(self, link: Link, way: Direction) -> None:
        self._link = link
        self._way = way
        self.isThere = False

    def connectionMade(self) -> None:
        """Begin."""
        self.isThere = True
        self.transport.setTcpNoDelay(True)
        self._link.endMade(self._way, self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Have it passed on."""
        self._link.pipes[self._way].feed(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Have the other end lost as well."""
        self.isThere = False
        self._link.endLost(self._way)

    def reset(self) -> None:
        """Close at once; what is on its way may be lost."""
        if self.isThere:
            self.transport.abortConnection()

    def finish(self, isHalf: bool = False) -> None:
        """Close when what was written has left."""
        if self.isThere:
            self.transport.unregisterProducer()
            if isHalf:
                self.transport.loseWriteConnection()
            else:
                self.transport.loseConnection()


class Link:
    """
    One connection, through the proxy.

    @param finished: called once, when both ends are gone.
    @ivar client: the client's end. C{server} is the server's.
    """

    def __init__(
        self,
        clock: IReactorTime,
        plan: Plan,
        faults: Counter[str],
        finished: Callable[[Link], object],
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._finished = finished
        self.client = End(self, UP)
        self.server = End(self, DOWN)
        # By the way of what arrives there: at its sink.
        self._sinks = {UP: self.server, DOWN: self.client}
        delays = dict(plan.delays)
        self.pipes = {way: Pipe(clock, delays.get(way, 0), way in plan.drips) for way in Direction}
        self._isClosing = False
        self._isServerDue = True
        self._isOver = False
        self._timers: list[IDelayedCall] = []
        for trigger in plan.triggers:
            self.pipes[trigger.way].trigger = (trigger.after, partial(self.strike, trigger.what))
        if plan.lifetime is not None:
            self._later(plan.lifetime, partial(self.cut, plan.cut))
        faults["delayed ways"] += len(plan.delays)
        faults["dripping ways"] += len(plan.drips)

    def strike(self, what: Fault) -> None:
        """Have a fault."""
        match what:
            case Cut():
                self.cut(what)
            case Stall():
                self.stall(what)
            case Overtaking():
                self.beOvertaken(what)

    def beOvertaken(self, overtaking: Overtaking) -> None:
        """Have the client's last bytes arrive late."""
        if not self._isClosing:
            self._faults["last bytes held back"] += 1
            self.pipes[UP].stall(overtaking.seconds)
            cut = Cut(CutHow.RESET, DOWN, overtaking.seconds)
            self._later(overtaking.seconds / 3, partial(self.cut, cut))

    def stall(self, stall: Stall) -> None:
        """Pass on nothing for a while."""
        if not self._isClosing:
            self._faults["stalls"] += 1
            for way in stall.ways:
                self.pipes[way].stall(stall.seconds)

    def cut(self, cut: Cut) -> None:
        """Break, if it has not been broken yet and no end has closed."""
        if self._isClosing:
            return
        self._faults[f"cuts, {cut.how.value}"] += 1
        if cut.how is CutHow.HALF:
            # The end that sees it closes; from there on all goes its ordinary way.
            self._close(cut.first, isHalf=True)
            return
        self._isClosing = True
        if cut.lag:
            self._faults["of these, one end long before the other"] += 1
        other = DOWN if cut.first is UP else UP
        for way, lag in ((cut.first, 0.0), (other, cut.lag)):
            if cut.how is CutHow.RESET:
                self._later(lag, partial(self._reset, way))
            else:
                self._later(lag, partial(self._close, way))

    def reset(self) -> None:
        """Break both ends, at this moment."""
        self._isClosing = True
        self._reset(DOWN)
        self._reset(UP)

    def endMade(self, way: Direction, transport: IStream) -> None:
        """Take note of an end."""
        self.pipes[way].source = transport
        self.pipes[DOWN if way is UP else UP].connect(transport)

    def endLost(self, way: Direction) -> None:
        """Take note that an end is gone."""
        self.pipes[DOWN if way is UP else UP].stop()
        if not self._isClosing:
            self._isClosing = True
            self._close(way)
        self._checkFinished()

    def serverFailed(self) -> None:
        """Take note that there is no connection to the server, nor will there be."""
        self._isServerDue = False
        self._isClosing = True
        self._reset(DOWN)
        self._checkFinished()

    def serverReady(self) -> None:
        """Take note that connecting has come to its end."""
        self._isServerDue = False

    def _reset(self, way: Direction) -> None:
        """Break the end where this way leads."""
        self.pipes[way].stop()
        self._sinks[way].reset()

    def _close(self, way: Direction, isHalf: bool = False) -> None:
        """Close the end where this way leads, when what is on its way has arrived."""
        self.pipes[way].close(partial(self._sinks[way].finish, isHalf))

    def _later(self, seconds: float, call: Callable[[], object]) -> None:
        if seconds:
            self._timers.append(self._clock.callLater(seconds, call))
        else:
            call()

    def _checkFinished(self) -> None:
        if self._isOver or self.client.isThere or self.server.isThere or self._isServerDue:
            return
        # To close one end may be to lose it there and then, and to come here twice.
        self._isOver = True
        for pipe in self.pipes.values():
            pipe.stop()
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self._timers.clear()
        self._finished(self)


class Proxy(Factory[End]):
    """
    The network in front of one server.

    @param reactor: where it listens and connects: all that TCP endpoints ask for.
    @param target: the server's port on this machine.
    @ivar makePlan: draws what a new connection suffers.
    @ivar faults: how many there were, by their names.
    @ivar port: where clients connect.
    @ivar links: the connections of this moment.
    """

    noisy = False

    def __init__(self, reactor: IReactorTime, target: int, makePlan: Callable[[], Plan]) -> None:
        self.makePlan = makePlan
        self.faults: Counter[str] = Counter()
        self.port = 0
        self.links: dict[Link, None] = {}
        self._reactor = reactor
        self._target = TCP4ClientEndpoint(reactor, "127.0.0.1", target)
        self._listening: IListeningPort | None = None
        self._again: IDelayedCall | None = None

    async def listen(self) -> None:
        """Take connections."""
        endpoint = TCP4ServerEndpoint(self._reactor, self.port, _BACKLOG, "127.0.0.1")
        self._listening = await endpoint.listen(self)
        host = self._listening.getHost()
        assert isinstance(host, IPv4Address)
        self.port = host.port

    def buildProtocol(self, addr: IAddress | None) -> End:
        """Make one link, and connect it to the server."""
        self.faults["connections"] += 1
        link = Link(self._reactor, self.makePlan(), self.faults, self.links.pop)
        self.links[link] = None
        made = connectProtocol(self._target, link.server)
        made.addCallbacks(lambda _: link.serverReady(), lambda _: link.serverFailed())
        return link.client

    def calm(self) -> None:
        """Have new connections work; those of now go on as planned."""
        self.makePlan = lambda: CALM

    def cutSome(self, faults: Faults, share: float) -> None:
        """Cut about so large a share of the connections, at this moment."""
        for link in list(self.links):
            if faults.isHit(share):
                link.cut(faults.cut())

    def stall(self, stall: Stall) -> None:
        """Stall everybody."""
        self.faults["moments when everybody was stalled"] += 1
        for link in self.links:
            link.stall(stall)

    def resetAll(self) -> int:
        """Break everybody, at this moment; tell how many that are."""
        self.faults["moments when everybody was cut"] += 1
        links = list(self.links)
        for link in links:
            link.reset()
        self.faults["cuts, reset"] += len(links)
        return len(links)

    def refuse(self, seconds: float) -> None:
        """Take no connections for so long."""
        if self._listening is not None:
            self.faults["moments when nobody could connect"] += 1
            maybeDeferred(self._listening.stopListening)
            self._listening = None
            self._again = self._reactor.callLater(
                seconds, lambda: Deferred.fromCoroutine(self.listen())
            )

    async def close(self) -> None:
        """Break everybody, and take no connections any more."""
        if self._again is not None and self._again.active():
            self._again.cancel()
        if self._listening is not None:
            await maybeDeferred(self._listening.stopListening)
        for link in list(self.links):
            link.reset()
