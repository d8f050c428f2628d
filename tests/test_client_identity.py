"""
Tests for how L{msgserver.client} holds a login server to its suite, and to its identity key.
"""

from __future__ import annotations

import os
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from msgserver.client import MsgClient, login
from msgserver.clientlogin import LoggedIn
from msgserver.errors import ProtocolError, Refused, Unauthorized
from msgserver.identity import publicText
from msgserver.interfaces import Account
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.login import LoginServer, Suite
from msgserver.wire.modern import ModernSuite
from tests.peers import GatePeer, Network, Peer

ALICE = Account(server=b"sample", uid=b"alice")
TOKEN = b"what alice proves it with"

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
IDENTITY = publicText(KEY)


class LoginPeer(Peer):
    """
    A login server of one suite, which answers as soon as it is asked.

    @ivar token: what it has been given.
    """

    def __init__(self, suite: Suite, protocol: IProtocol) -> None:
        super().__init__(protocol)
        self._wire = LoginServer({suite.keySize: suite}, os.urandom)
        self.token: bytes | None = None

    def converse(self, refusal: Refused | None = None) -> None:
        """Speak until there is nothing to say; then admit, or refuse."""
        while said := self._wire.dataToSend():
            self.say(said)
            self._wire.feed(self.heard())
            try:
                event = self._wire.nextEvent()
            except Unauthorized as error:
                self._wire.refuse(error)
                continue
            if event is not None:
                self.token = event.token
                if refusal is None:
                    self._wire.admit(b"1")
                else:
                    self._wire.refuse(refusal)
        self.lose()


class Servers(Network[LoginPeer]):
    """Where a login server of one suite is."""

    def __init__(self, suite: Suite) -> None:
        # A peer is made by a call; that it is a class is nothing to the network.
        super().__init__(partial(LoginPeer, suite))  # type: ignore[arg-type]


class IdentityTests(SynchronousTestCase):
    """What L{login} makes of servers that are the right one, or are not."""

    def setUp(self) -> None:
        """Begin with the right one."""
        self.clock = Clock()
        self.signing = ModernSuite(signingKey=KEY)

    def loginAt(
        self,
        suite: Suite,
        identity: str | bytes | None = None,
        refusal: Refused | None = None,
    ) -> tuple[Deferred[LoggedIn], LoginPeer]:
        """Log in at a server of a suite, to the end."""
        network = Servers(suite)
        result = login(network, ALICE, TOKEN, serverIdentity=identity, clock=self.clock)
        (server,) = network.peers
        server.converse(refusal)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return result, server

    def assertWrong(self, suite: Suite, reason: str) -> None:
        """See a server refused, which has not been told the token by then."""
        result, server = self.loginAt(suite, IDENTITY)
        text = str(self.failureResultOf(result, ProtocolError).value)
        self.assertEqual(text, reason)
        self.assertIsNone(server.token)
        self.assertTrue(server.isClosing)

    def test_default(self) -> None:
        """L3: without further words a login is a modern one, at any server that there is."""
        for suite in (ModernSuite(), self.signing):
            result, server = self.loginAt(suite)
            self.assertEqual(len(self.successResultOf(result).secret), ModernSuite.secretSize)
            self.assertEqual(server.token, TOKEN)

    def test_right(self) -> None:
        """L3: a server that proves the identity that was given is the one, as text or bytes."""
        for identity in (IDENTITY, IDENTITY.encode(), f"{IDENTITY}\n"):
            result, server = self.loginAt(self.signing, identity)
            self.assertEqual(self.successResultOf(result).user.uid, b"alice")
            self.assertEqual(server.token, TOKEN)

    def test_wrong(self) -> None:
        """L3: another key, or none, is told in one plain line."""
        self.assertWrong(
            ModernSuite(signingKey=OTHER_KEY),
            "no login at this server: it proves another identity than the one expected",
        )
        self.assertWrong(
            ModernSuite(),
            "no login at this server: it proves no identity, where one is expected",
        )

    def test_classicAlone(self) -> None:
        """L3: a server that takes classic logins alone has not refused us for good."""
        for identity in (IDENTITY, None):
            result, _ = self.loginAt(ClassicSuite(), identity)
            failure = self.failureResultOf(result, ProtocolError)
            self.assertIn("it may not take the suite modern", str(failure.value))

    def test_refused(self) -> None:
        """L3: what the server itself says no with is that, and nobody else's no is."""
        result, _ = self.loginAt(self.signing, IDENTITY, Unauthorized())
        self.failureResultOf(result, Unauthorized)
        network = Servers(self.signing)
        result = login(network, ALICE, TOKEN, serverIdentity=IDENTITY, clock=self.clock)
        network.peers[0].say(b"401 Unauthorized\n")
        self.failureResultOf(result, ProtocolError)

    def test_nonsense(self) -> None:
        """What is no identity is told at the call, before anything is connected."""
        network = Servers(self.signing)
        wrong = ("", "x" * 44, IDENTITY[:-1], "\xff" * 44, IDENTITY * 2, b"\xff", bytes(32))
        for nonsense in wrong:
            error = self.assertRaises(
                ValueError, login, network, ALICE, TOKEN, serverIdentity=nonsense
            )
            self.assertIn("44 characters of base64", str(error))
        self.assertEqual(network.peers, [])

    def test_withSuite(self) -> None:
        """An identity is for the modern suite; beside a suite of the caller's it is a mistake."""
        for suite in (ModernSuite(), ClassicSuite()):
            error = self.assertRaises(
                ValueError, login, None, ALICE, TOKEN, suite=suite, serverIdentity=IDENTITY
            )
            self.assertIn("without suite", str(error))


class RetryTests(SynchronousTestCase):
    """What L{MsgClient} makes of a wrong server."""

    def test_wrongServer(self) -> None:
        """L3: nobody in the middle ends a client; it says why it waits, and goes on."""
        clock = Clock()
        wrong, right = Servers(ModernSuite()), Servers(ModernSuite(signingKey=KEY))
        places = [wrong, wrong, right]
        gate = Network(GatePeer)

        def takeLogin() -> Deferred[LoggedIn]:
            place = places.pop(0)
            begun = login(place, ALICE, TOKEN, serverIdentity=IDENTITY, clock=clock)
            # A no that comes before the wrong key is nobody's either.
            if place is wrong and len(wrong.peers) == 2:
                wrong.peers[-1].say(b"401 Unauthorized\n")
            place.peers[-1].converse()
            return begun

        client = MsgClient(clock, takeLogin, gate, retryPolicy=lambda failures: 1.0)
        answer = client.request(b"hello")
        with capturedLogs() as logs:
            clock.pump([0.0, 1.0, 0.0, 1.0, 0.0])
        gate.peers[0].accept()
        self.assertEqual([content for _, content in gate.peers[0].requests()], [b"hello"])
        self.assertNoResult(answer)
        told = [each for each in logs if each["log_level"] is LogLevel.warn]
        self.assertEqual(len(told), 2)
        self.assertIn("identity", repr(told[0]["error"]))
        self.assertIn("did not prove", repr(told[1]["error"]))
        self.assertNotIn(TOKEN.decode(), repr(logs))
        closed = client.close()
        gate.peers[0].lose()
        clock.advance(0)
        self.successResultOf(closed)
        self.failureResultOf(answer)
