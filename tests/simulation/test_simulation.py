"""
The simulator: that every invariant holds, and that it would be told if one did not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from msgserver.answering import Answering
from msgserver.kept import KeptResponses
from msgserver.msgprotocol import MsgProtocol
from msgserver.msgservice import MsgService
from msgserver.sessions import Connection, Login
from tests.compilation import patchesSessions
from tests.endtoend.processes import ROOT
from tests.simulation.running import Found, playHistory, playSeed, readHistory, shrink
from tests.simulation.transitions import TRANSITIONS, Reached


def simulate(*options: str, hashSeed: str = "0") -> subprocess.CompletedProcess[str]:
    """Run the simulator as its user does."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hashSeed},
        capture_output=True,
        text=True,
        check=False,
    )


class WorldTests(SynchronousTestCase):
    """Worlds as they come."""

    def test_allHolds(self) -> None:
        """H1 to H4, S1 to S9, U1 to U5, B1 to B5: in every world; each situation is reached."""
        done = simulate("--steps", "100000", "--seed", "1", "--all-reached")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertIn("100,000 steps in 125 worlds held every invariant", done.stdout)
        self.assertIn(f"{len(TRANSITIONS)} situations of {len(TRANSITIONS)} reached", done.stdout)

    def test_sameEachTime(self) -> None:
        """What happens in a world depends on its seed, and on nothing else."""
        told = {simulate("--tell", "--seed", "7", hashSeed=each).stdout for each in "12"}
        (only,) = told
        self.assertGreater(only.count("\n"), 800)
        self.assertNotEqual(simulate("--tell", "--seed", "8").stdout, only)

    def test_coverage(self) -> None:
        """The situations are listed, and those that were not reached are a failure."""
        done = simulate("--steps", "10", "--coverage", "--all-reached")
        self.assertEqual(done.returncode, 1)
        self.assertIn("S6: a kept answer is sent again", done.stdout)
        self.assertIn("Never reached:\n  opened\n  one too many\n", done.stdout)
        self.assertIn("No invariant was broken.", done.stdout)

    def test_badNumbers(self) -> None:
        """Numbers that make no sense are refused in a line."""
        for options in (["--steps", "0"], ["--world", "-2"], ["--seed", "x"], ["--history", ""]):
            done = simulate(*options)
            self.assertEqual(done.returncode, 2, options)
            self.assertNotIn("Traceback", done.stderr)
            self.assertIn(f"{options[0]}: ", done.stderr)

    def test_noHistory(self) -> None:
        """A history that is none is refused by name."""
        done = simulate("--history", "turn:0:0 jump:1:2")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--history: jump:1:2 is no step", done.stderr)


class FaultTests(SynchronousTestCase):
    """Deliberate faults: each is found, and shown by a short history."""

    def setUp(self) -> None:
        """Log nothing: what handlers raise is told of as often as a history is played."""
        for observer in list(globalLogPublisher._observers):
            globalLogPublisher.removeObserver(observer)
            self.addCleanup(globalLogPublisher.addObserver, observer)

    def find(self, first: int) -> Found:
        """Play worlds until one shows a fault."""
        for seed in range(first, first + 200):
            _, found = playSeed(seed, 800, Reached())
            if found is not None:
                return found
        raise self.failureException("no world shows the fault")

    def assertFound(
        self, thing: Any, name: str, fault: Callable[..., Any], *rules: str, first: int = 0
    ) -> None:
        """See a fault break one of the rules, in a history that is short and shows it again."""
        self.patch(thing, name, fault)
        found = self.find(first)
        short = shrink(found, 300)
        self.assertIn(short.violation.rule, rules)
        self.assertLess(len(short.history), len(found.history))
        text = short.options().partition("--history '")[2].rstrip("'")
        again = playHistory(short.seed, readHistory(text), short.isHealed)
        assert again is not None
        self.assertEqual(str(again.violation), str(short.violation))

    @patchesSessions
    def test_indexIsNotChecked(self) -> None:
        """H: an index is accepted twice."""
        connect = Login.connect

        def fault(self: Login, index: int, transport: Any) -> Connection:
            self._index = index - 1
            return connect(self, index, transport)

        self.assertFound(Login, "connect", fault, "H1")

    @patchesSessions
    def test_oldCloseIsLetThrough(self) -> None:
        """H4: the loss of a connection that was replaced counts."""

        def fault(self: Login, connection: Connection) -> bool:
            self.connection = None
            return True

        self.assertFound(Login, "disconnect", fault, "H4", "U1", "U2", "S1")

    @patchesSessions
    def test_runningIsForgotten(self) -> None:
        """S6: what is running is not known to the next connection."""
        connect = Login.connect

        def fault(self: Login, index: int, transport: Any) -> Connection:
            connection = connect(self, index, transport)
            self._inherited = set()
            return connection

        self.assertFound(Login, "connect", fault, "S6", "B2")

    @patchesSessions
    def test_keptIsForgotten(self) -> None:
        """S7: nothing is kept beyond the connection."""
        self.assertFound(KeptResponses, "recall", lambda self, running: None, "S6", "S7")

    def test_loggedOutTwice(self) -> None:
        """U2: loggedOut is called twice."""
        end = MsgService.end

        def fault(self: MsgService, user: Any) -> Any:
            ended = end(self, user)
            self._tell("loggedOut", user)
            return ended

        self.assertFound(MsgService, "end", fault, "U2")

    def test_answersStay(self) -> None:
        """S1: answers that come later are not sent."""
        self.assertFound(Answering, "flushLater", lambda self, connection: None, "S1", "U2", "B2")

    def test_timeBeginsAnew(self) -> None:
        """B3: a client that does not read has its whole time anew with each answer."""

        # As it was until the simulator found it, which takes it a million steps.
        def fault(self: MsgProtocol) -> None:
            self._isStalled = True
            self.factory.stalls.start(self)
            self._adjustReading()

        self.assertFound(MsgProtocol, "pauseProducing", fault, "B3", first=1701)
