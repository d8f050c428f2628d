"""
What holds of a login whatever happens to it, against the rules put as plainly as they can be.
"""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import IndexExpired
from msgserver.sessions import Connection, Logins, Running, SessionLimits
from msgserver.wire.naming import User
from tests.logins import MAX_PIECE, SECRET, answer, ask, failure, numbered
from tests.sessionsmodel import MAX_PACKET, Application, Model

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
        self.asked: list[bytes] = []
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
        if wasOpen:
            model.receive(data, sent, self.asked)
        assert self.application.asked == self.asked
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
