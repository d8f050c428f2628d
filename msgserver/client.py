"""
The Twisted client: L{login} to a login server, and L{MsgClient} to ask a gate.

::

    def takeLogin():
        return login(loginServer, Account(b"sample", b"alice"), token)

    client = MsgClient(reactor, takeLogin, gate)
    answer = await client.request(b"hello")

What is said on a connection, L{msgserver.clientprotocols} knows, and what is asked again on
the next, L{msgserver.clientlogin}; L{msgserver.reconnecting} makes the next, and
L{msgserver.clientcore} says what each attempt does, and when there is a login. Here is what of
that is Twisted's.

C{python -m msgserver.client} is the command line, L{msgserver.commandline}.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from functools import partial
from random import random
from socket import socket
from typing import NoReturn

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import TimeoutError
from twisted.internet.interfaces import (
    IProtocol,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from msgserver.clientcore import (
    HANDSHAKE_TIMEOUT,
    KEEP_ALIVE,
    LOGIN_TIMEOUT,
    MAX_WAITING,
    ClientCore,
    Pulse,
    retryDelay,
)
from msgserver.clientlogin import MAX_UNANSWERED, LoggedIn, contentOf, parseAddress
from msgserver.clientprotocols import GateClientProtocol, LoginClientProtocol
from msgserver.errors import RequestTimedOut
from msgserver.identity import clientSuite
from msgserver.interfaces import Account
from msgserver.keepalive import keepAlive as keepAliveByKernel
from msgserver.reconnecting import Connected, reconnecting
from msgserver.wire.login import LoginClient, RandomBytes, Suite
from msgserver.wire.naming import User

RETRY_POLICY: Callable[[int], float] = partial(retryDelay, random=random)
"""
Seconds to wait when so many attempts in a row have failed: 0.2, 0.4 and so on to 30, and up
to one more at random, so that not all the clients of a gate that restarts come at once.
"""

CLOSE_TIMEOUT = 5.0
"""Seconds that a connection may take to be closed in good order; then it is cut."""


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
    @raise ValueError: C{serverIdentity} is none, or a suite is given as well; or the token is over
        6,128 bytes.
    """
    chosen = clientSuite(suite, serverIdentity)
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


