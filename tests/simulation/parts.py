"""
What the model of a gate is made of.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto

from attrs import define, field, frozen

from msgserver.msgprotocol import GateLimits
from msgserver.msgservice import LifeLimits
from msgserver.sessions import SessionLimits
from msgserver.wire.naming import User
from tests.simulation.network import Transport


class Violation(AssertionError):
    """
    An invariant did not hold.

    @ivar rule: which.
    @ivar kind: the same for all that break it in the same way.
    """

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule
        self.kind = rule + re.sub(r"b'[^']*'|User\(.*?\)|\d+", "", text[:200])


class State(Enum):
    """What a connection is to its gate."""

    NEW = auto()
    REFUSED = auto()
    CURRENT = auto()
    REPLACED = auto()
    ENDED = auto()
    LOST = auto()


class Verdict(Enum):
    """What is to become of a request."""

    RUN = auto()
    REPLAY = auto()
    EITHER = auto()
    TAKE_OVER = auto()
    NOTHING = auto()
    FORGOTTEN = auto()


@define(eq=False)
class Wire:
    """
    One connection, seen from its gate.

    @ivar waiting: what was received and is not accounted for.
    @ivar due: what is to be written, in this order; where S7 leaves a choice that is yet to
        be seen, each of what it may be.
    @ivar isGreeted: the verdict on its handshake was written.
    @ivar own: the sessions that it has asked.
    @ivar counts: it is one of C{maxclient}.
    @ivar mustAbort: the rule by which it must be closed at once; C{mustClose}, once what is
        due has been sent.
    @ivar hasMore: says whether the gate has stopped in the middle, for the transport's sake.
    @ivar held: says how many bytes the gate holds of a handshake.
    """

    number: int
    transport: Transport
    opened: float
    state: State = State.NEW
    counts: bool = True
    login: Login | None = None
    waiting: bytes = b""
    due: list[bytes] = field(factory=lambda: [b""])
    own: set[bytes] = field(factory=set)
    isGreeted: bool = False
    isBroken: bool = False
    isPaused: bool = False
    isFull: bool = False
    mustAbort: str = ""
    mustClose: str = ""
    closingSince: float | None = None
    hasMore: Callable[[], bool] = lambda: False
    held: Callable[[], int] = lambda: 0
    wasStalled: bool = False

    def next(self, maxPacket: int) -> tuple[bytes, bytes] | None:
        """Give the session and the content of the first request that waits."""
        if self.isBroken or len(self.waiting) < 2:
            return None
        length = int.from_bytes(self.waiting[:2], "big")
        if not 4 <= length <= maxPacket:
            self.isBroken = True
            return None
        if len(self.waiting) < 2 + length:
            return None
        return self.waiting[length - 2 : length + 2], self.waiting[2 : length - 2]

    def owe(self, data: bytes) -> None:
        """Have something to write."""
        self.due = [each + data for each in self.due]

    def pay(self, data: bytes) -> bool:
        """Take note that something was written, and say whether it was due."""
        right = [each[len(data) :] for each in self.due if each.startswith(data)]
        self.due = right or [b""]
        return bool(right)

    def pop(self) -> None:
        """Let go of the first request that waits."""
        self.waiting = self.waiting[2 + int.from_bytes(self.waiting[:2], "big") :]


@define(eq=False)
class Request:
    """
    A request that has run.

    @ivar wire: the connection that asked last.
    @ivar place: how many answers were made before its own; C{start}, how many bytes of them.
    """

    login: Login
    session: bytes
    content: bytes
    wire: Wire
    response: bytes | None = None
    place: int = 0
    start: int = 0
    takers: int = 1


@define(eq=False)
class Login:
    """
    One login.

    @ivar made: how many answers were made, and C{size} how many bytes of them.
    @ivar endExpected: why it must end in this very step.
    """

    user: User
    secret: bytes
    index: int = 0
    current: Wire | None = None
    hasConnected: bool = False
    isEnded: bool = False
    latest: dict[bytes, Request] = field(factory=dict)
    highest: int | None = None
    running: int = 0
    made: int = 0
    size: int = 0
    awayUntil: float | None = None
    kickedAt: float | None = None
    isKickedDone: bool = False
    kicksAsked: int = 0
    endExpected: str = ""


@frozen
class Limits:
    """All limits of a gate."""

    session: SessionLimits
    gate: GateLimits
    life: LifeLimits


def countsUp(session: bytes, highest: int | None) -> bool:
    """S7: compare by RFC 1982, section 3.2."""
    return highest is None or 0 < (int.from_bytes(session, "big") - highest) % 2**32 < 2**31


def short(data: bytes) -> str:
    """Write bytes down, not all of them where they are many."""
    return repr(data) if len(data) < 80 else f"{data[:40]!r}… ({len(data)} bytes)"
