"""
Tests for L{msgserver.wire.login}: the recorded login, and everything that is none.
"""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import (
    Forbidden,
    NotAcceptable,
    ProtocolError,
    Refused,
    Unauthorized,
)
from msgserver.wire.classic import PRIME, ClassicSuite, encrypt
from msgserver.wire.login import (
    MAX_TOKEN,
    Admitted,
    LoginClient,
    LoginServer,
    TokenReceived,
)
from msgserver.wire.modern import ModernSuite
from msgserver.wire.naming import encode64
from tests.wire import arrivals, given, outcome, recorded

CHALLENGE = bytes.fromhex("3ed8648261027442")
CLIENT_PRIVATE = bytes.fromhex("1122334455667701")
# The recording has the server's public key alone; this is its discrete logarithm, which
# takes seconds to compute (L2).
SERVER_PRIVATE = bytes.fromhex("5e96acc95cb8480c")
SECRET = bytes.fromhex("b9388be0af1ec90a")
TOKEN = b"YWxpY2U=@c2FtcGxl:cGFzc3dvcmQ="

CHALLENGE_LINE = b"PthkgmECdEI=\n"
CLIENT_KEY_LINE = b"286bRmPbq5I=\n"
SERVER_KEY_LINE = b"utuPRuM1FMU=\n"
PROOF_LINE = b"7kuvix3Kmiw=\n"
TOKEN_LINE = b"RUADUZvMzw8SPfJvNszpfjKKbwyAyQwG+64aJlF6USA=\n"
CLIENT_LINES = CLIENT_KEY_LINE + PROOF_LINE + TOKEN_LINE
TO_CLIENT = CHALLENGE_LINE + SERVER_KEY_LINE

NOT_BASE64 = (b"QQ\n", b"QQ=\n", b"QR==\n", b"QQ==\r\n", b" QQ==\n", b"Q-==\n", b"\xff\n", b"=\n")
UNACCEPTABLE = [number.to_bytes(8, "little") for number in (0, 1, PRIME - 1, PRIME, 2**64 - 1)]


def makeServer() -> LoginServer:
    """Make the recorded login's server."""
    return LoginServer({8: ClassicSuite()}, given(CHALLENGE, SERVER_PRIVATE))


def makeClient() -> LoginClient:
    """Make the recorded login's client."""
    return LoginClient(ClassicSuite(), TOKEN, given(CLIENT_PRIVATE))


class RecordedTests(SynchronousTestCase):
    """The login that was recorded from the original, line by line (L)."""

    def test_lines(self) -> None:
        """The lines of these tests are the recorded ones."""
        login = recorded("classic-transcript.json")["login"]
        self.assertEqual(
            [line.encode() + b"\n" for _, line in login["lines"]],
            [
                CHALLENGE_LINE,
                CLIENT_KEY_LINE,
                SERVER_KEY_LINE,
                PROOF_LINE,
                TOKEN_LINE,
                b"200 MQ==\n",
            ],
        )
        self.assertEqual(login["client_private_key"], CLIENT_PRIVATE.hex())
        self.assertEqual((login["secret"], login["token"]), (SECRET.hex(), TOKEN.decode()))

    def test_server(self) -> None:
        """The server says what the original said, each line when it is due (L)."""
        server = makeServer()
        self.assertEqual(server.dataToSend(), CHALLENGE_LINE)
        server.feed(CLIENT_KEY_LINE)
        self.assertIsNone(server.nextEvent())
        self.assertEqual(server.dataToSend(), SERVER_KEY_LINE)
        server.feed(PROOF_LINE)
        self.assertIsNone(server.nextEvent())
        self.assertEqual(server.dataToSend(), b"")
        server.feed(TOKEN_LINE)
        self.assertEqual(server.nextEvent(), TokenReceived(TOKEN, SECRET))
        self.assertEqual(server.dataToSend(), b"")
        server.admit(b"1")
        self.assertEqual(server.dataToSend(), b"200 MQ==\n")

    def test_client(self) -> None:
        """The client says what the original's said, each line when it is due (L)."""
        client = makeClient()
        self.assertEqual(client.dataToSend(), b"")
        client.feed(CHALLENGE_LINE)
        self.assertIsNone(client.nextEvent())
        self.assertEqual(client.dataToSend(), CLIENT_KEY_LINE)
        client.feed(SERVER_KEY_LINE)
        self.assertIsNone(client.nextEvent())
        self.assertEqual(client.dataToSend(), PROOF_LINE + TOKEN_LINE)
        client.feed(b"200 MQ==\n")
        self.assertIsNone(client.nextEvent())
        self.assertEqual(client.feedEnd(), Admitted(b"1", SECRET))
        self.assertEqual(client.dataToSend(), b"")


