"""L{msgserver.readset}: gates whose connections it reads, and the reactors that it works with."""

from __future__ import annotations

import asyncio
import socket
from typing import Any
from unittest import mock

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.unix import Server as UNIXServer
from twisted.trial.unittest import SynchronousTestCase

from msgserver import readset
from msgserver.interfaces import User
from msgserver.msgprotocol import MsgFactory
from msgserver.readset import ReadSet, hasReadSets
from msgserver.wire.framing import PacketReader
from msgserver.wire.gate import GateClient, requestPacket
from tests.gates import SECRET, GateCase
from tests.reactors import HAS_EPOLL, KINDS, ReactorCase, ReadSetCase, Recorder, hasEnded, readNow


class GateTests(ReadSetCase):
    """A gate whose connections are read in a set."""

    def setUp(self) -> None:
        ReadSetCase.setUp(self)
        self.gate = GateCase()
        self.gate.setUp()
        self.factory = MsgFactory(
            self.gate.service, self.gate.clock, self.gate.gateLimits, readSet=self.set
        )

    def join(self, user: User, ends: tuple[socket.socket, socket.socket], **more: Any) -> Any:
        """Connect, and shake hands; give the protocol, and the client's end."""
        server, client = ends
        protocol = self.factory.buildProtocol(None)
        self.serve(protocol, server, **more)
        client.send(GateClient(user, SECRET, 1).hello)
        heard = self.hear(client, 1)
        self.assertEqual(heard, [b"200 OK"])
        return protocol, client

    def hear(self, client: socket.socket, count: int) -> list[bytes]:
        """Give the next packets."""
        packets = PacketReader()
        heard: list[bytes] = []

        def more() -> bool:
            packets.feed(readNow(client))
            heard.extend(iter(packets.next, None))
            return len(heard) >= count

        self.until(more, f"{count} packets")
        return heard

    def test_adoptedWithTheHandshake(self) -> None:
        """The reactor reads the handshake; from then on it is the set."""
        server, client = self.tcpPair()
        protocol = self.factory.buildProtocol(None)
        self.serve(protocol, server)
        self.assertEqual(len(self.set), 0)
        client.send(GateClient(self.gate.login(), SECRET, 1).hello)
        self.hear(client, 1)
        self.assertEqual(len(self.set), 1)
        client.send(requestPacket(bytes(4), b"hello"))
        self.assertEqual(self.hear(client, 1), [b"hello\x01" + bytes(4)])

    def test_requestsBehindTheHandshake(self) -> None:
        """Those that come with it, and those that come after, are answered in their order."""
        server, client = self.tcpPair()
        self.serve(self.factory.buildProtocol(None), server)
        requests = [requestPacket(bytes([0, 0, 0, n]), b"%d" % n) for n in range(9)]
        client.send(GateClient(self.gate.login(), SECRET, 1).hello + b"".join(requests[:5])[:-3])
        self.hear(client, 5)
        client.send(b"".join(requests[:5])[-3:] + b"".join(requests[5:]))
        self.assertEqual(
            [each[:1] for each in self.hear(client, 5)], [b"4", b"5", b"6", b"7", b"8"]
        )

    def test_halfClosed(self) -> None:
        """Who asks, and says that this was all, is answered before it is closed."""
        user = self.gate.login()
        _, client = self.join(user, self.tcpPair())
        client.send(b"".join(requestPacket(bytes([0, 0, 0, n]), b"%d" % n) for n in range(5)))
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(len(self.hear(client, 5)), 5)
        self.until(lambda: hasEnded(client), "it is closed")
        self.assertEqual(self.gate.called("disconnected"), [("disconnected", user)])

    def test_stalled(self) -> None:
        """B3: who does not read is not read; and goes on when it does."""
        _, client = self.join(self.gate.login(), self.tcpPair())
        count = 200
        requests = [requestPacket(n.to_bytes(4, "big"), b"big:60000") for n in range(count)]
        client.send(b"".join(requests))
        for _ in range(2 * count):
            self.turn()
            self.gate.turn()
        self.assertEqual(len(self.set), 0)
        begun = len(self.gate.handler.requests)
        self.assertLess(begun, count)
        packets = PacketReader()
        heard: list[bytes] = []

        def allCame() -> bool:
            self.gate.turn()
            packets.feed(readNow(client))
            heard.extend(iter(packets.next, None))
            return len(heard) == count

        self.until(allCame, "all answers")
        self.assertEqual([int.from_bytes(each[-4:], "big") for each in heard], [*range(count)])
        self.assertEqual(len(self.set), 1)

    def test_shutdown(self) -> None:
        """B5: the gate drains: what runs is answered, nothing else begins, then all close."""
        _, client = self.join(self.gate.login(), self.tcpPair())
        client.send(requestPacket(bytes(4), b"later:a"))
        self.until(lambda: self.gate.handler.promised, "it runs")
        stopped = self.gate.stop()
        self.assertEqual(len(self.set), 0)
        client.send(requestPacket(b"late", b"too late"))
        self.turn()
        self.gate.fulfil(b"a", b"done")
        self.assertEqual(self.hear(client, 1), [b"done\x01" + bytes(4)])
        self.until(lambda: hasEnded(client), "the gate closes its side")
        client.close()
        self.until(lambda: stopped.called, "it has stopped")
        self.assertEqual(self.gate.handler.requests, [b"later:a"])

    def test_unix(self) -> None:
        """A UNIX socket's connection stays with the reactor; nothing about it is an error."""
        _, client = self.join(self.gate.login(), self.pair(), transport=UNIXServer, peer="")
        self.assertEqual(len(self.set), 0)
        client.send(requestPacket(bytes(4), b"hello"))
        self.assertEqual(self.hear(client, 1), [b"hello\x01" + bytes(4)])
        self.assertEqual(self.flushLoggedErrors(), [])


