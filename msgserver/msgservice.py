"""
The gate: its table of logins, and the life of each (U, B5).
"""

from __future__ import annotations

from collections.abc import Iterable
from os import urandom
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.answering import Answering
from msgserver.deadlines import Deadlines
from msgserver.errors import Forbidden, InvalidState, Refused, UserNotFound
from msgserver.interfaces import (
    IGate,
    ILoginDirectory,
    IMsgConnection,
    IMsgConnections,
    IMsgGate,
    IMsgHandler,
    Registration,
    User,
)
from msgserver.later import asked, within
from msgserver.sessions import Connection, Login, Logins, SessionLimits
from msgserver.wire.login import RandomBytes
from msgserver.wire.naming import Handshake, encode64, parseUsername

_SUBID_ENTROPY = 12
"""The random bytes of a subid of ours: 16 characters of base64 (H5 asks for 8 bytes)."""


@frozen
class LifeLimits:
    """
    How long the parts of a login's life may take, in seconds.

    @ivar awayTimeout: without a connection, until the login ends (U2); 0: for ever.
    @ivar kickTimeout: for the handler to let go of a login: C{kicked}, then C{loggedOut} (U3).
    @ivar drainTimeout: at shutdown, for running requests to finish; and again for their
        answers to be delivered (B5).
    """

    awayTimeout: float = 3600.0
    kickTimeout: float = 3.0
    drainTimeout: float = 10.0


