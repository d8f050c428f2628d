"""
The gate: its table of logins, and the life of each (U, B5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from os import urandom
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.answering import Answering
from msgserver.cluster import GateLoad, IGate, ILoginDirectory, LoginRecord, Registration
from msgserver.deadlines import Deadlines
from msgserver.errors import Forbidden, GateUnavailable, InvalidState, Refused, UserNotFound
from msgserver.gatecounts import GateCounts, LogoutReason
from msgserver.hiding import hidden
from msgserver.interfaces import (
    ICounts,
    IMsgConnection,
    IMsgConnections,
    IMsgHandler,
    INoticesClosing,
    INoticesConnections,
    User,
)
from msgserver.later import asked, within
from msgserver.msggate import MsgGate
from msgserver.sessions import Connection, Login, Logins, SessionLimits
from msgserver.tally import Tally
from msgserver.wire.login import RandomBytes
from msgserver.wire.naming import MAX_INDEX, Handshake, encode64, handshakeText

_SUBID_ENTROPY = 12
"""The random bytes of a subid of ours: 16 characters of base64 (H5 asks for 8 bytes)."""


_TURN = 5.0
"""Seconds until a gate that another has taken the place of takes it back."""


class _State(Enum):
    """Which logins a gate takes, and which it has."""

    OPEN = "takes logins"
    DRAINING = "takes no new logins"
    STOPPING = "is shutting down"


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
    @param weight: how large a share of new logins it takes, next to the others of its name.
    @ivar counts: what has become of its logins and their connections.
    """

    log = Logger()
    isLate = False

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
        weight: int = 1,
    ) -> None:
        self.servername = servername
        self._handler = handler
        self._clock = clock
        self._directory = directory
        self._address = address
        self._weight = weight
        self._limits = lifeLimits or LifeLimits()
        self._randomBytes = randomBytes
        self._answering = Answering(handler, clock, self._forgotten)
        sessionLimits = sessionLimits or SessionLimits()
        self._maxPacket = sessionLimits.maxPacket
        self._logins = Logins(sessionLimits, self._answering)
        self._away: Deadlines[Login] = Deadlines(clock, self._limits.awayTimeout, self._awayTooLong)
        self.counts = GateCounts(clock)
        self._kicks: dict[User, list[Deferred[None]]] = {}
        self._connections: set[Connection] = set()
        self._onClosed: Deferred[None] | None = None
        self._state = _State.OPEN
        self._again: IDelayedCall | None = None
        # Asked once: it would cost each handshake as much again.
        self._noticesConnections = INoticesConnections.providedBy(handler)

    # The service

    def startService(self) -> None:
        """Introduce the gate to its handler and to the login side."""
        Service.startService(self)
        self._handler.gateOpened(MsgGate(self))
        self._register()

    def _register(self) -> None:
        if self._directory is not None:
            registered = self._directory.register(self, self.describe)
            registered.addCallbacks(self._superseded, self._logged("register"))

    def stopService(self) -> Deferred[None]:
        """Drain (B5): the listening ports are closed already."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._drain())

    async def _drain(self) -> None:
        clock, limits = self._clock, self._limits
        self._state = _State.STOPPING
        if self._again is not None and self._again.active():
            self._again.cancel()
        if self._directory is not None:
            self._directory.draining(self, True).addErrback(self._logged("draining"))
        for connection in self._connections:
            connection.transport.pause()
        if not await within(clock, limits.drainTimeout, self._answering.quiet()):
            self.log.warn("stopping with {n} requests unanswered", n=self._answering.running)
        # Who is being kicked has the rest of the kick's time, to have its data saved (U3).
        kicked = [self.kick(user.uid, user.subid) for user in self._kicks]
        users = [login.user for login in self._logins if login.user not in self._kicks]
        ended = [self.end(user, LogoutReason.SHUTDOWN) for user in users]
        await within(clock, limits.kickTimeout, DeferredList(kicked + ended))
        if not await within(clock, limits.drainTimeout, self._allClosed()):
            for connection in self._connections:
                connection.transport.abort()
        self.log.info("the gate has ended its logins", event="gate_drained", logins=len(users))
        if INoticesClosing.providedBy(self._handler):
            closed = asked(self._handler.gateClosed).addErrback(self._logged("gateClosed"))
            if not await within(clock, limits.drainTimeout, closed):
                self.log.warn("gateClosed takes longer than drain_timeout: not waited for")
        if self._directory is not None:
            await self._directory.unregister(self).addErrback(self._logged("unregister"))

    def describe(self) -> Registration:
        """Tell what there is to tell a login server."""
        return Registration(
            self.servername,
            self._address,
            self._weight,
            self._state is not _State.OPEN,
            self._load(),
            tuple(
                LoginRecord(login.user.uid, login.user.subid, login.epoch)
                for login in self._logins
                if login.epoch
            ),
        )

    def _load(self) -> GateLoad:
        return GateLoad(len(self._logins), len(self._connections), self._answering.running)

    def tally(self) -> Tally:
        """Tell what the logins have done so far, all that have ended included."""
        return self._logins.tally(self._connections, self._answering.running)

    def handlerCounts(self) -> Mapping[str, int]:
        """Tell what the handler has counted, where it does; never raises."""
        if not ICounts.providedBy(self._handler):
            return {}
        try:
            return {str(event): int(count) for event, count in self._handler.counts().items()}
        except Exception:
            self.log.failure("counts failed")
            return {}

    @property
    def isOpen(self) -> bool:
        """Whether it takes new logins."""
        return self._state is _State.OPEN

    @property
    def current(self) -> GateLoad:
        """What it is doing at this moment."""
        return self._load()

    def _allClosed(self) -> Deferred[None]:
        if not self._connections:
            return succeed(None)
        self._onClosed = Deferred()
        return self._onClosed

    # IGate

    def login(self, uid: bytes, secret: bytes, epoch: int) -> Deferred[bytes]:
        """See L{IGate.login}."""
        if self._state is not _State.OPEN:
            return fail(GateUnavailable(f"the gate {self._state.value}"))
        prepared = asked(self._handler.loginReceived, uid, secret)
        return prepared.addCallbacks(self._prepared, self._refused, (uid, secret, epoch))

    def _prepared(self, subid: object, uid: bytes, secret: bytes, epoch: int) -> bytes:
        # What was begun before the gate began to drain is done, but not what would end at once.
        if self._state is _State.STOPPING:
            raise GateUnavailable(f"the gate {self._state.value}")
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
                login = self.admit(user, secret)
            except InvalidState as error:
                self.log.error("loginReceived gave a subid that cannot be: {error}", error=error)
                raise Forbidden("the handler gave a subid that cannot be") from None
        login.epoch = epoch
        return subid

    def _refused(self, failure: Failure) -> bytes:
        if isinstance(failure.value, Refused):
            raise failure.value
        if not isinstance(failure.value, CancelledError):  # Nobody waits for it any more.
            self.log.failure("loginReceived failed", hidden(failure))
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
        self.log.info("{user} is kicked", user=user, event="kick", uid=user.uid, subid=user.subid)
        await within(clock, max(0, deadline - clock.seconds()), self.end(user))
        for waiting in self._kicks.pop(user):
            waiting.callback(None)

    def _superseded(self, logins: Iterable[LoginRecord]) -> None:
        for login in logins:
            self.kick(login.uid, login.subid)

    def setDraining(self, isDraining: bool) -> Deferred[None]:
        """See L{IGate.setDraining}."""
        if self._state is not _State.STOPPING:
            self._state = _State.DRAINING if isDraining else _State.OPEN
            self.log.info(
                "the gate {state}",
                state=self._state.value,
                event="gate_draining" if isDraining else "gate_open",
            )
        if self._directory is None:
            return succeed(None)
        told = self._directory.draining(self, self._state is not _State.OPEN)
        return told.addErrback(self._logged("draining"))

    def load(self) -> Deferred[GateLoad]:
        """See L{IGate.load}."""
        return succeed(self._load())

    def replaced(self) -> None:
        """See L{IGate.replaced}."""
        self.log.error(
            "another gate has registered as {name} at {address}: each gate of a name needs an"
            " advertise of its own",
            name=self.servername,
            address=self._address,
        )
        # The two take turns, but not at once.
        if self._state is not _State.STOPPING and (self._again is None or not self._again.active()):
            self._again = self._clock.callLater(_TURN, self._register)

    # IMsgConnections

    def connect(self, handshake: Handshake, transport: IMsgConnection) -> Connection:
        """See L{IMsgConnections.connect}."""
        if self._state is _State.STOPPING:
            raise UserNotFound("the gate is shutting down")
        login = self._logins.get(handshake.user)
        replaced = None if login is None else login.connection
        connection = self._logins.connect(handshake, transport)
        if replaced is not None:
            replaced.transport.abort()  # H4
        self._away.stop(connection.login)
        self._connections.add(connection)
        self.counts.connected(connection, isReplacing=replaced is not None)
        if self._noticesConnections:
            self._tell("connected", handshake.user)
        return connection

    def disconnect(self, connection: Connection) -> None:
        """See L{IMsgConnections.disconnect}."""
        self._connections.discard(connection)
        self.counts.lost(connection)
        login = connection.login
        if login.disconnect(connection) and not login.isEnded:
            self.counts.dropped(login)
            self._away.start(login)
            self._tell("disconnected", login.user)
        if not self._connections and self._onClosed is not None:
            self._onClosed.callback(None)
            self._onClosed = None

    def isAwaited(self, connection: Connection) -> bool:
        """See L{IMsgConnections.isAwaited}."""
        return self.counts.isAwaited(connection)

    def answered(self, connection: Connection) -> None:
        """See L{IMsgConnections.answered}."""
        self.counts.answered(connection)

    # The life of a login

    def find(self, user: User) -> Login | None:
        """Give the login of that name, or None."""
        return self._logins.get(user)

    def users(self) -> Iterable[User]:
        """Give the names of all logins of this moment."""
        return [login.user for login in self._logins]

    def admit(self, user: User, secret: bytes) -> Login:
        """
        Begin a login that no login server knows of.

        @raise InvalidState: it exists already, the secret is none of a suite's, the name is so
            long that C{max_packet} lets no handshake through, or the gate is shutting down.
        """
        if self._state is _State.STOPPING:
            raise InvalidState("the gate is shutting down")
        # A mac is as long as its secret.
        if len(handshakeText(user, MAX_INDEX)) + 1 + len(encode64(secret)) > self._maxPacket:
            raise InvalidState(f"{user}: its handshake would be longer than max_packet")
        login = self._logins.admit(user, secret)
        self._away.start(login)
        return login

    def end(self, user: User, reason: LogoutReason = LogoutReason.LOGOUT) -> Deferred[None]:
        """
        End a login (U2). Where it has ended already nothing happens.

        @param reason: what for; of one that is being kicked it is that, whoever is first.
        @return: fires when the handler's C{loggedOut} is done; never fails.
        """
        login = self._logins.end(user)
        if login is None:
            return succeed(None)
        self._away.stop(login)
        if login.connection is not None:
            self._answering.flushLater(login.connection)
        if self._directory is not None and login.epoch:
            told = self._directory.loggedOut(self, user.uid, user.subid)
            told.addErrback(self._logged("loggedOut"))
        if user in self._kicks:
            reason = LogoutReason.KICK
        self.counts.ended(login, reason)
        self.log.info(
            "{user} is logged out: {reason}",
            user=user,
            event="logout",
            uid=user.uid,
            subid=user.subid,
            reason=reason.value,
        )
        return self._tell("loggedOut", user)

    def _forgotten(self, login: Login) -> None:
        self.log.info("{user} asked for what is no longer known (S7)", user=login.user)
        self.end(login.user, LogoutReason.FORGOTTEN)

    def _awayTooLong(self, login: Login) -> None:
        self.end(login.user, LogoutReason.AWAY)

    def _tell(self, what: str, user: User) -> Deferred[None]:
        return asked(getattr(self._handler, what), user).addErrback(self._logged(what))

    def _logged(self, what: str) -> Any:
        return lambda failure: self.log.failure("{what} failed", failure, what=what)
