"""
What each suite must compute, in the words of the rules (L2, L3), for L{tests.wire.conversations}.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from hmac import digest
from typing import Protocol

from attrs import field, frozen
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from msgserver.wire.classic import (
    ClassicSuite,
    decrypt,
    encrypt,
    hmac64,
    publicKey,
    sharedSecret,
)
from msgserver.wire.login import Suite
from msgserver.wire.modern import ModernSuite

GROUP_ORDER = 2**64 - 60


@frozen
class Keys:
    """
    What an end holds once the keys are exchanged.

    @ivar unseal: gives None where the token was not sealed with these keys.
    @ivar subidMac: gives nothing where no mac stands behind a subid; so does L{lineMac}.
    """

    secret: bytes
    proof: bytes
    seal: Callable[[bytes], bytes] = field(eq=False)
    unseal: Callable[[bytes], bytes | None] = field(eq=False)
    subidMac: Callable[[bytes], bytes] = field(eq=False)
    lineMac: Callable[[bytes], bytes] = field(eq=False)


class Model(Protocol):
    """
    A suite.

    @ivar hasMacs: what the server says once the keys are exchanged counts with its mac only.
    """

    keySize: int
    hasMacs: bool

    def clientSuite(self) -> Suite:
        """Make what is tested against this, for a client."""

    def serverSuite(self) -> Suite:
        """Make what is tested against this, for a server."""

    def public(self, private: bytes) -> bytes:
        """Compute a public key."""

    def answer(self, challenge: bytes, client: bytes, private: bytes) -> bytes:
        """Compute what the server says to a client's public key."""

    def isExpected(self, challenge: bytes, client: bytes, answer: bytes) -> bool:
        """Say whether a server that says this is the one that the client expects."""

    def keys(
        self, challenge: bytes, client: bytes, answer: bytes, private: bytes, theirs: bytes
    ) -> Keys | None:
        """
        Compute what both ends hold; None where they hold nothing.

        @param private: of one end.
        @param theirs: what the other said: C{client} or C{answer}.
        """


class ClassicModel:
    """The classic suite (L2)."""

    keySize = 8
    hasMacs = False

    def clientSuite(self) -> Suite:
        """Make what is tested against this."""
        return ClassicSuite()

    serverSuite = clientSuite

    def public(self, private: bytes) -> bytes:
        """Compute a public key."""
        return publicKey(private)

    def answer(self, challenge: bytes, client: bytes, private: bytes) -> bytes:
        """Give the public key."""
        return publicKey(private)

    def isExpected(self, challenge: bytes, client: bytes, answer: bytes) -> bool:
        """Say that any is."""
        return True

    def keys(
        self, challenge: bytes, client: bytes, answer: bytes, private: bytes, theirs: bytes
    ) -> Keys | None:
        """Compute what both ends hold."""
        if len(theirs) != 8 or not 1 < int.from_bytes(theirs, "little") < GROUP_ORDER:
            return None
        secret = sharedSecret(private, theirs)

        def unseal(sealed: bytes) -> bytes | None:
            try:
                return decrypt(secret, sealed)
            except ValueError:
                return None

        return Keys(
            secret,
            hmac64(challenge, secret),
            lambda token: encrypt(secret, token),
            unseal,
            lambda subid: b"",
            lambda text: b"",
        )


@frozen
class ModernModel:
    """
    The modern suite (L3).

    @ivar identity: what the server proves and the client expects, if anything.
    """

    identity: Ed25519PrivateKey | None = None
    keySize = 32
    hasMacs = True

    def clientSuite(self) -> Suite:
        """Make what is tested against this, for a client."""
        if self.identity is None:
            return ModernSuite()
        return ModernSuite(serverIdentity=self.identity.public_key().public_bytes_raw())

    def serverSuite(self) -> Suite:
        """Make what is tested against this, for a server."""
        return ModernSuite(signingKey=self.identity)

    def public(self, private: bytes) -> bytes:
        """Compute a public key."""
        return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()

    def answer(self, challenge: bytes, client: bytes, private: bytes) -> bytes:
        """Compute what the server says to a client's public key."""
        public = self.public(private)
        if self.identity is None:
            return public
        return public + self.identity.sign(_hashed(challenge, client, public))

    def isExpected(self, challenge: bytes, client: bytes, answer: bytes) -> bool:
        """Say whether a server that says this is the one that the client expects."""
        if self.identity is None:
            return True
        try:
            self.identity.public_key().verify(answer[32:], _hashed(challenge, client, answer[:32]))
        except InvalidSignature:
            return False
        return True

    def keys(
        self, challenge: bytes, client: bytes, answer: bytes, private: bytes, theirs: bytes
    ) -> Keys | None:
        """Compute what both ends hold."""
        if len(client) != 32 or len(answer) not in (32, 96):
            return None
        try:
            other = X25519PublicKey.from_public_bytes(theirs[:32])
            shared = X25519PrivateKey.from_private_bytes(private).exchange(other)
        except ValueError:
            return None
        transcript = b"msgserver login 2" + challenge + client + answer[:32]
        key = digest(sha256(transcript).digest(), shared, "sha256")
        blocks = [b""]
        for number in range(1, 5):
            text = blocks[-1] + b"msgserver login 2 keys" + bytes([number])
            blocks.append(digest(key, text, "sha256"))
        _, secret, proofKey, tokenKey, statusKey = blocks
        cipher = ChaCha20Poly1305(tokenKey)

        def unseal(sealed: bytes) -> bytes | None:
            try:
                return cipher.decrypt(bytes(12), sealed, transcript)
            except (InvalidTag, ValueError):
                return None

        return Keys(
            secret,
            digest(proofKey, transcript, "sha256"),
            lambda token: cipher.encrypt(bytes(12), token, transcript),
            unseal,
            lambda subid: digest(proofKey, transcript + subid, "sha256"),
            lambda text: digest(statusKey, transcript + text, "sha256"),
        )


def _hashed(challenge: bytes, client: bytes, server: bytes) -> bytes:
    return sha256(b"msgserver login 2" + challenge + client + server).digest()
