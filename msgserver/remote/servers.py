"""
The gate's end of the control link: the login servers that it is registered with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import random

from attrs import astuple, field, frozen
from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.spread import pb
from zope.interface import implementer

from msgserver.cluster import IGate, ILoginDirectory, LoginRecord, Registration
from msgserver.errors import GateUnavailable, Unauthorized
from msgserver.later import asked
from msgserver.reconnecting import Connected, reconnecting
from msgserver.remote.door import enter
from msgserver.remote.gates import PAGE, pack, unpack
from msgserver.remote.link import Link, LinkTimes, Served

RETRY_DELAY = 5.0
"""Seconds that it takes at most, by default, until a server that is away is tried again."""

_log = Logger()


@frozen
class GateKey:
    """
    What a gate proves itself with.

    @ivar identity: see L{msgserver.remote.door.identityOf}.
    """

    identity: bytes
    key: bytes = field(repr=False)


@implementer(ILoginDirectory)
class LoginServers:
    """
    The login servers of a gate, as one directory: each hears of every login.

    It has no life of its own: L{register} begins it, and L{unregister} ends it.

    @param servers: each login server's endpoint string, and its endpoint.
    @param retryDelay: seconds until a server that is away is tried again, at most.
    """

    def __init__(
        self,
        key: GateKey,
        servers: Iterable[tuple[str, IStreamClientEndpoint]],
        clock: IReactorTime,
        times: LinkTimes,
        retryDelay: float = RETRY_DELAY,
    ) -> None:
        # A little at random, so that not all the gates of a login server come at once.
        jitter = min(0.5, retryDelay / 2)
        longest = retryDelay - jitter
        policy = backoffPolicy(min(0.1, longest), longest, jitter=lambda: random() * jitter)
        self._servers = [
            _LoginServer(key, text, endpoint, clock, times, policy, retryDelay, self._admitted)
            for text, endpoint in servers
        ]

    def register(
        self, gate: IGate, describe: Callable[[], Registration]
    ) -> Deferred[Sequence[LoginRecord]]:
        """
        See L{ILoginDirectory.register}: from now on the gate registers with each server that
        it reaches, and anew whenever it has lost one.

        @return: fires at once, with none: what is superseded is kicked when a server says so.
        """
        for server in self._servers:
            server.start(gate, describe)
        return succeed(())

    def unregister(self, gate: IGate) -> Deferred[None]:
        """See L{ILoginDirectory.unregister}; it fires when all links are closed."""
        stopped = DeferredList([Deferred.fromCoroutine(each.stop()) for each in self._servers])
        return stopped.addCallback(lambda _: None)

    def draining(self, gate: IGate, isDraining: bool) -> Deferred[None]:
        """See L{ILoginDirectory.draining}."""
        for server in self._servers:
            server.tell("draining", isDraining)
        return succeed(None)

    def adopt(self, gate: IGate, logins: Sequence[LoginRecord]) -> Deferred[Sequence[LoginRecord]]:
        """See L{ILoginDirectory.adopt}: what is superseded is kicked when a server says so."""
        for server in self._servers:
            server.adopt(logins)
        return succeed(())

    def loggedOut(self, gate: IGate, uid: bytes, subid: bytes) -> Deferred[None]:
        """See L{ILoginDirectory.loggedOut}."""
        for server in self._servers:
            server.loggedOut(uid, subid)
        return succeed(None)

    def links(self) -> list[tuple[str, bool]]:
        """Tell of each login server, by its endpoint string, whether the gate is registered."""
        return [(server.text, server.isUp) for server in self._servers]

    def _admitted(self, knowing: _LoginServer, login: LoginRecord) -> None:
        """Tell the others of a login that one server has asked for."""
        for server in self._servers:
            if server is not knowing:
                server.adopt([login])


class _LoginServer:
    """
    One login server, and the link to it while there is one.

    @param admitted: called with each login that it has asked for.
    @ivar isUp: the gate is registered there at this moment.
    """

    _gate: IGate
    _describe: Callable[[], Registration]
    _service: ClientService

    def __init__(
        self,
        key: GateKey,
        text: str,
        endpoint: IStreamClientEndpoint,
        clock: IReactorTime,
        times: LinkTimes,
        retryPolicy: Callable[[int], float],
        retryDelay: float,
        admitted: Callable[[_LoginServer, LoginRecord], None],
    ) -> None:
        self._key = key
        self.text = text
        self._endpoint = endpoint
        self._clock = clock
        self._times = times
        self._retryPolicy = retryPolicy
        self._retryDelay = retryDelay
        self._tellOthers = admitted
        self.isUp = False
        self._registered: tuple[Link, pb.RemoteReference] | None = None
        self._isReplaced = False
        # While the logins of a moment ago are being told: which of them have ended.
        self._ended: set[tuple[bytes, bytes]] | None = None

    def start(self, gate: IGate, describe: Callable[[], Registration]) -> None:
        """Keep the gate registered from now on."""
        self._gate = gate
        self._describe = describe
        self._service = reconnecting(self._attempt, self._retryPolicy, self._clock)
        self._service.startService()

    async def stop(self) -> None:
        """Take leave of the server, if it is there."""
        registered, self._registered = self._registered, None
        self.isUp = False
        if registered is not None:
            link, desk = registered
            try:
                await link.call(desk, "unregister")
            except GateUnavailable as error:
                _log.info("{server}: could not unregister: {error}", server=self.text, error=error)
        await self._service.stopService()

    def tell(self, method: str, *arguments: object) -> None:
        """Tell the server something, if it is there; if not, it will be described to it."""
        if self._registered is not None:
            link, desk = self._registered
            link.tell(desk, method, *arguments)

    def loggedOut(self, uid: bytes, subid: bytes) -> None:
        """Tell the server that a login has ended."""
        if self._ended is not None:
            self._ended.add((uid, subid))
        self.tell("loggedOut", uid, subid)

    def adopt(self, logins: Sequence[LoginRecord]) -> None:
        """Tell the server of logins, and kick those that it knows newer ones of."""
        if self._registered is not None:
            link, desk = self._registered
            # Where it fails the link is closed, and with the next one all logins are told.
            telling = Deferred.fromCoroutine(self._adopt(link, desk, logins))
            telling.addErrback(lambda failure: failure.trap(GateUnavailable))

    async def _adopt(
        self, link: Link, desk: pb.RemoteReference, logins: Sequence[LoginRecord]
    ) -> None:
        for login in unpack(await link.call(desk, "adopt", pack(logins))):
            _log.info("{login} is superseded, says {server}", login=login, server=self.text)
            self._gate.kick(login.uid, login.subid)

    async def _attempt(self) -> Connected:
        if self._isReplaced:
            # Two gates that are configured alike take turns, but not at once.
            self._isReplaced = False
            await deferLater(self._clock, self._retryDelay)
        try:
            return await self._register()
        except Unauthorized as refusal:
            _log.error(
                "no registration with {server}: {refusal}", server=self.text, refusal=refusal
            )
            raise
        except CancelledError:
            raise  # The gate is shutting down.
        except Exception as error:
            _log.warn("no registration with {server}: {error}", server=self.text, error=error)
            raise

    async def _register(self) -> Connected:
        link, desk = await enter(
            self._endpoint, self._key.identity, self._key.key, self._clock, self._times
        )
        try:
            await self._introduce(link, desk)
        except BaseException:
            link.close()
            raise
        self.isUp = not link.isLost
        _log.info("registered with {server}", server=self.text, event="link_up")
        return Connected(link.broker.transport, link.broker.lost)

    async def _introduce(self, link: Link, desk: pb.RemoteReference) -> None:
        registration = self._describe()
        ended: set[tuple[bytes, bytes]] = set()
        self._ended = ended
        registering = link.call(
            desk,
            "register",
            GateEnd(self._gate, link, self._clock, self._admitted, self._replaced),
            registration.address,
            registration.weight,
            registration.isDraining,
            astuple(registration.load),
        )
        # What happens from here on it is told behind that, in between the pages of what there was.
        self._registered = link, desk
        link.broker.lost.addCallback(self._lost, link)
        try:
            await registering
            link.watch(desk)
            for start in range(0, len(registration.logins), PAGE):
                page = registration.logins[start : start + PAGE]
                there = [each for each in page if (each.uid, each.subid) not in ended]
                await self._adopt(link, desk, there)
        finally:
            self._ended = None

    def _lost(self, _: None, link: Link) -> None:
        if self._registered is not None and self._registered[0] is link:
            self._registered = None
            self.isUp = False
            _log.warn("{server} is away", server=self.text, event="link_down")

    def _admitted(self, login: LoginRecord) -> None:
        self._tellOthers(self, login)

    def _replaced(self) -> None:
        self._isReplaced = True
        _log.error(
            "another gate has registered with {server} by our name and address: each gate of a"
            " name needs an advertise of its own",
            server=self.text,
        )


class GateEnd(Served):
    """
    What a login server may call.

    @param admitted: called with each login that it has asked for and got.
    @param replaced: called where another gate has taken the place of this one.
    """

    def __init__(
        self,
        gate: IGate,
        link: Link,
        clock: IReactorTime,
        admitted: Callable[[LoginRecord], None],
        replaced: Callable[[], None],
    ) -> None:
        self._gate = gate
        self._link = link
        self._clock = clock
        self._admitted = admitted
        self._replaced = replaced

    async def remote_login(self, uid: bytes, secret: bytes, epoch: int, seconds: float) -> bytes:
        """
        See L{IGate.login}.

        @param seconds: how long the login server waits; after that there is no login.
        """
        login = asked(self._gate.login, uid, secret, epoch).addTimeout(seconds, self._clock)
        try:
            subid: bytes = await login
        except TimeoutError:
            raise GateUnavailable("the gate took too long") from None
        if self._link.isLost:
            # Nobody will ever be told of it.
            self._gate.kick(uid, subid)
            raise GateUnavailable("the link is lost")
        self._admitted(LoginRecord(uid, subid, epoch))
        return subid

    def remote_kick(self, uid: bytes, subid: bytes) -> Deferred[None]:
        """See L{IGate.kick}."""
        return self._gate.kick(uid, subid)

    def remote_setDraining(self, isDraining: bool) -> Deferred[None]:
        """See L{IGate.setDraining}."""
        return self._gate.setDraining(isDraining)

    async def remote_load(self) -> tuple[int, int, int]:
        """See L{IGate.load}."""
        return astuple(await self._gate.load())

    def remote_replaced(self) -> None:
        """See L{IGate.replaced}."""
        self._replaced()

    def remote_ping(self) -> None:
        """Answer: the process is alive."""