class ServerTests(SynchronousTestCase):
    """The server's end (L)."""

    def assertUnauthorized(self, lines: bytes) -> None:
        """Feed lines that end in a wrong one, and see the client told 401, once and for all."""
        for behind in (b"", PROOF_LINE + TOKEN_LINE, CLIENT_LINES):
            server = makeServer()
            server.feed(lines + behind)
            self.assertRaises(Unauthorized, server.nextEvent)
            self.assertEqual(outcome(server, [PROOF_LINE + TOKEN_LINE, CLIENT_LINES]), [])
            server.dataToSend()
            server.refuse(Unauthorized("the log's business"))
            self.assertEqual(server.dataToSend(), b"401 Unauthorized\n")

    def test_arrivals(self) -> None:
        """However the client's lines arrive, they are one login; what follows is ignored (L)."""
        for trailing in (b"", b"\n", b"junk\n", b"x" * 9000, CLIENT_LINES):
            for chunks in arrivals(CLIENT_LINES + trailing):
                server = makeServer()
                self.assertEqual(outcome(server, chunks), [TokenReceived(TOKEN, SECRET)])
                self.assertEqual(server.dataToSend(), CHALLENGE_LINE + SERVER_KEY_LINE)

    def test_anyToken(self) -> None:
        """A token is any bytes, none included (L)."""
        for token in (b"", b"\x00", b"\x80", b"\n", bytes(range(256))):
            sealed = encode64(encrypt(SECRET, token)) + b"\n"
            server = makeServer()
            self.assertEqual(
                outcome(server, [CLIENT_KEY_LINE + PROOF_LINE + sealed]),
                [TokenReceived(token, SECRET)],
            )

    def test_notBase64(self) -> None:
        """Each of the client's lines has to be base64 as an encoder writes it (L)."""
        for good in (b"", CLIENT_KEY_LINE, CLIENT_KEY_LINE + PROOF_LINE):
            for bad in NOT_BASE64:
                self.assertUnauthorized(good + bad)

    def test_keySize(self) -> None:
        """A key of no suite here is refused, and nothing is said in return (L)."""
        for size in (0, 1, 7, 9, 16, 31, 32, 33):
            server = makeServer()
            server.dataToSend()
            server.feed(encode64(b"\x02" * size) + b"\n")
            self.assertRaises(Unauthorized, server.nextEvent)
            self.assertEqual(server.dataToSend(), b"")

    def test_unacceptableKey(self) -> None:
        """The keys that leave no secret are refused, and nothing is said in return (L2)."""
        for key in UNACCEPTABLE:
            server = makeServer()
            server.dataToSend()
            server.feed(encode64(key) + b"\n")
            self.assertRaises(Unauthorized, server.nextEvent)
            self.assertEqual(server.dataToSend(), b"")
            self.assertUnauthorized(encode64(key) + b"\n")

    def test_badProof(self) -> None:
        """Without the proof there is no login, and no second guess at it (L)."""
        for proof in (b"", bytes(8), CHALLENGE, SECRET, bytes.fromhex("ee4baf8b1dca9a")):
            self.assertUnauthorized(CLIENT_KEY_LINE + encode64(proof) + b"\n")
        self.assertUnauthorized(CLIENT_KEY_LINE + TOKEN_LINE)

    def test_badToken(self) -> None:
        """A token that was not sealed under this secret is refused (L2)."""
        badPadding = encrypt(SECRET, b"12345678")[:8]
        for sealed in (b"", b"short", b"\x00" * 9, bytes(8), badPadding):
            self.assertUnauthorized(CLIENT_KEY_LINE + PROOF_LINE + encode64(sealed) + b"\n")

    def test_longestLine(self) -> None:
        """A token line of exactly 8 KiB is a login's (L1)."""
        token = b"x" * 6143
        line = encode64(encrypt(SECRET, token)) + b"\n"
        self.assertEqual(len(line), 8193)
        for chunks in ([line], [line[:-1], b"\n"], arrivals(line)[1]):
            server = makeServer()
            self.assertEqual(
                outcome(server, [CLIENT_KEY_LINE + PROOF_LINE, *chunks]),
                [TokenReceived(token, SECRET)],
            )

    def test_lineTooLong(self) -> None:
        """A line of 8,193 bytes ends the conversation at whatever point, unanswered (L1)."""
        for good in (b"", CLIENT_KEY_LINE, CLIENT_KEY_LINE + PROOF_LINE):
            for line in (b"x" * 8193, b"x" * 8193 + b"\n"):
                for chunks in arrivals(line):
                    server = makeServer()
                    self.assertEqual(outcome(server, [good, *chunks]), [ProtocolError])
                    server.dataToSend()
                    self.assertEqual(outcome(server, [b"\n", CLIENT_LINES]), [])
                    self.assertEqual(server.dataToSend(), b"")

    def test_refuse(self) -> None:
        """Each refusal is one line in its own words, whatever the log is told (L)."""
        for refusal, line in (
            (Unauthorized, b"401 Unauthorized\n"),
            (Forbidden, b"403 Forbidden\n"),
            (NotAcceptable, b"406 Not Acceptable\n"),
        ):
            server = makeServer()
            outcome(server, [CLIENT_LINES])
            server.dataToSend()
            server.refuse(refusal("the log's business"))
            self.assertEqual(server.dataToSend(), line)
            self.assertEqual(outcome(server, [CLIENT_LINES]), [])
            self.assertEqual(server.dataToSend(), b"")

    def test_refuseAtOnce(self) -> None:
        """A server that refuses before it was asked hears nothing any more (L)."""
        server = makeServer()
        server.refuse(Forbidden("no gate, so no logins"))
        self.assertEqual(server.dataToSend(), CHALLENGE_LINE + b"403 Forbidden\n")
        self.assertEqual(outcome(server, [CLIENT_LINES, b"x" * 9000]), [])
        self.assertEqual(server.dataToSend(), b"")

    def test_admit(self) -> None:
        """The subid may be any bytes; a gate's address goes in a line of its own (L5)."""
        for subid, address, lines in (
            (b"1", None, b"200 MQ==\n"),
            (b"", None, b"200 \n"),
            (b"\x00\xff", None, b"200 AP8=\n"),
            (b"1", "gate:8888", b"200 MQ==\n210 Z2F0ZTo4ODg4\n"),
        ):
            server = makeServer()
            outcome(server, [CLIENT_LINES])
            server.dataToSend()
            server.admit(subid, address)
            self.assertEqual(server.dataToSend(), lines)
            self.assertEqual(outcome(server, [CLIENT_LINES]), [])


