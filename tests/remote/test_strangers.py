"""
Tests for the door of the control link: what strangers get, who hold no key.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs

from msgserver.remote.door import ControlLinks
from msgserver.remote.servers import GateEnd
from msgserver.testing import MemoryGate
from tests.remote.links import SAMPLE, TIMES, ControlCase, Wire, warnings
from tests.remote.strangers import Stranger, call, listed, written

NONCE = bytes(range(32))
HERE = b"something is to stand here"


class StrangerTests(ControlCase):
    """
    Those who hold no key: whatever they do ends their own connection, with one line in the log
    and no traceback, and disturbs nobody.
    """

    maxclient = 3

    def setUp(self) -> None:
        """Let a gate in first, which must not notice anything."""
        super().setUp()
        self.link, self.desk = self.entered()
        end = GateEnd(MemoryGate(), self.link, self.clock, lambda login: None, lambda: None)
        registration = end, "192.0.2.9:8888", 1, False, (0, 0, 0)
        self.resultOf(self.link.call(self.desk, "register", *registration))

    def tearDown(self) -> None:
        """The gate has not noticed anything, and nobody else is known."""
        self.resultOf(self.link.call(self.desk, "ping"))
        self.assertEqual(len(self.factory.limits), 1)

    def connect(self) -> Wire:
        """Connect a stranger."""
        self.place.factory = self.factory
        self.resultOf(self.place.connect(Factory.forProtocol(Stranger)))
        return self.place.wire

    def assertEnded(self, sent: bytes, warning: str) -> None:
        """See what a stranger has sent end its connection, with one warning."""
        wire = self.connect()
        with capturedLogs() as events:
            wire.client.write(sent)
            self.turn()
        self.assertTrue(wire.isLost, sent)
        self.assertEqual(len(warnings(events)), 1, warnings(events))
        self.assertSubstring(warning, warnings(events)[0])
        self.assertTrue(warnings(events)[0].startswith("192.0.2.1:54321: "))

    def test_tooMuch(self) -> None:
        """The 4097th byte ends it, however they come; what came before was no nonsense."""
        for pieces in ([4097], [4096, 1], [1] * 4097, [100_000]):
            wire = self.connect()
            with capturedLogs() as events:
                # A string that is never whole.
                left = b"\x00\x40\x82" + bytes(100_000)
                for size in pieces:
                    self.assertFalse(wire.isLost)
                    self.assertEqual(warnings(events), [])
                    wire.client.write(left[:size])
                    left = left[size:]
                    self.turn()
            self.assertTrue(wire.isLost)
            self.assertEqual(warnings(events), ["192.0.2.1:54321: sends too much for a stranger"])

    def test_provedMayBeMore(self) -> None:
        """Who has proved the key may send as much as there is to say."""
        login = [bytes(5000), b"1", 10]
        self.assertEqual(self.resultOf(self.link.call(self.desk, "adopt", login)), [])
        self.assertFalse(self.place.wire.isLost)

    def test_garbage(self) -> None:
        """What is no Perspective Broker at all ends it."""
        http = b"GET / HTTP/1.1\r\nHost: login.example.org\r\nUser-Agent: a browser\r\n\r\n"
        for garbage in (http, bytes(range(256)), b"\xff", b"x" * 65, b"\x90"):
            self.assertEnded(garbage, "no Perspective Broker: ")

    def test_tooLong(self) -> None:
        """What announces more than a string or a list may hold ends it."""
        for announced in (b"\x7f\x7f\x7f\x7f\x82", b"\x7f\x7f\x7f\x7f\x80"):
            self.assertEnded(announced, "Security precaution")

    def test_nonsense(self) -> None:
        """What is Perspective Broker by its form and nonsense by what it says ends it."""
        nonsense: Any
        for nonsense in (
            5,
            [],
            [5],
            [[]],
            [b"unheard-of"],
            [b"version"],
            [b"version", 5],
            [b"answer", 1, 2],
            [b"answer", [], 2],
            [b"error", 1, 2],
            [b"decref", b"root"],
            [b"decref", 7],
            [b"decache", 7],
            [b"uncache", 7],
            [b"message"],
            [b"message", 1, b"root", 5, 1, [b"tuple"], [b"dictionary"]],
            [b"message", 1, b"root", b"\xff", 1, [b"tuple"], [b"dictionary"]],
            [b"message", 1, [], b"challenge", 1, [b"tuple"], [b"dictionary"]],
            [b"message", [], b"root", b"challenge", 1, [b"tuple", 1], [b"dictionary"]],
            [b"message", 1, b"root", b"challenge", 1, 5, [b"dictionary"]],
            [b"message", 1, b"root", b"challenge", 1, [], [b"dictionary"]],
            [b"message", 1, b"root", b"challenge", 1, [5], [b"dictionary"]],
            [b"message", 1, b"root", b"challenge", 1, [[]], [b"dictionary"]],
            [b"cachemessage", 1, 7, b"challenge", 1, [b"tuple"], [b"dictionary"]],
        ):
            self.assertEnded(written(nonsense), "no Perspective Broker: ")

    def test_types(self) -> None:
        """A stranger may send bytes, numbers and text; anything else ends it."""
        for nonsense in (
            [b"remote", 1],
            [b"remote"],
            [b"local", b"root"],
            [b"list"],
            [b"dictionary"],
            [b"reference", 1, 5],
            [b"dereference", 1],
            [b"class", b"os.system"],
            [b"module", b"os"],
            [b"function", b"os.system"],
            [b"os.system", 1],
            [b"twisted.spread.pb.CopyableFailure", [b"dictionary"]],
            [b"unicode", b"\xff"],
            [b"date", b"nonsense"],
        ):
            self.assertEnded(call(b"challenge", [b"tuple", nonsense]), "no Perspective Broker: ")

    def test_deep(self) -> None:
        """Lists in lists in lists end it, wherever they stand."""
        lists = b"\x01\x80" * 1500 + b"\x00\x80"
        tuples = (b"\x02\x80" + listed(b"tuple")) * 400 + b"\x01\x81"
        for nested, nonsense in (
            (lists, [b"version", HERE]),
            (lists, [b"message", HERE, b"root", b"challenge", 1, [b"tuple", 1], [b"dictionary"]]),
            (lists, [b"message", 1, HERE, b"challenge", 1, [b"tuple", 1], [b"dictionary"]]),
            (lists, [b"message", 1, b"root", HERE, 1, [b"tuple", 1], [b"dictionary"]]),
            (lists, [b"message", 1, b"root", b"challenge", 1, HERE, [b"dictionary"]]),
            (tuples, [b"message", 1, b"root", b"challenge", 1, HERE, [b"dictionary"]]),
        ):
            self.assertEnded(
                written(nonsense).replace(listed(HERE), nested), "no Perspective Broker: "
            )

    def test_onlyOneLine(self) -> None:
        """What follows the nonsense in the same breath is not looked at."""
        nonsense = written([b"message", 1, [], b"x", 1, [b"tuple"], [b"dictionary"]], b"")
        self.assertEnded(written(5) + nonsense * 20, "no Perspective Broker: ")

    def test_unknown(self) -> None:
        """Methods and objects that are not there are answered so, and not logged."""
        wire = self.connect()
        with capturedLogs() as events:
            wire.client.write(call(b"register", [b"tuple"]))
            wire.client.write(call(b"register", [b"tuple"], answer=0, greeting=b""))
            wire.client.write(call(b"challenge", [b"tuple", 1], at=b"desk", greeting=b""))
            self.turn()
        self.assertEqual(warnings(events), [])
        self.assertFalse(wire.isLost)
        wire.cut()

    def test_unanswered(self) -> None:
        """A refusal that the stranger does not wait for is nobody's."""
        wire = self.connect()
        proof = [b"tuple", SAMPLE, NONCE, NONCE]
        with capturedLogs() as events:
            wire.client.write(call(b"challenge", [b"tuple", 9], answer=0))
            wire.client.write(call(b"enter", proof, answer=0, greeting=b""))
            self.turn()
        self.assertEqual(
            warnings(events),
            ["192.0.2.1:54321: refused as b'gate sample': unknown, or a wrong key"],
        )
        wire.cut()

    def test_otherLanguage(self) -> None:
        """Who speaks no language of ours is let go of."""
        wire = self.connect()
        wire.client.write(written(b"esperanto", b""))
        self.turn()
        self.assertTrue(wire.isLost)

    def test_silent(self) -> None:
        """Who proves nothing is let go of C{proof} seconds after it has connected."""
        silent, halfway = self.connect(), self.connect()
        halfway.client.write(call(b"challenge", [b"tuple", 1]))
        with capturedLogs() as events:
            self.wait(TIMES.proof - 0.25)
            self.assertFalse(silent.isLost or halfway.isLost)
            self.wait(0.25)
        self.assertTrue(silent.isLost and halfway.isLost)
        self.assertEqual(warnings(events), ["192.0.2.1:54321: proved no key in time"] * 2)

    def test_goesAway(self) -> None:
        """Who connects and goes away at once, as port scans do, is not worth a line."""
        with capturedLogs() as events:
            self.connect().cut()
            wire = self.connect()
            wire.client.write(call(b"challenge", [b"tuple", 1])[:9])
            self.turn()
            wire.cut()
        self.assertEqual(warnings(events), [])
        self.assertEqual(self.factory._brokers, {self.brokerOf(self.place.wires[0])})

    def test_tooMany(self) -> None:
        """One connection more than C{maxclient} is closed; when one has gone there is room."""
        first, second = self.connect(), self.connect()
        with capturedLogs() as events:
            third = self.connect()
            self.turn()
        self.assertTrue(third.isLost)
        self.assertEqual(warnings(events), ["192.0.2.1:54321: one link too many: see maxclient"])
        self.assertFalse(first.isLost or second.isLost)
        first.cut()
        self.assertFalse(self.connect().isLost)
        self.turn()
        self.assertFalse(self.place.wire.isLost)
        self.place.wire.cut()
        second.cut()

    def test_greeting(self) -> None:
        """A stranger is told nothing but which languages there are."""
        wire = self.connect()
        heard = wire.client.protocol.heard
        self.assertEqual(heard, bytes(written([b"pb", b"none"], b"")))
        wire.cut()


class StopTests(ControlCase):
    """A login server that shuts down."""

    def test_closed(self) -> None:
        """Its service closes every link, those of strangers among them."""
        link, _ = self.entered()
        self.resultOf(self.place.connect(Factory.forProtocol(Stranger)))
        service = ControlLinks(self.factory)
        service.startService()
        self.turn()
        self.assertFalse(any(wire.isLost for wire in self.place.wires))
        service.stopService()
        self.turn()
        self.assertTrue(all(wire.isLost for wire in self.place.wires))
        self.assertTrue(link.isLost)
        self.assertFalse(service.running)
        self.assertQuiet()
