"""
Who may call over the control link: a shared key, proved by both ends without being sent.

Each end makes a nonce of 32 random bytes. The one that connects proves first, with the
HMAC-SHA256 of its role, its name and both nonces under the key; the login server's answer is
another such. So a listener does not learn the key, no proof can be used twice, and no gate takes
logins from a server that does not hold its key. It does not encrypt what is said, nor keep out one
who stands between the two and passes everything on: for that there is TLS.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from os import urandom
from typing import Any, NoReturn

from attrs import field, frozen
from twisted.application.service import Service
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, TimeoutError, fail, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.spread import pb
from zope.interface import Interface, implementer

from msgserver.errors import GateUnavailable, InvalidState, Unauthorized
from msgserver.limits import ConnectionLimits
from msgserver.remote.link import Link, LinkBroker, LinkTimes, Served
from msgserver.strangerlog import StrangerLog
from msgserver.wire.login import RandomBytes

OPERATOR = b"operator"
"""Who an operator is, on the link."""

_VERSION = 1
"""What is said on the link. Both ends must speak the same."""

_NONCE_SIZE = 32

_log = Logger()


class IDesk(Interface):
    """What a peer that has proved its key is given to call: a L{Served}."""


@implementer(ICredentials)
@frozen
class Proof:
    """
    What a peer proves itself with.

    @ivar identity: who it says that it is, as L{identityOf} or L{OPERATOR}.
    @ivar nonces: the server's and the peer's.
    """

    identity: bytes
    nonces: tuple[bytes, bytes]
    proof: bytes = field(repr=False)


@implementer(ICredentialsChecker)
class Keys:
    """
    The keys that a login server knows.

    @param keys: each peer's key, by its identity.
    """

    credentialInterfaces = (ICredentials,)

    def __init__(self, keys: Mapping[bytes, bytes]) -> None:
        self._keys = dict(keys)

    def requestAvatarId(self, credentials: Proof) -> Deferred[bytes | tuple[()]]:
        """
        Tell who it is.

        @return: fails with L{UnauthorizedLogin} where it does not hold the key.
        """
        # One who is unknown takes as long to refuse as one with a wrong key.
        key = self._keys.get(credentials.identity, b"")
        expected = prove(key, "peer", credentials.identity, credentials.nonces)
        if not hmac.compare_digest(expected, credentials.proof) or not key:
            return fail(UnauthorizedLogin())
        return succeed(credentials.identity)

    def answer(self, credentials: Proof) -> bytes:
        """Prove to a peer that has proved itself that the key is held here, too."""
        identity = credentials.identity
        return prove(self._keys[identity], "server", identity, credentials.nonces)


def identityOf(servername: bytes) -> bytes:
    """Tell who a gate is, on the link."""
    return b"gate " + servername


def prove(key: bytes, side: str, identity: bytes, nonces: tuple[bytes, bytes]) -> bytes:
    """
    Make a proof.

    @param side: C{peer} or C{server}, so that no end can send the other's proof back.
    """
    head = f"msgserver control {_VERSION} {side} ".encode()
    # The nonces are of one size, and the identity is last: no two proofs are of the same bytes.
    return hmac.digest(key, b"".join((head, *nonces, identity)), "sha256")


class Door(Served):
    """What a login server lets strangers call: the root of one connection."""

    def __init__(self, factory: ControlFactory, broker: LinkBroker) -> None:
        self._factory = factory
        self._broker = broker
        self._nonce = factory.randomBytes(_NONCE_SIZE)

    # Strangers send what they like: as many arguments, and of whatever types.

    def remote_challenge(self, *said: object) -> bytes:
        """Give this connection's nonce to a peer that says C{version}."""
        if said != (_VERSION,):
            raise InvalidState(f"this login server speaks version {_VERSION} of the link")
        return self._nonce

    async def remote_enter(self, *said: object) -> tuple[object, bytes]:
        """
        Give the peer its desk, and prove to it that the key is held here, too.

        @param said: its identity, its nonce and its proof.
        """
        if self._broker.isProved:
            raise InvalidState("this connection has been let in already")
        match said:
            case (bytes() as identity, bytes() as nonce, bytes() as proof):
                pass
            case _:
                raise Unauthorized("a proof is of bytes")
        if len(nonce) != _NONCE_SIZE:
            raise Unauthorized("a nonce of a wrong size")
        credentials = Proof(identity, (self._nonce, nonce), proof)
        factory = self._factory
        try:
            _, desk, left = await factory.portal.login(credentials, self._broker, IDesk)
        except UnauthorizedLogin:
            factory.refused += 1
            factory.log.warn(
                "{peer}: refused as {identity}: unknown, or a wrong key",
                peer=self._broker.peer,
                identity=identity,
                event="link_refusal",
            )
            raise Unauthorized("unknown, or a wrong key") from None
        self._broker.isProved = True
        pb.Broker.notifyOnDisconnect(self._broker, left)
        return desk, factory.keys.answer(credentials)


