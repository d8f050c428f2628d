"""
Tests for L{msgserver.wire.gate}: the recorded connections, and everything that is none.
"""

from __future__ import annotations

from hmac import digest

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import (
    BadRequest,
    IndexExpired,
    InvalidState,
    ProtocolError,
    Refused,
    Unauthorized,
    UserNotFound,
)
from msgserver.wire.classic import hashKey, hmac64
from msgserver.wire.framing import packet
from msgserver.wire.gate import (
    ANSWERED,
    FAILED,
    Connected,
    GateClient,
    GateServer,
    Response,
    checkSecret,
    handshakeMac,
    isProvedBy,
    requestPacket,
    responsePacket,
)
from msgserver.wire.naming import Handshake, User, encode64, parseHandshake
from tests.wire import arrivals, outcome, recorded

ALICE = User(uid=b"alice", subid=b"1", server=b"sample")
BOB = User(uid=b"bob", subid=b"1", server=b"sample")
SECRET = bytes.fromhex("b9388be0af1ec90a")
HELLO = b"YWxpY2U=@c2FtcGxl#MQ==:1:ZluYSPmBkzY="
HANDSHAKE = parseHandshake(HELLO)

REFUSALS: list[tuple[type[Refused], bytes]] = [
    (BadRequest, b"\x00\x0f400 Bad Request"),
    (UserNotFound, b"\x00\x12404 User Not Found"),
    (Unauthorized, b"\x00\x10401 Unauthorized"),
    (IndexExpired, b"\x00\x11403 Index Expired"),
]


def makeClient() -> GateClient:
    """Make the client of the recorded first handshake."""
    return GateClient(ALICE, SECRET, 1)


class RecordedTests(SynchronousTestCase):
    """The six connections that were recorded from the original (H, S)."""

    def sent(self, connection: int, by: str) -> list[bytes]:
        """Give the payloads that one side sent on a connection, in their order."""
        frames = recorded("classic-transcript.json")["connections"][connection]
        return [bytes.fromhex(payload) for who, payload in frames if who == by and payload]

    def test_handshakes(self) -> None:
        """Our hellos are the recorded ones, the one under a wrong secret included (H)."""
        for connection, user, secret, index in (
            (0, ALICE, bytes(8), 1),
            (1, BOB, SECRET, 1),
            (3, ALICE, SECRET, 1),
            (4, ALICE, SECRET, 1),
            (5, ALICE, SECRET, 2),
        ):
            hello = self.sent(connection, "client")[0]
            self.assertEqual(GateClient(user, secret, index).hello, packet(hello))

    def test_verdicts(self) -> None:
        """Our server makes of the recorded hellos what the original made of them (H)."""
        for connection, user, index, isProved in (
            (0, ALICE, 1, False),
            (1, BOB, 1, True),
            (3, ALICE, 1, True),
            (4, ALICE, 1, True),
            (5, ALICE, 2, True),
        ):
            handshake = parseHandshake(self.sent(connection, "client")[0])
            self.assertEqual((handshake.user, handshake.index), (user, index))
            self.assertEqual(isProvedBy(handshake, SECRET), isProved)
        self.assertRaises(BadRequest, parseHandshake, self.sent(2, "client")[0])

    def test_refusals(self) -> None:
        """Our client hears the recorded refusals (H)."""
        for connection, refusal in (
            (0, Unauthorized),
            (1, UserNotFound),
            (2, BadRequest),
            (4, IndexExpired),
        ):
            (answer,) = self.sent(connection, "server")
            for chunks in arrivals(packet(answer)):
                self.assertEqual(outcome(makeClient(), chunks), [refusal])
            self.assertEqual(GateServer().refuse(refusal()), packet(answer))

    def test_requests(self) -> None:
        """Our requests are the recorded ones (S)."""
        for connection, requests in (
            (
                3,
                [
                    (b"\x00\x00\x00\x00", b"echo:hello"),
                    (b"\x00\x00\x00\x01", b"slow:200:late"),
                    (b"\x00\x00\x00\x02", b"echo:soon"),
                    (b"\x00\x00\x00\x03", b"error:boom"),
                    (b"\x00\x00\x00\x00", b"echo:again"),
                    (b"\x00\x00\x00\x09", b"slow:300:kept"),
                ],
            ),
            (
                5,
                [
                    (b"\x00\x00\x00\x09", b"echo:fake"),
                    (b"\x00\x00\x00\x02", b"echo:fake"),
                    (b"\x00\x00\x00\x03", b"echo:fake"),
                    (b"\x00\x00\x00\x02", b"echo:new"),
                    (b"\x00\x00\x00\x0a", b"echo:"),
                ],
            ),
        ):
            self.assertEqual(
                [requestPacket(session, content) for session, content in requests],
                [packet(payload) for payload in self.sent(connection, "client")[1:]],
            )

    def test_responses(self) -> None:
        """Our client reads the recorded responses, and our server writes them (S)."""
        for connection, responses in (
            (
                3,
                [
                    Response(b"\x00\x00\x00\x00", True, b"hello"),
                    Response(b"\x00\x00\x00\x02", True, b"soon"),
                    Response(b"\x00\x00\x00\x01", True, b"late"),
                    Response(b"\x00\x00\x00\x03", False, b""),
                    Response(b"\x00\x00\x00\x00", True, b"again"),
                ],
            ),
            (
                5,
                [
                    Response(b"\x00\x00\x00\x09", True, b"kept"),
                    Response(b"\x00\x00\x00\x02", True, b"soon"),
                    Response(b"\x00\x00\x00\x03", False, b""),
                    Response(b"\x00\x00\x00\x02", True, b"new"),
                    Response(b"\x00\x00\x00\x0a", True, b""),
                ],
            ),
        ):
            stream = b"".join(map(packet, self.sent(connection, "server")))
            for chunks in arrivals(stream):
                self.assertEqual(outcome(makeClient(), chunks), [Connected(), *responses])
            written = b"".join(
                responsePacket(
                    response.session, ANSWERED if response.isAnswer else FAILED, response.content
                )
                for response in responses
            )
            self.assertEqual(b"\x00\x06200 OK" + written, stream)


