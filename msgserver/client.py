"""
The Twisted client: L{login} to a login server, and L{MsgClient} to ask a gate.

::

    def takeLogin():
        return login(loginServer, Account(b"sample", b"alice"), token)

    client = MsgClient(reactor, takeLogin, gate)
    answer = await client.request(b"hello")

What is said on a connection, L{msgserver.clientprotocols} knows, and what is asked again on
the next, L{msgserver.clientlogin}; L{msgserver.reconnecting} makes the next. Here is what each
attempt does, and when there is a login.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import NoReturn

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone, TimeoutError
from twisted.internet.interfaces import IProtocol, IReactorTime, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from msgserver.clientlogin import MAX_UNANSWERED, ClientLogin, LoggedIn, parseAddress
from msgserver.clientprotocols import GateClientProtocol, LoginClientProtocol
from msgserver.errors import (
    BadRequest,
    InvalidState,
    OutcomeUnknown,
    ProtocolError,
    Refused,
    Unauthorized,
    UserNotFound,
)
from msgserver.identity import parseIdentity
from msgserver.interfaces import Account
from msgserver.reconnecting import Connected, reconnecting
from msgserver.wire.login import LoginClient, RandomBytes, Suite
from msgserver.wire.modern import ModernSuite
from msgserver.wire.naming import User

LOGIN_TIMEOUT = 10.0
"""Seconds that a login may take, from connecting to the server's verdict."""

HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a gate has to answer the handshake."""

RETRY_POLICY = backoffPolicy(initialDelay=0.1, maxDelay=30.0, factor=2.0)
"""
Seconds to wait when so many attempts in a row have failed: 0.2, 0.4 and so on to 30, and up
to one more at random, so that not all the clients of a gate that restarts come at once.
"""

_MODERN = ModernSuite()


def login(
    endpoint: IStreamClientEndpoint,
    account: Account,
    token: bytes,
    *,
    suite: Suite | None = None,
    serverIdentity: str | bytes | None = None,
    clock: IReactorTime | None = None,
    timeout: float = LOGIN_TIMEOUT,
    randomBytes: RandomBytes = os.urandom,
) -> Deferred[LoggedIn]:
    """
    Log in.

    @param account: whom the token proves; the server does not repeat it.
    @param token: what the login handler over there expects, such as a password; never logged.
    @param suite: the algorithms, which the server must take; by default the modern suite (L3),
        with nothing that tells which server it is.
    @param serverIdentity: the public part of the server's identity key, as C{msgserver-ctl
        keygen} prints it: 44 characters of base64. A server that does not prove that it has
        the key is told nothing: not the token, and not who is asking. The suite is the modern
        one then.
    @param clock: where the time comes from; by default the global reactor.
    @param timeout: seconds until the login is given up.
    @return: fails with L{Unauthorized}, L{msgserver.errors.Forbidden} or
        L{msgserver.errors.NotAcceptable} where the server says no; with
        L{msgserver.errors.ProtocolError} where it is no login server, does not take the suite,
        or is not the server that it should be; with L{twisted.internet.error.TimeoutError}; or
        as the connection does. Cancelling it closes the connection.
    @raise ValueError: C{serverIdentity} is none, or a suite is given as well.
    """
    chosen = _suite(suite, serverIdentity)
    if clock is None:
        # Importing it installs it, which is not for the import of this module to decide.
        from twisted.internet import reactor

        clock = IReactorTime(reactor)
    conversation = LoginClientProtocol(LoginClient(chosen, token, randomBytes), clock)

    async def converse() -> LoggedIn:
        await connectProtocol(endpoint, conversation)
        admitted = await conversation.admitted
        if admitted.address is not None:
            parseAddress(admitted.address)
        user = User(account.uid, admitted.subid, account.server)
        return LoggedIn(user, admitted.secret, admitted.address)

    return Deferred.fromCoroutine(converse()).addTimeout(timeout, clock, _timedOut)


def _suite(suite: Suite | None, serverIdentity: str | bytes | None) -> Suite:
    if serverIdentity is None:
        return suite or _MODERN
    if suite is not None:
        raise ValueError("serverIdentity goes without suite: it is for the modern suite")
    return ModernSuite(serverIdentity=parseIdentity(serverIdentity))


def _timedOut(result: object, timeout: float) -> NoReturn:
    # Endpoints differ in what they fail with when they are cancelled.
    raise TimeoutError(string=f"no answer within {timeout:g} seconds")


class MsgClient:
    """
    Ask a gate, over as many connections and logins as it takes.

    It connects from the next turn of the reactor on, and again whenever the connection is
    lost, until L{close}. It ends by itself where going on is of no use: where a login is
    refused with L{Unauthorized}, or a handshake with L{BadRequest}. (Under the modern suite it
    takes a refusal from nobody but the server that it has agreed on keys with.)

    A login outlives broken connections, but its gate may have died, and the login server know
    another: where attempt after attempt has not reached the address that the login gave (L5), a
    new login is taken. Only when there is one does the old login end; while the login server is
    out of reach as well, or says no, nothing is given up. Where the gate is alive, and out of
    reach of this client alone, the new login still costs what was under way at the old: its
    outcome is unknown.

    A request has no time-out of its own: C{addTimeout} of its Deferred cancels it, and
    L{dropConnection} is there for a connection that seems dead.

    @param reactor: where the time comes from, and what connects to the address that a login
        gives (L5): all that L{HostnameEndpoint} asks for.
    @param takeLogin: logs in, as L{login} does; called whenever there is no login, and when
        the gate is out of reach; at most once in an attempt.
    @param gate: where to connect when the login gives no address.
    @param retryPolicy: the seconds to wait when so many attempts in a row have failed.
    @param maxUnanswered: how many requests are sent and unanswered at a time; no more than
        half of the gate's C{expired_number}, and fewer where twice as many responses are
        larger than its C{cache_bytes}: else a request may run again (S7).
    @param connectTo: makes the endpoint of an address that a login gives, its host and its
        port; None for plain TCP. Where gates speak TLS it must be given.
    @param loginAfter: how many attempts in a row must not have reached the gate before a new
        login is taken, where logins give addresses: there was no connection, or no verdict on
        it. 1 or more.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        takeLogin: Callable[[], Awaitable[LoggedIn]],
        gate: IStreamClientEndpoint | None = None,
        *,
        retryPolicy: Callable[[int], float] = RETRY_POLICY,
        maxUnanswered: int = MAX_UNANSWERED,
        loginAfter: int = 3,
        connectTo: Callable[[str, int], IStreamClientEndpoint] | None = None,
    ) -> None:
        self._reactor = reactor
        self._takeLogin = takeLogin
        self._gate = gate
        self._login: ClientLogin[Deferred[bytes]] = ClientLogin(maxUnanswered)
        self._connection: GateClientProtocol | None = None
        self._ended: Exception | None = None
        self._loginAfter = loginAfter
        self._connectTo = connectTo or partial(HostnameEndpoint, reactor)
        # Attempts in a row that have not reached the gate of the current login.
        self._outOfReach = 0
        self._service = reconnecting(self._attempt, retryPolicy, reactor)
        self._service.startService()

    def request(self, content: bytes) -> Deferred[bytes]:
        """
        Ask; now, or when there is a connection.

        @param content: 0 to 65,531 bytes.
        @return: fires with the answer. Fails with L{msgserver.errors.RequestFailed} where the
            handler failed; with L{OutcomeUnknown} where the request had been sent when its
            login or the client ended; and with what ended the client where it had not:
            L{ConnectionDone} after L{close}. Cancelling it does not take back what has been
            sent.
        @raise ValueError: the content is too long.
        """
        if self._ended is not None:
            return fail(self._ended)
        answer: Deferred[bytes] = Deferred(lambda _: self._login.cancel(request))
        request = self._login.ask(content, answer)
        if self._connection is not None:
            self._connection.sendRequests()
        return answer

    def whenConnected(self, failAfterFailures: int | None = None) -> Deferred[None]:
        """
        Wait for a connection that the gate has accepted.

        @param failAfterFailures: how many attempts in a row may fail before this does, with
            the last one's failure; None for any number.
        @return: fires in the next turn where there is one. Fails with what ended the client.
        """
        if self._ended is not None:
            return fail(self._ended)

        def tell(result: IProtocol | Failure) -> None:
            if isinstance(result, Failure):
                if result.check(CancelledError) and self._ended is not None:
                    raise self._ended
                result.raiseException()

        # ClientService calls back from within its state machine, where it cannot be asked
        # anything; the caller may want to ask again.
        return self._service.whenConnected(failAfterFailures).addBoth(
            lambda result: deferLater(self._reactor, 0, tell, result)
        )

    def dropConnection(self) -> None:
        """Cut the connection, if there is one, as the network might; the client comes back."""
        if self._connection is not None:
            self._connection.transport.abortConnection()

    def close(self) -> Deferred[None]:
        """
        End the client. Unanswered requests fail, and no connection and no timer is left.

        @return: fires when the connection is closed.
        """
        return self._end(ConnectionDone("the client was closed"))

    def _end(self, reason: Exception) -> Deferred[None]:
        self._ended = self._ended or reason
        _failAll(self._login.end(), OutcomeUnknown(f"the client ended: {reason}"))
        _failAll(self._login.abandon(), reason)
        # In a turn of its own: what ends the client may be an attempt, or its user in a
        # callback of ClientService's, and there ClientService cannot be stopped.
        turn: Deferred[None] = deferLater(self._reactor, 0)
        return turn.addCallback(lambda _: self._service.stopService())

    async def _attempt(self) -> Connected:
        try:
            connection = await self._connect()
        except Exception as error:
            # Who breaks the wire, or is not the server that was expected, may go on doing so:
            # somebody should look. But it may be anybody in the middle, so the client goes on.
            level = LogLevel.warn if isinstance(error, ProtocolError) else LogLevel.info
            self._log.emit(level, "no connection to the gate: {error!r}", error=error)
            raise
        self._connection = connection
        connection.lost.addCallback(self._connectionLost)
        connection.askAgain()
        return Connected(connection.transport, connection.lost)

    async def _connect(self) -> GateClientProtocol:
        """Reach the gate, by way of the login server where need be."""
        self._checkNotEnded()
        if self._login.loggedIn is not None:
            # Also when a new login is due: the network may be back, and the gate with it.
            try:
                return await self._shakeHands()
            except Exception as error:
                if not self._isLoginDue():
                    raise
                self._log.info("out of reach, taking a new login: {error!r}", error=error)
        await self._logIn()
        return await self._shakeHands()

    def _isLoginDue(self) -> bool:
        loggedIn = self._login.loggedIn
        # Without an address, another login would lead to the same gate.
        leadsElsewhere = loggedIn is not None and loggedIn.address is not None
        isOutOfReach = self._outOfReach >= self._loginAfter
        return leadsElsewhere and isOutOfReach and self._ended is None

    async def _logIn(self) -> None:
        try:
            loggedIn = await self._takeLogin()
        except Unauthorized as refusal:
            self._end(refusal)
            raise
        if loggedIn.address is None and self._gate is None:
            # It would lead nowhere for ever; the next may have what got lost of this one.
            raise InvalidState("the login gives no address, and no gate was given")
        # Not before there is a new login: until then the old one's gate may be back.
        unanswered = self._login.end()
        self._login.begin(loggedIn)
        self._outOfReach = 0
        _failAll(unanswered, OutcomeUnknown("the gate could not be reached"))

    async def _shakeHands(self) -> GateClientProtocol:
        self._checkNotEnded()
        connection = GateClientProtocol(self._login)
        try:
            await connectProtocol(self._endpoint(), connection)
            await connection.accepted.addTimeout(HANDSHAKE_TIMEOUT, self._reactor, _timedOut)
        except Refused as refusal:
            self._outOfReach = 0
            self._refused(refusal)
            raise
        except Exception:
            self._outOfReach += 1
            raise
        self._outOfReach = 0
        return connection

    def _refused(self, refusal: Refused) -> None:
        if isinstance(refusal, BadRequest):
            self._end(refusal)
        elif isinstance(refusal, (UserNotFound, Unauthorized)):
            _failAll(self._login.end(), OutcomeUnknown(f"the login has ended: {refusal}"))

    def _checkNotEnded(self) -> None:
        if self._ended is not None:
            raise self._ended

    def _endpoint(self) -> IStreamClientEndpoint:
        loggedIn = self._login.loggedIn
        if loggedIn is not None and loggedIn.address is not None:
            return self._connectTo(*parseAddress(loggedIn.address))
        assert self._gate is not None, "a login that leads nowhere was taken"
        return self._gate

    def _connectionLost(self, _: None) -> None:
        self._connection = None


def _failAll(answers: Iterable[Deferred[bytes]], error: Exception) -> None:
    for answer in answers:
        # The failure of one may have made its caller cancel another.
        if not answer.called:
            answer.errback(error)