class ControlFactory(Factory[LinkBroker]):
    """
    Takes the connections of gates and operators.

    @param realm: makes the L{IDesk} of who has proved a key; its mind is the L{LinkBroker}.
    @param maxclient: how many connections at once.
    @ivar refused: how many have been refused for what they did not hold.
    @ivar log: for what strangers can cause.
    """

    noisy = False
    # As the broker asks of its factory: tracebacks stay where they are logged.
    unsafeTracebacks = False

    def __init__(
        self,
        realm: IRealm,
        keys: Keys,
        clock: IReactorTime,
        maxclient: int,
        times: LinkTimes,
        randomBytes: RandomBytes = urandom,
    ) -> None:
        self.keys = keys
        self.portal = Portal(realm, [keys])
        self.randomBytes = randomBytes
        self.refused = 0
        self.log = StrangerLog(_log, clock)
        self.limits: ConnectionLimits[LinkBroker] = ConnectionLimits(
            clock, maxclient, times.proof, self._expired
        )
        self._brokers: set[LinkBroker] = set()

    def buildProtocol(self, addr: object) -> LinkBroker:
        """Make the broker of one connection."""
        broker = LinkBroker(isClient=False)
        broker.factory = self
        pb.Broker.setNameForLocal(broker, "root", Door(self, broker))
        broker.lost.addCallback(self._lost, broker)
        broker.ready.addErrback(self._neverReady, broker)
        return broker

    def clientConnectionMade(self, broker: LinkBroker) -> None:
        """Take note that both ends speak the same language: nothing follows from that."""

    def connectionMade(self, broker: LinkBroker) -> None:
        """Count a connection, and close it where it is one too many."""
        self._brokers.add(broker)
        if not self.limits.opened(broker):
            self.log.warn(
                "{peer}: one link too many: see maxclient",
                peer=broker.peer,
                event="limit",
                which="maxclient",
            )
            broker.transport.abortConnection()

    def closeAll(self) -> None:
        """Close every connection."""
        for broker in list(self._brokers):
            broker.transport.abortConnection()
        self.log.flush()

    def _lost(self, _: None, broker: LinkBroker) -> None:
        self._brokers.discard(broker)
        self.limits.closed(broker)

    def _neverReady(self, failure: Failure, broker: LinkBroker) -> None:
        # Who goes away at once, as port scans do, is not worth a line; whose TLS is wrong is.
        if "TLS" in str(failure.value):
            self.log.warn("{peer}: {error}", peer=broker.peer, error=failure.value)

    def _expired(self, broker: LinkBroker) -> None:
        done = "did not register" if broker.isProved else "proved no key"
        self.log.warn(
            "{peer}: {done} in time",
            peer=broker.peer,
            done=done,
            event="limit",
            which="handshake_timeout",
        )
        broker.transport.abortConnection()


class ControlLinks(Service):
    """
    The links of a login server. It stops after the gates of its own process, so that these can
    take leave.
    """

    def __init__(self, factory: ControlFactory) -> None:
        self._factory = factory

    def stopService(self) -> None:
        """Close every link."""
        Service.stopService(self)
        self._factory.closeAll()


class _PeerFactory(Factory[LinkBroker]):
    """Makes the broker of a connection to a login server."""

    noisy = False
    unsafeTracebacks = False
    log = _log

    def buildProtocol(self, addr: object) -> LinkBroker:
        broker = LinkBroker(isClient=True)
        broker.factory = self
        return broker

    def connectionMade(self, broker: LinkBroker) -> None:
        """Take note of a connection."""

    def clientConnectionMade(self, broker: LinkBroker) -> None:
        """Take note that both ends speak the same language."""


async def enter(
    endpoint: IStreamClientEndpoint,
    identity: bytes,
    key: bytes,
    clock: IReactorTime,
    times: LinkTimes,
    randomBytes: RandomBytes = urandom,
) -> tuple[Link, pb.RemoteReference]:
    """
    Connect to a login server.

    @return: the link, and the desk there.
    @raise Unauthorized: one of the two does not hold the other's key.
    @raise GateUnavailable: it is no login server, or it went away, or took too long.
    @raise Exception: as the endpoint does.
    """
    broker: Any = await endpoint.connect(_PeerFactory()).addTimeout(times.proof, clock, _timedOut)
    try:
        return await _enter(broker, identity, key, clock, times, randomBytes)
    except BaseException:
        broker.transport.abortConnection()
        raise


def _timedOut(result: object, timeout: float) -> NoReturn:
    # Endpoints differ in what they fail with when they are cancelled.
    raise GateUnavailable(f"no connection within {timeout:g} seconds")


async def _enter(
    broker: LinkBroker,
    identity: bytes,
    key: bytes,
    clock: IReactorTime,
    times: LinkTimes,
    randomBytes: RandomBytes,
) -> tuple[Link, Any]:
    try:
        door = await broker.ready.addTimeout(times.answer, clock)
    except TimeoutError:
        raise GateUnavailable("no login server answers there") from None
    link = Link(broker, clock, times)
    theirs = await link.call(door, "challenge", _VERSION)
    if not isinstance(theirs, bytes) or len(theirs) != _NONCE_SIZE:
        raise GateUnavailable("nobody there who is a login server")
    nonces = (theirs, randomBytes(_NONCE_SIZE))
    proof = prove(key, "peer", identity, nonces)
    match await link.call(door, "enter", identity, nonces[1], proof):
        case (pb.RemoteReference() as desk, bytes() as answer):
            pass
        case _:
            raise GateUnavailable("nobody there who is a login server")
    if not hmac.compare_digest(prove(key, "server", identity, nonces), answer):
        raise Unauthorized("the login server does not hold our key")
    broker.isProved = True
    return link, desk
