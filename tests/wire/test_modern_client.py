"""
What a login client of the modern suite takes from whoever is at the other end, and what not (L3).
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import (
    ProtocolError,
    Unauthorized,
)
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.login import Admitted, LoginServer
from msgserver.wire.naming import encode64
from tests.wire import arrivals, outcome, recorded
from tests.wire.modernlogins import (
    IDENTITY_PUBLIC,
    REFUSALS,
    TOKEN,
    converse,
    makeClient,
    makeServer,
    replacing,
    said,
)


def heard(line: bytes) -> object:
    """Give what the client makes of a line in the place of the status."""
    return converse(makeServer(), makeClient(), replacing("status", line)).client


class ClientTests(SynchronousTestCase):
    """The client's end (L3)."""

    def test_plainRefusal(self) -> None:
        """A no that nothing stands behind is not the server's: the client is not to give up."""
        lines = said()
        for good in (b"", lines["challenge"], lines["challenge"] + lines["server key"]):
            for _, text in REFUSALS:
                for chunks in arrivals(good + text + b"\n"):
                    self.assertEqual(outcome(makeClient(), chunks), [ProtocolError])
        client = makeClient()
        client.feed(b"401 Unauthorized\n")
        self.assertIn(
            "(401 Unauthorized) by who did not prove to be the server: it may not take the"
            " suite modern",
            str(self.assertRaises(ProtocolError, client.nextEvent)),
        )

    def test_earlyRefusal(self) -> None:
        """Before the keys are exchanged there is no mac that fits."""
        mac = encode64(bytes(32))
        for good in (b"", said()["challenge"]):
            for _, text in REFUSALS:
                self.assertEqual(
                    outcome(makeClient(), [b"%b%b %b\n" % (good, text, mac)]), [ProtocolError]
                )

    def test_wrongRefusal(self) -> None:
        """A no with a mac that does not fit is no more than one without."""
        for _, text in REFUSALS:
            for mac in (bytes(32), b"", bytes(31), b"x"):
                self.assertIs(heard(b"%b %b\n" % (text, encode64(mac))), ProtocolError)
            for mac in (b" ", b"x", b"QQ", b"QR=="):
                self.assertIs(heard(b"%b %b\n" % (text, mac)), ProtocolError)

    def test_ownProof(self) -> None:
        """The client's own proof, sent back to it, admits it nowhere."""
        proof = said()["proof"]
        for line in (b"200  " + proof, b"200 " + proof, b"200 MQ== " + proof):
            self.assertIs(heard(line), ProtocolError)

    def test_noMac(self) -> None:
        """A yes that nothing stands behind is none, with or without a subid."""
        for line in (b"200 MQ==\n", b"200 \n", b"200 MQ== \n", b"200 MQ== MQ==\n", b"200  \n"):
            self.assertIs(heard(line), ProtocolError)

    def test_tooEarly(self) -> None:
        """There is no login before the keys were exchanged."""
        lines = said()
        for good in (b"", lines["challenge"]):
            self.assertEqual(outcome(makeClient(), [good + lines["status"]]), [ProtocolError])

    def test_badSubid(self) -> None:
        """A subid that is no base64 is no login, whatever stands behind it."""
        mac = encode64(bytes(32))
        for subid in (b"1", b"MR==", b"MQ== MQ=="):
            self.assertIs(heard(b"200 %b %b\n" % (subid, mac)), ProtocolError)

    def test_unknownStatus(self) -> None:
        """A status of no login server is none."""
        mac = encode64(bytes(32))
        for text in (b"404 User Not Found", b"401 unauthorized", b"201", b"", b"500 " + mac):
            self.assertIs(heard(b"%b %b\n" % (text, mac)), ProtocolError)

    def test_otherSecondLine(self) -> None:
        """A second line that is not the server's is an error; of another kind, its own affair."""
        for line in (b"\n", b"junk\n", b"210 aDox\n", b"211 MQ==\n", b"401 Unauthorized\n"):
            told = converse(makeServer(), makeClient(), replacing("address", line))
            self.assertIs(told.client, ProtocolError)

    def test_unfinishedLine(self) -> None:
        """A second line that is cut off was there: so something is wrong (L5)."""
        lines = said()
        down = lines["challenge"] + lines["server key"] + lines["status"]
        for size in range(len(lines["address"])):
            client = makeClient()
            self.assertEqual(outcome(client, [down + lines["address"][:size]]), [])
            self.assertTrue(client.isAdmitted)
            if size:
                self.assertRaises(ProtocolError, client.feedEnd)
            else:
                self.assertIsInstance(client.feedEnd(), Admitted)
            self.assertIsNone(client.feedEnd())

    def test_serverKey(self) -> None:
        """No token leaves for a key that leaves no secret, or is of another size (L3)."""
        refused = [bytes.fromhex(key) for key in recorded("modern.json")["refused_public_keys"]]
        sizes = [b"\x09" * size for size in (0, 8, 31, 33, 64, 95, 97)]
        for key in (*refused, *(key + bytes(64) for key in refused), *sizes):
            client = makeClient(serverIdentity=None)
            lines = said()
            client.feed(lines["challenge"] + encode64(key) + b"\n")
            self.assertRaises(ProtocolError, client.nextEvent)
            self.assertEqual(client.dataToSend(), lines["client key"])

    def test_downgrade(self) -> None:
        """A client of this suite speaks no other, whatever it is told (L3)."""
        classic = LoginServer({8: ClassicSuite()}, lambda size: b"\x07" * size)
        told = converse(classic, makeClient(serverIdentity=None))
        self.assertTrue(told.isRefused)
        self.assertNotIn("proof", told.lines)
        lines, classicKey = said(), b"286bRmPbq5I=\n"
        client = makeClient(serverIdentity=None)
        self.assertEqual(outcome(client, [lines["challenge"] + classicKey]), [ProtocolError])
        self.assertEqual(client.dataToSend(), lines["client key"])


class SilenceTests(SynchronousTestCase):
    """What a log may be given (L6)."""

    def test_errors(self) -> None:
        """What is wrong with a line is told without the line."""
        lines = said()
        up = [lines[name].rstrip().decode() for name in ("client key", "proof", "token")]
        down = [lines[name].rstrip().decode() for name in ("challenge", "server key", "status")]
        private = [*up[1:], *down[1:], TOKEN.decode(), IDENTITY_PUBLIC.hex()]
        for stream in (
            lines["client key"] + lines["token"],
            lines["client key"] + lines["proof"] + lines["proof"],
            lines["client key"] + lines["proof"] + b"=" + lines["token"],
            lines["proof"][:20] + lines["proof"],
        ):
            server = makeServer()
            server.feed(stream)
            self.assertSilent(server, self.assertRaises(Unauthorized, server.nextEvent), private)
        for stream in (
            lines["challenge"] + lines["status"],
            lines["challenge"] + lines["token"],
            lines["challenge"] + lines["server key"] + b"200 " + lines["status"],
            lines["challenge"] + lines["server key"] + lines["status"] * 2,
        ):
            client = makeClient()
            client.feed(stream)
            self.assertSilent(client, self.assertRaises(ProtocolError, client.nextEvent), private)

    def assertSilent(self, end: object, error: Exception, private: list[str]) -> None:
        """Look for what no log may hold."""
        shown = repr(end) + repr(error) + str(error)
        for text in private:
            self.assertNotIn(text, shown)
