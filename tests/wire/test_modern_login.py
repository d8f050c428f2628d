"""
The login conversation in the modern suite (L3): whole logins, and the server's end.

The client's is in L{tests.wire.test_modern_client}; what somebody in between can do, in
L{tests.wire.test_modern_changes}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import (
    InvalidState,
    Unauthorized,
)
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.login import Admitted, LoginClient, LoginServer, TokenReceived
from msgserver.wire.modern import ModernSuite
from msgserver.wire.naming import encode64
from tests.wire import arrivals, outcome, recorded
from tests.wire.modernlogins import (
    ADDRESS,
    REFUSALS,
    SUBID,
    TOKEN,
    Outcome,
    converse,
    makeClient,
    makeServer,
    refusing,
    said,
)


class ConversationTests(SynchronousTestCase):
    """A login from its beginning to its end."""

    def assertAdmitted(self, told: Outcome, address: str | None = ADDRESS) -> None:
        """See the token there, and the client told where its login is."""
        assert isinstance(told.server, TokenReceived)
        self.assertEqual(told.server.token, TOKEN)
        self.assertEqual(told.client, Admitted(SUBID, told.server.secret, address))
        self.assertEqual(len(told.server.secret), 32)

    def test_admitted(self) -> None:
        """Whoever expects an identity and whoever does not is admitted by a server that has it."""
        self.assertAdmitted(converse(makeServer(), makeClient()))
        self.assertAdmitted(converse(makeServer(), makeClient(serverIdentity=None)))

    def test_withoutIdentity(self) -> None:
        """A server without an identity admits whoever expects none."""
        self.assertAdmitted(converse(makeServer(0, None), makeClient(serverIdentity=None)))

    def test_withoutAddress(self) -> None:
        """Where the server advertises no address there is no second line (L5)."""
        told = converse(makeServer(), makeClient(), judge=lambda server: server.admit(SUBID))
        self.assertAdmitted(told, None)
        self.assertNotIn("address", told.lines)

    def test_eachItsOwn(self) -> None:
        """No two logins have a line or a secret in common."""
        first, second = (converse(makeServer(n), makeClient(n)) for n in (0, 1))
        self.assertFalse(set(first.lines.values()) & set(second.lines.values()))
        assert isinstance(first.server, TokenReceived)
        assert isinstance(second.server, TokenReceived)
        self.assertNotEqual(first.server.secret, second.server.secret)

    def test_arrivals(self) -> None:
        """However the lines arrive, they are one login; the client's last line is the last (L)."""
        lines = said()
        up = b"".join(lines[name] for name in ("client key", "proof", "token"))
        down = b"".join(lines[name] for name in ("challenge", "server key", "status", "address"))
        (received,) = outcome(makeServer(), [up])
        assert isinstance(received, TokenReceived)
        self.assertEqual(received.token, TOKEN)
        secret = received.secret
        for trailing in (b"", b"\n", b"junk\n", b"x" * 9000, up):
            for chunks in arrivals(up + trailing):
                self.assertEqual(outcome(makeServer(), chunks), [received])
        for trailing in (b"", b"junk\n", b"x" * 9000):
            for chunks in arrivals(down + trailing):
                client = makeClient()
                self.assertEqual(outcome(client, chunks), [Admitted(SUBID, secret, ADDRESS)])
                self.assertEqual(client.dataToSend(), up)
                self.assertIsNone(client.feedEnd())

    def test_isProved(self) -> None:
        """Who has shown that it holds the secret is no stranger any more (L)."""
        lines, server = said(), makeServer()
        for name, isProved in (("client key", False), ("proof", True), ("token", True)):
            self.assertEqual(server.isProved, name == "token")
            outcome(server, [lines[name]])
            self.assertEqual(server.isProved, isProved)
        wrong = makeServer()
        outcome(wrong, [lines["client key"], encode64(bytes(32)) + b"\n", lines["proof"]])
        self.assertFalse(wrong.isProved)

    def test_bothSuites(self) -> None:
        """The length of the client's key picks the suite (L)."""
        for suite, size in ((ClassicSuite(), 8), (ModernSuite(), 32)):
            server = LoginServer(
                {8: ClassicSuite(), 32: ModernSuite()}, lambda size: b"\x07" * size
            )
            client = LoginClient(suite, TOKEN, lambda size: b"\x09" * size)
            for _ in range(2):
                self.assertEqual(outcome(client, [server.dataToSend()]), [])
                events = outcome(server, [client.dataToSend()])
            (received,) = events
            assert isinstance(received, TokenReceived)
            self.assertEqual((received.token, len(received.secret)), (TOKEN, size))
            server.admit(SUBID)
            self.assertEqual(outcome(client, [server.dataToSend()]), [])
            self.assertEqual(client.feedEnd(), Admitted(SUBID, received.secret))


