"""
A second client of the modern suite, on blocking sockets.

It was written from docs/protocol.md alone and takes nothing from msgserver: what it can do shows
that the page suffices. Read it beside that page, as an example for another language; the names in
the comments (L5, check 2, rule 6) are the page's.
"""

from __future__ import annotations

import socket
import struct
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest, digest
from io import BufferedReader
from os import urandom
from select import select

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LONGEST_LINE, LONGEST_TOKEN, LONGEST_CONTENT, MOST_UNANSWERED = 8192, 6128, 65531, 64
REFUSALS = (b"401 Unauthorized", b"403 Forbidden", b"406 Not Acceptable")
TIMEOUT = 30.0


class Untrusted(ConnectionError):
    """Tell that what came is not the server's word: try later, as after a close."""


class Refused(Exception):
    """Tell that the server itself, by its mac, refused the login."""


class LoginEnded(Exception):
    """Tell that the gate does not know the login any more."""


@dataclass(frozen=True)
class Admitted:
    """Hold what a login gives: the subid, the secret, and maybe where the gate is."""

    subid: bytes
    secret: bytes = field(repr=False)
    address: str | None = None


class Keys:
    """Compute what both ends of one login conversation have in common."""

    def __init__(self, private: bytes, challenge: bytes, serverPublic: bytes) -> None:
        self._private, self._serverPublic = private, serverPublic
        self.transcript = b"msgserver login 2" + challenge + publicOf(private) + serverPublic
        self.salt = sha256(self.transcript).digest()

    def checkIdentity(self, identity: bytes | None, signature: bytes) -> None:
        """Check that the server is the one that the client knows, if it knows one (check 2)."""
        try:
            if identity is not None:
                Ed25519PublicKey.from_public_bytes(identity).verify(signature, self.salt)
        except InvalidSignature:
            raise Untrusted("this is not the server that the client knows") from None

    def exchange(self) -> None:
        """Make the four keys, unless the server's key leaves no secret (check 3)."""
        other = X25519PublicKey.from_public_bytes(self._serverPublic)
        try:  # The library refuses a shared value of zeros. See that yours does.
            self.shared = X25519PrivateKey.from_private_bytes(self._private).exchange(other)
        except ValueError:
            raise Untrusted("the server's public key leaves no secret") from None
        made = HKDF(SHA256(), 128, self.salt, b"msgserver login 2 keys").derive(self.shared)
        self.secret, self.proofKey = made[:32], made[32:64]
        self.tokenKey, self.statusKey = made[64:96], made[96:]

    def proof(self) -> bytes:
        """Give what line 4 has."""
        return digest(self.proofKey, self.transcript, "sha256")

    def seal(self, token: bytes) -> bytes:
        """Give what line 5 has: the encrypted token and its tag."""
        return ChaCha20Poly1305(self.tokenKey).encrypt(bytes(12), token, self.transcript)

    def subidMac(self, subid: bytes) -> bytes:
        """Give the mac of an admission."""
        return digest(self.proofKey, self.transcript + subid, "sha256")

    def lineMac(self, text: bytes) -> bytes:
        """Give the mac of an address or of a refusal."""
        return digest(self.statusKey, self.transcript + text, "sha256")


def publicOf(private: bytes) -> bytes:
    """Give the public key of a private one."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def decode64(text: bytes) -> bytes:
    """Decode base64 that must be canonical (check 7)."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        data = b""
    if b64encode(data) != text:
        raise Untrusted("a line is not canonical base64")
    return data


def readLine(lines: BufferedReader) -> bytes | None:
    """Read a line without its end, or None where the connection is closed before it begins."""
    line = lines.readline(LONGEST_LINE + 1)
    if line and not line.endswith(b"\n"):
        raise Untrusted("closed in the middle of a line, or the line is too long")
    return line[:-1] if line else None


def readBytes(lines: BufferedReader, *lengths: int) -> bytes:
    """Read line 1 or 3. A refusal in their place has no mac, so nobody knows whose it is."""
    line = readLine(lines)
    if line is None or b" " in line:
        raise Untrusted("closed or refused before the key exchange: maybe another suite is needed")
    data = decode64(line)
    if len(data) not in lengths:
        raise Untrusted("a line has the wrong length")
    return data


