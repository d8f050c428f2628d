"""
The classic suite (L2): what the clients of skynet's C{snax.loginserver} speak.

It is weak by today's measure: the discrete logarithm of a 64-bit prime takes seconds.
It is here for the clients that exist; use it inside TLS, or where nobody listens.

The bytes are the original's, and C{tests/vectors/classic-crypt.json} was recorded from it.
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from math import sin
from struct import Struct

from attrs import field, frozen
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

SIZE = 8
"""The bytes of a key, of the secret, of the challenge, and of a DES block."""

PRIME = 2**64 - 59
GENERATOR = 5

_WORD = 0xFFFFFFFF
# A word times this is that word twice in a row, of which a shift to the right by 32 - n leaves
# the word rotated to the left by n, below bits that nobody looks at.
_TWICE = 2**32 + 1
_PAIR = Struct("<II")
# RFC 1321, section 3.4: the table of sines; by round, and in it by four steps.
_STEPS = [int(abs(sin(step + 1)) * 2**32) for step in range(64)]
_SINES = [
    [_STEPS[four : four + 4] for four in range(start, start + 16, 4)] for start in (0, 16, 32, 48)
]
_INITIAL = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)


def publicKey(private: bytes) -> bytes:
    """Compute 5^x mod p of an 8-byte private key."""
    exponent = int.from_bytes(private, "little")
    return pow(GENERATOR, exponent, PRIME).to_bytes(SIZE, "little")


def sharedSecret(private: bytes, theirs: bytes) -> bytes:
    """
    Compute the 8 bytes that both ends share, from one private and the other public key.

    Whether C{theirs} may be used at all is L{isAcceptable}'s to say.
    """
    base = int.from_bytes(theirs, "little")
    return pow(base, int.from_bytes(private, "little"), PRIME).to_bytes(SIZE, "little")


def isAcceptable(public: bytes) -> bool:
    """Say whether a peer's public key leaves a secret: 0, 1, p-1 and above do not (L2)."""
    return 1 < int.from_bytes(public, "little") < PRIME - 1


def hashKey(text: bytes) -> bytes:
    """Hash any text to 8 bytes: djb2 and the JS hash, each a little-endian word."""
    djb, js = 5381, 1315423911
    for byte in text:
        djb = (djb * 33 + byte) & _WORD
        js ^= ((js << 5) + byte + (js >> 2)) & _WORD
    return _PAIR.pack(djb, js)


def hmac64(x: bytes, y: bytes) -> bytes:
    """
    Mix two times 8 bytes into 8: one MD5 compression of (x1 x0 y1 y0) four times over,
    with neither MD5's padding nor its final addition (L2).
    """
    x0, x1 = _PAIR.unpack(x)
    y0, y1 = _PAIR.unpack(y)
    a, b, c, d = _INITIAL
    # The words come round every four steps, as the rotations do, so a round is four times the
    # same four steps; written out, they need neither a table of words nor to exchange a, b, c
    # and d: two thirds of the time of a loop over 64 steps, and all 64 written out are hardly
    # faster. Only `total` is cut to 32 bits, since only a shift to the right brings down what
    # is above them.
    for i, j, k, m in _SINES[0]:  # to the left by 7, 12, 17, 22
        total = a + (d ^ b & (c ^ d)) + i + x1 & _WORD
        a = b + (total * _TWICE >> 25)
        total = d + (c ^ a & (b ^ c)) + j + x0 & _WORD
        d = a + (total * _TWICE >> 20)
        total = c + (b ^ d & (a ^ b)) + k + y1 & _WORD
        c = d + (total * _TWICE >> 15)
        total = b + (a ^ c & (d ^ a)) + m + y0 & _WORD
        b = c + (total * _TWICE >> 10)
    for i, j, k, m in _SINES[1]:  # to the left by 5, 9, 14, 20
        total = a + (c ^ d & (b ^ c)) + i + x0 & _WORD
        a = b + (total * _TWICE >> 27)
        total = d + (b ^ c & (a ^ b)) + j + y1 & _WORD
        d = a + (total * _TWICE >> 23)
        total = c + (a ^ b & (d ^ a)) + k + y0 & _WORD
        c = d + (total * _TWICE >> 18)
        total = b + (d ^ a & (c ^ d)) + m + x1 & _WORD
        b = c + (total * _TWICE >> 12)
    for i, j, k, m in _SINES[2]:  # to the left by 4, 11, 16, 23
        total = a + (b ^ c ^ d) + i + x0 & _WORD
        a = b + (total * _TWICE >> 28)
        total = d + (a ^ b ^ c) + j + x1 & _WORD
        d = a + (total * _TWICE >> 21)
        total = c + (d ^ a ^ b) + k + y0 & _WORD
        c = d + (total * _TWICE >> 16)
        total = b + (c ^ d ^ a) + m + y1 & _WORD
        b = c + (total * _TWICE >> 9)
    for i, j, k, m in _SINES[3]:  # to the left by 6, 10, 15, 21
        total = a + (c ^ (b | d ^ _WORD)) + i + x1 & _WORD
        a = b + (total * _TWICE >> 26)
        total = d + (b ^ (a | c ^ _WORD)) + j + y0 & _WORD
        d = a + (total * _TWICE >> 22)
        total = c + (a ^ (d | b ^ _WORD)) + k + y1 & _WORD
        c = d + (total * _TWICE >> 17)
        total = b + (d ^ (c | a ^ _WORD)) + m + x0 & _WORD
        b = c + (total * _TWICE >> 11)
    return _PAIR.pack((c ^ d) & _WORD, (a ^ b) & _WORD)


