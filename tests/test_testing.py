"""
Tests for L{msgserver.testing}: the doubles are as good as what they stand for.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.testing import AccumulatingProtocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from msgserver.cluster import GateLoad, IGate, ILoginDirectory, LoginRecord, Registration
from msgserver.testing import MemoryDirectory, MemoryGate, MemoryTransport


class MemoryTransportTests(SynchronousTestCase):
    """L{MemoryTransport}."""

    def setUp(self) -> None:
        """Connect one."""
        self.transport = MemoryTransport("192.0.2.7")
        self.protocol = AccumulatingProtocol()
        self.transport.connect(self.protocol)

    def test_interfaces(self) -> None:
        """It is a TCP transport, and what any stream transport is."""
        for interface in (ITCPTransport, IConsumer, IPushProducer):
            verifyObject(interface, self.transport)

    def test_connect(self) -> None:
        """The protocol is connected, to the address that was asked for."""
        self.assertEqual(self.protocol.made, 1)
        self.assertIs(self.protocol.transport, self.transport)
        self.assertEqual(self.transport.getPeer().host, "192.0.2.7")

    def test_take(self) -> None:
        """What was written is taken once."""
        self.transport.write(b"one")
        self.transport.writeSequence([b"t", b"wo"])
        self.assertEqual((self.transport.take(), self.transport.take()), (b"onetwo", b""))

    def test_lose(self) -> None:
        """The protocol and the producer hear of the loss, and nothing is written any more."""
        producer = MemoryTransport()
        self.transport.registerProducer(producer, True)
        self.transport.lose()
        reason = self.protocol.closedReason
        self.assertIsInstance(reason and reason.value, ConnectionDone)
        self.assertEqual(producer.producerState, "stopped")
        self.transport.write(b"late")
        self.assertEqual(self.transport.take(), b"")

    def test_closing(self) -> None:
        """What is written while closing leaves still; after an abort it does not."""
        self.transport.loseConnection()
        self.transport.write(b"last")
        self.transport.abortConnection()
        self.transport.write(b"late")
        self.assertEqual(self.transport.take(), b"last")

    def test_writeClosed(self) -> None:
        """With the sending side closed nothing leaves, and reading goes on."""
        self.transport.loseWriteConnection()
        self.transport.write(b"late")
        self.assertEqual((self.transport.take(), self.transport.writeClosed), (b"", True))
        self.assertTrue(self.transport.isReading)

    def test_isReading(self) -> None:
        """It reads unless it is paused, or closing; then to resume does nothing."""
        self.transport.pauseProducing()
        self.assertFalse(self.transport.isReading)
        self.transport.resumeProducing()
        self.assertTrue(self.transport.isReading)
        self.transport.loseConnection()
        self.transport.resumeProducing()
        self.assertFalse(self.transport.isReading)

    def test_unregister(self) -> None:
        """A producer may be let go where there is none, as on a real connection."""
        self.transport.registerProducer(self.transport, True)
        self.transport.unregisterProducer()
        self.transport.unregisterProducer()
        self.assertIsNone(self.transport.producer)

    def test_options(self) -> None:
        """Its options are off until they are set."""
        self.assertFalse(self.transport.getTcpNoDelay() or self.transport.getTcpKeepAlive())
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self.assertTrue(self.transport.getTcpNoDelay() and self.transport.getTcpKeepAlive())


class MemoryServicesTests(SynchronousTestCase):
    """L{MemoryGate} and L{MemoryDirectory}."""

    def test_gate(self) -> None:
        """A gate notes its questions, and answers them as told, or with a yes."""
        gate = MemoryGate()
        verifyObject(IGate, gate)
        slow: Deferred[bytes] = Deferred()
        gate.answers = [slow]
        self.assertIs(gate.login(b"alice", b"secret", 7), slow)
        self.assertEqual(self.successResultOf(gate.login(b"bob", b"secret", 9)), b"1")
        self.assertIsNone(self.successResultOf(gate.kick(b"bob", b"1")))
        self.assertEqual(
            gate.asked,
            [
                ("login", b"alice", b"secret"),
                ("login", b"bob", b"secret"),
                ("kick", b"bob", b"1"),
            ],
        )
        self.assertEqual(gate.epochs, [7, 9])

    def test_gateState(self) -> None:
        """A gate notes what becomes of it, and tells how many logins it has made."""
        gate = MemoryGate()
        self.assertEqual((gate.isDraining, gate.isReplaced), (None, False))
        self.successResultOf(gate.login(b"alice", b"secret", 1))
        self.assertEqual(self.successResultOf(gate.load()), GateLoad(logins=1))
        for isDraining in (True, False):
            self.assertIsNone(self.successResultOf(gate.setDraining(isDraining)))
            self.assertIs(gate.isDraining, isDraining)
        gate.replaced()
        self.assertTrue(gate.isReplaced)

    def test_gateAnswers(self) -> None:
        """Every question that has an answer is answered as told."""
        gate = MemoryGate()
        answers: list[Deferred[Any]] = [Deferred() for _ in range(4)]
        gate.answers = list(answers)
        given: list[Deferred[Any]] = [
            gate.load(),
            gate.setDraining(True),
            gate.kick(b"alice", b"1"),
            gate.login(b"alice", b"secret", 1),
        ]
        for one, other in zip(given, answers, strict=True):
            self.assertIs(one, other)

    def test_directory(self) -> None:
        """A directory notes what it is told, and answers with what has been superseded."""
        directory, gate = MemoryDirectory(), MemoryGate()
        verifyObject(ILoginDirectory, directory)
        login, superseded = LoginRecord(b"bob", b"2", 2), [LoginRecord(b"alice", b"1", 1)]
        directory.superseded = superseded
        registration = Registration(b"sample", logins=(login,))
        registered = directory.register(gate, lambda: registration)
        self.assertEqual(self.successResultOf(registered), superseded)
        self.assertEqual(self.successResultOf(directory.adopt(gate, [login])), superseded)
        self.successResultOf(directory.draining(gate, True))
        self.successResultOf(directory.loggedOut(gate, b"bob", b"2"))
        self.successResultOf(directory.unregister(gate))
        self.assertEqual(directory.registrations, [registration])
        self.assertEqual((directory.adopted, directory.drained), ([login], [True]))
        self.assertEqual((directory.ended, directory.unregistered), ([(b"bob", b"2")], [gate]))
