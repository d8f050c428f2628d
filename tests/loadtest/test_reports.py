"""
Tests for what is told of a load test: L{msgserver.loadtest.figures}, L{msgserver.loadtest.report},
L{msgserver.loadtest.live}, L{msgserver.loadtest.page}.
"""

from __future__ import annotations

import io
import json
import os
import re
from functools import partial
from html.parser import HTMLParser
from xml.etree import ElementTree

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.loadtest.effort import Effort
from msgserver.loadtest.figures import TOLD, Figures
from msgserver.loadtest.live import Display, Progress, lineOf, phaseOf
from msgserver.loadtest.page import page
from msgserver.loadtest.plan import Plan, Target
from msgserver.loadtest.report import caution, write
from msgserver.loadtest.results import Example, Results, levelOf
from msgserver.loadtest.statuses import Status
from msgserver.loadtest.units import seconds

TARGET = Target("login:1", "gate:2", tokens=("a secret token",))
PLAN = Plan(TARGET, users=2, ramp=1.0, duration=2.0)


def results() -> Results:
    """Make some in which all is well: 3 seconds, 20 answers."""
    made = Results(1.0)
    made.counts.update(asked=20, answered=20, right=20, inTime=20, logins=2, came=2, cuts=1, back=1)
    for number in range(20):
        made.latencies["all"].record(0.001 * (number + 1))
        made.latencies["cut" if number == 19 else "steady"].record(0.001 * (number + 1))
        moment = made.moment(number / 7)
        moment.answers += 1
        moment.connected = 2
        moment.levels[levelOf(0.001 * (number + 1))] += 1
    made.moment(1.5).cuts = 1
    made.latencies["login"].record(0.02)
    made.latencies["back"].record(0.9)
    made.seconds, made.lastLogin = 2.0, 0.5
    made.efforts.append(Effort(2.0, 1.0, 0.0, 0.001, 0.002))
    return made


def figures(made: Results | None = None, plan: Plan = PLAN) -> Figures:
    """Make those of some results."""
    return Figures(plan, made or results(), "2026-01-01T00:00:00+00:00", machine={"python": "3"})


def surround(case: SynchronousTestCase, **environment: str) -> None:
    """Change variables of the environment until a test is over."""
    for name, value in environment.items():
        # Not the mapping itself: rich has kept it.
        before = os.environ.get(name)
        back = partial(os.environ.pop, name, None)
        case.addCleanup(*((os.environ.update, {name: before}) if before is not None else (back,)))
        os.environ[name] = value


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def turns() -> Figures:
    """Make those of two users who have one connection."""
    made = results()
    made.counts["turns"] = 7
    made.moment(1.5).turns = 7
    made.latencies["all"].record(4.5)
    made.latencies["turn"].record(4.5)
    for _ in range(2):
        made.latencies["pause"].record(4.0)
    return figures(made, evolve(PLAN, connections=1, turn=0.5))


