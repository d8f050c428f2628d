"""
What may happen to the network, and to the time.
"""

from __future__ import annotations

from typing import Any

from tests.simulation.gates import ServerTransport
from tests.simulation.network import (
    End,
    Link,
    Reactor,
    Transport,
    TwistedEnd,
)
from tests.simulation.parts import Wire
from tests.simulation.world import World


class NetworkSteps(World):
    """Steps of the network."""

    def _move(self, x: int, y: int) -> bool:
        """Let bytes, or the end of them, get from one end of a connection to the other."""
        flows: list[tuple[End, End, bool]] = []
        for link in self.network.links:
            if link.client is not None and link.server is not None:
                flows.append((link.client, link.server, link.isHeld))
                flows.append((link.server, link.client, link.isStuck))
            elif link.client is not None and link.client.canWrite():
                flows.append((link.client, link.client, True))
        flows = [
            (sender, receiver, isHeld)
            for sender, receiver, isHeld in flows
            if sender.canWrite()
            or (not isHeld and receiver.canRead() and _hasNews(receiver.socket.incoming))
        ]
        if not flows:
            return False
        sender, receiver, isHeld = flows[x % len(flows)]
        budget = (2**20, 2**20, 2**20, 2**16, 2**16, 60, 7, 1)[y % 8]
        mode = y // 8 % 8
        self._pump(sender, receiver, isHeld, budget, mode, isOvertaken=bool(y // 64 % 2))
        if y // 128 % 2:
            # Both ends go on for a while, each with what the other has said.
            for link in self.network.links:
                if sender in link.ends:
                    self._converse(link)
        return True

    def _pump(
        self,
        sender: End,
        receiver: End,
        isHeld: bool,
        budget: int,
        mode: int = 2,
        isOvertaken: bool = False,
    ) -> None:
        sender.socket.budget = receiver.socket.budget = budget
        incoming = receiver.socket.incoming
        before = len(incoming.data)
        if sender.canWrite() and mode != 0:
            sender.write()
        if mode != 1 and not isHeld and receiver.canRead():
            if incoming.isReset and isOvertaken:
                incoming.data = b""  # The reset overtakes what was on its way.
            if _hasNews(incoming):
                there = len(incoming.data)
                receiver.read()
                self._tellMove(sender, there - len(incoming.data))
        elif len(incoming.data) > before:
            self._tellMove(sender, 0)

    def _tellMove(self, sender: End, count: int) -> None:
        for link in self.network.links:
            if sender in link.ends:
                where = "to the server" if sender is link.client else "to the client"
                what = f"{count} bytes get" if count else "nothing yet gets, or an end,"
                self.trace(f"    connection {link.number}: {what} {where}")

    def _converse(self, link: Link) -> None:
        for _ in range(4):
            if link.client is not None and link.server is not None:
                self._pump(link.client, link.server, link.isHeld, 2**20)
                self._pump(link.server, link.client, link.isStuck, 2**20)

    def _accept(self, x: int, y: int) -> bool:
        """Have a port take a connection."""
        waiting = [link for link in self.network.links if link.server is None]
        if not waiting:
            return False
        link = waiting[x % len(waiting)]
        self._acceptLink(link)
        return True

    def _acceptLink(self, link: Link) -> None:
        factory = link.port.factory
        if factory is None:
            link.serverSocket.close()
            link.server = _closedEnd(link, self.reactor)
            return
        protocol = factory.buildProtocol(None)
        gates = [gate for gate in self.gates if gate.port is link.port]
        if not gates:
            transport = Transport(link.serverSocket, protocol, self.reactor, "192.0.2.1")
            self._loginLinks[link] = self.reactor.seconds()
            link.server = TwistedEnd(transport, self.reactor)
            protocol.makeConnection(transport)
            return
        watched = ServerTransport(link.serverSocket, protocol, self.reactor, "192.0.2.1")
        watched.model = gates[0].model
        watched.wire = Wire(
            link.number,
            watched,
            self.reactor.seconds(),
            hasMore=lambda: protocol._connection is not None and protocol._connection.hasMore,
            held=lambda: _heldBy(protocol),
        )
        link.server = TwistedEnd(watched, self.reactor)
        self.trace(f"    connection {link.number} is taken in by {gates[0].name}")
        gates[0].model.opened(watched.wire)
        protocol.makeConnection(watched)

    def _dial(self, x: int, y: int) -> bool:
        """Have a client's connection succeed, or fail."""
        if not self.network.dials:
            return False
        dial = self.network.dials[x % len(self.network.dials)]
        if y % 8 == 0:
            self.network.refuse(dial)
        else:
            link = self.network.answer(dial)
            if link is not None:
                self.trace(f"    connection {link.number} from {dial.owner}")
                if y % 8 < 5:
                    self._acceptLink(link)
        return True

    def _turn(self, x: int, y: int) -> bool:
        """Let a turn of the reactor pass."""
        self.reactor.passTime(0)
        return True

    def _wait(self, x: int, y: int) -> bool:
        """Let time pass in which nothing moves."""
        seconds = (0.01, 0.1, 0.3, 1.0, 1.0, 2.0, 5.0, 13.0)[y % 8]
        if any(wire.wasStalled for gate in self.gates for wire in gate.model.wires.values()):
            seconds = min(seconds, 5.0)  # What is to happen meanwhile takes steps.
        self.reactor.passTime(seconds)
        return True

    def _cut(self, x: int, y: int) -> bool:
        """Break a connection."""
        if not self.network.links:
            return False
        link = self.network.links[x % len(self.network.links)]
        self.trace(f"    connection {link.number} breaks")
        link.cut()
        link.isHeld = y % 4 == 0
        return True

    def _stick(self, x: int, y: int) -> bool:
        """Have one end of a connection hear nothing of the other from now on, or again."""
        if not self.network.links:
            return False
        link = self.network.links[x % len(self.network.links)]
        if y % 2:
            link.isStuck = not link.isStuck
        else:
            link.isHeld = not link.isHeld
        return True


def _heldBy(protocol: Any) -> int:
    # Once the handshake is accepted, nothing is left of what was said before.
    conversation = getattr(protocol, "_conversation", None)
    return 0 if conversation is None else len(conversation._packets._buffer)


def _hasNews(incoming: Any) -> bool:
    return bool(incoming.data or incoming.isEnded or incoming.isReset)


def _closedEnd(link: Link, reactor: Reactor) -> TwistedEnd:
    from twisted.internet.protocol import Protocol

    transport = Transport(link.serverSocket, Protocol(), reactor, "192.0.2.1")
    transport.stopReading()
    return TwistedEnd(transport, reactor)
