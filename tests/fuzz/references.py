"""
What the wire says, written once more and as plainly as can be: what the real thing is held to.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from functools import lru_cache

from msgserver.errors import GateStatus
from msgserver.wire.classic import handshakeMac
from msgserver.wire.naming import User
from tests.fuzz.servers import Known, Servers

_ALPHABET = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_HIGHEST_INDEX = 9223372036854775807


@lru_cache(4096)
def macOf(text: bytes, secret: bytes) -> bytes:
    """Compute a handshake's mac, once: it is what takes most time of all."""
    return handshakeMac(text, secret)


def splitPackets(data: bytes) -> tuple[list[bytes], bytes]:
    """Cut a stream into its packets, and what is behind the last whole one."""
    packets: list[bytes] = []
    while len(data) >= 2 and len(data) >= (end := 2 + int.from_bytes(data[:2], "big")):
        packets.append(data[2:end])
        data = data[end:]
    return packets, data


def isBroken(data: bytes, most: int) -> bool:
    """Say whether a stream of requests has one of no valid length (S3, B4)."""
    place = 0
    while place + 2 <= len(data):
        length = int.from_bytes(data[place : place + 2], "big")
        if not 4 <= length <= most:
            return True
        place += 2 + length
    return False


def fromBase64(text: bytes) -> bytes | None:
    """Read base64 that is written as it should be; None otherwise."""
    if len(text) % 4 or not _ALPHABET.fullmatch(text):
        return None
    raw = b64decode(text)
    return raw if b64encode(raw) == text else None


def verdictOn(stream: bytes, most: int, servers: Servers) -> tuple[bytes | None, Known | None, int]:
    """
    Say what a gate has to answer to what a connection has sent so far (H, H1).

    @param most: the longest packet that it takes, in bytes.
    @return: the status, the login and the index. The status is None where nothing is to be
        said yet, and empty where nothing is said but the connection closes (B4).
    """
    if len(stream) < 2:
        return None, None, 0
    length = int.from_bytes(stream[:2], "big")
    if length > most:
        return b"", None, 0
    if len(stream) < 2 + length:
        return None, None, 0
    parsed = parseHello(stream[2 : 2 + length])
    if parsed is None:
        return GateStatus.BAD_REQUEST.value, None, 0
    user, index, text, mac = parsed
    known = servers.logins.get(user)
    if known is None or servers.hasEnded(user):
        return GateStatus.USER_NOT_FOUND.value, None, 0
    if mac != macOf(text, known.secret):
        return GateStatus.UNAUTHORIZED.value, None, 0
    if index <= known.index:
        return GateStatus.INDEX_EXPIRED.value, None, 0
    return GateStatus.OK.value, known, index


def parseHello(content: bytes) -> tuple[User, int, bytes, bytes] | None:
    """Give a handshake's user, index, text and mac; None where it is none (H)."""
    parts = content.split(b":")
    if len(parts) != 3:
        return None
    username, digits, mac = parts
    names = re.split(rb"[@#]", username)
    separators = [byte for byte in username if byte in b"@#"]
    if len(names) != 3 or bytes(separators) != b"@#":
        return None
    uid, server, subid = map(fromBase64, names)
    given = fromBase64(mac)
    isNumber = digits.isdigit() and (digits == b"0" or digits[0:1] != b"0")
    if uid is None or server is None or subid is None or given is None or not isNumber:
        return None
    if len(digits) > 19 or int(digits) > _HIGHEST_INDEX:
        return None
    return User(uid, subid, server), int(digits), username + b":" + digits, given
