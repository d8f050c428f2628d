"""L{msgserver.msgservice}: the life of a login (U), the gate's part of L4, shutdown (B5)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from zope.interface.verify import verifyObject

from msgserver.cluster import IGate
from msgserver.errors import Forbidden, GateUnavailable, InvalidState
from msgserver.hiding import Hidden
from msgserver.interfaces import IMsgConnections, IMsgGate, User
from msgserver.msgservice import LifeLimits, MsgService
from msgserver.sessions import SessionLimits
from msgserver.wire.gate import GateClient, requestPacket
from msgserver.wire.naming import MAX_INDEX
from tests.gates import ONE, SECRET, TWO, Client, GateCase


class InterfaceTests(GateCase):
    def test_interfaces(self) -> None:
        """The service and what it gives to handlers are what they say."""
        verifyObject(IGate, self.service)
        verifyObject(IMsgConnections, self.service)
        verifyObject(IMsgGate, self.handler.gate)

    def test_aloneWithoutDirectory(self) -> None:
        """A gate may have no login side at all: its handler admits logins itself."""
        service = MsgService(self.handler, b"alone", self.clock)
        service.startService()
        user = User(b"alice", b"1", b"alone")
        self.handler.gate.login(user, SECRET)
        self.assertEqual(list(self.handler.gate.online()), [user])
        self.handler.gate.logout(user)
        self.assertEqual(list(self.handler.gate.online()), [])
        self.successResultOf(service.stopService())


class LoginTests(GateCase):
    """The gate's part of L4."""

    def test_subidIsOurs(self) -> None:
        """H5: a subid of ours has at least 64 random bits, and no two are alike."""
        subids = {self.login().subid for _ in range(100)}
        self.assertEqual(len(subids), 100)
        self.assertEqual({len(subid) for subid in subids}, {16})

    def test_subidOfTheHandler(self) -> None:
        """The handler may choose the subid, at once or later."""
        answer: Deferred[bytes] = Deferred()
        self.handler.answers["loginReceived"] = answer
        promised = self.loginOf()
        self.assertNoResult(promised)
        self.assertEqual(list(self.handler.gate.online()), [])
        answer.callback(b"7")
        self.assertEqual(self.successResultOf(promised), b"7")
        self.connect(User(b"alice", b"7", b"sample"))

    def test_handlerAdmitsItself(self) -> None:
        """The original's way: loginReceived calls login and names the subid."""
        user = User(b"alice", b"7", b"sample")

        def loginReceived(uid: bytes, secret: bytes) -> bytes:
            self.handler.gate.login(user, secret)
            return b"7"

        self.handler.loginReceived = loginReceived  # type: ignore[method-assign]  # scripted
        self.assertEqual(self.login(), user)
        self.assertEqual(list(self.handler.gate.online()), [user])

    def test_handlerRefuses(self) -> None:
        """A Forbidden of the handler is a no, and no bug."""
        self.handler.answers["loginReceived"] = Forbidden("banned")
        failure = self.failureResultOf(self.loginOf(), Forbidden)
        self.assertEqual(str(failure.value), "banned")
        self.assertEqual(list(self.handler.gate.online()), [])

    def test_handlerRaises(self) -> None:
        """Anything else that it raises is logged, and a no all the same."""
        self.handler.answers["loginReceived"] = ZeroDivisionError()
        self.failureResultOf(self.loginOf(), Forbidden)
        self.assertEqual(len(self.flushLoggedErrors(Hidden)), 1)

    def test_subidInUse(self) -> None:
        """A subid that is in use is refused, and the login that has it is unharmed."""
        self.handler.answers["loginReceived"] = b"7"
        client = self.connect(self.login())
        self.failureResultOf(self.loginOf(secret=bytes(8)), Forbidden)
        client.ask(ONE, b"hello")
        self.assertEqual(client.heard(), [b"hello\x01" + ONE])

    def test_nameIsTooLong(self) -> None:
        """A login is refused whose handshake no packet could hold; one that fits is not."""
        self.handler.answers["loginReceived"] = b"7"
        longest = User(bytes(30), b"7", b"sample")
        size = len(GateClient(longest, SECRET, MAX_INDEX).hello) - 2
        for limit, isRefused in ((size, False), (size - 1, True)):
            limits = SessionLimits(maxPacket=limit)
            service = MsgService(self.handler, b"sample", self.clock, sessionLimits=limits)
            promised = service.login(longest.uid, SECRET, 1)
            if isRefused:
                self.failureResultOf(promised, Forbidden)
                self.assertRaises(InvalidState, service.admit, longest, SECRET)
                self.assertEqual(list(service.users()), [])
            else:
                self.assertEqual(self.successResultOf(promised), b"7")

    def test_subidIsNone(self) -> None:
        """What is no subid is refused."""
        self.handler.answers["loginReceived"] = "7"
        self.failureResultOf(self.loginOf(), Forbidden)

    def test_givenUp(self) -> None:
        """L1: a login that nobody waits for any more is not admitted when it is ready."""
        answer: Deferred[bytes] = Deferred(lambda _: None)
        self.handler.answers["loginReceived"] = answer
        promised = self.loginOf()
        promised.addErrback(lambda _: None)
        promised.cancel()
        self.assertEqual(list(self.handler.gate.online()), [])

    def test_loginAgain(self) -> None:
        """U5: a login again has nothing of the old one."""
        old = self.login()
        client = self.connect(old)
        client.ask(ONE, b"first")
        self.successResultOf(self.service.kick(old.uid, old.subid))
        new = self.login()
        self.assertNotEqual(old.subid, new.subid)
        refused = Client(self.factory)
        refused.send(GateClient(old, SECRET, 2).hello)
        self.assertEqual(refused.heard(), [b"404 User Not Found"])
        again = self.connect(new, 1)
        again.ask(ONE, b"second")
        self.assertEqual(again.heard(), [b"second\x01" + ONE])


