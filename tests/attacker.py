"""
Somebody who has overheard a login, and wants its token and its secret.

He has what was said, a line after the other, and knows the protocol; nothing else. He can do
what a patient person with one core can: compute a discrete logarithm in a small group, and try
everything that is in sight, and whatever can be made of it, as a key.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256, sha512
from hmac import digest
from itertools import product

from attrs import frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from msgserver.wire.classic import decrypt, handshakeMac, hmac64

PRIME = 2**64 - 59
GENERATOR = 5

BABY_STEPS = 1_200_000
"""How many powers are kept, in some 200 MB. More make an attack quicker, and its start slower."""

_KEY = 32
_SIGNATURE = 64
_NONCE = bytes(12)
_LABEL = b"msgserver login 2"
_KEYS_LABEL = b"msgserver login 2 keys"


def factors(number: int) -> list[int]:
    """Give the prime factors of a number, the smallest first, by trial division."""
    found = []
    divisor = 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1 if divisor == 2 else 2
    return [*found, number] if number > 1 else found


class Logarithms:
    """
    Discrete logarithms in the classic group, as Pohlig and Hellman compute them.

    The order of the group is a product of small numbers and a prime of 43 bits, so a logarithm
    is one of 43 bits and some tiny ones. That one is found by baby steps and giant steps, both
    by x + 1/x instead of x: a number and its inverse are then the same, so that each giant step
    covers twice as many. These sums are a Lucas sequence, a multiplication each.
    """

    _order = PRIME - 1

    @cached_property
    def _primes(self) -> list[int]:
        return factors(self._order)

    @cached_property
    def _babySteps(self) -> dict[int, int]:
        """Each h^j + h^-j, with its j; h generates the subgroup of the largest prime."""
        steps = {}
        element = pow(GENERATOR, self._order // self._primes[-1], PRIME)
        first = (element + pow(element, -1, PRIME)) % PRIME
        here, after = 2, first
        for number in range(BABY_STEPS + 1):
            steps[here] = number
            here, after = after, (first * after - here) % PRIME
        return steps

    def of(self, element: int) -> int:
        """Find the exponent by which the generator becomes C{element}."""
        exponent, modulus = 0, 1
        *small, large = self._primes
        for prime in sorted(set(small)):
            order = prime ** small.count(prime)
            base, target = self._into(GENERATOR, order), self._into(element, order)
            part = next(each for each in range(order) if pow(base, each, PRIME) == target)
            exponent, modulus = _combine(exponent, modulus, part, order)
        part = self._large(self._into(GENERATOR, large), self._into(element, large), large)
        return _combine(exponent, modulus, part, large)[0]

    def _into(self, element: int, order: int) -> int:
        return pow(element, self._order // order, PRIME)

    def _large(self, base: int, target: int, order: int) -> int:
        steps = self._babySteps
        stride = 2 * BABY_STEPS + 1
        leap = pow(base, stride, PRIME)
        factor = (leap + pow(leap, -1, PRIME)) % PRIME
        before = target * leap % PRIME
        before = (before + pow(before, -1, PRIME)) % PRIME
        here = (target + pow(target, -1, PRIME)) % PRIME
        for number in range(order // stride + 2):
            if here in steps:
                for found in (steps[here], -steps[here]):
                    exponent = (number * stride + found) % order
                    if pow(base, exponent, PRIME) == target:
                        return exponent
            before, here = here, (factor * here - before) % PRIME
        raise AssertionError("an element of the subgroup has no logarithm")


def _combine(one: int, modulus: int, other: int, order: int) -> tuple[int, int]:
    """Find what is C{one} by C{modulus} and C{other} by C{order} (the Chinese remainder)."""
    steps = (other - one) * pow(modulus, -1, order) % order
    return one + modulus * steps, modulus * order


@frozen
class Opened:
    """
    What the attacker has got.

    @ivar how: by which of his ways.
    @ivar token: the user's, or None where that is still closed.
    @ivar secret: the login's, or None likewise.
    """

    how: str
    token: bytes | None = None
    secret: bytes | None = None

    def handshakeMac(self, text: bytes) -> bytes:
        """Forge the mac of a gate handshake."""
        assert self.secret is not None
        if len(self.secret) == _KEY:
            return digest(self.secret, text, "sha256")
        return handshakeMac(text, self.secret)


class Overheard:
    """
    The lines of a login, taken apart.

    @param lines: who said each, C{"client"} or C{"server"}, and what, in their order.
    """

    def __init__(self, lines: Sequence[tuple[str, bytes]]) -> None:
        server = [line for who, line in lines if who == "server"]
        self.challenge, self.answer = map(b64decode, server[:2])
        self.public, self.proof, self.sealed = (
            b64decode(line) for who, line in lines if who == "client"
        )
        self.theirs, self.signature = self.answer[:_KEY], self.answer[_KEY:]
        self.statuses = server[2:]
        self.transcript = _LABEL + self.challenge + self.public + self.theirs

    @cached_property
    def vouched(self) -> list[tuple[bytes, bytes]]:
        """Each mac that is in sight, and the text it is of."""
        found = [(self.transcript, self.proof)]
        for status in self.statuses:
            text, _, mac = status.rpartition(b" ")
            said = text.partition(b" ")[2]
            found.append((self.transcript + text, _raw(mac)))
            found.append((self.transcript + _raw(said), _raw(mac)))
        return found

    @cached_property
    def visible(self) -> list[bytes]:
        """All that is in sight, as bytes: the parts of the lines, the lines, what is signed."""
        parts = [self.challenge, self.public, self.answer, self.theirs, self.signature]
        parts += [self.signature[:_KEY], self.signature[_KEY:], self.proof, self.sealed]
        parts += [self.sealed[-16:], self.transcript, _LABEL, _KEYS_LABEL, b""]
        for status in self.statuses:
            parts += [status, *map(_raw, status.split())]
        return list(dict.fromkeys(parts))


def _raw(text: bytes) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return text


class Attacker:
    """
    Opens logins that he has overheard, where he knows how.

    @param logarithms: what he computes logarithms with; to prepare it takes a while.
    """

    def __init__(self, logarithms: Logarithms | None = None) -> None:
        self._logarithms = logarithms or Logarithms()

    def open(self, lines: Sequence[tuple[str, bytes]]) -> Opened | None:
        """
        Try all ways on a login.

        @param lines: what L{Overheard} takes.
        @return: None where no way leads anywhere.
        """
        login = Overheard(lines)
        return self._byLogarithm(login) or self._byGuessing(login)

    def _byLogarithm(self, login: Overheard) -> Opened | None:
        public, theirs = (int.from_bytes(key, "little") for key in (login.public, login.answer))
        if not (0 < public < PRIME and 0 < theirs < PRIME):
            # Not of this group, and there is no other that he can do logarithms in.
            return None
        private = self._logarithms.of(public)
        secret = pow(theirs, private, PRIME).to_bytes(8, "little")
        return _classic("a discrete logarithm", login, secret)

    def _byGuessing(self, login: Overheard) -> Opened | None:
        keys = list(dict.fromkeys(_guesses(login)))
        # What is worth most comes first.
        for way, guesses in (
            (_asShared, [*login.visible, *keys]),
            (_asPrivate, keys),
            (_asTokenKey, keys),
            (_asClassic, keys),
            (_asMacKey, keys),
        ):
            for guess in guesses:
                opened = way(login, guess)
                if opened is not None:
                    return opened
        return None


def _guesses(login: Overheard) -> Iterator[bytes]:
    """Give what is in sight, and what can be made of it, as keys of 32 bytes."""
    texts = [*login.visible]
    texts += [one + other for one, other in product(login.visible, repeat=2)]
    texts += [b"".join(sorted([login.public, login.theirs]))]
    yield _xored(login.public, login.theirs)
    yield from (bytes([each]) * _KEY for each in range(256))
    yield from (each.to_bytes(_KEY, order) for each in range(256) for order in ("little", "big"))
    salts = (None, sha256(login.transcript).digest(), login.transcript)
    for text in texts:
        yield _fitted(text)
        hashed = sha256(text).digest()
        yield from (hashed, sha256(hashed).digest(), sha512(text).digest()[:_KEY])
    for text, salt, label in product(login.visible, salts, (_KEYS_LABEL, b"")):
        yield from _pieces(HKDF(SHA256(), 4 * _KEY, salt, label).derive(text))
    yield from (digest(key, text, "sha256") for key, text in product(login.visible, repeat=2))


def _fitted(text: bytes) -> bytes:
    return text[:_KEY].ljust(_KEY, b"\0")


def _xored(one: bytes, other: bytes) -> bytes:
    return _fitted(bytes(a ^ b for a, b in zip(one, other, strict=False)))


def _pieces(text: bytes) -> Iterable[bytes]:
    return [text[start : start + _KEY] for start in range(0, len(text), _KEY)]


def _asShared(login: Overheard, shared: bytes) -> Opened | None:
    """Try a guess as what both ends have agreed on."""
    salt = sha256(login.transcript).digest()
    secret, proofKey, tokenKey, _ = _pieces(
        HKDF(SHA256(), 4 * _KEY, salt, _KEYS_LABEL).derive(shared)
    )
    if digest(proofKey, login.transcript, "sha256") != login.proof:
        return None
    return Opened("a guess at the shared secret", _unsealed(login, tokenKey), secret)


def _asPrivate(login: Overheard, private: bytes) -> Opened | None:
    """Try a guess as one end's private key."""
    key = X25519PrivateKey.from_private_bytes(private)
    for ours, theirs in ((login.public, login.theirs), (login.theirs, login.public)):
        if len(theirs) == _KEY and key.public_key().public_bytes_raw() == ours:
            return _asShared(login, key.exchange(X25519PublicKey.from_public_bytes(theirs)))
    return None


def _asTokenKey(login: Overheard, key: bytes) -> Opened | None:
    """Try a guess as the key of the token."""
    token = _unsealed(login, key)
    return Opened("a guess at the token's key", token) if token is not None else None


def _unsealed(login: Overheard, key: bytes) -> bytes | None:
    for beside in (login.transcript, b""):
        try:
            return ChaCha20Poly1305(key).decrypt(_NONCE, login.sealed, beside)
        except (InvalidTag, ValueError):
            pass
    return None


def _asMacKey(login: Overheard, key: bytes) -> Opened | None:
    """Try a guess as the key of a mac: with it he could speak in the server's place."""
    if any(digest(key, text, "sha256") == mac for text, mac in login.vouched):
        return Opened("a guess at a mac's key")
    return None


def _asClassic(login: Overheard, key: bytes) -> Opened | None:
    """Try the beginning of a guess as the secret of a classic login."""
    return _classic("a guess at the classic secret", login, key[:8])


def _classic(how: str, login: Overheard, secret: bytes) -> Opened | None:
    if hmac64(login.challenge, secret) != login.proof:
        return None
    try:
        return Opened(how, decrypt(secret, login.sealed), secret)
    except ValueError:
        return None
