"""L{msgserver.msgservice}: what a gate tells login servers, and does at their word."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.logger import LogLevel, capturedLogs

from msgserver.cluster import GateLoad, LoginRecord, Registration
from msgserver.errors import Forbidden, GateUnavailable, InvalidState
from msgserver.interfaces import User
from msgserver.msgservice import MsgService
from tests.gates import ONE, SECRET, TWO, GateCase

OURS = User(b"alice", b"ours", b"sample")
"""A login that the handler admits by itself."""


class RegistrationTests(GateCase):
    """What a gate says of itself when it registers."""

    def test_startRegisters(self) -> None:
        """The gate is introduced to the login side, with its address (L5)."""
        self.assertEqual(
            self.directory.registrations, [Registration(b"sample", "gate.example.org:8888")]
        )

    def test_logins(self) -> None:
        """A gate that registers anew says which logins it has, by subid and epoch (U4)."""
        alice, gone, bob = (self.login(uid) for uid in (b"alice", b"carol", b"bob"))
        self.handler.gate.logout(gone)
        self.service.startService()
        self.assertEqual(
            self.directory.registrations[-1].logins,
            (LoginRecord(b"alice", alice.subid, 1), LoginRecord(b"bob", bob.subid, 3)),
        )

    def test_superseded(self) -> None:
        """Those that have been superseded meanwhile are kicked, and no others (U3)."""
        alice, bob = self.login(b"alice"), self.login(b"bob")
        self.directory.superseded = [LoginRecord(alice.uid, alice.subid, 1)]
        self.service.startService()
        self.assertEqual(
            self.called("kicked", "loggedOut"), [("kicked", alice), ("loggedOut", alice)]
        )
        self.assertEqual(list(self.handler.gate.online()), [bob])

    def test_fails(self) -> None:
        """A login side that refuses the gate is logged."""
        self.directory.register = lambda *_: fail(InvalidState("no"))  # type: ignore[method-assign]  # to refuse
        self.service.startService()
        self.assertEqual(len(self.flushLoggedErrors(InvalidState)), 1)

    def test_describe(self) -> None:
        """It says its name, its address, its share and its load, of the moment it is asked."""
        service = MsgService(self.handler, b"other", self.clock, weight=7)
        self.assertEqual(service.describe(), Registration(b"other", None, 7))
        service.startService()
        self.handler.gate.login(User(b"alice", b"1", b"other"), SECRET)
        self.assertEqual(
            service.describe(), Registration(b"other", None, 7, False, GateLoad(1, 0, 0))
        )

    def test_handlersOwn(self) -> None:
        """Logins of the handler's own are nothing to the login side, but for the load."""
        self.handler.gate.login(OURS, SECRET)
        described = self.service.describe()
        self.assertEqual((described.logins, described.load), ((), GateLoad(1, 0, 0)))

    def test_handlerAdmitsItself(self) -> None:
        """One that the handler admits and then names is the login side's (the original's way)."""

        def loginReceived(uid: bytes, secret: bytes) -> bytes:
            self.handler.gate.login(OURS, secret)
            return OURS.subid

        self.handler.loginReceived = loginReceived  # type: ignore[method-assign]  # scripted
        self.login()
        self.assertEqual(self.service.describe().logins, (LoginRecord(b"alice", b"ours", 1),))
        self.handler.gate.logout(OURS)
        self.assertEqual(self.directory.ended, [(b"alice", b"ours")])


class LoggedOutTests(GateCase):
    """Of which ends of a login the login side is told (U2)."""

    def test_handlersOwn(self) -> None:
        """U2: of a login that it does not know of it is not told."""
        self.handler.gate.login(OURS, SECRET)
        self.handler.gate.logout(OURS)
        self.assertEqual(self.called("loggedOut"), [("loggedOut", OURS)])
        self.assertEqual(self.directory.ended, [])

    def test_refused(self) -> None:
        """Of one that was refused it is not told either: there is none."""
        self.handler.answers["loginReceived"] = Forbidden("banned")
        self.failureResultOf(self.loginOf(), Forbidden)
        self.assertEqual((self.directory.ended, self.service.describe().logins), ([], ()))

    def test_others(self) -> None:
        """U4: of its own it is told, each by its subid."""
        first, second = self.login(), self.login()
        self.handler.gate.login(OURS, SECRET)
        for user in (first, OURS, second):
            self.handler.gate.logout(user)
        self.assertEqual(self.directory.ended, [(b"alice", first.subid), (b"alice", second.subid)])


