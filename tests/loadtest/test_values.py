"""
Tests for what a load test is made of: L{msgserver.loadtest.plan}, L{msgserver.loadtest.dialogue},
L{msgserver.loadtest.latencies}, L{msgserver.loadtest.results}, L{msgserver.loadtest.effort}.
"""

from __future__ import annotations

import json
from collections import Counter
from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.loadtest.crew import Pacer
from msgserver.loadtest.dialogue import Dialogue, parseExpectation
from msgserver.loadtest.effort import Effort, EffortMeter, secondsWaited
from msgserver.loadtest.latencies import Latencies
from msgserver.loadtest.plan import Plan, Target
from msgserver.loadtest.results import Example, Results, latencyOf, levelOf, shown

TARGET = Target("login:1", "gate:2", tokens=("secret {n} of {user}",), user="player-{n}")


class PlanTests(SynchronousTestCase):
    """What is to be done."""

    def test_shares(self) -> None:
        """Users and rate are divided, nobody twice and nobody left out."""
        plan = Plan(TARGET, users=10, rate=100.0, seed=5)
        shares = plan.shares(3)
        self.assertEqual([(share.first, share.users) for share in shares], [(1, 4), (5, 3), (8, 3)])
        self.assertAlmostEqual(sum(share.rate for share in shares), 100.0)
        self.assertEqual(len({share.seed for share in shares}), 3)
        self.assertEqual(plan.shares(1), [plan])

    def test_phases(self) -> None:
        """
        The schedules of several processes are one: requests at equal distances, and not as many
        at a time as there are processes.
        """
        times = []
        for share in Plan(TARGET, users=4, rate=8.0).shares(4):
            pacer = Pacer(share.rate, 10.0, share.phase)
            times += [time for _, time in pacer.due(10.99, 100)]
        self.assertEqual(sorted(times), [10.0 + number / 8 for number in range(8)])

    def test_connections(self) -> None:
        """
        Connections are divided as well: each process has one or more, and no more than users.
        """
        self.assertEqual(Plan(TARGET, users=7).connections, 7)
        for users, connections, processes in ((10, 10, 3), (10, 4, 3), (7, 3, 3), (100, 7, 4)):
            shares = Plan(TARGET, users=users, connections=connections).shares(processes)
            self.assertEqual(sum(share.connections for share in shares), connections)
            self.assertEqual(sum(share.users for share in shares), users)
            for share in shares:
                self.assertTrue(1 <= share.connections <= share.users, share)

    def test_json(self) -> None:
        """A plan survives the way to another process."""
        plan = Plan(TARGET, size=(1, 2), think=(0.5, 1.0), cuts=0.25, connections=5, turn=0.5)
        self.assertEqual(Plan.decode(json.loads(json.dumps(plan.encode()))), plan)

    def test_names(self) -> None:
        """A pattern makes a user's name and token; a token for each is that user's."""
        self.assertEqual(TARGET.nameOf(7), b"player-7")
        self.assertEqual(TARGET.tokenOf(7), b"secret 7 of player-7")
        each = Target("login:1", "gate:2", tokens=("a", "b"))
        self.assertEqual([each.tokenOf(1), each.tokenOf(2)], [b"a", b"b"])

    def test_noSecret(self) -> None:
        """L6: tokens are not shown."""
        self.assertNotIn("secret", repr(Plan(TARGET)))

    def test_interval(self) -> None:
        """However long it is, what is shown over time has at most 120 columns."""
        for duration in (1.0, 30.0, 600.0, 86_400.0):
            plan = Plan(TARGET, duration=duration)
            self.assertLessEqual((plan.ramp + duration + plan.grace) / plan.interval, 120)


