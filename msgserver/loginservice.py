"""
The login server: which gates there are, who is logged in where, one login at a time (L4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.cluster import IGate, ILoginDirectory, LoginRecord, Registration
from msgserver.directory import Directory, Member, Place
from msgserver.errors import Forbidden, GateUnavailable, NotAcceptable, Refused, Unauthorized
from msgserver.gatecalls import GateCalls
from msgserver.hiding import hidden
from msgserver.interfaces import Account, Admission, ILoginHandler, ILogins, INamesUser
from msgserver.later import asked
from msgserver.limits import LoginFailures
from msgserver.operations import Operations
from msgserver.turns import Turns


class _Undecided(Unauthorized):
    """The client is told 401, but the token may be right: that is no failed login."""


class _Left(Unauthorized):
    """Nobody waits for the handler's answer any more, which nobody has learnt."""


def _unknown(token: bytes) -> bytes | None:
    return None


@implementer(ILogins, ILoginDirectory)
class LoginService(Service):
    """
    Runs logins, and keeps the directory that gates report to.

    @param multilogin: a uid may have several logins at once; otherwise a new one kicks the
        earlier, and one that comes while another is under way is refused (L4).
    @param gateTimeout: seconds that a gate may take over a login or a kick.
    @param failures: makes those wait whose logins fail too often; None: nobody.
    @param maxAuthenticating: tokens that the handler is at, at once; the others wait, those of
        users first who are where they last logged in.
    @param sticky: where several gates share a server name, a user who logs in again goes to
        the one of the login before, rather than to the one that is least full.
    @ivar operations: what it does for operators.
    """

    log = Logger()

    def __init__(
        self,
        handler: ILoginHandler,
        clock: IReactorTime,
        multilogin: bool = False,
        gateTimeout: float = 5.0,
        sticky: bool = False,
        failures: LoginFailures | None = None,
        maxAuthenticating: int = 64,
    ) -> None:
        self._handler = handler
        self._turns = Turns(maxAuthenticating)
        self._uidOf = handler.uidOf if INamesUser.providedBy(handler) else _unknown
        self._failures = failures
        self._clock = clock
        self._multilogin = multilogin
        self._sticky = sticky
        self._directory = Directory(multilogin)
        self._calls = GateCalls(self._directory, clock, gateTimeout)
        self.operations = Operations(self._directory, self._calls)
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
        if self._failures is None:
            return await self._ask(token)
        attempt = self._failures.begin(self._claimed(token), peer)
        try:
            account = await self._ask(token, attempt.isHome)
            attempt.succeeded(account.uid)
        except _Undecided:
            attempt.dropped()
            raise
        except _Left:
            raise
        except Unauthorized:
            attempt.failed()
            raise
        finally:
            attempt.left()  # However it has ended, if not in any of these ways.
        return account

    def _claimed(self, token: bytes) -> bytes | None:
        try:
            uid = self._uidOf(token)
        except Exception:
            self.log.failure("uidOf failed", hidden(Failure()))
            return None
        return uid if isinstance(uid, bytes) else None

    async def _ask(self, token: bytes, isHome: bool = False) -> Account:
        try:
            # Where many guess, who is where he last logged in need not wait for all of them.
            await self._turns.begin(isHome)
            try:
                account = await asked(self._handler.authenticate, token)
            finally:
                self._turns.end()
        except Unauthorized:
            raise
        except CancelledError:
            # The client has gone, as clients do: nobody's bug.
            raise _Left("nobody waits for it any more") from None
        except Exception as error:
            self.log.failure("authenticate failed", hidden(Failure()))
            raise _Undecided("the login handler failed") from error
        match account:
            case Account(server=bytes(), uid=bytes()):
                return account
        # Not what it is, which may be the token (L6).
        self.log.error("authenticate gave no Account of bytes, but {type}", type=type(account))
        raise _Undecided("the login handler gave no account")

    async def _admit(self, account: Account, secret: bytes, peer: str) -> Admission:
        uid, server = account.uid, account.server
        earlier = list(self._directory.placesOf(uid))
        home = earlier[-1].member.gate if earlier and self._sticky else None
        candidates = self._candidates(server, home)
        if earlier and not self._multilogin:
            for place in earlier:
                if not await self._calls.kick(place) and place in self._directory.placesOf(uid):
                    # A gate that could not be reached is told when it registers.
                    self._directory.lose(place)
            candidates = self._candidates(server, home)
        while candidates:
            member = candidates.pop(0)
            record = await self._logInAt(member, account, secret)
            if record is None:
                # Others may have turned out to be late meanwhile, together with this one.
                now = self._clock.seconds()
                candidates.sort(key=lambda member: member.isLate(now))
                continue
            if self._adopt(member.gate, [record], isTold=False):
                await self._calls.kick(Place(member, record))
                raise Forbidden("a newer login has come in by another login server")
            self.log.info(
                "{account} logged in at {gate} from {peer}",
                event="login",
                uid=uid,
                subid=record.subid,
                account=account,
                gate=member.name,
                peer=peer,
            )
            return Admission(record.subid, member.address)
        raise Forbidden(f"no gate that is named {server!r} answers")

    def _candidates(self, server: bytes, home: IGate | None) -> list[Member]:
        """Give the gates that may take a login, the best first; refuse it if there is none."""
        candidates = self._directory.candidates(server, home, self._clock.seconds())
        if not candidates:
            if any(self._directory.group(server)):
                raise Forbidden(f"no gate that is named {server!r} takes logins")
            raise Forbidden(f"no gate is named {server!r}")
        return candidates

    async def _logInAt(self, member: Member, account: Account, secret: bytes) -> LoginRecord | None:
        """Have a gate admit a login; None where it is away, or slow, and another may do so."""
        try:
            return await self._calls.logIn(member, account.uid, secret)
        except GateUnavailable as error:
            self.log.warn("{gate}: no login: {error}", gate=member.name, error=error)
            return None
        except Refused as refusal:
            raise Forbidden(f"{member.name} refuses {account}: {refusal}") from refusal

    # ILoginDirectory

    def register(
        self, gate: IGate, describe: Callable[[], Registration]
    ) -> Deferred[Sequence[LoginRecord]]:
        """See L{ILoginDirectory.register}."""
        registration = describe()
        member, replaced = self._directory.add(gate, registration)
        self.log.info("{gate} has registered", gate=member.name, event="gate_up")
        group = list(self._directory.group(registration.servername))
        if len(group) > 1 and any(each.address is None for each in group):
            self.log.warn(
                "{gate}: gates of one name need an advertise each: clients are not told of those"
                " without",
                gate=member.name,
            )
        if replaced is not None:
            self.log.warn("{gate}: replaces another of that name and address", gate=member.name)
            replaced.replaced()
        return self.adopt(gate, registration.logins)

    def unregister(self, gate: IGate) -> Deferred[None]:
        """See L{ILoginDirectory.unregister}."""
        member = self._directory.remove(gate)
        if member is not None:
            self.log.info("{gate} is gone", gate=member.name, event="gate_down")
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

    def _adopt(
        self, gate: IGate, logins: Sequence[LoginRecord], isTold: bool = True
    ) -> Sequence[LoginRecord]:
        superseded, outdated = self._directory.adopt(gate, logins, isTold)
        for place in outdated:
            self._calls.kick(place)
        return superseded

    def loggedOut(self, gate: IGate, uid: bytes, subid: bytes) -> Deferred[None]:
        """See L{ILoginDirectory.loggedOut}."""
        self._directory.forget(gate, uid, subid)
        return succeed(None)