@implementer(IMsgConnections, IGate)
class MsgService(Service):
    """
    One gate, under one server name.

    @param directory: the login side; None for a gate whose logins come from its handler alone.
    @param address: the C{host:port} that clients reach it at, told to them at login (L5).
    """

    log = Logger()

    def __init__(
        self,
        handler: IMsgHandler,
        servername: bytes,
        clock: IReactorTime,
        directory: ILoginDirectory | None = None,
        address: str | None = None,
        sessionLimits: SessionLimits | None = None,
        lifeLimits: LifeLimits | None = None,
        randomBytes: RandomBytes = urandom,
    ) -> None:
        self.servername = servername
        self._handler = handler
        self._clock = clock
        self._directory = directory
        self._address = address
        self._limits = lifeLimits or LifeLimits()
        self._randomBytes = randomBytes
        self._answering = Answering(handler, clock, self._forgotten)
        self._logins = Logins(sessionLimits or SessionLimits(), self._answering)
        self._away: Deadlines[Login] = Deadlines(
            clock, self._limits.awayTimeout, self._awayTooLong
        )
        self._kicks: dict[User, list[Deferred[None]]] = {}
        self._connections: set[Connection] = set()
        self._onClosed: Deferred[None] | None = None
        self._isDraining = False

    # The service

    def startService(self) -> None:
        """Introduce the gate to its handler and to the login side."""
        Service.startService(self)
        self._handler.gateOpened(MsgGate(self))
        if self._directory is not None:
            logins = tuple((login.user.uid, login.user.subid) for login in self._logins)
            registration = Registration(self.servername, self._address, logins)
            registered = self._directory.register(self, registration)
            registered.addCallbacks(self._superseded, self._logged("register"))

    def stopService(self) -> Deferred[None]:
        """Drain (B5): the listening ports are closed already."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._drain())

    async def _drain(self) -> None:
        clock, limits = self._clock, self._limits
        self._isDraining = True
        for connection in self._connections:
            connection.transport.pause()
        if not await within(clock, limits.drainTimeout, self._answering.quiet()):
            self.log.warn("stopping with {n} requests unanswered", n=self._answering.running)
        ended = DeferredList([self.end(login.user) for login in self._logins])
        await within(clock, limits.kickTimeout, ended)
        if not await within(clock, limits.drainTimeout, self._allClosed()):
            for connection in self._connections:
                connection.transport.abort()
        if self._directory is not None:
            await self._directory.unregister(self).addErrback(self._logged("unregister"))

    def _allClosed(self) -> Deferred[None]:
        if not self._connections:
            return succeed(None)
        self._onClosed = Deferred()
        return self._onClosed

    # IGate

    def login(self, uid: bytes, secret: bytes) -> Deferred[bytes]:
        """See L{IGate.login}."""
        if self._isDraining:
            return fail(Forbidden("the gate is shutting down"))
        prepared = asked(self._handler.loginReceived, uid, secret)
        return prepared.addCallbacks(self._prepared, self._refused, (uid, secret))

    def _prepared(self, subid: object, uid: bytes, secret: bytes) -> bytes:
        if self._isDraining:
            raise Forbidden("the gate is shutting down")
        if subid is None:
            subid = encode64(self._randomBytes(_SUBID_ENTROPY))
        if not isinstance(subid, bytes):
            self.log.error("loginReceived gave no subid but {type}", type=type(subid))
            raise Forbidden("the handler gave no subid")
        user = User(uid, subid, self.servername)
        login = self._logins.get(user)
        # The original's handlers admit the login themselves, and then name it.
        if login is None or login.secret != secret:
            try:
                self.admit(user, secret)
            except InvalidState as error:
                self.log.error("loginReceived gave a subid in use: {error}", error=error)
                raise Forbidden("the handler gave a subid in use") from None
        return subid

    def _refused(self, failure: Failure) -> bytes:
        if isinstance(failure.value, Refused):
            raise failure.value
        if not isinstance(failure.value, CancelledError):  # Nobody waits for it any more.
            self.log.failure("loginReceived failed", failure)
        raise Forbidden("the handler failed")

    def kick(self, uid: bytes, subid: bytes) -> Deferred[None]:
        """See L{IGate.kick}."""
        user = User(uid, subid, self.servername)
        waiting: Deferred[None] = Deferred()
        if user in self._kicks:
            self._kicks[user].append(waiting)
        elif self._logins.get(user) is None:
            waiting.callback(None)
        else:
            self._kicks[user] = [waiting]
            Deferred.fromCoroutine(self._kick(user))
        return waiting

    async def _kick(self, user: User) -> None:
        clock, limit = self._clock, self._limits.kickTimeout
        deadline = clock.seconds() + limit
        if not await within(clock, limit, self._tell("kicked", user)):
            self.log.warn("kicked({user}) takes longer than kick_timeout", user=user)
        self.log.info("{user} is kicked", user=user)
        await within(clock, max(0, deadline - clock.seconds()), self.end(user))
        for waiting in self._kicks.pop(user):
            waiting.callback(None)

    def _superseded(self, logins: Iterable[tuple[bytes, bytes]]) -> None:
        for uid, subid in logins:
            self.kick(uid, subid)

    # IMsgConnections

    def connect(self, handshake: Handshake, transport: IMsgConnection) -> Connection:
        """See L{IMsgConnections.connect}."""
        if self._isDraining:
            raise UserNotFound("the gate is shutting down")
        login = self._logins.get(handshake.user)
        replaced = None if login is None else login.connection
        connection = self._logins.connect(handshake, transport)
        if replaced is not None:
            replaced.transport.abort()  # H4
        self._away.stop(connection.login)
        self._connections.add(connection)
        return connection

    def disconnect(self, connection: Connection) -> None:
        """See L{IMsgConnections.disconnect}."""
        self._connections.discard(connection)
        login = connection.login
        if login.disconnect(connection) and not login.isEnded:
            self._away.start(login)
            self._tell("disconnected", login.user)
        if not self._connections and self._onClosed is not None:
            self._onClosed.callback(None)
            self._onClosed = None

    # The life of a login

    def find(self, user: User) -> Login | None:
        """Give the login of that name, or None."""
        return self._logins.get(user)

    def users(self) -> Iterable[User]:
        """Give the names of all logins of this moment."""
        return [login.user for login in self._logins]

    def admit(self, user: User, secret: bytes) -> None:
        """
        Begin a login.

        @raise InvalidState: it exists already, the secret is none of a suite's, or the gate
            is shutting down.
        """
        if self._isDraining:
            raise InvalidState("the gate is shutting down")
        self._away.start(self._logins.admit(user, secret))

    def end(self, user: User) -> Deferred[None]:
        """
        End a login, whatever for (U2). Where it has ended already nothing happens.

        @return: fires when the handler's C{loggedOut} is done; never fails.
        """
        login = self._logins.end(user)
        if login is None:
            return succeed(None)
        self._away.stop(login)
        if login.connection is not None:
            self._answering.answersReady(login.connection)
        if self._directory is not None:
            told = self._directory.loggedOut(self, user.uid, user.subid)
            told.addErrback(self._logged("loggedOut"))
        self.log.info("{user} is logged out", user=user)
        return self._tell("loggedOut", user)

    def _forgotten(self, login: Login) -> None:
        self.log.info("{user} asked for what is no longer known (S7)", user=login.user)
        self.end(login.user)

    def _awayTooLong(self, login: Login) -> None:
        self.end(login.user)

    def _tell(self, what: str, user: User) -> Deferred[None]:
        return asked(getattr(self._handler, what), user).addErrback(self._logged(what))

    def _logged(self, what: str) -> Any:
        return lambda failure: self.log.failure("{what} failed", failure, what=what)


@implementer(IMsgGate)
class MsgGate:
    """The gate as its handler sees it: see L{IMsgGate}, method by method."""

    def __init__(self, service: MsgService) -> None:
        self.servername = service.servername
        self._service = service

    def userid(self, username: bytes) -> User:
        """See L{IMsgGate.userid}."""
        return parseUsername(username)

    def username(self, uid: bytes, subid: bytes, server: bytes) -> bytes:
        """See L{IMsgGate.username}."""
        return User(uid, subid, server).username

    def login(self, user: User, secret: bytes) -> None:
        """See L{IMsgGate.login}."""
        self._service.admit(user, secret)

    def logout(self, user: User) -> Deferred[None]:
        """See L{IMsgGate.logout}."""
        self._service.end(user)
        return succeed(None)

    def ip(self, user: User) -> str | None:
        """See L{IMsgGate.ip}."""
        login = self._service.find(user)
        if login is None or login.connection is None:
            return None
        peer: str | None = login.connection.transport.peer
        return peer

    def online(self) -> Iterable[User]:
        """See L{IMsgGate.online}."""
        return self._service.users()
