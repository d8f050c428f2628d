"""The ways of a gate's bytes, each with real sockets: the same rules hold whichever it is."""

from __future__ import annotations

import select
import signal
import socket
import threading
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from msgserver.interfaces import User
from msgserver.wire.framing import PacketReader
from msgserver.wire.gate import requestPacket
from tests.endtoend.processes import Gate, Server, connect, readAll
from tests.endtoend.workload import SECRET

CLIENTS = 8
DEPTH = 50
BIG = 60_000
"""Bytes of a large answer."""
MANY = 200
"""Large answers: more bytes than the kernel keeps for a client that does not read."""

CONFIG = f"""
[gate]
servername = "sample"
listen = ["tcp:0:interface=127.0.0.1"]
handler = "tests.endtoend.workload:Workload"
handler_options = {{{{ admit = {CLIENTS + 3} }}}}
# Beyond all patience: who is not closed in good order is not closed.
drain_timeout = 60
direct_send = {{direct}}
batch_reads = {{batch}}
"""


def userOf(number: int) -> User:
    return User(b"%d" % number, b"1", b"sample")


def requests(first: int, *contents: bytes) -> bytes:
    """Write requests in sessions that count up."""
    return b"".join(
        requestPacket(session.to_bytes(4, "big"), content)
        for session, content in enumerate(contents, first)
    )


class Client(Gate):
    """One connection to a gate, which can ask much at once, and say that this was all."""

    def __init__(self, port: int, user: User, index: int) -> None:
        self.stream = connect(port)
        Gate.__init__(self, self.stream, user, SECRET, index)

    def sendAll(self, data: bytes) -> None:
        """Send requests that are written already."""
        self.stream.sendall(data)


class PathTests(SynchronousTestCase):
    """Each combination of settings, and each reactor."""

    def exercise(self, *, direct: bool = True, batch: bool = True, reactor: str = "") -> None:
        """Have a gate go through all of it."""
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        config = CONFIG.format(direct=str(direct).lower(), batch=str(batch).lower())
        self.server = Server(folder, config, reactor=reactor)
        self.addCleanup(self.server.__exit__, None, None, None)
        self.server.__enter__()
        self.port = self.server.ports["gate"]
        self.manyClients()
        self.slowReader()
        if direct:
            self.halfClosed()
        self.reconnect()
        self.shutdown()
        self.assertNotIn("Traceback", self.server.log)

    def gate(self, number: int, index: int = 1) -> Client:
        client = Client(self.port, userOf(number), index)
        self.addCleanup(client.close)
        self.assertEqual(client.verdict, b"200 OK")
        return client

    def manyClients(self) -> None:
        """Several clients ask much at once, each in its own sessions; all is answered, in order."""
        gates = [self.gate(number) for number in range(CLIENTS)]
        for start in (0, DEPTH):
            for number, gate in enumerate(gates):
                texts = [b"%d.%d" % (number, n) for n in range(start, start + DEPTH)]
                gate.sendAll(requests(start, *texts))
            for number, gate in enumerate(gates):
                for n in range(start, start + DEPTH):
                    self.assertEqual(gate.answer(), (n, 1, b"%d.%d" % (number, n)))
        for gate in gates:
            gate.close()

    def slowReader(self) -> None:
        """B3: who asks and does not read is waited for; nothing is lost, and others go on."""
        number = CLIENTS
        slow = self.gate(number)
        other = self.gate(number + 1)
        before = self.server.memory
        slow.sendAll(requests(0, *[b"big:%d" % BIG] * MANY, b"runs:never"))
        for session in range(MANY):
            self.assertEqual(other.ask(session, b"x"), b"x")
        self.assertLess(self.server.memory - before, MANY * BIG // 2)
        for session in range(MANY):
            self.assertEqual(slow.answer(), (session, 1, bytes(BIG)))
        self.assertEqual(slow.answer(), (MANY, 1, b"0"))
        slow.close()
        other.close()

    def halfClosed(self) -> None:
        """Who says that this was all is answered before the close."""
        client = self.gate(0, 2)
        client.sendAll(requests(1000, b"a", b"b", b"c"))
        client.stream.shutdown(socket.SHUT_WR)
        heard = [client.answer() for _ in range(3)]
        self.assertEqual(heard, [(1000, 1, b"a"), (1001, 1, b"b"), (1002, 1, b"c")])
        self.assertIsNone(client.receive())
        client.close()

    def reconnect(self) -> None:
        """S6: what was under way when a connection broke runs once, and is answered."""
        number = CLIENTS + 2
        gate = self.gate(number)
        gate.send(1, b"slow:100:once")
        self.assertEqual(gate.ask(2, b"runs:once"), b"1")
        gate.cut()
        again = self.gate(number, 2)
        again.send(1, b"slow:100:once")
        self.assertEqual(again.answer(), (1, 1, b"ran once"))
        self.assertEqual(again.ask(3, b"runs:once"), b"1")
        again.close()

    def shutdown(self) -> None:
        """B5: what runs at SIGTERM is answered, and what waits to be read is delivered."""
        first, second = self.gate(1, 3), self.gate(2, 3)
        second.sendAll(requests(1000, *[b"big:%d" % BIG] * MANY))
        # So long that the gate has begun what it begins before it stops reading.
        for session in range(1000, 1000 + MANY):
            self.assertEqual(first.ask(session, b"x"), b"x")
        first.send(2001, b"slow:100:last")
        self.assertEqual(first.ask(2002, b"runs:last"), b"1")
        stopping = threading.Thread(target=self.server.stop)
        stopping.start()
        self.addCleanup(stopping.join)
        self.assertEqual(first.answer(), (2001, 1, b"ran last"))
        self.assertIsNone(first.receive())
        first.close()
        # All of what had been answered, and then an end.
        packets = PacketReader()
        packets.feed(readAll(second.stream))
        answers = list(iter(packets.next, None))
        self.assertGreater(len(answers), 0)
        for session, answer in enumerate(answers, 1000):
            self.assertEqual(answer, bytes(BIG) + b"\x01" + session.to_bytes(4, "big"))
        second.close()
        stopping.join()
        self.assertEqual(self.server.process.returncode, -signal.SIGTERM)
        self.assertIn("Server Shut Down", self.server.log)

    def test_fast(self) -> None:
        """As it is by default."""
        self.exercise()

    def test_withoutBatches(self) -> None:
        """Read by the reactor."""
        self.exercise(batch=False)

    def test_withoutDirectSend(self) -> None:
        """Sent by the transport."""
        self.exercise(direct=False)

    def test_plain(self) -> None:
        """Both."""
        self.exercise(direct=False, batch=False)

    def test_epoll(self) -> None:
        """With the usual reactor of Linux."""
        if not hasattr(select, "epoll"):
            self.skipTest("there is no epoll on this system")
        self.exercise(reactor="epoll")

    def test_poll(self) -> None:
        """With a reactor that works by poll."""
        self.exercise(reactor="poll")

    def test_select(self) -> None:
        """With a reactor that works by select."""
        self.exercise(reactor="select")

    def test_asyncio(self) -> None:
        """With asyncio's loop."""
        self.exercise(reactor="asyncio")
