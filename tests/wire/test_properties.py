"""
What holds of the wire whatever arrives, and however it is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import TypeVar

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import (
    BadRequest,
    Forbidden,
    IndexExpired,
    NotAcceptable,
    ProtocolError,
    Unauthorized,
    UserNotFound,
)
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.framing import MAX_LINE, MAX_PACKET, packet
from msgserver.wire.gate import (
    ANSWERED,
    FAILED,
    Connected,
    GateClient,
    GateServer,
    Response,
    isProvedBy,
    requestPacket,
    responsePacket,
)
from msgserver.wire.login import Admitted, LoginClient, LoginServer, Suite, TokenReceived
from msgserver.wire.modern import ModernSuite
from msgserver.wire.naming import (
    Handshake,
    User,
    decode64,
    encode64,
    handshakeText,
    parseHandshake,
    parseUsername,
)
from tests import wire
from tests.wire import End, outcome

T = TypeVar("T")

# Always the same examples, and no verdict by the clock: a failure here is one everywhere.
deterministic = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow],
)

CHALLENGE = bytes.fromhex("3ed8648261027442")
CLIENT_PRIVATE = bytes.fromhex("1122334455667701")
SERVER_PRIVATE = bytes.fromhex("5e96acc95cb8480c")
SECRET = bytes.fromhex("b9388be0af1ec90a")
SUITES: dict[int, Suite] = {8: ClassicSuite(), 32: ModernSuite()}
MODERN_PRIVATES = b"\x07" * 32, b"\x09" * 32
"""The client's and the server's."""
ALICE = User(uid=b"alice", subid=b"1", server=b"sample")
HELLO = GateClient(ALICE, SECRET, 1).hello

CLIENT_LINES = [
    b"286bRmPbq5I=\n",
    b"7kuvix3Kmiw=\n",
    b"RUADUZvMzw8SPfJvNszpfjKKbwyAyQwG+64aJlF6USA=\n",
]
SERVER_LINES = [b"PthkgmECdEI=\n", b"utuPRuM1FMU=\n", b"200 MQ==\n", b"210 Z2F0ZTo4ODg4\n"]
STATUS_LINES = [b"401 Unauthorized\n", b"403 Forbidden\n", b"406 Not Acceptable\n"]


def streams(beginning: list[bytes], others: list[bytes]) -> st.SearchStrategy[bytes]:
    """
    Make streams that go deep before they go wrong: some of the right pieces in their order,
    and then anything.
    """
    piece = st.one_of(
        st.sampled_from(beginning + others),
        st.binary(max_size=40),
        st.binary(max_size=40).map(lambda raw: encode64(raw) + b"\n"),
        st.binary(max_size=40).map(packet),
        st.integers(8180, 8200).map(lambda size: b"x" * size),
    )
    return st.tuples(
        st.integers(0, len(beginning)).map(lambda count: b"".join(beginning[:count])),
        st.lists(piece, max_size=6).map(b"".join),
    ).map(b"".join)


clientLines = streams(CLIENT_LINES, [b"\n", b"=\n", b"QR==\n"])
serverLines = streams(SERVER_LINES, [*STATUS_LINES, b"\n", b"200 1\n", b"210 \xff\n"])
clientPackets = streams([HELLO], [HELLO[:-1] + b"\n", b"\xff\xff", packet(b""), packet(b"::")])
serverPackets = streams(
    [packet(b"200 OK"), b"\x00\x05\x01abcd"],
    [b"\x00\x07no\x00abcd", b"\x00\x05\x02abcd", packet(b"401 Unauthorized"), packet(b"")],
)
MAX_CHUNK = 600
"""The most bytes that arrive at once."""
cuts = st.lists(st.integers(1, MAX_CHUNK), max_size=20)


def cut(stream: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Cut a stream into chunks of these sizes, and what is left over into one more."""
    for size in sizes:
        if not stream:
            return
        yield stream[:size]
        stream = stream[size:]
    if stream:
        yield stream


def held(value: object) -> int:
    """Count the bytes that an object of the wire keeps for itself, wherever it keeps them."""
    if isinstance(value, bytes):
        return len(value)
    if type(value).__module__.startswith("msgserver.wire.") and hasattr(value, "__dict__"):
        return sum(map(held, vars(value).values()))
    return 0


