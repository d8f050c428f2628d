"""
The modern suite (L3): X25519, HKDF-SHA256, ChaCha20-Poly1305, and Ed25519 where the server has
an identity key. What each part is for, C{docs/protocol.md} says.

The bytes are those of C{tests/vectors/modern.json}, with every value in between.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest, digest

from attrs import field, frozen
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SIZE = 32
"""The bytes of a key, of the secret, and of a mac."""

SIGNATURE_SIZE = 64
"""The bytes of a signature by the identity key."""

_LABEL = b"msgserver login 2"
_KEYS_LABEL = b"msgserver login 2 keys"
# Each token key seals one token, so its one nonce need not differ from any other.
_NONCE = bytes(12)


@frozen
class ModernKeys:
    """
    What one end of a login conversation holds once the keys are exchanged.

    @ivar transcript: T: all that both ends have said so far.
    """

    transcript: bytes = field(repr=False)
    secret: bytes = field(repr=False)
    proofKey: bytes = field(repr=False)
    tokenKey: bytes = field(repr=False)
    statusKey: bytes = field(repr=False)

    @property
    def proof(self) -> bytes:
        """What the client must send to show that it holds the secret."""
        return _mac(self.proofKey, self.transcript)

    def seal(self, token: bytes) -> bytes:
        """Encrypt the client's token."""
        return ChaCha20Poly1305(self.tokenKey).encrypt(_NONCE, token, self.transcript)

    def unseal(self, sealed: bytes) -> bytes:
        """
        Decrypt the client's token.

        @raise ValueError: it was not sealed with these keys, or has been changed.
        """
        try:
            return ChaCha20Poly1305(self.tokenKey).decrypt(_NONCE, sealed, self.transcript)
        except (InvalidTag, ValueError):
            raise ValueError("not sealed with these keys") from None

    def vouchForSubid(self, subid: bytes) -> bytes:
        """Make the mac that stands behind a subid; with an empty one, it would be the proof."""
        return _mac(self.proofKey, self.transcript + subid)

    def vouch(self, text: bytes) -> bytes:
        """Make the mac that stands behind any other line of the server's."""
        return _mac(self.statusKey, self.transcript + text)


class ModernSuite:
    """
    The modern suite as L{msgserver.wire.login} and L{msgserver.wire.gate} use it.

    @param signingKey: what a server proves with which one it is; None: it does not.
    @param serverIdentity: the public part of that key, 32 bytes, as a client was given it. A
        server that does not prove that it has the key is refused. None: any server is
        believed, whoever it may be.
    @raise ValueError: C{serverIdentity} is no public key.
    """

    name = "modern"
    keySize = SIZE
    secretSize = SIZE
    vouches = True

    def __init__(
        self,
        *,
        signingKey: Ed25519PrivateKey | None = None,
        serverIdentity: bytes | None = None,
    ) -> None:
        self._signingKey = signingKey
        self._identity: Ed25519PublicKey | None = None
        if serverIdentity is not None:
            self._identity = Ed25519PublicKey.from_public_bytes(serverIdentity)

    def makeKeys(self, randomBytes: Callable[[int], bytes]) -> tuple[bytes, bytes]:
        """
        Make a private and its public key.

        @param randomBytes: gives as many unpredictable bytes as asked for.
        """
        private = randomBytes(SIZE)
        return private, X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()

    def answer(
        self, challenge: bytes, theirs: bytes, randomBytes: Callable[[int], bytes]
    ) -> tuple[bytes, ModernKeys]:
        """
        Answer a client's public key.

        @return: what the client is sent, and what both share.
        @raise ValueError: C{theirs} is a key that leaves no secret.
        """
        private, public = self.makeKeys(randomBytes)
        transcript = _LABEL + challenge + theirs + public
        keys = _derive(private, theirs, transcript)
        if self._signingKey is None:
            return public, keys
        return public + self._signingKey.sign(sha256(transcript).digest()), keys

    def agree(self, private: bytes, public: bytes, challenge: bytes, answer: bytes) -> ModernKeys:
        """
        Compute what both ends share, from the server's L{answer}.

        @raise ValueError: it is none, its key leaves no secret, or it is not the server that
            it should be.
        """
        theirs, signature = answer[:SIZE], answer[SIZE:]
        if len(theirs) < SIZE or len(signature) not in (0, SIGNATURE_SIZE):
            raise ValueError(f"a public key of {len(answer)} bytes")
        transcript = _LABEL + challenge + public + theirs
        if self._identity is not None:
            try:
                self._identity.verify(signature, sha256(transcript).digest())
            except InvalidSignature:
                proved = (
                    "another identity than the one" if signature else "no identity, where one is"
                )
                raise ValueError(f"it proves {proved} expected") from None
        return _derive(private, theirs, transcript)

    def handshakeMac(self, text: bytes, secret: bytes) -> bytes:
        """Compute the mac of a gate handshake's text (H)."""
        return _mac(secret, text)

    def isHandshakeMac(self, mac: bytes, text: bytes, secret: bytes) -> bool:
        """Say in constant time whether C{mac} is the one of C{text}."""
        return compare_digest(mac, _mac(secret, text))


def _mac(key: bytes, text: bytes) -> bytes:
    return digest(key, text, "sha256")


def _derive(private: bytes, theirs: bytes, transcript: bytes) -> ModernKeys:
    ours = X25519PrivateKey.from_private_bytes(private)
    try:
        shared = ours.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError:
        # A point of small order gives a secret that everybody knows (RFC 7748, section 6.1).
        raise ValueError("a public key that leaves no secret") from None
    salt = sha256(transcript).digest()
    derived = HKDF(SHA256(), 4 * SIZE, salt, _KEYS_LABEL).derive(shared)
    keys = (derived[start : start + SIZE] for start in range(0, 4 * SIZE, SIZE))
    return ModernKeys(transcript, *keys)
