"""
The login server: which gates there are, who is logged in where, one login at a time (L4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    TimeoutError,
    gatherResults,
    succeed,
)
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from msgserver.cluster import (
    GateLoad,
    GateReport,
    IGate,
    ILoginDirectory,
    IOperations,
    LoginRecord,
    LoginReport,
    Registration,
)
from msgserver.directory import Directory, Member, Place
from msgserver.errors import (
    Forbidden,
    GateUnavailable,
    NotAcceptable,
    Refused,
    Unauthorized,
    UserNotFound,
)
from msgserver.interfaces import Account, Admission, ILoginHandler, ILogins
from msgserver.later import asked

_EPOCHS = 1_000_000
"""How many logins a second may begin, for long, before their epochs run ahead of the clock."""


@implementer(ILogins, ILoginDirectory, IOperations)
class LoginService(Service):
    """
    Runs logins, and keeps the directory that gates report to.

    @param multilogin: a uid may have several logins at once; otherwise a new one kicks the
        earlier, and one that comes while another is under way is refused (L4).
    @param gateTimeout: seconds that a gate may take over a login or a kick.
    @param sticky: where several gates share a server name, a user who logs in again goes to
        the one of the login before, rather than to the one that is least full.
    """

    log = Logger()

    def __init__(
        self,
        handler: ILoginHandler,
        clock: IReactorTime,
        multilogin: bool = False,
        gateTimeout: float = 5.0,
        sticky: bool = False,
    ) -> None:
        self._handler = handler
        self._clock = clock
        self._multilogin = multilogin
        self._gateTimeout = gateTimeout
        self._sticky = sticky
        self._directory = Directory(multilogin)
        self._underWay: set[bytes] = set()

    # ILogins

    def login(self, token: bytes, secret: bytes, peer: str) -> Deferred[Admission]:
        """See L{ILogins.login}."""
        return Deferred.fromCoroutine(self._login(token, secret, peer))

    async def _login(self, token: bytes, secret: bytes, peer: str) -> Admission:
        account = await self._authenticate(token, peer)
        uid = account.uid
        if self._multilogin:
            return await self._admit(account, secret, peer)
        if uid in self._underWay:
            raise NotAcceptable(f"a login of {uid!r} is under way already")
        self._underWay.add(uid)
        try:
            return await self._admit(account, secret, peer)
        finally:
            # Cancelling raises here too: nothing locks the user out (L1).
            self._underWay.discard(uid)

    async def _authenticate(self, token: bytes, peer: str) -> Account:
        try:
            account = await asked(self._handler.authenticate, token)
        except Unauthorized as refusal:
            self.log.info("login refused: {peer}: {refusal}", peer=peer, refusal=refusal)
            raise
        except CancelledError:
            # The client has gone, as clients do: nobody's bug.
            raise Unauthorized("nobody waits for it any more") from None
        except Exception as error:
            self.log.failure("authenticate failed")
            raise Unauthorized("the login handler failed") from error
        match account:
            case Account(server=bytes(), uid=bytes()):
                return account
        # Not what it is, which may be the token (L6).
        self.log.error("authenticate gave no Account of bytes, but {type}", type=type(account))
        raise Unauthorized("the login handler gave no account")

    async def _admit(self, account: Account, secret: bytes, peer: str) -> Admission:
        uid, server = account.uid, account.server
        if not any(self._directory.group(server)):
            raise Forbidden(f"no gate is named {server!r}")
        earlier = list(self._directory.placesOf(uid))
        home = earlier[-1].member.gate if earlier and self._sticky else None
        if not self._directory.candidates(server, home, self._clock.seconds()):
            # Where there is no login to come, the earlier one is not to go.
            raise Forbidden(f"no gate that is named {server!r} takes logins")
        if not self._multilogin:
            for place in earlier:
                await self._kick(place)
                # Done or not: a gate that could not be reached is told when it registers.
                self._directory.forget(place.member.gate, uid, place.record.subid)
        for member in self._directory.candidates(server, home, self._clock.seconds()):
            try:
                record = await self._ask(member, uid, secret)
            except (GateUnavailable, TimeoutError) as error:
                # Which it is, gone or slow, does not matter: there may be another.
                self.log.warn("{gate}: no login: {error}", gate=member.name, error=error)
            except Refused as refusal:
                self.log.info(
                    "{account} is refused by {gate}: {refusal}",
                    account=account,
                    gate=member.name,
                    refusal=refusal,
                )
                raise Forbidden("the gate refused") from refusal
            else:
                if self._adopt(member.gate, [record]):
                    await self._kick(Place(member, record))
                    raise Forbidden("a newer login has come in by another login server")
                self.log.info(
                    "{account} logged in at {gate} from {peer}",
                    account=account,
                    gate=member.name,
                    peer=peer,
                )
                return Admission(record.subid, member.address)
        raise Forbidden(f"no gate that is named {server!r} takes logins")

    async def _ask(self, member: Member, uid: bytes, secret: bytes) -> LoginRecord:
        # Above all that there have been, wherever the clock was set to meanwhile.
        epoch = max(int(self._clock.seconds() * _EPOCHS), self._directory.lastEpoch + 1)
        self._directory.lastEpoch = epoch
        member.asked += 1
        try:
            subid = await self._inTime(member, member.gate.login, uid, secret, epoch)
        finally:
            member.asked -= 1
        return LoginRecord(uid, subid, epoch)

    def _kick(self, place: Place) -> Deferred[bool]:
        """Kick a login, and tell whether its gate has done so in time; cancelled, it fails."""
        return Deferred.fromCoroutine(self._kicked(place))

    async def _kicked(self, place: Place) -> bool:
        member, record = place.member, place.record
        try:
            await self._inTime(member, member.gate.kick, record.uid, record.subid)
        except (GateUnavailable, TimeoutError) as error:
            # A new login goes ahead: one gate that is away must not lock the user out.
            self.log.warn(
                "could not kick {uid} at {gate}: {error}",
                uid=record.uid,
                gate=member.name,
                error=error,
            )
        except CancelledError:
            raise
        except Exception:
            self.log.failure("a gate failed to kick {uid}", uid=record.uid)
        else:
            self._directory.forget(member.gate, record.uid, record.subid)
            return True
        return False

    async def _inTime(
        self, member: Member, question: Callable[..., Deferred[Any]], *arguments: object
    ) -> Any:
        try:
            return await asked(question, *arguments).addTimeout(self._gateTimeout, self._clock)
        except TimeoutError:
            # Whether it is frozen or busy: while there are others, those are asked first.
            member.lateUntil = self._clock.seconds() + self._gateTimeout
            raise

    # ILoginDirectory

    def register(
        self, gate: IGate, describe: Callable[[], Registration]
    ) -> Deferred[Sequence[LoginRecord]]:
        """See L{ILoginDirectory.register}."""
        registration = describe()
        member, replaced = self._directory.add(gate, registration)
        self.log.info("{gate} has registered", gate=member.name)
        if replaced is not None:
            self.log.warn("{gate}: replaces another of that name and address", gate=member.name)
            replaced.replaced()
        return self.adopt(gate, registration.logins)

    def unregister(self, gate: IGate) -> Deferred[None]:
        """See L{ILoginDirectory.unregister}."""
        member = self._directory.remove(gate)
        if member is not None:
            self.log.info("{gate} is gone", gate=member.name)
        return succeed(None)

    def draining(self, gate: IGate, isDraining: bool) -> Deferred[None]:
        """See L{ILoginDirectory.draining}."""
        member = self._directory.get(gate)
        if member is not None:
            member.isDraining = isDraining
        return succeed(None)

    def adopt(self, gate: IGate, logins: Sequence[LoginRecord]) -> Deferred[Sequence[LoginRecord]]:
        """See L{ILoginDirectory.adopt}."""
        return succeed(self._adopt(gate, logins))

    def _adopt(self, gate: IGate, logins: Sequence[LoginRecord]) -> Sequence[LoginRecord]:
        superseded, outdated = self._directory.adopt(gate, logins)
        for place in outdated:
            self._kick(place)
        return superseded

    def loggedOut(self, gate: IGate, uid: bytes, subid: bytes) -> Deferred[None]:
        """See L{ILoginDirectory.loggedOut}."""
        self._directory.forget(gate, uid, subid)
        return succeed(None)

    # IOperations

    def gates(self) -> Deferred[list[GateReport]]:
        """See L{IOperations.gates}."""
        members = self._directory.members()
        reports = [Deferred.fromCoroutine(self._report(member)) for member in members]
        return gatherResults(reports, consumeErrors=True)

    async def _report(self, member: Member) -> GateReport:
        load: GateLoad | None
        try:
            load = await self._inTime(member, member.gate.load)
        except (GateUnavailable, TimeoutError):
            load = None
        return GateReport(
            member.name,
            member.servername,
            member.address,
            member.weight,
            member.isDraining,
            len(member.places),
            load,
        )

    def users(self, uid: bytes | None = None) -> list[LoginReport]:
        """See L{IOperations.users}."""
        directory = self._directory
        return list(map(_reportOf, directory.places() if uid is None else directory.placesOf(uid)))

    def kick(self, uid: bytes, subid: bytes | None = None) -> Deferred[list[LoginReport]]:
        """See L{IOperations.kick}."""
        return Deferred.fromCoroutine(self._kickAll(uid, subid))

    async def _kickAll(self, uid: bytes, subid: bytes | None) -> list[LoginReport]:
        places = [
            place
            for place in self._directory.placesOf(uid)
            if subid is None or place.record.subid == subid
        ]
        if not places:
            raise UserNotFound("no such login")
        reports = list(map(_reportOf, places))
        kicks = [self._kick(place) for place in places]
        kicked: list[bool] = await gatherResults(kicks, consumeErrors=True)
        if not all(kicked):
            raise GateUnavailable("a gate did not answer in time: try again")
        return reports

    def setDraining(self, gate: str, isDraining: bool) -> Deferred[GateReport]:
        """See L{IOperations.setDraining}."""
        return Deferred.fromCoroutine(self._setDraining(gate, isDraining))

    async def _setDraining(self, gate: str, isDraining: bool) -> GateReport:
        member = self._directory.named(gate)
        try:
            await self._inTime(member, member.gate.setDraining, isDraining)
        except TimeoutError:
            raise GateUnavailable(f"{member.name} did not answer in time") from None
        return await self._report(member)


def _reportOf(place: Place) -> LoginReport:
    record = place.record
    return LoginReport(record.uid, record.subid, place.member.name, record.epoch / _EPOCHS)
