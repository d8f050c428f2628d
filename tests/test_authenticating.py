"""
How many tokens a login handler is at, at once, and whose turn is next.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from msgserver.cluster import Registration
from msgserver.errors import Unauthorized
from msgserver.interfaces import Account, Admission, ILoginHandler, INamesUser
from msgserver.limits import LoginFailures
from msgserver.loginservice import LoginService
from msgserver.testing import MemoryGate

HOME, ELSEWHERE = "192.0.2.1", "203.0.113.9"


@implementer(ILoginHandler, INamesUser)
class Handler:
    """
    Knows everybody, in time: a token is a uid.

    @ivar asked: the tokens, in the order asked.
    @ivar answers: what is to be told of each of those that have no answer.
    """

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.answers: dict[bytes, Deferred[Account]] = {}

    def uidOf(self, token: bytes) -> bytes | None:
        """See L{INamesUser.uidOf}."""
        return token

    def authenticate(self, token: bytes) -> Deferred[Account]:
        """See L{ILoginHandler.authenticate}."""
        self.asked.append(token)
        self.answers[token] = Deferred()
        return self.answers[token]

    def answer(self, token: bytes) -> None:
        """Say yes."""
        self.answers.pop(token).callback(Account(b"sample", token))


class AuthenticatingTests(SynchronousTestCase):
    """A login service whose handler is at two tokens at once, and one user who is at home."""

    def setUp(self) -> None:
        """Make it, and let alice log in from where she is at home."""
        self.handler = Handler()
        clock = Clock()
        self.service = LoginService(
            self.handler, clock, failures=LoginFailures(clock), maxAuthenticating=2
        )
        self.service.register(MemoryGate(), lambda: Registration(b"sample"))
        login = self.login(b"alice", HOME)
        self.handler.answer(b"alice")
        self.successResultOf(login)
        self.handler.asked.clear()

    def login(self, token: bytes, peer: str = ELSEWHERE) -> Deferred[Admission]:
        """Begin a login, which is not to outlive the test."""
        login = self.service.login(token, b"8 secret", peer)
        self.addCleanup(login.addErrback, lambda failure: failure.trap(Unauthorized))
        self.addCleanup(login.cancel)
        return login

    def test_atMost(self) -> None:
        """L1: the handler is asked no more at once than it may be, and then in the order asked."""
        logins = [self.login(b"%d" % number) for number in range(4)]
        self.assertEqual(self.handler.asked, [b"0", b"1"])
        self.handler.answer(b"1")
        self.successResultOf(logins[1])
        self.assertEqual(self.handler.asked, [b"0", b"1", b"2"])
        self.handler.answers.pop(b"0").errback(Unauthorized("no"))
        self.failureResultOf(logins[0], Unauthorized)
        self.assertEqual(self.handler.asked, [b"0", b"1", b"2", b"3"])

    def test_home(self) -> None:
        """Who is where he last logged in need not wait for those who are not."""
        for number in range(9):
            self.login(b"%d" % number)
        self.login(b"alice", ELSEWHERE)
        self.login(b"alice", HOME)
        self.handler.answer(b"0")
        self.assertEqual(self.handler.asked, [b"0", b"1", b"alice"])

    def test_left(self) -> None:
        """L1: a client that leaves gives up its turn, or its place in the queue."""
        logins = [self.login(b"%d" % number) for number in range(4)]
        logins[2].cancel()
        self.failureResultOf(logins[2], Unauthorized)
        logins[0].cancel()
        self.failureResultOf(logins[0], Unauthorized)
        self.assertEqual(self.handler.asked, [b"0", b"1", b"3"])
