"""
The door of the control link, and strangers before it, who hold no key.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

from msgserver.remote.door import ControlFactory, Keys, enter, prove
from msgserver.remote.gates import ControlRealm
from tests.fuzz.plays import Data, Number, Verb
from tests.fuzz.stages import Stage
from tests.fuzz.watching import Watch, see
from tests.remote.links import GATE_TIMEOUT, KEY, KEYS, SAMPLE, TIMES, Directory, Place, Wire
from tests.remote.strangers import Stranger, call, written

MAX_CLIENT = 4
MOST_BYTES = 4096
"""What a stranger may send, in bytes."""

NONCE = b"n" * 32

LINE = Number(0, 2, (0, 0, 1))
PIECE = Number(0, 5000, (0, 1, 2, 7))
SECONDS = Number(0, 60, (0, 1, 4, 9, 10, 11))

_GREETING = written(0, b"")
_ARGUMENTS: tuple[Any, ...] = (
    [b"tuple", 1],
    [b"tuple"],
    [b"tuple", 9],
    [b"tuple", SAMPLE, NONCE, b"x" * 32],
    [b"tuple", SAMPLE, b"short", b""],
    [b"tuple", 1, [b"tuple", [b"unicode", b"\xff"]], -5, 1.5],
    [b"tuple", [b"remote", 1]],
    [b"dictionary", [b"x", 1]],
    [b"list", 1],
    [b"class", b"os.system"],
    [b"dereference", 1],
    5,
)
_METHODS = (b"challenge", b"enter", b"register", b"__class__", b"\xff", b"")
_EXPRESSIONS: tuple[Any, ...] = (
    [b"version", 5],
    [b"answer", 1, 2],
    [b"error", 1, 2],
    [b"decref", 1],
    [b"decache", 1],
    [b"uncache", 1],
    [b"lookup", 1],
    [b"message"],
    [b"message", 1, [], b"challenge", 1, [b"tuple"], [b"dictionary"]],
    [b"message", [], b"root", b"challenge", 1, [b"tuple", 1], [b"dictionary"]],
    [b"cachemessage", 1, 7, b"challenge", 1, [b"tuple"], [b"dictionary"]],
    [[[[[]]]]],
    7,
)
GREETING = Data((written(b"pb", b""), written(b"none", b""), written(b"", b""), written(5, b"")))
EXPRESSION = Data(tuple(written(each, b"") for each in _EXPRESSIONS))
METHOD = Data(_METHODS)
ARGUMENTS = Number(0, len(_ARGUMENTS) - 1, tuple(range(len(_ARGUMENTS))))
FLAG = Number(0, 1, (1, 0))
RAW = Data(
    (b"\x80" * 70, b"\x7f\x7f\x7f\x7f\x82", b"\x7f\x7f\x7f\x7f\x80", b"\x01\x80" * 500, b"\xff")
    + (b"x" * 65, b"\x90", b"GET / HTTP/1.1\r\n\r\n", b"x" * 5000, b"\x00" * 4096, b"\x05\x82")
)


class DoorStage(Stage):
    """A login server's control port, with a gate that has entered and must not notice."""

    verbs = {
        "open": Verb((LINE,), 4),
        "greet": Verb((LINE, GREETING), 4),
        "call": Verb((LINE, METHOD, ARGUMENTS, FLAG), 8),
        "prove": Verb((LINE, Data((b"a wrong key", b""))), 1),
        "express": Verb((LINE, EXPRESSION), 5),
        "raw": Verb((LINE, RAW), 3),
        "split": Verb((PIECE,), 1),
        "lose": Verb((LINE,), 2),
        "wait": Verb((SECONDS,), 2),
    }

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        for key in KEYS.values():
            watch.hide(key)
        self.parts = [self]
        self._clock = Clock()
        self._size = 0
        self._place = Place(self._clock)
        operations: Any = None
        realm = ControlRealm(Directory(), operations, self._clock, TIMES, GATE_TIMEOUT)
        self._factory = ControlFactory(
            realm, Keys(KEYS), self._clock, MAX_CLIENT, TIMES, lambda size: NONCE[:size]
        )
        self._place.factory = self._factory
        self._strangers: list[tuple[float, Wire, bytearray]] = []
        self._numbered: dict[int, int] = {}
        # Those that have chosen the language, and said no nonsense since.
        self._speaking: set[int] = set()
        entering = enter(self._place, SAMPLE, KEY, self._clock, TIMES)
        self._link, self._desk = self._resultOf(Deferred.fromCoroutine(entering))
        # It has no gate to register, and is to stay nevertheless.
        self._factory.limits.proved(self._place.wire.server.protocol)

    def _turn(self) -> None:
        moving = True
        while moving:
            self._clock.advance(0)
            moving = any([wire.flow() for wire in self._place.wires])

    def _resultOf(self, promised: Deferred[Any]) -> Any:
        results: list[Any] = []
        promised.addBoth(results.append)
        self._turn()
        see(len(results) == 1, "a gate that has a key gets no answer")
        return results[0]

    def play_open(self, number: int) -> None:
        """Connect."""
        factory: Factory[Any] = Factory.forProtocol(Stranger)
        before = len(self._factory.limits)
        connected: Deferred[IProtocol] = self._place.connect(factory)
        self._resultOf(connected)
        see(before < MAX_CLIENT or self._place.wire.isLost, "B1: one too many, and open still")
        self._numbered[number] = len(self._strangers)
        self._strangers.append((self._clock.seconds(), self._place.wire, bytearray()))

    def play_greet(self, number: int, greeting: bytes) -> None:
        """Choose a language."""
        _, _, sent = self._stranger(number)
        isFirst = not sent
        self._send(number, greeting)
        if isFirst and greeting == GREETING.samples[0] and number in self._numbered:
            self._speaking.add(self._numbered[number])

    def play_call(self, number: int, method: bytes, arguments: int, answer: int) -> None:
        """Call what stands at the door."""
        said = _ARGUMENTS[arguments]
        self._send(number, call(method, said, answer, greeting=b""))

    def play_prove(self, number: int, key: bytes) -> None:
        """Prove another key than the right one."""
        proof = prove(key, "peer", SAMPLE, (NONCE, NONCE))
        said: list[Any] = [b"tuple", SAMPLE, NONCE, proof]
        self._send(number, call(b"enter", said, greeting=b""))

    def play_express(self, number: int, expression: bytes) -> None:
        """Say what is Perspective Broker by its form, and nonsense."""
        _, wire, _ = self._stranger(number)
        isSpeaking = self._numbered.get(number) in self._speaking
        self._send(number, expression)
        if isSpeaking and expression in EXPRESSION.samples:
            see(wire is not None and wire.isLost, f"nonsense, and open still: {expression!r}")

    def play_raw(self, number: int, data: bytes) -> None:
        """Say anything."""
        self._send(number, data)
        self._speaking.discard(self._numbered.get(number, 0))

    def _stranger(self, number: int) -> tuple[float, Wire | None, bytearray]:
        if number not in self._numbered:
            return 0.0, None, bytearray()
        return self._strangers[self._numbered[number]]

    def _send(self, number: int, data: bytes) -> None:
        _, wire, sent = self._stranger(number)
        if wire is None:
            return
        step = max(self._size or len(data), len(data) // 500, 1)
        for start in range(0, len(data), step):
            if wire.isLost:
                return
            sent += data[start : start + step]
            wire.client.write(data[start : start + step])
            self._turn()

    def play_split(self, size: int) -> None:
        """Cut what is sent into pieces."""
        self._size = size

    def play_lose(self, number: int) -> None:
        """Lose the connection."""
        if number in self._numbered:
            self._strangers[self._numbered[number]][1].cut()

    def play_wait(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(seconds):
            self._clock.advance(1)
            self._turn()

    def check(self) -> None:
        """See that no stranger got further, or stays longer, than strangers may."""
        self._turn()
        now = self._clock.seconds()
        for opened, wire, sent in self._strangers:
            if not wire.isLost:
                see(now - opened < TIMES.proof, "H3: a stranger is still there")
                see(len(sent) <= MOST_BYTES, "B4: a stranger may send more than that")
            proved = getattr(wire.server.protocol, "isProved", False)
            see(not proved, "a stranger was let in")
        openLines = 1 + sum(not wire.isLost for _, wire, _ in self._strangers)
        counted = len(self._factory.limits)
        see(counted == openLines, f"B1: {counted} counted of {openLines}")
        see(not self._place.wires[0].isLost, "the gate has lost its link")
        answer = self._resultOf(self._link.call(self._desk, "ping"))
        see(answer is None, f"the gate's ping got {answer!r}")

    def finish(self) -> None:
        """Lose all connections, and see that nothing is left."""
        self._place.cut()
        self._turn()
        see(len(self._factory.limits) == 0, "B1: a connection is counted for ever")
        timers = self._clock.getDelayedCalls()
        see(not timers, f"timers are left: {timers}")
