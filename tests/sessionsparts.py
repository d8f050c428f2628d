"""
What L{tests.sessionsmachine} drives, and what it chooses from.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field
from hypothesis import strategies as st

from msgserver.sessions import Connection, Login
from msgserver.wire.framing import MAX_RESPONSE
from msgserver.wire.naming import MAX_INDEX, User
from tests.logins import answer
from tests.sessionsmodel import MAX_PACKET, Model

LARGEST = len(answer(b"0000", bytes(MAX_RESPONSE)))
"""The bytes of the longest response."""

SMALL = 1000
"""The bytes that small responses among the large ones of a piece come to, at most."""

USERS = [
    User(uid, subid, b"sample") for uid, subid in [(b"al", b"1"), (b"al", b"2"), (b"bo", b"1")]
]

MOST_LOGINS = 2
"""How many there are at once; of more, each is driven less."""

USUAL = ["now", "later", "later", "now", "soon", "sorry", "fail", "wake", "exact", "empty"]
LARGE = ["huge", "huge", "third", "third", "big", "vast", "later"]
LAST = ["bye", "quit", "out", "drop", "move", "short", "long"]

HALF = 2**31
"""How far a session is that is past (RFC 1982)."""

JUMP = HALF - 1
"""How far sessions count up at once at most."""

STEPS = [1] * 50 + [2, 3, 0, 0, -1, -2, -3, -5, JUMP, HALF] + [1] * 10
"""How far a session is from the greatest so far, for clients that count."""

HANDSHAKES = [1] * 8 + [2, 2, 0, 0, -1, -MAX_INDEX, MAX_INDEX]
"""How far an index is from the last."""

MACS = ["right"] * 8 + ["flipped", "other", "short"]

ANSWER_SIZES = [0, 0, 0, 30_000, LARGEST - 30_007 - 7, MAX_RESPONSE]
"""Two of them fill C{cache_bytes} to the last byte."""


def requestsOf(verbs: list[str], most: int) -> st.SearchStrategy[list[tuple[str, int]]]:
    """Make lists of requests: what the handler is to do, and which session to choose."""
    return st.lists(
        st.tuples(st.sampled_from(verbs), st.integers(0, len(STEPS) - 1)), max_size=most
    )


written = requestsOf(USUAL, 8)
# Empty contents are all alike, and contents are what tells requests apart where a handler loses
# its connection: so those two do not go together.
unusual = requestsOf(LARGE, 6) | requestsOf([*USUAL[:-1], *LARGE, *LAST], 6)
sizes = st.lists(st.integers(0, MAX_PACKET), max_size=3)
ages = st.integers(0, 2)

SITUATIONS = frozenset(
    """\
H1: 401, be the index right or not
H1: 403
H4: an old connection receives
H4: an old connection is lost
H4: one connection replaces another
H4: what was buffered is not served
S: half a packet
S6: replayed, an earlier one's
""".splitlines()
)
RARE = frozenset(
    """\
H1: 404
H4: the answer to a request that was not asked again
S3: too short
S6: asked again while running, an earlier one's
S7: asked for what is forgotten, an earlier one's
S7: too large
S7: too many since
S8: an answer is made while the user is away
S8: an answer is ready and not sent
S9: a failure is replayed
U1: a handler loses its connection
U2: a handler ends another login
U2: a handler ends its login
U2: a login ends with requests running
U2: an answer goes nowhere
U2: an answer of the same turn leaves
U2: an end of what has ended
U5: a user is admitted anew
B2: a request waits
B3: a batch stops for its size
B3: a connection is lost in the middle of a batch
B4: too long
""".splitlines()
)
ANY_SITUATIONS = frozenset(["S5: again"])
ANY_RARE = frozenset(["S5: again, while it runs", "S5: the first one's answer is dropped"])
INCREASING_SITUATIONS = frozenset(["S7: sessions wrap"])
INCREASING_RARE = frozenset(
    """\
S6: asked again while running, its own
S6: replayed, its own
S7: a forced logout
S7: asked for what is forgotten, its own
""".splitlines()
)


@define(eq=False)
class Entry:
    """
    A login beside its model.

    @ivar links: its connections, the latest last.
    @ivar top: the greatest session that its client has used, if it counts.
    """

    login: Login
    secret: bytes
    top: int
    model: Model
    links: list[Link] = field(factory=list)

    @property
    def user(self) -> User:
        """Whose login it is."""
        return self.login.user

    def aged(self, age: int) -> Link:
        """Give one of its connections, of which it must have had some; 0: the latest."""
        return self.links[-1 - min(age, len(self.links) - 1)]


@define(eq=False)
class Link:
    """A connection, and what its client has written that has not arrived."""

    entry: Entry
    connection: Connection
    unsent: bytes = b""

    @property
    def isCurrent(self) -> bool:
        """Whether it is its login's, by the model."""
        return self.entry.model.isConnected and self.entry.links[-1] is self


def cut(stream: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Cut a stream into pieces of these sizes, and what is left over into one more."""
    pieces = []
    for size in sizes:
        pieces.append(stream[:size])
        stream = stream[size:]
    return [*pieces, stream]
