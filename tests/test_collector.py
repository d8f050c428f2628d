"""L{msgserver.collector}: what it does to the interpreter, which is put back as it was."""

from __future__ import annotations

import gc
from weakref import ref

from twisted.trial.unittest import SynchronousTestCase

from msgserver import collector


class Cycle:
    """What refers to itself."""

    itself: Cycle


class SettleTests(SynchronousTestCase):
    """Once a server is up."""

    def setUp(self) -> None:
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.addCleanup(gc.unfreeze)

    def test_outOfSight(self) -> None:
        """What is there is not looked at any more; what comes later is, and more rarely."""
        frozen = gc.get_freeze_count()
        gc.set_threshold(700, 10, 10)
        collector.settle()
        self.assertGreater(gc.get_freeze_count(), frozen)
        self.assertEqual(gc.get_threshold(), (50_000, 5, 2))

    def test_others(self) -> None:
        """What a handler has set that is rarer still, or never, is left as it is."""
        for thresholds in ((200_000, 10, 10), (0, 10, 10)):
            gc.set_threshold(*thresholds)
            collector.settle()
            self.assertEqual(gc.get_threshold(), thresholds)

    def test_cyclesAreFound(self) -> None:
        """A cycle that is made afterwards is found."""
        collector.settle()
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        self.assertGreater(gc.collect(), 0)

    def test_garbageIsNotKept(self) -> None:
        """What nobody needs when it settles is not kept for good."""
        cycle = Cycle()
        cycle.itself = cycle
        seen = ref(cycle)
        del cycle
        collector.settle()
        self.assertIsNone(seen())