class MsgClient(ClientCore[Deferred[bytes], GateClientProtocol]):
    """
    Ask a gate, over as many connections and logins as it takes.

    It connects from the next turn of the reactor on, and again whenever the connection is
    lost, until L{close}. It ends by itself where going on is of no use: where a login is
    refused with L{msgserver.errors.Unauthorized}, or a handshake with
    L{msgserver.errors.BadRequest}. (Under the modern suite it takes a refusal from nobody but
    the server that it has agreed on keys with.)

    A login outlives broken connections, but its gate may have died, and the login server know
    another: where attempt after attempt has not reached the address that the login gave (L5), a
    new login is taken. Only when there is one does the old login end; while the login server is
    out of reach as well, or says no, nothing is given up. Where the gate is alive, and out of
    reach of this client alone, the new login still costs what was under way at the old: its
    outcome is unknown.

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
    @param maxWaiting: how many requests may wait to be sent, while there is no connection or too
        much is unanswered; one more fails with L{msgserver.errors.TooManyWaiting}.
    @param requestTimeout: the seconds of a request that is given none of its own; None for any
        number.
    @param keepAlive: the seconds without a sign of life after which the kernel probes the other
        end; see L{msgserver.keepalive}. 0 for never.
    @param ping: a request that the application answers at once, asked when nothing has been
        received for C{keepAlive} seconds; where nothing comes for as long again, the connection
        is cut. It finds what the kernel cannot: behind a proxy, or where a program hangs. None
        for no such request. While C{maxUnanswered} requests are unanswered it is not asked.
    @raise ValueError: a limit is out of its range, or C{ping} is too long.
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
        maxWaiting: int = MAX_WAITING,
        requestTimeout: float | None = None,
        keepAlive: float = KEEP_ALIVE,
        ping: bytes | None = None,
    ) -> None:
        super().__init__(
            takeLogin, gate is not None, maxUnanswered, maxWaiting, loginAfter, keepAlive, ping
        )
        self._reactor = reactor
        self._gate = gate
        self._connectTo = connectTo or partial(HostnameEndpoint, reactor)
        self._requestTimeout = requestTimeout
        self._stopped: Deferred[None] | None = None
        self._service = reconnecting(self._connected, retryPolicy, reactor)
        self._service.startService()

    def request(self, content: bytes, timeout: float | None = None) -> Deferred[bytes]:
        """
        Ask; now, or when there is a connection.

        @param content: 0 to 65,531 bytes.
        @param timeout: the seconds until L{msgserver.errors.RequestTimedOut}; None for what the
            client was made with.
        @return: fires with the answer. Fails with L{msgserver.errors.RequestFailed} where the
            handler failed; with L{msgserver.errors.OutcomeUnknown} where the request had been
            sent when its login or the client ended; with L{msgserver.errors.TooManyWaiting}; and
            with what ended the client where it had not been sent, such as
            L{msgserver.errors.ClientClosed} after L{close}. Cancelling it does not take back
            what has been sent.
        @raise TypeError: the content is no bytes.
        @raise ValueError: the content is too long.
        """
        content = contentOf(content)
        answer: Deferred[bytes] = Deferred(lambda _: self._login.cancel(request))
        try:
            request = self._ask(content, answer)
        except Exception as error:
            # Of what ended the client there is one object, which would hold on to this frame.
            return fail(error.with_traceback(None))
        if timeout is None:
            timeout = self._requestTimeout
        if timeout is not None:
            answer.addTimeout(timeout, self._reactor, _requestTimedOut)
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

    def close(self) -> Deferred[None]:
        """
        End the client. Unanswered requests fail, and no connection and no timer is left.

        @return: fires when the connection is closed, or was cut: after L{CLOSE_TIMEOUT}.
        """
        self._close()
        closed: Deferred[None] = Deferred()
        stopped = self._stopped
        assert stopped is not None, "an ended client has stopped"

        def tell(result: None) -> None:
            closed.callback(None)

        stopped.addCallback(tell)
        return closed

    def _stop(self) -> None:
        # In a turn of its own: what ends the client may be an attempt, or its user in a
        # callback of ClientService's, and there ClientService cannot be stopped.
        turn: Deferred[None] = deferLater(self._reactor, 0)
        self._stopped = turn.addCallback(lambda _: self._stopService())

    def _stopService(self) -> Deferred[None]:
        connection = self._connection
        if connection is not None:
            # With TLS, or with something left to write, the other end has a say in it.
            cut = self._reactor.callLater(CLOSE_TIMEOUT, connection.abort)
            connection.whenLost(lambda: cut.cancel() if cut.active() else None)
        return self._service.stopService()

    def _poll(self, content: bytes) -> Deferred[bytes]:
        answer: Deferred[bytes] = Deferred(lambda _: self._login.cancel(request))
        request = self._ask(content, answer, isPoll=True)
        return answer

    def _fail(self, waiter: Deferred[bytes], error: Exception) -> None:
        # The failure of one may have made its caller cancel another.
        if not waiter.called:
            waiter.errback(error)

    def _note(self, isWarning: bool, text: str, error: Exception) -> None:
        level = LogLevel.warn if isWarning else LogLevel.info
        self._log.emit(level, "{text}: {error!r}", text=text, error=error)

    def _noteBug(self, text: str, error: Exception) -> None:
        self._log.failure("{text}", Failure(error), text=text)

    async def _connected(self) -> Connected:
        connection = await self._attempt()
        return Connected(connection.transport, connection.lost)

    async def _reach(self) -> GateClientProtocol:
        connection = GateClientProtocol(self._login)
        await connectProtocol(self._endpoint(), connection)
        await connection.accepted.addTimeout(HANDSHAKE_TIMEOUT, self._reactor, _timedOut)
        if self._keepAlive:
            try:
                self._keep(connection)
            except Exception:
                # An attempt that fails leaves no connection.
                connection.abort()
                raise
        return connection

    def _keep(self, connection: GateClientProtocol) -> None:
        """Notice when the other end of a connection is gone."""
        sock = getattr(connection.transport, "socket", None)
        if isinstance(sock, socket):
            keepAliveByKernel(sock, self._keepAlive)
        if (ping := self._ping) is not None:
            pulse = Pulse()
            beat = LoopingCall(lambda: self._feelPulse(pulse, connection.heard, ping))
            beat.clock = self._reactor
            beat.start(self._keepAlive, now=False)
            connection.whenLost(beat.stop)

    def _endpoint(self) -> IStreamClientEndpoint:
        loggedIn = self._login.loggedIn
        if loggedIn is not None and loggedIn.address is not None:
            return self._connectTo(*parseAddress(loggedIn.address))
        assert self._gate is not None, "a login that leads nowhere was taken"
        return self._gate


def _requestTimedOut(result: object, timeout: float) -> NoReturn:
    raise RequestTimedOut(f"no answer within {timeout:g} seconds")


def _timedOut(result: object, timeout: float) -> NoReturn:
    # Endpoints differ in what they fail with when they are cancelled.
    raise TimeoutError(string=f"no answer within {timeout:g} seconds")


if __name__ == "__main__":
    from msgserver.commandline import main

    main()