class FigureTests(SynchronousTestCase):
    """Verdicts, and what to think of them."""

    def test_verified(self) -> None:
        """Where every request has its answer, that is said."""
        self.assertEqual(figures().status, Status.VERIFIED)
        self.assertEqual(figures().verdict, "All 20 answers are there, once each, and verified.")
        self.assertEqual((figures().rate, figures().loginRate), (10.0, 4.0))
        self.assertEqual(figures().notes, [])

    def test_troubles(self) -> None:
        """Each kind of trouble is a failure, and is told."""
        for name, title in TOLD.items():
            made = results()
            made.counts[name] = 3
            self.assertEqual(figures(made).status, Status.FAILED, name)
            self.assertEqual(figures(made).verdict, f"Not as it must be: 3 {title}.")

    def test_uncounted(self) -> None:
        """
        Each request that was asked is right, or in trouble of one kind: else nothing is verified.
        """
        made = results()
        made.counts["asked"] += 2
        self.assertEqual(figures(made).status, Status.FAILED)
        self.assertIn("2 requests of which the tester has lost count", figures(made).verdict)
        for kind in ("wrong", "failed", "missing", "unknown", "refused"):
            made.counts[kind] = 2
            self.assertNotIn("lost count", figures(made).verdict)
            made.counts[kind] = 0
        made.counts["doubled"] = 2
        self.assertIn("lost count", figures(made).verdict)

    def test_interrupted(self) -> None:
        """Where it was ended before anything was asked, it has not failed."""
        made = Results(1.0)
        made.counts.update(logins=1, came=1, never=1)
        early = evolve(figures(made), isEarly=True)
        self.assertEqual(early.status, Status.INTERRUPTED)
        self.assertEqual(early.verdict, "It was interrupted before anything was asked.")
        made.counts["ended"] = 1
        self.assertEqual(early.status, Status.FAILED)

    def test_nothing(self) -> None:
        """Nothing asked is nothing verified."""
        made = results()
        made.counts.update(asked=-20, answered=-20, right=-20)
        self.assertEqual(figures(made).status, Status.FAILED)
        self.assertEqual(figures(made).verdict, "Nothing was asked.")

    def test_nobody(self) -> None:
        """Nobody logged in: they were refused, or nobody was there."""
        made = Results(1.0)
        made.counts["never"] = 2
        made.reasons["ConnectionRefusedError"] = 5
        self.assertEqual(figures(made).status, Status.UNREACHABLE)
        made.reasons["Unauthorized: 401 Unauthorized"] = 2
        self.assertEqual(figures(made).status, Status.REFUSED)
        self.assertEqual(figures(made).verdict, "Nobody could log in.")

    def note(self, effort: Effort, processes: int = 1) -> str:
        """Give the one note on a tester that took so much."""
        made = results()
        made.efforts.append(effort)
        (note,) = evolve(figures(made), processes=processes).notes
        return note

    def test_bottleneck(self) -> None:
        """A tester that was busy all the time says that these figures are its own."""
        effort = Effort(10.0, 9.8, 0.0, 0.001, 0.002)
        self.assertEqual(
            self.note(effort),
            "The tester was at 98 % of a core: these figures are the tester's, not the server's;"
            " use --processes, or ask less.",
        )
        self.assertIn("use more --processes", self.note(effort, 2))

    def test_neverIdle(self) -> None:
        """
        So it does where the rest of its time was another program's: it could not have done more.
        A process that is busy by itself is told first.
        """
        made = results()
        made.efforts.append(Effort(10.0, 7.6, 2.3, 0.001, 0.002))
        notes = figures(made).notes
        self.assertEqual(
            notes[0],
            "The tester was at 76 % of a core, and waited for one for 23 % more: these figures are"
            " the tester's, not the server's; use --processes, or ask less.",
        )
        self.assertIn("waited for a core for 23 %", notes[1])
        made.efforts.append(Effort(10.0, 9.1, 0.0, 0.001, 0.002))
        self.assertIn("at 91 % of a core: these", figures(made).notes[0])

    def test_unanswered(self) -> None:
        """What no latency has is told: it would be the longest."""
        made = results()
        made.counts.update(asked=5, missing=2, failed=1, refused=1, unknown=1, unsent=1234)
        notes = figures(made).notes
        self.assertIn("No latency has the 5 requests that failed or have no answer.", notes)
        self.assertIn("1,234 requests of the schedule were never asked", notes[0])
        self.assertEqual(figures(made).document()["requests"]["unsent"], 1234)

    def test_heldUp(self) -> None:
        """So it does when others had its core, or its timers were late."""
        self.assertIn("waited for a core for 30 %", self.note(Effort(10.0, 1.0, 3.0, 0.0, 0.0)))
        self.assertIn("50.0 ms late", self.note(Effort(10.0, 1.0, None, 0.05, 0.3)))

    def test_server(self) -> None:
        """What the server did not keep up with, or cut, is told; and an early end."""
        made = results()
        made.counts["lost"] = 3
        told = evolve(figures(made, evolve(PLAN, rate=20.0)), isEarly=True).notes
        self.assertIn("Of the schedule, 50 % was answered in time.", told)
        self.assertIn("3 connections were lost that the tester did not cut.", told)
        self.assertIn("It was ended early.", told)

    def test_method(self) -> None:
        """What was measured is told: a closed loop, or an open one."""
        self.assertIn("Closed loop: each user has 1 request under way", figures().method)
        thinking = evolve(PLAN, think=(0.5, 1.0))
        self.assertIn("0.5 to 1 s after its answer", figures(plan=thinking).method)
        told = figures(plan=evolve(PLAN, rate=500.0)).method
        self.assertIn("Open loop: 500 requests a second by a schedule", told)
        self.assertIn("from when a request was due", told)

    def test_document(self) -> None:
        """The JSON has all of it, and no secret."""
        text = json.dumps(figures().document())
        self.assertNotIn("secret", text)
        document = json.loads(text)
        self.assertEqual((document["status"], document["requests"]["right"]), (0, 20))
        self.assertAlmostEqual(document["latency"]["all"]["p50"], 0.01, 4)
        self.assertEqual(len(document["timeline"]["moments"]), 3)
        self.assertEqual(document["timeline"]["moments"][1]["cuts"], 1)

    def test_turns(self) -> None:
        """So it has turns, where there are any."""
        document = turns().document()
        self.assertEqual(document["connections"]["turns"], 7)
        self.assertEqual(document["timeline"]["moments"][1]["turns"], 7)
        latency, options = document["latency"], document["options"]
        self.assertEqual((latency["turn"]["count"], latency["pause"]["count"]), (1, 2))
        self.assertEqual((options["connections"], options["turn"]), ("1", "0.5 s"))
        self.assertNotIn("turn", figures().document()["options"])

    def test_seconds(self) -> None:
        """Durations are written with three digits and a unit."""
        for value, text in (
            *((0.0, "0 s"), (0.000_012, "12 µs"), (0.001, "1.00 ms"), (0.012_34, "12.3 ms")),
            *((0.9996, "1,000 ms"), (1.0, "1.00 s"), (59.96, "60.0 s"), (1234.0, "1,234 s")),
        ):
            self.assertEqual(seconds(value), text)