def login(
    stream: socket.socket, token: bytes, identity: bytes | None = None, private: bytes = b""
) -> Admitted:
    """
    Log in over a connection to the login server, which the caller closes.

    @param identity: the public part of the server's identity key; None: any server will do.
    @param private: for tests alone; otherwise the key is a new one for each login, as it must be.
    @raise Refused: the server said no, and its mac proves that.
    @raise OSError: anything else went wrong; try later, with the same token.
    """
    if len(token) > LONGEST_TOKEN:
        raise ValueError("the token is too long")
    private = private or urandom(32)
    stream.settimeout(TIMEOUT)
    with stream.makefile("rb") as lines:
        challenge = readBytes(lines, 8)
        stream.sendall(b64encode(publicOf(private)) + b"\n")
        answer = readBytes(lines, 32, 96)
        keys = Keys(private, challenge, answer[:32])
        keys.checkIdentity(identity, answer[32:])
        keys.exchange()
        stream.sendall(b64encode(keys.proof()) + b"\n" + b64encode(keys.seal(token)) + b"\n")
        text, _, mac = (readLine(lines) or b"").rpartition(b" ")
        if not text.startswith(b"200 "):
            if not compare_digest(decode64(mac), keys.lineMac(text)) or text not in REFUSALS:
                raise Untrusted("the status is not the server's word")
            raise Refused(text.decode())
        subid = decode64(text[4:])
        if not subid or not compare_digest(decode64(mac), keys.subidMac(subid)):
            raise Untrusted("the admission is not the server's word")
        line = readLine(lines)  # L5: the gate's address, or a close.
    text, _, mac = (line or b"").rpartition(b" ")
    if line is not None and not compare_digest(decode64(mac), keys.lineMac(text)):
        raise Untrusted("the line behind the admission is not the server's word")
    address = decode64(text[4:]).decode() if text.startswith(b"210 ") else None
    return Admitted(subid, keys.secret, address)


def packet(content: bytes) -> bytes:
    """Put the length in front."""
    return struct.pack(">H", len(content)) + content


def handshake(uid: bytes, server: bytes, admitted: Admitted, index: int) -> bytes:
    """Write the first packet of a connection to the gate."""
    username = b"%b@%b#%b" % tuple(b64encode(part) for part in (uid, server, admitted.subid))
    text = b"%b:%d" % (username, index)
    return packet(text + b":" + b64encode(digest(admitted.secret, text, "sha256")))


class GateClient:
    """
    Ask requests within one login, over one connection after the other.

    Where L{send} or L{receive} raises OSError, wait (rule 8), L{connect} again and L{receive} on.
    """

    def __init__(self, place: tuple[str, int], uid: bytes, server: bytes, login: Admitted) -> None:
        self._place, self._login = place, (uid, server, login)
        self._index = self._session = 0
        self._received = b""
        self._stream = socket.socket()
        self.unanswered: dict[int, bytes] = {}

    def connect(self) -> None:
        """
        Shake hands on a new connection, and ask again what is unanswered.

        @raise LoginEnded: log in anew; what is C{unanswered} may have run or not (rule 7).
        @raise OSError: try again later; after C{403 Index Expired} too (rule 2).
        """
        self.close()
        self._received = b""
        self._index += 1
        self._stream = socket.create_connection(self._place, TIMEOUT)
        self._write(handshake(*self._login, self._index))
        verdict = self._readPacket()
        if verdict in (b"404 User Not Found", b"401 Unauthorized"):
            raise LoginEnded(verdict.decode())
        if verdict != b"200 OK":
            raise ConnectionError(f"the gate says {verdict!r}")
        for session, content in self.unanswered.items():
            self._write(packet(content + struct.pack(">I", session)))

    def send(self, content: bytes) -> int:
        """Ask, and give the session; it stays the request's own, even if the connection breaks."""
        if len(content) > LONGEST_CONTENT or len(self.unanswered) >= MOST_UNANSWERED:
            raise ValueError("the content is too long, or receive some answers first (rule 6)")
        self._session = (self._session + 1) % 2**32
        while self._session in self.unanswered:
            self._session = (self._session + 1) % 2**32
        self.unanswered[self._session] = content
        self._write(packet(content + struct.pack(">I", self._session)))
        return self._session

    def receive(self) -> tuple[int, bool, bytes]:
        """Give the next answer: its session, whether the handler succeeded, and the content."""
        while True:
            response = self._readPacket()
            if len(response) < 5 or response[-5] > 1:
                raise ConnectionError("a packet that is no response")
            session = int.from_bytes(response[-4:], "big")
            if self.unanswered.pop(session, None) is not None:
                return session, response[-5] == 1, response[:-5]

    def close(self) -> None:
        """Close the connection. The login goes on."""
        self._stream.close()

    def _write(self, data: bytes) -> None:
        while data:  # Reads as well, or both ends might wait for each other to read (B3).
            readable, writable, _ = select([self._stream], [self._stream], [], TIMEOUT)
            if not readable and not writable:
                raise TimeoutError("the gate reads nothing")
            if readable:
                self._readMore()
            if writable:
                data = data[self._stream.send(data) :]

    def _readMore(self) -> None:
        piece = self._stream.recv(65536)
        if not piece:
            raise ConnectionError("the gate closed the connection")
        self._received += piece

    def _readPacket(self) -> bytes:
        while len(self._received) < 2 or len(self._received) < self._end:
            self._readMore()
        data, self._received = self._received[2 : self._end], self._received[self._end :]
        return data

    @property
    def _end(self) -> int:
        return 2 + int.from_bytes(self._received[:2], "big")
