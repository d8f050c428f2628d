"""
The world of one seed: what there is in it, and what its parts ask of it.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from random import Random

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
)
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from msgserver.client import login
from msgserver.clientlogin import LoggedIn
from msgserver.errors import Forbidden, NotAcceptable, ProtocolError, Unauthorized
from msgserver.hiding import isOf
from msgserver.interfaces import Account, User
from msgserver.loginprotocol import LoginFactory, LoginLimits
from msgserver.msgprotocol import GateLimits
from msgserver.msgservice import LifeLimits
from msgserver.sessions import SessionLimits
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.framing import MAX_PACKET, PACKET_LENGTH
from tests.simulation.clients import Device, Taken
from tests.simulation.gates import Gate, WatchedLogins
from tests.simulation.handlers import LoginHandler, Pending, SimulatedBug
from tests.simulation.network import (
    Endpoint,
    Link,
    Network,
    Port,
    Reactor,
)
from tests.simulation.parts import Limits, Request, Violation
from tests.simulation.transitions import Reached

LOGIN_TIMEOUT = 10.0
GATE_TIMEOUT = 5.0
KICK_TIMEOUT = 3.0
HANDSHAKE_TIMEOUT = 10.0
STALL_TIMEOUT = 12.0
DRAIN_TIMEOUT = 8.0
AWAY_TIMEOUT = 20.0
"""Seconds."""

STEPS = {
    "move": 60.0,
    "accept": 12.0,
    "dial": 16.0,
    "turn": 20.0,
    "wait": 3.0,
    "device": 1.0,
    "ask": 16.0,
    "stranger": 1.0,
    "connect": 5.0,
    "request": 16.0,
    "again": 8.0,
    "settle": 8.0,
}
"""How often each step is tried, beside the others."""

STRANGERS = ("stranger", "connect", "request", "again", "garbage", "broken", "hang up")

TROUBLES = {
    "cut": 2.0,
    "stick": 2.0,
    "cancel": 0.7,
    "drop": 2.0,
    "close": 0.3,
    "garbage": 0.7,
    "broken": 1.0,
    "hang up": 2.0,
    "log out": 0.3,
    "log out old": 0.2,
    "kick": 0.3,
    "kick old": 0.2,
    "stop gate": 0.05,
}
"""And those which make trouble: each world has some of them, more or less."""


@frozen
class Step:
    """One step: C{name} says what, and the two numbers with whom and how."""

    name: str
    x: int
    y: int

    def __str__(self) -> str:
        return f"{self.name.replace(' ', '-')}:{self.x}:{self.y}"


@implementer(ILogObserver)
@frozen
class _Observer:
    """S4: sees that the bugs of handlers are logged, and that there are no others."""

    world: World

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is None:
            return
        if isOf(failure, SimulatedBug):
            self.world.bugsLogged += 1
        else:
            text = failure.getTraceback()
            self.world.fail("S4", f"logged as a bug: {failure.value!r}\n{text}")


class World:
    """
    All that a seed makes, and what may happen in it.

    @ivar history: the steps that were taken.
    @ivar failure: the first invariant that did not hold.
    """

    def __init__(self, seed: int, reached: Reached, tell: Callable[[str], None] | None) -> None:
        random = Random(f"world {seed}")
        self.seed = seed
        self.reached = reached
        self.history: list[Step] = []
        self.failure: Violation | None = None
        self.pending: list[Pending] = []
        self.bugs = 0
        self._tell = tell
        self._drawn = 0
        self._serial = 0
        self._ran: dict[bytes, list[Request]] = {}
        self.bugsLogged = 0
        self.reactor = Reactor()
        capacity = random.choice([300, 5_000, 70_000, 300_000])
        self.network = Network(self.reactor, capacity)
        self.multilogin = random.random() < 0.15
        self.uids = [b"u%d" % n for n in range(random.randint(1, 3))]
        self.logins = WatchedLogins(
            LoginHandler(self), self.reactor, self.multilogin, GATE_TIMEOUT, random.random() < 0.5
        )
        self.logins.underWay = []
        self.loginFactory = LoginFactory(
            self.logins,
            self.reactor,
            [ClassicSuite()],
            LoginLimits(maxclient=6, timeout=LOGIN_TIMEOUT),
            self.randomBytes,
        )
        self.loginPort = Port("login", self.loginFactory)
        self._loginLinks: dict[Link, float] = {}
        self.limits = self._makeLimits(random)
        # What is rare where everything happens is common where little else does.
        self.weights = STEPS | {
            name: weight * random.choice([0.0, 0.2, 1.0, 2.0]) for name, weight in TROUBLES.items()
        }
        # There are worlds of devices alone, and of strangers alone: each gets further there.
        absent = random.choice([("device", "ask"), STRANGERS, STRANGERS, (), ()])
        for name in absent:
            self.weights[name] = 0.0
        self.weights["wait"] *= random.choice([0.3, 1.0, 1.0, 4.0])
        self.weights["stick"] *= random.choice([1.0, 1.0, 3.0])
        self.hasAddress = random.random() < 0.6
        count = random.randint(1, 2) if self.hasAddress else 1
        self.logins.startService()
        self.gates = [Gate(self, f"g{n}", self.limits, self.hasAddress) for n in range(count)]
        self.devices: list[Device] = []
        self.taken: list[Taken] = []
        self._observer = _Observer(self)
        globalLogPublisher.addObserver(self._observer)
        for gate in self.gates:
            gate.service.startService()

    def _makeLimits(self, random: Random) -> Limits:
        expired = random.choice([2, 3, 4, 4, 6])
        self.maxUnanswered = expired // 2
        self.hasRoom = random.random() < 0.7
        session = SessionLimits(
            expiredNumber=expired,
            cacheBytes=(2 * expired if self.hasRoom else random.randint(1, 3))
            * (MAX_PACKET + PACKET_LENGTH.size),
            increasing=random.random() < 0.35,
            maxPacket=random.choice([120, 65_535, 65_535]),
            maxRunning=random.randint(1, 5),
        )
        gate = GateLimits(
            maxclient=random.choice([3, 5, 8]),
            handshakeTimeout=HANDSHAKE_TIMEOUT,
            stallTimeout=STALL_TIMEOUT,
            maxPacket=session.maxPacket,
        )
        life = LifeLimits(
            awayTimeout=random.choice([0.0, AWAY_TIMEOUT, AWAY_TIMEOUT]),
            kickTimeout=KICK_TIMEOUT,
            drainTimeout=DRAIN_TIMEOUT,
        )
        return Limits(session, gate, life)

    # What parts of it ask

    def trace(self, text: str) -> None:
        """Write down what happens."""
        if self._tell is not None:
            self._tell(text)

    def fail(self, rule: str, text: str) -> None:
        """Take note that an invariant does not hold; the first is the one that counts."""
        if self.failure is None:
            self.failure = Violation(rule, text)

    def randomBytes(self, count: int) -> bytes:
        """Give bytes that look random, and are the same each time."""
        self._drawn += 1
        return sha256(b"%d %d" % (self.seed, self._drawn)).digest()[:count]

    def isLoginUnderWay(self, uid: bytes) -> bool:
        """Say whether a uid is being logged in."""
        return uid in self.logins.underWay

    def ran(self, content: bytes, request: Request) -> None:
        """Take note that a request runs; none of a device's may do so twice."""
        runs = self._ran.setdefault(content, [])
        runs.append(request)
        if len(runs) > 1 and content.split(b" ")[1].startswith(b"d"):
            self.fail("S6", f"{content[:40]!r} runs twice")

    def runs(self, content: bytes) -> list[Request]:
        """Give each time that a request has run."""
        return self._ran.get(content, [])

    def hasEnded(self, loggedIn: LoggedIn) -> bool:
        """Say whether a login has ended, or is about to, since its gate shuts down (B5)."""
        # Two gates may give the same subid.
        gate = self._gateOf(loggedIn)
        return gate.stopped is not None or gate.model.logins[loggedIn.user].isEnded

    def isOf(self, run: Request, loggedIn: LoggedIn) -> bool:
        """Say whether a request ran in a login."""
        return run.login is self._gateOf(loggedIn).model.logins[loggedIn.user]

    def _gateOf(self, loggedIn: LoggedIn) -> Gate:
        address = loggedIn.address
        name = None if address is None else address.partition(":")[0]
        return next(gate for gate in self.gates if name in (None, gate.name))

    def _logins(self, isEnded: bool) -> list[tuple[Gate, User]]:
        return [
            (gate, login.user)
            for gate in self.gates
            for login in gate.model.logins.values()
            if login.isEnded is isEnded
        ]

    def logIn(self, server: bytes, uid: bytes, verb: bytes, owner: str) -> Deferred[LoggedIn]:
        """Log in, and take note of how that goes."""
        endpoint = Endpoint(self.network, self.loginPort, owner)
        token = b"%b %b %b" % (server, uid, verb)
        done = login(
            endpoint,
            Account(server, uid),
            token,
            suite=ClassicSuite(),
            clock=self.reactor,
            randomBytes=self.randomBytes,
        )

        def over(result: LoggedIn | Failure) -> LoggedIn | Failure:
            if not isinstance(result, Failure):
                self.reached("login 200")
            elif result.check(Unauthorized):
                self.reached("login 401")
            elif result.check(Forbidden):
                self.reached("login 403")
            elif result.check(NotAcceptable):
                self.reached("login 406")
            elif result.check(ConnectionDone, ConnectionLost, ConnectionAborted):
                self.reached("login lost")
            elif not result.check(
                ConnectionRefusedError, CancelledError, ProtocolError, TimeoutError
            ):
                self.fail("L", f"a login fails with {result.value!r}")
            return result

        return done.addBoth(over)

    def endpoint(self, address: str | None, owner: str) -> Endpoint:
        """Give where a gate is."""
        gates = [gate for gate in self.gates if address in (None, gate.name)]
        return Endpoint(self.network, gates[0].port, owner)

    # Running

    def play(self, random: Random, count: int) -> None:
        """Take steps at random until so many have been taken, or an invariant does not hold."""
        names, weights = list(self.weights), list(self.weights.values())
        while len(self.history) < count and self.failure is None:
            for name in random.choices(names, weights, k=32):
                self.take(Step(name, random.randrange(2**14), random.randrange(2**14)))
                if len(self.history) >= count or self.failure is not None:
                    break

    def take(self, step: Step) -> None:
        """Take one step, and check everything."""
        method = getattr(self, "_" + step.name.replace(" ", "_"))
        try:
            isTaken = method(step.x, step.y)
        except Exception:
            self.fail("B4", f"an exception left {step}: {Failure().getTraceback()}")
            isTaken = True
        if isTaken:
            self.history.append(step)
            self._check(isTurn=step.name in ("turn", "wait"))

    def _check(self, isTurn: bool) -> None:
        for gate in self.gates:
            gate.model.checkStep(isTurn)
            if gate.model.failure is not None and self.failure is None:
                self.failure = gate.model.failure
        self._checkLogins(isTurn)
        self.network.sweep()

    def _checkLogins(self, isTurn: bool) -> None:
        now = self.reactor.seconds()
        for link, since in list(self._loginLinks.items()):
            end = link.server
            assert end is not None
            isLate = now > since + LOGIN_TIMEOUT - 1e-6
            if not end.transport.connected:
                if isLate and end.transport.isAborted:
                    self.reached("login too slow")
                del self._loginLinks[link]
            elif isLate and now > since + LOGIN_TIMEOUT + 1e-6 and not end.transport.isAborted:
                self.fail("L1", f"a login is under way for {now - since:g} seconds")
        if isTurn:
            self._checkDirectory()
            self._checkKept()

    def _checkKept(self) -> None:
        """S7: what is kept of a login is bounded."""
        limits = self.limits.session
        for gate, user in self._logins(isEnded=False):
            login = gate.service.find(user)
            assert login is not None
            if login.connection is None and login._kept.replays:
                self.fail("S7", f"responses are kept twice of {user}, who is away")
            pieces = [*login._kept._older, *login._kept._younger]
            size = sum(map(len, pieces))
            if size > 2 * limits.cacheBytes:
                self.fail("S7", f"{size} bytes of responses are kept of {user}")

    def _checkDirectory(self) -> None:
        """U2: the login server knows of every login there is, and of no other."""
        stopped = {member.gate for member in self.logins._directory.members()} & {
            gate.service for gate in self.gates if gate.stopped is not None
        }
        known = sorted(
            (place.record.uid, place.record.subid)
            for place in self.logins._directory.places()
            if place.member.gate not in stopped
        )
        living = sorted(
            (user.uid, user.subid)
            for gate, user in self._logins(isEnded=False)
            if gate.stopped is None
        )
        if known != living:
            self.fail("U2", f"the login server knows of {known}, and there are {living}")