class ReportTests(SynchronousTestCase):
    """As text."""

    def written(self, told: Figures) -> str:
        """Give what is written to a pipe."""
        file = io.StringIO()
        write(told, file)
        return file.getvalue()

    def test_table(self) -> None:
        """It has the percentiles, and what else there is to know; without any colour."""
        text = self.written(figures())
        self.assertRegex(text, r"all requests +20 +10\.0 ms +18\.0 ms")
        self.assertRegex(text, r"across a break +1 ")
        self.assertRegex(text, r"connections cut +1, back again 1\n")
        self.assertRegex(text, r"tester 1 +50 % of a core, waited 0 %, timers up to 2\.00 ms late")
        self.assertTrue(text.endswith("All 20 answers are there, once each, and verified.\n"))
        self.assertNotIn("\x1b", text)

    def test_examples(self) -> None:
        """What went wrong is shown."""
        made = results()
        made.trouble(Example("wrong", "user1", 7, "'[red]a'", "answered 'b'"), 0.0)
        made.reasons["ConnectionRefusedError"] = 2
        text = self.written(figures(made))
        self.assertIn("wrong: user1 7 '[red]a': answered 'b'\n", text)
        self.assertIn("2 failed attempts to connect or log in: ConnectionRefusedError\n", text)
        self.assertIn("Not as it must be: 1 wrong answers.", text)

    def test_turns(self) -> None:
        """Where users take turns, that is told: how many, and what came of their requests."""
        text = self.written(turns())
        self.assertRegex(text, r"on one connection +19 ")
        self.assertRegex(text, r"across a break +1 ")
        self.assertRegex(text, r"away between turns +1 +4\.50 s")
        self.assertRegex(text, r"from turn to turn +2 +4\.00 s")
        self.assertRegex(text, r"turns +7 over, 1 of 2 users at a time, 0\.5 s each\n")
        self.assertIn("Of 2 users 1 are connected at a time, for 0.5 s each or until", text)
        self.assertIn("asks nothing new", text)
        # Without them, nothing of it is.
        self.assertNotIn("turn", self.written(figures()))

    def test_turnsInOpenLoop(self) -> None:
        """In an open loop, users who are away are asked for all the same."""
        told = turns()
        text = evolve(told, plan=evolve(told.plan, rate=5.0)).method
        self.assertNotIn("asks nothing new", text)
        self.assertIn("is answered in the next turn", text)
        (note,) = evolve(told, plan=evolve(told.plan, rate=50.0)).notes
        self.assertIn("20 % was answered in time. Requests wait for their users' turns.", note)


