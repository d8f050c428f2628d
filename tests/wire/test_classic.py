"""
Tests for L{msgserver.wire.classic}: the original's bytes, and what it wrongly accepted (L2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.trial.unittest import SynchronousTestCase

from msgserver.wire.classic import (
    PRIME,
    ClassicSuite,
    decrypt,
    encrypt,
    handshakeMac,
    hashKey,
    hmac64,
    isAcceptable,
    publicKey,
    sharedSecret,
)
from tests.wire import given, recorded

KEY = bytes.fromhex("b9388be0af1ec90a")


def littleEndian(number: int) -> bytes:
    """Write a key as the wire does."""
    return number.to_bytes(8, "little")


def rawBlocks(plain: bytes) -> bytes:
    """Encrypt whole blocks under L{KEY} without any padding."""
    return encrypt(KEY, plain)[: len(plain)]


class RecordedTests(SynchronousTestCase):
    """Every function gives what the original gave (L2)."""

    def checkVectors(
        self, section: str, compute: Callable[..., bytes], arguments: tuple[str, ...], result: str
    ) -> None:
        """Compare C{compute} with all 24 vectors of a section."""
        vectors = recorded("classic-crypt.json")[section]
        self.assertEqual(len(vectors), 24)
        for vector in vectors:
            inputs = [bytes.fromhex(vector[name]) for name in arguments]
            self.assertEqual(compute(*inputs).hex(), vector[result], vector)

    def test_publicKey(self) -> None:
        """The original's C{dhexchange}."""
        self.checkVectors("dhexchange", publicKey, ("key",), "public")

    def test_sharedSecret(self) -> None:
        """The original's C{dhsecret}; it took the unacceptable keys too."""
        self.checkVectors("dhsecret", sharedSecret, ("key", "public"), "secret")

    def test_hashKey(self) -> None:
        """The original's C{hashkey}: the multiplications wrap at 32 bits (H)."""
        self.checkVectors("hashkey", hashKey, ("text",), "hash")

    def test_hmac64(self) -> None:
        """The original's C{hmac64}."""
        self.checkVectors("hmac64", hmac64, ("x", "y"), "hmac")

    def test_handshakeMac(self) -> None:
        """The original's C{hmac_hash} (H)."""
        self.checkVectors("hmac_hash", handshakeMac, ("text", "secret"), "hmac")

    def test_encrypt(self) -> None:
        """The original's C{desencode}."""
        self.checkVectors("des", encrypt, ("key", "plain"), "cipher")

    def test_decrypt(self) -> None:
        """The original's C{desdecode}."""
        self.checkVectors("des", decrypt, ("key", "cipher"), "plain")


