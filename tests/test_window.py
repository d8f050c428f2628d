"""
How many requests a client may leave unanswered, against the real gate (S7).

Client and gate are whole but for the network, which here loses what the test says.
"""

from __future__ import annotations

from random import Random

from msgserver.clientlogin import ClientLogin
from msgserver.sessions import Connection, Logins, SessionLimits
from msgserver.wire.framing import PacketReader
from tests.gates import SECRET, GateCase

EXPIRED_NUMBER = 8


class WindowTests(GateCase):
    """A client that keeps to half of expired_number, and one that does not."""

    def play(self, seed: int, maxUnanswered: int) -> bool:
        """
        Ask through connections that lose the end of what they carry; say whether none ran twice.
        """
        random = Random(seed)
        logins = Logins(SessionLimits(expiredNumber=EXPIRED_NUMBER), self.service._answering)
        login = logins.admit(self.login(b"%d %d" % (seed, maxUnanswered)), SECRET)
        client: ClientLogin[None] = ClientLogin(maxUnanswered)
        self.handler.requests.clear()
        asked = 0
        for index in range(1, 12):
            connection: Connection = login.connect(index, None)
            responses = PacketReader()
            responses.feed(connection.receive(client.askAgain()))
            for _ in range(random.randrange(3 * EXPIRED_NUMBER)):
                for _ in range(random.randrange(EXPIRED_NUMBER)):
                    client.ask(b"later:%d" % asked, None)
                    asked += 1
                responses.feed(connection.receive(client.dataToSend()))
                if random.random() < 0.3:
                    self.answerAll(random)
                responses.feed(connection.take())
                # Some responses arrive; what has not arrived in the end is lost.
                for _ in range(random.randrange(3)):
                    response = responses.next()
                    if response is not None:
                        client.answered(response[-4:])
            login.disconnect(connection)
        self.answerAll(random)
        return len(self.handler.requests) == len(set(self.handler.requests))

    def answerAll(self, random: Random) -> None:
        """Answer what runs, in any order."""
        names = list(self.handler.promised)
        random.shuffle(names)
        for name in names:
            self.handler.promised.pop(name).callback(name)

    def test_halfIsSafe(self) -> None:
        """S7: with half of expired_number unanswered, whatever is lost, no request runs twice."""
        for seed in range(300):
            self.assertTrue(self.play(seed, EXPIRED_NUMBER // 2), seed)

    def test_allIsNot(self) -> None:
        """S7: with all of it a request may run twice, which is why it is half."""
        self.assertFalse(all(self.play(seed, EXPIRED_NUMBER) for seed in range(300)))
