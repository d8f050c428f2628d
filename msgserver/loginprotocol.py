"""
Login connections: L{msgserver.wire.login} on a transport.
"""

from __future__ import annotations

from collections import Counter
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
from msgserver.limits import (
    LOOPBACK,
    AddressLimits,
    ConnectionLimits,
    LoginFailures,
    Networks,
    plainHost,
)
from msgserver.strangerlog import StrangerLog
from msgserver.wire.login import LoginServer, RandomBytes, Suite, TokenReceived

_DEADLINE = "login_timeout"
"""The config key of the time that a conversation may take."""


@frozen
class LoginLimits:
    """
    What login connections may hold.

    @ivar maxclient: connections at once.
    @ivar timeout: seconds that a whole conversation may take, the gate's part and the close
        included (L1).
    @ivar maxStrangers: connections at once whose clients have not proved that they hold the
        secret.
    @ivar addressMaxclient: connections at once of one address.
    @ivar addressRate: connections a second of one address in the long run.
    @ivar addressBurst: connections of one address before that holds.
    @ivar addressTable: addresses that this is remembered for.
    @ivar unlimited: the networks that no limit of an address holds for.
    """

    maxclient: int = 1024
    timeout: float = 10.0
    maxStrangers: int = 512
    addressMaxclient: int = 64
    addressRate: float = 10.0
    addressBurst: int = 100
    addressTable: int = 65536
    unlimited: tuple[str, ...] = LOOPBACK


class LoginProtocol(Protocol):
    """One login conversation. Policy is L{ILogins}'s; this feeds, sends and closes."""

    factory: LoginFactory
    transport: ITCPTransport

    def __init__(self, conversation: LoginServer) -> None:
        self._conversation = conversation
        self._login: Deferred[None] | None = None
        self._isLost = False
        self._isJudged = False
        self._peer = "unknown"

    def connectionMade(self) -> None:
        """Send the challenge, unless the client may not be here."""
        factory, peer = self.factory, self.transport.getPeer()
        # Behind a PROXY header this is the proxy, which is all that is known before it.
        self._peer = plainHost(peer) or "unknown"
        if factory.limits.opened(self, peer, isProxied=factory.isProxied):
            self._send()

    def dataReceived(self, data: bytes) -> None:
        """Go on with the conversation."""
        if self._isJudged or (self.factory.isProxied and not self._isWelcome()):
            return
        try:
            self._conversation.feed(data)
            event = self._conversation.nextEvent()
        except Refused as refusal:
            self._refuse(refusal)
        except ProtocolError as error:
            # There is one, and it is about lines.
            self.factory.limits.hits["line"] += 1
            self._tellLimit("line", str(error))
            self._judge("malformed")
            self._close()
        else:
            if self._conversation.isProved:
                self.factory.limits.known(self)
            self._send()
            if event is not None:
                self._tokenReceived(event)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Drop a login that nobody waits for any more."""
        self._isLost = True
        self._judge("lost")
        self.factory.limits.closed(self)
        if self._login is not None:
            self._login.cancel()

    def over(self, limit: str) -> None:
        """
        Close at once.

        @param limit: the config key of the limit that the connection is over (B1, L1).
        """
        self._tellLimit(limit, "closed")
        self._judge("timeout" if limit == _DEADLINE else "limit")
        self.transport.abortConnection()

    def _isWelcome(self) -> bool:
        """Find out who is there, as the proxy has said it, and whether he may be."""
        peer = self.transport.getPeer()
        self._peer = plainHost(peer) or "unknown"
        return self.factory.limits.named(self, peer)

    def _tellLimit(self, limit: str, what: str) -> None:
        self.factory.strangers.info(
            "login from {peer}: {what} ({which})",
            event="limit",
            which=limit,
            what=what,
            peer=self._peer,
        )

    def _judge(self, outcome: str) -> None:
        """Count what has come of this connection, once."""
        if not self._isJudged:
            self._isJudged = True
            self.factory.outcomes[outcome] += 1

    def _tokenReceived(self, event: TokenReceived) -> None:
        login = self.factory.logins.login(event.token, event.secret, self._peer)
        # One after the other: what cannot be said of an admission is a failure, too.
        self._login = login.addCallback(self._admitted).addErrback(self._failed)

    def _admitted(self, admission: Admission) -> None:
        self._conversation.admit(admission.subid, admission.address)
        self._judge("200")
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
        status = refusal.status.value[:3].decode()
        self._judge(status)
        self.factory.strangers.info(
            "login from {peer}: refused ({status}): {reason}",
            event="refusal",
            status=status,
            reason=str(refusal),
            peer=self._peer,
        )
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


class LoginFactory(Factory["LoginProtocol"]):
    """
    Makes the login connections of one login server, over any number of ports.

    @param suites: what clients may pick from.
    @param failures: makes those wait whose logins fail too often; None: nobody.
    @ivar isProxied: a proxy says whose each connection is, with its first bytes.
    @ivar outcomes: how many connections there have been, by what has come of them: the status
        that they were told, or C{timeout}, C{malformed}, C{lost} or C{limit}.
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
        failures: LoginFailures | None = None,
    ) -> None:
        self.logins = logins
        self.isProxied = False
        self.outcomes: Counter[str] = Counter()
        self.strangers = StrangerLog(self.log, clock)
        self.limits: ConnectionLimits[LoginProtocol] = ConnectionLimits(
            clock,
            limits.maxclient,
            limits.timeout,
            deadline=_DEADLINE,
            maxStrangers=limits.maxStrangers,
            addresses=AddressLimits(
                clock,
                limits.addressMaxclient,
                limits.addressRate,
                limits.addressBurst,
                limits.addressTable,
            ),
            networks=Networks(limits.unlimited),
            failures=failures,
            over=LoginProtocol.over,
        )
        self._suites = {suite.keySize: suite for suite in suites}
        self._randomBytes = randomBytes

    def at(self, *, isProxied: bool, suites: Iterable[Suite]) -> LoginFactory:
        """Make a factory for one listener, which shares all but this with the others."""
        twin = copy(self)
        twin.isProxied = isProxied
        twin._suites = {suite.keySize: suite for suite in suites}
        return twin

    def buildProtocol(self, addr: IAddress | None) -> LoginProtocol:
        """Make the protocol of one conversation."""
        protocol = LoginProtocol(LoginServer(self._suites, self._randomBytes))
        protocol.factory = self
        return protocol
