"""
Handlers that do what handlers do: answer at once, later or never, fail, and end logins.

What a request is to do stands in it: C{verb name}, and maybe more bytes. What becomes of the
other calls, the name of the user says.
"""

from __future__ import annotations

from typing import Any, Protocol
from zlib import crc32

from attrs import define
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from msgserver.current import currentRequest
from msgserver.errors import Forbidden, RequestFailed, Unauthorized
from msgserver.interfaces import Account, ILoginHandler, IMsgGate, IMsgHandler, User
from msgserver.wire.framing import MAX_RESPONSE
from msgserver.wire.gate import ANSWERED, FAILED
from tests.simulation.model import GateModel
from tests.simulation.parts import Request

QUICK_VERBS = [b"now"] * 6 + [b"soon", b"raise", b"fail", b"none", b"empty", b"fail-long"]
SLOW_VERBS = [b"later"] * 3 + [b"async"] * 2
LARGE_VERBS = [b"large", b"huge", b"long"]
ENDING_VERBS = [b"bye", b"bye-later", b"bye-async", b"bye-raise"]


class SimulatedBug(Exception):
    """What a handler raises that has a bug."""


@define(eq=False)
class Pending:
    """Something that the application has promised and not done."""

    what: str
    user: User | None
    promised: Deferred[Any]
    request: Request | None = None
    result: Any = None


class Surroundings(Protocol):
    """What handlers ask of the simulation."""

    seed: int
    hasRoom: bool
    pending: list[Pending]
    bugs: int

    def ran(self, content: bytes, request: Request) -> None:
        """Take note that a request runs."""

    def trace(self, text: str) -> None:
        """Write down what happens."""


def answerOf(content: bytes) -> bytes:
    """Give the answer to a request; no two requests have the same."""
    verb, name = content.split(b" ")[:2]
    size = {b"large": 30_000, b"huge": MAX_RESPONSE, b"long": MAX_RESPONSE + 1}.get(verb, 0)
    return b"" if verb == b"empty" else (b"re " + name).ljust(size, b".")