class MacTests(SynchronousTestCase):
    """What proves a handshake (H)."""

    def test_proof(self) -> None:
        """A mac proves its own text under its own secret, whole (H)."""
        self.assertEqual(handshakeMac(HANDSHAKE.text, SECRET).hex(), "665b9848f9819336")
        self.assertTrue(isProvedBy(HANDSHAKE, SECRET))
        self.assertFalse(isProvedBy(HANDSHAKE, bytes(8)))
        for text in (b"YWxpY2U=@c2FtcGxl#MQ==:2", b"Ym9i@c2FtcGxl#MQ==:1"):
            self.assertFalse(isProvedBy(parseHandshake(text + b":ZluYSPmBkzY="), SECRET))
        for mac in (b"", b"ZluYSPmBkw==", b"ZluYSPmBkzYA"):
            self.assertFalse(isProvedBy(parseHandshake(HANDSHAKE.text + b":" + mac), SECRET))

    def test_secretOfNoSuite(self) -> None:
        """A secret that no login makes is our bug, and its own bytes stay unsaid (L6)."""
        for secret in (b"", b"xxxxxxx", b"xxxxxxxxx", b"x" * 16, b"x" * 31, b"x" * 33):
            for error in (
                self.assertRaises(InvalidState, checkSecret, secret),
                self.assertRaises(InvalidState, handshakeMac, HANDSHAKE.text, secret),
                self.assertRaises(InvalidState, isProvedBy, HANDSHAKE, secret),
                self.assertRaises(InvalidState, GateClient, ALICE, secret, 1),
            ):
                self.assertNotIn("xxx", str(error))


