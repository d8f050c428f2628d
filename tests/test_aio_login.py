"""
Tests for L{msgserver.aio.login}: one conversation each, against the original's recorded words
and against login servers that are to prove who they are.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from typing import Any

from twisted.internet.error import ConnectionLost

from msgserver.aio import login
from msgserver.clientlogin import LoggedIn
from msgserver.errors import Forbidden, NotAcceptable, ProtocolError, Refused, Unauthorized
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.modern import ModernSuite
from msgserver.wire.naming import Account
from tests.aioloop import LoopTestCase
from tests.peers import FIRST, SECRET, Peer
from tests.test_client_identity import IDENTITY, KEY, OTHER_KEY, TOKEN, LoginPeer

ALICE = Account(server=b"sample", uid=b"alice")


class LoginTests(LoopTestCase):
    """L{login} against the original's words, as they were recorded."""

    peer = Peer

    def setUp(self) -> None:
        super().setUp()
        self.result = self.begin()
        self.server: Peer = self.loop.peers[0]

    def begin(self, address: str = "login.example:8001", **options: Any) -> asyncio.Task[LoggedIn]:
        """Log in with the recording's token and randomness."""
        options.setdefault("suite", ClassicSuite())
        return self.loop.begin(
            login(
                address,
                ALICE,
                b"YWxpY2U=@c2FtcGxl:cGFzc3dvcmQ=",
                randomBytes=lambda size: bytes.fromhex("1122334455667701"),
                **options,
            )
        )

    def sayUntilVerdict(self) -> None:
        """Say what the server says before its status."""
        self.server.say(b"PthkgmECdEI=\n")
        self.server.say(b"utuPRuM1FMU=\n")

    def assertOver(self) -> None:
        """Nothing is left: the connection is closed, and no timer waits."""
        self.assertTrue(self.server.isClosing)
        self.assertNothingLeft()

    def test_conversation(self) -> None:
        """L: the client's lines are those of the recording, each when it is due."""
        self.assertEqual(self.server.heard(), b"")
        self.server.say(b"PthkgmECdEI=\n")
        self.assertEqual(self.server.heard(), b"286bRmPbq5I=\n")
        self.server.say(b"utuPRuM1FMU=\n")
        self.assertEqual(
            self.server.heard(),
            b"7kuvix3Kmiw=\nRUADUZvMzw8SPfJvNszpfjKKbwyAyQwG+64aJlF6USA=\n",
        )
        self.server.lose()
        self.errorOf(self.result, ProtocolError)

    def test_serverCloses(self) -> None:
        """L, step 6: a server that says 200 and closes has admitted us at once."""
        self.sayUntilVerdict()
        self.server.say(b"200 MQ==\n")
        self.assertNotDone(self.result)
        self.server.lose()
        self.assertEqual(self.resultOf(self.result), FIRST)
        self.assertNothingLeft()

    def test_originalNeverCloses(self) -> None:
        """L, step 6: of one that says 200 and does not close, we stop to wait, and close."""
        self.sayUntilVerdict()
        self.server.say(b"200 MQ==\n")
        self.loop.advance(0.499)
        self.assertNotDone(self.result)
        self.loop.advance(0.002)
        self.assertEqual(self.resultOf(self.result), FIRST)
        self.assertOver()

    def test_address(self) -> None:
        """L5: the gate's address is in a second line, in the same segment or later."""
        self.sayUntilVerdict()
        for piece in (b"200 MQ==\n210 Z2F0", b"ZTo4", b"ODg4\n"):
            self.server.say(piece)
            self.loop.advance(0.1)
        self.assertEqual(self.resultOf(self.result).address, "gate:8888")
        self.assertOver()

    def test_nonsenseAddress(self) -> None:
        """L5: an address that nobody can connect to is no login; nor is a path of ours."""
        self.result.cancel()
        for line in (b"210 Z2F0ZQ==\n", b"210 dW5peDovcnVuL2dhdGU=\n"):
            self.result = self.begin()
            self.server = self.loop.peers[-1]
            self.sayUntilVerdict()
            self.server.say(b"200 MQ==\n" + line)
            self.errorOf(self.result, ProtocolError)
            self.assertTrue(self.server.isClosing)

    def test_refusals(self) -> None:
        """L: each status that says no is the failure of its name."""
        refusals: list[tuple[bytes, type[Refused]]] = [
            (b"401 Unauthorized\n", Unauthorized),
            (b"403 Forbidden\n", Forbidden),
            (b"406 Not Acceptable\n", NotAcceptable),
        ]
        for line, refusal in refusals:
            self.server = self.loop.peers[-1]
            self.sayUntilVerdict()
            self.server.say(line + b"and more\n")
            self.errorOf(self.result, refusal)
            self.assertOver()
            self.result = self.begin()
        self.result.cancel()

    def test_noLoginServer(self) -> None:
        """What does not speak the wire is told apart from what says no."""
        self.server.say(b"SSH-2.0-OpenSSH_9.6\r\n")
        self.errorOf(self.result, ProtocolError)
        self.assertOver()

    def test_closedWithoutVerdict(self) -> None:
        """L1: a server that closes, as it does when the deadline has passed, said nothing."""
        self.sayUntilVerdict()
        self.server.lose()
        self.errorOf(self.result, ProtocolError)
        self.assertNothingLeft()

    def test_connectionBreaks(self) -> None:
        """A connection that is lost otherwise fails with how it was lost."""
        self.sayUntilVerdict()
        self.server.lose(ConnectionLost())
        self.errorOf(self.result, ConnectionLost)
        self.assertNothingLeft()

    def test_connectionBreaksAfterTheVerdict(self) -> None:
        """L, step 6: 200 is what counts, however the connection ends after it."""
        self.sayUntilVerdict()
        self.server.say(b"200 MQ==\n")
        self.server.lose(ConnectionLost())
        self.assertEqual(self.resultOf(self.result), FIRST)
        self.assertNothingLeft()

    def test_noConnection(self) -> None:
        """Where nobody listens, that is what it says."""
        self.result.cancel()
        self.loop.failure = ConnectionRefusedError()
        self.errorOf(self.begin(), ConnectionRefusedError)

    def test_timeOut(self) -> None:
        """L1: a server that never answers is given up after 10 seconds."""
        self.sayUntilVerdict()
        self.loop.advance(9.9)
        self.assertNotDone(self.result)
        self.loop.advance(0.2)
        error = self.errorOf(self.result, TimeoutError)
        self.assertEqual(str(error), "no login within 10 seconds")
        self.assertOver()

    def test_timeOutConnecting(self) -> None:
        """L1: the time-out begins with connecting, and is the caller's to say."""
        self.result.cancel()
        self.loop.isSilent = True
        result = self.begin(timeout=3.0)
        self.loop.advance(3.1)
        self.assertEqual(str(self.errorOf(result, TimeoutError)), "no login within 3 seconds")
        result = self.begin(timeout=None)
        self.loop.advance(10_000.0)
        self.assertNotDone(result)
        result.cancel()

    def test_timeOutOfTheKernel(self) -> None:
        """What the kernel has given up says so itself."""
        self.result.cancel()
        self.loop.failure = TimeoutError(110, "Connection timed out")
        self.assertEqual(self.errorOf(self.begin(), TimeoutError).errno, 110)

    def test_cancel(self) -> None:
        """A login that is cancelled, be it in its last moment, leaves nothing."""
        self.sayUntilVerdict()
        self.server.say(b"200 MQ==\n")
        self.result.cancel()
        self.errorOf(self.result, asyncio.CancelledError)
        self.assertOver()
        self.loop.isSilent = True
        result = self.begin()
        result.cancel()
        self.errorOf(result, asyncio.CancelledError)
        self.assertNothingLeft()

    def test_tokenStaysOutOfFailures(self) -> None:
        """L6: what goes wrong says nothing of the token and the secret."""
        self.sayUntilVerdict()
        self.server.say(b"401 Unauthorized\n")
        text = repr(self.errorOf(self.result, Unauthorized)) + repr(FIRST) + repr(self.result)
        self.assertNotIn("cGFzc3dvcmQ=", text)
        self.assertNotIn(repr(SECRET), text)

    def test_places(self) -> None:
        """The server is where the address says; TLS is by the name of its host."""
        self.result.cancel()
        context = ssl.create_default_context()
        for address, place in (
            ("[2001:db8::1]:8001", ("2001:db8::1", 8001)),
            ("unix:/run/login", "/run/login"),
        ):
            self.begin(address).cancel()
            self.assertEqual(self.loop.places[-1], place)
        self.begin("login.example:8001", ssl=context).cancel()
        self.assertEqual(self.loop.options[-1]["server_hostname"], "login.example")
        self.assertIs(self.loop.options[-1]["ssl"], context)
        for address, options in (("login", {}), ("unix:/run/login", {"ssl": context})):
            self.errorOf(self.begin(address, **options), ValueError)


