"""
Tests for L{msgserver.remote.servers}: a gate that keeps registered with its login servers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from attrs import evolve
from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs, formatEvent
from zope.interface.verify import verifyObject

from msgserver.cluster import GateLoad, IGate, ILoginDirectory, LoginRecord, Registration
from msgserver.errors import GateUnavailable
from msgserver.remote import gates, servers
from msgserver.remote.gates import ControlRealm
from msgserver.remote.servers import RETRY_DELAY, GateKey, LoginServers
from msgserver.testing import MemoryGate
from tests.remote.links import (
    GATE_TIMEOUT,
    SAMPLE,
    SAMPLE_KEY,
    STEP,
    TIMES,
    ControlCase,
    Directory,
    Place,
    warnings,
)

ALICE = LoginRecord(b"alice", b"1", 10)
BOB = LoginRecord(b"bob", b"2", 20)
CAROL = LoginRecord(b"carol", b"3", 30)
DAVE = LoginRecord(b"dave", b"4", 40)

RETRY = 3.0


class ServersCase(ControlCase):
    """
    Tests that need a gate, and two login servers that it knows.

    @ivar directory: what the first one's gates report to.
    @ivar otherDirectory: what the second one's gates report to.
    @ivar registration: what the gate says of itself.
    @ivar described: how often it was asked.
    """

    def setUp(self) -> None:
        super().setUp()
        self.other = self.makePlace()
        self.otherDirectory = Directory()
        self.gate = MemoryGate()
        self.registration = Registration(
            b"sample", "192.0.2.9:8888", 2, True, GateLoad(4, 5, 6), (ALICE, BOB)
        )
        self.described = 0
        self.servers = self.makeServers()

    def makeServers(self, key: GateKey = SAMPLE_KEY) -> LoginServers:
        """Make the gate's end."""
        places = [("first", self.place), ("second", self.other)]
        return LoginServers(key, places, self.clock, TIMES, RETRY)

    def listenToo(self) -> None:
        """Have the second login server listen."""
        realm = ControlRealm(self.otherDirectory, self.operations, self.clock, TIMES, GATE_TIMEOUT)
        self.other.factory = self.makeFactory(realm)

    def describe(self) -> Registration:
        """Tell what the gate says of itself."""
        self.described += 1
        return self.registration

    def register(self) -> None:
        """Register the gate, and let that happen."""
        registered = self.servers.register(self.gate, self.describe)
        superseded: Sequence[LoginRecord] = self.successResultOf(registered)
        self.assertEqual(list(superseded), [])
        self.turn()

    def stop(self) -> Deferred[None]:
        """Begin to unregister it."""
        stopped = self.servers.unregister(self.gate)
        self.turn()
        return stopped

    def kicked(self) -> list[tuple[bytes, bytes]]:
        """Tell whom the gate was asked to kick."""
        return [(uid, subid) for what, uid, subid in self.gate.asked if what == "kick"]

    def loggedOut(self, *logins: LoginRecord) -> None:
        """Have logins end."""
        for login in logins:
            self.successResultOf(self.servers.loggedOut(self.gate, login.uid, login.subid))


