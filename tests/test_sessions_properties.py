"""
What holds of a login whatever happens to it, against the rules put as plainly as they can be.

The model below knows S1 to S9, H4, B2, U2 and U5, and nothing of how L{msgserver.sessions}
keeps them: it forgets nothing and computes everything anew from what has happened.
"""

from __future__ import annotations

from random import Random

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import IndexExpired
from msgserver.sessions import Connection, Login, Logins, Running, SessionLimits
from msgserver.wire.naming import User
from tests.logins import MAX_PIECE, SECRET, answer, ask, failure, numbered

MAX_PACKET = 24
SIZES = {b"big": 30_000, b"huge": 65_530}


def response(session: bytes, content: bytes) -> bytes:
    """Give the response to a request that is answered at once: no two contents have the same."""
    verb, _, serial = content.partition(b" ")
    if verb == b"fail":
        return failure(session, serial)
    return answer(session, serial.ljust(SIZES.get(verb, 0), b"."))


class Application:
    """
    Answers by content: C{later N} runs on, C{bye N} ends the login, C{soon N} is answered by
    way of C{answerLater}, C{fail N} raises; the others are answered.
    """

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.running: dict[bytes, Running] = {}
        self.ready: set[Connection] = set()
        self.logins = Logins(SessionLimits(), self)

    def requestReceived(self, user: User, content: bytes) -> bytes | None:
        """Answer a request."""
        self.asked.append(content)
        verb, _, serial = content.partition(b" ")
        if verb == b"fail":
            raise ValueError(serial)
        if verb == b"bye":
            self.logins.end(user)
        if verb in (b"later", b"soon"):
            return None
        return response(b"", content)[2:-1]

    def requestFailed(self, user: User, error: BaseException) -> bytes:
        """Give the content of a flag-0 response."""
        content: bytes = error.args[0]
        return content

    def answerLater(self, running: Running, result: object) -> None:
        """Keep the request running, or answer it on the spot."""
        verb, _, serial = self.asked[-1].partition(b" ")
        if verb == b"later":
            self.running[self.asked[-1]] = running
        else:
            running.answer(serial)

    def answersReady(self, connection: Connection) -> None:
        """Take note that a connection has answers, or room."""
        self.ready.add(connection)

    def forgotten(self, login: Login) -> None:
        """End the login."""
        self.logins.end(login.user)


@define(eq=False)
class Request:
    """A request that has begun, and its response once it is made."""

    session: bytes
    content: bytes
    connection: int
    response: bytes | None = None


@define
class Model:
    """
    What has happened to a login.

    @ivar latest: the latest request of each session.
    @ivar made: the requests that were answered, and not dropped (S5), in that order.
    @ivar own: the sessions that the present connection has used.
    @ivar waiting: what it has received and not been served.
    @ivar due: what it is to be sent.
    """

    limits: SessionLimits
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
        self.disconnect()
        self.index = index
        self.isConnected = True
        self.isBroken = False

    def disconnect(self) -> None:
        """Lose the connection."""
        self.isConnected = self.isFull = False
        self.own = set()
        self.waiting = self.due = b""

    def end(self) -> None:
        """End the login (U2)."""
        self.isEnded = True
        self.isFull = False

    def receive(self, data: bytes, sent: bytes, asked: list[bytes]) -> None:
        """
        Say what becomes of a batch.

        @param sent: what came out of it; looked at only where S7 leaves a choice.
        @param asked: takes the contents that the handler is to see.
        """
        self.waiting += data
        self.isFull = False
        while self.isOpen and len(self.waiting) >= 2:
            length = int.from_bytes(self.waiting[:2], "big")
            if not 4 <= length <= MAX_PACKET:
                self.isBroken = True  # S3, B4
            elif len(self.waiting) < 2 + length:
                break
            elif self.askedAgain(session := self.waiting[length - 2 : length + 2], sent):
                self.waiting = self.waiting[2 + length :]
            elif len(self.running) >= self.limits.maxRunning:
                self.isFull = True  # B2
                break
            else:
                self.begin(session, self.waiting[2 : length - 2], asked)
                self.waiting = self.waiting[2 + length :]

    def askedAgain(self, session: bytes, sent: bytes) -> bool:
        """Say whether a request is none of its own, and what happens then (S6, S7)."""
        request = self.latest.get(session)
        isPast = self.limits.increasing and not self.countsUp(session)
        if request is not None and (isPast or session not in self.own):  # S5
            if request.response is None:
                request.connection = self.index
                self.own.add(session)
                return True
            if self.isKept(request, sent):
                self.due += request.response
                self.own.add(session)
                return True
        if isPast:
            self.end()
        return isPast

    def countsUp(self, session: bytes) -> bool:
        """S7: compare by RFC 1982."""
        number = int.from_bytes(session, "big")
        return self.highest is None or 0 < (number - self.highest) % 2**32 < 2**31

    def isKept(self, request: Request, sent: bytes) -> bool:
        """S7: where both is right, what was sent tells which it was."""
        assert request.response is not None
        place = self.made.index(request)
        count = len(self.made) - place
        size = sum(len(each.response or b"") for each in self.made[place:])
        if count <= self.limits.expiredNumber and size <= self.limits.cacheBytes:
            return True
        if count > 2 * self.limits.expiredNumber or size > 2 * self.limits.cacheBytes:
            return False
        return sent[len(self.due) :].startswith(request.response)

    def begin(self, session: bytes, content: bytes, asked: list[bytes]) -> None:
        """Run a request."""
        asked.append(content)
        request = Request(session, content, self.index)
        self.latest[session] = request
        self.highest = int.from_bytes(session, "big")
        self.own.add(session)
        self.running[content] = request
        if content.startswith(b"bye"):
            self.end()
        if not content.startswith(b"later"):
            self.answer(content, response(session, content))

    def answer(self, content: bytes, packet: bytes) -> None:
        """Answer a request that runs."""
        request = self.running.pop(content)
        if self.latest[request.session] is not request:
            return  # S5
        request.response = packet
        self.made.append(request)
        if self.isConnected and request.connection == self.index:
            self.due += packet