def makeLoginServer() -> LoginServer:
    """Make the server of the recorded login."""
    return LoginServer({8: ClassicSuite()}, wire.given(CHALLENGE, SERVER_PRIVATE))


def makeModernServer() -> LoginServer:
    """Make a server that takes both suites, and has the key for the modern one."""
    return LoginServer(SUITES, lambda size: {8: CHALLENGE, 32: MODERN_PRIVATES[1]}[size])


def makeModernClient() -> LoginClient:
    """Make that server's client."""
    return LoginClient(ModernSuite(), b"token", wire.given(MODERN_PRIVATES[0]))


def modernLines() -> tuple[list[bytes], list[bytes]]:
    """Give the lines of a login of these two: the client's, and the server's."""
    up, down = [], []
    server, client = makeModernServer(), makeModernClient()
    while said := server.dataToSend():
        down.append(said)
        outcome(client, [said])
        up.append(client.dataToSend())
        if outcome(server, [up[-1]]):
            server.admit(b"1", "gate:8888")
    return _lines(up), _lines(down)


def _lines(said: list[bytes]) -> list[bytes]:
    return b"".join(said).splitlines(keepends=True)


def makeLoginClient() -> LoginClient:
    """Make the client of the recorded login."""
    token = b"YWxpY2U=@c2FtcGxl:cGFzc3dvcmQ="
    return LoginClient(ClassicSuite(), token, wire.given(CLIENT_PRIVATE))


def makeGateClient() -> GateClient:
    """Make the client of the recorded connection."""
    return GateClient(ALICE, SECRET, 1)


MODERN_UP, MODERN_DOWN = modernLines()
modernClientLines = streams(MODERN_UP, [*CLIENT_LINES, b"\n", b"QR==\n"])
modernServerLines = streams(
    MODERN_DOWN, [*SERVER_LINES, *STATUS_LINES, b"200  " + MODERN_UP[1], b"\n"]
)


class AnyBytesTests(SynchronousTestCase):
    """
    Whatever arrives, an end makes events and at most one error of its own wire, and is then
    deaf; how it arrives makes no difference.
    """

    def checkSplit(
        self, makeEnd: Callable[[], End], stream: bytes, sizes: list[int], allowed: set[type]
    ) -> None:
        """Compare the stream in one chunk with the stream in many."""
        whole = makeEnd()
        expected = outcome(whole, [stream])
        self.assertLessEqual({event for event in expected if isinstance(event, type)}, allowed)
        self.assertEqual(outcome(makeEnd(), cut(stream, sizes)), expected)
        if expected and isinstance(expected[-1], type):
            self.assertEqual(outcome(whole, [stream]), [])

    @deterministic
    @given(clientLines, cuts)
    def test_loginServer(self, stream: bytes, sizes: list[int]) -> None:
        """The login server says 401 or closes, nothing else (L, L1)."""
        self.checkSplit(makeLoginServer, stream, sizes, {Unauthorized, ProtocolError})

    @deterministic
    @given(serverLines, cuts)
    def test_loginClient(self, stream: bytes, sizes: list[int]) -> None:
        """The login client hears a refusal or no login server (L)."""
        allowed: set[type] = {Unauthorized, Forbidden, NotAcceptable, ProtocolError}
        self.checkSplit(makeLoginClient, stream, sizes, allowed)

    @deterministic
    @given(modernClientLines, cuts)
    @example(b"".join(MODERN_UP), [1] * 200)
    def test_modernServer(self, stream: bytes, sizes: list[int]) -> None:
        """So does one that takes the modern suite, too (L, L1, L3)."""
        self.checkSplit(makeModernServer, stream, sizes, {Unauthorized, ProtocolError})

    @deterministic
    @given(modernServerLines, cuts)
    @example(b"".join(MODERN_DOWN), [1] * 300)
    def test_modernClient(self, stream: bytes, sizes: list[int]) -> None:
        """A modern client is never made to give up, for nothing here is the server's no (L3)."""
        self.checkSplit(makeModernClient, stream, sizes, {ProtocolError})
        for event in outcome(makeModernClient(), [stream]):
            if event is not ProtocolError:
                assert isinstance(event, Admitted)
                self.assertEqual((event.subid, event.address), (b"1", "gate:8888"))

    @deterministic
    @given(clientPackets, cuts, st.sampled_from([len(HELLO) - 3, len(HELLO) - 2, MAX_PACKET]))
    def test_gateServer(self, stream: bytes, sizes: list[int], limit: int) -> None:
        """The gate says 400 or closes; behind a handshake, every byte is still there (H2)."""
        self.checkSplit(lambda: GateServer(limit), stream, sizes, {BadRequest, ProtocolError})
        server = GateServer(limit)
        events = outcome(server, cut(stream, sizes))
        if events and isinstance(events[0], Handshake):
            handshakeSize = 2 + int.from_bytes(stream[:2], "big")
            self.assertEqual(server.accept()[1], stream[handshakeSize:])

    @deterministic
    @given(serverPackets, cuts)
    def test_gateClient(self, stream: bytes, sizes: list[int]) -> None:
        """The gate's client hears a refusal or no gate (H, S)."""
        allowed: set[type] = {BadRequest, Unauthorized, IndexExpired, UserNotFound, ProtocolError}
        self.checkSplit(makeGateClient, stream, sizes, allowed)


