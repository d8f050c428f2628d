"""
Somebody between the two ends of a conversation, who delivers what they say in any pieces, and
changes, loses, adds and forges what he likes.
"""

from __future__ import annotations

from abc import abstractmethod

from attrs import define
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from msgserver.errors import ProtocolError, Refused
from msgserver.wire.framing import MAX_LINE, packet
from msgserver.wire.gate import ANSWERED, responsePacket
from tests.machines import Machine
from tests.wire import End

ALL = 10**6
"""More bytes than are ever on their way."""

SIZES = [ALL, ALL, ALL, 1, 2, 3, 9, 12, 13, 50]
WHERE = ["nowhere", "up", "down", "both"]
BITS = st.sampled_from([0, 0, 0, 1, 1, 2, 5, 7])
PLACES = st.integers(0, 120)
FRONT = st.just(0) | PLACES

FORGED_LINES = {
    "200": b"200 Mg==\n",
    "200 without a subid": b"200 1\n",
    "210": b"210 aDox\n",
    "210 without an address": b"210 /w==\n",
    "401": b"401 Unauthorized\n",
    "500": b"500 \n",
    "a key": b"AAAAAAAAAAA=\n",
    "nothing": b"\n",
    "the longest line": b"x" * MAX_LINE + b"\n",
    "a longer line": b"x" * MAX_LINE + b"x\n",
}
FORGED_PACKETS = {
    "200 OK": packet(b"200 OK"),
    "404 User Not Found": packet(b"404 User Not Found"),
    "no handshake": packet(b"::"),
    "nothing": packet(b""),
    "a response": responsePacket(b"0000", ANSWERED, b"forged"),
    "a response without a flag": responsePacket(b"0000", b"\x02", b""),
    "a long packet": b"\xff\xff",
}


@define
class Pipe:
    """
    One direction of a connection.

    @ivar written: everything that was ever sent into it.
    @ivar pending: what is on its way.
    @ivar arrived: what came out of it.
    @ivar isTampered: what comes out is not what went in.
    @ivar isCut: what is sent from now on is lost.
    """

    written: bytes = b""
    pending: bytes = b""
    arrived: bytes = b""
    isTampered: bool = False
    isCut: bool = False

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.written += data
        if not self.isCut:
            self.pending += data

    def deliver(self, count: int) -> bytes:
        """Have up to so many bytes arrive."""
        delivered, self.pending = self.pending[:count], self.pending[count:]
        self.arrived += delivered
        return delivered

    def replace(self, start: int, stop: int, data: bytes) -> None:
        """Put something else in the place of bytes that are on their way."""
        changed = self.pending[:start] + data + self.pending[stop:]
        self.isTampered = self.isTampered or changed != self.pending
        self.pending = changed

    def cut(self, kept: int) -> None:
        """Lose what is on its way but for the first bytes, and all that will be sent."""
        self.pending = self.pending[:kept]
        self.isCut = True


def pull(end: End, told: list[object]) -> None:
    """Take an end's events, and last the type of its error; then there must be none."""
    try:
        while (event := end.nextEvent()) is not None:
            told.append(event)
    except (Refused, ProtocolError) as error:
        told.append(type(error))
        assert end.nextEvent() is None, "L, H2: nothing is looked at after an error"


def mayForge(machine: ConversationMachine) -> bool:
    """Say whether this conversation is interfered with at all."""
    return bool(machine.targets())


def mayInterfere(machine: ConversationMachine) -> bool:
    """Say whether there is something to interfere with."""
    return any(pipe.pending for pipe in machine.targets())


class ConversationMachine(Machine):
    """Carries what two ends say."""

    server: End
    client: End

    def __init__(self) -> None:
        super().__init__()
        self.begin("nowhere")

    def begin(self, where: str) -> None:
        """
        Have nothing said yet.

        @param where: in which direction to interfere: one of L{WHERE}.
        """
        self.where = where
        self.up, self.down = Pipe(), Pipe()
        self.serverTold: list[object] = []
        self.clientTold: list[object] = []
        # What had arrived when the ends were last asked for their events.
        self.serverSaw = self.clientSaw = b""

    @property
    def isHonest(self) -> bool:
        """Whether nothing was tampered with, nor lost."""
        pipes = (self.up, self.down)
        return not any(pipe.isTampered or pipe.isCut for pipe in pipes)

    @property
    @abstractmethod
    def isOver(self) -> bool:
        """Whether the client hears nothing more."""

    @abstractmethod
    def feedServer(self, data: bytes) -> None:
        """Have bytes arrive at the server's end."""

    @abstractmethod
    def pullServer(self) -> None:
        """Ask the server's end for its events, and compare it with what it must do."""

    @abstractmethod
    def pullClient(self) -> None:
        """Ask the client's end for its events, and compare it with what it must do."""

    @rule(isUp=st.booleans(), size=st.sampled_from(SIZES), isPulled=st.booleans())
    def deliver(self, isUp: bool, size: int, isPulled: bool) -> None:
        """Deliver some bytes, and maybe ask for the events that this makes."""
        if isUp:
            self.feedServer(self.up.deliver(size))
        else:
            self.client.feed(self.down.deliver(size))
        if isPulled or size == ALL:
            (self.pullServer if isUp else self.pullClient)()

    @precondition(lambda self: not self.isOver)
    @rule(count=st.integers(1, 2))
    def exchange(self, count: int) -> None:
        """Deliver what is said, and what is said to that, and so on, so many times."""
        for _ in range(count):
            self.deliver(bool(self.up.pending), ALL, True)

    def exchangeAll(self) -> None:
        """Deliver everything until nothing more is said."""
        isQuiet = False
        while not isQuiet:
            self.deliver(True, ALL, True)
            self.deliver(False, ALL, True)
            isQuiet = not (self.up.pending or self.down.pending)

    @precondition(mayInterfere)
    @rule(isUp=st.booleans(), place=PLACES, bit=BITS)
    def flip(self, isUp: bool, place: int, bit: int) -> None:
        """Change one bit."""
        pipe = self.pipe(isUp)
        place %= len(pipe.pending)
        pipe.replace(place, place + 1, bytes([pipe.pending[place] ^ 1 << bit]))

    @precondition(mayInterfere)
    @rule(isUp=st.booleans(), place=PLACES, count=PLACES)
    def omit(self, isUp: bool, place: int, count: int) -> None:
        """Lose bytes, but not those behind them."""
        self.pipe(isUp).replace(place, place + count, b"")

    @precondition(mayInterfere)
    @rule(isUp=st.booleans(), kept=PLACES)
    def cut(self, isUp: bool, kept: int) -> None:
        """Lose the end of what is said."""
        self.pipe(isUp).cut(kept)

    def insert(self, isUp: bool, place: int, forged: bytes) -> None:
        """Say something in the other's name, be it behind all that is on its way."""
        self.pipe(isUp).replace(place, place, forged)

    def targets(self) -> list[Pipe]:
        """Give the directions to interfere in, while there is something to spoil."""
        if self.isOver:
            return []
        chosen: dict[str, list[Pipe]] = {"nowhere": [], "up": [self.up], "down": [self.down]}
        return chosen.get(self.where, [self.down, self.up])

    def pipe(self, isUp: bool) -> Pipe:
        """Choose one of these directions, one where something is on its way if there is."""
        targets = self.targets()
        return ([pipe for pipe in targets if pipe.pending] or targets)[-isUp]
