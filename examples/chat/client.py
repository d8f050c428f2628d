"""
Talk in the chat, in a terminal::

    python -m examples.chat.client alice

C{/help} tells what else can be typed. The password is asked for; or it is the first line of the
file of C{--password-file}, or the environment's C{MSGSERVER_PASSWORD}.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Mapping
from getpass import getpass
from pathlib import Path
from random import random

from twisted.internet.defer import Deferred, TimeoutError, fail
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.python.failure import Failure
from zope.interface import implementer

from examples.chat.screen import Screen, isColoured
from examples.chat.talker import Talker
from examples.chat.terminal import Terminal
from examples.chat.words import Here, writeRequest
from msgserver import Account
from msgserver.client import MsgClient, login
from msgserver.clientlogin import LoggedIn
from msgserver.errors import MsgServerError, Refused
from msgserver.passwords import passwordToken

PASSWORD_VARIABLE = "MSGSERVER_PASSWORD"
"""The environment variable that may have the password."""

QUIT_TIMEOUT = 5.0
"""Seconds that quitting waits for answers."""

KEEP_ALIVE = 5.0
"""Seconds of silence after which the server is asked whether it is there; twice, and it is not."""

LONGEST_DELAY = 2.0
"""Seconds until the next attempt to connect, at most: somebody is sitting there."""

PARSER = ArgumentParser(
    prog="python -m examples.chat.client",
    description="Talk in the chat.",
    formatter_class=ArgumentDefaultsHelpFormatter,
)
PARSER.add_argument("user", help="who is talking")
PARSER.add_argument("--login", default="tcp:127.0.0.1:8001", help="endpoint of the login server")
PARSER.add_argument("--gate", default="tcp:127.0.0.1:8888", help="endpoint of the gate")
PARSER.add_argument("--server", default="chat", help="name of the gate")
PARSER.add_argument("--password-file", help="file whose first line is the password")


def main(arguments: list[str]) -> None:
    """Ask for the password, and talk."""
    options = PARSER.parse_args(arguments)
    try:
        password = findPassword(options.user, options.password_file, os.environ)
    except OSError as error:
        raise SystemExit(f"--password-file: {error}") from None
    except EOFError:
        raise SystemExit("no password was given") from None
    if not password:
        raise SystemExit("the password is empty")
    react(talk, (options, password))


def findPassword(user: str, file: str | None, environment: Mapping[str, str]) -> str:
    """
    Find the password: never on the command line, where others can see it.

    @raise OSError: the file cannot be read.
    @raise SystemExit: there is nobody to ask, and it is nowhere else.
    """
    if file is not None:
        return Path(file).read_text(encoding="utf-8", errors="surrogateescape").partition("\n")[0]
    if PASSWORD_VARIABLE in environment:
        return environment[PASSWORD_VARIABLE]
    if not sys.stdin.isatty():
        raise SystemExit(
            "there is no terminal to ask for the password: --password-file FILE or"
            f" {PASSWORD_VARIABLE} can have it"
        )
    return getpass(f"Password of {user}: ")


@implementer(IStreamClientEndpoint)
class Plug:
    """
    An endpoint whose plug can be pulled.

    @ivar isIn: whether it is in.
    @ivar failures: how often nobody was reached.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self.isIn = True
        self.failures = 0
        self._endpoint = endpoint

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """See L{IStreamClientEndpoint.connect}."""
        if self.isIn:
            return self._endpoint.connect(factory).addErrback(self._failed)
        return fail(ConnectError(string="the plug is pulled")).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        self.failures += 1
        return failure