def handshakeMac(text: bytes, secret: bytes) -> bytes:
    """Compute the mac of a gate handshake's text (H)."""
    return hmac64(hashKey(text), secret)


def encrypt(key: bytes, plain: bytes) -> bytes:
    """Encrypt by DES-ECB with ISO 7816-4 padding; C{key} is 8 bytes."""
    filler = SIZE - len(plain) % SIZE
    encryptor = _des(key).encryptor()
    return encryptor.update(plain + b"\x80" + bytes(filler - 1)) + encryptor.finalize()


def decrypt(key: bytes, cipher: bytes) -> bytes:
    """
    Undo L{encrypt}.

    @raise ValueError: C{cipher} is no whole number of blocks, or its padding is wrong.
    """
    if not cipher or len(cipher) % SIZE:
        raise ValueError("not a whole number of DES blocks")
    decryptor = _des(key).decryptor()
    padded = decryptor.update(cipher) + decryptor.finalize()
    plain = padded.rstrip(b"\x00")
    if not plain.endswith(b"\x80") or len(padded) - len(plain) >= SIZE:
        raise ValueError("the padding is wrong")
    return plain[:-1]


def _des(key: bytes) -> Cipher[modes.ECB]:
    # DES is TripleDES with one key three times: E(D(E(x))) = E(x).
    return Cipher(TripleDES(key * 3), modes.ECB())


@frozen
class ClassicKeys:
    """What one end of a login conversation holds once the keys are exchanged."""

    secret: bytes = field(repr=False)
    proof: bytes = field(repr=False)
    """What the client must send to show that it holds the secret."""

    def seal(self, token: bytes) -> bytes:
        """Encrypt the client's token."""
        return encrypt(self.secret, token)

    def unseal(self, sealed: bytes) -> bytes:
        """
        Decrypt the client's token.

        @raise ValueError: it was not sealed under this secret.
        """
        return decrypt(self.secret, sealed)

    def vouchForSubid(self, subid: bytes) -> bytes:
        """Nothing vouches for what the server says."""
        return b""

    def vouch(self, text: bytes) -> bytes:
        """Nothing vouches for what the server says."""
        return b""


class ClassicSuite:
    """The classic suite as L{msgserver.wire.login} uses it."""

    name = "classic"
    keySize = SIZE
    secretSize = SIZE
    vouches = False

    def makeKeys(self, randomBytes: Callable[[int], bytes]) -> tuple[bytes, bytes]:
        """
        Make a private and its public key.

        @param randomBytes: gives as many unpredictable bytes as asked for.
        """
        while True:
            private = randomBytes(SIZE)
            public = publicKey(private)
            if isAcceptable(public):
                return private, public

    def answer(
        self, challenge: bytes, theirs: bytes, randomBytes: Callable[[int], bytes]
    ) -> tuple[bytes, ClassicKeys]:
        """
        Answer a client's public key.

        @return: what the client is sent, and what both share.
        @raise ValueError: C{theirs} is a key that leaves no secret (L2).
        """
        private, public = self.makeKeys(randomBytes)
        return public, self.agree(private, public, challenge, theirs)

    def agree(self, private: bytes, public: bytes, challenge: bytes, answer: bytes) -> ClassicKeys:
        """
        Compute what both ends share, from the other's public key.

        @raise ValueError: it is none, or leaves no secret (L2).
        """
        if len(answer) != SIZE:
            raise ValueError(f"a public key of {len(answer)} bytes")
        if not isAcceptable(answer):
            raise ValueError("a public key that leaves no secret")
        secret = sharedSecret(private, answer)
        return ClassicKeys(secret, hmac64(challenge, secret))

    def handshakeMac(self, text: bytes, secret: bytes) -> bytes:
        """Compute the mac of a gate handshake's text (H)."""
        return handshakeMac(text, secret)

    def isHandshakeMac(self, mac: bytes, text: bytes, secret: bytes) -> bool:
        """Say in constant time whether C{mac} is the one of C{text}."""
        return compare_digest(mac, handshakeMac(text, secret))