class DialogueTests(SynchronousTestCase):
    """What is asked, and what must be answered."""

    def dialogue(
        self,
        template: str = "{user}.{number} {filler}",
        size: tuple[int, int] = (40, 40),
        expect: str = "echo",
    ) -> Dialogue:
        """Make one."""
        return Dialogue(template, size, expect, Random(1))

    def test_size(self) -> None:
        """Requests are as long as they are to be, however little that is."""
        for size in (0, 1, 5, 12, 13, 14, 40, 65_531):
            asked = self.dialogue(size=(size, size)).ask(b"user1", 123)
            self.assertEqual(len(asked.content), size)

    def test_sizes(self) -> None:
        """Where a range is given, all of it is used."""
        dialogue = self.dialogue(size=(20, 23))
        sizes = {len(dialogue.ask(b"user1", number).content) for number in range(100)}
        self.assertEqual(sizes, {20, 21, 22, 23})

    def test_template(self) -> None:
        """A template may be anything, JSON among it."""
        dialogue = self.dialogue('{"op": "echo", "who": "{user}", "data": "{filler}"}', (60, 60))
        document = json.loads(dialogue.ask(b"bob", 1).content)
        self.assertEqual((document["op"], document["who"]), ("echo", "bob"))
        self.assertEqual(self.dialogue("ping {number}").ask(b"bob", 7).content, b"ping 7")

    def test_echo(self) -> None:
        """An echo is the request, and nothing else."""
        dialogue = self.dialogue()
        asked = dialogue.ask(b"bob", 1)
        self.assertTrue(dialogue.isRight(asked, asked.content))
        self.assertFalse(dialogue.isRight(asked, asked.content + b" "))
        self.assertFalse(dialogue.isRight(asked, dialogue.ask(b"bob", 1).content))

    def test_text(self) -> None:
        """C{text:} is all of the answer, with its fields."""
        dialogue = self.dialogue("hi", expect="text:hello {user}, you said {request} ({number})")
        asked = dialogue.ask(b"bob", 3)
        self.assertTrue(dialogue.isRight(asked, b"hello bob, you said hi (3)"))
        self.assertFalse(dialogue.isRight(asked, b"hello bob, you said hi (3)!"))

    def test_prefix(self) -> None:
        """C{prefix:} is the answer's beginning."""
        dialogue = self.dialogue(expect="prefix:ok {number}:")
        asked = dialogue.ask(b"bob", 3)
        self.assertTrue(dialogue.isRight(asked, b"ok 3: whatever"))
        self.assertFalse(dialogue.isRight(asked, b"ok 4: whatever"))

    def test_any(self) -> None:
        """C{any} is anything."""
        dialogue = self.dialogue(expect="any")
        self.assertTrue(dialogue.isRight(dialogue.ask(b"bob", 3), b"?"))

    def test_unknown(self) -> None:
        """Anything else is no expectation."""
        for text in ("", "ECHO", "echo!", "prefix"):
            self.assertRaises(ValueError, parseExpectation, text)


class LatencyTests(SynchronousTestCase):
    """How long things took."""

    def test_percentiles(self) -> None:
        """They are right to three digits."""
        latencies = Latencies()
        for millis in range(1, 1001):
            latencies.record(millis / 1000)
        self.assertAlmostEqual(latencies.percentile(50), 0.5, 2)
        self.assertAlmostEqual(latencies.percentile(99), 0.99, 2)
        self.assertAlmostEqual(latencies.max, 1.0, 2)
        self.assertAlmostEqual(latencies.mean, 0.5, 2)
        self.assertEqual(latencies.count, 1000)

    def test_added(self) -> None:
        """Those of two processes are as those of one, after the way between them."""
        whole, parts = Latencies(), [Latencies(), Latencies()]
        for number in range(1000):
            for latencies in (whole, parts[number % 2]):
                latencies.record(number / 997)
        first, second = (Latencies(part.encode()) for part in parts)
        first.add(second)
        self.assertEqual(first.encode(), whole.encode())

    def test_noFewer(self) -> None:
        """A percentile is not exceeded by more than it says, however few there are."""
        for count in range(1, 200):
            latencies = Latencies()
            for number in range(1, count + 1):
                latencies.record(number / 1e5)
            for percent in (50, 90, 99, 99.9):
                found = latencies.percentile(percent)
                share = sum(number / 1e5 <= found + 1e-6 for number in range(1, count + 1)) / count
                self.assertGreaterEqual(share, percent / 100 - 1e-9, (count, percent))

    def test_empty(self) -> None:
        """Of nothing, everything is 0."""
        empty = Latencies()
        self.assertEqual((empty.percentile(99), empty.max, empty.mean), (0.0, 0.0, 0.0))
        self.assertEqual([*empty.curve()], [])

    def test_longest(self) -> None:
        """What takes days counts as an hour, and is not left out."""
        latencies = Latencies()
        latencies.record(1e6)
        self.assertEqual(latencies.count, 1)
        self.assertGreater(latencies.max, 3590)

    def test_curve(self) -> None:
        """The curve of the percentiles ascends."""
        latencies = Latencies()
        for number in range(1, 1000):
            latencies.record(number / 1000)
        points = [*latencies.curve()]
        self.assertEqual(points, sorted(points))
        self.assertGreater(len(points), 20)


