"""
What strangers may do at the gate: each limit, what is counted and logged of it, and that users
are served meanwhile (B1, B3, B4, H3). What each does exactly is tested in L{test_limits}.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, capturedLogs

from msgserver.interfaces import (
    User,
)
from msgserver.msgprotocol import GateLimits
from msgserver.proxied import ProxiedFactory
from msgserver.wire.gate import GateClient, requestPacket
from tests.callers import PROXY, UNNAMED, header
from tests.gates import ONE, SECRET, Client, GateCase


class GateStrangerTests(GateCase):
    """Strangers at the gate."""

    gateLimits = GateLimits(
        maxclient=6, maxStrangers=3, addressMaxclient=3, addressRate=1, addressBurst=4
    )

    def hello(self, user: User, index: int = 1) -> bytes:
        """Write a handshake."""
        return GateClient(user, SECRET, index).hello

    def test_flood(self) -> None:
        """A flood of silent connections keeps nobody out, and disconnects nobody."""
        user = self.login()
        live = Client(self.factory, "192.0.2.99")
        live.send(self.hello(user))
        flood = [Client(self.factory, f"203.0.113.{number}") for number in range(3)]
        for number in range(20):
            other = self.login(b"%d" % number)
            client = Client(self.factory, f"192.0.2.{number}")
            client.send(self.hello(other) + requestPacket(ONE, b"hello"))
            self.assertEqual(client.heard()[1:], [b"hello\1" + ONE])
            client.lose()
            oldest = flood.pop(0)
            self.assertTrue(oldest.isAborted)
            oldest.lose()
            flood.append(Client(self.factory, f"198.51.100.{number}"))
        live.ask(ONE, b"still here")
        self.assertEqual(live.heard()[1:], [b"still here\1" + ONE])
        self.assertEqual(self.factory.limits.hits, {"max_strangers": 20})
        self.clock.advance(10)
        for each in flood:
            each.lose()
        self.assertEqual(self.factory.limits.hits["handshake_timeout"], 3)
        self.assertEqual(self.factory.handshakes, {"200": 21, "limit": 20, "timeout": 3})

    def test_addressMaxclient(self) -> None:
        """Three connections of an address, shaken hands or not."""
        for index in range(3):
            Client(self.factory).send(self.hello(self.login(b"%d" % index)))
        refused = Client(self.factory)
        self.assertTrue(refused.isAborted)
        refused.send(self.hello(self.login(b"more")))
        self.assertEqual(refused.heard(), [])
        other = Client(self.factory, "192.0.2.2")
        other.send(self.hello(self.login(b"other")))
        self.assertEqual(other.heard(), [b"200 OK"])
        self.assertEqual(self.factory.limits.hits, {"address_maxclient": 1})

    def test_addressRate(self) -> None:
        """Four in a row of an address, then one a second."""
        for _ in range(4):
            Client(self.factory).lose()
        refused = Client(self.factory)
        self.assertTrue(refused.isAborted)
        refused.lose()
        self.clock.advance(1)
        self.assertFalse(Client(self.factory).isAborted)
        self.assertEqual(self.factory.limits.hits, {"address_rate": 1})
        self.assertEqual(self.factory.handshakes, {"lost": 4, "limit": 1})

    def test_ip(self) -> None:
        """An IPv4 address within IPv6 is told as what it is."""
        for host, told in (("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8::7", "2001:db8::7")):
            user = self.login(host.encode())
            Client(self.factory, host).send(self.hello(user))
            self.assertEqual(self.handler.gate.ip(user), told)

    def test_refusals(self) -> None:
        """A refused handshake is one line, with its status, its reason and the address."""
        user = self.login()
        hellos = {
            "400": b"\0\3abc",
            "404": self.hello(User(b"nobody", b"1", b"sample")),
            "401": GateClient(user, bytes(8), 1).hello,
            "403": self.hello(user, 0),
        }
        for number, (status, hello) in enumerate(hellos.items()):
            client = Client(self.factory, f"192.0.2.{number}")
            with capturedLogs() as events:
                client.send(hello)
            (event,) = (each for each in events if each["log_level"] is LogLevel.info)
            told = event["event"], event["status"], event["peer"]
            self.assertEqual(told, ("handshake_refusal", status, f"192.0.2.{number}"))
            self.assertTrue(event["reason"])
            client.lose()
        self.assertEqual(self.factory.handshakes, dict.fromkeys(hellos, 1))

    def test_maxPacket(self) -> None:
        """B4: a packet that is too long is counted, once."""
        self.factory = type(self.factory)(self.service, self.clock, GateLimits(maxPacket=200))
        client = Client(self.factory)
        client.send(b"\0\xc9")
        client.send(b"\0\xc9")
        client.lose()
        self.assertEqual(self.factory.limits.hits, {"max_packet": 1})
        self.assertEqual(self.factory.handshakes, {"malformed": 1})

    def test_stall(self) -> None:
        """B3: an answer that nobody reads is counted; it is no handshake's end."""
        client = Client(self.factory)
        client.send(self.hello(self.login()))
        client.protocol.pauseProducing()
        self.clock.advance(30)
        self.assertTrue(client.isAborted)
        client.lose()
        self.assertEqual(self.factory.limits.hits, {"stall_timeout": 1})
        self.assertEqual(self.factory.handshakes, {"200": 1})

    def test_notTooManyLines(self) -> None:
        """Strangers cause so many lines and no more."""
        with capturedLogs() as events:
            for number in range(1000):
                client = Client(self.factory, f"203.0.{number % 250}.{number // 250}")
                client.send(b"\0\3abc")
                client.lose()
        lines = [each for each in events if each["log_level"] is not LogLevel.debug]
        self.assertLess(len(lines), 100)
        self.assertEqual(self.factory.handshakes["400"], 1000)
        self.factory.strangers.flush()

    def test_proxied(self) -> None:
        """Behind a proxy it is whose the proxy says it is, known with the first bytes."""
        inner = self.factory.at(isProxied=True)
        proxied: Any = ProxiedFactory(inner)
        user = self.login()
        client = Client(proxied, PROXY)
        client.send(header("192.0.2.7") + self.hello(user))
        self.assertEqual(client.heard(), [b"200 OK"])
        self.assertEqual(self.handler.gate.ip(user), "192.0.2.7")
        for _ in range(3):
            Client(proxied, PROXY).send(header("192.0.2.7") + b"\0")
        refused = Client(proxied, PROXY)
        self.assertFalse(refused.isAborted)
        refused.send(header("192.0.2.7") + self.hello(user, 2))
        self.assertTrue(refused.isAborted)
        self.assertEqual(refused.heard(), [])
        self.assertFalse(client.isAborted)
        self.assertEqual(sum(self.factory.limits.hits.values()) >= 1, True)

    def test_proxyItself(self) -> None:
        """A proxy that names nobody, as at a check of health, has no limit of an address."""
        inner = self.factory.at(isProxied=True)
        proxied: Any = ProxiedFactory(inner)
        for number in range(20):
            user = self.login(b"%d" % number)
            client = Client(proxied, PROXY)
            client.send(UNNAMED + self.hello(user))
            self.assertEqual(client.heard(), [b"200 OK"])
            client.lose()
