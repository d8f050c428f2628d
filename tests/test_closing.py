"""Connections are closed so that what was written to them arrives (B5)."""

from __future__ import annotations

from twisted.internet.defer import succeed
from twisted.internet.interfaces import ISSLTransport, ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from msgserver.closing import closeDelivering
from msgserver.interfaces import Admission
from msgserver.loginprotocol import LoginFactory, LoginLimits
from msgserver.testing import MemoryTransport
from msgserver.wire.classic import ClassicSuite
from tests.test_loginprotocol import CLIENT_LINES, MemoryLogins


@implementer(ITCPTransport, ISSLTransport)
class TLSTransport(MemoryTransport):
    """A connection with TLS: it knows no half-close, and once told to close takes no more."""

    def getPeerCertificate(self) -> None:
        """Give none: the client has shown none."""

    def write(self, data: bytes) -> None:
        """Write, unless it was told to close."""
        if not self.disconnecting:
            super().write(data)


class CloseTests(SynchronousTestCase):
    """L{closeDelivering}, by the kind of transport."""

    def test_tcp(self) -> None:
        """Of a TCP connection the sending side alone is closed."""
        transport = MemoryTransport()
        closeDelivering(transport)
        self.assertEqual((transport.writeClosed, transport.disconnecting), (True, False))

    def test_tls(self) -> None:
        """TLS says by itself that this was all; its connection is closed as a whole."""
        transport = TLSTransport()
        closeDelivering(transport)
        self.assertEqual((transport.writeClosed, transport.disconnecting), (False, True))

    def test_other(self) -> None:
        """So is a transport that is none of TCP's."""
        transport = StringTransport()
        closeDelivering(transport)
        self.assertTrue(transport.disconnecting)


class VerdictTests(SynchronousTestCase):
    """The login server's last line, on a transport that takes nothing after its close."""

    def test_admitted(self) -> None:
        """B5: it is written before the close is asked for."""
        logins = MemoryLogins()
        logins.answer = succeed(Admission(b"1", None))
        random = [bytes.fromhex("3ed8648261027442"), bytes.fromhex("5e96acc95cb8480c")]
        factory = LoginFactory(
            logins, Clock(), [ClassicSuite()], LoginLimits(), lambda size: random.pop(0)
        )
        transport = TLSTransport()
        protocol = factory.buildProtocol(None)
        transport.connect(protocol)
        protocol.dataReceived(CLIENT_LINES)
        self.assertEqual(transport.take().splitlines()[-1:], [b"200 MQ=="])
        self.assertTrue(transport.disconnecting)
        transport.lose()