class DisconnectTests(GateCase):
    """U1."""

    def test_notLoggedOut(self) -> None:
        """U1: losing the connection is told once, and is not logging out."""
        user = self.login()
        client = self.connect(user)
        client.lose()
        self.assertEqual(self.called("disconnected", "loggedOut"), [("disconnected", user)])
        self.assertEqual(list(self.handler.gate.online()), [user])
        self.connect(user, 2)

    def test_notWhenReplaced(self) -> None:
        """U1, H4: a connection that has been replaced is lost in silence."""
        user = self.login()
        old = self.connect(user, 1)
        new = self.connect(user, 2)
        old.lose()
        self.assertEqual(self.called("disconnected"), [])
        new.lose()
        self.assertEqual(self.called("disconnected"), [("disconnected", user)])

    def test_notBeforeTheHandshake(self) -> None:
        """U1: a connection without a handshake is nobody's."""
        silent = Client(self.factory)
        silent.lose()
        refused = Client(self.factory)
        refused.send(GateClient(self.login(), SECRET, 0).hello)
        refused.lose()
        self.assertEqual(self.called("disconnected"), [])

    def test_handlerTakesItsTime(self) -> None:
        """U1: a disconnected that takes its time does not hold up the reconnection."""
        self.handler.answers["disconnected"] = Deferred()
        user = self.login()
        self.connect(user, 1).lose()
        client = self.connect(user, 2)
        client.ask(ONE, b"hello")
        self.assertEqual(client.heard(), [b"hello\x01" + ONE])

    def test_handlerRaises(self) -> None:
        """U1: nor does one that raises, at once or later; it is logged."""
        user = self.login()
        for index, answer in enumerate((ZeroDivisionError(), fail(ZeroDivisionError())), 1):
            self.handler.answers["disconnected"] = answer
            self.connect(user, index).lose()
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.connect(user, 3)

    def test_away(self) -> None:
        """The address is known while there is a connection."""
        user = self.login()
        self.assertIsNone(self.handler.gate.ip(user))
        client = self.connect(user)
        self.assertEqual(self.handler.gate.ip(user), "192.0.2.1")
        client.lose()
        self.assertIsNone(self.handler.gate.ip(user))
        self.assertIsNone(self.handler.gate.ip(User(b"nobody", b"", b"sample")))


