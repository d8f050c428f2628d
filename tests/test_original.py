"""
What the original's own code gets wrong, reproduced against it: one test for each fault.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from msgserver.interfaces import Account, ILoginHandler
from msgserver.loginprotocol import LoginFactory, LoginLimits
from msgserver.loginservice import LoginService
from msgserver.msgprotocol import GateLimits
from msgserver.testing import MemoryTransport
from msgserver.wire.classic import ClassicSuite, handshakeMac
from msgserver.wire.framing import packet
from msgserver.wire.gate import requestPacket
from msgserver.wire.login import LoginClient
from msgserver.wire.naming import encode64
from tests.gates import ONE, SECRET, TWO, Client, GateCase


class GateFaults(GateCase):
    gateLimits = GateLimits(maxclient=8)

    def test_tooLongReply(self) -> None:
        """A reply over 65,530 bytes left its session running for ever."""
        user = self.login()
        client = self.connect(user, 1)
        client.ask(ONE, b"big:65531")
        self.assertEqual(client.heard(), [b"\x00" + ONE])
        client.ask(ONE, b"again")
        self.assertEqual(client.heard(), [b"again\x01" + ONE])
        client.lose()
        again = self.connect(user, 2)
        again.ask(ONE, b"?")
        self.assertEqual(again.heard(), [b"again\x01" + ONE])

    def test_twoLiveConnections(self) -> None:
        """The old connection stayed live, and its close cut the new one off from logout."""
        user = self.login()
        old = self.connect(user, 1)
        new = self.connect(user, 2)
        old.ask(ONE, b"heard?")
        self.assertEqual(self.handler.requests, [])
        old.lose()
        self.handler.gate.logout(user)
        self.turn()
        self.assertTrue(new.isClosed)

    def test_disconnectHandlerRaises(self) -> None:
        """A disconnect handler that raised leaked the descriptor, and so its place."""
        self.handler.answers["disconnected"] = ZeroDivisionError()
        user = self.login()
        for index in range(1, 20):
            self.connect(user, index).lose()
        self.assertEqual(len(self.factory.limits), 0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 19)

    def test_idleStrangers(self) -> None:
        """Idle strangers held every place."""
        user = self.login()
        strangers = [Client(self.factory) for _ in range(8)]
        self.assertTrue(Client(self.factory).isAborted)
        self.clock.advance(10)
        for stranger in strangers:
            self.assertTrue(stranger.isAborted)
            stranger.lose()
        self.connect(user)

    def test_maxclient(self) -> None:
        """maxclient = 8 admitted 7."""
        clients = [Client(self.factory) for _ in range(9)]
        self.assertEqual([client.isAborted for client in clients], [False] * 8 + [True])

    def test_infiniteIndex(self) -> None:
        """An index of 1e999 locked the user out."""
        user = self.login()
        for index in (b"1e999", b"inf", b"0x7f", b"9223372036854775808"):
            text = user.username + b":" + index
            stranger = Client(self.factory)
            stranger.send(packet(text + b":" + encode64(handshakeMac(text, SECRET))))
            self.assertEqual(stranger.heard(), [b"400 Bad Request"])
            stranger.lose()
        self.connect(user, 1)

    def test_repeatedRunningRequest(self) -> None:
        """A repeated running request lost its answer and the connection."""
        client = self.connect(self.login())
        client.send(requestPacket(ONE, b"later:first") + requestPacket(ONE, b"later:second"))
        self.fulfil(b"first", b"dropped")
        self.fulfil(b"second", b"sent")
        client.ask(TWO, b"hello")
        self.assertEqual(client.heard(), [b"sent\x01" + ONE, b"hello\x01" + TWO])

    def test_lateLogout(self) -> None:
        """A late logout of the old login erased the new one."""
        logins = LoginService(Accept(), self.clock)
        self.service._directory = logins
        self.service.startService()
        old = self.successResultOf(logins.login(b"alice", SECRET, "192.0.2.1")).subid
        new = self.successResultOf(logins.login(b"alice", SECRET, "192.0.2.1")).subid
        logins.loggedOut(self.service, b"alice", old)
        self.successResultOf(logins.login(b"alice", SECRET, "192.0.2.1"))
        self.assertEqual(
            [user.subid for _, user in self.called("kicked")],  # type: ignore[attr-defined]  # a User
            [old, new],
        )

    def test_restartedLoginServer(self) -> None:
        """Gates registered once, so that a restarted login server knew none of them."""
        user = self.login()
        restarted = LoginService(Accept(), self.clock)
        self.service._directory = restarted
        self.service.startService()
        self.successResultOf(restarted.login(b"alice", SECRET, "192.0.2.1"))
        self.assertEqual(self.called("kicked"), [("kicked", user)])


@implementer(ILoginHandler)
class Accept:
    """Takes any token for the uid, and hangs for as long as C{hanging} is there."""

    hanging: Deferred[Account] | None = None

    def authenticate(self, token: bytes) -> Account | Deferred[Account]:
        return self.hanging or Account(b"sample", token)


class LoginFaults(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.handler = Accept()
        self.factory = LoginFactory(
            LoginService(self.handler, self.clock),
            self.clock,
            [ClassicSuite()],
            LoginLimits(timeout=10),
        )

    def converse(self) -> MemoryTransport:
        """Log in; what comes last is left on the transport."""
        transport = MemoryTransport()
        protocol = self.factory.buildProtocol(None)
        transport.connect(protocol)
        client = LoginClient(ClassicSuite(), b"alice", lambda size: b"\x07" * size)
        for _ in range(2):
            client.feed(transport.take())
            client.nextEvent()
            protocol.dataReceived(client.dataToSend())
        return transport

    def test_hangingHandler(self) -> None:
        """A login handler that hung locked its user out: 406 for ever."""
        self.handler.hanging = Deferred()
        hung = self.converse()
        self.clock.advance(10)
        self.assertTrue(hung.disconnected)
        hung.lose()
        self.handler.hanging = None
        # Nobody has registered a gate: 403 is as far as a login can come here.
        self.assertEqual(self.converse().take(), b"403 Forbidden\n")

    def test_connectionsAreClosed(self) -> None:
        """Login connections were never closed by the server."""
        transport = self.converse()
        self.assertEqual(transport.take(), b"403 Forbidden\n")
        self.assertTrue(transport.disconnecting or transport.writeClosed)
        self.clock.advance(10)
        self.assertTrue(transport.disconnected)

    def test_publicKeyOne(self) -> None:
        """Public key 1 was accepted, which leaves a secret of 1."""
        transport = MemoryTransport()
        protocol = self.factory.buildProtocol(None)
        transport.connect(protocol)
        transport.take()
        protocol.dataReceived(b"AQAAAAAAAAA=\n")
        self.assertEqual(transport.take(), b"401 Unauthorized\n")
