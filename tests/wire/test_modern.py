"""
Tests for L{msgserver.wire.modern}: its keys, what is made with them, and what is refused (L3).
"""

from __future__ import annotations

from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from twisted.trial.unittest import SynchronousTestCase

from msgserver.wire.modern import ModernKeys, ModernSuite
from tests.wire import given, recorded
from tests.wire.modernlogins import IDENTITY, IDENTITY_PUBLIC, OTHER_IDENTITY

CHALLENGE = b"8 bytes!"
CLIENT, SERVER = bytes([1]) * 32, bytes([2]) * 32
PLAIN = ModernSuite()


def publicOf(private: bytes) -> bytes:
    """Give the public key of a private one."""
    return PLAIN.makeKeys(given(private))[1]


def agreed(suite: ModernSuite = PLAIN, answer: bytes | None = None) -> ModernKeys:
    """Give the keys of L{CLIENT}, after what L{SERVER} answers."""
    if answer is None:
        answer = publicOf(SERVER)
    return suite.agree(CLIENT, publicOf(CLIENT), CHALLENGE, answer)


class KeysTests(SynchronousTestCase):
    """The keys of a login (L3)."""

    def test_agree(self) -> None:
        """Both ends come to the same keys, each different from the others."""
        answer, keys = PLAIN.answer(CHALLENGE, publicOf(CLIENT), given(SERVER))
        self.assertEqual(answer, publicOf(SERVER))
        self.assertEqual(keys, agreed())
        made = {keys.secret, keys.proofKey, keys.tokenKey, keys.statusKey}
        self.assertEqual(len(made), 4)
        self.assertEqual({len(key) for key in made}, {32})

    def test_transcript(self) -> None:
        """A challenge or a key that differs in a bit leaves nothing in common."""
        keys = agreed()
        # Of the highest bit of a public key X25519 takes no notice; the transcript does.
        highest = bytearray(publicOf(CLIENT))
        highest[31] ^= 0x80
        for other in (
            PLAIN.agree(CLIENT, publicOf(CLIENT), b"9 bytes!", publicOf(SERVER)),
            PLAIN.agree(CLIENT, bytes(highest), CHALLENGE, publicOf(SERVER)),
            PLAIN.answer(CHALLENGE, bytes(highest), given(SERVER))[1],
        ):
            for name in ("secret", "proofKey", "tokenKey", "statusKey", "proof"):
                self.assertNotEqual(getattr(other, name), getattr(keys, name), name)

    def test_noSecret(self) -> None:
        """A public key that leaves no secret is refused by both ends, in all of its forms."""
        refused = [bytes.fromhex(key) for key in recorded("modern.json")["refused_public_keys"]]
        self.assertEqual(len(set(refused)), 14)
        signing = ModernSuite(signingKey=IDENTITY)
        for key in refused:
            for suite in (PLAIN, signing):
                error = self.assertRaises(ValueError, suite.answer, CHALLENGE, key, given(SERVER))
                self.assertEqual(str(error), "a public key that leaves no secret")
            self.assertRaises(ValueError, agreed, PLAIN, key)
            self.assertRaises(ValueError, agreed, PLAIN, key + bytes(64))

    def test_size(self) -> None:
        """A server's answer is a key, or a key and a signature; a client's is a key."""
        for size in (0, 1, 8, 31, 33, 64, 95, 97, 128):
            error = self.assertRaises(ValueError, agreed, PLAIN, bytes([9]) * size)
            self.assertEqual(str(error), f"a public key of {size} bytes")
        for size in (0, 8, 31, 33, 96):
            key = bytes([9]) * size
            self.assertRaises(ValueError, PLAIN.answer, CHALLENGE, key, given(SERVER))

    def test_silence(self) -> None:
        """What has keys shows none of them (L6)."""
        self.assertEqual(repr(agreed()), "ModernKeys()")
        shown = repr(ModernSuite(signingKey=IDENTITY, serverIdentity=IDENTITY_PUBLIC))
        self.assertNotIn(IDENTITY.private_bytes_raw().hex(), shown)
        self.assertRegex(shown, r"\A<msgserver\.wire\.modern\.ModernSuite object at \w+>\Z")


