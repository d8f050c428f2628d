"""
Tests for L{msgserver.handlers}: the ready-made parts of the user's side.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass, verifyObject

from msgserver.errors import Unauthorized
from msgserver.handlers import MsgHandler, PasswordLoginHandler
from msgserver.interfaces import Account, ILoginHandler, IMsgGate, IMsgHandler, MaybeLater, User
from msgserver.passwords import UNKNOWN, isPassword

# Of "hunter2"; its cost is a joke, so that it takes no time.
ALICE_HASH = "scrypt$2$1$1$c2FsdA==$4btWc07y/Z1ucifRpta7OF2zR+Qq+5a0lmOmkAF1+YU="
# base64 of alice, sample and hunter2.
ALICE, SAMPLE, HUNTER2 = b"YWxpY2U=", b"c2FtcGxl", b"aHVudGVyMg=="
TOKEN = ALICE + b"@" + SAMPLE + b":" + HUNTER2


class Echo(MsgHandler):
    """The smallest handler there is."""

    def requestReceived(self, user: User, content: bytes) -> MaybeLater[bytes]:
        """Answer with the request."""
        return content


class MsgHandlerTests(SynchronousTestCase):
    """L{MsgHandler}: everything but the requests."""

    user = User(b"alice", b"1", b"sample")

    def test_abstract(self) -> None:
        """Without C{requestReceived} there is no handler: that is found when it is made."""
        self.assertRaises(TypeError, MsgHandler)

        class Forgetful(MsgHandler):
            """One whose author has misspelt it."""

            def requestRecieved(self, user: User, content: bytes) -> bytes:
                """Never called."""
                return content

        error = self.assertRaises(TypeError, Forgetful)
        self.assertIn("requestReceived", str(error))

    def test_interface(self) -> None:
        """With it the handler is complete."""
        verifyObject(IMsgHandler, Echo())
        verifyClass(IMsgHandler, Echo)

    def test_requests(self) -> None:
        """The one method that is the subclass's is the subclass's."""
        self.assertEqual(Echo().requestReceived(self.user, b"hello"), b"hello")

    def test_gate(self) -> None:
        """The gate is kept for business code."""
        handler, gate = Echo(), cast(IMsgGate, object())
        handler.gateOpened(gate)
        self.assertIs(handler.gate, gate)

    def test_everybodyWelcome(self) -> None:
        """A login is welcome, and its subid the gate's to choose (H5)."""
        self.assertIsNone(Echo().loginReceived(b"alice", b"8 secret"))

    def test_nothingToDo(self) -> None:
        """The other events are nothing to it, and done at once."""
        handler = Echo()
        for event in (handler.disconnected, handler.kicked, handler.loggedOut):
            self.assertIsNone(event(self.user))


