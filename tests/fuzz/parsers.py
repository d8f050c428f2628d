"""
The parsers, each against the same rules written once more.
"""

from __future__ import annotations

from msgserver.clientlogin import parseAddress
from msgserver.errors import BadRequest, ProtocolError
from msgserver.wire.classic import decrypt, encrypt
from msgserver.wire.framing import LineReader, PacketReader, packet
from msgserver.wire.naming import (
    decode64,
    encode64,
    handshakeText,
    parseHandshake,
    parseUsername,
)
from tests.fuzz.clients import ADDRESS
from tests.fuzz.gateport import INDEX, MAC
from tests.fuzz.plays import Data, Number, Verb
from tests.fuzz.references import fromBase64, parseHello, splitPackets
from tests.fuzz.stages import Stage
from tests.fuzz.watching import Watch, see

LIMIT = 100
"""The longest line and packet, in bytes."""

TEXT = Data((b"QQ==", b"", b"QR==", b"=", b"QQ=", b"Q Q=", b"QUJD", b"-_==", b"QQ==\n", b"\xff"))
NAME = Data((b"QQ==", b"QUJD", b"", b"QR==", b"@", b"#", b":", b"Q"))
KEY = Data((b"8 bytes!", bytes(8), b"\xff" * 8))
STREAM = Data(
    (b"ab\ncd\n", b"\n\n", b"x" * 100 + b"\n", b"x" * 101, b"x" * 101 + b"\n", b"\r\n")
    + (packet(b"ab") * 3, packet(b"x" * 100), packet(b"x" * 101), b"\x00", b"\x00\x00" * 9, b"")
)
SIZE = Number(1, 1000, (1, 2, 3, 100, 101, 1000))


class ParserStage(Stage):
    """All parsers; they keep nothing between two actions."""

    verbs = {
        "base64": Verb((TEXT,), 2),
        "username": Verb((NAME, NAME, NAME)),
        "name": Verb((NAME,)),
        "handshake": Verb((NAME, NAME, NAME, INDEX, MAC), 3),
        "hello": Verb((NAME,)),
        "address": Verb((ADDRESS,)),
        "lines": Verb((SIZE, STREAM), 2),
        "packets": Verb((SIZE, STREAM), 2),
        "sealed": Verb((KEY, STREAM)),
        "seal": Verb((KEY, STREAM)),
    }

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self.parts = [self]

    def play_base64(self, text: bytes) -> None:
        """Base64 is read where it is as L{encode64} writes it, and nowhere else."""
        try:
            raw = decode64(text)
        except ValueError:
            see(fromBase64(text) is None, f"{text!r} is not read")
        else:
            see(encode64(raw) == text and fromBase64(text) == raw, f"{text!r} is read as {raw!r}")

    def play_username(self, uid: bytes, server: bytes, subid: bytes) -> None:
        """A username of these parts."""
        self.play_name(b"%b@%b#%b" % (uid, server, subid))

    def play_name(self, username: bytes) -> None:
        """A username is read where it would be written like that."""
        expected = parseHello(username + b":1:")
        try:
            user = parseUsername(username)
        except ValueError:
            see(expected is None, f"{username!r} is not read")
        else:
            see(user.username == username, f"{username!r} is read as {user!r}")
            see(expected is not None and expected[0] == user, f"{username!r} is read as {user!r}")

    def play_handshake(
        self, uid: bytes, server: bytes, subid: bytes, index: bytes, mac: bytes
    ) -> None:
        """A handshake of these parts (H)."""
        self.play_hello(b"%b@%b#%b:%b:%b" % (uid, server, subid, index, mac))

    def play_hello(self, content: bytes) -> None:
        """A handshake is read where it is of the form that H says."""
        expected = parseHello(content)
        try:
            read = parseHandshake(content)
        except BadRequest:
            see(expected is None, f"H: {content!r} is not read")
            return
        see(expected is not None, f"H: {content!r} is read")
        see(expected == (read.user, read.index, read.text, read.mac), f"H: {content!r}: {read!r}")
        written = handshakeText(read.user, read.index) + b":" + encode64(read.mac)
        see(written == content, f"H: {content!r} is not what is written: {written!r}")

    def play_address(self, text: bytes) -> None:
        """An address has a host and a port that one can connect to (L5)."""
        address = text.decode("utf-8", "replace")
        try:
            host, port = parseAddress(address)
        except ProtocolError:
            return
        written = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        isSame = written == address or address.rpartition(":")[2].startswith("0")
        see(host and 0 < port < 65536 and isSame, f"L5: {address!r} is read as {host!r}, {port}")

    def play_lines(self, size: int, stream: bytes) -> None:
        """Lines are cut alike however they arrive, and none is held beyond its limit (L1)."""
        reader, lines, isOver = LineReader(LIMIT), [], False
        try:
            for start in range(0, len(stream), size):
                reader.feed(stream[start : start + size])
                while (line := reader.next()) is not None:
                    lines.append(line)
                see(len(reader._buffer) <= LIMIT, "L1: more than a line is held")
        except ProtocolError:
            isOver = True
        *whole, rest = stream.split(b"\n")
        good = next((n for n, line in enumerate(whole) if len(line) > LIMIT), len(whole))
        see(lines == whole[:good], f"L1: {stream[:80]!r} has the lines {lines!r}")
        see(isOver is (good < len(whole) or len(rest) > LIMIT), f"L1: {stream[:80]!r}: {isOver}")

    def play_packets(self, size: int, stream: bytes) -> None:
        """Packets are cut alike however they arrive, and none is held beyond its limit (B4)."""
        reader, packets, isOver = PacketReader(LIMIT), [], False
        try:
            for start in range(0, len(stream), size):
                reader.feed(stream[start : start + size])
                while (each := reader.next()) is not None:
                    packets.append(each)
                see(len(reader._buffer) <= LIMIT + 1, "B4: more than a packet is held")
        except ProtocolError:
            isOver = True
        whole, rest = splitPackets(stream)
        good = next((n for n, each in enumerate(whole) if len(each) > LIMIT), len(whole))
        isLong = len(rest) >= 2 and int.from_bytes(rest[:2], "big") > LIMIT
        see(packets == whole[:good], f"B4: {stream[:80]!r} has the packets {packets!r}")
        see(isOver is (good < len(whole) or isLong), f"B4: {stream[:80]!r}: {isOver}")

    def play_sealed(self, key: bytes, sealed: bytes) -> None:
        """What was not sealed is told apart, and what is read is what would be sealed (L2)."""
        key = key[:8].ljust(8, b"\x00")
        try:
            plain = decrypt(key, sealed)
        except ValueError:
            return
        see(encrypt(key, plain) == sealed, f"L2: {sealed[:80]!r} is read as {plain[:80]!r}")

    def play_seal(self, key: bytes, plain: bytes) -> None:
        """What was sealed is read again (L2)."""
        key = key[:8].ljust(8, b"\x00")
        see(decrypt(key, encrypt(key, plain)) == plain, f"L2: {plain[:80]!r} is not read again")
