"""
Tests for L{msgserver.remote.link}: calls, errors and pings, from either end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.cred.portal import IRealm
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs
from twisted.spread import jelly, pb
from zope.interface import implementer

from msgserver.errors import (
    Forbidden,
    GateUnavailable,
    IndexExpired,
    InvalidState,
    MsgServerError,
    NotAcceptable,
    Unauthorized,
    UserNotFound,
)
from msgserver.remote import link
from msgserver.remote.door import IDesk
from msgserver.remote.link import Link, LinkBroker, Served
from msgserver.testing import MemoryTransport
from tests.remote.links import TIMES, ControlCase, warnings

CROSSING = (
    Forbidden,
    GateUnavailable,
    InvalidState,
    NotAcceptable,
    Unauthorized,
    UserNotFound,
)


class Desk(Served):
    """
    What an end lets the other call.

    @ivar told: what it was called with.
    @ivar answer: what makes the answer.
    @ivar link: this end's link.
    @ivar peer: what the other end lets it call.
    """

    link: Link
    peer: pb.RemoteReference

    def __init__(self) -> None:
        self.told: list[object] = []
        self.answer: Callable[[], Any] = lambda: None

    def remote_ask(self, *about: object) -> Any:
        """Answer as the test says."""
        self.told.append(about[0] if len(about) == 1 else about)
        return self.answer()

    def remote_exchange(self, peer: pb.RemoteReference) -> None:
        """Take what the other end lets us call."""
        self.peer = peer

    def remote_ping(self) -> None:
        """Answer."""
        self.told.append("ping")


@implementer(IRealm)
class Realm:
    """Gives everybody a desk of their own, and keeps the latest."""

    desk: Desk

    def __init__(self, case: ControlCase) -> None:
        self._clock = case.clock

    def requestAvatar(self, avatarId: object, mind: Any, *interfaces: Any) -> Any:
        """See L{IRealm.requestAvatar}."""
        self.desk = Desk()
        self.desk.link = Link(mind, self._clock, TIMES)
        self.desk.link.stays()
        return IDesk, self.desk, lambda: None


def raising(error: Exception) -> Callable[[], Any]:
    """Make an answer that raises."""

    def answer() -> None:
        raise error

    return answer


def failing(error: Exception) -> Callable[[], Any]:
    """Make an answer that is a coroutine, and raises."""

    async def answer() -> None:
        raise error

    return answer


class LinkTestCase(ControlCase):
    """
    Tests of a link whose both ends have something to call.

    @ivar desk: what the login server's end lets the other call.
    @ivar mine: what the other end lets it call.
    """

    def makeRealm(self) -> IRealm:
        self.realm = Realm(self)
        return self.realm

    def setUp(self) -> None:
        super().setUp()
        self.connect()

    def connect(self) -> None:
        """Make a link, and let each end have what it may call of the other's."""
        self.link, self.there = self.entered()
        self.desk = self.realm.desk
        self.mine = Desk()
        self.resultOf(self.link.call(self.there, "exchange", self.mine))

    def ask(self, *about: object) -> Deferred[Any]:
        """Ask the login server's end, for as long as it takes."""
        return self.link.ask(self.there, "ask", *about)

    def call(self, *about: object) -> Deferred[Any]:
        """Ask the login server's end, and give up the link where that takes long."""
        return self.link.call(self.there, "ask", *about)

    @property
    def isLost(self) -> bool:
        """Whether both ends have lost the link."""
        return self.place.wire.isLost


