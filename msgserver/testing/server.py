"""
A whole server in memory, with real clients, for tests of what the user has written.

::

    with MemoryServer(MyHandler()) as server:
        alice = server.client(b"alice")
        server.cutBeforeAnswer(alice)
        assert server.result(alice.request(b"buy")) == b"1 coin"

The user's handler runs behind a real gate, and the clients are real ones: sessions, services and
protocols are those that C{twistd msgserver} runs. In memory are the connections
(L{msgserver.testing.network}), and the time, which is a C{Clock}'s. Nothing moves but when the test
says so, and what happens is the same each time.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import TracebackType
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from msgserver.client import MsgClient, login
from msgserver.clientlogin import LoggedIn
from msgserver.interfaces import Account, ILoginHandler, IMsgHandler, User
from msgserver.loginprotocol import LoginFactory
from msgserver.loginservice import LoginService
from msgserver.msgprotocol import MsgFactory
from msgserver.msgservice import MsgService
from msgserver.testing.cuts import AfterBytes, AtAnswer, Cut
from msgserver.testing.network import Line, MemoryEndpoint, Network
from msgserver.testing.parts import AcceptAll, LoggedErrors
from msgserver.testing.passing import Passing
from msgserver.testing.settings import settingsFrom
from msgserver.wire.modern import ModernSuite

RETRY = 1.0
"""Seconds that a client waits between two attempts, but for the first after a broken connection."""

_AT_ONCE = 3
"""Attempts in a row that may fail before that holds for these as well."""


class MemoryServer(Passing):
    """
    A login server and a gate, with the user's handler, and what leads clients to them.

    In a C{with} statement it is stopped at the end.

    @param handler: the user's; what it needs of time, it must take from C{clock}.
    @param servername: what clients call the gate.
    @param clock: the time, for whoever has to hand one to the handler first.
    @param loginHandler: who may log in; by default everybody, by the token that is the uid.
    @param limits: those of the config file's section C{[gate]}, by their keys there, such as
        C{expired_number = 4}; and C{multilogin}, C{gate_timeout} and C{login_timeout} of
        C{[login]}. No limit of an address holds, unless C{unlimited} is given.
    @ivar handler: the handler.
    @ivar clock: the time.
    @ivar service: the gate.
    @ivar errors: the failures that anybody has logged since it was made, in their order. In
        trial, C{flushLoggedErrors} has them as well, and must be asked.
    @raise TypeError: there is no such limit.
    @raise ValueError: there is, but it cannot be that.
    """

    def __init__(
        self,
        handler: IMsgHandler,
        servername: bytes = b"sample",
        clock: Clock | None = None,
        loginHandler: ILoginHandler | None = None,
        **limits: object,
    ) -> None:
        settings = settingsFrom(limits)
        clock = clock or Clock()
        # The same each time, so that a test is.
        self._randomBytes = Random(0).randbytes
        logins = LoginService(
            loginHandler or AcceptAll(servername),
            clock,
            settings.multilogin,
            settings.gateTimeout,
        )
        self.service = MsgService(
            handler,
            servername,
            clock,
            logins,
            sessionLimits=settings.sessions,
            lifeLimits=settings.lives,
            randomBytes=self._randomBytes,
        )
        self.network = Network(
            clock,
            MsgFactory(self.service, clock, settings.gate),
            LoginFactory(logins, clock, [ModernSuite()], settings.login, self._randomBytes),
        )
        super().__init__(clock, self.network.deliver)
        self.handler: Any = handler
        self.servername = servername
        self._clients: dict[MsgClient, Line] = {}
        self._logged = LoggedErrors()
        self.errors = self._logged.failures
        self.service.startService()
        globalLogPublisher.addObserver(self._logged)

    def __enter__(self) -> MemoryServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # Clients

    def client(self, uid: bytes, *, token: bytes | None = None, **options: Any) -> MsgClient:
        """
        Make a client, and let it log in and connect.

        It comes back at once where its connection breaks. Where its login has ended, or a login
        fails, it tries again each second: see L{RETRY}.

        @param token: what the login handler expects of C{uid}; by default the uid.
        @param options: what L{msgserver.client.MsgClient} takes beside these.
        @return: connected, unless the handler takes its time, or says no.
        """
        line = self.network.newLine()

        def takeLogin() -> Deferred[LoggedIn]:
            return login(
                MemoryEndpoint(line, isGate=False),
                Account(self.servername, uid),
                uid if token is None else token,
                clock=self.clock,
                randomBytes=self._randomBytes,
            )

        def delay(failures: int) -> float:
            # Two clients of one user, who take turns, must not do so for ever in one moment.
            isBroken = client.loggedIn is not None and failures <= _AT_ONCE
            return 0.0 if isBroken else RETRY

        options = {"retryPolicy": delay, **options}
        client = MsgClient(self.clock, takeLogin, MemoryEndpoint(line, isGate=True), **options)
        self._clients[client] = line
        self.settle()
        return client

    def cut(self, client: MsgClient) -> None:
        """
        Break the client's connection now. What was not delivered is lost.

        It is back after L{settle}, or whatever else lets bytes flow.
        """
        self._lineOf(client).lose()

    def cutAfter(
        self,
        client: MsgClient,
        *,
        sentBytes: int | None = None,
        receivedBytes: int | None = None,
        answers: int | None = None,
    ) -> None:
        """
        Break the client's connection to the gate, once, when so much more has arrived.

        What counts is what arrives from now on, over as many connections as it takes, handshakes
        included. Only one such break is waited for: the last one that was asked for.

        @param sentBytes: bytes of the client's that have arrived at the gate; 0: the next does
            not.
        @param receivedBytes: bytes that have arrived at the client; 0: the next does not.
        @param answers: answers that have; 1 or more.
        @raise TypeError: not exactly one of the three is given.
        """
        given = [each for each in (sentBytes, receivedBytes, answers) if each is not None]
        if len(given) != 1:
            raise TypeError("give one of sentBytes, receivedBytes and answers")
        cut: Cut
        if answers is not None:
            cut = AtAnswer(answers, isBefore=False)
        else:
            cut = AfterBytes(sentBytes is not None, given[0])
        self._lineOf(client).cut = cut

    def cutBeforeAnswer(self, client: MsgClient, number: int = 1) -> None:
        """
        Break the client's connection when its request has run, and nothing of the answer has
        arrived: once, and at the answer of that number from now on.
        """
        self._lineOf(client).cut = AtAnswer(number, isBefore=True)

    def offline(self, client: MsgClient) -> None:
        """Break the client's connection, and let it have none until L{online}."""
        self._lineOf(client).setOnline(False)

    def online(self, client: MsgClient) -> None:
        """Let the client connect again."""
        self._lineOf(client).setOnline(True)

    # Logins

    def users(self) -> list[User]:
        """Give every login of this moment, whether connected or away."""
        return list(self.service.users())

    def kick(self, uid: bytes) -> Deferred[None]:
        """
        Kick each login of a user, as a second login does (U3).

        @return: fires when the handler has let go of it, or C{kick_timeout} is over.
        """
        return self._endEach(uid, lambda user: self.service.kick(user.uid, user.subid))

    def logout(self, uid: bytes) -> Deferred[None]:
        """
        End each login of a user, as the handler can (U2).

        @return: fires when the handler's C{loggedOut} is done.
        """
        return self._endEach(uid, self.service.end)

    def _endEach(self, uid: bytes, end: Callable[[User], Deferred[None]]) -> Deferred[None]:
        ended = DeferredList([end(user) for user in self.users() if user.uid == uid])
        self.settle()
        return ended.addCallback(lambda _: None)

    # The server

    def stop(self) -> None:
        """
        Shut down (B5): the gate lets running requests finish and ends all logins; then the
        clients end. It takes as much of the clock's time as it needs. Once is enough.

        @raise AssertionError: something has not ended within L{PATIENCE}.
        """
        if not self.network.isOpen:
            return
        self.network.isOpen = False
        try:
            self.result(self.service.stopService())
            for client in self._clients:
                self.result(client.close())
        finally:
            globalLogPublisher.removeObserver(self._logged)

    def _lineOf(self, client: MsgClient) -> Line:
        if client not in self._clients:
            raise ValueError("this client is none of this server's")
        return self._clients[client]
