"""
What the tests of the wire share: the recorded vectors, and the ways in which a stream arrives.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from msgserver.errors import ProtocolError, Refused
from msgserver.wire.login import RandomBytes

_VECTORS = Path(__file__).resolve().parent.parent / "vectors"


class End(Protocol):
    """One end of a conversation."""

    def feed(self, data: bytes) -> None:
        """Take what arrived."""

    def nextEvent(self) -> object | None:
        """Give the next event."""


def recorded(name: str) -> Any:
    """Read what was recorded from the original."""
    return json.loads((_VECTORS / name).read_text())


def arrivals(stream: bytes) -> list[list[bytes]]:
    """Cut a stream in the ways in which it may arrive: whole, byte by byte, in threes."""
    return [
        [stream[start : start + size] for start in range(0, len(stream), size)]
        for size in (max(len(stream), 1), 1, 3)
    ]


def outcome(end: End, chunks: Iterable[bytes]) -> list[object]:
    """
    Feed an end chunk by chunk.

    @return: the events that this makes, and last the type of the error, where there is one.
    """
    events: list[object] = []
    for chunk in chunks:
        end.feed(chunk)
        try:
            while (event := end.nextEvent()) is not None:
                events.append(event)
        except (Refused, ProtocolError) as error:
            return [*events, type(error)]
    return events


def given(*pieces: bytes) -> RandomBytes:
    """Make a source of randomness that gives these pieces, in this order."""
    remaining = list(pieces)

    def randomBytes(size: int) -> bytes:
        piece = remaining.pop(0)
        assert len(piece) == size, f"{size} bytes were asked for, not {len(piece)}"
        return piece

    return randomBytes