class ClientTests(SynchronousTestCase):
    """The client's end (L)."""

    def test_longestToken(self) -> None:
        """L1: a token of 6,128 bytes is a line that servers take, in either suite; more is not."""
        for suite in (ClassicSuite(), ModernSuite()):
            token = bytes(MAX_TOKEN)
            client = LoginClient(suite, token, os.urandom)
            server = LoginServer({suite.keySize: suite}, os.urandom)
            received = None
            while received is None:
                client.feed(server.dataToSend())
                self.assertIsNone(client.nextEvent())
                said = client.dataToSend()
                self.assertTrue(said)
                server.feed(said)
                received = server.nextEvent()
            self.assertEqual(received.token, token)
            with self.assertRaisesRegex(ValueError, "at most 6128 bytes, not 6129"):
                LoginClient(suite, token + b"!", os.urandom)

    def assertNoServer(self, lines: bytes) -> None:
        """Feed lines that no login server sends, and see the client have nothing to do with it."""
        for behind in (b"", TO_CLIENT + b"200 MQ==\n", b"200 MQ==\n"):
            client = makeClient()
            client.feed(lines + behind)
            self.assertRaises(ProtocolError, client.nextEvent)
            client.dataToSend()
            self.assertEqual(outcome(client, [TO_CLIENT, b"200 MQ==\n"]), [])
            self.assertEqual(client.dataToSend(), b"")
            self.assertIsNone(client.feedEnd())

    def test_admitted(self) -> None:
        """However the server's lines arrive, they are one login; where it is may follow (L5)."""
        for chunks in arrivals(TO_CLIENT + b"200 MQ==\n"):
            client = makeClient()
            self.assertFalse(client.isAdmitted)
            self.assertEqual(outcome(client, chunks), [])
            self.assertTrue(client.isAdmitted)
            self.assertEqual(client.dataToSend(), CLIENT_LINES)
            self.assertEqual(client.feedEnd(), Admitted(b"1", SECRET, None))
            self.assertIsNone(client.feedEnd())

    def test_address(self) -> None:
        """The second line says where the gate is, and ends the login (L5)."""
        for trailing in (b"", b"junk\n", b"x" * 9000):
            for chunks in arrivals(TO_CLIENT + b"200 MQ==\n210 Z2F0ZTo4ODg4\n" + trailing):
                client = makeClient()
                self.assertEqual(outcome(client, chunks), [Admitted(b"1", SECRET, "gate:8888")])
                self.assertIsNone(client.feedEnd())

    def test_addressOfAnyName(self) -> None:
        """What the server advertises is what the client is told (L5)."""
        for address in ("127.0.0.1:8888", "[::1]:8888", "bücher.example:8888"):
            server = makeServer()
            outcome(server, [CLIENT_LINES])
            server.admit(b"1", address)
            self.assertEqual(
                outcome(makeClient(), [server.dataToSend()]), [Admitted(b"1", SECRET, address)]
            )

    def test_unfinishedAddress(self) -> None:
        """A second line that never ends says nothing (L5)."""
        client = makeClient()
        self.assertEqual(outcome(client, [TO_CLIENT + b"200 MQ==\n210 Z2F0"]), [])
        self.assertEqual(client.feedEnd(), Admitted(b"1", SECRET, None))

    def test_otherSecondLine(self) -> None:
        """A second line that this client does not know is the server's own affair (L5)."""
        for line in (b"\n", b"211 MQ==\n", b"401 Unauthorized\n", b"\xff\n"):
            self.assertEqual(
                outcome(makeClient(), [TO_CLIENT + b"200 MQ==\n" + line]),
                [Admitted(b"1", SECRET, None)],
            )

    def test_badAddress(self) -> None:
        """An address that cannot be read is an error, not a login elsewhere (L5)."""
        for line in (b"210 Z2F0ZTo4ODg4=\n", b"210 gate:8888\n", b"210 /w==\n", b"x" * 8193):
            self.assertNoServer(TO_CLIENT + b"200 MQ==\n" + line)

    def test_refused(self) -> None:
        """A refusal is heard at whatever point the server says it (L)."""
        for good in (b"", CHALLENGE_LINE, TO_CLIENT):
            for refusal, line in (
                (Unauthorized, b"401 Unauthorized\n"),
                (Forbidden, b"403 Forbidden\n"),
                (NotAcceptable, b"406 Not Acceptable\n"),
            ):
                for chunks in arrivals(good + line):
                    client = makeClient()
                    self.assertEqual(outcome(client, chunks), [refusal])
                    self.assertEqual(outcome(client, [TO_CLIENT + b"200 MQ==\n"]), [])
                    self.assertIsNone(client.feedEnd())
                    self.assertFalse(client.isAdmitted)

    def test_refusalText(self) -> None:
        """A refusal's text is the server's line."""
        client = makeClient()
        client.feed(b"403 Forbidden\n")
        self.assertEqual(str(self.assertRaises(Forbidden, client.nextEvent)), "403 Forbidden")

    def test_unknownStatus(self) -> None:
        """A status of no login server is none (L)."""
        for line in (
            b"401 unauthorized\n",
            b"401 Unauthorized \n",
            b"404 User Not Found\n",
            b"403 Index Expired\n",
            b"2000 MQ==\n",
            b" \n",
            b"SSH-2.0 server\n",
        ):
            for good in (b"", CHALLENGE_LINE, TO_CLIENT):
                self.assertNoServer(good + line)

    def test_admittedTooEarly(self) -> None:
        """There is no login before the keys were exchanged (L)."""
        for good in (b"", CHALLENGE_LINE):
            self.assertNoServer(good + b"200 MQ==\n")

    def test_badSubid(self) -> None:
        """A subid that is no base64 is no login (L)."""
        for line in (b"200 1\n", b"200 MQ==\r\n", b"200  MQ==\n", b"200 MR==\n", b"200\n"):
            self.assertNoServer(TO_CLIENT + line)

    def test_emptySubid(self) -> None:
        """A subid is any bytes, none included (L)."""
        client = makeClient()
        outcome(client, [TO_CLIENT + b"200 \n"])
        self.assertEqual(client.feedEnd(), Admitted(b"", SECRET))

    def test_notBase64(self) -> None:
        """Both of the server's first lines have to be base64 as an encoder writes it (L)."""
        for good in (b"", CHALLENGE_LINE):
            for bad in NOT_BASE64:
                self.assertNoServer(good + bad)

    def test_challengeSize(self) -> None:
        """A challenge has 8 bytes; the client says nothing to any other (L)."""
        for size in (0, 7, 9, 32):
            client = makeClient()
            client.feed(encode64(bytes(size)) + b"\n")
            self.assertRaises(ProtocolError, client.nextEvent)
            self.assertEqual(client.dataToSend(), b"")

    def test_keySize(self) -> None:
        """A key of another suite is no key; no token leaves for it (L)."""
        for size in (0, 7, 9, 32):
            client = makeClient()
            client.feed(CHALLENGE_LINE + encode64(b"\x02" * size) + b"\n")
            self.assertRaises(ProtocolError, client.nextEvent)
            self.assertEqual(client.dataToSend(), CLIENT_KEY_LINE)

    def test_unacceptableKey(self) -> None:
        """No token leaves for a key that leaves no secret (L2)."""
        for key in UNACCEPTABLE:
            client = makeClient()
            client.feed(CHALLENGE_LINE + encode64(key) + b"\n")
            self.assertRaises(ProtocolError, client.nextEvent)
            self.assertEqual(client.dataToSend(), CLIENT_KEY_LINE)

    def test_twoKeys(self) -> None:
        """There is one key exchange in a login (L)."""
        self.assertNoServer(TO_CLIENT + SERVER_KEY_LINE)

    def test_lineTooLong(self) -> None:
        """The server's lines are bounded like the client's (L1)."""
        for good in (b"", CHALLENGE_LINE, TO_CLIENT):
            for chunks in arrivals(good + b"x" * 8193):
                self.assertEqual(outcome(makeClient(), chunks), [ProtocolError])

    def test_closedEarly(self) -> None:
        """A server that closes before its verdict has given none (L)."""
        for lines in (b"", b"PthkgmEC", CHALLENGE_LINE, TO_CLIENT, TO_CLIENT + b"200 MQ=="):
            client = makeClient()
            self.assertEqual(outcome(client, [lines]), [])
            self.assertRaises(ProtocolError, client.feedEnd)
            self.assertIsNone(client.feedEnd())