class ModernMacTests(SynchronousTestCase):
    """What proves a handshake, where the login's secret has 32 bytes (H, L3)."""

    def test_recorded(self) -> None:
        """The handshakes of the vectors are proved by their login's secret, and by no other's."""
        logins = [login for login in recorded("modern.json")["logins"] if "handshakes" in login]
        self.assertGreater(len(logins), 1)
        for login in logins:
            secret = bytes.fromhex(login["secret"])
            for recording in login["handshakes"]:
                uid, server = bytes.fromhex(recording["uid"]), bytes.fromhex(recording["server"])
                user = User(uid=uid, subid=bytes.fromhex(login["subid"]), server=server)
                client = GateClient(user, secret, int(recording["index"]))
                self.assertEqual(client.hello.hex(), recording["packet"])
                for chunks in arrivals(client.hello):
                    (handshake,) = outcome(GateServer(), chunks)
                    assert isinstance(handshake, Handshake)
                    self.assertEqual((handshake.user, handshake.text), (user, client.hello[2:-45]))
                    for other in logins:
                        isProved = isProvedBy(handshake, bytes.fromhex(other["secret"]))
                        self.assertIs(isProved, other is login)

    def test_changed(self) -> None:
        """A bit of the text or the mac that differs, or of the secret, and it proves nothing."""
        secret = bytes(range(32))
        text = HANDSHAKE.text
        mac = digest(secret, text, "sha256")
        self.assertEqual(handshakeMac(text, secret), mac)
        self.assertTrue(isProvedBy(evolve(HANDSHAKE, mac=mac), secret))
        for bit in range(8):
            for place in range(32):
                changed = [bytearray(mac), bytearray(secret)]
                for each in changed:
                    each[place] ^= 1 << bit
                self.assertFalse(isProvedBy(evolve(HANDSHAKE, mac=bytes(changed[0])), secret))
                self.assertFalse(isProvedBy(evolve(HANDSHAKE, mac=mac), bytes(changed[1])))
        for other in (b"", mac[:8], mac[:31], mac + b"\x00"):
            self.assertFalse(isProvedBy(evolve(HANDSHAKE, mac=other), secret))
        later = parseHandshake(b"YWxpY2U=@c2FtcGxl#MQ==:2:" + encode64(mac))
        self.assertFalse(isProvedBy(later, secret))

    def test_otherSuite(self) -> None:
        """The secret says which mac it must be; the other suite's is none."""
        secret = bytes(range(32))
        for size in (8, 32):
            checkSecret(secret[:size])
        classic = evolve(HANDSHAKE, mac=hmac64(hashKey(HANDSHAKE.text), secret[:8]))
        modern = evolve(HANDSHAKE, mac=digest(secret, HANDSHAKE.text, "sha256"))
        self.assertEqual([isProvedBy(classic, secret[:n]) for n in (8, 32)], [True, False])
        self.assertEqual([isProvedBy(modern, secret[:n]) for n in (8, 32)], [False, True])


class PacketTests(SynchronousTestCase):
    """Requests and responses as packets (S)."""

    def test_request(self) -> None:
        """A request is its content and its session (S)."""
        self.assertEqual(requestPacket(b"\x00\x01\xfe\xff", b""), b"\x00\x04\x00\x01\xfe\xff")
        self.assertEqual(requestPacket(b"abcd", b"hi"), b"\x00\x06hiabcd")
        longest = b"x" * 65531
        self.assertEqual(requestPacket(b"abcd", longest), b"\xff\xff" + longest + b"abcd")

    def test_noRequest(self) -> None:
        """A request's content is at most 65,531 bytes, its session 4 (S)."""
        error = self.assertRaises(ValueError, requestPacket, b"abcd", b"x" * 65532)
        self.assertIn("at most 65531 bytes, not 65532", str(error))
        for session in (b"", b"abc", b"abcde"):
            self.assertRaises(ValueError, requestPacket, session, b"hi")

    def test_response(self) -> None:
        """A response is its content, its flag and its session (S)."""
        self.assertEqual(responsePacket(b"abcd", ANSWERED, b""), b"\x00\x05\x01abcd")
        self.assertEqual(responsePacket(b"abcd", FAILED, b"no"), b"\x00\x07no\x00abcd")
        longest = b"x" * 65530
        self.assertEqual(
            responsePacket(b"abcd", ANSWERED, longest), b"\xff\xff" + longest + b"\x01abcd"
        )


