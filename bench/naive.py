"""
A gate as one would write it at first: C{python -m bench.naive HANDLER LOGINS}.

It keeps the same promises on the wire as ours in its default config (H1, H4, S1 to S6, S8, S9;
the last responses of each login, S7), and is written from the parts that are at hand: one
callback for each packet, one Deferred for each request, one entry of a dict and one write for
each answer. It has none of the bounds (B), and nothing ends its logins.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, cast

from attrs import Factory as make
from attrs import define
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.logger import Logger
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from bench.echoes import BACKLOG, sayPort
from bench.options import number
from msgserver.errors import IndexExpired, Refused, RequestFailed, Unauthorized, UserNotFound
from msgserver.interfaces import IMsgGate, IMsgHandler, User
from msgserver.loading import findHandler
from msgserver.wire.framing import SESSION_SIZE
from msgserver.wire.gate import ANSWERED, FAILED, isProvedBy
from msgserver.wire.naming import Handshake, parseHandshake

KEPT = 128
"""How many responses of a login are kept (S7)."""

_OK = b"200 OK"


@define(eq=False)
class _Asked:
    """A request: who asked last, and the response, once it is there."""

    connection: NaiveProtocol
    response: bytes | None = None


@define(eq=False)
class _Login:
    user: User
    secret: bytes
    index: int = 0
    connection: NaiveProtocol | None = None
    running: dict[bytes, _Asked] = make(dict)
    kept: OrderedDict[bytes, _Asked] = make(OrderedDict)


class NaiveProtocol(Int16StringReceiver):
    """One connection."""

    factory: NaiveGate
    transport: ITCPTransport
    log = Logger()
    login: _Login | None = None

    def connectionMade(self) -> None:
        """Send answers at once."""
        self.transport.setTcpNoDelay(True)

    def stringReceived(self, string: bytes) -> None:
        """Take the handshake, or a request."""
        if self.login is not None:
            self._requestReceived(self.login, string)
            return
        try:
            self.login = self.factory.connect(parseHandshake(string), self)
        except Refused as refusal:
            self._send(refusal.status.value)
            self._close()
        else:
            self._send(_OK)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of the login."""
        if self.login is not None and self.login.connection is self:
            self.login.connection = None
            maybeDeferred(self.factory.handler.disconnected, self.login.user)

    def abort(self) -> None:
        """Close at once (H4)."""
        self.transport.abortConnection()

    def _requestReceived(self, login: _Login, string: bytes) -> None:
        if login.connection is not self:
            return
        if len(string) < SESSION_SIZE:
            self._close()  # S3
            return
        session = string[-SESSION_SIZE:]
        asked = login.running.get(session) or login.kept.get(session)
        if asked is not None and asked.connection is not self:
            asked.connection = self  # S6
            if asked.response is not None:
                self._send(asked.response)
            return
        login.kept.pop(session, None)  # S5
        asked = login.running[session] = _Asked(self)
        answer = maybeDeferred(
            self.factory.handler.requestReceived, login.user, string[:-SESSION_SIZE]
        )
        arguments = (login, session, asked)
        answer.addCallbacks(self._answer, self._fail, arguments, errbackArgs=arguments)
        answer.addErrback(lambda failure: self.log.failure("an answer failed", failure))

    def _answer(self, content: bytes, login: _Login, session: bytes, asked: _Asked) -> None:
        self._respond(content + ANSWERED + session, login, session, asked)

    def _fail(self, failure: Failure, login: _Login, session: bytes, asked: _Asked) -> None:
        content = b""
        if isinstance(failure.value, RequestFailed):
            content = failure.value.content
        else:
            self.log.failure("a request failed", failure)
        self._respond(content + FAILED + session, login, session, asked)

    def _respond(self, response: bytes, login: _Login, session: bytes, asked: _Asked) -> None:
        if login.running.get(session) is not asked:
            return  # S5: a later request's answer is sent.
        del login.running[session]
        asked.response = response
        login.kept[session] = asked
        if len(login.kept) > KEPT:
            login.kept.popitem(last=False)
        if login.connection is not None and login.connection is asked.connection:
            login.connection._send(response)

    def _send(self, content: bytes) -> None:
        self.sendString(content)  # type: ignore[no-untyped-call]

    def _close(self) -> None:
        self.transport.loseConnection()


class NaiveGate(Factory[NaiveProtocol]):
    """
    The gate.

    @param handler: its logins are those that it admits in C{gateOpened}, and there are no more.
    """

    protocol = NaiveProtocol
    noisy = False

    def __init__(self, handler: IMsgHandler) -> None:
        self.handler = handler
        self._logins: dict[User, _Login] = {}
        handler.gateOpened(cast(IMsgGate, self))

    def login(self, user: User, secret: bytes) -> None:
        """See L{IMsgGate.login}; it is all of a gate that the handlers of the benchmark use."""
        self._logins[user] = _Login(user, secret)

    def connect(self, handshake: Handshake, connection: NaiveProtocol) -> _Login:
        """
        Make the connection its login's only one.

        @raise Refused: the handshake is none of a login (H1).
        """
        login = self._logins.get(handshake.user)
        if login is None:
            raise UserNotFound("no such login")
        if not isProvedBy(handshake, login.secret):
            raise Unauthorized("a mac that does not fit")
        if handshake.index <= login.index:
            raise IndexExpired("an index that was used before")
        login.index = handshake.index
        earlier, login.connection = login.connection, connection
        if earlier is not None:
            earlier.abort()
        return login


class _UntilEnd(Protocol):
    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._reactor.stop()


def main(arguments: Sequence[str]) -> None:
    """Run the gate until the end of standard input."""
    about = "Run a naive gate on a port of 127.0.0.1, until the end of standard input."
    parser = ArgumentParser("python -m bench.naive", description=about)
    parser.add_argument("handler", help="such as bench.handlers:Immediate")
    parser.add_argument(
        "logins", type=number(1, 100_000), help="how many logins the handler is to make"
    )
    options = parser.parse_args(arguments)
    from twisted.internet import reactor

    core = cast(Any, reactor)
    try:
        factory = findHandler(options.handler)
    except ValueError as error:
        parser.error(str(error))
    handler = cast(IMsgHandler, factory(logins=options.logins))
    port = core.listenTCP(0, NaiveGate(handler), BACKLOG, "127.0.0.1")
    StandardIO(_UntilEnd(core))
    sayPort(port.getHost().port)
    core.run()


if __name__ == "__main__":
    main(sys.argv[1:])
