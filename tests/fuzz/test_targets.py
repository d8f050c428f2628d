"""
All targets, for a moment: the plays that are kept, and as many others as there is time for.

C{make fuzz} goes on from here, for as long as told.
"""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz import corpus
from tests.fuzz.mutation import makePlay
from tests.fuzz.targets import TARGETS
from tests.fuzz.watching import Broken

MAX_PLAY_SIZE = 2048
"""The bytes of the longest play that is kept, as text."""

short = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=list(HealthCheck),
)


class _TargetCase(SynchronousTestCase):
    """Tests that let handlers fail: what they log is looked at by the target itself."""

    def tearDown(self) -> None:
        self.flushLoggedErrors()

    def runSome(self, name: str, random: Random) -> None:
        """Run a play of a target."""
        target = TARGETS[name]
        play = makePlay(target.grammar, random)
        note(target.grammar.write(play).decode())
        target.run(play)


class CorpusTests(_TargetCase):
    """The plays that are kept."""

    def replay(self, name: str) -> None:
        target = TARGETS[name]
        folder = corpus.KEPT / name
        paths = sorted(folder.iterdir())
        self.assertGreater(len(paths), 1, f"{folder} has hardly a play")
        for path in paths:
            text = path.read_bytes()
            play = target.grammar.read(text)
            self.assertEqual(len(play), len(text.splitlines()), f"{path}: a line says nothing")
            self.assertLessEqual(len(text), MAX_PLAY_SIZE, path)
            try:
                target.run(play)
            except Broken as broken:
                self.fail(f"{path}: {broken}")


class AnyPlayTests(_TargetCase):
    """Plays that nobody wrote, the same ones each time."""


def _addTests(name: str) -> None:
    def test_replay(self: CorpusTests) -> None:
        self.replay(name)

    @short
    @given(st.randoms(use_true_random=False))
    def test_anyPlay(self: AnyPlayTests, random: Random) -> None:
        self.runSome(name, random)

    test_replay.__doc__ = f"Nothing breaks in any play that is kept for {name}."
    test_anyPlay.__doc__ = f"Nothing breaks in plays of {name} that are made at random."
    test_anyPlay.__name__ = f"test_{name}"
    setattr(CorpusTests, f"test_{name}", test_replay)
    setattr(AnyPlayTests, f"test_{name}", test_anyPlay)


for _name in TARGETS:
    _addTests(_name)
