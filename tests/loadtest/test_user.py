"""
Tests for L{msgserver.loadtest.user}: what one user asks, and what is taken down of it.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError

from msgserver.clientlogin import LoggedIn
from msgserver.errors import Unauthorized
from msgserver.loadtest.user import LoadUser
from tests.loadtest.gates import LoadTestCase


class ClosedLoopTests(LoadTestCase):
    """A user who asks again when there is an answer."""

    def test_asksAgain(self) -> None:
        """Each answer leads to the next request, and all are verified."""
        user = self.user()
        self.turns(10)
        counts = self.results.counts
        self.assertGreater(counts["right"], 5)
        self.assertEqual(counts["answered"], counts["right"])
        self.assertEqual(counts["asked"], counts["answered"] + user.pending)
        user.finish()
        self.turns()
        self.assertEqual(user.pending, 0)
        self.close(user)
        self.assertEqual(self.results.examples, [])

    def test_numbers(self) -> None:
        """Requests have the user's name, and are numbered from 1."""
        user = self.user(size=(20, 20))
        self.turns(2)
        first, second = self.gate.asked[:2]
        self.assertEqual((first[:8], len(first)), (b"user1.1 ", 20))
        self.assertEqual((second[:8], len(second)), (b"user1.2 ", 20))
        self.close(user)

    def test_inFlight(self) -> None:
        """As many are under way as was said."""
        self.gate.answer = lambda content: []
        user = self.user(inFlight=3)
        self.assertEqual(user.pending, 3)
        self.assertEqual(len(self.gate.asked), 3)
        self.close(user)

    def test_think(self) -> None:
        """A user who thinks asks the next when that is done, and not before."""
        user = self.user(think=(2.0, 2.0))
        self.turns()
        self.assertEqual(len(self.gate.asked), 1)
        self.clock.advance(1.9)
        self.turns()
        self.assertEqual(len(self.gate.asked), 1)
        self.clock.advance(0.2)
        self.turns()
        self.assertEqual(len(self.gate.asked), 2)
        # While thinking, which ends with it.
        self.close(user)

    def test_latency(self) -> None:
        """Latency runs from asking to the answer."""
        user = self.user()
        user.finish()
        self.turns()
        self.gate.delay = 0.25
        user.ask(self.clock.seconds())
        self.clock.advance(0.25)
        self.assertAlmostEqual(self.results.latencies["all"].max, 0.25, places=2)
        self.close(user)


class TroubleTests(LoadTestCase):
    """Answers that are not as they must be: each kind is found, with an example."""

    def troubled(self, kind: str) -> str:
        """See that there was one kind of trouble, once, and give what its example tells."""
        self.assertEqual(self.results.counts[kind], 1)
        (example,) = self.results.examples
        self.assertEqual((example.kind, example.user), (kind, "user1"))
        return example.told

    def test_wrong(self) -> None:
        """Another answer than the request is wrong."""
        self.gate.answer = lambda content: [content + b"!"]
        user = self.user(think=(9.0, 9.0))
        self.close(user)
        self.assertRegex(self.troubled("wrong"), r"^answered 'user1\.1 \w+!'$")
        self.assertEqual(self.results.counts["right"], 0)
        self.assertEqual(self.results.examples[0].number, 1)

    def test_swapped(self) -> None:
        """Answers of two requests that are swapped are both wrong."""
        held: list[bytes] = []

        def swap(content: bytes) -> list[bytes | None]:
            held.append(content)
            return [held[0] if len(held) == 2 else b"other"] if len(held) > 1 else [b"other"]

        self.gate.answer = swap
        user = self.user(inFlight=2, think=(9.0, 9.0))
        self.close(user)
        self.assertEqual(self.results.counts["wrong"], 2)

    def test_failed(self) -> None:
        """A handler that fails is told of, with what it says."""
        self.gate.answer = lambda content: [None]
        user = self.user(think=(9.0, 9.0))
        self.close(user)
        self.assertEqual(self.troubled("failed"), "failed with 'no'")

    def test_doubled(self) -> None:
        """A second answer is found, though the client passes over it."""
        self.gate.answer = lambda content: [content, content]
        user = self.user(think=(9.0, 9.0))
        self.close(user)
        self.assertEqual(self.troubled("doubled"), "session 1: answered again")
        self.assertEqual(self.results.counts["right"], 1)

    def test_neverAsked(self) -> None:
        """So is an answer to what was never asked."""
        user = self.user(think=(9.0, 9.0))
        self.gate.ends[0].say(b"\x00\x06?\x01\x00\x00\x00\x63")
        self.close(user)
        self.assertEqual(self.troubled("doubled"), "session 99: answered, and never asked")

    def test_missing(self) -> None:
        """What has no answer when the user leaves is missing one."""
        self.gate.answer = lambda content: []
        user = self.user()
        self.close(user)
        self.assertEqual(self.troubled("missing"), "no answer at the end")
        self.assertEqual(self.results.counts["unknown"], 0)

    def test_lateAtTheEnd(self) -> None:
        """What comes when the user has left already is missing, and not doubled besides."""
        user = self.user()
        user.finish()
        user.ask(self.clock.seconds())
        closed = user.close()
        self.gate.ends[0].say(b"\x00\x05\x01\x00\x00\x00\x02")
        self.turns()
        self.successResultOf(closed)
        self.assertEqual(self.results.counts["doubled"], 0)

    def test_unknown(self) -> None:
        """A request whose login ends has an unknown outcome, and the user goes on."""
        self.gate.answer = lambda content: []
        user = self.user()
        self.gate.ends[0].lose()
        self.clock.advance(1.0)
        # The next handshake is refused: no such login.
        end = self.gate.ends[1]
        end.say(b"\x00\x12404 User Not Found")
        end.lose()
        self.assertIn("404", self.troubled("unknown"))
        self.clock.advance(1.0)
        self.turns(4)
        self.assertEqual(self.logins, [1, 1])
        self.assertEqual(user.pending, 1)
        self.close(user)

    def test_loginRefused(self) -> None:
        """A login that is refused ends the user, who is counted."""
        refused: Deferred[LoggedIn] = fail(Unauthorized("401 Unauthorized"))
        self.takeLogin = lambda number: refused
        user = self.user()
        self.assertTrue(user.isOver)
        self.assertEqual(self.results.counts["ended"], 1)
        self.assertEqual(self.results.reasons, {"Unauthorized: 401 Unauthorized": 1})
        self.close(user)
        self.assertEqual(self.results.counts["never"], 0)

    def test_unreachable(self) -> None:
        """Attempts that fail are counted by their reasons, and the user never came."""
        self.takeLogin = lambda number: fail(ConnectionRefusedError())
        user = self.user()
        self.clock.advance(1.0)
        self.turns()
        self.assertEqual(self.results.reasons, {"ConnectionRefusedError": 2})
        self.close(user)
        self.assertEqual(self.results.counts["never"], 1)

    def test_fewExamples(self) -> None:
        """Of each kind of trouble there are three examples, and a count of all."""
        self.gate.answer = lambda content: [b"no"]
        user = self.user()
        self.turns(10)
        user.finish()
        self.turns()
        self.close(user)
        self.assertGreater(self.results.counts["wrong"], 3)
        self.assertEqual(len(self.results.examples), 3)


