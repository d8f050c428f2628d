"""
Logins that fail, at the login port and with the service behind it: who must wait, and that others
need not. What each limit does exactly is tested in L{test_loginfailures}.
"""

from __future__ import annotations

from base64 import b64encode

from twisted.internet.defer import fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from msgserver.cluster import Registration
from msgserver.handlers import PasswordLoginHandler
from msgserver.hiding import Hidden
from msgserver.interfaces import (
    Account,
    INamesUser,
)
from msgserver.loginservice import LoginService
from msgserver.testing import MemoryGate
from tests.callers import LoginCase


class FailureTests(LoginCase):
    """Failed logins."""

    def test_user(self) -> None:
        """Three are free; then it is 406 for as long as he must wait, and nobody is asked."""
        statuses = [self.login(b"alice:%d" % number) for number in range(5)]
        self.assertEqual(statuses, ["401"] * 3 + ["406"] * 2)
        self.assertEqual(self.handler.asked, 3)
        self.assertEqual(self.failures.hits, {"free_failures": 2})
        self.assertEqual(self.login(peer="203.0.113.1"), "406")
        self.assertEqual(self.login(b"bob:right"), "200")
        self.clock.advance(1)
        self.assertEqual(self.login(), "200")
        self.assertEqual(self.login(b"alice:wrong"), "401")
        self.assertOutcomes(_200=2, _401=4, _406=3)

    def test_home(self) -> None:
        """Who is guessed at from elsewhere goes on logging in from home."""
        self.assertEqual(self.login(), "200")
        for number in range(20):
            self.login(b"alice:wrong", f"203.0.113.{number}")
            self.assertEqual(self.login(), "200")
        self.clock.advance(1)
        for number in range(3):
            self.login(b"alice:wrong", f"203.0.113.{number}")
        self.assertEqual(self.login(peer="203.0.113.99"), "406")
        self.assertEqual(self.login(), "200")

    def test_address(self) -> None:
        """An address whose logins fail is not even listened to, and others are."""
        for number in range(6):
            self.assertEqual(self.login(b"user%d:wrong" % number), "401")
        self.assertEqual(self.login(), "closed")
        self.assertEqual(self.factory.limits.hits, {"address_free_failures": 1})
        self.assertEqual(self.login(peer="192.0.2.2"), "200")
        self.clock.advance(1)
        self.assertEqual(self.login(), "200")

    def test_sideBySide(self) -> None:
        """Connections that were open before are no way around either limit."""
        callers = [self.connect(b"user%d:wrong" % number) for number in range(10)]
        statuses = [caller.call() for caller in callers]
        self.assertEqual(statuses, ["401"] * 6 + ["406"] * 4)
        self.handler.hangs = True
        callers = [self.connect(b"alice:%d" % number, f"203.0.113.{number}") for number in range(9)]
        statuses = [caller.call() for caller in callers]
        self.assertEqual(statuses[3:], ["406"] * 6)
        self.assertEqual(self.handler.asked, 9)

    def test_notTheHandlersNo(self) -> None:
        """Nothing but the handler's own no is a failure: no bug, nor what a gate says."""
        for number in range(20):
            self.handler.answer = (
                fail(KeyError(number)) if number % 2 else succeed(Account(b"nowhere", b"alice"))
            )
            self.assertIn(self.login(b"alice:right"), ("401", "403"))
        self.handler.answer = None
        self.assertEqual(self.login(), "200")
        self.assertEqual(len(self.flushLoggedErrors(Hidden)), 10)
        self.assertEqual(len(self.failures), 0)

    def test_left(self) -> None:
        """Nor is it one where the client went before the answer: networks are bad."""
        self.handler.hangs = True
        for _ in range(20):
            caller = self.connect()
            caller.call()
            caller.lose()
        self.handler.hangs = False
        self.assertEqual(self.login(), "200")
        self.assertEqual(len(self.failures), 0)

    def test_leftEarly(self) -> None:
        """L1: but who must wait has the handler asked once in a wait, whether he stays or not."""
        for _ in range(3):
            self.login(b"alice:wrong")
        self.handler.hangs = True
        for _ in range(20):
            self.clock.advance(0.25)
            caller = self.connect()
            caller.call()
            caller.lose()
        self.assertEqual(self.handler.asked, 3 + 5)

    def test_outOfTime(self) -> None:
        """L1: a handler that hangs leaves nothing of it."""
        self.handler.hangs = True
        callers = [self.connect() for _ in range(3)]
        for caller in callers:
            caller.call()
        self.clock.advance(10)
        for caller in callers:
            caller.lose()
        self.handler.hangs = False
        self.assertEqual(self.login(), "200")

    def test_badNaming(self) -> None:
        """A handler that names nobody, or fails to, has the address's limit all the same."""

        def fails(token: bytes) -> bytes:
            raise KeyError("a bug")

        for naming in (lambda token: None, lambda token: "text", fails):
            self.handler.naming = naming
            self.assertEqual(self.login(), "200")
            for _ in range(2):
                self.assertEqual(self.login(b"alice:wrong"), "401")
        self.assertEqual(self.login(), "closed")
        self.assertEqual(len(self.flushLoggedErrors(Hidden)), 3)

    def test_off(self) -> None:
        """Where nobody limits it, nobody waits."""
        service = LoginService(self.handler, self.clock)
        service.register(MemoryGate(), lambda: Registration(b"sample"))
        self.factory = self.makeFactory(service)
        self.assertEqual([self.login(b"alice:wrong") for _ in range(20)], ["401"] * 20)


class PasswordTests(SynchronousTestCase):
    """Whom the ready-made handler takes a token for."""

    def setUp(self) -> None:
        """Make it."""
        self.handler = PasswordLoginHandler({}, ["sample"])

    def test_uidOf(self) -> None:
        """The user whom it would authenticate, and nobody where it would not look."""
        verifyObject(INamesUser, self.handler)
        alice, server = b64encode(b"alice"), b64encode(b"sample")
        self.assertEqual(self.handler.uidOf(alice + b"@" + server + b":eA=="), b"alice")
        for token in (b"", b"alice", alice, b"al!ce@" + server + b":eA==", alice + b"@:eA=="):
            self.assertIsNone(self.handler.uidOf(token), token)
