"""
Play the game::

    python -m examples.game.client alice

Commands are read from a terminal, or from a pipe, one after another. C{/cut} cuts the connection,
C{/cut buy rope} does so in the middle of a purchase; C{/quit} ends it. The password is asked for;
or it is in the environment's C{GAME_PASSWORD}, or in a file.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Mapping
from getpass import getpass
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import IReactorTime, ITransport
from twisted.internet.stdio import StandardIO
from twisted.internet.task import deferLater, react

from examples.game import orders
from examples.game.terminal import GREEN, GREY, RED, Terminal
from msgserver.client import MsgClient, login
from msgserver.clientlogin import LoggedIn
from msgserver.errors import MsgServerError, Refused, RequestFailed
from msgserver.identity import parseIdentity
from msgserver.interfaces import Account
from msgserver.passwords import passwordToken

PARSER = ArgumentParser(
    prog="python -m examples.game.client",
    description="Play the game: look, go PLACE, dig, shop, buy ITEM, give WHOM AMOUNT, inventory;"
    " /cut, /cut COMMAND, /quit.",
    epilog="The password is asked for, or taken from the environment's GAME_PASSWORD.",
    formatter_class=ArgumentDefaultsHelpFormatter,
)
PARSER.add_argument("user", help="who is playing")
PARSER.add_argument("--login", default="tcp:127.0.0.1:8001", help="endpoint of the login server")
PARSER.add_argument("--gate", default="tcp:127.0.0.1:8888", help="endpoint of the gate")
PARSER.add_argument("--server", default="sample", help="name of the gate")
PARSER.add_argument("--password-file", type=Path, help="a file whose first line is the password")
PARSER.add_argument(
    "--identity", help="what the login server must prove to be (msgserver-ctl keygen)"
)


class Game:
    """
    One player at a terminal.

    @param takeLogin: logs in.
    @param makeClient: makes the client, which is given what logs in.
    """

    def __init__(
        self,
        terminal: Terminal,
        clock: IReactorTime,
        takeLogin: Callable[[], Awaitable[LoggedIn]],
        makeClient: Callable[[Callable[[], Awaitable[LoggedIn]]], MsgClient],
    ) -> None:
        self._terminal = terminal
        self._clock = clock
        self._takeLogin = takeLogin
        self._wanted: Deferred[None] | None = None
        self._hasBeenIn = False
        self.client = makeClient(self._logIn)
        self.client.on("connected", self._loggedIn)
        self.client.on("away", lambda: self._note("the connection is lost, the login is not"))
        self.client.on("back", lambda: self._note("connected again, under the same login"))
        self.client.on("loggedOut", self._loggedOut)

    async def play(self) -> None:
        """Do what is typed until its end; what is typed at a terminal, without waiting."""
        while (line := await self._terminal.lines.get()) not in (None, "/quit"):
            assert line is not None
            obeyed = Deferred.fromCoroutine(self.obey(line))
            if not self._terminal.isTerminal:
                await obeyed

    async def obey(self, line: str) -> None:
        """Do one thing, and show what comes of it."""
        verb, *words = line.split() or [""]
        if verb == "/cut":
            await self._cut(words)
        elif verb.startswith("/"):
            self._terminal.say("/cut, /cut COMMAND, /quit", RED)
        elif verb:
            await self._ask(orders.request(verb, *words))

    async def _cut(self, words: list[str]) -> None:
        answer = Deferred.fromCoroutine(self.obey(" ".join(words)))
        # In the first turn what was asked is sent, and only then may it be cut.
        for _ in range(2):
            await deferLater(self._clock, 0)
        self.client.dropConnection()
        await answer

    async def _ask(self, content: bytes) -> None:
        answer = Deferred.fromCoroutine(
            orders.answered(
                self._request,
                content,
                self._clock,
                lambda: self._note("asking again, with the same id"),
            )
        )
        try:
            self._terminal.say((await answer).decode("utf-8", "replace"), GREEN)
        except RequestFailed as refusal:
            reason = refusal.content.decode("utf-8", "replace")
            self._terminal.say(f"no: {reason or 'the game has failed'}", RED)
        except MsgServerError as error:
            self._terminal.say(f"no answer: {error}", RED)

    def _request(self, content: bytes) -> Deferred[bytes]:
        answer = self.client.request(content)
        # Also where it is asked again: the login may have ended meanwhile.
        if self._wanted is not None:
            self._wanted.callback(None)
        return answer

    async def _logIn(self) -> LoggedIn:
        # Who was kicked by a login of theirs elsewhere must not kick that one in turn, and so on
        # for ever: there is a new login when it is needed.
        if self._hasBeenIn and not self.client.waiting:
            self._wanted = Deferred()
            try:
                await self._wanted
            finally:
                self._wanted = None
        return await self._takeLogin()

    def _loggedIn(self) -> None:
        self._hasBeenIn = True
        self._note("logged in")

    def _loggedOut(self, reason: Exception) -> None:
        self._note("the login has ended: there is another of yours, or the server was stopped")
        if not self.client.waiting:
            self._note("the next command logs in again")

    def _note(self, text: str) -> None:
        self._terminal.say(f"* {text}", GREY)


def readPassword(options: Namespace, environment: Mapping[str, str], isTerminal: bool) -> bytes:
    """
    Find the password; never in the arguments, which everybody on the machine can see.

    @raise ValueError: there is none.
    """
    if options.password_file is not None:
        try:
            lines = options.password_file.read_bytes().splitlines()
        except OSError as error:
            raise ValueError(f"{options.password_file}: {error.strerror}") from None
        password = lines[0] if lines else b""
    elif "GAME_PASSWORD" in environment:
        password = environment["GAME_PASSWORD"].encode(errors="surrogateescape")
    elif isTerminal:
        password = getpass(f"Password of {options.user}: ").encode()
    else:
        raise ValueError("no password: set GAME_PASSWORD, or give --password-file")
    if not password:
        raise ValueError("the password is empty")
    return password


async def main(reactor: IReactorTime, *arguments: str) -> None:
    """Play, and say plainly where there is no getting in."""
    options = PARSER.parse_args(arguments)
    isTerminal = sys.stdin.isatty()
    wantsColours = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    try:
        password = readPassword(options, os.environ, isTerminal)
        takeLogin, makeClient = _ways(reactor, options, password)
    except ValueError as error:
        PARSER.error(str(error))
    terminal = Terminal(isTerminal, sys.stdout.isatty() and wantsColours)
    stdio: ITransport = StandardIO(terminal, reactor=reactor)
    game = Game(terminal, reactor, takeLogin, makeClient)
    try:
        await game.client.whenConnected(failAfterFailures=1)
        await game.play()
    except Refused as refusal:
        raise SystemExit(f"{options.user} was refused: {refusal}") from None
    except (MsgServerError, ConnectError, ConnectionClosed, OSError) as error:
        raise SystemExit(f"no connection: {error}") from None
    finally:
        await game.client.close()
        stdio.loseConnection()
        await terminal.closed


def _ways(
    reactor: IReactorTime, options: Namespace, password: bytes
) -> tuple[
    Callable[[], Awaitable[LoggedIn]],
    Callable[[Callable[[], Awaitable[LoggedIn]]], MsgClient],
]:
    """
    Tell how to log in and how to make a client.

    @raise ValueError: an option is no good.
    """
    # As the token has them: they may be any bytes.
    uid, server = (each.encode(errors="surrogateescape") for each in (options.user, options.server))
    token = passwordToken(uid, server, password)
    loginServer = clientFromString(reactor, options.login)
    gate = clientFromString(reactor, options.gate)
    if options.identity is not None:
        parseIdentity(options.identity)

    def takeLogin() -> Awaitable[LoggedIn]:
        account = Account(server, uid)
        return login(loginServer, account, token, serverIdentity=options.identity, clock=reactor)

    return takeLogin, lambda logIn: MsgClient(reactor, logIn, gate)


if __name__ == "__main__":
    react(main, sys.argv[1:])