class RegisterTests(ServersCase):
    """How a gate comes to be known, again and again."""

    def test_interface(self) -> None:
        """It is a directory as any."""
        verifyObject(ILoginDirectory, self.servers)

    def test_register(self) -> None:
        """The gate is registered as it says, and its logins are told of."""
        with capturedLogs() as events:
            self.register()
        self.assertEqual(self.directory.registrations, [evolve(self.registration, logins=())])
        self.assertEqual(self.directory.adopted, [ALICE, BOB])
        messages = [formatEvent(event) for event in events]
        self.assertIn("registered with first", messages)

    def test_links(self) -> None:
        """Each link is up from the registration there to its loss, and both are told."""
        up, down = ("first", True), ("first", False)
        away = ("second", False)
        self.assertEqual(self.servers.links(), [down, away])
        with capturedLogs() as events:
            self.register()
            self.assertEqual(self.servers.links(), [up, away])
            self.place.cut()
            self.assertEqual(self.servers.links(), [down, away])
            self.wait(RETRY)
            self.assertEqual(self.servers.links(), [up, away])
        told = [(event["event"], event["server"]) for event in events if "event" in event]
        links = [("link_up", "first"), ("link_down", "first"), ("link_up", "first")]
        self.assertEqual(told, links)
        self.stop()
        self.assertEqual(self.servers.links(), [down, away])

    def test_notUp(self) -> None:
        """A login server that is connected to, and takes no registration, is no link."""

        def register(gate: IGate, describe: Callable[[], Registration]) -> NoReturn:
            raise GateUnavailable("not now")

        self.directory.register = register  # type: ignore[method-assign]  # one that says no
        with capturedLogs() as events:
            self.register()
        self.assertIn("no registration with first: not now", warnings(events))
        self.assertEqual(self.servers.links()[0], ("first", False))

    def test_before(self) -> None:
        """Nothing is attempted before the gate registers, nor in that call."""
        self.wait(60)
        self.assertEqual(self.place.attempts, [])
        self.servers.register(self.gate, self.describe)
        self.assertEqual((self.place.attempts, self.described), ([], 0))

    def test_again(self) -> None:
        """Whenever a link was lost the gate is described anew, and all its logins are told."""
        self.register()
        for number in range(2, 6):
            self.registration = evolve(
                self.registration, isDraining=number % 2 == 0, load=GateLoad(number)
            )
            with capturedLogs() as events:
                self.place.cut()
            self.assertEqual(warnings(events), ["first is away"])
            self.wait(RETRY)
            self.assertEqual(self.described, number)
            self.assertEqual(
                self.directory.registrations[1:][-1], evolve(self.registration, logins=())
            )
            self.assertEqual(self.directory.adopted, [ALICE, BOB] * number)
        self.assertEqual(len(self.directory.unregistered), 4)
        self.assertEqual(len(self.place.attempts), 5)

    def test_backOff(self) -> None:
        """The waits grow from some tenths of a second to C{retryDelay}, and not past it."""
        self.place.factory = None
        self.register()
        self.wait(60)
        times = self.place.attempts
        waits = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
        self.assertLess(waits[0], 0.75)
        self.assertEqual(waits, sorted(waits))
        self.assertTrue(RETRY - 2 * STEP <= waits[-1] <= RETRY, waits)

    def test_delays(self) -> None:
        """By whatever chance, no delay is longer than was said, and they do differ."""
        for retryDelay in (0.05, 0.2, 1.0, 5.0, 60.0):
            first = set()
            for chance in (0.0, 0.999):
                self.patch(servers, "random", lambda chance=chance: chance)
                delays = self.delaysOf(retryDelay)
                self.assertTrue(all(0 < delay <= retryDelay for delay in delays), delays)
                self.assertLessEqual(delays[0], 0.7)
                first.add(delays[0])
                self.assertGreaterEqual(delays[-1], retryDelay - 0.5 if chance else 0)
            self.assertEqual(len(first), 2)
        self.assertEqual(RETRY_DELAY, 5.0)

    def delaysOf(self, retryDelay: float) -> list[float]:
        """Tell the delays after so many failures."""
        place = Place(self.clock)
        each = LoginServers(SAMPLE_KEY, [("place", place)], self.clock, TIMES, retryDelay)
        with capturedLogs() as events:
            each.register(self.gate, self.describe)
            for _ in range(30):
                self.clock.advance(0)
                self.clock.advance(retryDelay)
            self.successResultOf(each.unregister(self.gate))
        return [event["delay"] for event in events if "delay" in event]

    def test_restarted(self) -> None:
        """A login server that was away for long knows the gate C{retryDelay} after it is back."""
        factory = self.place.factory
        self.register()
        self.place.factory = None
        self.place.cut()
        self.wait(60)
        self.place.factory = factory
        self.wait(RETRY)
        self.assertEqual(len(self.directory.registrations), 2)

    def test_wrongKey(self) -> None:
        """
        A wrong key is an error in the gate's log, and a warning in the login server's; the
        gate goes on trying, with back-off, and comes in when the key has been put right.
        """
        self.servers = LoginServers(
            GateKey(SAMPLE, b"wrong"), [("first", self.place)], self.clock, TIMES, RETRY
        )
        with capturedLogs() as events:
            self.register()
        bad = [event for event in events if event["log_level"] >= LogLevel.warn]
        self.assertEqual(
            [(event["log_level"], formatEvent(event)) for event in bad],
            [
                (
                    LogLevel.warn,
                    "192.0.2.1:54321: refused as b'gate sample': unknown, or a wrong key",
                ),
                (LogLevel.error, "no registration with first: unknown, or a wrong key"),
            ],
        )
        self.wait(30)
        self.assertGreater(len(self.place.attempts), 8)
        self.assertLess(len(self.place.attempts), 30)
        self.assertTrue(all(wire.isLost for wire in self.place.wires))
        self.factory.keys._keys[SAMPLE] = b"wrong"
        self.wait(RETRY)
        self.assertEqual(len(self.directory.registrations), 1)

    def test_away(self) -> None:
        """One that is away is a warning for each attempt, by the name it has in the config."""
        self.place.factory = None
        with capturedLogs() as events:
            self.register()
        self.assertEqual(len(warnings(events)), 2)
        self.assertTrue(warnings(events)[0].startswith("no registration with first: Conn"))
        self.assertTrue(warnings(events)[1].startswith("no registration with second: Conn"))

    def test_cutWhileEntering(self) -> None:
        """A link that is lost at whatever point of the registration is made again."""
        for steps in range(12):
            self.place.wires.clear()
            registered = len(self.directory.registrations)
            each = self.makeServers()
            each.register(self.gate, self.describe)
            self.clock.advance(0)
            for _ in range(steps):
                self.place.wire.flow()
            self.place.cut()
            self.wait(RETRY)
            self.assertGreater(len(self.directory.registrations), registered)
            self.assertEqual(self.directory.adopted[-2:], [ALICE, BOB])
            stopped = each.unregister(self.gate)
            self.turn()
            self.successResultOf(stopped)
            self.assertQuiet()

    def test_frozen(self) -> None:
        """A login server that is frozen is given up, and the gate registers with it later."""
        self.register()
        self.wait(2)
        self.place.hold()
        with capturedLogs() as events:
            self.wait(TIMES.pingInterval + TIMES.answer)
        self.assertIn("192.0.2.1:54321: no answer to ping", warnings(events))
        self.assertIn("first is away", warnings(events))
        self.wait(20)
        self.place.hold(False)
        self.wait(TIMES.answer + RETRY + 1)
        known = set(self.directory.gates) - set(self.directory.unregistered)
        self.assertEqual(known, {self.directory.gate})

    def test_alive(self) -> None:
        """One that is alive is kept for good."""
        self.register()
        self.wait(300)
        self.assertEqual(len(self.place.attempts), 1)

    def test_bug(self) -> None:
        """Where the login server fails to register it, the gate tries again."""

        def register(*arguments: object) -> None:
            raise ValueError("a bug")

        patched = self.patch(Directory, "register", register)
        with capturedLogs() as events:
            self.register()
        self.assertTrue(self.place.wire.isLost)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertIn(
            "no registration with first: the other end of the link failed: its log says why",
            warnings(events),
        )
        patched.restore()
        self.wait(RETRY)
        self.assertEqual(len(self.directory.registrations), 1)

    def test_replaced(self) -> None:
        """
        A gate that another has taken the place of is told, and registers anew; not at once,
        since the other one may do the same.
        """
        self.register()
        for count in (1, 2):
            with capturedLogs() as events:
                self.directory.gate.replaced()
                self.wait(RETRY)
            errors = [event for event in events if event["log_level"] is LogLevel.error]
            self.assertIn("an advertise of its own", formatEvent(errors[0]))
            self.assertEqual(len(self.directory.registrations), count)
            self.wait(RETRY)
            self.assertEqual(len(self.directory.registrations), count + 1)
        self.place.cut()
        self.wait(RETRY)
        self.assertEqual(len(self.directory.registrations), 4)


