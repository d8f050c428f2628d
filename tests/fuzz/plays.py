"""
Plays: what a fuzzer's input says, as text and as values.

A play is text: an action a line, C{verb argument argument}. Bytes are written as they are where
they are printable, C{\\xHH} otherwise; C{a{8193}} is a run of 8193 of them; C{-} is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Protocol, TypeAlias

from attrs import field, frozen

MAX_ACTIONS = 60
"""The actions of a play; what is behind them is not read."""

MAX_DATA = 70_000
"""The bytes of one argument: more than a packet can have."""

Value: TypeAlias = int | str | bytes
"""What an argument means."""

_UNIT = re.compile(r"(\\x[0-9a-f]{2}|.)(?:\{([0-9]{1,5})\})?", re.DOTALL)
_NOTHING = "-"
_SPECIAL = b" \\{#-"
_SHORTEST_RUN = 6


class Kind(Protocol):
    """What an argument may be."""

    def read(self, text: str) -> Value:
        """Make a value of any text."""

    def write(self, value: Value) -> str:
        """Write a value, without spaces."""

    def sample(self, random: Random) -> Value:
        """Give a value, a likely one more often than not."""

    def vary(self, value: Value, random: Random) -> Value:
        """Give a value that is close to another."""


@frozen
class Number:
    """
    A number from C{low} to C{high}.

    @ivar likely: those worth trying; the first is what nonsense is read as.
    """

    low: int
    high: int
    likely: tuple[int, ...]

    def read(self, text: str) -> Value:
        """See L{Kind.read}."""
        try:
            return max(self.low, min(self.high, int(text[:20])))
        except ValueError:
            return self.likely[0]

    def write(self, value: Value) -> str:
        """See L{Kind.write}."""
        return str(value)

    def sample(self, random: Random) -> Value:
        """See L{Kind.sample}."""
        if random.random() < 0.9:
            return random.choice(self.likely)
        return random.randint(self.low, self.high)

    def vary(self, value: Value, random: Random) -> Value:
        """See L{Kind.vary}."""
        assert isinstance(value, int)
        varied = random.choice((value - 1, value + 1, value * 2, random.choice(self.likely)))
        return max(self.low, min(self.high, varied))


@frozen
class Word:
    """
    One of a few words.

    @ivar words: the first is the likeliest, and what nonsense is read as.
    """

    words: tuple[str, ...]

    def read(self, text: str) -> Value:
        """See L{Kind.read}."""
        return text if text in self.words else self.words[0]

    def write(self, value: Value) -> str:
        """See L{Kind.write}."""
        return str(value)

    def sample(self, random: Random) -> Value:
        """See L{Kind.sample}."""
        return self.words[0] if random.random() < 0.4 else random.choice(self.words)

    def vary(self, value: Value, random: Random) -> Value:
        """See L{Kind.vary}."""
        return random.choice(self.words)


@frozen
class Data:
    """
    Any bytes.

    @ivar samples: those worth trying; the first is the likeliest.
    """

    samples: tuple[bytes, ...]

    def read(self, text: str) -> Value:
        """See L{Kind.read}."""
        return readData(text)

    def write(self, value: Value) -> str:
        """See L{Kind.write}."""
        assert isinstance(value, bytes)
        return writeData(value)

    def sample(self, random: Random) -> Value:
        """See L{Kind.sample}."""
        chance = random.random()
        if chance < 0.4:
            return self.samples[0]
        if chance < 0.9:
            return random.choice(self.samples)
        return self.vary(random.choice(self.samples), random)

    def vary(self, value: Value, random: Random) -> Value:
        """See L{Kind.vary}."""
        assert isinstance(value, bytes)
        place = random.randint(0, len(value))
        before, behind = value[:place], value[place:]
        byte = bytes([random.choice((random.randrange(256), 0, 0xFF, 0x0A, 0x3A))])
        way = random.randrange(6)
        if way == 0:
            varied = before + byte + behind
        elif way == 1:
            varied = before + byte + behind[1:]
        elif way == 2:
            varied = before + behind[random.randint(1, 4) :]
        elif way == 3:
            varied = before + byte * random.choice((2, 8, 255, 4096, 8192, 65536)) + behind
        elif way == 4:
            varied = before + random.choice(self.samples) + behind
        else:
            varied = before
        return varied[:MAX_DATA]


@frozen
class Verb:
    """
    What can be done.

    @ivar kinds: of its arguments.
    @ivar weight: how often it is done, next to the others.
    """

    kinds: tuple[Kind, ...] = ()
    weight: int = 1


@frozen
class Action:
    """One thing that is done."""

    verb: str
    values: tuple[Value, ...]


Play: TypeAlias = tuple[Action, ...]
"""What is done, in order."""


@frozen
class Grammar:
    """
    What plays of one target may say.

    @ivar verbs: by their names.
    @ivar openings: plays, as text, that go deep: what new plays begin with.
    """

    verbs: Mapping[str, Verb]
    openings: Sequence[str] = field(default=("",))

    def read(self, text: bytes) -> Play:
        """Make a play of any text."""
        play: list[Action] = []
        for line in text.decode("latin-1").split("\n"):
            name, *arguments = line.split()[:8] or [""]
            verb = self.verbs.get(name)
            if verb is None:
                continue
            arguments += [""] * len(verb.kinds)
            values = tuple(
                kind.read(argument) for kind, argument in zip(verb.kinds, arguments, strict=False)
            )
            play.append(Action(name, values))
            if len(play) == MAX_ACTIONS:
                break
        return tuple(play)

    def write(self, play: Iterable[Action]) -> bytes:
        """Write a play, so that L{read} gives it back."""
        lines: list[str] = []
        for action in play:
            kinds = self.verbs[action.verb].kinds
            written = map(_writeValue, kinds, action.values)
            lines.append(" ".join((action.verb, *written)) + "\n")
        return "".join(lines).encode("ascii")


def _writeValue(kind: Kind, value: Value) -> str:
    return kind.write(value)


def readData(text: str) -> bytes:
    """Make bytes of any text."""
    if text == _NOTHING:
        return b""
    data = bytearray()
    for unit, count in _UNIT.findall(text):
        byte = bytes([int(unit[2:], 16)]) if len(unit) > 1 else unit.encode("latin-1", "replace")
        data += byte * min(int(count or 1), MAX_DATA)
        if len(data) > MAX_DATA:
            break
    return bytes(data[:MAX_DATA])


def writeData(data: bytes) -> str:
    """Write bytes, so that L{readData} gives them back."""
    pieces: list[str] = []
    start = 0
    while start < len(data):
        byte = data[start]
        rest = data[start:]
        run = len(rest) - len(rest.lstrip(bytes([byte])))
        isPlain = 0x20 < byte < 0x7F and byte not in _SPECIAL
        written = chr(byte) if isPlain else f"\\x{byte:02x}"
        if run >= _SHORTEST_RUN:
            pieces.append(f"{written}{{{run}}}")
        else:
            pieces.append(written * run)
        start += run
    return "".join(pieces) or _NOTHING
