"""
Where a connection in memory breaks: after so many bytes, or answers, from now on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import define

from msgserver.wire.framing import PACKET_LENGTH


class Cut(Protocol):
    """Decides where a connection breaks, once."""

    def place(self, data: bytes, isUp: bool, answers: Sequence[int]) -> int | None:
        """
        Look at what is about to be delivered.

        @param isUp: to the server, and not to the client.
        @param answers: where in C{data} answers begin and end; see L{answerBounds}.
        @return: how many bytes of it still arrive before the connection breaks; None: all, and it
            does not.
        """


@define
class AfterBytes:
    """
    Breaks when so many bytes have arrived.

    @ivar isUp: at the server, and not at the client; None: at either.
    @ivar left: how many are still to come; 0: the next does not arrive.
    """

    isUp: bool | None
    left: int

    def place(self, data: bytes, isUp: bool, answers: Sequence[int]) -> int | None:
        """See L{Cut.place}."""
        if self.isUp not in (None, isUp):
            return None
        if len(data) >= self.left:
            return self.left
        self.left -= len(data)
        return None


@define
class AtAnswer:
    """
    Breaks at the answer of that number, which is 1 for the next.

    @ivar isBefore: nothing of it arrives; otherwise it does.
    """

    left: int
    isBefore: bool

    def place(self, data: bytes, isUp: bool, answers: Sequence[int]) -> int | None:
        """See L{Cut.place}."""
        # Each of the bounds but the last is where an answer begins.
        count = max(0, len(answers) - 1)
        if count >= self.left:
            return answers[self.left - self.isBefore]
        self.left -= count
        return None


def answerBounds(data: bytes, isFirst: bool) -> list[int]:
    """
    Find the answers in what a gate has sent: each ends where the next begins.

    @param data: whole packets, as a gate sends them.
    @param isFirst: the first packet is the verdict on the handshake, and no answer.
    @return: where the first begins, and where each ends.
    """
    bounds = [0]
    while bounds[-1] < len(data):
        (length,) = PACKET_LENGTH.unpack_from(data, bounds[-1])
        bounds.append(bounds[-1] + PACKET_LENGTH.size + length)
    return bounds[isFirst:]
