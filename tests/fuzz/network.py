"""
The connections to both ports, and all that their clients, and the network, can do to any.
"""

from __future__ import annotations

from tests.fuzz.lines import Line
from tests.fuzz.plays import Data, Number, Verb
from tests.fuzz.servers import MAX_CLIENT, Servers
from tests.fuzz.stages import Part
from tests.fuzz.watching import see

NUMBER = Number(0, 3, (0, 0, 0, 1, 1, 2))
"""Which connection."""

SECONDS = Number(0, 200, (0, 1, 3, 5, 9, 10, 11, 30, 31, 100))

PIECE = Number(0, 65536, (0, 1, 2, 3, 7, 100))
"""How large the pieces are that things arrive in, in bytes; 0: as they come."""

RAW = Data(
    (b"\x00\x03abc", b"\x00", b"\xff\xff", b"\x00\x00", b"\x00\x04", b"x" * 70_000, b"x" * 9000)
    + (b"\x00\x02::", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\x10\x00" * 9)
    + (b"\n", b"\n" * 9, b"A", b"SSH-2.0-x\r\n")
)


class Network(Part):
    """
    All connections, and the time that passes.

    @ivar lines: those that plays have opened so far, and others; in their order.
    """

    verbs = {
        "raw": Verb((NUMBER, RAW), 3),
        "spoil": Verb((Number(0, 100, (0, 1, 2, 3, 12, 20, 40)), Number(1, 255, (1, 32, 128))), 2),
        "split": Verb((PIECE,), 2),
        "hold": Verb((NUMBER,), 2),
        "go": Verb((NUMBER,), 2),
        "stop": Verb((NUMBER,), 2),
        "read": Verb((NUMBER,), 2),
        "lose": Verb((NUMBER,), 4),
        "wait": Verb((SECONDS,), 4),
    }

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self.lines: list[Line] = []
        self._numbered: dict[int, Line] = {}

    def add(self, line: Line, number: int | None = None) -> None:
        """Take in a new connection; it gets the number of an earlier one, which stays open."""
        self.lines.append(line)
        if number is not None:
            self._numbered[number] = line

    def send(self, number: int, data: bytes) -> None:
        """Send, where there is such a connection."""
        if number in self._numbered:
            self._numbered[number].send(data)

    def play_raw(self, number: int, data: bytes) -> None:
        """Send anything."""
        self.send(number, data)

    def play_spoil(self, place: int, mask: int) -> None:
        """Damage what is sent next."""
        self._servers.sending.spoil(place, mask)

    def play_split(self, size: int) -> None:
        """Cut what is sent into pieces."""
        self._servers.sending.size = size

    def play_hold(self, number: int) -> None:
        """Gather what is sent into one segment."""
        if number in self._numbered:
            self._numbered[number].hold()

    def play_go(self, number: int) -> None:
        """Send what was gathered."""
        if number in self._numbered:
            self._numbered[number].go()

    def play_stop(self, number: int) -> None:
        """Read no more."""
        if number in self._numbered:
            self._numbered[number].isReading = False

    def play_read(self, number: int) -> None:
        """Read again."""
        if number in self._numbered:
            self._numbered[number].isReading = True

    def play_lose(self, number: int) -> None:
        """Lose the connection, or close it: the server cannot tell."""
        if number in self._numbered:
            self._numbered[number].lose()

    def play_wait(self, seconds: int) -> None:
        """Let time pass, a second at a time: what it brings about, happens in between."""
        for _ in range(seconds):
            self._servers.clock.advance(1)
            self.settle()

    def settle(self) -> None:
        """Let the network and the reactor's turn do what they do by themselves."""
        for _ in range(2):
            for line in self.lines:
                if not line.isLost:
                    line.settle()
            self._servers.clock.advance(0)


def checkCounted(lines: int, counted: int) -> None:
    """See that the open connections of a port are those that it counts (B1)."""
    see(counted == min(lines, MAX_CLIENT), f"B1: {counted} counted of {lines}")
