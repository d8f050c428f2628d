"""
Tests for L{msgserver.testing.MemoryServer}: its limits, by their names in a config.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from msgserver import Account, ILoginHandler
from msgserver.errors import Forbidden, OutcomeUnknown
from msgserver.testing import MemoryServer
from tests.servers import Teller


class Hanging(Teller):
    """Does not say whether it lets anybody in."""

    def loginReceived(self, uid: bytes, secret: bytes) -> Any:
        return Deferred()


@implementer(ILoginHandler)
class Silent:
    """Does not say what a token proves."""

    def authenticate(self, token: bytes) -> Deferred[Account]:
        return Deferred()


class LimitTests(SynchronousTestCase):
    """The limits, by the names in a config file."""

    def test_away(self) -> None:
        """A limit holds: who is away for that long is logged out (U2)."""
        handler = Teller()
        with MemoryServer(handler, away_timeout=5) as server:
            server.offline(server.client(b"alice"))
            server.advance(4.9)
            self.assertEqual(handler.happened[-1], ("disconnected", b"alice"))
            server.advance(0.2)
            self.assertEqual(handler.happened[-1], ("loggedOut", b"alice"))

    def test_increasing(self) -> None:
        """One that is no number holds: a past session that is not known ends the login (S7)."""
        handler = Teller()
        with MemoryServer(handler, sessions="increasing", expired_number=1) as server:
            client = server.client(b"alice")
            asked = [client.request(b"") for _ in range(8)]
            server.cutAfter(client, receivedBytes=0)
            for each in asked:
                self.assertRaises(OutcomeUnknown, server.result, each)
            self.assertIn(("loggedOut", b"alice"), handler.happened)

    def test_maxRunning(self) -> None:
        """One that holds for a login's requests does (B2)."""
        clock = Clock()
        handler = Teller(clock)
        with MemoryServer(handler, clock=clock, max_running=2) as server:
            client = server.client(b"alice")
            asked = [client.request(b"later 1") for _ in range(3)]
            server.settle()
            self.assertEqual(len(handler.requests), 2)
            # What is not read is not delivered.
            delivered = server.network.delivered[-1]
            asked.append(client.request(b"later 1"))
            server.settle()
            self.assertEqual(server.network.delivered[-1], delivered)
            self.assertEqual([server.result(each) for each in asked], [b"late"] * 4)
            self.assertEqual(clock.seconds(), 2.0)

    def test_addresses(self) -> None:
        """No limit of an address holds unless C{unlimited} says for whom it does not."""
        limits: dict[str, Any] = {"address_rate": 0.1, "address_burst": 1}
        cases = (limits, True), (limits | {"unlimited": ["192.0.2.0/24"]}, False)
        for given, isConnected in cases:
            with MemoryServer(Teller(), **given) as server:
                client = server.client(b"alice")
                server.cut(client)
                server.settle()
                self.assertEqual(client.isConnected, isConnected)

    def test_gateTimeout(self) -> None:
        """The gate's part of a login has the time that C{gate_timeout} says."""
        with MemoryServer(Hanging(), gate_timeout=2) as server:
            connected = server.client(b"alice").whenConnected(1)
            self.assertRaises(Forbidden, server.result, connected)
            self.assertEqual(server.clock.seconds(), 2.0)

    def test_loginTimeout(self) -> None:
        """And the whole of it, C{login_timeout}."""
        with MemoryServer(Teller(), loginHandler=Silent(), login_timeout=3) as server:
            connected = server.client(b"alice").whenConnected(1)
            self.assertRaises(ConnectionLost, server.result, connected)
            self.assertEqual(server.clock.seconds(), 3.0)

    def test_unknown(self) -> None:
        """A limit that there is not is told, with those that there are."""
        error = self.assertRaises(TypeError, MemoryServer, Teller(), expired_numbr=1)
        self.assertIn("no limit 'expired_numbr', only 'expired_number'. There are:", str(error))
        for key in ("kick_timeout", "max_running", "sessions", "multilogin", "unlimited"):
            self.assertIn(f" {key},", f"{error},")
        for key in ("listen", "xyz", "kickTimeout", "servername2", "processes"):
            self.assertRaises(TypeError, MemoryServer, Teller(), **{key: 1})

    def test_wrong(self) -> None:
        """A value is checked as in a config file."""
        for key, value, why in (
            ("expired_number", 0, "expired_number must be a whole number from 1 to 65536, not 0"),
            ("kick_timeout", "3", "kick_timeout must be a number above 0"),
            ("sessions", "growing", "sessions must be"),
        ):
            limits: Any = {key: value}
            error = self.assertRaises(ValueError, MemoryServer, Teller(), **limits)
            self.assertIn(why, str(error))
