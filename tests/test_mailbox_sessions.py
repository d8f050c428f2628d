"""
Pushing with a L{Mailbox} to real clients over real sessions, which break wherever they can (S6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from msgserver import RequestFailed, User
from msgserver.client import MsgClient
from msgserver.errors import MessagesMissed
from msgserver.handlers import Mailbox, MsgHandler
from msgserver.testing import MemoryServer


class PushHandler(MsgHandler):
    """
    Has a box for each user, and pushes what it is asked to.

    @ivar runs: what it was asked to push, each time that it ran.
    """

    def __init__(self, clock: Clock, key: Callable[[User], object] = lambda user: user.uid) -> None:
        self.mailbox = Mailbox(clock)
        self.runs: list[bytes] = []
        self._key = key

    def requestReceived(self, user: User, content: bytes) -> bytes | Deferred[bytes]:
        """Answer a poll, or push to whoever asks."""
        if content.startswith(b"poll"):
            return self.mailbox.poll(self._key(user), content[4:])
        self.runs.append(content)
        self.mailbox.push(self._key(user), content)
        return b"pushed"

    def loggedOut(self, user: User) -> None:
        """Let go of the poll of a login that is gone."""
        self.mailbox.release(self._key(user))


class Listener:
    """What C{client.messages()} gives, gathered."""

    def __init__(self, client: MsgClient) -> None:
        self.heard: list[bytes | int | None] = []
        self.ended: Exception | None = None
        self._messages = client.messages(b"poll")
        self.running = Deferred.fromCoroutine(self._listen())
        self.running.addErrback(self._end)

    async def _listen(self) -> None:
        while True:
            try:
                async for message in self._messages:
                    self.heard.append(message)
            except MessagesMissed as missed:
                self.heard.append(missed.count)

    def _end(self, failure: Failure) -> None:
        assert isinstance(failure.value, Exception)
        self.ended = failure.value


class SessionTests(SynchronousTestCase):
    """Pushing to real clients over real sessions (S6)."""

    def serve(
        self, key: Callable[[User], object] = lambda user: user.uid, **limits: Any
    ) -> tuple[MemoryServer, PushHandler, MsgClient, Listener]:
        """Run a server, and a client that listens."""
        clock = Clock()
        handler = PushHandler(clock, key)
        server = MemoryServer(handler, clock=clock, **limits)
        self.addCleanup(server.stop)
        client = server.client(b"alice")
        listener = Listener(client)
        server.settle()
        return server, handler, client, listener

    def test_whole(self) -> None:
        """Unbroken, what is pushed arrives, each once, in order."""
        server, handler, client, listener = self.serve()
        for number in range(5):
            handler.mailbox.push(b"alice", b"%d" % number)
        server.settle()
        handler.mailbox.push(b"alice", b"last")
        server.settle()
        self.assertEqual(listener.heard, [b"0", b"1", b"2", b"3", b"4", b"last"])

    def test_cutAnywhere(self) -> None:
        """
        S6: wherever the connection breaks, at whichever byte to or fro, each message arrives
        once and in order, and what pushes it runs once.
        """
        for sentBytes in (True, False):
            # Past all bytes of the exchange nothing breaks.
            at, hasCut = 0, True
            while hasCut:
                hasCut = self._exchange(at, sentBytes)
                at += 1
            self.assertGreater(at, 150)

    def _exchange(self, at: int, isSent: bool) -> bool:
        """Push over a connection that breaks at a byte; say whether it did."""
        server, handler, client, listener = self.serve()
        cuts: list[None] = []
        client.on("away", lambda: cuts.append(None))
        server.cutAfter(client, **{"sentBytes" if isSent else "receivedBytes": at})
        wanted = [b"message %d" % number for number in range(6)]
        answers = []
        for message in wanted[:3]:
            answers.append(client.request(message))
            server.settle()
        answers += [client.request(message) for message in wanted[3:]]
        server.advance(5)
        self.assertEqual([self.successResultOf(answer) for answer in answers], [b"pushed"] * 6)
        self.assertEqual((at, sorted(handler.runs)), (at, wanted))
        self.assertEqual((at, listener.heard), (at, handler.runs))
        self.assertEqual(handler.mailbox.total, 0)
        hasCut = bool(cuts)
        server.stop()
        return hasCut

    def test_away(self) -> None:
        """What is pushed to somebody without a connection is there when they are back."""
        server, handler, client, listener = self.serve()
        server.offline(client)
        for number in range(3):
            handler.mailbox.push(b"alice", b"%d" % number)
            server.advance(10)
        self.assertEqual(listener.heard, [])
        server.online(client)
        server.advance(40)
        self.assertEqual(listener.heard, [b"0", b"1", b"2"])

    def test_newLogin(self) -> None:
        """Over a new login nothing is lost or doubled: what had not arrived is in the box."""
        for isCut in (True, False):
            server, handler, client, listener = self.serve()
            handler.mailbox.push(b"alice", b"one")
            server.settle()
            handler.mailbox.push(b"alice", b"two")
            if isCut:
                server.cutBeforeAnswer(client)
            server.result(server.logout(b"alice"))
            handler.mailbox.push(b"alice", b"three")
            server.advance(5)
            handler.mailbox.push(b"alice", b"four")
            server.settle()
            self.assertEqual(listener.heard, [b"one", b"two", b"three", b"four"])
            self.assertEqual(len(handler.mailbox), 1)

    def test_newLoginAnywhere(self) -> None:
        """
        So it is where an answer was under way, or had half arrived, when the login ended: the
        connection breaks at whichever byte, and there is none until then.
        """
        for isSent in (True, False):
            # Past all bytes of the exchange nothing breaks.
            at, hasCut = 0, True
            while hasCut:
                hasCut = self._exchangeOverLogins(at, isSent)
                at += 1
            self.assertGreater(at, 50)

    def _exchangeOverLogins(self, at: int, isSent: bool) -> bool:
        """Push while a connection breaks at a byte and the login ends; say whether it broke."""
        server, handler, client, listener = self.serve()
        cuts: list[None] = []
        client.on("away", lambda: cuts.append(None))
        client.on("away", lambda: server.offline(client))
        server.cutAfter(client, **{"sentBytes" if isSent else "receivedBytes": at})
        wanted = [b"one", b"two", b"three", b"four"]
        for message in wanted[:2]:
            handler.mailbox.push(b"alice", message)
            server.settle()
        hasCut = bool(cuts)
        handler.mailbox.push(b"alice", wanted[2])
        server.result(server.logout(b"alice"))
        handler.mailbox.push(b"alice", wanted[3])
        server.online(client)
        server.advance(5)
        self.assertEqual((at, listener.heard), (at, wanted))
        self.assertEqual(handler.mailbox.total, 0)
        server.stop()
        return hasCut

    def test_boxOfALogin(self) -> None:
        """A box that goes with its login is another one after that, and the client is told."""
        server, handler, client, listener = self.serve(key=lambda user: user)
        (user,) = server.users()
        handler.mailbox.push(user, b"one")
        server.settle()
        server.result(server.logout(b"alice"))
        handler.mailbox.forget(user)
        server.advance(5)
        (user,) = server.users()
        handler.mailbox.push(user, b"two")
        server.settle()
        self.assertEqual(listener.heard, [b"one", None, b"two"])

    def test_full(self) -> None:
        """Who was away for too long is told how many it has missed, and gets the others."""
        server, handler, client, listener = self.serve()
        server.offline(client)
        wanted = [b"%d" % number for number in range(1500)]
        for message in wanted:
            handler.mailbox.push(b"alice", message)
        server.advance(10)
        server.online(client)
        server.advance(40)
        # A poll stood, and took what was there in the turn of the first message.
        self.assertEqual(listener.heard, [476, *wanted[476:]])

    def test_twoListeners(self) -> None:
        """Who asks last gets the messages; the other is told so, and there is no quarrel."""
        server, handler, client, first = self.serve()
        second = Listener(client)
        server.settle()
        handler.mailbox.push(b"alice", b"one")
        server.settle()
        self.assertIsInstance(first.ended, RequestFailed)
        self.assertEqual((first.heard, second.heard), ([], [b"one"]))

    def test_longSilence(self) -> None:
        """Polls that time out are asked again, for as long as nothing is said."""
        server, handler, client, listener = self.serve()
        server.advance(10_000)
        handler.mailbox.push(b"alice", b"at last")
        server.settle()
        self.assertEqual(listener.heard, [b"at last"])
        self.assertEqual(server.errors, [])

    def test_refused(self) -> None:
        """A poll that is none is the client's mistake, and no bug in the log."""
        server, handler, client, listener = self.serve()
        self.assertRaises(RequestFailed, server.result, client.request(b"pollnonsense"))
        self.assertEqual(server.errors, [])

    def test_gone(self) -> None:
        """Of a login that is gone no request stays behind, so that a gate stops at once (B5)."""
        server, handler, client, listener = self.serve()
        self.assertEqual(server.service.current.running, 1)
        server.result(client.close())
        server.logout(b"alice")
        self.assertEqual(server.service.current.running, 0)
