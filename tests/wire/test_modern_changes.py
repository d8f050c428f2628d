"""
Somebody between the two ends of a modern login (L3): whatever he changes, sends again or makes
up, he is found out before anybody is admitted, or told to give up.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import Forbidden, NotAcceptable, ProtocolError, Unauthorized
from msgserver.wire.login import Admitted, LoginClient, LoginServer, TokenReceived
from msgserver.wire.modern import ModernSuite
from msgserver.wire.naming import decode64, encode64
from tests.wire import outcome
from tests.wire.modernlogins import (
    ADDRESS,
    IDENTITY,
    IDENTITY_PUBLIC,
    OTHER_IDENTITY,
    SUBID,
    TOKEN,
    Outcome,
    admit,
    converse,
    makeClient,
    makeServer,
    refusing,
    repeating,
    replacing,
)

EXCHANGE = ("challenge", "client key", "server key", "proof", "token")
"""The lines before the server's verdict."""


def rawOf(line: bytes) -> bytes:
    """Read the base64 of a line."""
    return decode64(line.rstrip())


def changed(line: bytes) -> Iterator[tuple[int, bytes]]:
    """
    Give a line with each of its bytes changed, in several ways, with the place of the change:
    bits, a line end, a space, a letter that is base64.
    """
    for place, byte in enumerate(line):
        others = {byte ^ 1, byte ^ 0x20, byte ^ 0x80, *b"\n A="} - {byte}
        for other in sorted(others):
            yield place, line[:place] + bytes([other]) + line[place + 1 :]


class ChangedTests(SynchronousTestCase):
    """Each byte of each line, changed."""

    def test_exchange(self) -> None:
        """What is changed before the verdict: no token arrives, and nobody is admitted."""
        count = 0
        lines = converse(makeServer(), makeClient()).lines
        for name in EXCHANGE:
            for place, line in changed(lines[name]):
                told = converse(makeServer(), makeClient(), replacing(name, line))
                self.assertTrue(told.isRefused, f"{name}, byte {place}: {line!r}: {told}")
                count += 1
        self.assertGreater(count, 2000)

    def test_exchangeWithoutIdentity(self) -> None:
        """So it is where the server has no identity."""
        lines = converse(makeServer(0, None), makeClient(0, None)).lines
        for name in EXCHANGE:
            for place, line in changed(lines[name]):
                told = converse(makeServer(0, None), makeClient(0, None), replacing(name, line))
                self.assertTrue(told.isRefused, f"{name}, byte {place}: {line!r}: {told}")

    def test_signatureThatNobodyChecks(self) -> None:
        """
        A client that was not told which identity to expect cannot check one: the signature
        alone may be changed on the way to it, and changes nothing.
        """
        honest = converse(makeServer(), makeClient(0, None))
        line = honest.lines["server key"]
        unnoticed = 0
        for place, other in changed(line):
            told = converse(makeServer(), makeClient(0, None), replacing("server key", other))
            if told.isRefused:
                continue
            unnoticed += 1
            # 32 bytes of key are 42 letters and two thirds of one.
            self.assertGreaterEqual(place, 42)
            self.assertEqual((told.server, told.client), (honest.server, honest.client))
        self.assertGreater(unnoticed, 100)

    def test_verdict(self) -> None:
        """A yes, and where the gate is: the client believes neither any more."""
        lines = converse(makeServer(), makeClient()).lines
        for name in ("status", "address"):
            for place, line in changed(lines[name]):
                told = converse(makeServer(), makeClient(), replacing(name, line))
                self.assertIs(told.client, ProtocolError, f"{name}, byte {place}: {line!r}")

    def test_verdictAlone(self) -> None:
        """So it is where no address follows."""

        def judge(server: LoginServer) -> None:
            server.admit(SUBID)

        lines = converse(makeServer(), makeClient(), judge=judge).lines
        for place, line in changed(lines["status"]):
            told = converse(makeServer(), makeClient(), replacing("status", line), judge)
            self.assertIs(told.client, ProtocolError, f"byte {place}: {line!r}")

    def test_refusal(self) -> None:
        """A no: the client is not to give up for what is not the server's word."""
        for refusal in (Unauthorized, Forbidden, NotAcceptable):
            judge = refusing(refusal)
            honest = converse(makeServer(), makeClient(), judge=judge)
            self.assertIs(honest.client, refusal)
            for place, line in changed(honest.lines["status"]):
                told = converse(makeServer(), makeClient(), replacing("status", line), judge)
                self.assertIs(told.client, ProtocolError, f"byte {place}: {line!r}")

    def test_exchangedVerdicts(self) -> None:
        """Of all that the server might say, what stands behind one thing fits no other."""
        judges = [
            admit,
            *(refusing(no) for no in (Unauthorized, Forbidden, NotAcceptable)),
        ]
        statuses = [
            converse(makeServer(), makeClient(), judge=judge).lines["status"] for judge in judges
        ]
        for said in statuses:
            for other in statuses:
                forged = said.rpartition(b" ")[0] + b" " + other.rpartition(b" ")[2]
                told = converse(makeServer(), makeClient(), replacing("status", forged), admit)
                self.assertEqual(told.client is ProtocolError, said is not other)