class ResultsTests(SynchronousTestCase):
    """What has happened."""

    def test_levels(self) -> None:
        """Each latency is on a level that is at most a quarter wide."""
        for micros in (1, 4, 7, 8, 100, 999, 12_345, 3_600_000_000):
            level = levelOf(micros / 1e6)
            self.assertLessEqual(latencyOf(level), max(micros, 4) / 1e6)
            self.assertLess(micros / 1e6, latencyOf(level + 1))
            self.assertLessEqual(latencyOf(level + 1) / latencyOf(level), 1.2501)

    def results(self, factor: int) -> Results:
        """Make some."""
        results = Results(2.0)
        results.counts.update(asked=2 * factor, right=factor)
        results.reasons["no"] = factor
        results.latencies["all"].record(factor)
        moment = results.moment(2.0 * factor + 1)
        moment.answers = moment.connected = moment.turns = factor
        moment.levels[3] = factor
        for number in range(2):
            results.trouble(Example("wrong", f"user{factor}", number, "'a'", "'b'"), 0.5)
        results.efforts.append(Effort(1.0, 0.5, None, 0.1, 0.2))
        results.seconds, results.lastLogin = float(factor), float(factor)
        return results

    def test_json(self) -> None:
        """They survive the way to another process."""
        results = self.results(3)
        again = Results.decode(json.loads(json.dumps(results.encode())))
        self.assertEqual(again.encode(), results.encode())
        self.assertEqual(again.moments, results.moments)

    def test_connectedLater(self) -> None:
        """
        A process in which nothing happens any more has its connections still, whichever of two
        is the first.
        """
        for order in (1, -1):
            short, long = Results(1.0), Results(1.0)
            short.moment(0.5).connected = 5
            long.moment(0.5).connected = 7
            long.moment(2.5).connected = 6
            one, other = (short, long)[::order]
            one.add(other)
            self.assertEqual([moment.connected for moment in one.moments], [12, 12, 11])

    def test_added(self) -> None:
        """Those of two processes are put together, moment by moment."""
        one, other = self.results(1), self.results(3)
        one.add(other)
        self.assertEqual(one.counts, Counter(asked=8, right=4, wrong=4))
        self.assertEqual([moment.answers for moment in one.moments], [0, 1, 0, 3])
        self.assertEqual([moment.connected for moment in one.moments], [0, 1, 1, 4])
        self.assertEqual([moment.turns for moment in one.moments], [0, 1, 0, 3])
        self.assertEqual(one.moments[0].troubles, 4)
        self.assertEqual(one.latencies["all"].count, 2)
        self.assertEqual([example.user for example in one.examples], ["user1", "user1", "user3"])
        self.assertEqual((one.seconds, one.lastLogin, len(one.efforts)), (3.0, 3.0, 2))

    def test_shown(self) -> None:
        """What is shown of bytes is short, and no terminal obeys it."""
        self.assertEqual(shown(b"\x1b[2J\n"), r"'\x1b[2J\n'")
        self.assertTrue(shown(bytes(60_000)).endswith("(60,000 bytes)"))
        self.assertLess(len(shown(bytes(60_000))), 450)


class EffortTests(SynchronousTestCase):
    """What the tester itself takes."""

    def test_measured(self) -> None:
        """CPU, waiting and late timers are those of the time between begin and end."""
        clock, took = Clock(), [1.0, 10.0]
        meter = EffortMeter(clock, clock.seconds, lambda: took[0], lambda: took[1])
        self.assertEqual(meter.share(), 0.0)
        meter.begin()
        for _ in range(100):
            clock.advance(0.05)
        # Busy with something else for a second.
        clock.advance(1.0)
        took[:] = [4.0, 10.6]
        self.assertAlmostEqual(meter.share(), 0.5)
        effort = meter.end()
        assert effort is not None
        self.assertAlmostEqual(effort.seconds, 6.0)
        self.assertAlmostEqual(effort.share, 0.5)
        self.assertAlmostEqual(effort.waitedShare, 0.1)
        self.assertAlmostEqual(effort.longestLag, 0.95, 2)
        self.assertLess(effort.lag, 0.01)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_notBegun(self) -> None:
        """What was not begun took nothing that could be told."""
        self.assertIs(EffortMeter(Clock()).end(), None)

    def test_waited(self) -> None:
        """The system tells how long this process waited, or that it does not tell."""
        waited = secondsWaited()
        self.assertTrue(waited is None or waited >= 0)
        clock = Clock()
        meter = EffortMeter(clock, clock.seconds, lambda: 0.0, lambda: None)
        meter.begin()
        effort = meter.end()
        assert effort is not None
        self.assertEqual((effort.waited, effort.waitedShare, effort.share), (None, 0.0, 0.0))