class ReactorTests(ReactorCase):
    """Each reactor of this system."""

    def exercise(self, kind: str) -> None:
        self.reactor = self.makeReactor(kind)
        self.assertTrue(hasReadSets(self.reactor))
        readSet = ReadSet(self.reactor)
        connections: list[tuple[Recorder, socket.socket]] = []
        for _ in range(20):
            server, client = self.pair()
            protocol = Recorder()
            readSet.adopt(self.serve(protocol, server))
            connections.append((protocol, client))
        for _, client in connections:
            client.send(b"hello")
        self.until(lambda: all(each.pieces for each, _ in connections), "all is read")
        self.assertEqual(len(readSet), 20)
        for _, client in connections[:10]:
            client.close()
        self.until(lambda: len(readSet) == 10, "the ends are seen")
        for protocol, _ in connections[10:15]:
            protocol.transport.abortConnection()
        self.until(lambda: all(each.reasons for each, _ in connections[10:15]), "the aborts")
        self.reactor.disconnectAll()
        reasons = [each.reasons for each, _ in connections]
        self.assertEqual(reasons[:10], [[ConnectionDone]] * 10)
        self.assertEqual(reasons[10:15], [[ConnectionAborted]] * 5)
        self.assertEqual(reasons[15:], [[ConnectionLost]] * 5)
        self.assertEqual(len(readSet), 0)

    def test_epoll(self) -> None:
        """The usual one on Linux."""
        self.exercise("epoll")

    def test_poll(self) -> None:
        """One that works by poll."""
        self.exercise("poll")

    def test_select(self) -> None:
        """One that works by select."""
        self.exercise("select")

    def test_asyncio(self) -> None:
        """One that is asyncio's."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.exercise("asyncio")
        else:
            self.skipTest("another loop of asyncio's is running these tests")


class HasReadSetsTests(SynchronousTestCase):
    """Where there can be a set."""

    def test_otherReactors(self) -> None:
        """Not with what has no descriptors."""
        self.assertFalse(hasReadSets(Clock()))

    def test_otherSystems(self) -> None:
        """Not where there is no epoll."""
        from twisted.internet import reactor

        self.assertEqual(hasReadSets(reactor), HAS_EPOLL)
        if HAS_EPOLL:
            self.patch(readset, "select", mock.Mock(spec=["select"]))
            self.assertFalse(hasReadSets(reactor))

    def test_kinds(self) -> None:
        """Every reactor that is tried above is among those of the tests' own table."""
        self.assertEqual({f"test_{kind}" for kind in KINDS} - set(dir(ReactorTests)), set())
