"""
Clients of a login port, well-behaved and not, with the whole login side behind it: a login
handler that knows two users, the service, and a gate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from msgserver.cluster import Registration
from msgserver.errors import Unauthorized
from msgserver.interfaces import (
    Account,
    ILoginHandler,
    ILogins,
    INamesUser,
    MaybeLater,
)
from msgserver.loginfailures import FailureLimits, LoginFailures
from msgserver.loginprotocol import LoginFactory, LoginLimits
from msgserver.loginservice import LoginService
from msgserver.testing import MemoryGate, MemoryTransport
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.login import LoginClient, RandomBytes

PROXY = "10.0.0.1"

UNNAMED = b"PROXY UNKNOWN\r\n"
"""What a proxy says that names nobody."""


def randomBytes(size: int) -> bytes:
    """Give bytes that are a key of the classic suite."""
    return bytes(range(1, size + 1))


def header(host: str) -> bytes:
    """Write what a proxy says of a client."""
    family = "TCP6" if ":" in host else "TCP4"
    return f"PROXY {family} {host} {host} 50000 1\r\n".encode()


class Caller:
    """
    One client of the login port.

    @ivar said: what the server has said in all.
    """

    def __init__(self, factory: Any, token: bytes, peer: str, first: bytes = b"") -> None:
        self.transport = MemoryTransport(peer)
        self._protocol = factory.buildProtocol(None)
        self.transport.connect(self._protocol)
        if first:
            self._protocol.dataReceived(first)
        self._client = LoginClient(ClassicSuite(), token, randomBytes)
        self.said = b""

    def step(self) -> bool:
        """Send the next lines; say whether there were any."""
        taken = self.transport.take()
        self.said += taken
        self._client.feed(taken)
        try:
            self._client.nextEvent()
        except Exception:
            return False
        data = self._client.dataToSend()
        if data:
            self._protocol.dataReceived(data)
        return bool(data)

    def prove(self) -> None:
        """Go on up to the proof, and leave the token for later."""
        self.step()
        self.transport.take()  # So that the client does not go on.

    def call(self) -> str:
        """Go on for as long as there is something to say; tell the status."""
        while self.step():
            pass
        self.said += self.transport.take()
        return self.said.rpartition(b"\n")[0].rpartition(b"\n")[2][:3].decode()

    def send(self, data: bytes) -> None:
        """Send whatever it is."""
        self._protocol.dataReceived(data)

    @property
    def isAborted(self) -> bool:
        """The server has closed the connection at once."""
        return self.transport.disconnected

    def lose(self) -> None:
        """Lose the connection."""
        self.transport.lose()


@implementer(ILoginHandler, INamesUser)
class Handler:
    """Knows alice and bob, whose tokens are C{uid:right}."""

    def __init__(self) -> None:
        self.asked = 0
        self.naming: Callable[[bytes], Any] = lambda token: token.partition(b":")[0]
        self.hangs = False
        self.answer: Deferred[Account] | None = None

    def authenticate(self, token: bytes) -> MaybeLater[Account]:
        """See L{ILoginHandler.authenticate}."""
        self.asked += 1
        if self.hangs:
            return Deferred()
        if self.answer is not None:
            return self.answer
        uid, _, password = token.partition(b":")
        if uid not in (b"alice", b"bob") or password != b"right":
            raise Unauthorized("no")
        return Account(b"sample", uid)

    def uidOf(self, token: bytes) -> bytes | None:
        """See L{INamesUser.uidOf}."""
        uid: bytes | None = self.naming(token)
        return uid


class LoginCase(SynchronousTestCase):
    """A login port, the service and its handler behind it, and a gate."""

    limits = LoginLimits()
    failureLimits = FailureLimits(3, 6, 1.0, 8.0, 100.0)

    def setUp(self) -> None:
        """Make them."""
        self.clock = Clock()
        self.handler = Handler()
        self.failures = LoginFailures(self.clock, self.failureLimits)
        self.service = LoginService(self.handler, self.clock, failures=self.failures)
        self.service.register(MemoryGate(), lambda: Registration(b"sample"))
        self.factory = self.makeFactory(self.service)

    def makeFactory(self, logins: ILogins, random: RandomBytes = randomBytes) -> LoginFactory:
        """Make a port."""
        suites = [ClassicSuite()]
        return LoginFactory(logins, self.clock, suites, self.limits, random, failures=self.failures)

    def connect(self, token: bytes = b"alice:right", peer: str = "192.0.2.1") -> Caller:
        """Connect, and do nothing."""
        return Caller(self.factory, token, peer)

    def login(self, token: bytes = b"alice:right", peer: str = "192.0.2.1") -> str:
        """Log in, or try to, and go; tell the status, or that the connection was closed."""
        caller = self.connect(token, peer)
        status = caller.call()
        caller.lose()
        return "closed" if caller.isAborted else status

    def assertOutcomes(self, **counts: int) -> None:
        """See what has come of the connections so far, each counted once."""
        counted = {name.lstrip("_"): count for name, count in counts.items()}
        self.assertEqual(self.factory.outcomes, counted)