VERBS = [b"now", b"later"] * 20 + [b"soon", b"fail"] * 4 + [b"big", b"huge"] * 2
VERBS += [b"bye", b"short", b"long"]
STEPS = [1] * 6 + [2, 3, 0, -1, -1, -2, -2, -3, -5]
"""How far a session is from the greatest so far, for clients that count."""


class Play:
    """
    What chance makes of one login after the other, each beside its model.

    @ivar played: the names of the steps so far, for whoever must find out what went wrong.
    """

    def __init__(self, random: Random, increasing: bool) -> None:
        self.random = random
        self.played: list[str] = []
        self.limits = SessionLimits(
            expiredNumber=random.randint(1, 3),
            cacheBytes=random.choice([1, 2, 15]) * 65_537,
            increasing=increasing,
            maxPacket=MAX_PACKET,
            maxRunning=random.randint(1, 4),
        )
        self.application = Application()
        self.application.logins = Logins(self.limits, self.application)
        self.serial = 0
        self.old: list[Connection] = []
        self.strays: list[Running] = []
        self.admit()

    def step(self) -> None:
        """Do one of the things that may happen now, and compare the login with its model."""
        model = self.model
        steps = []
        if not model.isEnded:
            steps += [self.connect] * 6 + [self.end]
        elif not model.isConnected:
            steps += [self.admit]
        if model.isConnected:
            steps += [self.receive] * 12 + [self.flush] * 4 + [self.disconnect] * 4
        if model.running:
            steps += [self.answer] * 8
        if self.old:
            steps += [self.disturb]
        if self.strays:
            steps += [self.answerStray]
        step = self.random.choice(steps)
        self.played.append(step.__name__)
        step()
        self.check()

    def check(self) -> None:
        """Compare the login with its model."""
        model, login = self.model, self.login
        assert login.isEnded is model.isEnded
        assert login.runningCount == len(model.running)
        assert (login.connection is not None) is model.isConnected
        if login.connection is not None:
            assert login.connection.isBroken is model.isBroken
            assert login.connection.isFull is model.isFull
            assert login.connection.isOpen is not model.isEnded

    def admit(self) -> None:
        """Admit the next login; what still runs for the last has nothing to do with it (U5)."""
        self.serial += 1
        user = User(b"alice", b"%d" % self.serial, b"sample")
        self.login = self.application.logins.admit(user, SECRET)
        self.model = Model(self.limits)
        self.strays.extend(self.application.running.values())
        self.application.running.clear()
        self.top = 2**32 - 8
        self.unsent = b""

    def connect(self) -> None:
        """Make a connection, be there one already or not, by an index that is greater (H)."""
        index = self.model.index + self.random.randint(1, 3)
        for expired in (0, self.model.index, self.random.randint(0, self.model.index)):
            try:
                self.login.connect(expired, None)
            except IndexExpired:
                self.check()
            else:
                raise AssertionError("an index was accepted that is not greater than the last")
        if self.login.connection is not None:
            self.old.append(self.login.connection)
        self.login.connect(index, None)
        self.model.connect(index)
        self.unsent = b""

    def disconnect(self) -> None:
        """Lose the connection."""
        connection = self.login.connection
        assert connection is not None
        assert self.login.disconnect(connection)
        self.old.append(connection)
        self.model.disconnect()
        self.unsent = b""

    def end(self) -> None:
        """End the login."""
        assert self.application.logins.end(self.login.user) is self.login
        assert self.application.logins.get(self.login.user) is None
        self.model.end()

    def receive(self) -> None:
        """Receive requests, cut anywhere; maybe the end of the last is yet to come."""
        stream = self.unsent + b"".join(self.written() for _ in range(self.random.randint(0, 5)))
        places = [self.random.randint(0, len(stream)) for _ in range(self.random.randint(0, 3))]
        places.append(self.random.choice([len(stream), len(stream), len(stream) // 2]))
        start = 0
        for place in sorted(places):
            self.serve(stream[start:place])
            self.check()
            start = place
        self.unsent = stream[start:]

    def flush(self) -> None:
        """Send what is ready, and go on."""
        self.serve(b"")

    def answer(self) -> None:
        """Have a running request answered, wherever its connection may be."""
        content = self.random.choice(list(self.model.running))
        running = self.application.running.pop(content)
        padded = content.ljust(self.random.choice([0, 0, 0, 30_000]), b".")
        isAnswer = self.random.random() < 0.7
        self.application.ready.clear()
        (running.answer if isAnswer else running.fail)(padded)
        self.model.answer(content, (answer if isAnswer else failure)(running.session, padded))
        connection = self.login.connection
        assert self.application.ready == (set() if connection is None else {connection})

    def disturb(self) -> None:
        """An old connection does and suffers whatever it likes, and touches nothing (H4)."""
        connection = self.random.choice(self.old)
        before = len(self.application.asked)
        assert connection.receive(ask(numbered(self.top + 1), b"now 0")) == b""
        assert connection.take() == b""
        assert not connection.login.disconnect(connection)
        assert not (connection.isOpen or connection.isFull or connection.hasMore)
        assert len(self.application.asked) == before

    def answerStray(self) -> None:
        """Have a request of an ended login answered: it goes nowhere (U2)."""
        self.application.ready.clear()
        self.strays.pop().answer(b"stray")
        assert not self.application.ready

    def written(self) -> bytes:
        """Write a request: under one of a few sessions, or under one that counts up, or not."""
        self.serial += 1
        verb = self.random.choice(VERBS)
        if verb == b"short":
            return b"\x00" + bytes([self.serial % 4]) * 4
        if verb == b"long":
            return bytes([0, MAX_PACKET + 1]) + bytes(MAX_PACKET + 1)
        number = self.random.randrange(5)
        if self.limits.increasing:
            number = self.top + self.random.choice(STEPS)
            self.top = max(self.top, number)
        return ask(numbered(number), b"%b %d" % (verb, self.serial))

    def serve(self, data: bytes) -> None:
        """Have the connection receive something, as a gate does, and compare what comes of it."""
        connection, model = self.login.connection, self.model
        assert connection is not None
        before = len(self.application.asked)
        wasOpen = model.isOpen
        pieces = [connection.receive(data)]
        while connection.hasMore:
            pieces.append(connection.receive(b""))
        assert max(map(len, pieces)) <= MAX_PIECE
        if not wasOpen:
            assert pieces == [b""]
            pieces.append(connection.take())
        assert connection.take() == b""
        sent = b"".join(pieces)
        asked: list[bytes] = []
        if wasOpen:
            model.receive(data, sent, asked)
        assert self.application.asked[before:] == asked
        assert sent == model.due
        model.due = b""


class PropertyTests(SynchronousTestCase):
    """Logins of both modes do what the model says; the same plays each time."""

    def play(self, increasing: bool) -> None:
        """Play many plays, the short ones first, so that the first to fail tells the most."""
        for length in (5, 10, 20, 40, 80):
            for seed in range(500):
                play = Play(Random(seed), increasing)
                try:
                    for _ in range(length):
                        play.step()
                except Exception as error:
                    played = ", ".join(play.played)
                    raise self.failureException(f"seed {seed}: {played}") from error

    def test_any(self) -> None:
        """S1 to S9, H, H4, B2, B3, B4, U2, U5, with sessions in any order."""
        self.play(increasing=False)

    def test_increasing(self) -> None:
        """The same with sessions that count up, and wrap."""
        self.play(increasing=True)
