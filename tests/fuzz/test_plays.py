"""Tests for L{tests.fuzz.plays} and L{tests.fuzz.mutation}: plays and their text."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.mutation import makePlay, mutate
from tests.fuzz.plays import MAX_ACTIONS, MAX_DATA, Action, readData, writeData
from tests.fuzz.targets import TARGETS
from tests.fuzz.test_targets import short

GATE = TARGETS["gate"].grammar


class TextTests(SynchronousTestCase):
    """A play is text, and any text is a play."""

    @short
    @given(st.binary() | st.text("a\\{}-0 #", max_size=20).map(str.encode))
    def test_data(self, data: bytes) -> None:
        """Bytes are read as they were written, without a space or a line end in them."""
        written = writeData(data)
        self.assertEqual(readData(written), data)
        self.assertNotIn(" ", written)
        self.assertNotIn("\n", written)

    def test_dataExamples(self) -> None:
        """Bytes are written so that they can be read."""
        self.assertEqual(writeData(b""), "-")
        self.assertEqual(writeData(b"hi there"), "hi\\x20there")
        self.assertEqual(writeData(b"a" * 8193 + b"\n"), "a{8193}\\x0a")
        self.assertEqual(len(readData("a{99999}b{99999}")), MAX_DATA)

    def test_unknownLines(self) -> None:
        """Lines that say nothing are skipped, and arguments that say nothing are likely ones."""
        play = GATE.read(b"# open 1\nopen\nopen x\n\xff\nfly 1\nopen 2 3 4\nopen 99\n")
        self.assertEqual([action.values for action in play], [(0,), (0,), (2,), (3,)])

    @short
    @given(st.randoms(use_true_random=False), st.sampled_from(sorted(TARGETS)))
    def test_play(self, random: Random, name: str) -> None:
        """A play, made or changed, is read as it was written, and has its bounds."""
        grammar = TARGETS[name].grammar
        made = makePlay(grammar, random)
        changed = mutate(grammar, made, random, makePlay(grammar, random))
        for play in (made, changed):
            self.assertEqual(grammar.read(grammar.write(play)), play)
            self.assertLessEqual(len(play), MAX_ACTIONS)

    def test_openings(self) -> None:
        """No line of an opening is skipped: it would not open anything."""
        for target in TARGETS.values():
            for opening in target.grammar.openings:
                play = target.grammar.read(opening.encode())
                self.assertEqual(target.grammar.write(play).decode(), opening)

    @short
    @given(st.randoms(use_true_random=False))
    def test_changes(self, random: Random) -> None:
        """A change of an empty play gives one with something in it."""
        self.assertIsInstance(mutate(GATE, (), random)[0], Action)
