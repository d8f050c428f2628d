"""
What becomes of requests: the rules S, put as plainly as they can be.
"""

from __future__ import annotations

from collections.abc import Callable

from msgserver.wire.gate import ANSWERED, responsePacket
from msgserver.wire.naming import User
from tests.simulation.parts import (
    Limits,
    Login,
    Request,
    State,
    Verdict,
    Violation,
    Wire,
    countsUp,
    short,
)
from tests.simulation.transitions import Reached


class RequestModel:
    """
    The requests of one gate.

    @param now: tells the time, in seconds.
    @param reached: counts the situations.
    @param trace: takes a line for whatever happens.
    @ivar failure: the first invariant that did not hold.
    @ivar runningInAll: how many requests the handler is at.
    @ivar drainSince: when the gate began to shut down.
    """

    def __init__(
        self,
        limits: Limits,
        now: Callable[[], float],
        reached: Reached,
        trace: Callable[[str], None],
    ) -> None:
        self.limits = limits
        self.reached = reached
        self.failure: Violation | None = None
        self.logins: dict[User, Login] = {}
        self.drainSince: float | None = None
        self.runningInAll = 0
        self._now = now
        self._trace = trace

    def fail(self, rule: str, text: str) -> None:
        """Take note that an invariant does not hold; the first is the one that counts."""
        if self.failure is None:
            self.failure = Violation(rule, text)

    def wrote(self, wire: Wire, data: bytes) -> None:
        """The gate writes."""
        if wire.state is State.REPLACED:
            self.fail("H4", f"connection {wire.number} is written to, though it was replaced")
        while len(wire.due[0]) < len(data) and self._advance(wire):
            pass
        due = wire.due
        self._trace(f"    connection {wire.number} is sent {short(data)}")
        if not wire.pay(data):
            self.fail(
                "S6" if wire.isGreeted else "H1",
                f"connection {wire.number} is sent {short(data)}, due is {short(due[0])}",
            )
        wire.isGreeted = True

    def _judge(self, wire: Wire, session: bytes) -> Verdict:
        login = wire.login
        assert login is not None
        request = login.latest.get(session)
        isPast = self.limits.session.increasing and not countsUp(session, login.highest)
        if request is not None and (isPast or session not in wire.own):  # S5
            if request.response is None:
                return Verdict.NOTHING if session in wire.own else Verdict.TAKE_OVER
            isKept = self._isKept(login, request)
            if isKept is None:
                return Verdict.EITHER
            if isKept:
                return Verdict.REPLAY
        return Verdict.FORGOTTEN if isPast else Verdict.RUN

    def _isKept(self, login: Login, request: Request) -> bool | None:
        """S7: None where both is right."""
        limits = self.limits.session
        count, size = login.made - request.place, login.size - request.start
        if count <= limits.expiredNumber and size <= limits.cacheBytes:
            return True
        if count > 2 * limits.expiredNumber or size > 2 * limits.cacheBytes:
            return False
        return None

    def _advance(self, wire: Wire) -> bool:
        """
        Account for the next request of a connection, where it is none that runs.

        @return: whether there was one.
        """
        if wire.state is not State.CURRENT or wire.login is None or wire.isPaused:
            return False
        packet = wire.next(self.limits.session.maxPacket)
        if packet is None:
            return False
        session, content = packet
        verdict = self._judge(wire, session)
        if verdict in (Verdict.RUN, Verdict.FORGOTTEN):
            return False
        self._apply(wire, session, content, verdict)
        return True

    def _apply(self, wire: Wire, session: bytes, content: bytes, verdict: Verdict) -> None:
        """Do what becomes of a request that does not run (S6)."""
        login = wire.login
        assert login is not None
        wire.pop()
        request = login.latest[session]
        if verdict is Verdict.TAKE_OVER:
            request.wire = wire
            request.takers += 1
            self.reached("taken over" if request.takers == 2 else "taken over again")
        elif verdict is Verdict.NOTHING:
            self.reached("asked twice")
        else:
            assert request.response is not None
            wire.owe(request.response)
            self.reached("replay")
            if request.response[-5:-4] != ANSWERED:
                self.reached("replay of a failure")
            if request.content != content:
                self.reached("replay, other content")
            if verdict is Verdict.EITHER:
                self.reached("replay, older generation")
            if session in wire.own:
                self.reached("replay of own")
            if login.running >= self.limits.session.maxRunning:
                self.reached("replay while full")
        wire.own.add(session)

    def began(self, user: User, session: bytes, content: bytes) -> Request | None:
        """The handler is given a request."""
        login = self.logins.get(user)
        if login is None or login.isEnded:
            self.fail("U2", f"a request of {user} runs, whose login has ended")
            return None
        wire = login.current
        if wire is None:
            self.fail("H4", f"a request of {user} runs, who has no connection")
            return None
        if wire.transport.isPushedBack:
            self.fail("B3", f"a request of {user} runs, who does not read")
        while True:
            packet = wire.next(self.limits.session.maxPacket)
            if packet is None or wire.isPaused:
                self.fail("S1", f"{content!r} runs and was not asked on connection {wire.number}")
                return None
            verdict = self._judge(wire, packet[0])
            isThis = packet == (session, content)
            if verdict is Verdict.RUN or (verdict is Verdict.EITHER and isThis):
                break
            if isThis or verdict is Verdict.FORGOTTEN:
                what = {
                    Verdict.REPLAY: "is answered, and its answer must be kept still",
                    Verdict.TAKE_OVER: "is still running",
                    Verdict.NOTHING: "is still running",
                    Verdict.FORGOTTEN: "comes behind one that ends the login",
                }[verdict if verdict is not Verdict.EITHER else Verdict.REPLAY]
                rule = "S7" if verdict is Verdict.FORGOTTEN else "S6"
                self.fail(rule, f"{content!r} runs again, though it {what}")
                return None
            self._apply(wire, *packet, verdict)
        if packet != (session, content):
            self.fail("S1", f"{content!r} runs where {packet[1]!r} was asked")
            return None
        return self._begin(login, wire, session, content)

    def _begin(self, login: Login, wire: Wire, session: bytes, content: bytes) -> Request:
        if login.running >= self.limits.session.maxRunning:
            self.fail("B2", f"{login.user} has {login.running} requests running, and one more")
        wire.pop()
        earlier = login.latest.get(session)
        if session in wire.own:
            isRunning = earlier is not None and earlier.response is None
            self.reached("run beside" if isRunning else "run in another's place")
        elif earlier is not None:
            self.reached("run after forgotten")
        self.reached("run")
        if wire.isFull:
            self.reached("full no more")
            wire.isFull = False
        wire.own.add(session)
        login.highest = int.from_bytes(session, "big")
        login.running += 1
        self.runningInAll += 1
        request = login.latest[session] = Request(login, session, content, wire)
        return request

    def answered(self, request: Request, flag: bytes, content: bytes, isLater: bool) -> None:
        """The handler is about to give an answer, which is to be this one."""
        login, wire = request.login, request.wire
        packet = responsePacket(request.session, flag, content)
        login.running -= 1
        self.runningInAll -= 1
        if login.latest.get(request.session) is not request:
            self.reached("answer dropped")
            return
        request.response = packet
        request.place, request.start = login.made, login.size
        login.made += 1
        login.size += len(packet)
        if login.isEnded:
            isInTime = wire.state is State.ENDED and not wire.transport.isClosing
            self.reached(
                "answered in the turn of the end" if isInTime else "answered after the end"
            )
            if isInTime:
                wire.owe(packet)
        elif wire.state is State.CURRENT and wire.isBroken and wire.mustClose:
            self.reached("answered after a break of the wire")
        elif wire.state is State.CURRENT:
            wire.owe(packet)
            if self.drainSince is not None:
                self.reached("drain answers")
            if request.takers > 1:
                self.reached("answered to a later connection")
            self.reached("answered later" if isLater else "answered at once")
        elif login.current is None:
            self.reached("answered while away")
        else:
            self.reached("answered before asked again")

    def settle(self, wire: Wire, isTurn: bool) -> None:
        """
        See that a connection has been served.

        @param isTurn: a turn of the reactor is over: nothing may be left undone.
        """
        if wire.state is State.ENDED and isTurn:
            self._settleEnded(wire)
        if wire.state is not State.CURRENT or wire.login is None:
            return
        if wire.hasMore():
            # Between the parts of a large batch others have their turn, but no more than one.
            if isTurn and not wire.transport.isPushedBack and not wire.isPaused:
                self.fail("B3", f"connection {wire.number} is served by halves")
            return
        if wire.isFull and wire.transport.isPushedBack:
            return  # What waits for both is looked at when the client reads.
        login = wire.login
        isFull = login.running >= self.limits.session.maxRunning
        while not wire.isPaused:
            packet = wire.next(self.limits.session.maxPacket)
            if packet is None:
                break
            verdict = self._judge(wire, packet[0])
            isRun = verdict is Verdict.RUN or (verdict is Verdict.EITHER and isFull)
            if isRun and isFull:
                if not wire.isFull:
                    self.reached("full")
                wire.isFull = True
                return
            if verdict is Verdict.FORGOTTEN and isFull:
                return
            if isRun or verdict is Verdict.FORGOTTEN:
                if isTurn and not wire.transport.isPushedBack:
                    rule = "S1" if isRun else "S7"
                    self.fail(rule, f"{packet[1]!r} waits on connection {wire.number}")
                return
            self._apply(wire, *packet, verdict)
        wire.isFull = False
        if wire.isBroken and not wire.mustClose:
            length = int.from_bytes(wire.waiting[:2], "big")
            self.reached("too short" if length < 4 else "request too long")
            wire.mustClose = "S3" if length < 4 else "B4"
            wire.waiting = b""
        if wire.due != [b""] and isTurn:
            self.fail("S1", f"connection {wire.number} is not sent {short(wire.due[0])}")

    def _settleEnded(self, wire: Wire) -> None:
        if b"" not in wire.due:
            self.fail("U2", f"connection {wire.number} is not sent {short(wire.due[0])}")
        if not wire.transport.isClosing:
            self.fail("U2", f"connection {wire.number} of an ended login stays open")

    def _isForgetting(self, wire: Wire) -> bool:
        """S7: see whether the next request is one that ends the login."""
        choices = []
        while (packet := wire.next(self.limits.session.maxPacket)) is not None:
            verdict = self._judge(wire, packet[0])
            if verdict is Verdict.EITHER and self.limits.session.increasing:
                # This one may have been it, or one behind it.
                choices.append(wire.due[0])
            elif verdict is Verdict.FORGOTTEN:
                choices.append(wire.due[0])
                break
            elif verdict is Verdict.RUN:
                break
            self._apply(wire, *packet, verdict)
        if choices:
            self.reached("forgotten")
            wire.due = choices
        return bool(choices)