class ServerTests(SynchronousTestCase):
    """The server's end, up to the verdict (H)."""

    def test_accept(self) -> None:
        """However a hello arrives, it is one handshake; what is behind it is kept (H2)."""
        for behind in (b"", b"\x00", b"\x00\x06hiabcd", b"\xff\xff" + b"x" * 9000):
            for chunks in arrivals(packet(HELLO) + behind):
                server = GateServer()
                self.assertEqual(outcome(server, chunks), [HANDSHAKE])
                self.assertEqual(server.accept(), (b"\x00\x06200 OK", behind))
                self.assertIsNone(server.nextEvent())

    def test_nothingBeforeTheVerdict(self) -> None:
        """A second handshake behind the first is not looked at (H2)."""
        server = GateServer()
        self.assertEqual(outcome(server, [packet(HELLO) * 2, packet(b"")]), [HANDSHAKE])
        self.assertEqual(server.accept(), (b"\x00\x06200 OK", packet(HELLO) + b"\x00\x00"))

    def test_refuse(self) -> None:
        """Each refusal is one packet in its own words, and then nothing is heard (H2)."""
        for refusal, answer in REFUSALS:
            server = GateServer()
            outcome(server, [packet(HELLO) * 2])
            self.assertEqual(server.refuse(refusal("the log's business")), answer)
            self.assertEqual(outcome(server, [packet(HELLO)]), [])
            self.assertEqual(server.accept()[1], b"")

    def test_badRequest(self) -> None:
        """A first packet that is no handshake is refused, and no second one is heard (H)."""
        for content in (b"", b"GET / HTTP/1.1", HELLO + b"\n", HELLO[:20], b"\xff" * 65535):
            for chunks in arrivals(packet(content))[: 3 if len(content) < 100 else 1]:
                server = GateServer()
                self.assertEqual(outcome(server, chunks), [BadRequest])
                self.assertEqual(outcome(server, [packet(HELLO)]), [])
                self.assertEqual(server.refuse(BadRequest()), b"\x00\x0f400 Bad Request")

    def test_limit(self) -> None:
        """A handshake at the limit is heard; past it there is none, and no answer (B4)."""
        self.assertEqual(outcome(GateServer(len(HELLO)), [packet(HELLO)]), [HANDSHAKE])
        for chunks in arrivals(packet(HELLO)):
            server = GateServer(len(HELLO) - 1)
            self.assertEqual(outcome(server, chunks), [ProtocolError])
            self.assertEqual(outcome(server, [packet(HELLO[:5])]), [])

    def test_limitBeforeItIsBuffered(self) -> None:
        """A packet that announces too much is refused on its length alone (B4)."""
        self.assertEqual(outcome(GateServer(4096), [b"\x10\x01"]), [ProtocolError])
        self.assertEqual(outcome(GateServer(4096), [b"\x10\x00"]), [])