class SilenceTests(SynchronousTestCase):
    """What a log may be given (L6)."""

    def assertSilent(self, text: str) -> None:
        """Look for everything that no log may hold."""
        for private in (SECRET, TOKEN, CLIENT_PRIVATE, SERVER_PRIVATE):
            for form in (repr(private)[2:-1], private.hex(), encode64(private).decode()):
                self.assertNotIn(form, text)
        for line in (PROOF_LINE, TOKEN_LINE):
            self.assertNotIn(line.decode().strip().rstrip("="), text)

    def test_events(self) -> None:
        """Events show neither token nor secret (L6)."""
        self.assertEqual(repr(TokenReceived(TOKEN, SECRET)), "TokenReceived()")
        self.assertEqual(
            repr(Admitted(b"1", SECRET, "gate:8888")),
            "Admitted(subid=b'1', address='gate:8888')",
        )

    def test_ends(self) -> None:
        """Neither do the ends themselves, nor what they are still to send (L6)."""
        server, client = makeServer(), makeClient()
        outcome(server, [CLIENT_LINES])
        outcome(client, [TO_CLIENT])
        self.assertSilent(repr(server) + repr(client))

    def test_serverErrors(self) -> None:
        """What is wrong with a line is told without the line (L6)."""
        for lines in (
            SERVER_KEY_LINE + TOKEN_LINE,
            CLIENT_KEY_LINE + b"=" + PROOF_LINE,
            CLIENT_KEY_LINE + PROOF_LINE + TOKEN_LINE[:-3] + b"\n",
            CLIENT_KEY_LINE + PROOF_LINE + b"=" + TOKEN_LINE,
            CLIENT_KEY_LINE + PROOF_LINE + encode64(TOKEN) + b"\n",
            CLIENT_KEY_LINE + PROOF_LINE + TOKEN_LINE[:-1] * 200,
        ):
            server = makeServer()
            server.feed(lines)
            error = self.assertRaises((Refused, ProtocolError), server.nextEvent)
            self.assertSilent(str(error) + repr(error))

    def test_clientErrors(self) -> None:
        """So it is on the client's side (L6)."""
        for lines in (TOKEN_LINE, CHALLENGE_LINE + PROOF_LINE[1:], TO_CLIENT + b"200" + TOKEN_LINE):
            client = makeClient()
            client.feed(lines)
            error = self.assertRaises(ProtocolError, client.nextEvent)
            self.assertSilent(str(error) + repr(error))
