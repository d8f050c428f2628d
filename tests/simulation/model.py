"""
What a gate may do, and what it must: the rules H, S, U and B, put as plainly as they can be.

The model is told of every byte that the gate receives and writes, of every call of its handler,
and of what its business does. It knows nothing of how the gate keeps the rules: it forgets
nothing, and works everything out from what has happened. Where the rules leave a choice (S7),
it takes what it saw.
"""

from __future__ import annotations

from collections.abc import Callable

from msgserver.errors import BadRequest
from msgserver.wire.framing import packet
from msgserver.wire.gate import handshakeMac
from msgserver.wire.naming import User, handshakeText, parseHandshake
from tests.simulation.parts import Limits, Login, State, Wire
from tests.simulation.requests import RequestModel
from tests.simulation.transitions import Reached

_EPSILON = 1e-6
"""Seconds by which sums of floats may be off."""

_VERDICTS = {
    200: b"200 OK",
    400: b"400 Bad Request",
    401: b"401 Unauthorized",
    403: b"403 Index Expired",
    404: b"404 User Not Found",
}


class GateModel(RequestModel):
    """
    One gate.

    @param isLoginUnderWay: says whether a uid is being logged in.
    @ivar wires: the connections that are not lost, by their numbers.
    """

    def __init__(
        self,
        limits: Limits,
        now: Callable[[], float],
        reached: Reached,
        isLoginUnderWay: Callable[[bytes], bool],
        trace: Callable[[str], None],
    ) -> None:
        RequestModel.__init__(self, limits, now, reached, trace)
        self.wires: dict[int, Wire] = {}
        self._isLoginUnderWay = isLoginUnderWay
        self._expected: list[tuple[str, User]] = []
        self._uids: set[bytes] = set()

    # Connections

    def opened(self, wire: Wire) -> None:
        """A connection comes in (B1)."""
        count = sum(each.counts for each in self.wires.values())
        self.wires[wire.number] = wire
        if count >= self.limits.gate.maxclient:
            self.reached("one too many")
            wire.state, wire.counts = State.REFUSED, False
            wire.mustAbort = "B1"
        else:
            self.reached("opened")

    def received(self, wire: Wire, data: bytes) -> None:
        """Bytes are about to be handed to the gate's end of a connection."""
        if wire.state is State.NEW:
            wire.waiting += data
            self._handshake(wire)
        elif wire.state is State.CURRENT and not wire.isPaused and not wire.isBroken:
            wire.waiting += data
        elif wire.state is State.CURRENT and wire.isPaused and not wire.isBroken:
            self.fail("B5", f"connection {wire.number} is read while the gate shuts down")
        elif wire.state is State.ENDED:
            self.reached("ignored after end")
        elif wire.state is State.REFUSED:
            self.reached("nothing after refusal")
        elif wire.state is State.REPLACED:
            self.fail("H4", f"connection {wire.number} is read, though it was replaced")

    def _handshake(self, wire: Wire) -> None:
        """H, in the order of H1."""
        if len(wire.waiting) < 2:
            return
        length = int.from_bytes(wire.waiting[:2], "big")
        if length > self.limits.gate.maxPacket:
            self.reached("too long")
            self._refuse(wire, b"", "B4")
            return
        if len(wire.waiting) < 2 + length:
            return
        hello, rest = wire.waiting[2 : 2 + length], wire.waiting[2 + length :]
        status, login, index = self._judgeHandshake(hello)
        if status != 200 or login is None:
            if rest:
                self.reached("nothing after refusal")
            isDraining = status == 404 and self.drainSince is not None
            self.reached("404 draining" if isDraining else str(status))
            self._refuse(wire, _VERDICTS[status], "H1")
            return
        login.index = index
        if login.kickedAt is not None:
            self.reached("back while kicked")
        old = login.current
        if old is not None:
            self.reached("200 replaces")
            if old.transport.isPushedBack:
                self.reached("200 replaces stalled")
            if any(old.due) or old.transport._tempDataLen or old.transport.dataBuffer:
                self.reached("replaced while unread")
            old.state, old.mustAbort, old.due, old.waiting = State.REPLACED, "H4", [b""], b""
        else:
            self.reached("200 back" if login.hasConnected else "200")
        login.hasConnected = True
        login.current, login.awayUntil = wire, None
        wire.login, wire.state = login, State.CURRENT
        wire.due = [packet(_VERDICTS[200])]
        wire.waiting = rest
        if rest:
            self.reached("requests behind handshake")

    def _judgeHandshake(self, hello: bytes) -> tuple[int, Login | None, int]:
        try:
            handshake = parseHandshake(hello)
        except BadRequest:
            return 400, None, 0
        login = self.logins.get(handshake.user)
        if login is None or login.isEnded or self.drainSince is not None:
            return 404, None, 0
        text = handshakeText(handshake.user, handshake.index)
        if handshakeMac(text, login.secret) != handshake.mac:
            return 401, None, 0
        if handshake.index <= login.index:
            return 403, None, 0
        return 200, login, handshake.index

    def _refuse(self, wire: Wire, verdict: bytes, rule: str) -> None:
        wire.state, wire.waiting, wire.mustClose = State.REFUSED, b"", rule
        if verdict:
            wire.due = [packet(verdict)]

    def lost(self, wire: Wire) -> None:
        """The gate is about to be told that a connection is lost."""
        if wire.transport.isClosing:
            self._checkClosing(wire)
        del self.wires[wire.number]
        state, login = wire.state, wire.login
        wire.state, wire.due, wire.waiting = State.LOST, [b""], b""
        if state is State.NEW:
            isLate = self._now() >= wire.opened + self.limits.gate.handshakeTimeout - _EPSILON
            self.reached("no handshake" if isLate else "lost before handshake")
        elif state is State.REPLACED:
            self.reached("late loss")
        elif state is State.ENDED:
            isCutOff = self.drainSince is not None and wire.transport.isAborted
            self.reached("drain aborted" if isCutOff else "loss after end")
        elif state is State.CURRENT and login is not None:
            login.current = None
            if wire.wasStalled and wire.transport.isAborted:
                self.reached("stalled too long")
            self._setAway(login)
            self._expected.append(("disconnected", login.user))
            self.reached("disconnected")

    def _setAway(self, login: Login) -> None:
        if self.limits.life.awayTimeout:
            login.awayUntil = self._now() + self.limits.life.awayTimeout

    # The life of a login

    def admitted(self, user: User, secret: bytes) -> None:
        """The gate has a new login."""
        if self.drainSince is not None:
            self.fail("B5", f"{user} is admitted while the gate shuts down")
        if user in self.logins:
            self.fail("U5", f"the name {user} was used before")
        self.reached("admitted again" if user.uid in self._uids else "admitted")
        self._uids.add(user.uid)
        login = self.logins[user] = Login(user, secret)
        self._setAway(login)

    def called(self, what: str, user: User) -> None:
        """The handler is told something."""
        login = self.logins.get(user)
        if login is None:
            self.fail("U2", f"{what} is called for {user}, who was never logged in")
            return
        if login.isEnded:
            self.fail("U2", f"{what} is called for {user}, whose login has ended")
        elif what == "disconnected":
            if ("disconnected", user) in self._expected:
                self._expected.remove(("disconnected", user))
            else:
                self.fail("U1", f"disconnected is called for {user} without a loss")
        elif what == "kicked":
            self._kicked(login)
        elif what == "loggedOut":
            self._loggedOut(login)

    def _kicked(self, login: Login) -> None:
        user = login.user
        if login.kickedAt is not None:
            self.fail("U3", f"kicked is called twice for {user}")
        isLoggingIn = self._isLoginUnderWay(user.uid)
        if not login.kicksAsked and not isLoggingIn:
            self.fail("U4", f"kicked is called for {user}, whom nobody kicks")
        self.reached("kick by operator" if login.kicksAsked else "kick")
        login.kickedAt = self._now()

    def kickedDone(self, user: User) -> None:
        """The handler has done with C{kicked}."""
        login = self.logins[user]
        login.isKickedDone = True

    def _loggedOut(self, login: Login) -> None:
        login.isEnded = True
        wire = login.current
        why = self._whyEnded(login)
        if not why:
            self.fail("U2", f"{login.user} is logged out for no reason")
        self._trace(f"    {login.user.username.decode()} has ended: {why}")
        if login.running:
            self.reached("logout with running")
        login.endExpected, login.awayUntil = "", None
        self._expected = [each for each in self._expected if each[1] != login.user]
        if wire is not None and wire.state is State.CURRENT:
            if wire.transport.isPushedBack:
                self.reached("logout unread")
            if wire.isBroken and wire.mustClose:
                wire.due = [b""]
            wire.state, wire.waiting = State.ENDED, b""
            wire.mustClose = ""

    def _whyEnded(self, login: Login) -> str:
        now, life = self._now(), self.limits.life
        if login.endExpected:
            return login.endExpected
        if login.kickedAt is not None:
            isLate = now >= login.kickedAt + life.kickTimeout - _EPSILON
            if isLate and not login.isKickedDone:
                self.reached("kick too long")
            if isLate or login.isKickedDone:
                return "kick"
        if login.awayUntil is not None and now >= login.awayUntil - _EPSILON:
            self.reached("away too long")
            return "away"
        if self.drainSince is not None and login.kickedAt is None:
            isLate = now >= self.drainSince + life.drainTimeout - _EPSILON
            if isLate or not self.runningInAll:
                self.reached("end by drain")
                self.reached("drain too long" if self.runningInAll else "drain quiet")
                return "drain"
        wire = login.current
        if wire is not None and self._isForgetting(wire):
            self.reached("end by S7")
            return "S7"
        return ""

    def mustEnd(self, user: User, why: str) -> None:
        """Business code is about to log a user out."""
        login = self.logins.get(user)
        if login is None or login.isEnded:
            self.reached("logout again")
            return
        login.endExpected = why
        if why == "logout":
            self.reached("logout away" if login.current is None else "logout connected")
        else:
            self.reached("logout of own")

    def mayKick(self, user: User) -> None:
        """Somebody is about to kick a user."""
        login = self.logins.get(user)
        if login is None or login.isEnded:
            self.reached("kick of an ended login")
        else:
            login.kicksAsked += 1

    def draining(self) -> None:
        """The gate is about to shut down (B5)."""
        self.drainSince = self._now()
        for wire in self.wires.values():
            if wire.state is State.CURRENT:
                wire.isPaused, wire.isFull, wire.waiting = True, False, b""

    def stopped(self) -> None:
        """The gate says that it has shut down (B5)."""
        for wire in self.wires.values():
            if wire.login is not None and not wire.transport.isAborted:
                self.fail("B5", f"the gate has stopped, and connection {wire.number} is open")

    # After each step

    def checkStep(self, isTurn: bool) -> None:
        """See that everything has happened that had to."""
        now = self._now()
        for what, user in self._expected:
            self.fail("U1", f"{what} is not called for {user}")
        for login in self.logins.values():
            if not login.isEnded:
                self._checkLogin(login, now, isTurn)
        for wire in list(self.wires.values()):
            self._checkWire(wire, now, isTurn)

    def _checkLogin(self, login: Login, now: float, isTurn: bool) -> None:
        life = self.limits.life
        if login.endExpected:
            self.fail("U2", f"{login.user} is not logged out")
        if login.kickedAt is not None and now > login.kickedAt + life.kickTimeout + _EPSILON:
            self.fail("U3", f"{login.user} is logged in past kick_timeout")
        if login.awayUntil is not None and now > login.awayUntil + _EPSILON:
            self.fail("U2", f"{login.user} is logged in past away_timeout")
        if login.isKickedDone and isTurn:
            self.fail("U3", f"{login.user} is logged in, and kicked is done")
        if self.drainSince is not None and login.kickedAt is None:
            if now > self.drainSince + life.drainTimeout + _EPSILON:
                self.fail("B5", f"{login.user} is logged in past drain_timeout")
            if isTurn and not self.runningInAll:
                self.fail("B5", f"{login.user} is logged in, and nothing is waited for")

    def _checkClosing(self, wire: Wire) -> None:
        """See that a connection which the gate closes is closed for a reason, and not too hard."""
        transport, limits, now = wire.transport, self.limits.gate, self._now() + _EPSILON
        isLate = wire.login is None and now >= wire.opened + limits.handshakeTimeout
        isStalled = (
            transport.isPushedBack or wire.wasStalled
        ) and now >= transport.pushedBackSince + limits.stallTimeout
        if wire.state in (State.NEW, State.CURRENT) and not (wire.mustAbort or wire.mustClose):
            if not isLate and not isStalled:
                self.fail("H4", f"connection {wire.number} is closed for no reason")
        elif transport.isAborted and not wire.mustAbort:
            since = wire.closingSince
            isTooLong = since is not None and now >= since + limits.stallTimeout
            # From when the logins have ended, clients have so much time to read (B5).
            isDrained = (
                self.drainSince is not None
                and since is not None
                and now >= since + self.limits.life.drainTimeout
            )
            if not (isTooLong or isStalled or isDrained or isLate):
                self.fail("U2", f"connection {wire.number} is cut off before it has its answers")

    def _checkWire(self, wire: Wire, now: float, isTurn: bool) -> None:
        transport, limits = wire.transport, self.limits.gate
        if isTurn:
            self.settle(wire, True)
        number = wire.number
        if wire.mustAbort and not transport.isAborted:
            self.fail(wire.mustAbort, f"connection {number} is not closed at once")
        if wire.mustClose and not transport.isClosing:
            if not (wire.state is State.CURRENT and transport.isPushedBack):
                self.fail(wire.mustClose, f"connection {number} is not closed")
        if wire.state is State.NEW:
            if now > wire.opened + limits.handshakeTimeout + _EPSILON and not transport.isAborted:
                self.fail("H3", f"connection {number} has not shaken hands and stays")
        if wire.state in (State.NEW, State.REFUSED) and wire.held() > limits.maxPacket + 2:
            self.fail("B4", f"connection {number} holds {wire.held()} bytes of a stranger's")
        if transport.isClosing:
            self._checkClosing(wire)
            if transport._writeDisconnecting and not (transport.isAborted or transport.isReading):
                self.fail("B5", f"the client's close of connection {number} is not seen")
            if (
                wire.closingSince is not None
                and now > wire.closingSince + limits.stallTimeout + _EPSILON
            ):
                if not transport.isAborted:
                    self.fail("B3", f"connection {number} is closing for ever")
            return
        if transport.isPushedBack:
            if not wire.wasStalled:
                self.reached("stalled")
            wire.wasStalled = True
            if transport.isReading:
                self.fail("B3", f"connection {number} is read, and does not read itself")
            if now > transport.pushedBackSince + limits.stallTimeout + _EPSILON:
                self.fail("B3", f"connection {number} has not read for too long and stays")
        elif wire.state is State.CURRENT:
            if wire.wasStalled:
                self.reached("drained")
                wire.wasStalled = False
            if isTurn and not wire.isPaused and transport.isReading is wire.isFull:
                how = "is" if wire.isFull else "is not"
                self.fail("B2", f"connection {number} {how} read")
