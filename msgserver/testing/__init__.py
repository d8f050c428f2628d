"""
For tests: of handlers, and of whatever else stands around a gate.

  - L{msgserver.testing.server}: a whole server in memory, with real clients
  - L{msgserver.testing.everycut}: a connection that breaks at each byte, one after the other
  - L{msgserver.testing.doubles}: transports, gates and login sides in memory
"""

from msgserver.testing.doubles import MemoryDirectory, MemoryGate, MemoryTransport
from msgserver.testing.everycut import everyCut
from msgserver.testing.server import MemoryServer

__all__ = ["MemoryDirectory", "MemoryGate", "MemoryServer", "MemoryTransport", "everyCut"]
