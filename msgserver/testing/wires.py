"""
Connections in memory that move bytes only when told to, and break where told to.

What is simulated is the network. What stands on its ends is real: protocols that were written
for sockets.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol

from msgserver.testing.doubles import MemoryTransport

SERVER_ADDRESS = "198.51.100.1"
"""Where the servers are, to the clients."""


class _End(MemoryTransport):
    """
    One end of a connection.

    @ivar held: what it has sent and the other end has not read.
    """

    def __init__(self, protocol: IProtocol, peer: str) -> None:
        super().__init__(peer)
        self.protocol = protocol
        self.held = b""

    @property
    def isClosed(self) -> bool:
        """Whether nothing more is sent here."""
        return bool(self.disconnecting or self.writeClosed)

    def breakOff(self, reason: Exception) -> None:
        """Lose the connection, once."""
        if self.connected:
            self.lose(reason)


class Wire:
    """
    One connection.

    @param placeToCut: tells of each delivery on which wire, of which bytes and whether to the
        server, how many of the bytes arrive before the connection breaks; None: all.
    @ivar isGate: it leads to the gate, and not to the login server.
    @ivar isNew: the server has said nothing yet.
    """

    def __init__(
        self,
        placeToCut: Callable[[Wire, bytes, bool], int | None],
        isGate: bool,
        client: IProtocol,
        server: IProtocol,
        address: str,
    ) -> None:
        self.isGate = isGate
        self.isNew = True
        self._placeToCut = placeToCut
        self._client, self._server = _End(client, SERVER_ADDRESS), _End(server, address)
        for end in (self._server, self._client):
            end.connect(end.protocol)

    @property
    def isOver(self) -> bool:
        """Whether both ends know that it is lost."""
        return not (self._client.connected or self._server.connected)

    def deliver(self) -> bool:
        """
        Deliver what was sent, each way, and the close behind it.

        @return: whether there was anything.
        """
        hasMoved = self._move(self._client, self._server, isUp=True)
        return self._move(self._server, self._client, isUp=False) or hasMoved

    def lose(self) -> None:
        """Break: what was not delivered is lost."""
        for end in (self._server, self._client):
            end.breakOff(ConnectionLost())

    def _move(self, sender: _End, receiver: _End, isUp: bool) -> bool:
        if not sender.connected:
            return False
        if sender.disconnected:
            sender.breakOff(ConnectionAborted())
            receiver.breakOff(ConnectionLost())
            return True
        sender.held += sender.take()
        if sender.held and receiver.isReading:
            data, sender.held = sender.held, b""
            self._pass(receiver, data, isUp)
            return True
        if sender.isClosed and (not sender.held or receiver.disconnecting):
            # Neither protocol is one that goes on with half a connection.
            for end in (receiver, sender):
                end.breakOff(ConnectionDone())
            return True
        return False

    def _pass(self, receiver: _End, data: bytes, isUp: bool) -> None:
        place = self._placeToCut(self, data, isUp)
        self.isNew = self.isNew and isUp
        if place != 0:
            receiver.protocol.dataReceived(data[:place])
        if place is not None:
            self.lose()
