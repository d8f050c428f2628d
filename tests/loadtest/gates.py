"""
A gate and logins in memory for the users of a load test, which answer as a test wants.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from msgserver.clientlogin import LoggedIn
from msgserver.loadtest.crew import Crew
from msgserver.loadtest.dialogue import Dialogue
from msgserver.loadtest.effort import EffortMeter
from msgserver.loadtest.plan import Plan, Target
from msgserver.loadtest.recorder import Recorder
from msgserver.loadtest.results import Results
from msgserver.loadtest.surroundings import Surroundings
from msgserver.loadtest.user import LoadUser
from msgserver.wire.framing import SESSION_SIZE, PacketReader
from msgserver.wire.gate import ANSWERED, FAILED, GateServer, responsePacket
from msgserver.wire.naming import User

SECRET = bytes.fromhex("b9388be0af1ec90a")
TARGET = Target("login.example:8001", "gate.example:8888", tokens=("a token",))

TICK = 1 / 64
"""Seconds that what is sent takes to be there: without them, a closed loop takes no time at all."""

Answer = Callable[[bytes], "list[bytes | None]"]
"""What a gate says to a request: its answers, None for a failed one."""


def echo(content: bytes) -> list[bytes | None]:
    """Answer as a gate should."""
    return [content]


class GateEnd(StringTransport):
    """
    The gate's end of one connection, and the client's transport.

    @ivar asked: the requests that have come, with their sessions.
    """

    def __init__(self, gate: MemoryGate, protocol: IProtocol) -> None:
        super().__init__()
        self.asked: list[tuple[bytes, bytes]] = []
        self.isLost = False
        self._gate = gate
        self._protocol = protocol
        self._wire = GateServer()
        self._packets = PacketReader()
        self._isOpen = False

    def write(self, data: bytes) -> None:
        """Take what the client sends, and answer in a later turn."""
        if data:
            self._gate.clock.callLater(self._gate.delay, self._take, data)

    def abortConnection(self) -> None:
        """Lose the connection in the next turn."""
        self._gate.clock.callLater(0, self.lose)

    def loseConnection(self) -> None:
        """Do the same: nothing waits to be sent."""
        self.abortConnection()

    def lose(self) -> None:
        """Tell the client, once."""
        if not self.isLost:
            self.isLost = True
            self._protocol.connectionLost(Failure(ConnectionLost()))

    def say(self, data: bytes) -> None:
        """Have the client read something, if it is there."""
        if not self.isLost:
            self._protocol.dataReceived(data)

    def _take(self, data: bytes) -> None:
        if self.isLost:
            return
        if not self._isOpen:
            self._wire.feed(data)
            assert self._wire.nextEvent() is not None
            said, data = self._wire.accept()
            self._isOpen = True
            self.say(said)
        self._packets.feed(data)
        for packet in iter(self._packets.next, None):
            content, session = packet[:-SESSION_SIZE], packet[-SESSION_SIZE:]
            self.asked.append((session, content))
            for answer in self._gate.answer(content):
                flag = FAILED if answer is None else ANSWERED
                self.say(responsePacket(session, flag, b"no" if answer is None else answer))


@implementer(IStreamClientEndpoint)
class MemoryGate:
    """
    A gate.

    @ivar answer: how it answers; a test may change it.
    @ivar delay: seconds until it has read what was sent.
    @ivar ends: the connections so far.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.answer: Answer = echo
        self.delay = TICK
        self.ends: list[GateEnd] = []

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect at once."""
        protocol = protocolFactory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 8888))
        assert protocol is not None
        end = GateEnd(self, protocol)
        self.ends.append(end)
        protocol.makeConnection(end)
        return succeed(protocol)

    @property
    def asked(self) -> list[bytes]:
        """Every request that has come, in the order of the connections."""
        return [content for end in self.ends for _, content in end.asked]


class LoadTestCase(SynchronousTestCase):
    """
    Users with a clock, and a gate in memory that echoes.

    @ivar takeLogin: how a user logs in; a test may change it.
    @ivar logins: whose, by number.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.gate = MemoryGate(self.clock)
        self.logins: list[int] = []
        self.takeLogin: Callable[[int], Deferred[LoggedIn]] = self.logIn
        self.results = Results(1.0)
        self.recorder = Recorder(self.results, self.clock.seconds)

    def logIn(self, number: int) -> Deferred[LoggedIn]:
        """Log in, at once."""
        self.logins.append(number)
        user = User(b"user%d" % number, b"%d" % len(self.logins), b"sample")
        return succeed(LoggedIn(user, SECRET))

    def surroundings(self, **options: Any) -> Surroundings:
        """Make what users share, for a plan with these options."""
        plan = Plan(TARGET, **options)
        return Surroundings(
            plan=plan,
            clock=self.clock,
            recorder=self.recorder,
            dialogue=Dialogue(plan.template, plan.size, plan.expect, Random(1)),
            random=Random(2),
            takeLogin=lambda number: self.takeLogin(number),
            gate=self.gate,
            connectTo=lambda host, port: self.gate,
            retryPolicy=lambda failures: 1.0,
        )

    def user(self, **options: Any) -> LoadUser:
        """Have one user begin, who is connected."""
        self.recorder.beginMeasuring()
        user = LoadUser(1, self.surroundings(**options))
        user.begin()
        self.turns()
        return user

    def crew(self, **options: Any) -> Crew:
        """Make a crew whose effort is none."""
        meter = EffortMeter(self.clock, self.clock.seconds, lambda: 0.0, lambda: None)
        return Crew(self.surroundings(**options), meter, Random(3))

    def run_(self, crew: Crew, seconds: float = 60.0, step: float = 0.05) -> Deferred[None]:
        """Let a crew do it all, and time pass until it is done, or so many seconds."""
        done = Deferred.fromCoroutine(crew.run())
        end = self.clock.seconds() + seconds
        while not done.called and self.clock.seconds() < end:
            self.clock.advance(step)
        return done

    def turns(self, count: int = 3) -> None:
        """Let so many times pass that what is sent takes to be there."""
        self.clock.pump([TICK] * count)

    def close(self, user: LoadUser) -> None:
        """Have a user leave, and go."""
        closed = user.close()
        self.turns()
        self.successResultOf(closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])