@implementer(IMsgHandler)
class Handler:
    """The application of one gate."""

    gate: IMsgGate

    def __init__(self, world: Surroundings, model: GateModel) -> None:
        self._world = world
        self._model = model
        self._subid = 0

    def gateOpened(self, gate: IMsgGate) -> None:
        """See L{IMsgHandler.gateOpened}."""
        self.gate = gate

    # Requests

    def requestReceived(self, user: User, content: bytes) -> Any:
        """See L{IMsgHandler.requestReceived}."""
        request = self._model.began(user, currentRequest().session, content)
        if request is None:
            return b"a violation"
        self._world.trace(f"    {content[:40].decode()} of {user.uid.decode()} runs")
        self._world.ran(content, request)
        verb = content.split(b" ")[0]
        if verb in (b"later", b"bye-later"):
            return self._later(request, verb)
        if verb in (b"async", b"bye-async"):
            return self._async(request, verb)
        return self._atOnce(request, verb)

    def _atOnce(self, request: Request, verb: bytes) -> Any:
        if verb in (b"bye", b"bye-raise"):
            self._logOut(request)
        answer = answerOf(request.content)
        isLater = verb == b"soon"
        if verb in (b"raise", b"bye-raise"):
            self._failed(request, b"", isLater)
            self._bug()
        if verb == b"fail":
            self._failed(request, answer, isLater)
            raise RequestFailed(answer)
        if verb == b"fail-long":
            self._failed(request, b"", isLater)
            raise RequestFailed(bytes(MAX_RESPONSE + 1))
        if verb == b"none":
            self._reached("no answer")
            self._model.answered(request, FAILED, b"", True)
            return None
        if verb == b"long":
            self._reached("no answer")
            self._model.answered(request, FAILED, b"", True)
            return answer
        self._model.answered(request, ANSWERED, answer, isLater)
        return succeed(answer) if isLater else answer

    def _later(self, request: Request, verb: bytes) -> Deferred[bytes]:
        if verb == b"bye-later":
            self._logOut(request)
        promised: Deferred[bytes] = Deferred()
        self._world.pending.append(Pending("request", request.login.user, promised, request))
        return promised

    async def _async(self, request: Request, verb: bytes) -> bytes:
        promised: Deferred[bytes] = Deferred()
        self._world.pending.append(Pending("request", request.login.user, promised, request))
        try:
            answer = await promised
        finally:
            if verb == b"bye-async":
                self._logOut(request)
                self._tell(request, self._outcome)
        return answer

    def resolve(self, pending: Pending, mode: int) -> None:
        """
        Do what was promised with a request.

        @param mode: 0 to 5 answer it, 4 and 5 with much; 6 raises, 7 fails with content, 8
            gives none, or too much.
        """
        request = pending.request
        assert request is not None
        self._outcome = mode
        if not request.content.startswith(b"bye-async"):
            self._tell(request, mode)
        answer = self._answerOf(request, mode)
        if mode == 6:
            self._world.bugs += 1
            pending.promised.errback(SimulatedBug(request.content))
        elif mode == 7:
            pending.promised.errback(RequestFailed(answer))
        else:
            pending.promised.callback(self._noAnswer(request) if mode == 8 else answer)

    def _tell(self, request: Request, mode: int) -> None:
        if mode == 6:
            self._failed(request, b"", True)
        elif mode == 7:
            self._failed(request, self._answerOf(request, mode), True)
        elif mode == 8:
            self._reached("no answer")
            self._model.answered(request, FAILED, b"", True)
        else:
            self._model.answered(request, ANSWERED, self._answerOf(request, mode), True)

    def _answerOf(self, request: Request, mode: int) -> bytes:
        answer = answerOf(request.content)
        if not self._world.hasRoom and request.content.split(b" ")[1].startswith(b"d"):
            return answer  # A device may not count on more being kept (S7).
        return answer.ljust({4: MAX_RESPONSE, 5: 40_000}.get(mode, 0), b"+")

    def _noAnswer(self, request: Request) -> bytes | None:
        return bytes(MAX_RESPONSE + 1) if len(request.content) % 2 else None

    def _logOut(self, request: Request) -> None:
        user = request.login.user
        self._model.mustEnd(user, "logout of own")
        self.gate.logout(user)

    def _failed(self, request: Request, content: bytes, isLater: bool) -> None:
        self._reached("failed with content" if content else "failed")
        self._model.answered(request, FAILED, content, isLater)

    def _bug(self) -> None:
        self._world.bugs += 1
        raise SimulatedBug()

    def _reached(self, name: str) -> None:
        self._model.reached(name)

    # The life of a login

    def loginReceived(self, uid: bytes, secret: bytes) -> Any:
        """See L{IMsgHandler.loginReceived}."""
        self._subid += 1
        subid = b"%d" % self._subid
        mode = self._mode(b"login", uid + subid, 12)
        if mode == 11:
            raise Forbidden("as it likes")
        if mode == 10:
            self._bug()
        if mode in (8, 9):
            promised: Deferred[Any] = Deferred()
            self._world.pending.append(
                Pending("loginReceived", None, promised, result=subid if mode == 8 else None)
            )
            return promised
        return subid if mode < 4 else None

    def disconnected(self, user: User) -> Any:
        """See L{IMsgHandler.disconnected}."""
        return self._called("disconnected", user)

    def kicked(self, user: User) -> Any:
        """See L{IMsgHandler.kicked}."""
        return self._called("kicked", user)

    def loggedOut(self, user: User) -> Any:
        """See L{IMsgHandler.loggedOut}."""
        return self._called("loggedOut", user)

    def _called(self, what: str, user: User) -> Any:
        self._world.trace(f"    {what} {user.username.decode()}")
        self._model.called(what, user)
        mode = self._mode(what.encode(), user.username, 8)

        def done(result: Any = None) -> Any:
            if what == "kicked":
                self._model.kickedDone(user)
            return result

        if mode == 7:
            done()
            self._bug()
        if mode in (5, 6):
            promised: Deferred[Any] = Deferred()
            promised.addBoth(done)
            self._world.pending.append(Pending(what, user, promised))
            return promised if mode == 5 else self._wait(promised)
        done()
        return fail(self._counted()) if mode == 4 else None

    async def _wait(self, promised: Deferred[Any]) -> None:
        await promised

    def _counted(self) -> Exception:
        self._world.bugs += 1
        return SimulatedBug()

    def _mode(self, what: bytes, who: bytes, count: int) -> int:
        return crc32(b"%b %b %d" % (what, who, self._world.seed)) % count


@implementer(ILoginHandler)
class LoginHandler:
    """Lets in whoever says so: a token is C{server uid verb}."""

    def __init__(self, world: Surroundings) -> None:
        self._world = world

    def authenticate(self, token: bytes) -> Any:
        """See L{ILoginHandler.authenticate}."""
        server, uid, verb = token.split(b" ")
        account = Account(server, uid)
        if verb == b"no":
            raise Unauthorized("as it likes")
        if verb == b"bug":
            self._world.bugs += 1
            raise SimulatedBug()
        if verb == b"later":
            promised: Deferred[Any] = Deferred()
            self._world.pending.append(Pending("authenticate", None, promised, result=account))
            return promised
        return account