class BoundTests(SynchronousTestCase):
    """What an end holds does not grow with what a stranger sends (B4)."""

    def checkHeld(self, end: End, stream: bytes, sizes: list[int], limit: int) -> None:
        """See the end hold a message at most and one chunk, after its errors too."""
        own = held(end)
        for chunk in cut(stream + b"x" * 12_000, sizes + [MAX_CHUNK] * 30):
            if any(isinstance(event, Handshake) for event in outcome(end, [chunk])):
                # What is behind it is held until the verdict, which comes at once (H2).
                return
            # 100: the keys, and the line that tells the client the server's.
            self.assertLessEqual(held(end), own + limit + MAX_CHUNK + 100)

    @deterministic
    @given(clientLines, cuts)
    def test_loginServer(self, stream: bytes, sizes: list[int]) -> None:
        """The login server holds a line at most (L1)."""
        self.checkHeld(makeLoginServer(), stream, sizes, MAX_LINE)

    @deterministic
    @given(modernClientLines, cuts)
    def test_modernServer(self, stream: bytes, sizes: list[int]) -> None:
        """So does one of the modern suite (L1)."""
        self.checkHeld(makeModernServer(), stream, sizes, MAX_LINE)

    @deterministic
    @given(clientPackets, cuts)
    def test_gateServer(self, stream: bytes, sizes: list[int]) -> None:
        """The gate holds a packet at most (B4)."""
        self.checkHeld(GateServer(4096), stream, sizes, 4096 + 2)

    @deterministic
    @given(clientPackets, cuts)
    def test_refused(self, stream: bytes, sizes: list[int]) -> None:
        """A gate that has refused holds nothing at all (H2)."""
        server = GateServer(4096)
        outcome(server, [HELLO + stream])
        server.refuse(UserNotFound())
        self.assertEqual(outcome(server, cut(stream, sizes)), [])
        self.assertEqual(held(server), 0)


