"""
A login's surroundings: an application that answers by content, and the bytes of the wire.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from msgserver.current import CurrentRequest, currentRequest
from msgserver.errors import RequestFailed
from msgserver.sessions import Connection, Login, Logins, Running, SessionLimits
from msgserver.wire.gate import ANSWERED, FAILED, responsePacket
from msgserver.wire.gate import requestPacket as ask
from msgserver.wire.naming import User

__all__ = [
    "ALICE",
    "FOUR",
    "ONE",
    "SECRET",
    "THREE",
    "TWO",
    "FakeApplication",
    "LoginTestCase",
    "answer",
    "ask",
    "failure",
    "heldBy",
    "holds",
    "numbered",
]

ALICE = User(uid=b"alice", subid=b"1", server=b"sample")
SECRET = bytes.fromhex("b9388be0af1ec90a")
ONE, TWO, THREE, FOUR = (bytes([0, 0, 0, number]) for number in (1, 2, 3, 4))

MAX_PIECE = 3 * 65537
"""The most bytes that one call may give: two of the longest responses, and one begun behind."""


def answer(session: bytes, content: bytes) -> bytes:
    """Write the response to a request that was answered."""
    return responsePacket(session, ANSWERED, content)


def failure(session: bytes, content: bytes = b"") -> bytes:
    """Write the response to a request that failed."""
    return responsePacket(session, FAILED, content)


def numbered(number: int) -> bytes:
    """Give the session that a client which counts has after so many requests."""
    return (number % 2**32).to_bytes(4, "big")


def heldBy(thing: object) -> Iterator[bytes]:
    """Give every bytes object that is kept alive by C{thing}."""
    seen: set[int] = set()
    found = [thing]
    while found:
        one = found.pop()
        if id(one) not in seen and not isinstance(one, (type, FunctionType, ModuleType)):
            seen.add(id(one))
            found.extend(gc.get_referents(one))
            if isinstance(one, bytes):
                yield one


def holds(thing: object, needle: bytes) -> bool:
    """Say whether C{thing} keeps bytes alive that contain C{needle}."""
    return any(needle in each for each in heldBy(thing))


class FakeApplication:
    """
    Answers requests by their content, and notes everything that it is asked.

    - C{later ...}: runs until the test answers it
    - C{soon N}: is no bytes, but answered before C{answerLater} returns; N zeros
    - C{zeros N}: N zeros
    - C{raise ...}: raises
    - C{fail N}: raises L{RequestFailed} with N zeros
    - C{call}: does what the test has put into C{calling}, and answers with what that gives
    - anything else: C{re:} and the content

    @ivar asked: the content of every request, in the order begun.
    @ivar current: what L{currentRequest} said in each.
    @ivar running: what C{answerLater} was given and the test may answer, by content.
    @ivar results: what the handler gave that is no answer by itself.
    @ivar errors: what the handler raised.
    @ivar ready: the connections that were said to have answers ready.
    @ivar forgot: the logins that were asked for what they no longer know.
    """

    def __init__(self) -> None:
        self.logins: Logins | None = None
        self.calling: Callable[[], Any] = bytes
        self.asked: list[bytes] = []
        self.current: list[CurrentRequest] = []
        self.running: dict[bytes, Running] = {}
        self.results: list[Any] = []
        self.errors: list[BaseException] = []
        self.ready: list[Connection] = []
        self.forgot: list[Login] = []

    def requestReceived(self, user: User, content: bytes) -> Any:
        """Answer a request."""
        self.asked.append(content)
        self.current.append(currentRequest())
        verb, _, argument = content.partition(b" ")
        if verb == b"later":
            return self
        if verb == b"soon":
            return int(argument)
        if verb == b"zeros":
            return bytes(int(argument))
        if verb == b"raise":
            raise ZeroDivisionError(argument)
        if verb == b"fail":
            raise RequestFailed(bytes(int(argument)))
        if verb == b"call":
            return self.calling()
        return b"re:" + content

    def begin(self, result: Any) -> Any:
        """Nothing here can go a part of its way."""
        return result

    def requestFailed(self, user: User, error: BaseException) -> bytes:
        """Give the content of a flag-0 response."""
        self.errors.append(error)
        return error.content if isinstance(error, RequestFailed) else b""

    def answerLater(self, running: Running, result: Any) -> None:
        """Take what is no answer by itself."""
        if result is self:
            self.running[self.asked[-1]] = running
        elif isinstance(result, int):
            running.answer(bytes(result))
        else:
            self.results.append(result)
            running.fail(b"")

    def flushLater(self, connection: Connection) -> None:
        """Take note that answers came by themselves."""
        self.ready.append(connection)

    def forgotten(self, login: Login) -> None:
        """End the login, as a gate does."""
        self.forgot.append(login)
        if self.logins is not None:
            self.logins.end(login.user)


class LoginTestCase(SynchronousTestCase):
    """
    A test case with one login.

    @cvar limits: what the login may hold.
    """

    limits = SessionLimits()

    def setUp(self) -> None:
        """Admit the login."""
        self.application = FakeApplication()
        self.logins = Logins(self.limits, self.application)
        self.application.logins = self.logins
        self.login = self.logins.admit(ALICE, SECRET)
        self.index = 0

    def connect(self) -> Connection:
        """Make the login's next connection."""
        self.index += 1
        return self.login.connect(self.index, None)

    def reconnect(self) -> Connection:
        """Lose the login's connection, and make the next one."""
        assert self.login.connection is not None
        self.login.disconnect(self.login.connection)
        return self.connect()

    def drain(self, connection: Connection, data: bytes) -> bytes:
        """Serve a batch as a gate does, piece by piece where answers are large (B3)."""
        pieces = [connection.receive(data)]
        while connection.hasMore:
            pieces.append(connection.receive(b""))
        self.assertTrue(max(map(len, pieces)) <= MAX_PIECE, [len(piece) for piece in pieces])
        return b"".join(pieces)

    def running(self, content: bytes) -> Running:
        """Give the request of that content, to be answered now."""
        return self.application.running.pop(content)

    def assertAsked(self, *contents: bytes) -> None:
        """Check which requests the handler has run, in which order."""
        self.assertEqual(self.application.asked, list(contents))