class LoadTests(GateCase):
    """What a gate says that it is doing."""

    def assertLoad(self, logins: int, connections: int, running: int) -> None:
        """See what it says."""
        load = GateLoad(logins, connections, running)
        self.assertEqual(self.successResultOf(self.service.load()), load)
        self.assertEqual(self.service.describe().load, load)

    def test_load(self) -> None:
        """It counts logins, those of its clients that are connected, and running requests."""
        self.assertLoad(0, 0, 0)
        alice, bob = self.login(b"alice"), self.login(b"bob")
        self.handler.gate.login(OURS, SECRET)
        self.assertLoad(3, 0, 0)
        client, _ = self.connect(alice), self.connect(bob)
        self.assertLoad(3, 2, 0)
        client.ask(ONE, b"later:a")
        client.ask(TWO, b"later:b")
        self.assertLoad(3, 2, 2)
        self.fulfil(b"a", b"done")
        client.lose()
        self.assertLoad(3, 1, 1)
        self.handler.gate.logout(bob)
        self.assertEqual(self.service.describe().load.logins, 2)
        self.fulfil(b"b", b"done")
        self.assertEqual(self.service.describe().load.running, 0)


class DrainingTests(GateCase):
    """A gate that takes no new logins."""

    def drain(self, isDraining: bool = True) -> None:
        """Have it drain, or not."""
        self.assertIsNone(self.successResultOf(self.service.setDraining(isDraining)))

    def test_noNewLogins(self) -> None:
        """A login is told that the gate is not there for it; the handler hears nothing."""
        self.drain()
        failure = self.failureResultOf(self.loginOf(), GateUnavailable)
        self.assertEqual(str(failure.value), "the gate takes no new logins")
        self.assertEqual((self.handler.calls, list(self.handler.gate.online())), ([], []))

    def test_stay(self) -> None:
        """The logins that there are stay, are served, and may connect anew."""
        user = self.login()
        client = self.connect(user, 1)
        self.drain()
        client.ask(ONE, b"one")
        self.assertEqual(client.heard(), [b"one\x01" + ONE])
        client.lose()
        client = self.connect(user, 2)
        client.ask(TWO, b"two")
        self.assertEqual(client.heard(), [b"two\x01" + TWO])
        self.assertEqual(self.called("kicked", "loggedOut"), [])

    def test_underWay(self) -> None:
        """A login that was under way already is finished."""
        prepared: Deferred[bytes] = Deferred()
        self.handler.answers["loginReceived"] = prepared
        login = self.loginOf()
        self.drain()
        prepared.callback(b"7")
        self.assertEqual(self.successResultOf(login), b"7")
        self.connect(User(b"alice", b"7", b"sample"))
        self.assertEqual(self.service.describe().logins, (LoginRecord(b"alice", b"7", 1),))

    def test_undone(self) -> None:
        """It takes logins again when it is told to."""
        self.drain()
        self.drain(False)
        self.connect(self.login())

    def test_told(self) -> None:
        """The login side is told each time, and whenever the gate describes itself."""
        for isDraining in (True, True, False):
            self.drain(isDraining)
            self.assertEqual(self.service.describe().isDraining, isDraining)
        self.assertEqual(self.directory.drained, [True, True, False])

    def test_waits(self) -> None:
        """It is done when the login side has been told; the gate drains before."""
        told: Deferred[None] = Deferred()
        self.directory.draining = lambda *_: told  # type: ignore[method-assign]  # to wait
        drained = self.service.setDraining(True)
        self.failureResultOf(self.loginOf(), GateUnavailable)
        self.assertNoResult(drained)
        told.callback(None)
        self.successResultOf(drained)

    def test_directoryFails(self) -> None:
        """A login side that does not take the news is logged, and the gate drains."""
        self.directory.draining = lambda *_: fail(ZeroDivisionError())  # type: ignore[method-assign]  # to fail
        self.drain()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.failureResultOf(self.loginOf(), GateUnavailable)

    def test_alone(self) -> None:
        """A gate without a login side drains as well: nobody is to be told."""
        service = MsgService(self.handler, b"alone", self.clock)
        self.successResultOf(service.setDraining(True))
        self.failureResultOf(service.login(b"alice", SECRET, 1), GateUnavailable)

    def test_handlersOwn(self) -> None:
        """Logins of the handler's own are the handler's to begin."""
        self.drain()
        self.handler.gate.login(OURS, SECRET)
        self.connect(OURS)