class AgreementTests(SynchronousTestCase):
    """Each end understands the other, whatever is said and however it is cut."""

    @deterministic
    @given(
        st.binary(max_size=5000),
        st.binary(max_size=50),
        st.none() | st.text(st.characters(codec="utf-8"), max_size=50),
        st.integers(0, 2**64),
        st.sampled_from(sorted(SUITES)),
        cuts,
        cuts,
    )
    @example(b"x" * 5000, b"1", None, 1, 8, [1] * 7000, [1] * 7000)
    @example(b"x" * 5000, b"1", "gate:8888", 1, 32, [1] * 7000, [1] * 7000)
    def test_login(
        self,
        token: bytes,
        subid: bytes,
        address: str | None,
        seed: int,
        size: int,
        up: list[int],
        down: list[int],
    ) -> None:
        """A client's token arrives, and both ends hold the same secret, in either suite (L)."""
        randomBytes = Random(seed).randbytes
        server = LoginServer(SUITES, randomBytes)
        client = LoginClient(SUITES[size], token, randomBytes)
        for _ in range(2):
            self.assertEqual(outcome(client, cut(server.dataToSend(), down)), [])
            events = outcome(server, cut(client.dataToSend(), up))
        (received,) = events
        assert isinstance(received, TokenReceived)
        self.assertEqual((received.token, len(received.secret)), (token, size))
        if SUITES[size].vouches and not subid:
            # There is none such (L3).
            subid = b"1"
        server.admit(subid, address)
        told = outcome(client, cut(server.dataToSend(), down))
        admitted = Admitted(subid, received.secret, address)
        self.assertEqual([*told, client.feedEnd()][0], admitted)

    @deterministic
    @given(
        st.builds(User, st.binary(), st.binary(), st.binary()),
        st.binary(min_size=8, max_size=8) | st.binary(min_size=32, max_size=32),
        st.integers(0, 2**63 - 1),
        st.binary(max_size=99),
        cuts,
    )
    def test_handshake(
        self, user: User, secret: bytes, index: int, behind: bytes, sizes: list[int]
    ) -> None:
        """A client's hello says who it is, and proves it by its secret alone (H)."""
        client, server = GateClient(user, secret, index), GateServer()
        (handshake,) = outcome(server, cut(client.hello + behind, sizes))
        assert isinstance(handshake, Handshake)
        self.assertEqual((handshake.user, handshake.index), (user, index))
        self.assertTrue(isProvedBy(handshake, secret))
        self.assertFalse(isProvedBy(handshake, bytes(byte ^ 1 for byte in secret)))
        answer, rest = server.accept()
        self.assertEqual(rest, behind)
        self.assertEqual(outcome(client, [answer]), [Connected()])

    @deterministic
    @given(
        st.lists(
            st.builds(Response, st.binary(min_size=4, max_size=4), st.booleans(), st.binary())
        ),
        cuts,
    )
    def test_responses(self, responses: list[Response], sizes: list[int]) -> None:
        """Responses arrive as they were written (S)."""
        stream = b"".join(
            responsePacket(each.session, ANSWERED if each.isAnswer else FAILED, each.content)
            for each in responses
        )
        client = makeGateClient()
        self.assertEqual(
            outcome(client, cut(packet(b"200 OK") + stream, sizes)), [Connected(), *responses]
        )

    @deterministic
    @given(st.binary(min_size=4, max_size=4), st.binary())
    def test_request(self, session: bytes, content: bytes) -> None:
        """A request is a packet that ends in its session (S)."""
        written = requestPacket(session, content)
        self.assertEqual(written, packet(content + session))


class NamingTests(SynchronousTestCase):
    """Names have one form: what can be read is what would be written."""

    def checkCanonical(
        self,
        text: bytes,
        read: Callable[[bytes], T],
        write: Callable[[T], bytes],
        no: type[Exception],
    ) -> None:
        """Read any bytes: refused, or written again as they were."""
        try:
            value = read(text)
        except no:
            return
        self.assertEqual(write(value), text)

    @deterministic
    @given(st.binary())
    def test_base64(self, raw: bytes) -> None:
        """Base64 gives back what went in."""
        self.assertEqual(decode64(encode64(raw)), raw)

    @deterministic
    @given(st.binary(max_size=9) | st.text("QRJ=_-\n ", max_size=9).map(str.encode))
    def test_anyBase64(self, text: bytes) -> None:
        """No two texts are the same value's base64."""
        self.checkCanonical(text, decode64, encode64, ValueError)

    @deterministic
    @given(st.builds(User, st.binary(), st.binary(), st.binary()))
    def test_username(self, user: User) -> None:
        """A user of any bytes has a username, and it names that user."""
        self.assertEqual(parseUsername(user.username), user)

    @deterministic
    @given(st.binary(max_size=20) | st.text("QR=@#\n", max_size=20).map(str.encode))
    def test_anyUsername(self, username: bytes) -> None:
        """No two usernames are the same user's."""
        self.checkCanonical(username, parseUsername, lambda user: user.username, ValueError)

    @deterministic
    @given(
        st.binary(max_size=20)
        | st.text("019:+-e \n", max_size=25).map(lambda text: b"QQ==@QQ==#QQ==:" + text.encode())
    )
    def test_anyHandshake(self, content: bytes) -> None:
        """No two handshakes say the same (H)."""
        self.checkCanonical(
            content,
            parseHandshake,
            lambda read: handshakeText(read.user, read.index) + b":" + encode64(read.mac),
            BadRequest,
        )
