"""
What overhearing a login is worth (L2, L3): of a classic one everything, of a modern one nothing.

L{tests.attacker} has the lines that were said, and no more. The classic attack takes some
seconds on one core.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from attrs import evolve
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from examples.echo import EchoHandler
from msgserver import User
from msgserver.errors import Forbidden
from msgserver.msgprotocol import GateLimits, MsgFactory
from msgserver.msgservice import MsgService
from msgserver.testing import MemoryTransport
from msgserver.wire import modern
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.framing import packet
from msgserver.wire.login import LoginClient, LoginServer, RandomBytes, Suite
from msgserver.wire.modern import ModernKeys, ModernSuite
from msgserver.wire.naming import decode64, encode64
from tests.attacker import GENERATOR, PRIME, Attacker, Logarithms, Opened, factors
from tests.pages import ROOT

TOKEN = b"YWxpY2U=@c2FtcGxl:" + encode64(b"correct horse battery staple")
SUBID = b"MdAFSLPirox5"
ADDRESS = "192.0.2.9:8888"
IDENTITY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

Lines = list[tuple[str, bytes]]


def overhear(
    client: Suite, server: Suite, randomBytes: RandomBytes = os.urandom, isRefused: bool = False
) -> tuple[Lines, bytes]:
    """Have a login, and give what was said, and the secret that nobody has said."""
    lines: Lines = []
    ours = LoginClient(client, TOKEN, randomBytes)
    theirs = LoginServer({server.keySize: server}, randomBytes)
    secret = None
    while said := theirs.dataToSend():
        lines += [("server", line) for line in said.splitlines()]
        ours.feed(said)
        try:
            ours.nextEvent()
        except Forbidden:
            break
        said = ours.dataToSend()
        lines += [("client", line) for line in said.splitlines()]
        theirs.feed(said)
        event = theirs.nextEvent()
        if event is not None:
            assert event.token == TOKEN
            secret = event.secret
            theirs.refuse(Forbidden()) if isRefused else theirs.admit(SUBID, ADDRESS)
    assert secret is not None
    return lines, secret


class ClassicTests(SynchronousTestCase):
    """The classic suite, inside nothing."""

    def test_theGroup(self) -> None:
        """L2: the order of the group falls to pieces, of which the largest has 43 bits."""
        primes = factors(PRIME - 1)
        self.assertEqual(primes[:-1], [2, 2, 11, 137, 547])
        self.assertEqual(primes[-1].bit_length(), 43)
        for prime in primes:
            self.assertNotEqual(pow(GENERATOR, (PRIME - 1) // prime, PRIME), 1)

    def test_opened(self) -> None:
        """L2: from the lines alone come the secret, the token, and the login itself."""
        # One after the other, since the attacker's preparations hold some hundred megabytes.
        attacker = Attacker()
        self.openFresh(attacker)
        self.openRecorded(attacker)

    def openFresh(self, attacker: Attacker) -> None:
        """Open a login with keys that nobody knows."""
        lines, secret = overhear(ClassicSuite(), ClassicSuite())
        opened = attacker.open(lines)
        self.assertEqual(opened, Opened("a discrete logarithm", TOKEN, secret))
        assert opened is not None
        self.assertIn(b"200 OK", self.connect(secret, opened))

    def openRecorded(self, attacker: Attacker) -> None:
        """Open the login that was recorded of the original, whose keys are lost."""
        record = json.loads((ROOT / "tests" / "vectors" / "classic-transcript.json").read_text())
        login = record["login"]
        opened = attacker.open([(who, line.encode()) for who, line in login["lines"]])
        assert opened is not None
        self.assertEqual(opened.token, login["token"].encode())
        self.assertEqual(opened.secret, bytes.fromhex(login["secret"]))
        handshakes = [
            bytes.fromhex(frames[0][1]).rpartition(b":") for frames in record["connections"]
        ]
        right = [text for text, _, mac in handshakes if opened.handshakeMac(text) == _raw(mac)]
        self.assertGreater(len(right), 1)

    def connect(self, secret: bytes, opened: Opened) -> bytes:
        """Take a login over at its gate by what was overheard, and give the gate's verdict."""
        service = MsgService(EchoHandler(), b"sample", Clock())
        service.startService()
        service.admit(User(b"alice", SUBID, b"sample"), secret)
        gate = MsgFactory(service, Clock(), GateLimits()).buildProtocol(None)
        transport = MemoryTransport()
        transport.connect(gate)
        assert opened.token is not None
        # All that a handshake needs is in the token, and in the line with the subid.
        name = opened.token.rpartition(b":")[0] + b"#" + encode64(SUBID)
        text = name + b":1"
        gate.dataReceived(packet(text + b":" + encode64(opened.handshakeMac(text))))
        verdict: bytes = transport.take()
        transport.lose()
        return verdict

    def test_wrongProof(self) -> None:
        """A logarithm that fits no proof opens nothing: the attacker knows when he has failed."""
        private = bytes(range(8))
        lines, _ = overhear(ClassicSuite(), ClassicSuite(), lambda size: private)
        attacker = Attacker(_Knowing(int.from_bytes(private, "little")))
        self.assertIsNotNone(attacker.open(lines))
        self.assertEqual(lines[3][0], "client")
        lines[3] = ("client", encode64(bytes(8)))
        self.assertIsNone(attacker.open(lines))