class WrittenTests(SynchronousTestCase):
    """Where the report is written to."""

    def test_narrow(self) -> None:
        """However narrow it is, no figure is cut off, and a pipe has a line for each fact."""
        surround(self, COLUMNS="30", LINES="20")
        for kind in (io.StringIO, Terminal):
            file = kind()
            write(figures(), file)
            self.assertNotIn("\u2026", file.getvalue())
            self.assertIn("all requests", file.getvalue())
        file = io.StringIO()
        write(figures(), file)
        self.assertRegex(file.getvalue(), r"(?m)^tester 1 .*, timers up to 2.00 ms late$")

    def test_closedPipe(self) -> None:
        """Where nobody reads it any more, who writes it is told, and goes on."""

        class Closed(io.StringIO):
            def write(self, text: str) -> int:
                raise BrokenPipeError

        self.assertRaises(BrokenPipeError, write, figures(), Closed())

    def test_few(self) -> None:
        """Percentiles of too few are said to be none; of enough, nothing is said."""
        made = results()
        told = "Of fewer than 1,000, p99.9 is the longest; of fewer than 100, p99 is, too."
        self.assertEqual(caution(figures(made)), told)
        file = io.StringIO()
        write(figures(made), file)
        self.assertIn(told, file.getvalue())
        self.assertIn(told, page(figures(made)))
        for latencies in made.latencies.values():
            for _ in range(1000):
                latencies.record(0.01)
        self.assertEqual(caution(figures(made)), "")


