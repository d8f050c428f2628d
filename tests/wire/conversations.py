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
from msgserver.wire.gate import Connected, Response
from msgserver.wire.login import Admitted, TokenReceived
from msgserver.wire.naming import parseHandshake
from tests.wire.models import Keys, Model

LONGEST_LINE = 8 * 1024

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
    @ivar keys: what it holds, once it holds them.
    """

    events: list[object] = field(factory=list)
    sent: bytes = b""
    keys: Keys | None = None


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


def linesOf(stream: bytes) -> Iterator[bytes | None]:
    """Cut a stream into lines; None is one that is too long, whole or not (L1)."""
    *lines, rest = stream.split(b"\n")
    for each in lines:
        yield each if len(each) <= LONGEST_LINE else None
    if len(rest) > LONGEST_LINE:
        yield None


def withMac(text: bytes, mac: bytes) -> bytes:
    """Write a line of the server's with what stands behind it, if anything does (L3)."""
    return (text + b" " + b64encode(mac) if mac else text) + b"\n"


def loginServer(stream: bytes, challenge: bytes, private: bytes, model: Model) -> Told:
    """Say what the login server makes of what the client's side sent (L)."""
    sent = line(challenge)
    keys: Keys | None = None
    isProved = False
    for text in linesOf(stream):
        if text is None:
            return Told([ProtocolError], sent)
        raw = unbase(text)
        if raw is None:
            break
        if keys is None:
            answer = model.answer(challenge, raw, private)
            keys = model.keys(challenge, raw, answer, private, raw)
            if keys is None:
                break
            sent += line(answer)
        elif not isProved:
            if raw != keys.proof:
                break
            isProved = True
        else:
            token = keys.unseal(raw)
            if token is None:
                break
            return Told([TokenReceived(token, keys.secret)], sent, keys)
    else:
        return Told([], sent)
    return Told([Unauthorized], sent)


def loginClient(stream: bytes, isEnded: bool, token: bytes, private: bytes, model: Model) -> Told:
    """
    Say what the login client makes of what the server's side sent (L, L3, L5).

    @param isEnded: it has been told that this is all.
    """
    sent = b""
    challenge: bytes | None = None
    keys: Keys | None = None
    subid: bytes | None = None
    error: type[Exception] = ProtocolError
    public = model.public(private)
    for text in linesOf(stream):
        if text is None:
            break
        if keys is not None and subid is not None:
            isRead, address = _address(text, keys)
            if not isRead:
                break
            return Told([Admitted(subid, keys.secret, address)], sent, keys)
        if b" " in text:
            if keys is not None and (subid := _admitted(text, keys)) is not None:
                continue
            if keys is not None or not model.hasMacs:
                error = _refusal(text, keys)
            break
        raw = unbase(text)
        if raw is None or keys is not None:
            break
        if challenge is None:
            if len(raw) != 8:
                break
            challenge = raw
            sent += line(public)
            continue
        if model.isExpected(challenge, public, raw):
            keys = model.keys(challenge, public, raw, private, raw)
        if keys is None:
            break
        sent += line(keys.proof) + line(keys.seal(token))
    else:
        if not isEnded:
            return Told([], sent, keys)
        isWhole = not model.hasMacs or stream.endswith(b"\n")
        if keys is not None and subid is not None and isWhole:
            return Told([Admitted(subid, keys.secret)], sent, keys)
    return Told([error], sent, keys)


def _admitted(text: bytes, keys: Keys) -> bytes | None:
    """Read a yes: the subid, or None where it is none that this server can have said."""
    parts = text.split(b" ")
    subid = unbase(parts[1])
    if parts[0] != b"200" or subid is None:
        return None
    mac = keys.subidMac(subid)
    if not mac:
        return subid if len(parts) == 2 else None
    return subid if subid and len(parts) == 3 and unbase(parts[2]) == mac else None


def _refusal(text: bytes, keys: Keys | None) -> type[Exception]:
    """Read a no: what it is to the client."""
    for status, refusal in LOGIN_REFUSALS.items():
        if text + b"\n" == withMac(status, keys.lineMac(status) if keys is not None else b""):
            return refusal
    return ProtocolError


def _address(text: bytes, keys: Keys) -> tuple[bool, str | None]:
    """Read the line behind a yes: whether it can be read, and the address in it (L5)."""
    said = text.rpartition(b" ")[0] if keys.lineMac(b"") else text
    if text + b"\n" != withMac(said, keys.lineMac(said)):
        return False, None
    code, _, argument = said.partition(b" ")
    if code != b"210":
        return True, None
    raw = unbase(argument)
    try:
        return raw is not None, raw.decode() if raw is not None else None
    except ValueError:
        return False, None


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