class ServerTests(SynchronousTestCase):
    """The server's end (L3)."""

    def test_keySize(self) -> None:
        """A server of this suite alone takes no key of another size, and says nothing to it."""
        for size in (0, 1, 8, 31, 33, 64, 96):
            server = makeServer()
            server.dataToSend()
            server.feed(encode64(b"\x09" * size) + b"\n")
            self.assertRaises(Unauthorized, server.nextEvent)
            self.assertEqual(server.dataToSend(), b"")

    def test_noSecret(self) -> None:
        """The keys that leave no secret are refused, and nothing is said in return."""
        for key in recorded("modern.json")["refused_public_keys"]:
            server = makeServer()
            server.dataToSend()
            server.feed(encode64(bytes.fromhex(key)) + b"\n")
            self.assertRaises(Unauthorized, server.nextEvent)
            self.assertEqual(server.dataToSend(), b"")
            server.refuse(Unauthorized())
            self.assertEqual(server.dataToSend(), b"401 Unauthorized\n")

    def test_plainRefusals(self) -> None:
        """Before a token was unsealed the ends may not share keys: nothing stands behind a no."""
        lines = said()
        wrong = encode64(bytes(32)) + b"\n"
        for up in (
            [],
            [wrong],
            [lines["client key"]],
            [lines["client key"], wrong],
            [lines["client key"], lines["proof"]],
            [lines["client key"], lines["proof"], wrong],
        ):
            for refusal, text in REFUSALS:
                server = makeServer()
                outcome(server, up)
                server.dataToSend()
                server.refuse(refusal("the log's business"))
                self.assertEqual(server.dataToSend(), text + b"\n")

    def test_refusals(self) -> None:
        """After it, a mac does; and the client believes that it is the server who says no."""
        for refusal, text in REFUSALS:
            told = converse(makeServer(), makeClient(), judge=refusing(refusal))
            self.assertIs(told.client, refusal)
            status, _, mac = told.lines["status"].rpartition(b" ")
            self.assertEqual((status, len(mac)), (text, 45))

    def test_emptySubid(self) -> None:
        """No subid is empty: the client would take what stands behind it for its own proof."""
        lines, server = said(), makeServer()
        outcome(server, [lines["client key"], lines["proof"], lines["token"]])
        server.dataToSend()
        self.assertRaises(InvalidState, server.admit, b"", ADDRESS)
        self.assertEqual(server.dataToSend(), b"")
        server.admit(b"1")
        self.assertNotEqual(server.dataToSend(), b"")

    def test_admitTooEarly(self) -> None:
        """Who has sent no token is not let in; and nobody is let in twice."""
        lines = said()
        for up in ([], [lines["client key"]], [lines["client key"], lines["proof"]]):
            server = makeServer()
            outcome(server, up)
            server.dataToSend()
            self.assertRaises(InvalidState, server.admit, SUBID)
            self.assertEqual(server.dataToSend(), b"")
        outcome(server, [lines["token"]])
        server.admit(SUBID)
        self.assertRaises(InvalidState, server.admit, SUBID)
