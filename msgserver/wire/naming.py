"""
Names on the wire: a login's username, the handshake's text, base64 as both sides write it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64

from attrs import field, frozen

from msgserver.errors import BadRequest

MAX_INDEX = 2**63 - 1
"""The greatest index of a handshake (H)."""

_HANDSHAKE = re.compile(rb"([^:]*):(0|[1-9][0-9]{0,18}):([^:]*)")
_USERNAME = re.compile(rb"([^@#]*)@([^@#]*)#([^@#]*)")


def encode64(raw: bytes) -> bytes:
    """Write bytes as padded base64 (RFC 4648, section 4)."""
    return b64encode(raw)


def decode64(text: bytes) -> bytes:
    """
    Read padded base64, and nothing that is merely similar to it (RFC 4648, section 3).

    @raise ValueError: C{text} is not exactly what L{encode64} writes.
    """
    try:
        raw = a2b_base64(text, strict_mode=True)
    except Base64Error as error:
        raise ValueError(f"not base64: {error}") from None
    if encode64(raw) != text:
        raise ValueError("not canonical base64")
    return raw


@frozen
class Account:
    """
    Whom a token has proved its sender to be.

    @ivar server: the name of the login point that the user wants to reach.
    @ivar uid: who the user is; any bytes.
    """

    server: bytes
    uid: bytes


@frozen
class User:
    """
    One login of one user, as every part of msgserver names it.

    @ivar uid: who the user is; any bytes.
    @ivar subid: which of the uid's logins; any bytes, chosen by the gate.
    @ivar server: the name of the gate, or of the group of gates, of the login.
    """

    uid: bytes
    subid: bytes
    server: bytes
    username: bytes = field(init=False, eq=False, repr=False)
    """The name on the wire: C{base64(uid)@base64(server)#base64(subid)}."""

    @username.default
    def _encode(self) -> bytes:
        return b"%b@%b#%b" % (encode64(self.uid), encode64(self.server), encode64(self.subid))


def parseUsername(username: bytes) -> User:
    """
    Read a name from the wire.

    @raise ValueError: it is not of the form C{base64(uid)@base64(server)#base64(subid)}.
    """
    match = _USERNAME.fullmatch(username)
    if match is None:
        raise ValueError("not of the form uid@server#subid")
    uid, server, subid = map(decode64, match.groups())
    return User(uid, subid, server)


@frozen
class Handshake:
    """
    What the first packet of a gate connection says.

    @ivar user: the login it names, which may not exist.
    @ivar index: the number of the handshake, 0 to L{MAX_INDEX}.
    @ivar text: C{username:index}, the part that C{mac} vouches for.
    @ivar mac: the proof, unchecked.
    """

    user: User
    index: int
    text: bytes
    mac: bytes = field(repr=False)


def handshakeText(user: User, index: int) -> bytes:
    """Write the part of a handshake that its mac vouches for."""
    return b"%b:%d" % (user.username, index)


def parseHandshake(packet: bytes) -> Handshake:
    """
    Read the first packet of a gate connection: C{username:index:base64(mac)}.

    @raise BadRequest: it is not of that form, or its index is out of range.
    """
    match = _HANDSHAKE.fullmatch(packet)
    if match is None:
        raise BadRequest("not of the form username:index:mac")
    username, digits, mac = match.groups()
    index = int(digits)
    if index > MAX_INDEX:
        raise BadRequest("the index is over 2**63 - 1")
    try:
        return Handshake(parseUsername(username), index, packet[: match.end(2)], decode64(mac))
    except ValueError as error:
        raise BadRequest(str(error)) from None
