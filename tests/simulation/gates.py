"""
The servers, which tell the model what they do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from msgserver.directsend import Write
from msgserver.interfaces import User
from msgserver.loginservice import LoginService
from msgserver.msgprotocol import MsgFactory, MsgProtocol
from msgserver.msgservice import MsgService
from msgserver.sessions import Login
from tests.simulation.handlers import Handler
from tests.simulation.model import GateModel
from tests.simulation.network import (
    Port,
    Transport,
)
from tests.simulation.parts import Limits, Wire

if TYPE_CHECKING:
    from tests.simulation.world import World


class ServerTransport(Transport):
    """The gate's end of a connection, which tells the model what happens."""

    wire: Wire
    model: GateModel
    isJudged = False

    def judge(self, data: bytes) -> None:
        """Have judged what is written."""
        if data and self.connected and not self._aborting:
            self.model.wrote(self.wire, data)

    def write(self, data: bytes) -> None:
        """Write, and have that judged, unless it is what the socket had no room for."""
        if not self.isJudged:
            self.judge(data)
        Transport.write(self, data)

    def loseWriteConnection(self) -> None:
        """Begin to close."""
        if self.wire.closingSince is None:
            self.wire.closingSince = self._reactor.seconds()
        Transport.loseWriteConnection(self)

    def connectionLost(self, reason: Failure) -> None:
        """Be lost."""
        if self.connected:
            self.model.lost(self.wire)
        Transport.connectionLost(self, reason)

    def doWrite(self) -> Any:
        """Send; whoever was held back may go on, and be judged."""
        pushBacks, wasPushedBack = self.pushBacks, self.isPushedBack
        result = Transport.doWrite(self)
        if wasPushedBack and (not self.isPushedBack or self.pushBacks > pushBacks):
            self.model.settle(self.wire, False)
        return result

    def _dataReceived(self, data: bytes | None) -> Any:
        if data:
            self.model.received(self.wire, data)
        result = Transport._dataReceived(self, data)
        self.model.settle(self.wire, False)
        return result


class WatchedFactory(MsgFactory):
    """A factory whose connections have judged what they write, whichever way it leaves."""

    def attach(self, transport: Any, protocol: MsgProtocol) -> Write:
        """Set up a connection whose handshake is accepted."""
        write = MsgFactory.attach(self, transport, protocol)
        transport.isJudged = True

        def judged(data: bytes) -> None:
            held, sent = transport.isPushedBack, len(transport.end.outgoing.data)
            transport.judge(data)
            write(data)
            if self._isDirect and not held and transport.connected:
                count = len(transport.end.outgoing.data) - sent
                how = "no room" if not count else "sent" if count == len(data) else "sent in part"
                transport.model.reached(f"direct: {how}")

        return judged


class WatchedGate(MsgService):
    """A gate that says which logins it has admitted."""

    model: GateModel

    def admit(self, user: User, secret: bytes) -> Login:
        """Admit a login."""
        admitted = MsgService.admit(self, user, secret)
        self.model.admitted(user, secret)
        return admitted


class WatchedLogins(LoginService):
    """A login server that says who is being logged in."""

    underWay: list[bytes]

    def login(self, token: bytes, secret: bytes, peer: str) -> Deferred[Any]:
        """Run a login."""
        uid = token.split(b" ")[1]
        self.underWay.append(uid)
        done = LoginService.login(self, token, secret, peer)

        def over(result: Any) -> Any:
            self.underWay.remove(uid)
            return result

        return done.addBoth(over)


class Gate:
    """One gate, its port, and its model."""

    def __init__(self, world: World, name: str, limits: Limits, hasAddress: bool) -> None:
        reactor = world.reactor
        self.name = name
        self.model = GateModel(
            limits, reactor.seconds, world.reached, world.isLoginUnderWay, world.trace
        )
        self.handler = Handler(world, self.model)
        self.service = WatchedGate(
            self.handler,
            b"sample",
            reactor,
            world.logins,
            f"{name}:1" if hasAddress else None,
            limits.session,
            limits.life,
            world.randomBytes,
        )
        self.service.model = self.model
        # By turns, so that a thousand worlds are half of each.
        isDirect = world.seed % 2 == 0
        self.factory = WatchedFactory(self.service, reactor, limits.gate, isDirect=isDirect)
        self.port = Port(name, self.factory)
        self.stopped: Deferred[Any] | None = None