class ClientTests(SynchronousTestCase):
    """The client's end (H, S)."""

    def test_hello(self) -> None:
        """The hello is the packet of the handshake (H)."""
        self.assertEqual(makeClient().hello, b"\x00\x25" + HELLO)

    def test_responses(self) -> None:
        """However they arrive, responses are the same: content any, flag 0 or 1 (S)."""
        stream = (
            b"\x00\x06200 OK"
            b"\x00\x05\x01abcd"
            b"\x00\x05\x00\x00\x00\x00\x00"
            b"\x00\x0bfailed\x00abcd"
            b"\x00\x06\x01\x01\x01\x01\x01\x01"
            b"\x00\x05\x01ab"
        )
        for chunks in arrivals(stream):
            client = makeClient()
            self.assertEqual(
                outcome(client, chunks),
                [
                    Connected(),
                    Response(b"abcd", True, b""),
                    Response(b"\x00\x00\x00\x00", False, b""),
                    Response(b"abcd", False, b"failed"),
                    Response(b"\x01\x01\x01\x01", True, b"\x01"),
                ],
            )
            self.assertEqual(outcome(client, [b"ce"]), [Response(b"abce", True, b"")])

    def test_longestResponse(self) -> None:
        """A response's content is up to 65,530 bytes (S)."""
        longest = b"x" * 65530
        self.assertEqual(
            outcome(makeClient(), [b"\x00\x06200 OK", b"\xff\xff" + longest + b"\x01abcd"]),
            [Connected(), Response(b"abcd", True, longest)],
        )

    def test_noResponse(self) -> None:
        """What is too short, or has another flag, is no response; nothing after it is (S)."""
        for content in (b"", b"a", b"abcd", b"\x02abcd", b"1abcd", b"hi\xffabcd"):
            client = makeClient()
            self.assertEqual(
                outcome(client, [b"\x00\x06200 OK" + packet(content)]),
                [Connected(), ProtocolError],
            )
            self.assertEqual(outcome(client, [b"\x00\x05\x01abcd"]), [])

    def test_refused(self) -> None:
        """Each refusal is heard as what it is; nothing behind it is heard at all (H)."""
        for refusal, answer in REFUSALS:
            for behind in (b"", b"\x00\x06200 OK\x00\x05\x01abcd"):
                for chunks in arrivals(answer + behind):
                    client = makeClient()
                    self.assertEqual(outcome(client, chunks), [refusal])
                    self.assertEqual(outcome(client, [b"\x00\x06200 OK"]), [])

    def test_refusalText(self) -> None:
        """A refusal's text is the gate's answer."""
        client = makeClient()
        client.feed(b"\x00\x11403 Index Expired")
        error = self.assertRaises(IndexExpired, client.nextEvent)
        self.assertEqual(str(error), "403 Index Expired")

    def test_noGate(self) -> None:
        """Any other answer to a handshake is no gate's (H)."""
        for answer in (b"", b"200", b"200 OK\n", b"403 Forbidden", b"\x01abcd", b"\xff" * 65535):
            client = makeClient()
            self.assertEqual(outcome(client, [packet(answer)]), [ProtocolError])
            self.assertEqual(outcome(client, [b"\x00\x06200 OK"]), [])

    def test_silence(self) -> None:
        """Neither end shows the secret, nor what is proved with it (L6)."""
        server = GateServer()
        outcome(server, [makeClient().hello])
        handshake = parseHandshake(HELLO)
        self.assertEqual(
            repr(handshake),
            "Handshake(user=User(uid=b'alice', subid=b'1', server=b'sample'), index=1, "
            "text=b'YWxpY2U=@c2FtcGxl#MQ==:1')",
        )
        shown = repr(server) + repr(makeClient()) + repr(Connected())
        for private in ("ZluYSPmBkzY", SECRET.hex(), repr(SECRET)[2:-1]):
            self.assertNotIn(private, shown)


class AgreementTests(SynchronousTestCase):
    """Both ends with each other: each is the other's test."""

    def test_connection(self) -> None:
        """Requests may follow the hello at once; they come out behind its verdict (H2)."""
        client, server = makeClient(), GateServer()
        requests = requestPacket(b"abcd", b"one") + requestPacket(b"abce", b"two")
        (handshake,) = outcome(server, [client.hello + requests])
        assert isinstance(handshake, Handshake)
        self.assertTrue(isProvedBy(handshake, SECRET))
        answer, rest = server.accept()
        self.assertEqual(rest, requests)
        answer += responsePacket(b"abce", ANSWERED, b"2") + responsePacket(b"abcd", FAILED, b"")
        self.assertEqual(
            outcome(client, [answer]),
            [Connected(), Response(b"abce", True, b"2"), Response(b"abcd", False, b"")],
        )
