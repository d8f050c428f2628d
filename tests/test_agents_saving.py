"""L{msgserver.handlers.agents}: what agents have is saved; where it is not, that is said."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, capturedLogs

from msgserver.handlers import AgentHandler
from msgserver.interfaces import User
from msgserver.msgservice import LifeLimits
from tests.agents import AgentCase
from tests.gates import ONE, THREE, TWO

SAVE_TIMEOUT = 2.5


class SavingCase(AgentCase):
    """A user who is logged in and has asked something."""

    def setUp(self) -> None:
        super().setUp()
        self.user = self.login()
        self.client = self.connect(self.user)

    def slowSave(self) -> Deferred[None]:
        """Have the next save take its time."""
        saved: Deferred[None] = Deferred()
        self.table.answers.setdefault("save", []).append(saved)
        return saved

    def kick(self) -> Deferred[None]:
        """Kick the user."""
        return self.service.kick(self.user.uid, self.user.subid)

    def assertFailed(self, events: Sequence[LogEvent], *reasons: str) -> None:
        """See each failure of a save logged, with whose it was."""
        failed = [each for each in events if each.get("event") == "save_failed"]
        self.assertEqual([each["reason"] for each in failed], list(reasons))
        for each in failed:
            self.assertEqual((each["uid"], each["subid"]), (self.user.uid, self.user.subid))


class KickTests(SavingCase):
    """C{kicked}, and the C{loggedOut} after it."""

    def test_savedOnce(self) -> None:
        """Who is kicked is saved, and not again at the logout that follows."""
        self.client.ask(ONE, b"hello")
        self.successResultOf(self.kick())
        self.assertEqual(self.table.names(), ["load", "save"])
        self.assertEqual(self.table.rows, {b"alice": 1})
        self.assertEqual(self.counted(), {"agents_made": 1, "loads": 1, "saves": 1})

    def test_noRequestsAnyMore(self) -> None:
        """From the kick on requests fail, and what they would have changed is not changed."""
        saved = self.slowSave()
        kicked = self.kick()
        self.client.ask(ONE, b"hello")
        self.assertEqual(self.client.heard(), [b"\x00" + ONE])
        saved.callback(None)
        self.successResultOf(kicked)
        self.assertEqual(self.table.rows, {b"alice": 0})

    def test_runningIsAwaited(self) -> None:
        """A request that runs is finished first, and answered; those behind it never begin."""
        self.client.ask(ONE, b"later:a")
        self.client.ask(TWO, b"behind")
        kicked = self.kick()
        self.turn()
        self.assertEqual(self.client.heard(), [b"\x00" + TWO])
        self.assertEqual(self.table.names(), ["load"])
        self.assertNoResult(kicked)
        self.table.promised.pop(b"a").callback(b"done")
        self.turn()
        self.successResultOf(kicked)
        self.assertEqual(self.client.heard(), [b"done\x01" + ONE])
        self.assertEqual(self.table.rows, {b"alice": 1})

    def test_runningForTooLong(self) -> None:
        """A request has half of the time; the agent is saved without it then, and with it later."""
        self.client.ask(ONE, b"later:a")
        with capturedLogs() as events:
            kicked = self.kick()
            self.clock.advance(SAVE_TIMEOUT / 2 - 0.01)
            self.assertEqual(self.table.names(), ["load"])
            self.clock.advance(0.01)
            self.assertEqual(self.table.names(), ["load", "save"])
            self.assertEqual(self.table.rows, {b"alice": 0})
            self.clock.advance(SAVE_TIMEOUT / 2)
            self.clock.advance(self.lifeLimits.kickTimeout - SAVE_TIMEOUT)
            self.successResultOf(kicked)
        self.assertFailed(events, "late")
        self.table.promised.pop(b"a").callback(b"done")
        self.clock.advance(SAVE_TIMEOUT)
        self.assertEqual(self.table.rows, {b"alice": 1})
        self.assertEqual(self.table.names(), ["load", "save", "save"])

    def test_late(self) -> None:
        """A save that takes too long holds up no kick; it is told of once, and goes on."""
        saved = self.slowSave()
        with capturedLogs() as events:
            kicked = self.kick()
            self.clock.advance(SAVE_TIMEOUT - 0.01)
            self.assertFailed(events)
            self.clock.advance(0.01)
            self.assertFailed(events, "late")
            self.assertEqual(list(self.agents.gate.online()), [])
            self.clock.advance(10)
            self.assertFailed(events, "late")
        self.successResultOf(kicked)
        self.assertEqual(self.agents.counts()["saves_late"], 1)
        self.assertEqual(self.agents.counts()["saves"], 0)
        saved.callback(None)
        self.assertEqual(self.agents.counts()["saves"], 1)
        self.assertEqual(self.table.rows, {b"alice": 0})

    def test_fails(self) -> None:
        """A save that fails is logged and counted, and tried once more at the logout."""
        self.table.answers["save"] = [ZeroDivisionError("no database")]
        with capturedLogs() as events:
            self.successResultOf(self.kick())
        self.assertFailed(events, "error")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.table.names(), ["load", "save", "save"])
        self.assertEqual(self.table.rows, {b"alice": 0})
        counts = self.agents.counts()
        self.assertEqual((counts["saves"], counts["saves_failed"]), (1, 1))

    def test_awayMeanwhile(self) -> None:
        """What the agent does as its user goes or comes during a save is saved again."""
        for isBack in (False, True):
            saved = self.slowSave()
            if isBack:
                self.client.lose()
            kicked = self.kick()
            if isBack:
                self.connect(self.user, 2)
            else:
                self.client.lose()
            saved.callback(None)
            self.successResultOf(kicked)
            change = ["away", "save", "back"] if isBack else ["save", "away"]
            self.assertEqual(self.table.names(), ["load", *change, "save"])
            self.table.told.clear()
            self.user = self.login()
            self.client = self.connect(self.user)

    def test_again(self) -> None:
        """Kicked by two at once, it is saved once."""
        saved = self.slowSave()
        kicked = [self.kick(), self.kick()]
        saved.callback(None)
        for each in kicked:
            self.successResultOf(each)
        self.assertEqual(self.table.names(), ["load", "save"])


class LogoutTests(SavingCase):
    """C{loggedOut} alone."""

    def test_fails(self) -> None:
        """It is logged with what it was and whose, and counted."""
        self.table.answers["save"] = [ZeroDivisionError("no database")]
        with capturedLogs() as events:
            self.successResultOf(self.service.end(self.user))
        self.assertFailed(events, "error")
        (event,) = (each for each in events if each.get("event") == "save_failed")
        self.assertIsInstance(event["log_failure"].value, ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.agents.counts()["saves_failed"], 1)

    def test_withinARequest(self) -> None:
        """An agent that logs its user out in a request is saved when that has ended."""
        self.client.ask(ONE, b"hello")
        self.client.ask(TWO, b"logout")
        self.turn()
        self.assertEqual(self.client.heard(), [b"hello\x01" + ONE, b"bye\x01" + TWO])
        self.assertEqual(self.table.rows, {b"alice": 2})
        self.assertEqual(self.table.names(), ["load", "save"])

    def test_away(self) -> None:
        """What an agent does while its user goes or comes is saved, too."""
        self.client.lose()
        self.successResultOf(self.service.end(self.user))
        self.assertEqual(self.table.names(), ["load", "away", "save"])

    def test_nothingStays(self) -> None:
        """Of a login that has ended nothing is kept: no seat, no timer."""
        self.client.ask(ONE, b"later:a")
        self.client.ask(TWO, b"behind")
        self.service.end(self.user)
        self.table.promised.pop(b"a").callback(b"done")
        self.turn()
        self.client.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((self.agents._seats, self.agents._saving._leaving), ({}, {}))


class NextLoginTests(SavingCase):
    """The next login of the same user."""

    def test_waits(self) -> None:
        """It loads what the earlier one saves, and so not before that is done."""
        self.client.ask(ONE, b"hello")
        saved = self.slowSave()
        self.service.end(self.user)
        promised = self.loginOf()
        self.assertNoResult(promised)
        self.assertEqual(self.table.names(), ["load", "save"])
        saved.callback(None)
        user = User(b"alice", self.successResultOf(promised), b"sample")
        self.assertEqual(self.player(user).count, 1)

    def test_lateKick(self) -> None:
        """It waits for the save of a kick, too, though that was given up, and a logout followed."""
        self.client.ask(ONE, b"hello")
        saved = self.slowSave()
        kicked = self.kick()
        self.clock.advance(SAVE_TIMEOUT)
        self.clock.advance(self.lifeLimits.kickTimeout - SAVE_TIMEOUT)
        self.successResultOf(kicked)
        promised = self.loginOf()
        self.assertNoResult(promised)
        saved.callback(None)
        user = User(b"alice", self.successResultOf(promised), b"sample")
        self.assertEqual(self.player(user).count, 1)

    def test_whileKicked(self) -> None:
        """It waits for the save of a kick that is still under way, too."""
        self.client.ask(ONE, b"hello")
        saved = self.slowSave()
        kicked = self.kick()
        promised = self.loginOf()
        self.assertNoResult(promised)
        self.assertEqual(self.table.names(), ["load", "save"])
        saved.callback(None)
        self.successResultOf(kicked)
        user = User(b"alice", self.successResultOf(promised), b"sample")
        self.assertEqual(self.player(user).count, 1)

    def test_othersDoNot(self) -> None:
        """Nobody else waits for it."""
        self.slowSave()
        self.service.end(self.user)
        self.login(b"bob")

    def test_runningRequest(self) -> None:
        """It waits for a request that was running at the logout, and has what that has done."""
        self.client.ask(ONE, b"later:a")
        self.service.end(self.user)
        promised = self.loginOf()
        self.assertNoResult(promised)
        self.table.promised.pop(b"a").callback(b"done")
        user = User(b"alice", self.successResultOf(promised), b"sample")
        self.assertEqual(self.player(user).count, 1)

    def test_notForEver(self) -> None:
        """A save that hangs keeps nobody out: the login goes on, and that is told."""
        self.slowSave()
        self.service.end(self.user)
        promised = self.loginOf()
        with capturedLogs() as events:
            self.clock.advance(SAVE_TIMEOUT)
        self.successResultOf(promised)
        self.assertIn("load_unsaved", [each.get("event") for each in events])
        self.assertEqual(self.agents.counts()["loads_unsaved"], 1)

    def test_failed(self) -> None:
        """One that has failed is over: nothing is to be waited for."""
        self.table.answers["save"] = [ZeroDivisionError()]
        self.service.end(self.user)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.login()

    def test_severalLogins(self) -> None:
        """Where a user has several logins, it waits for all of those that are ending."""
        other = self.login()
        saves = [self.slowSave(), self.slowSave()]
        for user in (self.user, other):
            self.service.end(user)
        promised = self.loginOf()
        for saved in saves:
            self.assertNoResult(promised)
            saved.callback(None)
        self.successResultOf(promised)


class ShutdownTests(SavingCase):
    """The gate stops."""

    def test_waitsForSaves(self) -> None:
        """It goes on until everybody is saved."""
        saved = self.slowSave()
        stopped = self.stop()
        self.client.lose()
        self.clock.advance(1)
        self.assertNoResult(stopped)
        saved.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.agents.counts()["saves"], 1)

    def test_notForEver(self) -> None:
        """A save that hangs does not keep it."""
        self.slowSave()
        stopped = self.stop()
        self.client.lose()
        self.clock.advance(SAVE_TIMEOUT - 0.01)
        self.assertNoResult(stopped)
        self.clock.advance(0.01)
        self.clock.advance(SAVE_TIMEOUT)
        self.successResultOf(stopped)
        self.assertEqual(self.agents.counts()["saves_late"], 1)

    def test_earlierLogout(self) -> None:
        """Who was logged out just before is waited for as well."""
        saved = self.slowSave()
        self.service.end(self.user)
        self.turn()
        self.client.lose()
        stopped = self.stop()
        self.assertNoResult(stopped)
        saved.callback(None)
        self.successResultOf(stopped)


class ShortKickTests(SavingCase):
    """A C{kick_timeout} that is below C{saveTimeout}."""

    lifeLimits = LifeLimits(kickTimeout=0.5)

    def test_shutdown(self) -> None:
        """The process goes on until everybody is saved all the same."""
        saved = self.slowSave()
        stopped = self.stop()
        self.client.lose()
        self.clock.advance(0.5)
        self.clock.advance(1.5)
        self.assertNoResult(stopped)
        saved.callback(None)
        self.successResultOf(stopped)


class SideBySideTests(SavingCase):
    """Requests that run side by side."""

    ordered = False

    def test_allAreAwaited(self) -> None:
        """Who is kicked is saved when the last of them has ended."""
        for session, content in ((ONE, b"later:a"), (TWO, b"async:b"), (THREE, b"hello")):
            self.client.ask(session, content)
        kicked = self.kick()
        self.table.promised.pop(b"b").callback(None)
        self.assertNoResult(kicked)
        self.table.promised.pop(b"a").callback(b"done")
        self.successResultOf(kicked)
        self.assertEqual(self.table.rows, {b"alice": 3})


class TimeTests(AgentCase):
    """C{saveTimeout} is what it was told to be."""

    def test_saveTimeout(self) -> None:
        """Its unit is the second."""
        self.agents = AgentHandler(self.table.make, saveTimeout=0.5, clock=self.clock)
        self.serve(self.agents)
        user = self.login()
        self.table.answers["save"] = [Deferred()]
        ended = self.service.end(user)
        self.clock.advance(0.49)
        self.assertNoResult(ended)
        self.clock.advance(0.01)
        self.successResultOf(ended)