class CallTests(LinkTestCase):
    """What is called, and what is answered."""

    def test_values(self) -> None:
        """What the ends say to each other arrives as it was, numbers of any size among it."""
        values = (b"", b"list", b"bytes\x00\xff", "text é", 0, -1, 2**60, 0.25, True, None)
        for value in (*values, (values, [*values])):
            self.desk.answer = lambda value=value: value  # type: ignore[misc]
            answer = self.resultOf(self.ask(value))
            self.assertEqual((answer, type(answer)), (value, type(value)))
            self.assertEqual(self.desk.told.pop(), value)

    def test_later(self) -> None:
        """A method may answer at once, later, or by a coroutine."""
        later: Deferred[bytes] = Deferred()
        promised: Deferred[bytes] = Deferred()

        async def coroutine() -> bytes:
            return await promised

        for make, wait in ((lambda: later, later), (coroutine, promised)):
            self.desk.answer = make
            asked = self.ask()
            self.turn()
            self.assertNoResult(asked)
            wait.callback(b"at last")
            self.assertEqual(self.resultOf(asked), b"at last")

    def test_bothWays(self) -> None:
        """Either end may call the other."""
        self.mine.answer = lambda: b"mine"
        desk = self.desk
        self.assertEqual(self.resultOf(desk.link.ask(desk.peer, "ask", 1)), b"mine")
        self.assertEqual(self.resultOf(desk.link.call(desk.peer, "ask", 2)), b"mine")
        desk.link.tell(desk.peer, "ask", 3)
        self.turn()
        self.assertEqual(self.mine.told, [1, 2, 3])

    def test_tell(self) -> None:
        """What is told is heard in its order, among calls, and nothing comes back."""
        for number in range(3):
            self.link.tell(self.there, "ask", number)
            self.ask(b"call")
        self.turn()
        self.assertEqual(self.desk.told, [0, b"call", 1, b"call", 2, b"call"])
        self.link.tell(self.there, "ask", 9)
        self.place.wire.client.leave()
        self.place.wire.server.arrive()
        self.assertEqual(self.place.wire.server.stream, [])

    def test_unknown(self) -> None:
        """A method that is not there is unavailable; that is nobody's bug."""
        for ask in (self.link.ask, self.link.call):
            self.assertFails(
                ask(self.there, "unheardOf"),
                GateUnavailable,
                "the other end of the link knows no unheardOf",
            )
        self.link.tell(self.there, "unheardOf")
        self.turn()
        self.assertFalse(self.isLost)

    def test_onlyRemote(self) -> None:
        """What is not meant to be called cannot be."""
        for method in ("remoteMessageReceived", "link", "__init__", ""):
            self.assertFails(self.link.ask(self.there, method), GateUnavailable)

    def test_otherTypes(self) -> None:
        """What this process has made known to the broker is not taken from a peer."""

        class Known(pb.Copyable, pb.RemoteCopy):
            pass

        self.patch(jelly, "unjellyableRegistry", {**jelly.unjellyableRegistry})
        jelly.setUnjellyableForClass(Known, Known)
        asked = self.ask(Known())
        with capturedLogs() as events:
            self.turn()
        self.failureResultOf(asked, GateUnavailable)
        self.assertEqual(self.desk.told, [])
        self.assertTrue(self.isLost)
        (warning,) = warnings(events)
        self.assertSubstring("no Perspective Broker: InsecureJelly(", warning)

    def test_oddAnswer(self) -> None:
        """An answer that makes no sense ends the link, and the call with its deadline."""
        self.desk.answer = lambda: b"fine"
        called = self.call()
        self.place.wire.client.leave()
        self.place.wire.server.arrive()
        answer = self.place.wire.server.getOutBuffer()
        self.place.wire.server.write(answer.replace(b"\x04\x82fine", b"\x01\x80\x04\x82fine"))
        with capturedLogs() as events:
            self.wait(TIMES.answer)
        self.failureResultOf(called, GateUnavailable)
        self.assertEqual(len(warnings(events)), 2, warnings(events))
        self.assertTrue(self.isLost)
        self.assertQuiet()


