"""
The login server: which gates there are, who is logged in where, one login at a time (L4).
"""

from __future__ import annotations

from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from msgserver.errors import (
    Forbidden,
    GateUnavailable,
    InvalidState,
    NotAcceptable,
    Refused,
    Unauthorized,
)
from msgserver.interfaces import (
    Account,
    Admission,
    IGate,
    ILoginDirectory,
    ILoginHandler,
    ILogins,
    Registration,
)
from msgserver.later import asked


@frozen
class _Place:
    """Where a login is."""

    gate: IGate
    subid: bytes


@implementer(ILogins, ILoginDirectory)
class LoginService(Service):
    """
    Runs logins, and keeps the directory that gates report to.

    @param multilogin: a uid may have several logins at once; otherwise a new one kicks the
        earlier, and one that comes while another is under way is refused (L4).
    @param gateTimeout: seconds that a gate may take over a login or a kick.
    """

    log = Logger()

    def __init__(
        self,
        handler: ILoginHandler,
        clock: IReactorTime,
        multilogin: bool = False,
        gateTimeout: float = 5.0,
    ) -> None:
        self._handler = handler
        self._clock = clock
        self._multilogin = multilogin
        self._gateTimeout = gateTimeout
        self._gates: dict[bytes, tuple[IGate, Registration]] = {}
        self._places: dict[bytes, set[_Place]] = {}
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
        try:
            gate, registration = self._gates[account.server]
        except KeyError:
            raise Forbidden(f"no gate is named {account.server!r}") from None
        uid = account.uid
        if not self._multilogin:
            for place in list(self._places.get(uid, ())):
                await self._kick(uid, place)
        try:
            subid = await self._inTime(gate.login(uid, secret))
        except (Refused, GateUnavailable, TimeoutError) as error:
            self.log.info("{account} is refused by the gate: {error}", account=account, error=error)
            raise Forbidden("the gate refused") from error
        self._places.setdefault(uid, set()).add(_Place(gate, subid))
        self.log.info("{account} logged in from {peer}", account=account, peer=peer)
        return Admission(subid, registration.address)

    async def _kick(self, uid: bytes, place: _Place) -> None:
        try:
            await self._inTime(place.gate.kick(uid, place.subid))
        except (GateUnavailable, TimeoutError) as error:
            # The new login goes ahead: one gate that is away must not lock the user out.
            self.log.warn("could not kick {uid}: {error}", uid=uid, error=error)
        except CancelledError:
            raise
        except Exception:
            self.log.failure("a gate failed to kick {uid}", uid=uid)
        self._forget(uid, place)

    def _inTime(self, promised: Deferred[Any]) -> Deferred[Any]:
        return asked(lambda: promised).addTimeout(self._gateTimeout, self._clock)

    # ILoginDirectory

    def register(
        self, gate: IGate, registration: Registration
    ) -> Deferred[list[tuple[bytes, bytes]]]:
        """See L{ILoginDirectory.register}."""
        name = registration.servername
        known = self._gates.get(name)
        if known is not None and known[0] is not gate:
            return fail(InvalidState(f"another gate is named {name!r}"))
        self._forgetAll(gate)
        self._gates[name] = (gate, registration)
        superseded = []
        for uid, subid in registration.logins:
            place = _Place(gate, subid)
            places = self._places.setdefault(uid, set())
            if self._multilogin or not places:
                places.add(place)
            else:
                superseded.append((uid, subid))
        return succeed(superseded)

    def unregister(self, gate: IGate) -> Deferred[None]:
        """See L{ILoginDirectory.unregister}."""
        for name in [name for name, (known, _) in self._gates.items() if known is gate]:
            del self._gates[name]
        self._forgetAll(gate)
        return succeed(None)

    def loggedOut(self, gate: IGate, uid: bytes, subid: bytes) -> Deferred[None]:
        """See L{ILoginDirectory.loggedOut}."""
        self._forget(uid, _Place(gate, subid))
        return succeed(None)

    def _forgetAll(self, gate: IGate) -> None:
        for uid, places in list(self._places.items()):
            for place in [place for place in places if place.gate is gate]:
                self._forget(uid, place)

    def _forget(self, uid: bytes, place: _Place) -> None:
        places = self._places.get(uid)
        if places is not None:
            places.discard(place)
            if not places:
                del self._places[uid]
