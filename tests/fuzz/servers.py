"""
The surroundings of both ports: a login server and its gate, with everything real but the
network, the clock, the randomness and what the user writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from msgserver.interfaces import Admission, User
from msgserver.loginprotocol import LoginFactory, LoginLimits
from msgserver.loginservice import LoginService
from msgserver.msgprotocol import GateLimits, MsgFactory
from msgserver.msgservice import LifeLimits, MsgService
from msgserver.sessions import SessionLimits
from msgserver.wire.classic import ClassicSuite
from tests.fuzz.handlers import MAX_RUNNING, TOKEN_MARK, LoginHandler, MsgHandler
from tests.fuzz.lines import Sending
from tests.fuzz.watching import Watch, see

MAX_CLIENT = 8
MAX_PACKET = 4096
GATE_TIMEOUT = 5.0
LIFE_LIMITS = LifeLimits(awayTimeout=100.0, kickTimeout=3.0, drainTimeout=10.0)
GATE_LIMITS = GateLimits(MAX_CLIENT, maxPacket=MAX_PACKET)
LOGIN_LIMITS = LoginLimits(MAX_CLIENT)

ADDRESS = "gate.example.org:8888"
"""Where clients are told that the gate is (L5)."""

RANDOM = bytes.fromhex("5e96acc95cb8480c")
"""What the login port draws each time, so that a client may know what the server will say."""


def sessionLimits(increasing: bool = False) -> SessionLimits:
    """Give limits so small that plays come up against them."""
    return SessionLimits(3, 70_000, increasing, MAX_PACKET, MAX_RUNNING)


@define(eq=False)
class Known:
    """
    A login, as our model has it.

    @ivar index: of the last handshake that was accepted.
    """

    user: User
    secret: bytes = field(repr=False)
    index: int = 0


class Servers:
    """
    A login server and its gate.

    @ivar logins: every login that there has been, by its user.
    @ivar latest: the last one of each number.
    """

    SERVERNAME = b"sample"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.clock = Clock()
        self.sending = Sending()
        self.logins: dict[User, Known] = {}
        self.latest: dict[int, Known] = {}
        self._drawn = 0
        self.loginHandler = LoginHandler(self.SERVERNAME)
        self.loginService = LoginService(
            self.loginHandler, self.clock, multilogin=False, gateTimeout=GATE_TIMEOUT
        )
        self.loginFactory = LoginFactory(
            self.loginService, self.clock, [ClassicSuite()], LOGIN_LIMITS, lambda size: RANDOM
        )
        watch.hide(TOKEN_MARK)
        self.isIncreasing = False
        self.start(sessionLimits())

    def start(self, limits: SessionLimits) -> None:
        """Start a gate."""
        self.isIncreasing = limits.increasing
        self.handler = MsgHandler(self.watch)
        self.msgService = MsgService(
            self.handler,
            self.SERVERNAME,
            self.clock,
            self.loginService,
            ADDRESS,
            limits,
            LIFE_LIMITS,
            self._draw,
        )
        self.msgFactory = MsgFactory(self.msgService, self.clock, GATE_LIMITS)
        self.loginService.startService()
        self.msgService.startService()
        self.handler.calls.clear()

    def _draw(self, size: int) -> bytes:
        self._drawn += 1
        return self._drawn.to_bytes(size, "big")

    def beginLogin(self, token: bytes, secret: bytes) -> Deferred[Admission]:
        """Log in, past the login port."""
        self.watch.hide(secret)
        return self.loginService.login(TOKEN_MARK + token, secret, "192.0.2.7")

    def logIn(self, uid: bytes, secret: bytes, number: int | None = None) -> Known | None:
        """
        Log in at once; None where it does not work like that.

        @param number: what L{latest} is to know it by.
        """
        admissions: list[Admission] = []
        login = self.beginLogin(b"ok " + uid, secret)
        login.addCallbacks(admissions.append, lambda failure: None)
        if not admissions:
            login.cancel()
            return None
        return self.know(User(uid, admissions[0].subid, self.SERVERNAME), secret, number)

    def know(self, user: User, secret: bytes, number: int | None) -> Known:
        """Take note of a login."""
        known = self.logins[user] = Known(user, secret)
        if number is not None:
            self.latest[number] = known
        return known

    def hasEnded(self, user: User) -> bool:
        """The handler was told that a login has ended."""
        return ("loggedOut", user) in self.handler.calls

    def online(self) -> Iterator[Known]:
        """Give the logins that have not ended."""
        for known in list(self.logins.values()):
            if not self.hasEnded(known.user):
                yield known

    def stop(self, settle: Callable[[], object]) -> None:
        """
        Stop both services, and see that nothing of them is left.

        @param settle: called in each turn of the reactor.
        """
        stopped: list[object] = []
        for hanging in (*self.handler.hanging, *self.loginHandler.hanging):
            if not hanging.called:
                hanging.callback(None)
        self.msgService.stopService().addBoth(stopped.append)
        for seconds in (0, 1, 5, 10, 10, 10, 0):
            self.clock.advance(seconds)
            settle()
        see(stopped == [None], f"B5: the gate does not stop: {stopped}")
        self.loginService.stopService()
        self.clock.pump([0, 30, 30])
        see(not self.loginService._underWay, "L1: a login is under way for ever")
        ended = [about for name, about in self.handler.calls if name == "loggedOut"]
        see(len(set(ended)) == len(ended), f"U2: loggedOut was called twice: {ended}")
        missing = set(self.logins) - set(ended)
        see(not missing, f"U2: loggedOut was not called of {missing}")
        timers = self.clock.getDelayedCalls()
        see(not timers, f"timers are left: {timers}")
