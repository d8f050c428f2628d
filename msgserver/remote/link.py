"""
A connection of the control link, from either end: calls, errors and pings.

What Perspective Broker leaves to its users is done here: every call has a deadline, every
expected error crosses as itself, a peer that is frozen is found out, and a peer that has
proved nothing holds little.
"""

from __future__ import annotations

from typing import Any, NoReturn

from attrs import frozen
from OpenSSL import SSL
from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.reflect import qual
from twisted.spread import pb
from twisted.spread.jelly import SecurityOptions

from msgserver.errors import (
    Forbidden,
    GateUnavailable,
    InvalidState,
    MsgServerError,
    NotAcceptable,
    Unauthorized,
    UserNotFound,
)
from msgserver.later import asked

_STRANGER_BYTES = 4096
"""The most bytes that a peer sends before it has proved its key: ten times what that takes."""

_LATE = 1.0
"""Seconds without an answer to a ping after which a peer is not well, if perhaps alive."""

_CROSSING: dict[str, type[MsgServerError]] = {
    error.__name__: error
    for error in (
        Forbidden,
        GateUnavailable,
        InvalidState,
        NotAcceptable,
        Unauthorized,
        UserNotFound,
    )
}
"""The errors that are expected of a call, by their names on the link."""


class _Types(SecurityOptions):
    """What may be sent: what is named, where Twisted's own lets any name by that has a dot."""

    def __init__(self, *types: str) -> None:
        SecurityOptions.__init__(self)
        SecurityOptions.allowTypes(self, *types)
        # What we send is looked up by other names than what we are sent.
        ours = (bytes, str, int, float, bool, type(None), tuple, list, dict)
        SecurityOptions.allowTypes(self, *[qual(each) for each in ours])

    def isTypeAllowed(self, typeName: object) -> bool:
        """Say whether it was named."""
        return typeName in self.allowedTypes


_STRANGER_TYPES = _Types("tuple")
"""What peers may send until they have proved their key: bytes, numbers and text, in tuples."""

_TYPES = _Types(*SecurityOptions.basicTypes, "remote", "local", qual(pb.CopyableFailure))
"""
What peers may send from then on: lists of those, too; references to what may be called; and
failures. Not whatever else somebody in this process has made known to the broker.
"""

_log = Logger()


@frozen
class LinkTimes:
    """
    How long the parts of a link's life may take, in seconds.

    @ivar proof: for a peer to prove its key, from its connection on.
    @ivar pingInterval: from one ping to the next.
    @ivar answer: for the other end to answer anything but a login or a kick, pings among
        them; after that it is taken for frozen, and the link is given up.
    """

    proof: float = 10.0
    pingInterval: float = 5.0
    answer: float = 5.0


class Crossing(pb.Error):
    """
    An expected error on its way, as C{name: text}. As what it is, a C{pb.Error}, the broker
    sends it without taking it for a bug.
    """


class Served(pb.Referenceable):
    """
    What a peer may call: each C{remote_} method, which may answer at once, with a Deferred,
    or be a coroutine. What it raises crosses as itself where it is expected; anything else is
    logged here, and is L{GateUnavailable} to the caller.
    """

    def remoteMessageReceived(self, broker: Any, message: str, args: Any, kw: Any) -> Any:
        """
        Call a method for the peer.

        @param args: the arguments, unserialized.
        @param kw: whether the peer waits for an answer.
        """
        method = getattr(self, f"remote_{message}", None)
        if method is None:
            raise Crossing(f"GateUnavailable: the other end of the link knows no {message}")
        answer = maybeDeferred(method, *args).addErrback(_send)
        if kw:
            return broker.serialize(answer, self.perspective)
        # What nobody waits for is nobody's, unless it is a bug.
        return answer.addErrback(_unheard, message)