class KeyTests(SynchronousTestCase):
    """Which public keys may be used (L2)."""

    def test_unacceptable(self) -> None:
        """0, 1, p-1 and everything from p on leave no secret."""
        for number in (0, 1, PRIME - 1, PRIME, PRIME + 1, 2**64 - 1):
            self.assertFalse(isAcceptable(littleEndian(number)), number)

    def test_acceptable(self) -> None:
        """Everything between is a key; p is 2^64-59."""
        for number in (2, 5, 2**63, 2**64 - 61):
            self.assertTrue(isAcceptable(littleEndian(number)), number)

    def test_makeKeys(self) -> None:
        """A private key comes with its public one."""
        private, public = ClassicSuite().makeKeys(given(bytes.fromhex("1122334455667701")))
        self.assertEqual(private.hex(), "1122334455667701")
        self.assertEqual(public.hex(), "dbce9b4663dbab92")

    def test_makeKeysAgain(self) -> None:
        """A private key whose public one no peer would take is thrown away."""
        randomBytes = given(bytes(8), littleEndian((PRIME - 1) // 2), littleEndian(2))
        self.assertEqual(ClassicSuite().makeKeys(randomBytes), (littleEndian(2), littleEndian(25)))

    def test_agreeRefuses(self) -> None:
        """Nothing is agreed on with a key that leaves no secret."""
        suite = ClassicSuite()
        for number in (0, 1, PRIME - 1, PRIME, 2**64 - 1):
            key = littleEndian(number)
            self.assertRaises(ValueError, suite.agree, KEY, publicKey(KEY), bytes(8), key)
            self.assertRaises(ValueError, suite.answer, bytes(8), key, lambda size: KEY)
        self.assertRaises(ValueError, suite.agree, KEY, publicKey(KEY), bytes(8), bytes(9))

    def test_agree(self) -> None:
        """Both ends come to the recorded secret and proof."""
        suite = ClassicSuite()
        challenge = bytes.fromhex("3ed8648261027442")
        client, server = (bytes.fromhex(k) for k in ("1122334455667701", "5e96acc95cb8480c"))
        for mine, theirs in ((client, server), (server, client)):
            keys = suite.agree(mine, publicKey(mine), challenge, publicKey(theirs))
            self.assertEqual(keys.secret.hex(), "b9388be0af1ec90a")
            self.assertEqual(keys.proof.hex(), "ee4baf8b1dca9a2c")


class TokenTests(SynchronousTestCase):
    """DES-ECB with ISO 7816-4 padding (L2)."""

    def test_everySize(self) -> None:
        """A token of any size comes back, those that look like padding included."""
        for token in self.tokens():
            sealed = encrypt(KEY, token)
            self.assertEqual(len(sealed), len(token) // 8 * 8 + 8)
            self.assertEqual(decrypt(KEY, sealed), token)

    def tokens(self) -> Iterator[bytes]:
        for size in range(25):
            yield b"x" * size
            yield b"\x80" * size
            yield b"\x00" * size

    def test_padding(self) -> None:
        """The padding is 0x80 and then as many zeros as fill the block."""
        self.assertEqual(decrypt(KEY, rawBlocks(b"1234567\x80")), b"1234567")
        self.assertEqual(decrypt(KEY, rawBlocks(b"\x80" + bytes(7))), b"")
        self.assertEqual(decrypt(KEY, rawBlocks(b"12345678\x80" + bytes(7))), b"12345678")

    def test_badPadding(self) -> None:
        """Any other padding is refused, and so is one of more than a block."""
        for plain in (
            b"12345678",
            b"1234567\x01",
            b"1234567\x81",
            bytes(8),
            b"1234567\x80" + bytes(8),
            b"\x80" + bytes(15),
            b"12345678" + b"1234567\x01",
        ):
            self.assertRaises(ValueError, decrypt, KEY, rawBlocks(plain))

    def test_badSize(self) -> None:
        """What is no whole number of blocks, one at least, is refused."""
        sealed = encrypt(KEY, b"a token of two blocks")
        for cipher in (b"", sealed[:1], sealed[:7], sealed[:9], sealed[:23], sealed + b"\x00"):
            error = self.assertRaises(ValueError, decrypt, KEY, cipher)
            self.assertEqual(str(error), "not a whole number of DES blocks")

    def test_keys(self) -> None:
        """The keys of a login seal and unseal under the secret, and show nothing (L6)."""
        keys = ClassicSuite().agree(littleEndian(3), b"", bytes(8), littleEndian(25))
        self.assertEqual(keys.secret, littleEndian(25**3))
        self.assertEqual(keys.seal(b"token"), encrypt(littleEndian(25**3), b"token"))
        self.assertEqual(keys.unseal(encrypt(littleEndian(25**3), b"token")), b"token")
        self.assertEqual(repr(keys), "ClassicKeys()")


class HandshakeMacTests(SynchronousTestCase):
    """The mac of a gate handshake in the classic suite (H)."""

    def test_isHandshakeMac(self) -> None:
        """The recorded mac fits its text and secret; nothing else does, of whatever length."""
        suite = ClassicSuite()
        text = b"YWxpY2U=@c2FtcGxl#MQ==:1"
        mac = bytes.fromhex("665b9848f9819336")
        self.assertEqual(suite.handshakeMac(text, KEY), mac)
        self.assertTrue(suite.isHandshakeMac(mac, text, KEY))
        self.assertFalse(suite.isHandshakeMac(mac, text + b"0", KEY))
        self.assertFalse(suite.isHandshakeMac(mac, text, bytes(8)))
        for other in (b"", mac[:7], mac + b"\x00", bytes(8), mac[::-1]):
            self.assertFalse(suite.isHandshakeMac(other, text, KEY))