class ModernTests(SynchronousTestCase):
    """The modern suite, with the same attacker."""

    def assertClosed(self, lines: Sequence[tuple[str, bytes]]) -> None:
        """See the attacker fail; he has all the lines that there are."""
        self.assertEqual(len([line for who, line in lines if who == "client"]), 3)
        self.assertIsNone(Attacker().open(lines))

    def test_closed(self) -> None:
        """L3: with and without an identity key, admitted or refused, nothing is opened."""
        public = IDENTITY.public_key().public_bytes_raw()
        for client, server in (
            (ModernSuite(), ModernSuite()),
            (ModernSuite(), ModernSuite(signingKey=IDENTITY)),
            (ModernSuite(serverIdentity=public), ModernSuite(signingKey=IDENTITY)),
        ):
            for isRefused in (False, True):
                lines, _ = overhear(client, server, isRefused=isRefused)
                self.assertClosed(lines)

    def test_outsideOfTheGroup(self) -> None:
        """L3: the keys are no elements of the group that the attacker can do."""
        lines, _ = overhear(ModernSuite(), ModernSuite())
        keys = [decode64(lines[1][1]), decode64(lines[2][1])]
        for key in keys:
            self.assertEqual(len(key), 32)
            self.assertGreater(int.from_bytes(key, "little"), PRIME)

    def test_fresh(self) -> None:
        """L3: no login says anything that another has said, but for what is public."""
        said = [overhear(ModernSuite(), ModernSuite())[0] for _ in range(2)]
        both = {line for _, line in said[0]} & {line for _, line in said[1]}
        self.assertEqual(both, set())


class BrokenTests(SynchronousTestCase):
    """The modern suite with one thing broken each: the attacker opens it, so he does try."""

    def assertOpened(
        self,
        how: str,
        hasToken: bool = True,
        hasSecret: bool = True,
        randomBytes: RandomBytes = os.urandom,
    ) -> None:
        """See a login opened, with an identity key and without."""
        for signing in (None, IDENTITY):
            suite = ModernSuite(signingKey=signing)
            lines, secret = overhear(suite, suite, randomBytes)
            opened = Attacker().open(lines)
            self.assertEqual(
                opened, Opened(how, TOKEN if hasToken else None, secret if hasSecret else None)
            )

    def test_sharedSecret(self) -> None:
        """Where both agree on a hash of what is public, in whichever order."""
        hashes: list[Callable[[bytes, bytes], bytes]] = [
            lambda ours, theirs: sha256(b"".join(sorted((ours, theirs)))).digest(),
            lambda ours, theirs: bytes(a ^ b for a, b in zip(ours, theirs, strict=True)),
            lambda ours, theirs: bytes(32),
        ]
        for agree in hashes:
            self.patch(modern, "X25519PrivateKey", _agreeing(agree))
            self.assertOpened("a guess at the shared secret")

    def test_noSharedSecret(self) -> None:
        """Where the keys are derived from the transcript alone."""

        class Forgetful:
            """Derives from nothing."""

            def __init__(self, *options: Any) -> None:
                self._right = HKDF(*options)

            def derive(self, shared: bytes) -> bytes:
                """Leave the shared secret out."""
                return self._right.derive(b"")

        self.patch(modern, "HKDF", Forgetful)
        self.assertOpened("a guess at the shared secret")

    def test_privateKeys(self) -> None:
        """Where the random numbers are none."""
        self.assertOpened("a guess at the shared secret", randomBytes=bytes)
        self.assertOpened("a guess at the shared secret", randomBytes=lambda size: b"7" * size)
        small = _Small()
        self.assertOpened("a guess at the shared secret", randomBytes=small.randomBytes)

    def test_oneKey(self) -> None:
        """Where one of the keys is a hash of what is public."""
        original = modern._derive
        for name, how, hasToken in (
            ("tokenKey", "a guess at the token's key", True),
            ("proofKey", "a guess at a mac's key", False),
            ("statusKey", "a guess at a mac's key", False),
        ):

            def derive(
                private: bytes, theirs: bytes, transcript: bytes, name: str = name
            ) -> ModernKeys:
                keys = original(private, theirs, transcript)
                changed: dict[str, Any] = {name: sha256(transcript).digest()}
                return evolve(keys, **changed)

            self.patch(modern, "_derive", derive)
            self.assertOpened(how, hasToken, hasSecret=False)


class _Knowing(Logarithms):
    """Knows one, and takes it for that of everything."""

    def __init__(self, known: int) -> None:
        self._known = known

    def of(self, element: int) -> int:
        """Give it."""
        return self._known


class _Small:
    """Random numbers that are far too small, each another."""

    def __init__(self) -> None:
        self._last = 1

    def randomBytes(self, size: int) -> bytes:
        """Give the next."""
        self._last += 1
        return self._last.to_bytes(size, "little")


def _agreeing(agree: Callable[[bytes, bytes], bytes]) -> type:
    """Make an L{X25519PrivateKey} that agrees on what C{agree} makes of two public keys."""

    class Agreeing:
        """As said."""

        def __init__(self, key: X25519PrivateKey) -> None:
            self._key = key

        @classmethod
        def from_private_bytes(cls, raw: bytes) -> Agreeing:
            """See L{X25519PrivateKey}."""
            return cls(X25519PrivateKey.from_private_bytes(raw))

        def public_key(self) -> X25519PublicKey:
            """See L{X25519PrivateKey}."""
            return self._key.public_key()

        def exchange(self, theirs: X25519PublicKey) -> bytes:
            """Agree on what anybody can compute."""
            return agree(self.public_key().public_bytes_raw(), theirs.public_bytes_raw())

    return Agreeing


def _raw(text: bytes) -> bytes:
    try:
        return decode64(text)
    except ValueError:
        return b""
