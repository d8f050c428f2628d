"""
A client's surroundings, in memory: the other ends of its connections, logins, and a clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from msgserver.client import MsgClient
from msgserver.clientlogin import LoggedIn
from msgserver.errors import Refused
from msgserver.wire.framing import SESSION_SIZE, PacketReader
from msgserver.wire.gate import GateServer, responsePacket
from msgserver.wire.naming import Handshake, User

SECRET = bytes.fromhex("b9388be0af1ec90a")
FIRST = LoggedIn(User(b"alice", b"1", b"sample"), SECRET)
SECOND = LoggedIn(User(b"alice", b"2", b"sample"), SECRET)
ONE, TWO, THREE = b"\x00\x00\x00\x01", b"\x00\x00\x00\x02", b"\x00\x00\x00\x03"


class Peer:
    """One connection of the client's, seen from the server."""

    def __init__(self, protocol: IProtocol) -> None:
        self._protocol = protocol
        self._transport = StringTransport()
        self._isLost = False
        protocol.makeConnection(self._transport)

    def heard(self) -> bytes:
        """Give what the client has written since the last call."""
        data: bytes = self._transport.value()
        self._transport.clear()
        return data

    def say(self, data: bytes) -> None:
        """Have the client read C{data}."""
        self._protocol.dataReceived(data)

    @property
    def isClosing(self) -> bool:
        """Whether the client has closed the connection, or cut it."""
        return bool(self._transport.disconnecting)

    def lose(self, reason: Exception | None = None) -> None:
        """Tell the client, once, that the connection is lost; by default by a clean close."""
        if not self._isLost:
            self._isLost = True
            self._protocol.connectionLost(Failure(reason or ConnectionDone()))


class GatePeer(Peer):
    """A gate of which each word is the test's."""

    def __init__(self, protocol: IProtocol) -> None:
        super().__init__(protocol)
        self._wire = GateServer()
        self._packets = PacketReader()

    def handshake(self) -> Handshake:
        """Give the handshake that the client has sent, and nothing with it."""
        self._wire.feed(self.heard())
        handshake = self._wire.nextEvent()
        assert handshake is not None, "no handshake"
        return handshake

    def accept(self) -> None:
        """Take the handshake, and say so."""
        self.handshake()
        said, rest = self._wire.accept()
        assert not rest, "requests before the verdict"
        self.say(said)

    def refuse(self, refusal: Refused) -> None:
        """Take the handshake, say no, and close (H1)."""
        self.handshake()
        self.say(self._wire.refuse(refusal))
        self.lose()

    def requests(self) -> list[tuple[bytes, bytes]]:
        """Give the (session, content) of what the client has asked since the last call."""
        self._packets.feed(self.heard())
        packets = iter(self._packets.next, None)
        return [(packet[-SESSION_SIZE:], packet[:-SESSION_SIZE]) for packet in packets]

    def answer(self, session: bytes, content: bytes, flag: bytes = b"\x01") -> None:
        """Respond to a request."""
        self.say(responsePacket(session, flag, content))


_PeerT = TypeVar("_PeerT", bound=Peer)


@implementer(IStreamClientEndpoint)
class Network(Generic[_PeerT]):
    """
    An endpoint that connects to peers.

    @ivar peers: the connections made so far.
    @ivar failure: what connecting fails with, where it is set.
    """

    def __init__(self, peer: type[_PeerT]) -> None:
        self._peer = peer
        self.peers: list[_PeerT] = []
        self.failure: Exception | None = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect at once."""
        if self.failure is not None:
            return fail(self.failure)
        protocol = protocolFactory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 8888))
        assert protocol is not None
        self.peers.append(self._peer(protocol))
        return succeed(protocol)


class MsgClientTestCase(SynchronousTestCase):
    """
    A client, its gate, and its logins: L{FIRST}, then L{SECOND}.

    @ivar retries: the attempts in a row of which each wait was asked for; a wait is 1 second.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = Network(GatePeer)
        self.logins: list[Callable[[], Deferred[LoggedIn]]] = [
            lambda: succeed(FIRST),
            lambda: succeed(SECOND),
        ]
        self.retries: list[int] = []
        self.client = MsgClient(
            self.clock, lambda: self.logins.pop(0)(), self.network, retryPolicy=self.retry
        )

    def retry(self, attempt: int) -> float:
        """Wait for a second."""
        self.retries.append(attempt)
        return 1.0

    def gate(self) -> GatePeer:
        """Give the gate's end of the newest connection."""
        return self.network.peers[-1]

    def connect(self) -> GatePeer:
        """Let the client make its next connection, up to its handshake."""
        known = len(self.network.peers)
        # The wait, and then the turn that each attempt takes to begin.
        self.clock.pump([1.0, 0.0])
        self.assertEqual(len(self.network.peers), known + 1)
        return self.gate()

    def connected(self) -> GatePeer:
        """Let the client make its next connection, and accept it."""
        gate = self.connect()
        gate.accept()
        return gate
