"""
L{msgserver.strangerlog}: who can make a server log cannot fill its disk.
"""

from __future__ import annotations

from typing import cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from msgserver.strangerlog import StrangerLog


class StrangerLogTests(SynchronousTestCase):
    """A log of three lines at once, and one every two seconds."""

    def setUp(self) -> None:
        """Listen to it."""
        self.clock = Clock()
        self.events: list[LogEvent] = []
        self.log = self.make(rate=0.5, burst=3)

    def make(self, **settings: float) -> StrangerLog:
        """Make a log that is listened to."""
        log = Logger(namespace="tests", observer=cast(ILogObserver, self.events.append))
        return StrangerLog(log, self.clock, **settings)  # type: ignore[arg-type]

    def say(self, count: int) -> None:
        """Log so many lines."""
        for number in range(count):
            self.log.info("no {number} from {peer}", number=number, peer="192.0.2.1", event="limit")

    def taken(self) -> list[str]:
        """Give what has been logged since the last time."""
        texts = list(map(formatEvent, self.events))
        self.events.clear()
        return texts

    def test_asItIs(self) -> None:
        """A line that passes is what the logger would have made of it."""
        self.say(1)
        (event,) = self.events
        self.assertEqual(event["log_level"], LogLevel.info)
        self.assertEqual(event["log_namespace"], "tests")
        self.assertEqual((event["event"], event["peer"]), ("limit", "192.0.2.1"))
        self.assertNotIn("suppressed", event)
        self.assertEqual(self.taken(), ["no 0 from 192.0.2.1"])

    def test_warn(self) -> None:
        """Another level is another level, and takes of the same rate."""
        self.log.warn("mind {what}", what="this")
        self.assertEqual(self.events[0]["log_level"], LogLevel.warn)
        self.say(3)
        self.assertEqual(len(self.events), 3)

    def test_burst(self) -> None:
        """So many pass at once, and no more."""
        self.say(10)
        self.assertEqual(len(self.taken()), 3)

    def test_rate(self) -> None:
        """In the long run so many pass, however many there are."""
        self.say(3)
        for _ in range(40):
            self.say(5)
            self.clock.advance(0.5)
        self.assertEqual(len(self.events), 3 + 9)  # The last half second comes too late.

    def test_rest(self) -> None:
        """A pause gives the whole burst back, and not more."""
        self.say(3)
        self.clock.advance(3600)
        self.taken()
        self.say(10)
        self.assertEqual(len(self.taken()), 3)

    def test_told(self) -> None:
        """The next line that passes tells how many did not; the one behind it does not."""
        self.say(10)
        self.taken()
        self.clock.advance(4)
        self.say(2)
        self.assertEqual([event.get("suppressed") for event in self.events], [7, None])
        self.assertEqual(
            self.taken(), ["no 0 from 192.0.2.1 (7 more not logged)", "no 1 from 192.0.2.1"]
        )
        self.clock.advance(3600)
        self.assertEqual(self.taken(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_toldLater(self) -> None:
        """Where no line passes, it is told within a minute."""
        self.say(10)
        self.taken()
        self.clock.advance(59.9)
        self.assertEqual(self.taken(), [])
        self.clock.advance(0.1)
        (event,) = self.events
        self.assertEqual((event["event"], event["suppressed"]), ("suppressed", 7))
        self.assertEqual(self.taken(), ["7 lines about strangers not logged"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_again(self) -> None:
        """After it was told, counting begins anew."""
        self.say(4)
        self.clock.advance(60)
        self.taken()
        self.say(5)
        self.taken()
        self.clock.advance(60)
        self.assertEqual(self.taken(), ["2 lines about strangers not logged"])

    def test_flush(self) -> None:
        """What was not logged is told at once when a server stops, and nothing stays behind."""
        self.say(5)
        self.taken()
        self.log.flush()
        self.log.flush()
        self.assertEqual(self.taken(), ["2 lines about strangers not logged"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_backwards(self) -> None:
        """A clock that is set back gives no line, and takes none."""
        self.say(2)
        self.clock.rightNow = -1000.0
        self.say(5)
        self.assertEqual(len(self.taken()), 3)
        self.clock.rightNow = -998.0
        self.say(5)
        self.assertEqual(len(self.taken()), 1)

    def test_defaults(self) -> None:
        """Unless told otherwise: 50 lines at once, and five a second."""
        self.log = self.make()
        self.say(100)
        self.clock.advance(1)
        self.say(100)
        self.assertEqual(len(self.events), 55)
