"""What the gate runs that is attacked."""

from __future__ import annotations

import ctypes
import gc

from msgserver import User
from msgserver.interfaces import MaybeLater
from tests.endtoend.workload import Workload

TRIM = b"trim"
"""The order that has the process give back what memory is free."""


class Attacked(Workload):
    """
    A L{Workload} that gives free memory back to the system when told to.

    An allocator keeps what is free for the next time, at its discretion. What is to be seen is
    what an attack has left in use.
    """

    def requestReceived(self, user: User, content: bytes) -> MaybeLater[bytes]:
        """Do as ordered."""
        if content != TRIM:
            return super().requestReceived(user, content)
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # Of the GNU C library alone.
        if trim is not None:
            trim(0)
        return TRIM
