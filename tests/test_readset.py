"""L{msgserver.readset}: who is read in which turn, and who by the reactor itself."""

from __future__ import annotations

import socket
from unittest import mock

from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.python.failure import Failure

from msgserver import readset
from msgserver.directsend import writerFor
from tests.reactors import BUFFER, ReadSetCase, Recorder, readNow


class ReadTests(ReadSetCase):
    """Reads."""

    def test_manyInOneTurn(self) -> None:
        """All that are readable are read in one turn, for which the reactor does one read."""
        connections = [self.adopt() for _ in range(100)]
        reads = mock.Mock(wraps=self.set.doRead)
        self.patch(self.set, "doRead", reads)
        for number, (_, client) in enumerate(connections[:90]):
            client.send(b"%d" % number)
        self.turn()
        self.assertEqual(reads.call_count, 1)
        self.assertEqual(
            [protocol.pieces for protocol, _ in connections],
            [[b"%d" % number] for number in range(90)] + [[]] * 10,
        )
        self.assertEqual(len(self.set), 100)

    def test_again(self) -> None:
        """It is read again when there is more, and not when there is not."""
        protocol, client = self.adopt()
        for text in (b"a", b"b", b"c"):
            client.send(text)
            self.turn()
            self.turn()
        self.assertEqual(protocol.pieces, [b"a", b"b", b"c"])

    def test_oneReadEach(self) -> None:
        """Who has sent very much is read once in a turn, like everybody else."""
        busy, much = self.adopt()
        others = [self.adopt() for _ in range(5)]
        much.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * BUFFER)
        for turn in range(1, 4):
            try:
                while True:
                    much.send(bytes(BUFFER))
            except BlockingIOError:
                pass
            for _, client in others:
                client.send(b"%d" % turn)
            self.turn()
            self.assertEqual(len(busy.pieces), turn)
            self.assertLessEqual(len(busy.pieces[-1]), BUFFER)
            self.assertEqual([len(each.pieces) for each, _ in others], [turn] * 5)

    def test_fairness(self) -> None:
        """Where not all can be served in a turn, those that were not come first in the next."""
        self.patch(readset, "_MOST", 4)
        connections = [self.adopt() for _ in range(10)]
        for _, client in connections:
            client.send(b"x" * 100)
        served: list[int] = []
        for number, (protocol, client) in enumerate(connections):

            def goOn(data: bytes, number: int = number, client: socket.socket = client) -> None:
                served.append(number)
                client.send(b"x" * 100)  # It always has more.

            protocol.reaction = goOn
        for turn in range(1, 6):
            self.turn()
            self.assertEqual(len(served), 4 * turn)
        # Twenty reads of ten connections that always have more: two of each.
        self.assertEqual(sorted(served[:10]), [*range(10)])
        self.assertEqual(sorted(served[10:]), [*range(10)])

    def test_theReactorGoesOn(self) -> None:
        """Timers, and connections that are not in the set, have their turns meanwhile."""
        self.patch(readset, "_MOST", 1)
        for _ in range(3):
            _, client = self.adopt()
            client.send(b"x")
        server, client = self.pair()
        outside = Recorder()
        self.serve(outside, server)
        client.send(b"outside")
        called: list[str] = []
        self.reactor.callLater(0, called.append, "timer")
        self.turn()
        self.assertEqual((called, outside.pieces), (["timer"], [b"outside"]))

    def test_pause(self) -> None:
        """One that is paused is not read, whatever arrives, until it is resumed."""
        protocol, client = self.adopt()
        other, otherClient = self.adopt()
        protocol.transport.pauseProducing()
        protocol.transport.pauseProducing()
        for each in (client, otherClient):
            each.send(b"a")
        self.turn()
        self.assertEqual((protocol.pieces, other.pieces), ([], [b"a"]))
        protocol.transport.resumeProducing()
        protocol.transport.resumeProducing()
        self.turn()
        self.assertEqual(protocol.pieces, [b"a"])
        self.assertTrue(self.isIn(protocol))

    def test_pausedByAnother(self) -> None:
        """One that is paused by one that was served before it in the same turn is not read."""
        first, firstClient = self.adopt()
        second, secondClient = self.adopt()
        first.reaction = lambda data: second.transport.pauseProducing()
        second.reaction = lambda data: first.transport.pauseProducing()
        firstClient.send(b"a")
        secondClient.send(b"b")
        self.turn()
        self.assertEqual(len(first.pieces + second.pieces), 1)
        self.assertEqual(len(self.set), 1)

    def test_writes(self) -> None:
        """What a connection has no room for leaves by the reactor, while it is read here."""
        protocol, client = self.adopt()
        write = writerFor(protocol.transport, mock.Mock())
        big = bytes(range(256)) * 8192
        write(big)
        heard = b""
        while len(heard) < len(big):
            client.send(b"x")
            heard += readNow(client)
            self.turn()
        self.assertEqual(heard, big)
        self.assertEqual(set(protocol.heard), {ord("x")})
        self.assertTrue(self.isIn(protocol))


