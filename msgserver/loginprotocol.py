"""
Login connections: L{msgserver.wire.login} on a transport.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from os import urandom

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver.closing import closeDelivering
from msgserver.errors import Forbidden, ProtocolError, Refused
from msgserver.interfaces import Admission, ILogins
from msgserver.limits import ConnectionLimits
from msgserver.wire.login import LoginServer, RandomBytes, Suite, TokenReceived


@frozen
class LoginLimits:
    """
    What login connections may hold.

    @ivar maxclient: connections at once.
    @ivar timeout: seconds that a whole conversation may take, the gate's part and the close
        included (L1).
    """

    maxclient: int = 1024
    timeout: float = 10.0


class LoginProtocol(Protocol):
    """One login conversation. Policy is L{ILogins}'s; this feeds, sends and closes."""

    factory: LoginFactory
    transport: ITCPTransport

    def __init__(self, conversation: LoginServer) -> None:
        self._conversation = conversation
        self._login: Deferred[None] | None = None
        self._isLost = False

    def connectionMade(self) -> None:
        """Send the challenge, unless there are too many connections."""
        if self.factory.limits.opened(self):
            self._send()
        else:
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Go on with the conversation."""
        try:
            self._conversation.feed(data)
            event = self._conversation.nextEvent()
        except Refused as refusal:
            self._refuse(refusal)
        except ProtocolError as error:
            self.factory.log.debug("login from {peer}: {error}", peer=self._peer(), error=error)
            self._close()
        else:
            self._send()
            if event is not None:
                self._tokenReceived(event)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Drop a login that nobody waits for any more."""
        self._isLost = True
        self.factory.limits.closed(self)
        if self._login is not None:
            self._login.cancel()

    def expired(self) -> None:
        """Close: the conversation's time is up (L1)."""
        self.factory.log.debug("login from {peer}: out of time", peer=self._peer())
        self.transport.abortConnection()

    def _tokenReceived(self, event: TokenReceived) -> None:
        login = self.factory.logins.login(event.token, event.secret, self._peer())
        self._login = login.addCallbacks(self._admitted, self._failed)

    def _admitted(self, admission: Admission) -> None:
        self._conversation.admit(admission.subid, admission.address)
        self._close()

    def _failed(self, failure: Failure) -> None:
        if self._isLost:
            return
        refusal = failure.value
        if not isinstance(refusal, Refused):
            if not isinstance(refusal, CancelledError):  # As it is when the client has gone.
                self.factory.log.failure("a login failed", failure)
            refusal = Forbidden("the login failed")
        self._refuse(refusal)

    def _refuse(self, refusal: Refused) -> None:
        self.factory.log.debug("login from {peer}: {refusal}", peer=self._peer(), refusal=refusal)
        self._conversation.refuse(refusal)
        self._send()
        # The client may be sending still, which must not cost it the refusal. The deadline
        # stays: it aborts where the client does not close its side.
        closeDelivering(self.transport)

    def _send(self) -> None:
        data = self._conversation.dataToSend()
        if data:
            self.transport.write(data)

    def _close(self) -> None:
        # Here too the deadline stays, for a client that does not take the last line.
        self._send()
        self.transport.loseConnection()

    def _peer(self) -> str:
        return str(getattr(self.transport.getPeer(), "host", "unknown"))


class LoginFactory(Factory["LoginProtocol"]):
    """
    Makes the login connections of one login server, over any number of ports.

    @param suites: what clients may pick from.
    """

    noisy = False
    log = Logger()

    def __init__(
        self,
        logins: ILogins,
        clock: IReactorTime,
        suites: Iterable[Suite],
        limits: LoginLimits,
        randomBytes: RandomBytes = urandom,
    ) -> None:
        self.logins = logins
        self.limits: ConnectionLimits[LoginProtocol] = ConnectionLimits(
            clock, limits.maxclient, limits.timeout, LoginProtocol.expired
        )
        self._suites = {suite.keySize: suite for suite in suites}
        self._randomBytes = randomBytes

    def at(self, *, isProxied: bool, suites: Iterable[Suite]) -> LoginFactory:
        """Make a factory for one listener, which shares all but this with the others."""
        twin = copy(self)
        twin._suites = {suite.keySize: suite for suite in suites}
        return twin

    def buildProtocol(self, addr: IAddress | None) -> LoginProtocol:
        """Make the protocol of one conversation."""
        protocol = LoginProtocol(LoginServer(self._suites, self._randomBytes))
        protocol.factory = self
        return protocol
