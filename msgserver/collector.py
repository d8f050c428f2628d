"""
Python's garbage collector, set up for a server.

It looks for cycles again and again, the more often the more objects there are, and it looks at
everything that is there. A request that is answered later leaves some objects until then, so that
with the settings of an interpreter's start a gate spends a third of its time there.
"""

from __future__ import annotations

import gc

_YOUNG = 50_000
"""New objects after which the collector looks at them; 700 at an interpreter's start."""


def settle() -> None:
    """
    Leave out of the collector's sight for good what is there once a server is up: its modules,
    its handlers, its tables; and have it look less often.

    Cycles are still found, later: the garbage that waits may be some ten megabytes more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
