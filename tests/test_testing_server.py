"""
Tests for L{msgserver.testing.MemoryServer}: its clients, and their logins.
"""

from __future__ import annotations

from zope.interface import implementer

from msgserver import Account, ILoginHandler, RequestFailed, Unauthorized
from msgserver.client import MsgClient
from msgserver.errors import Forbidden, OutcomeUnknown, RequestTimedOut
from msgserver.testing import MemoryServer
from msgserver.testing.server import RETRY
from tests.servers import ServerCase, Teller


class ClientTests(ServerCase):
    """Clients, and the requests that they ask."""

    def test_connected(self) -> None:
        """A client is logged in and connected when one has it."""
        self.assertIsInstance(self.alice, MsgClient)
        self.assertTrue(self.alice.isConnected)
        (user,) = self.server.users()
        self.assertEqual((user.uid, user.server), (b"alice", b"sample"))
        self.assertEqual(self.handler.happened, [("loginReceived", b"alice")])

    def test_request(self) -> None:
        """What is asked is answered by the handler."""
        self.assertEqual(self.server.result(self.alice.request(b"")), b"1")
        self.assertEqual(self.server.result(self.alice.request(b"")), b"2")

    def test_failed(self) -> None:
        """What the handler fails with arrives as it does elsewhere (S4)."""
        no = self.alice.request(b"no fish")
        failed = self.assertRaises(RequestFailed, self.server.result, no)
        self.assertEqual(failed.content, b"fish")

    def test_bug(self) -> None:
        """A bug of the handler's is a failed request, and found both by trial and by others."""
        self.assertRaises(RequestFailed, self.server.result, self.alice.request(b"bug"))
        (failure,) = self.server.errors
        self.assertIsInstance(failure.value, ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_errorsOfOthers(self) -> None:
        """A server that has stopped takes no note of what is logged later."""
        self.server.stop()
        with MemoryServer(Teller()) as other:
            bug = other.client(b"bob").request(b"bug")
            self.assertRaises(RequestFailed, other.result, bug)
        self.assertEqual(self.server.errors, [])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_large(self) -> None:
        """Many large requests and answers pass."""
        asked = [self.alice.request(b"no " + bytes([number]) * 65_000) for number in range(100)]
        for number, answer in enumerate(asked):
            failed = self.assertRaises(RequestFailed, self.server.result, answer)
            self.assertEqual(failed.content, bytes([number]) * 65_000)

    def test_options(self) -> None:
        """What a client takes can be given to it."""
        bob = self.server.client(b"bob", requestTimeout=2.0)
        late = bob.request(b"later 3")
        self.assertRaises(RequestTimedOut, self.server.result, late)
        self.assertEqual(self.clock.seconds(), 2.0)

    def test_addresses(self) -> None:
        """Each client has an address of its own, which the handler can ask for."""
        self.server.client(b"bob")
        addresses = {self.handler.gate.ip(user) for user in self.server.users()}
        self.assertEqual(addresses, {"10.0.0.1", "10.0.0.2"})

    def test_servername(self) -> None:
        """The gate may have another name."""
        with MemoryServer(Teller(), servername=b"elsewhere") as server:
            server.client(b"alice")
            self.assertEqual([user.server for user in server.users()], [b"elsewhere"])

    def test_sameEachTime(self) -> None:
        """Nothing is random: of two servers, logins have the same names."""
        with MemoryServer(Teller()) as server:
            server.client(b"alice")
            self.assertEqual(server.users(), self.server.users())


@implementer(ILoginHandler)
class Tickets:
    """Admits who has a ticket."""

    def authenticate(self, token: bytes) -> Account:
        if token != b"ticket":
            raise Unauthorized("no ticket")
        return Account(b"sample", b"alice")


class Full(Teller):
    """Lets nobody in."""

    asked = 0

    def loginReceived(self, uid: bytes, secret: bytes) -> None:
        self.asked += 1
        raise Forbidden("full")


class LoginTests(ServerCase):
    """Logins, and how they end."""

    def test_token(self) -> None:
        """The user's login handler is asked, by the real conversation."""
        with MemoryServer(Teller(), loginHandler=Tickets()) as server:
            client = server.client(b"alice", token=b"ticket")
            self.assertTrue(client.isConnected)
            self.assertEqual([user.uid for user in server.users()], [b"alice"])

    def test_refused(self) -> None:
        """A token that proves nothing ends the client."""
        with MemoryServer(Teller(), loginHandler=Tickets()) as server:
            client = server.client(b"alice", token=b"none")
            self.assertFalse(client.isConnected)
            self.assertRaises(Unauthorized, server.result, client.request(b""))

    def test_forbidden(self) -> None:
        """A client that is not let in tries again, each second and not more often."""
        handler = Full()
        with MemoryServer(handler) as server:
            client = server.client(b"alice")
            self.assertEqual((handler.asked, client.isConnected), (1, False))
            server.advance(3 * RETRY)
            self.assertEqual(handler.asked, 4)
            self.assertRaises(Forbidden, server.result, client.whenConnected(1))

    def test_kick(self) -> None:
        """A kick is told to the handler and ends the login; the client logs in anew."""
        self.assertIsNone(self.server.result(self.server.kick(b"alice")))
        self.assertEqual(
            [what for what, _ in self.handler.happened], ["loginReceived", "kicked", "loggedOut"]
        )
        self.assertEqual((self.server.users(), self.alice.isConnected), ([], False))
        self.server.advance(RETRY)
        self.assertTrue(self.alice.isConnected)
        self.assertEqual(self.handler.happened[3:], [("loginReceived", b"alice")])

    def test_logout(self) -> None:
        """A logout ends the login, and what was running has an unknown outcome (U5)."""
        running = self.alice.request(b"later 60")
        self.server.settle()
        self.assertIsNone(self.server.result(self.server.logout(b"alice")))
        self.assertEqual(self.server.users(), [])
        self.assertRaises(OutcomeUnknown, self.server.result, running)

    def test_logoutByHandler(self) -> None:
        """The answer of a request that ends its own login arrives (U2)."""
        self.assertEqual(self.server.result(self.alice.request(b"bye")), b"bye")
        self.assertEqual(self.handler.happened[-1], ("loggedOut", b"alice"))

    def test_nobody(self) -> None:
        """Who is not logged in can be kicked and logged out; nothing happens."""
        self.assertIsNone(self.server.result(self.server.kick(b"bob")))
        self.assertIsNone(self.server.result(self.server.logout(b"bob")))
        self.assertTrue(self.alice.isConnected)

    def test_secondLogin(self) -> None:
        """A second login of a user kicks the first; they do not take turns in one moment."""
        second = self.server.client(b"alice")
        self.assertTrue(second.isConnected)
        self.assertFalse(self.alice.isConnected)
        self.server.advance(RETRY)
        self.assertEqual((second.isConnected, self.alice.isConnected), (False, True))

    def test_multilogin(self) -> None:
        """Unless a user may be logged in several times."""
        with MemoryServer(Teller(), multilogin=True) as server:
            clients = [server.client(b"alice") for _ in range(2)]
            self.assertTrue(all(client.isConnected for client in clients))
            self.server.result(server.kick(b"alice"))
            self.assertEqual(server.users(), [])