class AdoptTests(ServersCase):
    """How the logins of a gate come to be known, and what happens meanwhile."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(servers, "PAGE", 2)
        self.registration = evolve(self.registration, logins=(ALICE, BOB, CAROL, DAVE))
        self.onDescribe: Callable[[], object] = lambda: None

    def test_pages(self) -> None:
        """They are told of by the page, each when the one before has been answered."""
        logins = [LoginRecord(b"%d" % number, b"1", number) for number in range(5)]
        for count, pages in ((0, []), (1, [1]), (2, [2]), (3, [2, 1]), (5, [2, 2, 1])):
            self.directory.pages, self.directory.adopted = [], []
            self.registration = evolve(self.registration, logins=tuple(logins[:count]))
            self.servers = self.makeServers()
            self.register()
            self.assertEqual(self.directory.pages, pages)
            self.assertEqual(self.directory.adopted, logins[:count])
            self.successResultOf(self.stop())

    def test_page(self) -> None:
        """A page is of a thousand logins."""
        self.patch(servers, "PAGE", 1000)
        logins = tuple(LoginRecord(b"%d" % number, b"1", number) for number in range(2500))
        self.registration = evolve(self.registration, logins=logins)
        self.register()
        self.assertEqual(self.directory.pages, [1000, 1000, 500])
        self.assertEqual(self.directory.adopted, list(logins))
        self.assertEqual(gates.PAGE, 1000)

    def test_superseded(self) -> None:
        """Those that newer ones have superseded are kicked, with a line in the log."""
        self.directory.superseded = [ALICE, DAVE]
        self.registration = evolve(self.registration, logins=(ALICE, DAVE))
        with capturedLogs() as events:
            self.register()
        self.assertEqual(self.kicked(), [(b"alice", b"1"), (b"dave", b"4")])
        (line,) = (formatEvent(each) for each in events if each.get("login") == ALICE)
        self.assertEqual(line, f"{ALICE} is superseded, says first")

    def test_ended(self) -> None:
        """Those that end while they are being told of are not brought to life again."""
        self.directory.meanwhile = [lambda: self.loggedOut(ALICE, CAROL)]
        self.register()
        self.assertEqual(self.directory.adopted, [ALICE, BOB, DAVE])
        self.assertEqual(self.directory.ended, [(b"alice", b"1"), (b"carol", b"3")])

    def test_endedWhileRegistering(self) -> None:
        """Nor those that end between the description and the answer to it."""
        self.onDescribe = self.place.hold
        self.register()
        self.loggedOut(ALICE)
        self.loggedOut(DAVE)
        self.place.hold(False)
        self.turn()
        self.assertEqual(self.directory.adopted, [BOB, CAROL])
        self.assertEqual(self.directory.ended, [(b"alice", b"1"), (b"dave", b"4")])

    def describe(self) -> Registration:
        """Tell, and do what is to happen meanwhile."""
        registration = super().describe()
        self.onDescribe()
        return registration

    def test_newWhileRegistering(self) -> None:
        """New ones of that time are told of, and so is what the gate was told to do."""
        self.onDescribe = self.place.hold
        self.register()
        new = LoginRecord(b"eve", b"5", 50)
        self.successResultOf(self.servers.adopt(self.gate, [new]))
        self.successResultOf(self.servers.draining(self.gate, False))
        self.assertEqual(self.directory.registrations, [])
        self.place.hold(False)
        self.turn()
        self.assertEqual(self.directory.adopted, [new, ALICE, BOB, CAROL, DAVE])
        self.assertEqual(self.directory.drained, [False])
        self.assertTrue(self.directory.registrations[0].isDraining)

    def test_newMeanwhile(self) -> None:
        """So are those that begin while the others are being told of."""
        new = LoginRecord(b"eve", b"5", 50)
        self.directory.meanwhile = [lambda: self.servers.adopt(self.gate, [new])]
        self.register()
        self.assertEqual(
            sorted(each.uid for each in self.directory.adopted),
            [b"alice", b"bob", b"carol", b"dave", b"eve"],
        )

    def test_endedBefore(self) -> None:
        """What ended in an earlier round is no matter of the next one."""
        self.directory.meanwhile = [lambda: self.loggedOut(CAROL)]
        self.register()
        (server,) = (each for each in self.servers._servers if each.text == "first")
        self.assertIsNone(server._ended, "what has ended is noted for ever")
        self.place.cut()
        self.directory.adopted = []
        self.wait(RETRY)
        self.assertEqual(self.directory.adopted, [ALICE, BOB, CAROL, DAVE])

    def test_sameUid(self) -> None:
        """Another login of the same uid is another login."""
        again = LoginRecord(b"carol", b"33", 31)
        self.registration = evolve(self.registration, logins=(ALICE, BOB, CAROL, again))
        self.directory.meanwhile = [lambda: self.loggedOut(CAROL)]
        self.register()
        self.assertEqual(self.directory.adopted, [ALICE, BOB, again])

    def test_cutMeanwhile(self) -> None:
        """Where the link is lost in between, the next one begins anew."""
        self.directory.meanwhile = [lambda: None, self.place.cut]
        self.register()
        self.assertTrue(self.place.wire.isLost)
        self.directory.adopted = []
        self.wait(RETRY)
        self.assertEqual(self.directory.adopted, [ALICE, BOB, CAROL, DAVE])

    def test_late(self) -> None:
        """A logout while the server is away is told by not being told of."""
        self.register()
        self.place.cut()
        self.loggedOut(ALICE)
        self.registration = evolve(self.registration, logins=(BOB,))
        self.directory.adopted = []
        self.wait(RETRY)
        self.assertEqual((self.directory.adopted, self.directory.ended), ([BOB], []))


class SeveralTests(ServersCase):
    """A gate that is registered with two login servers."""

    def setUp(self) -> None:
        super().setUp()
        self.listenToo()
        self.register()
        self.directory.adopted, self.otherDirectory.adopted = [], []

    def login(self, directory: Directory, uid: bytes = b"eve", epoch: int = 50) -> bytes:
        """Have a login server ask for a login; give the subid."""
        return self.resultOf(directory.gate.login(uid, b"8 secret", epoch))

    def test_both(self) -> None:
        """Both know it."""
        for directory in (self.directory, self.otherDirectory):
            self.assertEqual(directory.registrations, [evolve(self.registration, logins=())])
        self.assertEqual(self.described, 2)

    def test_login(self) -> None:
        """A login that one of them asks for the other is told of, and no one else."""
        subid = self.login(self.directory)
        self.turn()
        self.assertEqual(self.directory.adopted, [])
        self.assertEqual(self.otherDirectory.adopted, [LoginRecord(b"eve", subid, 50)])
        subid = self.login(self.otherDirectory, b"frank", 60)
        self.turn()
        self.assertEqual(self.directory.adopted, [LoginRecord(b"frank", subid, 60)])
        self.assertEqual(len(self.otherDirectory.adopted), 1)

    def test_superseded(self) -> None:
        """Where the other knows a newer one, it is kicked."""
        self.otherDirectory.superseded = [LoginRecord(b"eve", b"1", 50)]
        self.login(self.directory)
        self.turn()
        self.assertEqual(self.kicked(), [(b"eve", b"1")])

    def test_told(self) -> None:
        """A logout, and draining, both are told of."""
        self.loggedOut(ALICE)
        for isDraining in (True, False):
            self.successResultOf(self.servers.draining(self.gate, isDraining))
        self.turn()
        for directory in (self.directory, self.otherDirectory):
            self.assertEqual(directory.ended, [(b"alice", b"1")])
            self.assertEqual(directory.drained, [True, False])

    def test_oneAway(self) -> None:
        """While one is away the other is served as ever."""
        factory, self.place.factory = self.place.factory, None
        self.place.cut()
        subid = self.login(self.otherDirectory)
        self.loggedOut(ALICE)
        self.successResultOf(self.servers.draining(self.gate, True))
        self.wait(60)
        self.assertEqual(self.otherDirectory.ended, [(b"alice", b"1")])
        self.assertEqual(len(self.other.attempts), 1)
        self.assertEqual(len(self.otherDirectory.registrations), 1)
        self.assertEqual(self.directory.adopted, [])
        self.place.factory = factory
        self.registration = evolve(self.registration, logins=(LoginRecord(b"eve", subid, 50),))
        self.wait(RETRY)
        self.assertEqual(self.directory.adopted, list(self.registration.logins))

    def test_oneFrozen(self) -> None:
        """While one is frozen, too; that it does not answer is no error."""
        self.place.hold()
        for number in range(5):
            self.login(self.otherDirectory, b"%d" % number)
        self.loggedOut(ALICE)
        self.wait(30)
        self.assertEqual(len(self.otherDirectory.registrations), 1)
        self.assertEqual(self.otherDirectory.ended, [(b"alice", b"1")])
        self.place.hold(False)
        self.wait(TIMES.answer + RETRY)


class StopTests(ServersCase):
    """A gate that takes leave."""

    def test_unregister(self) -> None:
        """Both servers are told, and the links are closed."""
        self.listenToo()
        self.register()
        self.successResultOf(self.stop())
        for directory, place in ((self.directory, self.place), (self.otherDirectory, self.other)):
            # Once by its word, and once by the loss that follows.
            self.assertEqual(directory.unregistered, [directory.gate] * 2)
            self.assertTrue(place.wire.isLost)
        self.wait(60)
        self.assertEqual(len(self.place.attempts), 1)
        self.assertQuiet()

    def test_quiet(self) -> None:
        """A leave that goes right is not worth a warning."""
        self.listenToo()
        self.register()
        with capturedLogs() as events:
            self.stop()
        self.assertEqual(warnings(events), [])

    def test_waits(self) -> None:
        """It is done when the server has heard, and the link is closed; not before."""
        self.other.factory = None
        self.register()
        stopped = self.servers.unregister(self.gate)
        while not self.place.wire.client.disconnected:
            self.assertNoResult(stopped)
            self.place.wire.flow()
        self.successResultOf(stopped)
        self.assertEqual(self.directory.unregistered[:1], [self.directory.gate])

    def test_frozen(self) -> None:
        """A server that is frozen holds it up for C{answer} seconds, and the other not at all."""
        self.listenToo()
        self.register()
        self.place.hold()
        with capturedLogs() as events:
            stopped = self.stop()
            self.assertTrue(self.other.wire.isLost)
            self.wait(TIMES.answer - 0.25)
            self.assertNoResult(stopped)
            self.wait(0.25)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertIn(
            "first: could not unregister: the other end of the link did not answer in time",
            [formatEvent(event) for event in events],
        )
        self.place.hold(False)
        self.assertQuiet()

    def test_lost(self) -> None:
        """A server that goes away meanwhile does not hold it up."""
        self.register()
        stopped = self.servers.unregister(self.gate)
        self.place.cut()
        self.turn()
        self.successResultOf(stopped)
        self.wait(60)
        self.assertEqual(len(self.place.attempts), 1)
        self.assertQuiet()

    def test_away(self) -> None:
        """Servers that are away do not hold it up, and are not tried again."""
        self.place.factory = None
        self.register()
        self.wait(2)
        attempts = len(self.place.attempts)
        self.successResultOf(self.stop())
        self.wait(60)
        self.assertEqual(len(self.place.attempts), attempts)
        self.assertQuiet()

    def test_whileAttempting(self) -> None:
        """An attempt under way ends, at whatever point, without a word in the log."""
        for steps in range(12):
            self.place.wires.clear()
            self.servers = self.makeServers()
            self.servers.register(self.gate, self.describe)
            self.clock.advance(0)
            for _ in range(steps):
                self.place.wire.flow()
            with capturedLogs() as events:
                stopped = self.stop()
            self.successResultOf(stopped)
            self.assertEqual(warnings(events), [], steps)
            self.assertTrue(self.place.wire.isLost)
            self.assertQuiet()
        self.assertEqual(
            set(self.directory.gates), set(self.directory.unregistered), "some are left"
        )

    def test_whileFrozen(self) -> None:
        """Nor does an attempt hold it up that nobody answers."""
        self.place.hold()
        self.register()
        self.wait(1)
        self.successResultOf(self.stop())
        self.assertTrue(self.place.wire.client.disconnected)
        self.place.hold(False)
        self.assertQuiet()
        self.assertEqual(self.directory.registrations, [])

    def test_toldAfter(self) -> None:
        """What happens at the gate after that is told to nobody, and is no error."""
        self.register()
        self.successResultOf(self.stop())
        self.loggedOut(ALICE)
        self.successResultOf(self.servers.draining(self.gate, True))
        self.successResultOf(self.servers.adopt(self.gate, [CAROL]))
        self.assertEqual((self.directory.ended, self.directory.drained), ([], []))

    def test_askedAfter(self) -> None:
        """A login server that asks for something meanwhile gets an answer."""
        self.register()
        gate = self.directory.gate
        promised: Deferred[bytes] = Deferred()
        self.gate.answers = [promised]
        login = gate.login(b"eve", b"8 secret", 50)
        self.turn()
        self.successResultOf(self.stop())
        self.assertFails(login, GateUnavailable)
        promised.callback(b"5")
        self.assertEqual(self.kicked(), [(b"eve", b"5")])

    def test_service(self) -> None:
        """There is one service for each server, and it does not run any more."""
        self.register()
        services = [each._service for each in self.servers._servers]
        self.assertTrue(all(isinstance(each, ClientService) for each in services))
        self.assertEqual([each.running for each in services], [True, True])
        self.successResultOf(self.stop())
        self.assertEqual([bool(each.running) for each in services], [False, False])
