"""L{msgserver.directsend}: what is not plain TCP is written to as ever."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import StringTransport, StringTransportWithDisconnection
from twisted.internet.unix import Server as UNIXServer
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from msgserver.directsend import isPlainTCP, writerFor
from msgserver.testing import MemoryTransport
from tests.lines import Line, Writer
from tests.simulation.network import Reactor


class TransportTests(SynchronousTestCase):
    """What is plain TCP, and what is not."""

    def assertFallsBack(self, transport: Any) -> None:
        """Have a transport written to, and asked to say when the peer does not read."""
        self.assertFalse(isPlainTCP(transport), transport)
        calls: list[object] = []
        self.patch(transport, "write", lambda data: calls.append(data))
        self.patch(
            transport,
            "registerProducer",
            lambda producer, streaming: calls.append((producer, streaming)),
        )
        writer = Writer()
        write = writerFor(transport, writer)
        write(b"answer")
        self.assertEqual(calls, [(writer, True), b"answer"])

    def test_plain(self) -> None:
        """Plain TCP is another matter, unless that is not wanted."""
        line = Line(Writer(), Reactor())
        self.assertTrue(isPlainTCP(line.transport))
        writer = Writer()
        write = writerFor(line.transport, writer, isDirect=False)
        self.assertIs(line.transport.producer, writer)
        self.assertTrue(line.transport.streamingProducer)
        write(b"answer")
        self.assertEqual((line.down.data, line.waiting), (b"", 6))
        line.turn()
        self.assertEqual(line.taken(), b"answer")

    def test_inMemory(self) -> None:
        """Those of tests."""
        for transport in (
            MemoryTransport(),
            StringTransport(),
            StringTransportWithDisconnection(),
        ):
            self.assertFallsBack(transport)

    def test_wrapped(self) -> None:
        """What stands between a protocol and its connection: policies and PROXY headers."""
        inner = Factory.forProtocol(Writer)
        for factory in (WrappingFactory(inner), HAProxyWrappingFactory(inner)):
            wrapper = factory.buildProtocol(None)
            assert isinstance(wrapper, ProtocolWrapper)
            Line(wrapper, Reactor())
            self.assertTrue(isPlainTCP(wrapper.transport))
            self.assertFallsBack(wrapper)

    def test_tls(self) -> None:
        """TLS as an endpoint wraps it, and TLS that began within the connection."""
        options = CertificateOptions()
        factory = TLSMemoryBIOFactory(options, True, Factory.forProtocol(Writer))
        wrapper = factory.buildProtocol(None)
        line = Line(wrapper, Reactor())
        self.assertFallsBack(wrapper)
        line.transport.TLS = True
        self.assertFallsBack(line.transport)

    def test_unix(self) -> None:
        """A UNIX socket's connection, though it is one of TCP's by its classes."""
        server, client = socket.socketpair()
        self.addCleanup(client.close)
        self.addCleanup(server.close)
        self.assertFallsBack(UNIXServer(server, Writer(), "", None, 1, Reactor()))

    def test_ofOtherReactors(self) -> None:
        """Those of reactors with connections of their own kind, which share no class."""

        class Completion(MemoryTransport):
            """One with a handle that is no socket to send with."""

            def getHandle(self) -> object:
                """Give something else."""
                return object()

        self.assertFallsBack(Completion())