class MembershipTests(ReadSetCase):
    """When the reactor has the set, and the set has connections."""

    def test_leavesWhenEmpty(self) -> None:
        """Without connections it is no affair of the reactor's; with the next, it is again."""
        self.assertNotIn(self.set, self.reactor.getReaders())
        for _ in range(2):
            first, client = self.adopt()
            second, _ = self.adopt()
            self.assertEqual(self.reactor.getReaders().count(self.set), 1)
            first.transport.abortConnection()
            self.assertIn(self.set, self.reactor.getReaders())
            second.transport.abortConnection()
            self.assertNotIn(self.set, self.reactor.getReaders())
            self.assertEqual(len(self.set), 0)
            self.turn()

    def test_allPaused(self) -> None:
        """It is so, too, when there is none to be read; and it comes back with the first."""
        protocol, client = self.adopt()
        protocol.transport.pauseProducing()
        self.assertNotIn(self.set, self.reactor.getReaders())
        client.send(b"a")
        protocol.transport.resumeProducing()
        self.turn()
        self.assertEqual(protocol.pieces, [b"a"])

    def test_adopt(self) -> None:
        """The reactor does not read it any more; what had arrived before is not lost."""
        server, client = self.pair()
        protocol = Recorder()
        transport = self.serve(protocol, server)
        client.send(b"a")
        self.set.adopt(transport)
        self.assertTrue(self.isIn(protocol))
        self.turn()
        self.assertEqual(protocol.pieces, [b"a"])

    def test_nothingThere(self) -> None:
        """One that looked readable and was not goes back to the reactor, which reads on."""
        protocol, client = self.adopt()
        other, otherClient = self.adopt()
        # Somebody else takes what there was.
        other.reaction = lambda data: protocol.transport.socket.recv(100)
        protocol.reaction = lambda data: other.transport.socket.recv(100)
        client.send(b"a")
        otherClient.send(b"b")
        self.turn()
        self.assertEqual(len(protocol.pieces + other.pieces), 1)
        self.assertEqual(len(self.set), 1)
        protocol.reaction = other.reaction = bytes
        for each in (client, otherClient):
            each.send(b"c")
        self.turn()
        self.assertEqual((protocol.pieces[-1], other.pieces[-1]), (b"c", b"c"))
        self.assertEqual(protocol.reasons + other.reasons, [])

    def test_reusedDescriptor(self) -> None:
        """A connection with the number of one that was closed is another one."""
        for _ in range(3):
            protocol, client = self.adopt()
            number = protocol.transport.fileno()
            client.send(b"a")
            self.turn()
            protocol.transport.abortConnection()
            self.turn()
            self.assertEqual(protocol.reasons, [ConnectionAborted])
            server, client = self.pair()
            again, client = self.adopt(ends=(self.renumbered(server, number), client))
            self.assertEqual(again.transport.fileno(), number)
            client.send(b"b")
            self.turn()
            self.assertEqual((protocol.pieces, again.pieces), ([b"a"], [b"b"]))

    def test_reusedInTheSameTurn(self) -> None:
        """Not even what was found of the old one in this turn is taken for the new one's."""
        protocols = [self.adopt() for _ in range(2)]
        news: list[tuple[Recorder, socket.socket]] = []

        def replace(old: Recorder) -> None:
            number = old.transport.fileno()
            old.transport.connectionLost(Failure(ConnectionLost()))
            server, client = self.pair()
            news.append(self.adopt(ends=(self.renumbered(server, number), client)))

        (one, oneClient), (other, otherClient) = protocols
        one.reaction = lambda data: replace(other)
        other.reaction = lambda data: replace(one)
        for client in (oneClient, otherClient):
            client.send(b"old")
        self.turn()
        self.assertEqual(sorted([one.pieces, other.pieces]), [[], [b"old"]])
        [(new, client)] = news
        self.assertEqual((new.pieces, new.reasons), ([], []))
        client.send(b"new")
        self.turn()
        self.assertEqual(new.pieces, [b"new"])
