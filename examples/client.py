"""
Ask a gate something, lose the connection in the middle, and get the answer all the same::

    python examples/client.py

The other options say where the servers are, and who is asking; their defaults are those of
C{make run}. Where there is no getting in, one line says why, and the exit status is 1.
"""

from __future__ import annotations

import sys
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser
from collections.abc import Callable

from twisted.internet.endpoints import clientFromString
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import deferLater, react

from msgserver.client import MsgClient, login
from msgserver.clientlogin import LoggedIn
from msgserver.errors import MsgServerError, Refused
from msgserver.identity import parseIdentity
from msgserver.interfaces import Account
from msgserver.passwords import passwordToken

SLOW = b"slow:1000:late"
"""Has the server of C{make run} answer C{late}, after 1000 milliseconds."""

PARSER = ArgumentParser(
    description="Lose a connection in the middle of a request, and get the answer all the same.",
    formatter_class=ArgumentDefaultsHelpFormatter,
)
PARSER.add_argument("--login", default="tcp:127.0.0.1:8001", help="endpoint of the login server")
PARSER.add_argument("--gate", default="tcp:127.0.0.1:8888", help="endpoint of the gate")
PARSER.add_argument("--user", default="alice", help="who is asking")
PARSER.add_argument("--password", default="password", help="the user's password")
PARSER.add_argument("--server", default="sample", help="name of the gate")
PARSER.add_argument(
    "--identity", help="what the login server must prove to be (msgserver-ctl keygen)"
)


async def main(reactor: IReactorTime, *arguments: str) -> None:
    """Make a client, and say plainly where that fails."""
    options = PARSER.parse_args(arguments)
    uid, server, password = (
        text.encode() for text in (options.user, options.server, options.password)
    )
    token = passwordToken(uid, server, password)
    try:
        loginServer = clientFromString(reactor, options.login)
        gate = clientFromString(reactor, options.gate)
        if options.identity is not None:
            parseIdentity(options.identity)
    except ValueError as error:
        PARSER.error(str(error))
    started = reactor.seconds()

    def say(text: str) -> None:
        print(f"{reactor.seconds() - started:.2f} s  {text}", flush=True)

    async def takeLogin() -> LoggedIn:
        account = Account(server, uid)
        loggedIn = await login(
            loginServer, account, token, serverIdentity=options.identity, clock=reactor
        )
        say(f"logged in as {options.user}, login {loggedIn.user.subid.decode('latin-1')}")
        return loggedIn

    def connectTo(host: str, port: int) -> IStreamClientEndpoint:
        """Connect where a login says, with TLS if the gate's endpoint has it."""
        kind, _, _, *rest = options.gate.split(":")
        endpoint = clientFromString(reactor, ":".join([kind, host, str(port), *rest]))
        return IStreamClientEndpoint(endpoint)

    client = MsgClient(reactor, takeLogin, gate, connectTo=connectTo)
    try:
        await ask(client, reactor, say)
    except Refused as refusal:
        raise SystemExit(f"{options.user} was refused: {refusal}") from None
    except (MsgServerError, ConnectError, ConnectionClosed, OSError) as error:
        raise SystemExit(f"no connection: {error}") from None
    finally:
        await client.close()


async def ask(client: MsgClient, clock: IReactorTime, say: Callable[[str], None]) -> None:
    """Ask something quick; then something slow, and drop the connection meanwhile."""
    # Left to itself the client would try again, and again.
    await client.whenConnected(failAfterFailures=1)
    say("connected to the gate")
    say(f"hello was answered: {(await client.request(b'hello')).decode()}")
    answer = client.request(SLOW)
    say(f"asked {SLOW.decode()}")
    await deferLater(clock, 0.5)
    client.dropConnection()
    say(f"connection dropped while {SLOW.decode()} was running")
    # The loss is noticed in the reactor's next turn.
    await deferLater(clock, 0.01)
    await client.whenConnected()
    say("connected again")
    say(f"{SLOW.decode()} was answered: {(await answer).decode()}")


if __name__ == "__main__":
    react(main, sys.argv[1:])
