"""
For tests, of your handlers and of msgserver itself.

- L{msgserver.testing.doubles}: in-memory doubles of what surrounds a part of msgserver
"""

from msgserver.testing.doubles import MemoryDirectory, MemoryGate, MemoryTransport

__all__ = ["MemoryDirectory", "MemoryGate", "MemoryTransport"]