class ErrorTests(LinkTestCase):
    """Every refusal and failure crosses the link as itself."""

    def test_crossing(self) -> None:
        """Each expected error arrives as what it is, with its text, however it was raised."""
        for error in CROSSING:
            for text in ("", "a reason", "with: a colon", "two\nlines", "ünïcödé"):
                for answer in (
                    raising(error(text)),
                    failing(error(text)),
                    lambda error=error, text=text: fail(error(text)),
                ):
                    for ask in (self.ask, self.call):
                        self.desk.answer = answer
                        self.assertFails(ask(), error, text)

    def test_later(self) -> None:
        """So it does where it comes later."""
        later: Deferred[Any] = Deferred()
        self.desk.answer = lambda: later
        called = self.call()
        self.turn()
        later.errback(Forbidden("no"))
        self.assertFails(called, Forbidden, "no")

    def test_awaited(self) -> None:
        """Whoever awaits a call may catch what it raises."""

        async def main() -> str:
            try:
                await self.call()
            except UserNotFound as error:
                return str(error)
            return "nothing was raised"

        self.desk.answer = raising(UserNotFound("who?"))
        self.assertEqual(self.resultOf(main()), "who?")

    def test_bug(self) -> None:
        """
        Anything else is logged once where it was raised, and unavailable where it was called;
        what it says does not cross.
        """
        errors = (ValueError("secret"), IndexExpired("secret"), CancelledError("secret"))
        for error in errors:
            for answer in (
                raising(error),
                failing(error),
                lambda error=error: fail(error),
            ):
                self.desk.answer = answer
                self.assertFails(
                    self.call(),
                    GateUnavailable,
                    "the other end of the link failed: its log says why",
                )
                logged = self.flushLoggedErrors()
                self.assertEqual([failure.value for failure in logged], [error])
        self.assertFalse(self.isLost)

    def test_wrongArguments(self) -> None:
        """A method called with too little is a bug: logged once where it is called."""
        self.assertFails(self.link.call(self.there, "exchange"), GateUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_unexpectedName(self) -> None:
        """An error that the other end has and we do not is unavailable, with its text."""

        class Newer(MsgServerError):
            pass

        self.patch(link, "_CROSSING", {**link._CROSSING, "Newer": Newer})
        self.desk.answer = raising(Newer("a reason"))
        called = self.call()
        self.place.wire.client.leave()
        self.place.wire.server.arrive()
        del link._CROSSING["Newer"]
        self.assertFails(called, GateUnavailable, "a reason")

    def test_told(self) -> None:
        """What is told and refused is nobody's; what is told and a bug is logged once."""
        self.desk.answer = raising(Forbidden("no"))
        self.link.tell(self.there, "ask", 1)
        self.turn()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.desk.answer = raising(ValueError("a bug"))
        with capturedLogs() as events:
            self.link.tell(self.there, "ask", 1)
            self.turn()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertTrue(warnings(events)[0].startswith("ask failed"))

    def test_unsendable(self) -> None:
        """What cannot be sent fails where it is called, and the link stays."""
        self.assertFails(self.ask(object), Exception)
        self.assertFails(self.ask(bytes(700_000)), Exception)
        self.resultOf(self.ask(b"fine"))


class LossTests(LinkTestCase):
    """A link that is lost, or given up."""

    def test_middle(self) -> None:
        """Calls that wait for an answer when the link is lost are unavailable, at either end."""
        self.desk.answer = self.mine.answer = Deferred[Any]
        calls = [
            self.ask(1),
            self.call(2),
            self.desk.link.ask(self.desk.peer, "ask", 3),
            self.desk.link.call(self.desk.peer, "ask", 4),
        ]
        self.turn()
        self.place.cut()
        for call in calls:
            self.assertFails(call, GateUnavailable, "the link is lost")
        self.assertTrue(self.link.isLost and self.desk.link.isLost)
        self.assertQuiet()

    def test_dead(self) -> None:
        """Whatever is asked of a dead link is unavailable; what is told is nothing."""
        self.place.cut()
        for ask in (self.ask, self.call):
            self.assertFails(ask(), GateUnavailable, "the link is lost")
        self.link.tell(self.there, "ask")
        self.link.close()
        self.assertQuiet()

    def test_toldWhileDying(self) -> None:
        """Whoever hears of the loss by a call that fails may still tell, to nobody."""
        self.desk.answer = Deferred[Any]
        heard: list[bool] = []

        def failed(failure: object) -> None:
            self.link.tell(self.there, "ask")
            self.link.close()
            heard.append(self.link.isLost)

        self.ask(1).addErrback(failed)
        self.turn()
        self.place.cut()
        self.assertEqual(heard, [True])

    def test_answersToNobody(self) -> None:
        """An answer, or an error, for a link that is lost meanwhile goes nowhere."""
        later: list[Deferred[Any]] = [Deferred(), Deferred(), Deferred()]
        waiting = iter(later)
        self.desk.answer = lambda: next(waiting)
        for _ in later:
            self.ask(1).addErrback(lambda failure: failure.trap(GateUnavailable))
        self.turn()
        self.place.cut()
        later[0].callback(b"too late")
        later[1].errback(Forbidden("too late"))
        later[2].errback(ValueError("a bug nevertheless"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertQuiet()

    def test_deadline(self) -> None:
        """A call that is not answered in C{answer} seconds gives up the link, with a warning."""
        self.desk.answer = Deferred[Any]
        called, asked = self.call(1), self.ask(2)
        self.wait(TIMES.answer - 0.25)
        self.assertNoResult(called)
        self.assertFalse(self.isLost)
        with capturedLogs() as events:
            self.wait(0.25)
        self.assertFails(
            called, GateUnavailable, "the other end of the link did not answer in time"
        )
        self.assertFails(asked, GateUnavailable, "the link is lost")
        self.assertTrue(self.isLost)
        self.assertEqual(warnings(events), ["192.0.2.1:54321: no answer to ask"])
        self.assertQuiet()

    def test_noDeadline(self) -> None:
        """What is asked has no deadline here: who asks has one."""
        promised: Deferred[Any] = Deferred()
        self.desk.answer = lambda: promised
        asked = self.ask(1)
        self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.wait(60)
        self.assertNoResult(asked)
        promised.callback(5)
        self.assertEqual(self.resultOf(asked), 5)

    def test_answeredInTime(self) -> None:
        """A call that is answered leaves no timer, and the link is not given up later."""
        self.resultOf(self.call(1))
        self.assertQuiet()
        self.desk.answer = raising(Forbidden())
        self.assertFails(self.call(1), Forbidden)
        self.assertQuiet()
        self.wait(60)
        self.assertFalse(self.isLost)

    def test_late(self) -> None:
        """Answers that come after a deadline, or to one who does not wait, are no errors."""
        first: Deferred[Any] = Deferred()
        second: Deferred[Any] = Deferred()
        third: Deferred[Any] = Deferred()
        waiting = iter((first, second, third))
        self.desk.answer = lambda: next(waiting)
        abandoned = [self.ask(1), self.ask(2)]
        self.turn()
        for asked in abandoned:
            asked.cancel()
            self.failureResultOf(asked, CancelledError)
        first.callback(b"late")
        second.errback(Forbidden("late"))
        self.turn()
        self.assertFalse(self.isLost)
        called = self.call(3)
        self.turn()
        self.place.hold()
        third.callback(b"late")
        self.wait(TIMES.answer)
        self.failureResultOf(called, GateUnavailable)
        self.place.hold(False)
        self.assertQuiet()

    def test_cancelled(self) -> None:
        """A call that is cancelled is no reason to give up the link."""
        self.desk.answer = Deferred[Any]
        called = self.call(1)
        self.turn()
        called.cancel()
        self.failureResultOf(called, CancelledError)
        self.assertQuiet()
        self.assertFalse(self.isLost)

    def test_close(self) -> None:
        """What is closed delivers nothing any more, and is lost at both ends."""
        self.link.tell(self.there, "ask", 1)
        self.link.close()
        self.turn()
        self.assertEqual(self.desk.told, [])
        self.assertTrue(self.link.isLost and self.desk.link.isLost)
        self.link.close()
        self.assertQuiet()


class PingTests(LinkTestCase):
    """Pings find those who are frozen, and nobody else."""

    def watch(self) -> None:
        """Have both ends watch each other."""
        self.link.watch(self.there)
        self.desk.link.watch(self.desk.peer)

    def pings(self) -> tuple[int, int]:
        """How many pings have been heard, at the login server's end and the other."""
        return self.desk.told.count("ping"), self.mine.told.count("ping")

    def test_interval(self) -> None:
        """A ping goes out each C{pingInterval} seconds, the first after one."""
        self.watch()
        self.wait(TIMES.pingInterval - 0.25)
        self.assertEqual(self.pings(), (0, 0))
        self.wait(0.25)
        self.assertEqual(self.pings(), (1, 1))
        self.wait(10 * TIMES.pingInterval)
        self.assertEqual(self.pings(), (11, 11))

    def test_oneEnd(self) -> None:
        """An end that does not watch sends none."""
        self.desk.link.watch(self.desk.peer)
        self.wait(60)
        self.assertEqual(self.pings(), (0, 12))

    def test_late(self) -> None:
        """A peer is late when a ping has been without an answer for a second, until it is here."""
        self.watch()
        self.wait(TIMES.pingInterval - 0.25)
        self.place.hold()
        self.wait(1)
        self.assertFalse(self.link.isLate)
        self.wait(0.25)
        self.assertTrue(self.link.isLate)
        self.place.hold(False)
        self.turn()
        self.assertFalse(self.link.isLate)

    def test_frozen(self) -> None:
        """
        Either end, whichever watches, lets go of a frozen peer within C{pingInterval} and
        C{answer} seconds from when it froze, whenever that was.
        """
        for watching in ("link", "desk"):
            for alive in (0.25, 2.5, 5.0, 7.25):
                self.connect()
                end = self.link if watching == "link" else self.desk.link
                end.watch(self.there if watching == "link" else self.desk.peer)
                self.wait(alive)
                self.assertFalse(end.isLost)
                self.place.hold()
                self.wait(TIMES.answer - 0.25)
                self.assertFalse(end.isLost)
                self.wait(TIMES.pingInterval + 0.25)
                self.assertTrue(end.isLost, (watching, alive))
                self.place.hold(False)
                self.assertQuiet()

    def test_warned(self) -> None:
        """That is worth a line."""
        self.link.watch(self.there)
        self.place.hold()
        with capturedLogs() as events:
            self.wait(TIMES.pingInterval + TIMES.answer)
        self.assertEqual(warnings(events), ["192.0.2.1:54321: no answer to ping"])

    def test_alive(self) -> None:
        """A peer that answers late, but in time, stays."""
        self.watch()
        for _ in range(20):
            self.place.hold()
            self.wait(TIMES.answer - 0.5)
            self.place.hold(False)
            self.wait(TIMES.pingInterval)
        self.assertFalse(self.isLost)

    def test_noTimers(self) -> None:
        """A link that is lost, or closed, in the middle of a ping or not, leaves no timer."""
        for lose in (lambda: self.place.cut(), lambda: self.link.close()):
            for held in (False, True):
                self.connect()
                self.watch()
                self.wait(TIMES.pingInterval - 1)
                self.place.hold(held)
                self.wait(2)
                lose()
                self.turn()
                self.place.hold(False)
                self.assertQuiet()

    def test_refused(self) -> None:
        """A peer that knows no ping is alive."""
        self.link.watch(self.brokerOf(self.place.wire).remoteForName("root"))
        self.patch(Desk, "remote_ping", None)
        self.wait(60)
        self.assertFalse(self.isLost)


class BrokerTests(ControlCase):
    """The broker of one connection."""

    def makeBroker(self) -> LinkBroker:
        """Make one as the login server does."""
        return self.factory.buildProtocol(None)

    def test_noDelay(self) -> None:
        """A call over TCP does not wait for more to send."""
        transport = MemoryTransport("192.0.2.7")
        broker = self.makeBroker()
        transport.connect(broker)
        self.assertTrue(transport.getTcpNoDelay())
        self.assertEqual(broker.peer, "192.0.2.7:54321")
        transport.lose()
        self.assertQuiet()

    def test_unixSocket(self) -> None:
        """A peer without an address is named by what it has come through."""
        broker = self.makeBroker()
        broker.makeConnection(StringTransport(peerAddress=UNIXAddress(None)))
        self.assertEqual(broker.peer, "a UNIX socket")
        broker.connectionLost()
        self.assertQuiet()

    def test_ready(self) -> None:
        """One that is lost before both ends speak the same language never was ready."""
        broker = LinkBroker(isClient=True)
        broker.factory = self.factory
        ready = broker.ready
        transport = MemoryTransport()
        transport.connect(broker)
        self.assertNoResult(ready)
        self.assertNoResult(broker.lost)
        transport.lose()
        self.failureResultOf(ready, GateUnavailable)
        self.successResultOf(broker.lost)

    def test_levels(self) -> None:
        """Nothing that goes right is logged above info."""
        with capturedLogs() as events:
            ours, desk = self.entered()
            self.resultOf(ours.call(desk, "ping"))
            ours.close()
            self.turn()
        self.assertEqual([event for event in events if event["log_level"] > LogLevel.info], [])