class IdentityTests(LoopTestCase):
    """L3: which servers L{login} tells who is asking."""

    def converse(
        self, suite: ModernSuite, refusal: Refused | None = None, **options: Any
    ) -> tuple[asyncio.Task[LoggedIn], LoginPeer]:
        """Log in at a server of a suite."""
        self.loop.peer = partial(LoginPeer, suite)
        result = self.loop.begin(login("login.example:8001", ALICE, TOKEN, **options))
        server = self.loop.peers[-1]
        assert isinstance(server, LoginPeer)
        server.converse(refusal)
        return result, server

    def test_right(self) -> None:
        """The server with the key is logged in at, and so is any where none is asked for."""
        known: list[dict[str, Any]] = [{"serverIdentity": IDENTITY}, {}]
        for options in known:
            result, server = self.converse(ModernSuite(signingKey=KEY), **options)
            self.assertEqual(self.resultOf(result).user, FIRST.user)
            self.assertEqual(server.token, TOKEN)

    def test_wrong(self) -> None:
        """A server with another key, or none, is told nothing."""
        for suite in (ModernSuite(signingKey=OTHER_KEY), ModernSuite()):
            result, server = self.converse(suite, serverIdentity=IDENTITY)
            self.errorOf(result, ProtocolError)
            self.assertIsNone(server.token)

    def test_refused(self) -> None:
        """A refusal of the right server's is believed."""
        suite = ModernSuite(signingKey=KEY)
        result, _ = self.converse(suite, Unauthorized(), serverIdentity=IDENTITY)
        self.errorOf(result, Unauthorized)

    def test_mistakes(self) -> None:
        """What is no identity is said at once, and so is a suite beside one."""
        for options in (
            {"serverIdentity": "nonsense"},
            {"serverIdentity": IDENTITY, "suite": ClassicSuite()},
        ):
            result = self.loop.begin(login("login.example:8001", ALICE, TOKEN, **options))
            self.errorOf(result, ValueError)
        self.assertEqual(self.loop.places, [])
