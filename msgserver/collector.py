"""
Python's garbage collector, set up for a server.

It looks for cycles again and again, the more often the more objects there are, and it looks at
everything that is there. A request that is answered later leaves some objects until then, so that
with the settings of an interpreter's start a gate spends a third of its time there.
"""

from __future__ import annotations

import gc

_THRESHOLDS = 50_000, 5, 2
"""
New objects after which the collector looks at them; how often it does so before it looks at
those that have been looked at once; and that, before it looks at all. So some 900,000 objects
may be made before it does. At an interpreter's start these are 700, 10 and 10.
"""


def settle() -> None:
    """
    Leave out of the collector's sight for good what is there once a server is up: its modules,
    its handlers, its tables; and have it look less often.

    Where somebody has had it look rarely already, or never, that is left as it is.
    """
    gc.collect()
    gc.freeze()
    if 0 < gc.get_threshold()[0] < _THRESHOLDS[0]:
        gc.set_threshold(*_THRESHOLDS)
