"""
Tests for L{msgserver.client}: what its users get wrong, and what they do at awkward moments.
"""

from __future__ import annotations

import errno
import gc
import socket
import traceback
import weakref
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from msgserver.client import CLOSE_TIMEOUT, MsgClient
from msgserver.clientlogin import LoggedIn, parseAddress
from msgserver.errors import (
    ClientClosed,
    ProtocolError,
    Unauthorized,
    UserNotFound,
)
from msgserver.keepalive import LONGEST, keepAlive
from tests.peers import FIRST, ONE, TWO, MsgClientTestCase

TEXT = cast(Any, "hello")


class ContentTests(MsgClientTestCase):
    """What is asked and is none."""

    def test_text(self) -> None:
        """Text is no content: that is said at once, and whatever else is asked is answered."""
        self.assertRaises(TypeError, self.client.request, TEXT)
        gate = self.connected()
        error = self.assertRaises(TypeError, self.client.request, TEXT)
        self.assertIn("bytes, not str", str(error))
        self.assertEqual((self.client.waiting, self.client.unanswered), (0, 0))
        answer = self.client.request(b"hello")
        gate.answer(ONE, b"hi")
        self.assertEqual(self.successResultOf(answer), b"hi")

    def test_textOnceEnded(self) -> None:
        """So it is when the client has ended."""
        self.client.close()
        self.assertRaises(TypeError, self.client.request, TEXT)
        self.assertRaises(ValueError, self.client.request, bytes(65_532))

    def test_changedLater(self) -> None:
        """S6: what is asked again is what was asked, whatever its buffer has become."""
        gate = self.connected()
        content = bytearray(b"hello")
        self.client.request(cast(bytes, content))
        content[:] = b"other"
        gate.lose()
        self.assertEqual(self.connected().requests(), [(ONE, b"hello")])

    def test_noCycle(self) -> None:
        """An answered request is gone when its caller lets go of it, without the collector."""
        gate = self.connected()
        gc.disable()
        self.addCleanup(gc.enable)
        for session, timeout in ((ONE, None), (TWO, 5.0)):
            answer = weakref.ref(self.client.request(b"hello", timeout))
            gate.answer(session, b"hi")
            self.assertIsNone(answer())

    def test_noCycleOnceEnded(self) -> None:
        """Nor does what has ended the client hold on to what was asked of it since."""
        self.client.close()
        gc.disable()
        self.addCleanup(gc.enable)
        refused = self.client.request(b"hello")
        gone = weakref.ref(refused)
        reason = self.failureResultOf(refused, ClientClosed).value
        self.assertIsNone(reason.__traceback__)
        del refused
        self.assertIsNone(gone())

    def test_noGrowth(self) -> None:
        """Nor does it become larger each time that somebody is told."""
        self.client.close()
        depths = []
        for _ in range(3):
            listening = Deferred.fromCoroutine(self.client.messages().__anext__())
            reason = self.failureResultOf(listening, ClientClosed).value
            depths.append(len([*traceback.walk_tb(reason.__traceback__)]))
        self.assertEqual(len({*depths}), 1)


class OptionTests(MsgClientTestCase):
    """Options that no client can be made with."""

    def test_refused(self) -> None:
        """They are refused at once, by name: a client would hang, or never connect."""
        options: tuple[dict[str, Any], ...] = (
            {"maxUnanswered": 0},
            {"maxWaiting": 0},
            {"loginAfter": 0},
            {"keepAlive": -1.0},
            {"keepAlive": float("nan")},
            {"keepAlive": float("inf")},
            {"ping": bytes(65_532)},
        )
        for option in options:
            error = self.assertRaises(ValueError, self.make, **option)
            self.assertIn(next(iter(option)), str(error))
        self.assertRaises(TypeError, self.make, ping=TEXT)
        self.make(maxUnanswered=1, maxWaiting=1, loginAfter=1, keepAlive=0, ping=b"").close()
        self.clock.advance(0)

    def make(self, **options: Any) -> MsgClient:
        """Make a client."""
        return MsgClient(self.clock, lambda: Deferred(), self.network, **options)

    def test_hook(self) -> None:
        """A happening that does not happen is refused: the hook would never be called."""
        on = cast(Any, self.client.on)
        error = self.assertRaises(ValueError, on, "conected", lambda: None)
        self.assertIn("'connected'", str(error))


