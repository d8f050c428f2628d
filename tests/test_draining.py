"""What a gate that drains begins, and what it waits for (B5)."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from msgserver.sessions import SessionLimits
from msgserver.wire.gate import requestPacket
from tests.gates import ONE, THREE, TWO, GateCase


class WaitingTests(GateCase):
    """Requests that have come, and wait for running ones (B2)."""

    sessionLimits = SessionLimits(maxRunning=1)

    def test_waitingIsNotBegun(self) -> None:
        """B5: what waits when the drain begins is not run when there is room for it."""
        alice, bob = self.connect(self.login()), self.connect(self.login(b"bob"))
        alice.send(requestPacket(ONE, b"later:a") + requestPacket(TWO, b"waits"))
        bob.ask(ONE, b"later:b")
        stopped = self.stop()
        self.fulfil(b"a", b"done")
        self.assertEqual(alice.heard(), [b"done\x01" + ONE])
        self.fulfil(b"b", b"done")
        self.assertEqual(self.handler.requests, [b"later:a", b"later:b"])
        for client in (alice, bob):
            client.lose()
        self.successResultOf(stopped)

    def test_nothingIsRead(self) -> None:
        """B5: from then on no connection is read, not even for the running request's answer."""
        busy, idle = self.connect(self.login()), self.connect(self.login(b"bob"))
        busy.ask(ONE, b"later:a")
        self.stop()
        self.assertEqual([each.transport.isReading for each in (busy, idle)], [False, False])


class QuietTests(GateCase):
    """When the handler is at nothing any more."""

    def test_failureIsAnEnd(self) -> None:
        """B5: a request that fails is running no more."""
        client = self.connect(self.login())
        client.ask(ONE, b"later:a")
        self.stop()
        self.handler.promised[b"a"].errback(ZeroDivisionError())
        self.turn()
        self.assertEqual(client.heard(), [b"\x00" + ONE])
        self.assertTrue(client.isClosed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_failureIsDelivered(self) -> None:
        """B5: the failure of the last request is made before the logins end, and so leaves."""
        client = self.connect(self.login())
        client.send(requestPacket(ONE, b"later:a") + requestPacket(TWO, b"later:b"))
        self.stop()
        self.fulfil(b"a", b"first")
        self.assertEqual(client.heard(), [b"first\x01" + ONE])
        self.assertFalse(client.isClosed)
        self.handler.promised[b"b"].errback(ZeroDivisionError())
        self.turn()
        self.assertEqual(client.heard(), [b"\x00" + TWO])
        self.assertTrue(client.isClosed)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_allOfThem(self) -> None:
        """B5: it is quiet after the last answer, not after the first."""
        client = self.connect(self.login())
        for session, content in ((ONE, b"later:a"), (TWO, b"later:b"), (THREE, b"later:c")):
            client.ask(session, content)
        self.stop()
        for name in (b"b", b"a"):
            self.fulfil(name, name)
            self.assertFalse(client.isClosed)
        self.fulfil(b"c", b"c")
        self.assertTrue(client.isClosed)


class KickTests(GateCase):
    """Kicks that are under way when the gate stops."""

    def setUp(self) -> None:
        super().setUp()
        self.user = self.login()
        self.saved: Deferred[None] = Deferred()
        self.handler.answers["kicked"] = self.saved
        self.kicked = self.service.kick(self.user.uid, self.user.subid)
        self.other = self.login(b"bob")
        self.stopped = self.stop()

    def test_othersEnd(self) -> None:
        """B5: the others end meanwhile, so that all of it takes one kick_timeout."""
        self.assertEqual(self.handler.calls[-1], ("loggedOut", self.other))
        self.assertEqual(list(self.service.users()), [self.user])

    def test_isWaitedFor(self) -> None:
        """B5, U3: whoever is being kicked is logged out when the handler has saved the data."""
        self.assertNoResult(self.stopped)
        self.saved.callback(None)
        self.successResultOf(self.stopped)
        self.successResultOf(self.kicked)
        self.assertEqual(self.handler.calls[-1], ("loggedOut", self.user))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_hangs(self) -> None:
        """B5, U3: but no longer than kick_timeout."""
        self.clock.advance(2.9)
        self.assertNoResult(self.stopped)
        self.clock.advance(0.1)
        self.successResultOf(self.stopped)
        self.assertEqual(self.handler.calls[-1], ("loggedOut", self.user))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class UnreadTests(GateCase):
    """Answers that clients have not read when the logins have ended."""

    def test_wholeTimeAgain(self) -> None:
        """B5: drain_timeout counts anew for their delivery, also after requests took all of it."""
        client = self.connect(self.login())
        client.ask(ONE, b"later:a")
        stopped = self.stop()
        self.clock.advance(10)
        self.assertTrue(client.isClosed)
        self.clock.advance(9.9)
        self.assertFalse(client.isAborted)
        self.clock.advance(0.1)
        self.assertTrue(client.isAborted)
        client.lose()
        self.successResultOf(stopped)