class Logins:
    """
    Takes logins: the next one by itself, but for one thing. Whose login was ended by another of
    the same user's, in a second terminal, must not end that in turn, and so on for ever.

    @param takeLogin: logs in.
    @param gate: where the client connects. A login that is over when the gate is there all the
        time was ended by another; a server that was restarted, or a network, is away for a while.
    """

    def __init__(self, takeLogin: Callable[[], Awaitable[LoggedIn]], gate: Plug) -> None:
        self._takeLogin = takeLogin
        self._gate = gate
        self._failures = -1
        self._isElsewhere = False
        self._wanted: Deferred[None] | None = None

    def watch(self, client: MsgClient, note: Callable[[str], object]) -> None:
        """
        Watch how the client's logins end.

        @param note: told what is the matter where L{want} is waited for.
        """
        self._note = note
        client.on("away", self._away)
        client.on("loggedOut", self._loggedOut)

    async def take(self) -> LoggedIn:
        """Log in, when that is wanted."""
        if self._isElsewhere:
            self._note("your login has ended, as by another one of yours; Enter logs in again")
            self._wanted = Deferred()
            try:
                await self._wanted
            finally:
                self._wanted = None
            self._isElsewhere = False
        return await self._takeLogin()

    def want(self) -> None:
        """Log in here, wherever else one is."""
        if self._wanted is not None:
            self._wanted.callback(None)

    def _away(self) -> None:
        self._failures = self._gate.failures

    def _loggedOut(self, reason: Exception) -> None:
        self._isElsewhere = self._gate.failures == self._failures


async def talk(reactor: IReactorTime, options: Namespace, password: str) -> None:
    """Connect, and do what is typed until there is no more."""
    # As the token has them: they may be any bytes.
    uid, server = (each.encode(errors="surrogateescape") for each in (options.user, options.server))
    token = passwordToken(uid, server, password)
    try:
        loginServer = Plug(clientFromString(reactor, options.login))
        gate = Plug(clientFromString(reactor, options.gate))
    except ValueError as error:
        PARSER.error(str(error))

    def takeLogin() -> Deferred[LoggedIn]:
        return login(loginServer, Account(server, uid), token, clock=reactor)

    logins = Logins(takeLogin, gate)
    client = MsgClient(
        reactor,
        logins.take,
        gate,
        retryPolicy=lambda failures: min(0.2 * failures, LONGEST_DELAY) + random() / 5,
        keepAlive=KEEP_ALIVE,
        ping=writeRequest(Here()),
    )
    try:
        await client.whenConnected(failAfterFailures=1)
        await _converse(reactor, client, logins, options.user, [loginServer, gate])
    except Refused as refusal:
        raise SystemExit(f"{options.user} was refused: {refusal}") from None
    except (MsgServerError, ConnectError, ConnectionClosed, OSError) as error:
        raise SystemExit(f"no connection: {error}") from None
    finally:
        await client.close()


async def _converse(
    reactor: IReactorTime, client: MsgClient, logins: Logins, user: str, plugs: list[Plug]
) -> None:
    def setPlugged(isIn: bool) -> None:
        for plug in plugs:
            plug.isIn = isIn
        if not isIn:
            client.dropConnection()
        terminal.note("the plug is in" if isIn else "the plug is pulled")

    screen = Screen(isColoured(sys.stdout.isatty(), os.environ))
    terminal = Terminal(
        screen,
        {
            "/cut": client.dropConnection,
            "/offline": lambda: setPlugged(False),
            "/online": lambda: setPlugged(True),
        },
        logins.want,
    )
    logins.watch(client, terminal.note)
    client.on("away", lambda: terminal.note("no connection; what is said now waits"))
    client.on("back", lambda: terminal.note("connected again"))
    client.on("connected", lambda: terminal.note("connected, under a new login"))
    client.on("ended", terminal.end)
    talker = Talker(client, lambda event: terminal.show(screen.happened(event)), terminal.complain)
    terminal.begin(talker)
    StandardIO(terminal)
    terminal.note(f"connected as {user}; /help tells what can be typed")
    await terminal.ended
    try:
        await talker.whenQuiet().addTimeout(QUIT_TIMEOUT, reactor)
    except TimeoutError:
        terminal.complain("quitting, with something unanswered")
    await terminal.close()


if __name__ == "__main__":
    main(sys.argv[1:])