class StoppingTests(GateCase):
    """What the login side hears of a gate that stops (B5)."""

    def test_told(self) -> None:
        """B5: it is told at once to send no logins; and at the very end, that the gate is gone."""
        client = self.connect(self.login())
        client.ask(ONE, b"later:a")
        stopped = self.stop()
        self.assertEqual(self.directory.drained, [True])
        self.assertEqual((self.directory.ended, self.directory.unregistered), ([], []))
        self.fulfil(b"a", b"done")
        self.assertEqual(len(self.directory.ended), 1)
        self.assertEqual(self.directory.unregistered, [])
        client.lose()
        self.successResultOf(stopped)
        self.assertEqual(self.directory.unregistered, [self.service])

    def test_loginUnderWay(self) -> None:
        """B5: a login that is under way still is not admitted, as it would end at once."""
        prepared: Deferred[bytes] = Deferred()
        self.handler.answers["loginReceived"] = prepared
        login = self.loginOf()
        self.successResultOf(self.stop())
        prepared.callback(b"7")
        self.failureResultOf(login, GateUnavailable)
        self.assertEqual(list(self.handler.gate.online()), [])

    def test_drainingFirst(self) -> None:
        """A gate that is stopping is not to be told otherwise: it goes on to take no logins."""
        self.connect(self.login()).ask(ONE, b"later:a")
        self.successResultOf(self.service.setDraining(True))
        self.stop()
        self.successResultOf(self.service.setDraining(False))
        self.assertEqual(self.directory.drained, [True, True, True])
        self.assertTrue(self.service.describe().isDraining)
        failure = self.failureResultOf(self.loginOf(b"bob"), GateUnavailable)
        self.assertEqual(str(failure.value), "the gate is shutting down")

    def test_directoryFails(self) -> None:
        """B5: a login side that does not take the news does not keep the gate from stopping."""
        for name in ("draining", "unregister"):
            self.patch(self.directory, name, lambda *_: fail(ZeroDivisionError()))
        with capturedLogs() as events:
            self.successResultOf(self.stop())
        failures = [event for event in events if event["log_level"] is LogLevel.critical]
        self.assertEqual([event["what"] for event in failures], ["draining", "unregister"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_waitsForTheLeave(self) -> None:
        """B5: taking leave is waited for: what was told before has been heard then."""
        left: Deferred[None] = Deferred()
        self.patch(self.directory, "unregister", lambda gate: left)
        stopped = self.stop()
        self.assertNoResult(stopped)
        left.callback(None)
        self.successResultOf(stopped)


class ReplacedTests(GateCase):
    """Another gate of the same name and the same address."""

    def test_logged(self) -> None:
        """It is somebody's mistake, and so logged; the logins that there are go on."""
        client = self.connect(self.login())
        with capturedLogs() as events:
            self.service.replaced()
        self.assertEqual([event["log_level"] for event in events], [LogLevel.error])
        self.assertEqual(events[0]["name"], b"sample")
        client.ask(ONE, b"hello")
        self.assertEqual(client.heard(), [b"hello\x01" + ONE])
        self.clock.advance(5)

    def test_again(self) -> None:
        """It registers anew, with what it has then; not at once, as the other may do the same."""
        self.service.replaced()
        user = self.login()
        self.clock.advance(4.9)
        self.assertEqual(len(self.directory.registrations), 1)
        self.clock.advance(0.1)
        self.assertEqual(
            [login.subid for login in self.directory.registrations[1].logins], [user.subid]
        )

    def test_stops(self) -> None:
        """Not when it has stopped meanwhile, however often, and also while it stops."""
        self.service.replaced()
        self.service.replaced()
        self.successResultOf(self.stop())
        self.service.replaced()
        self.clock.advance(5)
        self.assertEqual(len(self.directory.registrations), 1)