class LinkBroker(pb.Broker):
    """
    The broker of one connection.

    @ivar ready: fires when both ends speak the same language, with what stands at the other's
        door; fails where the connection is lost before.
    @ivar lost: fires when the connection is lost.
    @ivar isProved: the peer holds the key; until then it may send little.
    """

    isProved = False
    # Whoever made it: it is told of the connection, as brokers tell theirs, and as this one does.
    factory: Any
    transport: Any

    def __init__(self, isClient: bool) -> None:
        pb.Broker.__init__(self, isClient, _STRANGER_TYPES)
        self.ready: Deferred[pb.RemoteReference] = Deferred()
        self.lost: Deferred[None] = Deferred()
        self._received = 0

    @property
    def peer(self) -> str:
        """Where the other end is, for the log."""
        address = self.transport.getPeer()
        host = getattr(address, "host", None)
        return f"{host}:{address.port}" if host is not None else "a UNIX socket"

    def connectionMade(self) -> None:
        """Say which languages there are."""
        if ITCPTransport.providedBy(self.transport):
            # Small calls do not wait for more to send; and a peer that has vanished, and is
            # not pinged, is found out by the kernel.
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        pb.Broker.connectionMade(self)
        self.factory.connectionMade(self)

    def connectionReady(self) -> None:
        """Take note that both ends speak the same language."""
        pb.Broker.connectionReady(self)
        self.ready.callback(pb.Broker.remoteForName(self, "root"))

    def dataReceived(self, data: bytes) -> None:
        """Take what the peer sends, and let go of one that speaks nonsense, or too much."""
        self._received += len(data)
        if not self.isProved and self._received > _STRANGER_BYTES:
            self.factory.log.warn("{peer}: sends too much for a stranger", peer=self.peer)
            self.transport.abortConnection()
            return
        try:
            pb.Broker.dataReceived(self, data)
        except Exception as error:
            # The broker catches what our own methods raise: this is the peer's nonsense.
            self.factory.log.warn(
                "{peer}: no Perspective Broker: {error!r}", peer=self.peer, error=error
            )
            self.transport.abortConnection()

    def proto_message(
        self,
        requestID: object,
        objectID: object,
        message: object,
        answerRequired: object,
        netArgs: object,
        netKw: object,
    ) -> None:
        """
        Take a call. Whatever goes wrong in it the broker logs as a bug of ours, and so what is
        the peer's nonsense comes out here.
        """
        if not isinstance(requestID, int):
            raise pb.ProtocolError("a call without a number")
        pb.Broker.localObjectForID(self, objectID)
        arguments = pb.Broker.unserialize(self, netArgs)
        if not isinstance(arguments, tuple):
            raise pb.ProtocolError("a call without arguments")
        isAnswered = bool(answerRequired)
        pb.Broker.proto_message(
            self, requestID, objectID, message, isAnswered, arguments, isAnswered
        )

    def proto_cachemessage(self, *parts: object) -> None:
        """Take no call of what no peer has been given."""
        raise pb.ProtocolError("nothing is cached here")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail whatever waits for the peer."""
        pb.Broker.connectionLost(self, reason)
        if not self.ready.called:
            self.ready.errback(GateUnavailable(f"the connection was lost{_why(reason)}"))
        self.lost.callback(None)


class Link:
    """A connection to a peer, and what it is asked."""

    def __init__(self, broker: LinkBroker, clock: IReactorTime, times: LinkTimes) -> None:
        self.broker = broker
        self._clock = clock
        self._times = times
        self._pings: LoopingCall | None = None
        self._pinged: float | None = None
        # Little as that may be until it has proved its key: what it answers may be a failure.
        broker.security = _TYPES
        pb.Broker.notifyOnDisconnect(broker, self._lost)

    def stays(self) -> None:
        """Take note that the peer does what it has come for, and may stay as long as it likes."""
        self.broker.factory.limits.proved(self.broker)

    @property
    def isLost(self) -> bool:
        """Whether it is no more."""
        return bool(self.broker.disconnected)

    @property
    def isLate(self) -> bool:
        """Whether a ping has been without an answer for longer than a peer that is well takes."""
        return self._pinged is not None and self._clock.seconds() >= self._pinged + _LATE

    def ask(self, peer: pb.RemoteReference, method: str, *arguments: object) -> Deferred[Any]:
        """
        Call a method of the other end's, for as long as that takes: the caller has a deadline.

        @return: its answer. Fails with what it raised, where that is expected, and otherwise
            with L{GateUnavailable}.
        """
        return asked(peer.callRemote, method, *arguments).addErrback(_receive)

    def call(self, peer: pb.RemoteReference, method: str, *arguments: object) -> Deferred[Any]:
        """Call a method that answers soon, as L{ask}; where it does not, give up the link."""

        def gaveUp(failure: Failure) -> NoReturn:
            failure.trap(TimeoutError)
            _log.warn("{peer}: no answer to {method}", peer=self.broker.peer, method=method)
            self.close()
            raise GateUnavailable("the other end of the link did not answer in time")

        answer = self.ask(peer, method, *arguments)
        return answer.addTimeout(self._times.answer, self._clock).addErrback(gaveUp)

    def tell(self, peer: pb.RemoteReference, method: str, *arguments: object) -> None:
        """Call a method whose answer nobody needs. What is told is heard in its order."""
        if not self.isLost:
            peer.callRemote(method, *arguments, pbanswer=False)

    def watch(self, peer: pb.RemoteReference) -> None:
        """Ping the other end from now on."""
        self._pings = LoopingCall(self._ping, peer)
        self._pings.clock = self._clock
        self._pings.start(self._times.pingInterval, now=False)

    def _ping(self, peer: pb.RemoteReference) -> Deferred[None]:
        def answered(_: object) -> None:
            # Whatever goes wrong with it has closed the link.
            self._pinged = None

        self._pinged = self._clock.seconds()
        return self.call(peer, "ping").addBoth(answered)

    def close(self) -> None:
        """Give up the connection: nothing is delivered any more."""
        if not self.isLost:
            self.broker.transport.abortConnection()

    def _lost(self) -> None:
        if self._pings is not None:
            self._pings.stop()


def _why(reason: Failure) -> str:
    """Say what is wrong with the TLS of a connection, where that is why it was lost."""
    if isinstance(reason.value, SSL.Error) and reason.value.args:
        return "".join(f": TLS: {error[-1]}" for error in reason.value.args[0][-1:])
    return ""


def _send(failure: Failure) -> Failure:
    """Turn what a method has raised into what crosses."""
    name = type(failure.value).__name__
    if name in _CROSSING:
        raise Crossing(f"{name}: {failure.value}")
    return failure


def _unheard(failure: Failure, method: str) -> None:
    """Log a bug that there is nobody to tell of."""
    if not failure.check(Crossing):
        _log.failure("{method} failed", failure, method=method)


def _receive(failure: Failure) -> NoReturn:
    """Turn what has crossed, or did not, into what a caller here expects."""
    if failure.check(Crossing):
        name, _, text = str(failure.value).partition(": ")
        raise _CROSSING.get(name, GateUnavailable)(text)
    if failure.check(pb.PBConnectionLost, pb.DeadReferenceError):
        raise GateUnavailable("the link is lost")
    if isinstance(failure, pb.CopiedFailure):
        raise GateUnavailable("the other end of the link failed: its log says why")
    failure.raiseException()
