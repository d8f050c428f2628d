"""
In-memory doubles of what surrounds a part of msgserver, for its own tests and for yours.

With L{twisted.internet.testing.StringTransport}'s ways: nothing happens by itself, a test
asks and tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, ITCPTransport
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.cluster import GateLoad, IGate, ILoginDirectory, LoginRecord, Registration


@implementer(ITCPTransport)
class MemoryTransport(StringTransport):
    """
    A TCP connection without a network, as strict and as lenient as Twisted's own.

    The inherited C{disconnecting} says that it was told to close, C{disconnected} that it
    was told to abort; the protocol hears of either when the test calls L{lose}.

    @param peer: the client's address, without its port.
    @ivar writeClosed: the sending side was closed; what is written then goes nowhere.
    """

    def __init__(self, peer: str = "192.0.2.1") -> None:
        # Lenient: a real connection ignores pauseProducing and resumeProducing when closing.
        StringTransport.__init__(self, None, IPv4Address("TCP", peer, 54321), lenient=True)
        self.writeClosed = False
        self._protocol: IProtocol | None = None
        self._options = {"nodelay": False, "keepalive": False}

    def connect(self, protocol: IProtocol) -> None:
        """Connect to C{protocol}, as a port does with what its factory has built."""
        self._protocol = protocol
        protocol.makeConnection(self)

    def lose(self, reason: Exception | None = None) -> None:
        """
        Lose the connection, whoever ended it.

        @param reason: what the protocol is told; by default that it was closed.
        """
        assert self._protocol is not None, "not connected"
        self.connected = False
        if self.producer is not None:
            self.producer.stopProducing()
        self._protocol.connectionLost(Failure(reason or ConnectionDone()))

    def take(self) -> bytes:
        """Give what was written since the last time."""
        written: bytes = StringTransport.value(self)
        StringTransport.clear(self)
        return written

    @property
    def isReading(self) -> bool:
        """Whether the other end's bytes are wanted."""
        return self.producerState == "producing" and not self.disconnecting

    def write(self, data: bytes) -> None:
        """Write, unless nothing can leave any more."""
        if self.connected and not self.writeClosed and not self.disconnected:
            StringTransport.write(self, data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Write the pieces, as L{write} does."""
        self.write(b"".join(data))

    def unregisterProducer(self) -> None:
        """Let go of the producer, if there is one."""
        self.producer = None
        self.streaming = None

    def loseWriteConnection(self) -> None:
        """
        Close the sending side.

        @raise ValueError: the connection is lost already, as with a real one.
        """
        if not self.connected:
            raise ValueError("the connection is lost")
        self.writeClosed = True

    def getTcpNoDelay(self) -> bool:
        """See C{ITCPTransport.getTcpNoDelay}."""
        return self._options["nodelay"]

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See C{ITCPTransport.setTcpNoDelay}."""
        self._options["nodelay"] = enabled

    def getTcpKeepAlive(self) -> bool:
        """See C{ITCPTransport.getTcpKeepAlive}."""
        return self._options["keepalive"]

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """See C{ITCPTransport.setTcpKeepAlive}."""
        self._options["keepalive"] = enabled


@implementer(IGate)
class MemoryGate:
    """
    A gate that writes down what it is asked, and says yes at once unless told otherwise.

    Its first login's subid is C{b"1"}, the next one's C{b"2"}.

    @ivar asked: C{("login", uid, secret)} and C{("kick", uid, subid)}, in their order.
    @ivar epochs: what each login was asked with, in their order.
    @ivar answers: what the next questions that have an answer are answered with, in their
        order; when none is left, a yes.
    @ivar isLate: see L{IGate}; the test's to say.
    @ivar isDraining: it was told to take no new logins; None before it was told anything.
    @ivar isReplaced: another one has taken its name and its address.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes, bytes]] = []
        self.epochs: list[int] = []
        self.answers: list[Deferred[Any]] = []
        self.isLate = False
        self.isDraining: bool | None = None
        self.isReplaced = False
        self._subid = 0

    def login(self, uid: bytes, secret: bytes, epoch: int) -> Deferred[bytes]:
        """See L{IGate.login}."""
        self.asked.append(("login", uid, secret))
        self.epochs.append(epoch)
        if self.answers:
            return self.answers.pop(0)
        self._subid += 1
        return succeed(b"%d" % self._subid)

    def kick(self, uid: bytes, subid: bytes) -> Deferred[None]:
        """See L{IGate.kick}."""
        self.asked.append(("kick", uid, subid))
        return self.answers.pop(0) if self.answers else succeed(None)

    def setDraining(self, isDraining: bool) -> Deferred[None]:
        """See L{IGate.setDraining}."""
        self.isDraining = isDraining
        return self.answers.pop(0) if self.answers else succeed(None)

    def load(self) -> Deferred[GateLoad]:
        """See L{IGate.load}."""
        return self.answers.pop(0) if self.answers else succeed(GateLoad(logins=self._subid))

    def replaced(self) -> None:
        """See L{IGate.replaced}."""
        self.isReplaced = True


@implementer(ILoginDirectory)
class MemoryDirectory:
    """
    A login side that writes down what gates tell it.

    @ivar registrations: of each L{register}, in their order.
    @ivar adopted: each login that gates told of otherwise, in their order.
    @ivar drained: what each L{draining} said, in their order.
    @ivar ended: C{(uid, subid)} of each L{loggedOut}, in their order.
    @ivar unregistered: the gates that are no more.
    @ivar superseded: what every L{register} and L{adopt} is answered with.
    """

    def __init__(self) -> None:
        self.registrations: list[Registration] = []
        self.adopted: list[LoginRecord] = []
        self.drained: list[bool] = []
        self.ended: list[tuple[bytes, bytes]] = []
        self.unregistered: list[IGate] = []
        self.superseded: list[LoginRecord] = []

    def register(
        self, gate: IGate, describe: Callable[[], Registration]
    ) -> Deferred[Sequence[LoginRecord]]:
        """See L{ILoginDirectory.register}."""
        self.registrations.append(describe())
        return succeed(self.superseded)

    def unregister(self, gate: IGate) -> Deferred[None]:
        """See L{ILoginDirectory.unregister}."""
        self.unregistered.append(gate)
        return succeed(None)

    def draining(self, gate: IGate, isDraining: bool) -> Deferred[None]:
        """See L{ILoginDirectory.draining}."""
        self.drained.append(isDraining)
        return succeed(None)

    def adopt(self, gate: IGate, logins: Sequence[LoginRecord]) -> Deferred[Sequence[LoginRecord]]:
        """See L{ILoginDirectory.adopt}."""
        self.adopted += logins
        return succeed(self.superseded)

    def loggedOut(self, gate: IGate, uid: bytes, subid: bytes) -> Deferred[None]:
        """See L{ILoginDirectory.loggedOut}."""
        self.ended.append((uid, subid))
        return succeed(None)