class CutTests(LoadTestCase):
    """Connections that break."""

    def test_cut(self) -> None:
        """S6: what is under way when the connection is cut gets its answer on the next."""
        held = self.gate.answer
        self.gate.answer = lambda content: []
        user = self.user()
        (asked,) = self.gate.asked
        self.gate.answer = held
        user.cut()
        self.turns()
        self.assertFalse(user.isConnected)
        self.clock.advance(1.0)
        user.finish()
        self.turns(4)
        self.assertTrue(user.isConnected)
        self.assertEqual(self.gate.asked, [asked, asked])
        counts = self.results.counts
        self.assertEqual((counts["right"], counts["cuts"], counts["back"]), (1, 1, 1))
        self.assertEqual(counts["lost"], 0)
        self.close(user)

    def test_latencies(self) -> None:
        """Requests across a break are told from those on one connection."""
        user = self.user(think=(5.0, 5.0))
        self.assertEqual(self.results.latencies["steady"].count, 1)
        self.gate.answer = lambda content: []
        user.ask(self.clock.seconds())
        self.turns()
        self.gate.answer = lambda content: [content]
        user.cut()
        self.turns()
        self.clock.advance(1.0)
        self.turns(4)
        self.assertEqual(self.results.latencies["steady"].count, 1)
        self.assertEqual(self.results.latencies["cut"].count, 1)
        self.assertGreater(self.results.latencies["cut"].max, 1.0)
        self.assertGreater(self.results.latencies["back"].max, 1.0)
        self.close(user)

    def test_askedWhileAway(self) -> None:
        """A request that is made without a connection waits for it, and counts as broken."""
        user = self.user(think=(9.0, 9.0))
        user.cut()
        self.turns()
        user.ask(self.clock.seconds())
        self.clock.advance(1.0)
        self.turns(4)
        self.assertEqual(self.results.latencies["cut"].count, 1)
        self.assertEqual(self.results.counts["right"], 2)
        self.close(user)

    def test_beforeTheFirst(self) -> None:
        """A request that waited for the first connection ever had none that broke."""
        self.recorder.beginMeasuring()
        user = LoadUser(1, self.surroundings(rate=1.0))
        user.begin()
        user.ask(self.clock.seconds())
        self.turns(4)
        self.assertEqual(self.results.counts["right"], 1)
        counts = {name: each.count for name, each in self.results.latencies.items()}
        self.assertEqual((counts["all"], counts["steady"], counts["cut"]), (1, 0, 0))
        self.close(user)

    def test_lostOtherwise(self) -> None:
        """A connection that the tester did not cut is counted as lost."""
        user = self.user(think=(9.0, 9.0))
        self.gate.ends[0].lose()
        self.assertEqual((self.results.counts["lost"], self.results.counts["cuts"]), (1, 0))
        self.close(user)
        self.assertEqual(self.results.counts["away"], 1)

    def test_cutTwice(self) -> None:
        """A connection that is being cut, or is not there, is not cut again."""
        user = self.user(think=(9.0, 9.0))
        user.cut()
        user.cut()
        self.turns()
        user.cut()
        self.assertEqual(self.results.counts["cuts"], 1)
        self.close(user)
