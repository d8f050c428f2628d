"""
A login's sessions put as plainly as the rules can be, and the application of those who compare.

The model knows S1 to S9, H1, H4, B2, B4, U2 and U5, and nothing of how L{msgserver.sessions}
keeps them: it forgets nothing and computes everything anew from what has happened.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from msgserver.sessions import Connection, Login, Logins, Running, SessionLimits
from msgserver.wire.framing import MAX_RESPONSE
from msgserver.wire.naming import User
from tests.logins import answer, failure

MAX_PACKET = 24
"""The longest request packet, in bytes without its length."""

SIZES = {b"third": 21_000, b"big": 30_000, b"huge": MAX_RESPONSE, b"vast": MAX_RESPONSE + 1}
"""The bytes of the answers that are large; the last is more than a response takes."""

FAILING = (b"fail", b"quit", b"vast", b"sorry")


def response(session: bytes, content: bytes, number: int) -> bytes:
    """
    Give the response to a request that is answered at once: no two requests have the same.

    @param content: a verb and a number of its own; or nothing.
    @param number: how many requests have begun, this one among them.
    """
    verb, _, serial = (content or b"none %d" % number).partition(b" ")
    if verb in FAILING:
        return failure(session, serial)
    return answer(session, serial.ljust(SIZES.get(verb, 0), b"."))


class Application:
    """
    Answers by content, C{verb N}:

    - C{later}: runs until the test answers it
    - C{soon}, C{sorry}: answered, or failed, before C{answerLater} returns
    - C{fail}: raises
    - C{third}, C{big}, C{huge}, C{vast}: a large answer, the last too large for a response
    - C{bye}, C{quit}: ends its login, and answers or raises
    - C{out}: ends the first login there is that is not its own
    - C{drop}: loses its own connection
    - C{move}: has its login's next connection made; transports are indices here
    - C{wake}: answers what else runs for its login, and then itself
    - anything else: an answer

    @ivar asked: the content of every request, in the order begun.
    @ivar running: the requests that the test may answer, by content.
    @ivar moved: the connections that requests had made.
    @ivar ready: the connections that were said to have answers ready.
    @ivar forgot: the logins that were asked for what they no longer know.
    """

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.running: dict[bytes, Running] = {}
        self.moved: list[Connection] = []
        self.ready: set[Connection] = set()
        self.forgot: list[Login] = []
        self.logins = Logins(SessionLimits(), self)

    def requestReceived(self, user: User, content: bytes) -> bytes | None:
        """Answer a request."""
        self.asked.append(content)
        verb, _, serial = content.partition(b" ")
        self._act(verb, user)
        if verb in (b"fail", b"quit"):
            raise ValueError(serial)
        if verb in (b"later", b"soon", b"sorry"):
            return None
        if verb == b"vast":
            return bytes(SIZES[verb])
        return response(b"", content, len(self.asked))[2:-1]

    def _act(self, verb: bytes, user: User) -> None:
        login = self.logins.get(user)
        assert login is not None, "a request of no login"
        if verb in (b"bye", b"quit"):
            self.logins.end(user)
        elif verb == b"out":
            for other in self.logins:
                if other is not login:
                    self.logins.end(other.user)
                    break
        elif verb == b"drop":
            assert login.connection is not None
            login.disconnect(login.connection)
        elif verb == b"move":
            assert login.connection is not None
            index = login.connection.transport + 1
            self.moved.append(login.connect(index, index))
        elif verb == b"wake":
            for content, running in list(self.running.items()):
                if running.login is login:
                    del self.running[content]
                    running.answer(content)

    def begin(self, result: object) -> object:
        """Nothing here can go a part of its way."""
        return result

    def requestFailed(self, user: User, error: BaseException) -> bytes:
        """Give the content of a flag-0 response."""
        content: bytes = error.args[0]
        return content

    def answerLater(self, running: Running, result: object) -> None:
        """Keep the request running, or answer it on the spot."""
        verb, _, serial = self.asked[-1].partition(b" ")
        if verb == b"later":
            self.running[self.asked[-1]] = running
        elif verb in FAILING:
            running.fail(serial)
        else:
            running.answer(serial)

    def flushLater(self, connection: Connection) -> None:
        """Take note that a connection has answers, or room."""
        self.ready.add(connection)

    def forgotten(self, login: Login) -> None:
        """End the login."""
        self.forgot.append(login)
        self.logins.end(login.user)


@define(eq=False)
class Request:
    """A request that has begun, and its response once it is made."""

    session: bytes
    content: bytes
    connection: int
    response: bytes | None = None


def _ignore(situation: str) -> None:
    pass


@define(eq=False)
class Model:
    """
    What has happened to a login.

    @ivar note: is told of each situation that comes about, in words that begin with its rule.
    @ivar latest: the latest request of each session, that of the youngest session last.
    @ivar made: the requests that were answered, and not dropped (S5), in that order.
    @ivar own: the sessions that the present connection has used.
    @ivar waiting: what it has received and not been served.
    @ivar due: what it is to be sent.
    """

    limits: SessionLimits
    note: Callable[[str], None] = _ignore
    latest: dict[bytes, Request] = field(factory=dict)
    made: list[Request] = field(factory=list)
    running: dict[bytes, Request] = field(factory=dict)
    highest: int | None = None
    index: int = 0
    isConnected: bool = False
    isEnded: bool = False
    isBroken: bool = False
    isFull: bool = False
    own: set[bytes] = field(factory=set)
    waiting: bytes = b""
    due: bytes = b""

    @property
    def isOpen(self) -> bool:
        """Whether requests are served."""
        return self.isConnected and not self.isEnded and not self.isBroken

    def connect(self, index: int) -> None:
        """Take a new connection; nothing of the old one's is left for it (H4)."""
        if self.isConnected:
            self.note("H4: one connection replaces another")
            if self.waiting:
                self.note("H4: what was buffered is not served")
        self.disconnect()
        self.index = index
        self.isConnected = True
        self.isBroken = False

    def disconnect(self) -> None:
        """Lose the connection."""
        if self.due:
            self.note("S8: an answer is ready and not sent")
        self.isConnected = self.isFull = False
        self.own = set()
        self.waiting = self.due = b""

    def end(self) -> None:
        """End the login (U2)."""
        if self.isConnected and self.running:
            self.note("U2: a login ends with requests running")
        self.isEnded = True
        self.isFull = False

    def receive(
        self,
        data: bytes,
        sent: bytes,
        asked: list[bytes],
        hasMore: bool = False,
        ran: list[bytes] | None = None,
    ) -> None:
        """
        Say what becomes of a batch.

        @param sent: what came out of it; looked at only where S7 and B3 leave a choice.
        @param asked: what handlers had to see so far, of this login and others; takes what
            they have to see now.
        @param hasMore: it stopped behind the request that made the last of C{sent} (B3).
        @param ran: what handlers have seen; looked at only where S7 leaves a choice and
            nothing came out, for a handler may have lost the connection.
        """
        self.waiting += data
        self.isFull = False
        index = self.index
        while self.isOpen and self.index == index and len(self.waiting) >= 2:
            if hasMore and len(self.due) >= len(sent):
                self.note("B3: a batch stops for its size")
                break
            length = int.from_bytes(self.waiting[:2], "big")
            if not 4 <= length <= MAX_PACKET:
                self.note("S3: too short" if length < 4 else "B4: too long")
                self.isBroken = True
            elif len(self.waiting) < 2 + length:
                self.note("S: half a packet")
                break
            elif self.askedAgain(
                session := self.waiting[length - 2 : length + 2],
                sent,
                # Nobody has seen it, but something behind it.
                (ran or [])[len(asked) :][:1] not in ([], [self.waiting[2 : length - 2]]),
            ):
                self.waiting = self.waiting[2 + length :]
            elif len(self.running) >= self.limits.maxRunning:
                self.note("B2: a request waits")
                self.isFull = True
                break
            else:
                content = self.waiting[2 : length - 2]
                self.waiting = self.waiting[2 + length :]
                self.begin(session, content, asked)

    def askedAgain(self, session: bytes, sent: bytes, isPassed: bool) -> bool:
        """
        Say whether a request is none of its own, and what happens then (S6, S7).

        @param isPassed: no handler has seen it, but what is behind it.
        """
        request = self.latest.get(session)
        isPast = self.limits.increasing and not self.countsUp(session)
        if request is not None and (isPast or session not in self.own):  # S5
            whose = "its own" if session in self.own else "an earlier one's"
            if request.response is None:
                self.note(f"S6: asked again while running, {whose}")
                request.connection = self.index
                self.own.add(session)
                return True
            if self.isKept(request, sent, isPassed):
                self.note(f"S6: replayed, {whose}")
                if request.response[-5:-4] == b"\0":
                    self.note("S9: a failure is replayed")
                self.due += request.response
                self.own.add(session)
                return True
            self.note(f"S7: asked for what is forgotten, {whose}")
        if isPast:
            self.note("S7: a forced logout")
            self.end()
        return isPast

    def countsUp(self, session: bytes) -> bool:
        """S7: compare by RFC 1982."""
        number = int.from_bytes(session, "big")
        if self.highest is None or 0 < (number - self.highest) % 2**32 < 2**31:
            if self.highest is not None and number < self.highest:
                self.note("S7: sessions wrap")
            return True
        return False

    def isKept(self, request: Request, sent: bytes, isPassed: bool) -> bool:
        """S7: where both is right, what came out tells which it was, or what has run."""
        assert request.response is not None
        place = self.made.index(request)
        count = len(self.made) - place
        size = sum(len(each.response or b"") for each in self.made[place:])
        if count <= self.limits.expiredNumber and size <= self.limits.cacheBytes:
            return True
        if count > 2 * self.limits.expiredNumber or size > 2 * self.limits.cacheBytes:
            self.note("S7: too many since" if size <= self.limits.cacheBytes else "S7: too large")
            return False
        if not sent:
            return isPassed
        return sent[len(self.due) :].startswith(request.response)

    def begin(self, session: bytes, content: bytes, asked: list[bytes]) -> None:
        """Run a request."""
        asked.append(content)
        earlier = self.latest.pop(session, None)
        if earlier is not None and session in self.own:
            self.note("S5: again, while it runs" if earlier.response is None else "S5: again")
        request = self.latest[session] = Request(session, content, self.index)
        self.highest = int.from_bytes(session, "big")
        self.own.add(session)
        self.running[content] = request
        verb, _, _ = content.partition(b" ")
        if verb in (b"bye", b"quit"):
            self.note("U2: a handler ends its login")
            self.end()
        elif verb == b"drop":
            self.note("U1: a handler loses its connection")
            self.disconnect()
        elif verb == b"move":
            self.connect(self.index + 1)
        elif verb == b"wake":
            for other in [each for each in self.running if each != content]:
                self.answer(other, answer(self.running[other].session, other))
        if verb != b"later":
            self.answer(content, response(session, content, len(asked)))

    def answer(self, content: bytes, packet: bytes) -> None:
        """Answer a request that runs."""
        request = self.running.pop(content)
        if self.latest[request.session] is not request:
            self.note("S5: the first one's answer is dropped")
            return
        request.response = packet
        self.made.append(request)
        if self.isConnected and request.connection == self.index:
            self.due += packet
            if self.isEnded:
                self.note("U2: an answer of the same turn leaves")
        elif self.isConnected:
            self.note("H4: the answer to a request that was not asked again")
        elif not self.isEnded:
            self.note("S8: an answer is made while the user is away")
