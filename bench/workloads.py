"""
What is asked of a gate, how often, and what answers.
"""

from __future__ import annotations

from attrs import frozen

from bench.handlers import loginsOf
from msgserver.wire.gate import GateClient

HANDLERS = {
    "immediate": ("Immediate", "bytes, at once"),
    "object": ("PerUser", "an object for each user, at once"),
    "async": ("Coroutine", "async def that does not wait"),
    "late": ("Late", "async def that awaits a Deferred, fired a turn later"),
    "bursts": ("Bursts", "the same, fired 32 at a time"),
}
"""By the names of workloads: the class in L{bench.handlers}, and what to call it."""


@frozen
class Workload:
    """
    A load, and the handler that it is for.

    @ivar connections: how many, each of which has a login of its own.
    @ivar depth: how many requests each has outstanding, in a closed loop.
    @ivar size: of a request's content, in bytes.
    @ivar handler: one of L{HANDLERS}; an echo has none.
    @ivar rate: requests a second, on schedule; None: a closed loop.
    """

    connections: int
    depth: int
    size: int
    handler: str = "immediate"
    rate: int | None = None

    @property
    def name(self) -> str:
        """What a command line calls it."""
        shape = f"{self.connections}x{self.depth}x{self.size}"
        if self.rate is not None:
            return f"open-{self.rate}"
        return shape if self.handler == "immediate" else f"{shape}-{self.handler}"

    @property
    def title(self) -> str:
        """What it is, in words."""
        load = f"{self.connections:,} connections, {self.size:,} bytes, "
        if self.rate is None:
            load += f"{self.depth} outstanding each"
        else:
            load += f"{self.rate:,} requests/s on schedule"
        return f"{load}; {HANDLERS[self.handler][1]}"

    @property
    def handlerPath(self) -> str:
        """Where the handler is, as a config says it."""
        return f"bench.handlers:{HANDLERS[self.handler][0]}"

    @property
    def outstanding(self) -> int:
        """How many requests are not answered when a closed loop ends; 0 for a schedule."""
        return self.connections * self.depth if self.rate is None else 0


CLOSED = (
    Workload(1, 1, 16),
    Workload(64, 1, 16),
    Workload(64, 16, 16),
    Workload(512, 1, 64),
    Workload(512, 16, 64),
    Workload(64, 16, 1024),
    Workload(5000, 1, 64),
    *(
        Workload(64, depth, 16, handler)
        for handler in HANDLERS
        if handler != "immediate"
        for depth in (1, 16)
    ),
)
"""The next request of a connection waits for an answer: this tells how many can be answered."""

OPEN = tuple(Workload(256, 1, 16, rate=rate) for rate in (5_000, 10_000, 20_000))
"""Requests come when they come, as users do: this tells how long they wait."""

WORKLOADS = {workload.name: workload for workload in (*CLOSED, *OPEN)}

QUICK = ("64x1x16", "64x16x16", "64x1x16-late")
"""The names of those that say the most, for who is in a hurry."""


def hellosOf(workload: Workload) -> bytes:
    """Give the first handshake of each login, back to back."""
    return b"".join(
        GateClient(user, secret, index=1).hello for user, secret in loginsOf(workload.connections)
    )