class LogoutTests(GateCase):
    """U2."""

    def ended(self, user: User) -> None:
        """Hold what every end of a login comes to."""
        self.assertEqual(self.called("loggedOut"), [("loggedOut", user)])
        self.assertEqual(self.directory.ended, [(user.uid, user.subid)])
        self.assertEqual(list(self.handler.gate.online()), [])
        refused = Client(self.factory)
        refused.send(GateClient(user, SECRET, 99).hello)
        self.assertEqual(refused.heard(), [b"404 User Not Found"])

    def test_byTheRequest(self) -> None:
        """U2: the answer of the request that asks for the logout leaves before the close."""
        user = self.login()
        client = self.connect(user)
        client.send(
            requestPacket(ONE, b"hello") + requestPacket(TWO, b"logout") + requestPacket(ONE, b"x")
        )
        self.turn()
        self.assertEqual(client.heard(), [b"hello\x01" + ONE, b"bye\x01" + TWO])
        self.assertTrue(client.isClosed)
        self.assertEqual(self.handler.requests, [b"hello", b"logout"])
        client.lose()
        self.assertEqual(self.called("disconnected"), [])
        self.ended(user)

    def test_byAwaiting(self) -> None:
        """U2: so does that of a coroutine which has awaited the logout."""
        user = self.login()
        client = self.connect(user)
        client.ask(ONE, b"await logout")
        self.turn()
        self.assertEqual(client.heard(), [b"bye\x01" + ONE])
        self.assertTrue(client.isClosed)
        self.ended(user)

    def test_readyInTheSameTurn(self) -> None:
        """U2: answers that become ready in the turn of the logout leave; later ones do not."""
        user = self.login()
        client = self.connect(user)
        client.send(requestPacket(ONE, b"later:a") + requestPacket(TWO, b"later:b"))
        self.handler.gate.logout(user)
        self.handler.promised[b"a"].callback(b"in time")
        self.turn()
        self.handler.promised[b"b"].callback(b"too late")
        self.turn()
        self.assertEqual(client.heard(), [b"in time\x01" + ONE])
        self.assertTrue(client.isClosed)
        client.lose()
        self.ended(user)

    def test_afterTheLoss(self) -> None:
        """U2: an answer that comes after the end and the loss goes nowhere, harmlessly."""
        user = self.login()
        client = self.connect(user)
        client.ask(ONE, b"later:a")
        self.handler.gate.logout(user)
        self.turn()
        client.lose()
        self.fulfil(b"a", b"too late")
        self.ended(user)

    def test_twice(self) -> None:
        """U2: ending a login that has ended does nothing."""
        user = self.login()
        for _ in range(3):
            self.successResultOf(self.handler.gate.logout(user))
        self.successResultOf(self.service.kick(user.uid, user.subid))
        self.ended(user)
        self.assertEqual(self.called("kicked"), [])

    def test_whileAway(self) -> None:
        """U2: a login without a connection ends as well; what still runs is of no account."""
        user = self.login()
        client = self.connect(user)
        client.ask(ONE, b"later:a")
        client.lose()
        self.handler.gate.logout(user)
        self.fulfil(b"a", b"too late")
        self.ended(user)

    def test_fromLoggedOut(self) -> None:
        """U2: a loggedOut that logs out in turn is not called again."""
        user = self.login()

        def loggedOut(user: User) -> None:
            self.handler.calls.append(("loggedOut", user))
            self.handler.gate.logout(user)

        self.handler.loggedOut = loggedOut  # type: ignore[method-assign]  # scripted
        self.handler.gate.logout(user)
        self.ended(user)

    def test_loggedOutRaises(self) -> None:
        """U2: a loggedOut that raises is logged, and the login is gone all the same."""
        user = self.login()
        client = self.connect(user)
        self.handler.answers["loggedOut"] = ZeroDivisionError()
        self.handler.gate.logout(user)
        self.turn()
        self.assertTrue(client.isClosed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.ended(user)

    def test_directoryFails(self) -> None:
        """U2: so is a login side that does not take the news."""
        user = self.login()
        told: Any = self.directory.loggedOut
        self.directory.loggedOut = lambda *_: fail(ZeroDivisionError())  # type: ignore[method-assign]  # to fail
        self.handler.gate.logout(user)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        told(self.service, user.uid, user.subid)
        self.ended(user)

    def test_lateLogout(self) -> None:
        """U4: a late logout of the old login leaves the new one alone."""
        old = self.login()
        self.successResultOf(self.service.kick(old.uid, old.subid))
        new = self.login()
        client = self.connect(new)
        self.handler.gate.logout(old)
        self.successResultOf(self.service.kick(old.uid, old.subid))
        self.turn()
        client.ask(ONE, b"hello")
        self.assertEqual(client.heard(), [b"hello\x01" + ONE])


class AwayTests(GateCase):
    """U2: away_timeout."""

    lifeLimits = LifeLimits(awayTimeout=60)

    def test_awayTooLong(self) -> None:
        """A login without a connection ends after away_timeout, and not before."""
        user = self.login()
        self.connect(user).lose()
        self.clock.advance(59)
        self.assertEqual(self.called("loggedOut"), [])
        self.clock.advance(1)
        self.assertEqual(self.called("loggedOut"), [("loggedOut", user)])

    def test_neverConnected(self) -> None:
        """So does one that nobody ever connected to."""
        self.login()
        self.clock.advance(60)
        self.assertEqual(len(self.called("loggedOut")), 1)

    def test_back(self) -> None:
        """One that has a connection does not, and each absence counts from its beginning."""
        user = self.login()
        self.clock.advance(59)
        client = self.connect(user, 1)
        self.clock.advance(1000)
        client.lose()
        self.clock.advance(59)
        self.connect(user, 2)
        self.clock.advance(1000)
        self.assertEqual(self.called("loggedOut"), [])

    def test_noTimersLeft(self) -> None:
        """A login that has ended leaves no timer."""
        self.handler.gate.logout(self.login())
        self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class AwayForEverTests(GateCase):
    lifeLimits = LifeLimits(awayTimeout=0)

    def test_never(self) -> None:
        """U2: with away_timeout = 0 a login lasts for as long as it takes."""
        user = self.login()
        self.clock.advance(10**9)
        self.assertEqual(list(self.handler.gate.online()), [user])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class KickTests(GateCase):
    """U3."""

    def test_kick(self) -> None:
        """U3: kicked, then loggedOut, then the login side knows that it is done."""
        user = self.login()
        client = self.connect(user)
        self.successResultOf(self.service.kick(user.uid, user.subid))
        self.assertEqual(
            self.called("kicked", "loggedOut"), [("kicked", user), ("loggedOut", user)]
        )
        self.turn()
        self.assertTrue(client.isClosed)

    def test_unknown(self) -> None:
        """Kicking what is not there is done at once."""
        self.successResultOf(self.service.kick(b"alice", b"1"))
        self.assertEqual(self.handler.calls, [])

    def test_waitsForBoth(self) -> None:
        """U3: it is done when the handler has let go, which both of its methods may put off."""
        saved: Deferred[None] = Deferred()
        released: Deferred[None] = Deferred()
        self.handler.answers.update(kicked=saved, loggedOut=released)
        user = self.login()
        done = self.service.kick(user.uid, user.subid)
        self.assertEqual(self.called("loggedOut"), [])
        saved.callback(None)
        self.assertEqual(self.called("loggedOut"), [("loggedOut", user)])
        self.assertNoResult(done)
        released.callback(None)
        self.successResultOf(done)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bounded(self) -> None:
        """U3: kick_timeout bounds both together."""
        self.handler.answers.update(kicked=Deferred(), loggedOut=Deferred())
        user = self.login()
        done = self.service.kick(user.uid, user.subid)
        self.clock.advance(2.9)
        self.assertEqual(self.called("loggedOut"), [])
        self.clock.advance(0.1)
        self.assertEqual(self.called("loggedOut"), [("loggedOut", user)])
        self.turn()
        self.successResultOf(done)

    def test_isNotCancelled(self) -> None:
        """U3: a kicked that takes too long goes on; it may be saving something."""
        saving: Deferred[None] = Deferred()
        self.handler.answers["kicked"] = saving
        user = self.login()
        self.service.kick(user.uid, user.subid)
        self.clock.advance(10)
        self.assertFalse(saving.called)
        saving.errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_raises(self) -> None:
        """U3: one that raises is logged, and the login ends."""
        self.handler.answers["kicked"] = ZeroDivisionError()
        user = self.login()
        self.successResultOf(self.service.kick(user.uid, user.subid))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.called("loggedOut"), [("loggedOut", user)])

    def test_twice(self) -> None:
        """Two kicks of one login are one, and both hear when it is done."""
        saving: Deferred[None] = Deferred()
        self.handler.answers["kicked"] = saving
        user = self.login()
        both = [self.service.kick(user.uid, user.subid) for _ in range(2)]
        self.assertEqual(len(self.called("kicked")), 1)
        saving.callback(None)
        for done in both:
            self.successResultOf(done)

    def test_givenUp(self) -> None:
        """A login side that no longer waits changes nothing for another that does."""
        saving: Deferred[None] = Deferred()
        self.handler.answers["kicked"] = saving
        user = self.login()
        first, second = (self.service.kick(user.uid, user.subid) for _ in range(2))
        first.addErrback(lambda _: None)
        first.cancel()
        saving.callback(None)
        self.successResultOf(second)

    def test_servedMeanwhile(self) -> None:
        """U3: the login is a login until its kicked is done."""
        saving: Deferred[None] = Deferred()
        self.handler.answers["kicked"] = saving
        user = self.login()
        client = self.connect(user)
        self.service.kick(user.uid, user.subid)
        client.ask(ONE, b"hello")
        self.assertEqual(client.heard(), [b"hello\x01" + ONE])
        self.handler.gate.logout(user)
        saving.callback(None)
        self.assertEqual(self.called("loggedOut"), [("loggedOut", user)])