class LinesTests(SynchronousTestCase):
    """Whole lines that are left out, come twice, or change places."""

    def test_leftOut(self) -> None:
        """Without one of its lines there is no login."""
        for name in EXCHANGE:
            told = converse(makeServer(), makeClient(), replacing(name, b""))
            self.assertTrue(told.isRefused, name)
        told = converse(makeServer(), makeClient(), replacing("status", b""))
        self.assertIs(told.client, ProtocolError)

    def test_addressLeftOut(self) -> None:
        """Where the gate is can be left out as a whole, as where there is no such line (L5)."""
        told = converse(makeServer(), makeClient(), replacing("address", b""))
        assert isinstance(told.server, TokenReceived)
        self.assertEqual(told.client, Admitted(SUBID, told.server.secret, None))

    def test_twice(self) -> None:
        """A line that comes twice is one too many, but for the last of each side."""
        for name in (*EXCHANGE, "status", "address"):
            told = converse(makeServer(), makeClient(), repeating(name))
            if name in ("token", "address"):
                self.assertIsInstance(told.client, Admitted, name)
            else:
                self.assertIs(told.client, ProtocolError, name)

    def test_reflected(self) -> None:
        """No line of a login stands in the place of another."""
        lines = converse(makeServer(), makeClient()).lines
        for name in (*EXCHANGE, "status", "address"):
            for other, line in lines.items():
                if other != name:
                    told = converse(makeServer(), makeClient(), replacing(name, line))
                    self.assertIs(told.client, ProtocolError, f"{other} for {name}")


class ReplayTests(SynchronousTestCase):
    """Lines of another login, under the same identity and with the same token."""

    def setUp(self) -> None:
        """Record it."""
        self.old = converse(makeServer(1), makeClient(1)).lines

    def test_eachLine(self) -> None:
        """No line of another login is taken."""
        for name in (*EXCHANGE, "status", "address"):
            told = converse(makeServer(2), makeClient(2), replacing(name, self.old[name]))
            self.assertIs(told.client, ProtocolError, name)
            self.assertEqual(isinstance(told.server, TokenReceived), name not in EXCHANGE)

    def test_wholeClient(self) -> None:
        """All that a client ever said admits nobody: the server's key is a new one."""
        up = b"".join(self.old[name] for name in ("client key", "proof", "token"))
        self.assertEqual(outcome(makeServer(2), [up]), [Unauthorized])

    def test_wholeClientToItsChallenge(self) -> None:
        """Not even where the challenge should come again."""
        up = b"".join(self.old[name] for name in ("client key", "proof", "token"))
        server = makeServer(2, challenge=rawOf(self.old["challenge"]))
        self.assertEqual(server.dataToSend(), self.old["challenge"])
        self.assertEqual(outcome(server, [up]), [Unauthorized])

    def test_wholeServer(self) -> None:
        """All that a server ever said gets no token, and convinces nobody."""
        down = b"".join(self.old[name] for name in ("challenge", "server key", "status", "address"))
        client = makeClient(2)
        self.assertEqual(outcome(client, [down]), [ProtocolError])
        self.assertEqual(client.dataToSend().count(b"\n"), 1)
        # Without an identity to expect, the token leaves, for a key that nobody has any more.
        client = makeClient(2, None)
        self.assertEqual(outcome(client, [down]), [ProtocolError])
        self.assertEqual(client.dataToSend().count(b"\n"), 3)


class MiddleTests(SynchronousTestCase):
    """Somebody who speaks as the server to the client, and as the client to the server."""

    def attack(self, client: LoginClient, middle: LoginServer) -> tuple[Outcome, bytes]:
        """
        Have the client log in at whoever is in the middle.

        @return: what that comes to, and all that the client has said.
        """
        told = converse(middle, client)
        up = (told.lines.get(name, b"") for name in ("client key", "proof", "token"))
        return told, b"".join(up)

    def test_withoutTheIdentityKey(self) -> None:
        """With no signature, or one of another key: no token leaves the client."""
        for key in (None, OTHER_IDENTITY):
            told, said = self.attack(makeClient(), makeServer(1, key))
            self.assertTrue(told.isRefused)
            self.assertEqual(said.count(b"\n"), 1)

    def test_signatureOfTheServer(self) -> None:
        """What the true server signs for him, or for the client, is of no use with his own key."""
        middle = LoginClient(ModernSuite(), b"", lambda size: b"\x09" * size)
        signed = converse(makeServer(), middle).lines["server key"]
        forwarded = converse(makeServer(), makeClient()).lines["server key"]
        for line in (signed, forwarded):
            own = self.attack(makeClient(), makeServer(1, None))[0].lines["server key"]
            forged = encode64(rawOf(own) + rawOf(line)[32:]) + b"\n"
            told = converse(makeServer(1, None), makeClient(), replacing("server key", forged))
            self.assertTrue(told.isRefused)
            self.assertNotIn("token", told.lines)

    def test_withoutAnIdentityToExpect(self) -> None:
        """
        A client that was not told which server to expect believes anybody: he has its token,
        logs in with it, and gives the client a login of which he knows the secret.
        """
        told, _ = self.attack(makeClient(0, None), makeServer(1, None))
        assert isinstance(told.server, TokenReceived)
        self.assertEqual(told.server.token, TOKEN)
        self.assertEqual(told.client, Admitted(SUBID, told.server.secret, ADDRESS))
        middle = LoginClient(ModernSuite(), told.server.token, lambda size: b"\x09" * size)
        self.assertIsInstance(converse(makeServer(), middle).client, Admitted)

    def test_withTheIdentityKey(self) -> None:
        """Who has the identity key is the server; so it is to be kept."""
        suite = ModernSuite(signingKey=IDENTITY)
        middle = LoginServer({32: suite}, lambda size: b"\x09" * size)
        self.assertIsInstance(self.attack(makeClient(), middle)[0].client, Admitted)
        self.assertEqual(IDENTITY.public_key().public_bytes_raw(), IDENTITY_PUBLIC)
