"""
One connection to the login port, and what must be said on it (L).
"""

from __future__ import annotations

from attrs import frozen

from msgserver.errors import LoginStatus
from msgserver.wire.classic import decrypt, hmac64, publicKey, sharedSecret
from msgserver.wire.framing import MAX_LINE
from msgserver.wire.naming import encode64
from tests.fuzz.handlers import MAX_UID, TOKEN_MARK
from tests.fuzz.lines import Line
from tests.fuzz.references import fromBase64
from tests.fuzz.servers import ADDRESS, LOGIN_LIMITS, RANDOM
from tests.fuzz.watching import see
from tests.wire.test_properties import held

PRIME = 18446744073709551557
CLIENT_PRIVATE = bytes.fromhex("1122334455667701")
SERVER_PUBLIC = publicKey(RANDOM)
SECRET = sharedSecret(CLIENT_PRIVATE, SERVER_PUBLIC)
PROOF = hmac64(RANDOM, SECRET)

_OK = LoginStatus.OK.value
_UNAUTHORIZED = LoginStatus.UNAUTHORIZED.value
_FORBIDDEN = LoginStatus.FORBIDDEN.value
_NOT_ACCEPTABLE = LoginStatus.NOT_ACCEPTABLE.value
_SILENCE = b""
"""The verdict that is none: the connection closes (L1)."""

_BEHIND = 100
"""The bytes that a conversation keeps beside what it was sent: keys, and a line to be sent."""


@frozen
class Foreseen:
    """
    What the server has to say to what a client has sent so far.

    @ivar lines: its lines up to the verdict.
    @ivar verdicts: what may follow, by now or later.
    @ivar isDue: one of them has to be there.
    """

    lines: list[bytes]
    verdicts: tuple[bytes, ...] = ()
    isDue: bool = False


class LoginLine(Line):
    """
    One connection to the login port.

    @ivar isKnown: the login that it led to is known already.
    """

    isKnown = False

    def arrived(self, before: int) -> None:
        """See that no more is held than a line, and the segment that it came in (L1)."""
        most = MAX_LINE + self.largest + _BEHIND
        see(held(self.protocol._conversation) <= most, "L1: more than a line is held")

    def check(self, now: float) -> bytes | None:
        """
        See that the server has said what it has to say by now, and no more (L).

        @return: the line that admits the client, without its end; None if there is none.
        """
        isOld = now - self.opened >= LOGIN_LIMITS.timeout
        see(not isOld or self.isLost or self.pipe.disconnected, "L1: past its deadline")
        *said, rest = bytes(self.pipe.written).split(b"\n")
        see(not rest, f"L: half a line: {rest!r}")
        if self.pipe.disconnected and not said:
            return None  # B1: it was one too many.
        foreseen = foresee(bytes(self.sent))
        count = len(foreseen.lines)
        see(said[:count] == foreseen.lines, f"L: said {said}, and not {foreseen.lines}")
        verdict = said[count:]
        isClosing = self.isLost or self.pipe.isClosing
        if not verdict:
            see(isClosing or not foreseen.isDue, "L: what is wrong is neither refused nor closed")
            isSilent = self.pipe.isClosing and not self.pipe.disconnected
            see(not isSilent or _SILENCE in foreseen.verdicts, "L: closed without a word")
            return None
        see(isClosing, f"L: said {verdict}, and open still")
        status = _OK if verdict[0].startswith(_OK + b" ") else verdict[0]
        see(status in foreseen.verdicts, f"L: said {verdict}, and not {foreseen.verdicts}")
        address = [b"210 " + encode64(ADDRESS.encode())] if status == _OK else []
        see(verdict[1:] == address, f"L5: said {verdict}")
        return verdict[0] if status == _OK else None


def lineOf(value: bytes, right: bytes) -> bytes:
    """Write a line of base64: of C{right} where the value says so."""
    return encode64(right if value == b"right" else value) + b"\n"


def foresee(sent: bytes) -> Foreseen:
    """Say what the server has to say."""
    expected = [encode64(RANDOM)]
    lines = sent.split(b"\n")
    rest = lines.pop()
    if len(rest) > MAX_LINE:
        lines.append(rest)
    secret = b""
    for number, line in enumerate(lines[:3]):
        if len(line) > MAX_LINE:
            return Foreseen(expected, (_SILENCE,), isDue=True)
        raw = fromBase64(line)
        if number == 0 and raw is not None and _isKey(raw):
            expected.append(encode64(SERVER_PUBLIC))
            secret = sharedSecret(RANDOM, raw)
        elif number == 2 and raw is not None:
            return _foreseeVerdict(expected, secret, raw)
        elif number != 1 or raw != hmac64(RANDOM, secret):
            return Foreseen(expected, (_UNAUTHORIZED,), isDue=True)
    return Foreseen(expected)


def _isKey(raw: bytes) -> bool:
    """Say whether these bytes are a public key that leaves a secret (L2)."""
    return len(raw) == 8 and 2 <= int.from_bytes(raw, "little") <= PRIME - 2


def _foreseeVerdict(expected: list[bytes], secret: bytes, sealed: bytes) -> Foreseen:
    try:
        token = decrypt(secret, sealed)
    except ValueError:
        token = b""
    order, _, uid = token.removeprefix(TOKEN_MARK).partition(b" ")
    isKnown = order in (b"ok", b"elsewhere", b"hang") and len(uid) <= MAX_UID
    if not token.startswith(TOKEN_MARK) or not isKnown:
        return Foreseen(expected, (_UNAUTHORIZED,), isDue=True)
    if order == b"elsewhere":
        return Foreseen(expected, (_FORBIDDEN, _NOT_ACCEPTABLE), isDue=True)
    if order == b"hang":
        return Foreseen(expected, (_UNAUTHORIZED,))
    return Foreseen(expected, (_OK, _FORBIDDEN, _NOT_ACCEPTABLE))
