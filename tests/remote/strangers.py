"""
Strangers at the door of the control link: what they send, byte by byte.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.spread.banana import Banana


class Stranger(Protocol):
    """
    A peer that says nothing by itself.

    @ivar heard: what it was told.
    """

    def __init__(self) -> None:
        self.heard = b""

    def dataReceived(self, data: bytes) -> None:
        """Note it."""
        self.heard += data


def _encoded(expression: Any) -> bytes:
    transport = StringTransport()
    banana = Banana(isClient=1)
    banana.makeConnection(transport)
    banana.sendEncoded(expression)
    return bytes(transport.value())


def listed(string: bytes) -> bytes:
    """Write a string, as it stands in a list."""
    return _encoded(string)


_GREETING = _encoded(b"pb")


def written(expression: Any, greeting: bytes = _GREETING) -> bytes:
    """Write an expression, and before it the choice of a language."""
    return greeting + _encoded(expression)


def call(
    method: bytes,
    arguments: list[Any],
    answer: int = 1,
    at: bytes = b"root",
    greeting: bytes = _GREETING,
) -> bytes:
    """Write a call of what stands at the door."""
    return written([b"message", 1, at, method, answer, arguments, [b"dictionary"]], greeting)
