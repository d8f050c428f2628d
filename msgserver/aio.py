"""
The asyncio client: L{login} to a login server, and L{MsgClient} to ask a gate. No Twisted.

::

    def takeLogin():
        return login("example.org:8001", Account(b"sample", b"alice"), token)

    async with MsgClient(takeLogin, "example.org:8888") as client:
        answer = await client.request(b"hello")

What is said on a connection, L{msgserver.aioprotocols} knows, and what is asked again on the
next, L{msgserver.clientlogin}; L{msgserver.clientcore} says what each attempt does, and when
there is a login. Here is what of that is asyncio's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import ssl as tls
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, cast

from msgserver.aioprotocols import GateConversation, LoginConversation, Place, parsePlace
from msgserver.aiowaiting import Answer, WaitingRoom, within
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
from msgserver.errors import MsgServerError
from msgserver.identity import clientSuite
from msgserver.keepalive import keepAlive as keepAliveByKernel
from msgserver.wire.login import LoginClient, RandomBytes, Suite
from msgserver.wire.naming import Account, User

CONNECT_TIMEOUT = 30.0
"""Seconds that a connection to a gate may take, TLS and every address of a name included."""

_log = logging.getLogger("msgserver.aio")


async def login(
    address: str,
    account: Account,
    token: bytes,
    *,
    ssl: tls.SSLContext | None = None,
    suite: Suite | None = None,
    serverIdentity: str | bytes | None = None,
    timeout: float | None = LOGIN_TIMEOUT,
    randomBytes: RandomBytes = os.urandom,
) -> LoggedIn:
    """
    Log in. Cancelling it closes the connection; none is left in any case.

    @param address: of the login server: C{host:port}, C{[IPv6 address]:port} or C{unix:/path}.
    @param account: whom the token proves; the server does not repeat it.
    @param token: what the login handler over there expects, such as a password; never logged.
    @param ssl: for TLS, by the name of the address's host; None for none.
    @param suite: the algorithms, which the server must take; by default the modern suite (L3),
        with nothing that tells which server it is.
    @param serverIdentity: the public part of the server's identity key, as C{msgserver-ctl
        keygen} prints it: 44 characters of base64. A server that does not prove that it has
        the key is told nothing: not the token, and not who is asking. The suite is the modern
        one then.
    @param timeout: seconds until the login is given up; None for never.
    @raise Refused: the server says no: L{msgserver.errors.Unauthorized},
        L{msgserver.errors.Forbidden} or L{msgserver.errors.NotAcceptable}.
    @raise ProtocolError: it is no login server, does not take the suite, or is not the server
        that it should be.
    @raise TimeoutError: it took too long.
    @raise OSError: there was no connection, or it was lost.
    @raise ValueError: C{address} is none or cannot be encrypted, C{serverIdentity} is none, or a
        suite is given as well.
    """
    place = parsePlace(address, isEncrypted=ssl is not None)
    wire = LoginClient(clientSuite(suite, serverIdentity), token, randomBytes)
    conversation = LoginConversation(wire)
    try:
        async with within(timeout, "login"):
            await conversation.connect(place, ssl)
            admitted = await conversation.verdict()
    finally:
        await conversation.end()
    if admitted.address is not None:
        parseAddress(admitted.address)
    user = User(account.uid, admitted.subid, account.server)
    return LoggedIn(user, admitted.secret, admitted.address)


def _retryPolicy(failures: int) -> float:
    return retryDelay(failures, random.random)


class MsgClient(ClientCore[asyncio.Future[bytes], GateConversation]):
    """
    Ask a gate, over as many connections and logins as it takes.

    To be made where an event loop runs. It connects from the next turn of that on, and again
    whenever the connection is lost, until L{close}; C{async with} closes it at the end. It ends by
    itself where going on is of no use: where a login is refused with
    L{msgserver.errors.Unauthorized}, or a handshake with L{msgserver.errors.BadRequest}; and when
    the loop cancels all tasks, as C{asyncio.run} does at its end.

    A login outlives broken connections, but its gate may have died, and the login server know
    another: where attempt after attempt has not reached the address that the login gave (L5), a
    new login is taken, as with L{msgserver.client.MsgClient}.

    @param takeLogin: logs in, as L{login} does; called whenever there is no login, and when
        the gate is out of reach; at most once in an attempt.
    @param gate: where to connect when the login gives no address: C{host:port}, C{[IPv6
        address]:port} or C{unix:/path}.
    @param ssl: for TLS with the gate, by the name of its address's host, whether that is C{gate}
        or what a login says; None for none.
    @param retryPolicy: the seconds to wait when so many attempts in a row have failed.
    @param maxUnanswered: how many requests are sent and unanswered at a time; no more than
        half of the gate's C{expired_number}, and fewer where twice as many responses are
        larger than its C{cache_bytes}: else a request may run again (S7).
    @param loginAfter: how many attempts in a row must not have reached the gate before a new
        login is taken, where logins give addresses. 1 or more.
    @param maxWaiting: how many requests may wait to be sent, while there is no connection or too
        much is unanswered; one more fails with L{msgserver.errors.TooManyWaiting}.
    @param requestTimeout: the seconds of a request that is given none of its own; None for any
        number.
    @param keepAlive: the seconds without a sign of life after which the kernel probes the other
        end; see L{msgserver.keepalive}. 0 for never.
    @param ping: a request that the application answers at once, asked when nothing has been
        received for C{keepAlive} seconds; where nothing comes for as long again, the connection
        is cut. None for no such request. While C{maxUnanswered} requests are unanswered it is not
        asked.
    @raise ValueError: C{gate} is no address, or one that cannot be encrypted; a limit is out of its
        range; or C{ping} is too long.
    @raise RuntimeError: no event loop is running.
    """

    def __init__(
        self,
        takeLogin: Callable[[], Awaitable[LoggedIn]],
        gate: str | None = None,
        *,
        ssl: tls.SSLContext | None = None,
        retryPolicy: Callable[[int], float] = _retryPolicy,
        maxUnanswered: int = MAX_UNANSWERED,
        loginAfter: int = 3,
        maxWaiting: int = MAX_WAITING,
        requestTimeout: float | None = None,
        keepAlive: float = KEEP_ALIVE,
        ping: bytes | None = None,
    ) -> None:
        super().__init__(
            lambda: self._logInBy(takeLogin),
            gate is not None,
            maxUnanswered,
            maxWaiting,
            loginAfter,
            keepAlive,
            ping,
        )
        self._loop = asyncio.get_running_loop()
        self._gate = None if gate is None else parsePlace(gate, isEncrypted=ssl is not None)
        self._ssl = ssl
        self._retryPolicy = retryPolicy
        self._requestTimeout = requestTimeout
        self._waitingRoom = WaitingRoom()
        self._task = self._loop.create_task(self._run(), name="msgserver.aio.MsgClient")
        self._task.add_done_callback(self._stopped)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def request(self, content: bytes, timeout: float | None = None) -> asyncio.Future[bytes]:
        """
        Ask; now, or when there is a connection. It need not be awaited at once.

        @param content: 0 to 65,531 bytes.
        @param timeout: the seconds until L{msgserver.errors.RequestTimedOut}; None for what the
            client was made with.
        @return: the answer. Fails with L{msgserver.errors.RequestFailed} where the handler
            failed; with L{msgserver.errors.OutcomeUnknown} where the request had been sent when
            its login or the client ended; with L{msgserver.errors.TooManyWaiting}; and with what
            ended the client where it had not been sent, such as
            L{msgserver.errors.ClientClosed} after L{close}. Cancelling it does not take back
            what has been sent.
        @raise TypeError: the content is no bytes.
        @raise ValueError: the content is too long.
        """
        content = contentOf(content)
        try:
            answer = self._begin(content)
        except Exception as error:
            failed: asyncio.Future[bytes] = self._loop.create_future()
            # Its traceback leads to this frame, and from there back to the future.
            failed.set_exception(error.with_traceback(None))
            return failed
        if timeout is None:
            timeout = self._requestTimeout
        if timeout is not None:
            answer.failAfter(timeout)
        return answer

    def whenConnected(self, failAfterFailures: int | None = None) -> asyncio.Future[None]:
        """
        Wait for a connection that the gate has accepted.

        @param failAfterFailures: how many attempts in a row may fail before this does, with
            the last one's failure; None for any number.
        @return: done at once where there is one. Fails with what ended the client.
        """
        connected: asyncio.Future[None] = self._loop.create_future()
        if self._ended is not None:
            connected.set_exception(self._ended)
        elif self.isConnected:
            connected.set_result(None)
        else:
            self._waitingRoom.add(connected, failAfterFailures)
        return connected

    def close(self) -> asyncio.Future[None]:
        """
        End the client, now. Unanswered requests fail.

        @return: done when no task, no timer and no connection is left.
        """
        self._close()
        closed: asyncio.Future[None] = self._loop.create_future()

        def tell(task: asyncio.Task[None]) -> None:
            if not closed.done():
                closed.set_result(None)

        self._task.add_done_callback(tell)
        return closed

    def _begin(self, content: bytes, isPoll: bool = False) -> Answer:
        answer = Answer(loop=self._loop)
        request = self._ask(content, answer, isPoll)
        answer.letGo = lambda: self._login.cancel(request)
        return answer

    def _poll(self, content: bytes) -> asyncio.Future[bytes]:
        return self._begin(content, isPoll=True)

    def _fail(self, waiter: asyncio.Future[bytes], error: Exception) -> None:
        if not waiter.done():
            waiter.set_exception(error)

    def _note(self, isWarning: bool, text: str, error: Exception) -> None:
        # What is neither the network's fault nor the server's is a mistake in the program, such as
        # an address that is none: it will not mend.
        isMistake = not isinstance(error, (OSError, MsgServerError))
        _log.log(logging.WARNING if isWarning or isMistake else logging.INFO, "%s: %r", text, error)

    def _noteBug(self, text: str, error: Exception) -> None:
        _log.error("%s", text, exc_info=error)

    def _stop(self) -> None:
        # It hears of it when it waits next; also where it is the task that has called this.
        self._task.cancel()

    async def _run(self) -> None:
        """Make attempts until the client has ended."""
        # The caller's code is not called where it makes the client, even if tasks are eager.
        await asyncio.sleep(0)
        failures = await self._tryOnce(0)
        while self._ended is None:
            await asyncio.sleep(self._retryPolicy(failures))
            failures = await self._tryOnce(failures)

    async def _tryOnce(self, failures: int) -> int:
        """
        Make an attempt, and have what comes of it until the connection is lost.

        @param failures: how many attempts in a row have failed.
        @return: how many have now; 1 after the loss of a connection.
        """
        try:
            connection = await self._attempt()
        except Exception as error:
            self._waitingRoom.attemptFailed(error)
            return failures + 1
        try:
            self._waitingRoom.tell()
            await self._watch(connection)
        finally:
            await connection.end()
        return 1

    async def _watch(self, connection: GateConversation) -> None:
        """Wait until a connection is lost, and see to it that it is alive."""
        if self._ping is None or not self._keepAlive:
            await connection.lost.wait()
        pulse = Pulse()
        while not connection.lost.is_set():
            try:
                async with asyncio.timeout(self._keepAlive):
                    await connection.lost.wait()
            except TimeoutError:
                assert self._ping is not None
                self._feelPulse(pulse, connection.heard, self._ping)

    def _stopped(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self._noteBug("the client ends", error)
            self._end(error)
        self._close()
        self._waitingRoom.tell(self._ended)

    async def _logInBy(self, takeLogin: Callable[[], Awaitable[LoggedIn]]) -> LoggedIn:
        try:
            return await takeLogin()
        except asyncio.CancelledError:
            if self._task.cancelling():
                raise
            # Somebody else's task was cancelled, and this one goes on.
            raise ConnectionAbortedError("the login was cancelled") from None

    async def _reach(self) -> GateConversation:
        connection = GateConversation(self._login)
        try:
            async with within(CONNECT_TIMEOUT, "connection"):
                await connection.connect(self._place(), self._ssl)
            async with within(HANDSHAKE_TIMEOUT, "answer to the handshake"):
                await connection.verdict()
            if self._keepAlive:
                # No socket, but as good as one for this.
                sock = cast(socket.socket, connection.transport.get_extra_info("socket"))
                keepAliveByKernel(sock, self._keepAlive)
        except BaseException:
            await connection.end()
            raise
        return connection

    def _place(self) -> Place:
        loggedIn = self._login.loggedIn
        if loggedIn is not None and loggedIn.address is not None:
            return parseAddress(loggedIn.address)
        assert self._gate is not None, "a login that leads nowhere was taken"
        return self._gate
