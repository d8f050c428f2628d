"""
What the two conversations come to, computed anew from all that has arrived.

None of it knows in which pieces that was; each function takes the whole of a stream, and says
what its end must have told and written by then.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator

from attrs import field, frozen

from msgserver.errors import (
    BadRequest,
    Forbidden,
    IndexExpired,
    NotAcceptable,
    ProtocolError,
    Refused,
    Unauthorized,
    UserNotFound,
)
from msgserver.wire.classic import decrypt, encrypt, hmac64, publicKey, sharedSecret
from msgserver.wire.gate import Connected, Response
from msgserver.wire.login import Admitted, TokenReceived
from msgserver.wire.naming import parseHandshake

LONGEST_LINE = 8 * 1024
GROUP_ORDER = 2**64 - 60

LOGIN_REFUSALS: dict[bytes, type[Refused]] = {
    b"401 Unauthorized": Unauthorized,
    b"403 Forbidden": Forbidden,
    b"406 Not Acceptable": NotAcceptable,
}
GATE_REFUSALS: dict[bytes, type[Refused]] = {
    b"400 Bad Request": BadRequest,
    b"401 Unauthorized": Unauthorized,
    b"403 Index Expired": IndexExpired,
    b"404 User Not Found": UserNotFound,
}


@frozen
class Told:
    """
    What an end has told and written.

    @ivar events: its events, and the type of its error last.
    @ivar sent: what it has sent by itself, verdicts left out.
    @ivar secret: what it holds, once it holds it.
    """

    events: list[object] = field(factory=list)
    sent: bytes = b""
    secret: bytes | None = None


def line(raw: bytes) -> bytes:
    """Write a line of the login conversation."""
    return b64encode(raw) + b"\n"


def unbase(text: bytes) -> bytes | None:
    """Read base64 in its one form; None where it is not."""
    try:
        raw = b64decode(text, validate=True)
    except ValueError:
        return None
    return raw if b64encode(raw) == text else None


def isKey(raw: bytes | None) -> bool:
    """Say whether this is a public key that leaves a secret (L2)."""
    return raw is not None and len(raw) == 8 and 1 < int.from_bytes(raw, "little") < GROUP_ORDER


def linesOf(stream: bytes) -> Iterator[bytes | None]:
    """Cut a stream into lines; None is one that is too long, whole or not (L1)."""
    *lines, rest = stream.split(b"\n")
    for each in lines:
        yield each if len(each) <= LONGEST_LINE else None
    if len(rest) > LONGEST_LINE:
        yield None


def loginServer(stream: bytes, challenge: bytes, private: bytes) -> Told:
    """Say what the login server makes of what the client's side sent (L)."""
    sent = line(challenge)
    secret = b""
    for number, text in enumerate(linesOf(stream)):
        if text is None:
            return Told([ProtocolError], sent)
        raw = unbase(text)
        if raw is None:
            return Told([Unauthorized], sent)
        if number == 0:
            if not isKey(raw):
                return Told([Unauthorized], sent)
            secret = sharedSecret(private, raw)
            sent += line(publicKey(private))
        elif number == 1:
            if raw != hmac64(challenge, secret):
                return Told([Unauthorized], sent)
        else:
            try:
                token = decrypt(secret, raw)
            except ValueError:
                return Told([Unauthorized], sent)
            return Told([TokenReceived(token, secret)], sent, secret)
    return Told([], sent)


def loginClient(stream: bytes, isEnded: bool, token: bytes, private: bytes) -> Told:
    """
    Say what the login client makes of what the server's side sent (L, L5).

    @param isEnded: it has been told that this is all.
    """
    sent = b""
    known: list[bytes] = []  # The challenge and the secret.
    subid: bytes | None = None
    error: type[Exception] = ProtocolError
    for text in linesOf(stream):
        if text is None:
            break
        code, _, argument = text.partition(b" ")
        raw = unbase(argument if code != text else text)
        if subid is not None:
            address = None
            if code == b"210":
                said = unbase(argument)
                try:
                    address = said.decode() if said is not None else None
                except ValueError:
                    said = None
                if said is None:
                    break
            return Told([Admitted(subid, known[1], address)], sent, known[1])
        if b" " in text:
            if code == b"200" and len(known) == 2 and raw is not None:
                subid = raw
                continue
            error = LOGIN_REFUSALS.get(text, ProtocolError)
            break
        if raw is None or len(raw) != 8 or len(known) == 2 or (known and not isKey(raw)):
            break
        if known:
            known.append(sharedSecret(private, raw))
            sent += line(hmac64(known[0], known[1])) + line(encrypt(known[1], token))
        else:
            known.append(raw)
            sent += line(publicKey(private))
    else:
        secret = known[1] if len(known) == 2 else None
        if not isEnded:
            return Told([], sent, secret)
        if subid is not None:
            return Told([Admitted(subid, known[1])], sent, secret)
    return Told([error], sent, known[1] if len(known) == 2 else None)


def packetsOf(stream: bytes) -> Iterator[bytes]:
    """Cut a stream into packets, without their lengths."""
    while len(stream) >= 2 and len(stream) >= (stop := 2 + int.from_bytes(stream[:2], "big")):
        yield stream[2:stop]
        stream = stream[stop:]


def gateServer(stream: bytes, limit: int) -> list[object]:
    """Say what the gate makes of what the client's side sent, up to its verdict (H, B4)."""
    if len(stream) >= 2 and int.from_bytes(stream[:2], "big") > limit:
        return [ProtocolError]
    for content in packetsOf(stream):
        try:
            return [parseHandshake(content)]
        except BadRequest:
            return [BadRequest]
    return []


def gateClient(stream: bytes) -> list[object]:
    """Say what the gate's client makes of what the gate's side sent (H, S)."""
    events: list[object] = []
    for content in packetsOf(stream):
        if not events:
            if content != b"200 OK":
                return [GATE_REFUSALS.get(content, ProtocolError)]
            events.append(Connected())
        elif len(content) < 5 or content[-5] > 1:
            return [*events, ProtocolError]
        else:
            events.append(Response(content[-4:], content[-5] == 1, content[:-5]))
    return events
