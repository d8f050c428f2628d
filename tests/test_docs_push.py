"""
The shop of docs/push.md and its customers do what the page says, and its limits are ours.
"""

from __future__ import annotations

import re
from inspect import getmembers, isfunction, signature
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from msgserver import RequestFailed
from msgserver.errors import ClientClosed, MessageTooLong
from msgserver.handlers import Mailbox
from msgserver.testing import MemoryServer
from msgserver.wire.messages import MAX_MESSAGE, Inbox, Outbox, frame, parsePoll
from tests.pages import PageTestCase, blocks, read, tables


class PushTests(PageTestCase):
    """The page, from its top to its end."""

    page = "docs/push.md"
    proved = {
        "ShopHandler": "test_shop",
        "listen": "test_listen",
        "wantPrices": "test_wantPrices",
        "tryPrices": "test_tryPrices",
    }

    def test_all(self) -> None:
        """Everything that is defined is used here."""
        self.proveAll()

    def open(self) -> tuple[MemoryServer, Any]:
        """Open the shop."""
        clock = Clock()
        shop = self.shown["ShopHandler"](clock)
        server = MemoryServer(shop, clock=clock)
        self.addCleanup(server.stop)
        return server, shop

    def test_shop(self) -> None:
        """Who has asked is told prices until logging out; a login that is gone leaves no poll."""
        server, shop = self.open()
        alice, bob = (server.client(name) for name in (b"alice", b"bob"))
        heard: dict[bytes, list[bytes]] = {b"alice": [], b"bob": []}
        for client, name in ((alice, b"alice"), (bob, b"bob")):
            ensureDeferred(self.shown["listen"](client, heard[name].append)).addErrback(str)
        self.assertEqual(server.result(alice.request(b"tell me prices")), b"we will")
        self.assertRaises(RequestFailed, server.result, alice.request(b"hello"))
        shop.setPrice(b"tea", 3)
        server.settle()
        self.assertEqual(heard, {b"alice": [b"tea costs 3"], b"bob": []})
        for client, name in ((alice, b"alice"), (bob, b"bob")):
            server.result(client.close())
            server.result(server.logout(name))
        self.assertEqual(server.service.current.running, 0)

    def test_listen(self) -> None:
        """The loop tells what is missed, goes on behind it, and ends with the client."""
        server, shop = self.open()
        alice = server.client(b"alice")
        heard: list[bytes] = []
        listening = ensureDeferred(self.shown["listen"](alice, heard.append))
        server.settle()
        server.offline(alice)
        server.settle()
        for number in range(1026):
            shop.mailbox.push(b"alice", b"%d" % number)
        server.online(alice)
        server.advance(5)
        self.assertEqual((len(heard), heard[:2]), (1025, [b"(2 more)", b"2"]))
        shop.mailbox.forget(b"alice")
        shop.mailbox.push(b"alice", b"new")
        server.settle()
        self.assertEqual(heard[-2:], [b"(perhaps there was more)", b"new"])
        server.result(alice.close())
        self.failureResultOf(listening, ClientClosed)

    def test_wantPrices(self) -> None:
        """Who asks under each login is told prices under the next, too."""
        server, shop = self.open()
        alice = server.client(b"alice")
        self.shown["wantPrices"](alice)
        heard: list[bytes] = []
        ensureDeferred(self.shown["listen"](alice, heard.append)).addErrback(str)
        for price in (3, 4):
            server.result(server.logout(b"alice"))
            server.advance(5)
            shop.setPrice(b"tea", price)
            server.settle()
        self.assertEqual(heard, [b"tea costs 3", b"tea costs 4"])

    def test_tryPrices(self) -> None:
        """The page's own test gives what the page says."""
        said = re.search(r"`tryPrices\(\)` gives `(.*?)`", read(self.page), re.DOTALL)
        assert said is not None
        self.assertEqual(repr(self.shown["tryPrices"]()).replace("'", '"'), said[1])

    def test_twoLoops(self) -> None:
        """Of two loops the one that asks last has the messages; the other ends."""
        server, shop = self.open()
        alice = server.client(b"alice")
        heard: list[bytes] = []
        loops = []
        for _ in range(2):
            loops.append(ensureDeferred(self.shown["listen"](alice, heard.append)))
            server.settle()
        shop.mailbox.push(b"alice", b"one")
        server.settle()
        self.assertEqual(heard, [b"one"])
        self.failureResultOf(loops[0], RequestFailed)
        self.assertNoResult(loops[1])
        server.result(alice.close())
        self.failureResultOf(loops[1], ClientClosed)

    def test_methods(self) -> None:
        """The table of methods has all that there are."""
        told = [
            re.sub(r"`(.*)`", r"\1", row[0]) for row in tables(self.page, "## The server's half")
        ]
        there = [
            f"{name}({', '.join(list(signature(method).parameters)[1:])})"
            for name, method in getmembers(Mailbox, isfunction)
            if not name.startswith("_")
        ]
        self.assertEqual(sorted(told), sorted(there))
        self.assertEqual(MAX_MESSAGE, 65_512)
        self.assertRaises(MessageTooLong, Mailbox(Clock()).push, b"alice", bytes(65_513))

    def test_limits(self) -> None:
        """The table of limits has all that there are, and their defaults."""
        told = {row[0].strip("`"): float(row[1]) for row in tables(self.page, "## Limits")}
        parameters = signature(Mailbox).parameters.values()
        there = {
            each.name: float(each.default)
            for each in parameters
            if each.name not in ("clock", "randomBytes")
        }
        self.assertEqual(told, there)
        self.assertRaises(ValueError, Mailbox, Clock(), maxBytes=65_513)
        Mailbox(Clock(), maxBytes=65_514)

    def test_wire(self) -> None:
        """The dialogue is what the two ends say."""
        inbox, outbox = Inbox(), Outbox(b"\x01" * 8, 1024, 1 << 20)
        lines = []
        for turn in range(3):
            poll = inbox.poll()
            lines.append(("client", poll))
            if turn == 1:
                outbox.push(frame(b"hi"))
                outbox.push(frame(b"you"))
            answer = outbox.answer(parsePoll(poll))
            if answer is not None:
                lines.append(("server", answer))
                inbox.take(answer)
        (block,) = (block for block in blocks(self.page) if block.language == "text")
        shown = [line.split(" -> ") for line in block.code.splitlines()]
        self.assertEqual([(who, _bytes(what)) for who, what in shown], lines)


def _bytes(shown: str) -> bytes:
    """Read hexadecimal digits and quoted text; what a box is called is 8 times 1."""
    shown = shown.replace("######## ########", "01" * 8)
    return b"".join(
        part[1:-1].encode() if part[0] == '"' else bytes.fromhex(part) for part in shown.split()
    )