class AwkwardTests(MsgClientTestCase):
    """Calls from within what the client calls."""

    def setUp(self) -> None:
        super().setUp()
        self.told: list[str] = []

    def test_closesAtItsEnd(self) -> None:
        """Who hears that a request failed at the client's end may close the client."""
        answer = self.client.request(b"hello").addErrback(lambda failure: self.client.close())
        self.logins[:] = [lambda: fail(Unauthorized())]
        self.clock.pump([0, 0, 0])
        self.assertIsNone(self.successResultOf(answer))

    def test_closesWhileItIsClosed(self) -> None:
        """And so it may when that is because it was closed."""
        gate = self.connected()
        answer = self.client.request(b"hello").addErrback(lambda failure: self.client.close())
        closed = self.client.close()
        self.clock.advance(0)
        gate.lose()
        self.assertIsNone(self.successResultOf(answer))
        self.assertIsNone(self.successResultOf(closed))

    def test_asksAtItsEnd(self) -> None:
        """What it asks then fails with what has ended the client."""
        gate = self.connected()
        answer = self.client.request(b"1").addErrback(lambda failure: self.client.request(b"2"))
        self.client.close()
        self.clock.advance(0)
        gate.lose()
        self.failureResultOf(answer, ClientClosed)

    def test_loggedInTooLate(self) -> None:
        """A login that comes when the client is closed is none of its own."""
        login: Deferred[LoggedIn] = Deferred(lambda login: login.callback(FIRST))
        self.logins[:] = [lambda: login]
        self.clock.advance(0)
        self.client.close()
        self.clock.advance(0)
        self.assertTrue(login.called)
        self.assertIsNone(self.client.loggedIn)

    def test_removed(self) -> None:
        """A hook that another has taken away is not called any more, nor is any but that."""

        def tell() -> None:
            self.told.append("called")

        def remove() -> None:
            remover()
            remover()

        self.client.on("connected", remove)
        remover = self.client.on("connected", tell)
        self.client.on("connected", tell)
        self.connected()
        self.assertEqual(self.told, ["called"])

    def test_nothingAfterTheEnd(self) -> None:
        """Nothing happens to a client that a hook, or a failed request, has closed."""
        self.connected()
        sent = self.client.request(b"hello").addErrback(lambda failure: self.client.close())
        self.client.on("loggedOut", lambda reason: self.told.append("loggedOut"))
        self.client.on("ended", lambda reason: self.told.append("ended"))
        self.gate().lose()
        self.connect().refuse(UserNotFound())
        self.clock.pump([0, 0])
        self.successResultOf(sent)
        self.assertEqual(self.told, ["ended"])

    def test_closedByTheFirst(self) -> None:
        """Of two hooks the second is told nothing where the first has closed the client."""
        self.client.on("connected", lambda: self.client.close())
        self.client.on("connected", lambda: self.told.append("connected"))
        self.client.on("ended", lambda reason: self.told.append("ended"))
        self.connected().lose()
        self.clock.pump([0, 0])
        self.assertEqual(self.told, ["ended"])


class FullTests(MsgClientTestCase):
    """Signs of life where no request has room."""

    def test_noPing(self) -> None:
        """S7: while as much is unanswered as may be, no ping is sent, and none waits."""
        self.client.close()
        self.clock.advance(0)
        self.client = MsgClient(
            self.clock, lambda: succeed(FIRST), self.network, maxUnanswered=1, ping=b"ping"
        )
        gate = self.connected()
        self.client.request(b"slow")
        self.clock.pump([30] * 5)
        self.assertEqual(gate.requests(), [(ONE, b"slow")])
        self.assertEqual(self.client.waiting, 0)
        self.assertFalse(gate.isClosing)
        gate.answer(ONE, b"")
        self.clock.pump([30] * 2)
        self.assertEqual(gate.requests(), [(TWO, b"ping")])


class KeepAliveTests(SynchronousTestCase):
    """What kernels do not take."""

    def test_longest(self) -> None:
        """More seconds than the kernel takes count as the most that it does."""
        for seconds in (100_000.0, 1e9):
            with socket.socket(socket.AF_INET) as sock:
                keepAlive(sock, seconds)
                if (option := getattr(socket, "TCP_KEEPIDLE", None)) is not None:
                    self.assertEqual(sock.getsockopt(socket.IPPROTO_TCP, option), LONGEST)

    def test_unknown(self) -> None:
        """A kernel that does not know one of the options is asked for the others."""
        names: list[int] = []

        class Socket:
            family = socket.AF_INET
            error = errno.ENOPROTOOPT

            def setsockopt(self, level: int, name: int, value: int) -> None:
                if level == socket.IPPROTO_TCP:
                    names.append(name)
                    raise OSError(self.error, "no")

        sock = Socket()
        keepAlive(cast(socket.socket, sock), 30.0)
        self.assertGreater(len(names), 1)
        sock.error = errno.EBADF
        self.assertRaises(OSError, keepAlive, sock, 30.0)


class LeftTests(MsgClientTestCase):
    """What a failed attempt leaves."""

    def test_noConnection(self) -> None:
        """A connection that cannot be kept alive is closed, and tried again."""
        self.patch(self.client, "_keep", lambda connection: 1 / 0)
        gate = self.connected()
        self.assertTrue(gate.isClosing)
        self.assertFalse(self.client.isConnected)


class HangTests(MsgClientTestCase):
    """A peer that does not close its end."""

    def test_close(self) -> None:
        """A connection that is not closed in good order is cut in the end."""
        gate = self.connected()
        cuts: list[str] = []
        connection = self.client._connection
        assert connection is not None
        transport = connection.transport
        self.patch(transport, "abortConnection", lambda: cuts.append("cut"))
        closed = self.client.close()
        self.clock.advance(0)
        self.clock.advance(CLOSE_TIMEOUT - 0.1)
        self.assertEqual(cuts, [])
        self.clock.advance(0.1)
        self.assertEqual(cuts, ["cut"])
        gate.lose()
        self.successResultOf(closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class AddressTests(SynchronousTestCase):
    """Addresses that no resolver is asked about."""

    def test_host(self) -> None:
        """A host that is no name is refused as an address."""
        for host in ("..", ".x", "a" * 64, "x." + "a" * 64, "\ud800"):
            self.assertRaises(ProtocolError, parseAddress, f"{host}:80")
        self.assertRaises(ProtocolError, parseAddress, "host:" + "9" * 5000)
        self.assertEqual(parseAddress("b\xfccher.example.:80"), ("b\xfccher.example.", 80))