class ForgottenTests(GateCase):
    """S7: the forced logout."""

    sessionLimits = SessionLimits(expiredNumber=1, increasing=True)

    def test_logsOut(self) -> None:
        """S7: a past session without a kept response ends the login."""
        user = self.login()
        client = self.connect(user, 1)
        for number in range(1, 5):
            client.ask(bytes([0, 0, 0, number]), b"%d" % number)
        client.lose()
        again = self.connect(user, 2)
        again.send(requestPacket(ONE, b"1") + requestPacket(bytes([0, 0, 0, 9]), b"9"))
        self.turn()
        self.assertEqual(again.heard(), [])
        self.assertTrue(again.isClosed)
        self.assertEqual(self.handler.requests, [b"1", b"2", b"3", b"4"])
        self.assertEqual(self.called("loggedOut"), [("loggedOut", user)])


class ShutdownTests(GateCase):
    """B5."""

    def test_nothingToDo(self) -> None:
        """B5: a gate without logins stops at once, and is unregistered."""
        self.successResultOf(self.stop())
        self.assertEqual(self.directory.unregistered, [self.service])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drains(self) -> None:
        """B5: running requests finish, their answers are delivered, the logins end."""
        user = self.login()
        client = self.connect(user)
        client.ask(ONE, b"later:a")
        stopped = self.stop()
        client.ask(TWO, b"too late to begin")
        self.assertNoResult(stopped)
        self.assertEqual(self.called("loggedOut"), [])
        self.fulfil(b"a", b"done")
        self.assertEqual(client.heard(), [b"done\x01" + ONE])
        self.assertTrue(client.isClosed)
        self.assertEqual(self.called("loggedOut"), [("loggedOut", user)])
        self.assertNoResult(stopped)
        client.lose()
        self.successResultOf(stopped)
        self.assertEqual(self.handler.requests, [b"later:a"])
        self.assertEqual(self.called("disconnected"), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drainTimeout(self) -> None:
        """B5: requests that do not finish in time are not waited for."""
        user = self.login()
        client = self.connect(user)
        client.ask(ONE, b"later:a")
        stopped = self.stop()
        self.clock.advance(10)
        self.assertEqual(self.called("loggedOut"), [("loggedOut", user)])
        self.turn()
        self.assertTrue(client.isClosed)
        client.lose()
        self.successResultOf(stopped)

    def test_clientThatDoesNotClose(self) -> None:
        """B5: nor are clients that never close."""
        client = self.connect(self.login())
        stopped = self.stop()
        self.turn()
        self.assertFalse(client.isAborted)
        self.clock.advance(10)
        self.assertTrue(client.isAborted)
        self.successResultOf(stopped)

    def test_loggedOutTakesItsTime(self) -> None:
        """B5, U2: what loggedOut is saving is waited for, within kick_timeout."""
        saving: Deferred[None] = Deferred()
        self.handler.answers["loggedOut"] = saving
        self.login()
        stopped = self.stop()
        self.assertNoResult(stopped)
        self.clock.advance(3)
        self.successResultOf(stopped)

    def test_noNewLogins(self) -> None:
        """B5: a gate that is stopping takes neither logins nor handshakes."""
        user = self.login()
        client = self.connect(user)
        client.ask(ONE, b"later:a")
        self.stop()
        self.failureResultOf(self.loginOf(b"bob"), GateUnavailable)
        self.assertNotIn(("loginReceived", b"bob"), self.handler.calls)
        late = Client(self.factory)
        late.send(GateClient(user, SECRET, 2).hello)
        self.assertEqual(late.heard(), [b"404 User Not Found"])
        self.assertRaises(InvalidState, self.handler.gate.login, ALICE, SECRET)


class GateTests(GateCase):
    """L{IMsgGate}: the functions of the original's module."""

    def test_names(self) -> None:
        """A username is taken apart and put together as on the wire."""
        gate = self.handler.gate
        self.assertEqual(gate.username(b"alice", b"1", b"sample"), b"YWxpY2U=@c2FtcGxl#MQ==")
        self.assertEqual(gate.userid(b"YWxpY2U=@c2FtcGxl#MQ=="), ALICE)
        self.assertRaises(ValueError, gate.userid, b"alice")
        self.assertEqual(gate.servername, b"sample")

    def test_loginTwice(self) -> None:
        """A login that exists cannot be made again."""
        self.handler.gate.login(ALICE, SECRET)
        self.assertRaises(InvalidState, self.handler.gate.login, ALICE, SECRET)

    def test_loginWithoutSecret(self) -> None:
        """A login whose handshakes nobody could prove cannot be made."""
        self.assertRaises(InvalidState, self.handler.gate.login, ALICE, b"short")
        self.assertEqual(list(self.handler.gate.online()), [])

    def test_online(self) -> None:
        """Connected or away, a login is online; and logging out while asking is safe."""
        users = [self.login(b"%d" % number) for number in range(3)]
        self.connect(users[0])
        for user in self.handler.gate.online():
            self.handler.gate.logout(user)
        self.assertEqual([about for _, about in self.called("loggedOut")], users)


ALICE = User(b"alice", b"1", b"sample")