class TokenTests(SynchronousTestCase):
    """The token on its way (L3)."""

    def test_anyToken(self) -> None:
        """A token of any bytes comes back, 16 bytes longer on the way."""
        for token in (b"", b"\x00", b"\n", bytes(range(256)) * 23):
            sealed = agreed().seal(token)
            self.assertEqual(len(sealed), len(token) + 16)
            self.assertEqual(agreed().unseal(sealed), token)

    def test_changed(self) -> None:
        """A bit that differs, a byte too few or too many, and it is refused."""
        sealed = agreed().seal(b"token")
        for place in range(len(sealed) * 8):
            flipped = bytearray(sealed)
            flipped[place // 8] ^= 1 << place % 8
            self.assertRaises(ValueError, agreed().unseal, bytes(flipped))
        for changed in (sealed[:-1], sealed + b"\x00", sealed[1:], sealed[:15], b""):
            error = self.assertRaises(ValueError, agreed().unseal, changed)
            self.assertEqual(str(error), "not sealed with these keys")

    def test_otherLogin(self) -> None:
        """Another login's token is refused, be it for the challenge alone."""
        other = PLAIN.agree(CLIENT, publicOf(CLIENT), b"9 bytes!", publicOf(SERVER))
        self.assertRaises(ValueError, agreed().unseal, other.seal(b"token"))

    def test_transcriptIsBound(self) -> None:
        """The token is tied to the transcript by itself, not by its key alone."""
        keys = agreed()
        other = ModernKeys(b"another", keys.secret, keys.proofKey, keys.tokenKey, keys.statusKey)
        self.assertRaises(ValueError, other.unseal, keys.seal(b"token"))


class VouchTests(SynchronousTestCase):
    """What stands behind the server's lines (L3)."""

    def test_subid(self) -> None:
        """With no subid it would be the client's own proof; so there is always one."""
        keys = agreed()
        self.assertEqual(keys.vouchForSubid(b""), keys.proof)
        self.assertNotEqual(keys.vouchForSubid(b"1"), keys.proof)

    def test_keys(self) -> None:
        """A mac of one kind is none of the other."""
        keys = agreed()
        for text in (b"", b"1", b"210 aDox", b"401 Unauthorized"):
            self.assertNotEqual(keys.vouchForSubid(text), keys.vouch(text))
            self.assertEqual(len(keys.vouch(text)), 32)


class IdentityTests(SynchronousTestCase):
    """Which server it is (L3)."""

    def answer(self) -> bytes:
        """Give the answer of the server that has the identity key."""
        return ModernSuite(signingKey=IDENTITY).answer(CHALLENGE, publicOf(CLIENT), given(SERVER))[
            0
        ]

    def test_expected(self) -> None:
        """The signature of the expected server is accepted; nobody needs to look at it."""
        self.assertEqual(len(self.answer()), 96)
        expecting = ModernSuite(serverIdentity=IDENTITY_PUBLIC)
        self.assertEqual(agreed(expecting, self.answer()), agreed())
        self.assertEqual(agreed(PLAIN, self.answer()), agreed())

    def test_none(self) -> None:
        """A server that proves nothing is refused, in words that say so."""
        expecting = ModernSuite(serverIdentity=IDENTITY_PUBLIC)
        error = self.assertRaises(ValueError, agreed, expecting, publicOf(SERVER))
        self.assertEqual(str(error), "it proves no identity, where one is expected")

    def test_another(self) -> None:
        """A server with another identity is refused, in words that say so."""
        other = OTHER_IDENTITY.public_key().public_bytes_raw()
        expecting = ModernSuite(serverIdentity=other)
        error = self.assertRaises(ValueError, agreed, expecting, self.answer())
        self.assertEqual(str(error), "it proves another identity than the one expected")

    def test_changed(self) -> None:
        """No bit of the answer can be changed."""
        expecting = ModernSuite(serverIdentity=IDENTITY_PUBLIC)
        for place in range(96 * 8):
            changed = bytearray(self.answer())
            changed[place // 8] ^= 1 << place % 8
            self.assertRaises(ValueError, agreed, expecting, bytes(changed))

    def test_anotherLogin(self) -> None:
        """A signature of another login is none of this one."""
        expecting = ModernSuite(serverIdentity=IDENTITY_PUBLIC)
        signing = ModernSuite(signingKey=IDENTITY)
        for challenge, client in (
            (b"9 bytes!", publicOf(CLIENT)),
            (CHALLENGE, publicOf(bytes([3]) * 32)),
        ):
            answer = signing.answer(challenge, client, given(SERVER))[0]
            self.assertEqual(answer[:32], publicOf(SERVER))
            self.assertRaises(ValueError, agreed, expecting, answer)

    def test_noIdentity(self) -> None:
        """What cannot be a public key is refused when it is given."""
        for raw in (b"", bytes(31), bytes(33), b"x" * 44):
            self.assertRaises(ValueError, ModernSuite, serverIdentity=raw)

    def test_signature(self) -> None:
        """What is signed is the hash of the transcript, by plain Ed25519."""
        key = Ed25519PublicKey.from_public_bytes(IDENTITY_PUBLIC)
        signed = b"msgserver login 2" + CHALLENGE + publicOf(CLIENT) + publicOf(SERVER)
        key.verify(self.answer()[32:], sha256(signed).digest())


class HandshakeMacTests(SynchronousTestCase):
    """The mac of a gate handshake in the modern suite (H)."""

    def test_isHandshakeMac(self) -> None:
        """A mac fits its own text under its own secret, whole, and nothing else."""
        text, secret = b"YWxpY2U=@c2FtcGxl#MQ==:1", bytes(32)
        mac = PLAIN.handshakeMac(text, secret)
        self.assertEqual(len(mac), 32)
        self.assertTrue(PLAIN.isHandshakeMac(mac, text, secret))
        self.assertFalse(PLAIN.isHandshakeMac(mac, text + b"0", secret))
        self.assertFalse(PLAIN.isHandshakeMac(mac, text, bytes(31) + b"\x01"))
        for other in (b"", mac[:8], mac[:31], mac + b"\x00", bytes(32), mac[::-1]):
            self.assertFalse(PLAIN.isHandshakeMac(other, text, secret))
