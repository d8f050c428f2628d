"""
A network in memory: what leads from each client to the servers, and whether it does.
"""

from __future__ import annotations

from typing import Any

from attrs import define
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.testing.cuts import Cut, answerBounds
from msgserver.testing.wires import SERVER_ADDRESS, Wire


class Network:
    """
    What leads from all clients to the servers.

    @ivar cut: where the connection breaks that delivers the byte of that number, whosever it is.
    @ivar cutsLogins: that counts the login conversations as well.
    @ivar isOpen: the servers take connections.
    @ivar delivered: how many bytes were delivered after each delivery, of those that count.
    """

    def __init__(self, clock: IReactorTime, gate: Factory[Any], login: Factory[Any]) -> None:
        self.clock = clock
        self.cut: Cut | None = None
        self.cutsLogins = False
        self.isOpen = True
        self.delivered: list[int] = [0]
        self._factories = {True: gate, False: login}
        self._lines: list[Line] = []

    def newLine(self) -> Line:
        """Let a client in."""
        number = len(self._lines) + 1
        line = Line(self, f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
        self._lines.append(line)
        return line

    def deliver(self) -> bool:
        """
        Deliver what was sent.

        @return: whether there was anything.
        """
        return any([line.deliver() for line in self._lines])

    def accept(self, isGate: bool) -> IProtocol:
        """
        Make the server's end of a connection.

        @raise ConnectionRefusedError: the servers have stopped.
        """
        if not self.isOpen:
            raise ConnectionRefusedError()
        protocol: IProtocol | None = self._factories[isGate].buildProtocol(None)
        assert protocol is not None
        return protocol

    def placeToCut(self, data: bytes, isUp: bool, isGate: bool) -> int | None:
        """See L{Cut.place}, for whatever is delivered anywhere."""
        if not (isGate or self.cutsLogins):
            return None
        self.delivered.append(self.delivered[-1] + len(data))
        place = None if self.cut is None else self.cut.place(data, isUp, ())
        if place is not None:
            self.cut = None
        return place


class Line:
    """
    What leads from one client to the servers.

    @ivar address: where it calls from.
    @ivar cut: where its connection to the gate breaks next; None: nowhere.
    """

    def __init__(self, network: Network, address: str) -> None:
        self.address = address
        self.cut: Cut | None = None
        self.network = network
        self._isOnline = True
        self._wires: list[Wire] = []
        self._dialing: list[_Call] = []

    def lose(self) -> None:
        """Break the connections of this moment."""
        for wire in self._wires:
            wire.lose()

    def setOnline(self, isOnline: bool) -> None:
        """Say whether the servers can be reached from now on; if not, connections break."""
        self._isOnline = isOnline
        if isOnline:
            for call in [*self._dialing]:
                self._connect(call)
        else:
            self.lose()

    def deliver(self) -> bool:
        """See L{Network.deliver}."""
        wires = self._wires
        hasMoved = any([wire.deliver() for wire in [*wires]])
        self._wires = [wire for wire in self._wires if not wire.isOver]
        return hasMoved

    def dial(self, isGate: bool, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect in another turn; while the servers cannot be reached, when they can."""
        call = _Call(Deferred(lambda _: self._dialing.remove(call)), isGate, factory)
        self._dialing.append(call)
        self.network.clock.callLater(0, self._connect, call)
        return call.connected

    def placeToCut(self, wire: Wire, data: bytes, isUp: bool) -> int | None:
        """See L{Cut.place}, for what is delivered to or from this client."""
        place = self.network.placeToCut(data, isUp, wire.isGate)
        if self.cut is None or not wire.isGate:
            return place
        bounds = [] if isUp else answerBounds(data, wire.isNew)
        own = self.cut.place(data, isUp, bounds)
        if own is None:
            return place
        self.cut = None
        return own if place is None else min(own, place)

    def _connect(self, call: _Call) -> None:
        if not self._isOnline or call not in self._dialing:
            return
        self._dialing.remove(call)
        try:
            server = self.network.accept(call.isGate)
        except ConnectionRefusedError:
            call.connected.errback(Failure())
            return
        client = call.factory.buildProtocol(IPv4Address("TCP", SERVER_ADDRESS, 8888))
        assert client is not None
        self._wires.append(Wire(self.placeToCut, call.isGate, client, server, self.address))
        call.connected.callback(client)


@define(eq=False)
class _Call:
    """An attempt to connect."""

    connected: Deferred[IProtocol]
    isGate: bool
    factory: IProtocolFactory


@implementer(IStreamClientEndpoint)
@define
class MemoryEndpoint:
    """Where a client connects to: the gate, or the login server."""

    line: Line
    isGate: bool

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See L{IStreamClientEndpoint.connect}."""
        return self.line.dial(self.isGate, protocolFactory)