class _Links(HTMLParser):
    """Notes what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "data"):
                self.found.append(value or "")
            if name == "id":
                self.ids.append(value or "")


class PageTests(SynchronousTestCase):
    """As a page."""

    def test_alone(self) -> None:
        """It needs no other file and no network, and its pictures do not mix up their names."""
        text = page(figures())
        links = _Links()
        links.feed(text)
        elsewhere = [link for link in links.found if not link.startswith(("#", "data:"))]
        self.assertEqual(elsewhere, [])
        self.assertNotRegex(text, r"url\((?!#)|@import|<script|<link")
        self.assertEqual(sorted(set(links.ids)), sorted(links.ids))
        for name in re.findall(r"(?:url\(#|href=\"#)([^\")]+)", text):
            self.assertIn(name, links.ids)

    def test_pictures(self) -> None:
        """There are two pictures, well-formed, with what they are about."""
        pictures = re.findall(r"<svg.*?</svg>", page(figures()), re.DOTALL)
        self.assertEqual(len(pictures), 2)
        texts = ["".join(ElementTree.fromstring(picture).itertext()) for picture in pictures]
        for told in ("answers a second", "seconds since the start", "cut by the tester", "p99"):
            self.assertIn(told, texts[0])
        for told in ("all requests (20)", "on one connection (19)", "across a break (1)", "99 %"):
            self.assertIn(told, texts[1])

    def test_told(self) -> None:
        """It has the verdict, figures, options and versions; no secret."""
        text = page(figures())
        for told in ("once each, and verified", "10.0 ms", "{user}.{number}", "python"):
            self.assertIn(told, text)
        self.assertNotIn("secret", text)

    def test_turns(self) -> None:
        """Users who take turns are told as that, and have a curve of their own."""
        text = page(turns())
        self.assertIn("2 users, 1 of them connected at a time, for 2.00 s", text)
        self.assertIn("away between turns (1)", text)
        self.assertNotIn("between turns", page(figures()))

    def test_escaped(self) -> None:
        """What servers say is text, whatever it looks like."""
        made = results()
        made.trouble(Example("wrong", "<b>", 7, "'<script>'", "answered '<img>'"), 0.0)
        text = page(figures(made))
        self.assertNotIn("<script>", text)
        self.assertNotIn("<img>", text)
        self.assertIn("&lt;script&gt;", text)

    def test_open(self) -> None:
        """An open loop shows its schedule, and how late the tester was."""
        text = page(figures(plan=evolve(PLAN, rate=10.0)))
        self.assertIn("sent late by", text)
        self.assertIn("schedule", text)

    def test_axes(self) -> None:
        """The axes of latencies have marks, also where no power of ten is among them."""
        made = Results(1.0)
        made.counts.update(results().counts)
        moment = made.moment(0.5)
        for number in range(100):
            latency = 0.0021 + 0.00006 * number
            made.latencies["all"].record(latency)
            moment.levels[levelOf(latency)] += 1
        made.seconds = 1.0
        for part in page(figures(made)).split("<svg")[1:]:
            self.assertIn("5 ms<", part)

    def test_empty(self) -> None:
        """Of nothing, there is a page all the same."""
        self.assertIn("Nobody could log in.", page(figures(Results(1.0))))


class LiveTests(SynchronousTestCase):
    """While it goes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.progress = Progress(2, self.clock.seconds)

    def tell(self, number: int, answered: int, connected: int = 1) -> None:
        """Have a process tell of its progress."""
        counts = {"answered": answered, "cuts": 2, "wrong": 1}
        levels = {str(levelOf(0.01)): answered}
        told = {"connected": connected, "counts": counts, "levels": levels, "cpu": 0.25 * number}
        self.progress.tell(number, json.loads(json.dumps(told)))

    def test_glance(self) -> None:
        """A glance is of all processes, and of the time since the last."""
        self.clock.advance(2.0)
        self.tell(0, 10)
        self.tell(1, 30)
        glance = self.progress.glance()
        self.assertEqual((glance.rate, glance.connected, glance.cuts), (20.0, 2, 4))
        self.assertEqual((glance.troubles, glance.busiest), (2, 0.25))
        assert glance.typical is not None
        self.assertAlmostEqual(glance.typical, 0.01, 2)
        self.clock.advance(1.0)
        self.tell(0, 15)
        self.assertEqual(self.progress.glance().rate, 5.0)
        self.assertIs(self.progress.glance().typical, None)

    def test_line(self) -> None:
        """A line has it all."""
        self.clock.advance(2.0)
        self.tell(1, 30)
        self.assertEqual(
            lineOf(PLAN, self.progress.glance()),
            "2 s (1 s left): 1 of 2 connected, 15 requests/s, p50 10.2 ms, p99 10.2 ms, 2 cuts,"
            " 1 troubles, tester at 25 %",
        )
        self.assertIn("no answers", lineOf(PLAN, self.progress.glance()))

    def test_start(self) -> None:
        """Time runs from the beginning of the users, and not of the processes."""
        self.clock.advance(3.0)
        self.progress.start()
        self.clock.advance(0.5)
        self.tell(0, 10)
        self.assertEqual((self.progress.elapsed, self.progress.glance().rate), (0.5, 20.0))

    def test_poorTerminal(self) -> None:
        """A terminal that cannot move its cursor, or is too narrow, has lines."""
        for environment in ({"TERM": "dumb"}, {"TERM": "xterm", "COLUMNS": "40", "LINES": "9"}):
            surround(self, **environment)
            file = Terminal()
            display = Display(PLAN, self.progress, file)
            self.clock.advance(10.0)
            display.show()
            display.close()
            self.assertRegex(file.getvalue(), r"^\d+ s \(waiting for the last answers\)")
            self.assertNotIn("\x1b", file.getvalue())

    def test_phases(self) -> None:
        """It says what is being done."""
        phases = [phaseOf(PLAN, time) for time in (0.5, 1.0, 2.5, 3.5)]
        told = ["users come", "2 s left", "0 s left", "waiting for the last answers"]
        self.assertEqual(phases, told)

    def test_pipe(self) -> None:
        """Where there is no terminal, there is a line every five seconds, and no more."""
        file = io.StringIO()
        display = Display(PLAN, self.progress, file)
        for _ in range(22):
            self.clock.advance(0.5)
            display.show()
        display.close()
        lines = file.getvalue().splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["5", "10"])
        self.assertNotIn("\x1b", file.getvalue())

    def test_terminal(self) -> None:
        """On a terminal there is a picture that changes, and is gone in the end."""
        file = Terminal()
        display = Display(PLAN, self.progress, file)
        self.clock.advance(1.5)
        self.tell(0, 30)
        display.show()
        display.close()
        self.assertIn("requests/s", file.getvalue())
        self.assertIn("1 of 2", file.getvalue())