class PasswordLoginHandlerTests(SynchronousTestCase):
    """L{PasswordLoginHandler}, with alice at C{sample}, whose password is hunter2."""

    def setUp(self) -> None:
        """Make the handler, and note what it has run in a thread."""
        self.checks: list[tuple[object, ...]] = []
        self.handler = self.makeHandler({"alice": ALICE_HASH})

    def makeHandler(self, users: dict[str, str]) -> PasswordLoginHandler:
        """Make a handler for these users."""
        return PasswordLoginHandler(users, ["sample", "d\xe9mo"], self.runInThread)

    def runInThread(self, function: Callable[..., Any], *arguments: object) -> Deferred[Any]:
        """Run it here and now."""
        self.checks.append((function, *arguments))
        return maybeDeferred(function, *arguments)

    def authenticate(self, token: bytes) -> Deferred[Account]:
        """Ask the handler."""
        return Deferred.fromCoroutine(self.handler.authenticate(token))

    def assertUnauthorized(self, token: bytes) -> None:
        """See a token refused."""
        self.failureResultOf(self.authenticate(token), Unauthorized)

    def test_interface(self) -> None:
        """It is a login handler."""
        verifyObject(ILoginHandler, self.handler)

    def test_authenticated(self) -> None:
        """Who knows the password is who they say, and the name is the uid."""
        self.assertEqual(
            self.successResultOf(self.authenticate(TOKEN)), Account(b"sample", b"alice")
        )

    def test_anyText(self) -> None:
        """Names may be any text; on the wire they are UTF-8."""
        self.handler = self.makeHandler({"\xe9lo\xefse": ALICE_HASH})
        user, server = ("\xe9lo\xefse".encode(), "d\xe9mo".encode())
        token = b64encode(user) + b"@" + b64encode(server) + b":" + HUNTER2
        self.assertEqual(self.successResultOf(self.authenticate(token)), Account(server, user))

    def test_wrongPassword(self) -> None:
        """L: a wrong password is 401, an almost right one too."""
        for password in (b"hunter3", b"hunter2 ", b"Hunter2", b"hunter2\n", b"\0"):
            self.assertUnauthorized(ALICE + b"@" + SAMPLE + b":" + b64encode(password))

    def test_wrongServer(self) -> None:
        """L: a server that is not in the list is refused; only who is known learns that."""
        token = ALICE + b"@" + b64encode(b"nowhere") + b":"
        self.assertUnauthorized(token + HUNTER2)
        refused = self.failureResultOf(self.authenticate(token + HUNTER2), Unauthorized)
        self.assertEqual(str(refused.value), "no such server")
        refused = self.failureResultOf(self.authenticate(token + b"eA=="), Unauthorized)
        self.assertEqual(str(refused.value), "wrong user or password")

    def test_unknownUser(self) -> None:
        """Who does not exist is checked too, at the price of any other, and told the same."""
        token = b64encode(b"nobody") + b"@" + SAMPLE + b":" + HUNTER2
        unknown = self.failureResultOf(self.authenticate(token), Unauthorized)
        self.assertEqual(self.checks, [(isPassword, b"hunter2", UNKNOWN)])
        wrong = self.failureResultOf(
            self.authenticate(ALICE + b"@" + SAMPLE + b":eA=="), Unauthorized
        )
        self.assertEqual(str(unknown.value), str(wrong.value))

    def test_inThread(self) -> None:
        """A check takes long, so it runs elsewhere, and the answer waits for it."""
        checked: Deferred[bool] = Deferred()
        handler = PasswordLoginHandler(
            {"alice": ALICE_HASH}, ["sample"], lambda *arguments: checked
        )
        answer = Deferred.fromCoroutine(handler.authenticate(TOKEN))
        self.assertNoResult(answer)
        checked.callback(True)
        self.assertEqual(self.successResultOf(answer), Account(b"sample", b"alice"))

    def test_cancelled(self) -> None:
        """L1: a client that goes leaves the check to its thread, and nobody logged in."""
        checked: Deferred[bool] = Deferred()
        handler = PasswordLoginHandler(
            {"alice": ALICE_HASH}, ["sample"], lambda *arguments: checked
        )
        answer = Deferred.fromCoroutine(handler.authenticate(TOKEN))
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        checked.callback(True)  # The thread knows nothing of it.

    def test_turns(self) -> None:
        """No more checks run at once than there are processors, be there clients left or not."""
        self.patch(os, "cpu_count", lambda: 2)
        running: list[Deferred[bool]] = []

        def runInThread(*arguments: object) -> Deferred[bool]:
            running.append(Deferred())
            return running[-1]

        handler = PasswordLoginHandler({"alice": ALICE_HASH}, ["sample"], runInThread)
        answers = [Deferred.fromCoroutine(handler.authenticate(TOKEN)) for _ in range(4)]
        for answer in (answers[0], answers[2]):
            answer.cancel()
            self.failureResultOf(answer, CancelledError)
        # The thread of the first goes on all the same; the third never gets one.
        self.assertEqual(len(running), 2)
        running[0].callback(True)
        self.assertEqual(len(running), 3)
        for each in running[1:]:
            each.callback(True)
        for answer in (answers[1], answers[3]):
            self.assertEqual(self.successResultOf(answer), Account(b"sample", b"alice"))

    def test_malformed(self) -> None:
        """L: a token of another form is 401, and no password is checked."""
        for token in (
            b"",
            b"alice",
            b"@:",
            b"@" + SAMPLE + b":" + HUNTER2,
            ALICE + b"@:" + HUNTER2,
            ALICE + b"@" + SAMPLE + b":",
            ALICE + b"@" + SAMPLE,
            ALICE + b":" + SAMPLE + b"@" + HUNTER2,
            ALICE + b"@" + ALICE + b"@" + SAMPLE + b":" + HUNTER2,
            TOKEN + b":" + HUNTER2,
            TOKEN + b"\n",
            b" " + TOKEN,
            b"alice@" + SAMPLE + b":" + HUNTER2,
            ALICE + b"@sampl:" + HUNTER2,
            ALICE + b"@" + SAMPLE + b":hunter2",
            ALICE + b"@" + SAMPLE + b":" + HUNTER2.rstrip(b"="),
            ALICE + b"@" + SAMPLE + b":\xff\xfe",
            bytes(range(256)),
        ):
            self.assertUnauthorized(token)
        self.assertEqual(self.checks, [])

    def test_badTable(self) -> None:
        """L6: a password where a hash belongs is found at once; the user is named, and what
        stands there is not shown."""
        for bad in ("hunter2", "", cast(str, 7), "scrypt$3$1$1$c2FsdA==$aGFzaA=="):
            error = self.assertRaises(
                ValueError, self.makeHandler, {"alice": ALICE_HASH, "bob": bad}
            )
            text = str(error)
            self.assertIn("users.bob", text)
            self.assertIn("python -m msgserver.passwords", text)
            self.assertNotIn("alice", text)
            self.assertNotIn("hunter2", text)
            self.assertNotIn("scrypt$", text)

    def test_silent(self) -> None:
        """L6: neither what it raises nor what it logs tells a password, a token or a hash."""
        texts = [repr(self.handler)]
        with capturedLogs() as events:
            for token in (
                TOKEN,
                TOKEN + b"=",
                ALICE + b"@" + HUNTER2 + b":" + HUNTER2,
                HUNTER2 + b"@" + SAMPLE + b":" + HUNTER2,
                ALICE + b"@" + SAMPLE + b":" + b64encode(b"hunter2!"),
                b"alice:hunter2",
            ):
                answer = self.authenticate(token)
                answer.addErrback(lambda failure: texts.append(failure.getTraceback()))
        texts += map(eventAsText, events)
        self.assertEqual(len(texts), 6)
        for text in texts:
            for hidden in ("hunter2", HUNTER2.decode(), ALICE_HASH[-44:]):
                self.assertNotIn(hidden, text)

    def test_serversAreAList(self) -> None:
        """A string for the servers would be taken for a list of its letters: it is refused."""
        with self.assertRaisesRegex(ValueError, r'servers: must be a list, such as \["sample"\]'):
            PasswordLoginHandler({}, "sample")

    def test_noServers(self) -> None:
        """Where there are no servers nobody gets anywhere."""
        handler = PasswordLoginHandler({"alice": ALICE_HASH}, [], lambda *_: succeed(True))
        answer = Deferred.fromCoroutine(handler.authenticate(TOKEN))
        self.failureResultOf(answer, Unauthorized)
