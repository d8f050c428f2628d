"""
Tests for L{msgserver.wire.naming}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import BadRequest
from msgserver.wire.naming import (
    MAX_INDEX,
    User,
    decode64,
    encode64,
    handshakeText,
    parseHandshake,
    parseUsername,
)
from tests.wire import recorded

ALICE = User(uid=b"alice", subid=b"1", server=b"sample")
USERNAME = b"YWxpY2U=@c2FtcGxl#MQ=="


class Base64Tests(SynchronousTestCase):
    """Base64 as both sides write it."""

    def test_recorded(self) -> None:
        """What the original wrote is what is written and read here."""
        vectors = recorded("classic-crypt.json")["base64"]
        self.assertEqual(len(vectors), 24)
        for vector in vectors:
            raw, text = bytes.fromhex(vector["raw"]), vector["text"].encode()
            self.assertEqual(encode64(raw), text)
            self.assertEqual(decode64(text), raw)

    def test_notBase64(self) -> None:
        """What no encoder writes is no base64: there is one text for each value."""
        for text in (
            b"QQ",
            b"QQ=",
            b"QQ===",
            b"QUI",
            b"A",
            b"=",
            b"====",
            b"QR==",
            b"QUJ=",
            b"QQ==\n",
            b"\nQQ==",
            b"QQ== ",
            b"QU I=",
            b"Q=Q=",
            b"QQ==QQ==",
            b"-_-_",
            b"QUJD\x00",
            "ＱＱ==".encode(),
        ):
            self.assertRaises(ValueError, decode64, text)


class UsernameTests(SynchronousTestCase):
    """C{base64(uid)@base64(server)#base64(subid)}."""

    def test_username(self) -> None:
        """A user's username is the one that the original made."""
        user = recorded("classic-transcript.json")["user"]
        self.assertEqual(ALICE.username, user["username"].encode())
        self.assertEqual(ALICE.username, USERNAME)

    def test_parse(self) -> None:
        """A username names its user, empty parts and separators within parts included."""
        self.assertEqual(parseUsername(USERNAME), ALICE)
        self.assertEqual(parseUsername(b"@#"), User(b"", b"", b""))
        odd = User(uid=b"@#:\n", subid=b"\x00\xff", server=b"@")
        self.assertEqual(odd.username, b"QCM6Cg==@QA==#AP8=")
        self.assertEqual(parseUsername(odd.username), odd)

    def test_notOfTheForm(self) -> None:
        """Everything else is no username, bytes in front of it or behind it included."""
        for username in (
            b"",
            b"YWxpY2U=",
            b"YWxpY2U=@c2FtcGxl",
            b"YWxpY2U=#MQ==",
            b"YWxpY2U=#MQ==@c2FtcGxl",
            b"alice@sample#1",
            b"YWxpY2U@c2FtcGxl#MQ==",
            USERNAME + b"\n",
            USERNAME + b"#MQ==",
            USERNAME + b"@c2FtcGxl",
            USERNAME + b"MQ==",
            b" " + USERNAME,
            b"@" + USERNAME,
            b"#" + USERNAME,
        ):
            self.assertRaises(ValueError, parseUsername, username)

    def test_value(self) -> None:
        """A user is its uid, subid and server: equal ones are one key of a table."""
        same = User(b"alice", b"1", b"sample")
        self.assertEqual({ALICE: "here"}[same], "here")
        for other in (
            User(b"bob", b"1", b"sample"),
            User(b"alice", b"2", b"sample"),
            User(b"alice", b"1", b"other"),
        ):
            self.assertNotEqual(other, ALICE)
        self.assertRaises(TypeError, User, b"alice", b"1", b"sample", username=b"bob")
        self.assertEqual(repr(ALICE), "User(uid=b'alice', subid=b'1', server=b'sample')")


class HandshakeTests(SynchronousTestCase):
    """C{username:index:base64(mac)} (H)."""

    def test_text(self) -> None:
        """The text is what the mac vouches for: the username and the index."""
        self.assertEqual(handshakeText(ALICE, 1), USERNAME + b":1")
        self.assertEqual(handshakeText(ALICE, MAX_INDEX), USERNAME + b":9223372036854775807")

    def test_parse(self) -> None:
        """A handshake says who, the how-manieth, and what is to prove it."""
        handshake = parseHandshake(USERNAME + b":12:ZluYSPmBkzY=")
        self.assertEqual(handshake.user, ALICE)
        self.assertEqual(handshake.index, 12)
        self.assertEqual(handshake.text, USERNAME + b":12")
        self.assertEqual(handshake.mac, bytes.fromhex("665b9848f9819336"))

    def test_macOfAnyLength(self) -> None:
        """Whether a mac fits is not the form's business: it may have any length (H1)."""
        self.assertEqual(parseHandshake(USERNAME + b":1:").mac, b"")
        self.assertEqual(parseHandshake(USERNAME + b":1:" + b"QUJD" * 99).mac, b"ABC" * 99)

    def test_index(self) -> None:
        """An index is a canonical decimal from 0 to 2^63-1 (H)."""
        for digits, index in (
            (b"0", 0),
            (b"1", 1),
            (b"10", 10),
            (b"1000000000000000000", 10**18),
            (b"9223372036854775807", 2**63 - 1),
        ):
            handshake = parseHandshake(USERNAME + b":" + digits + b":")
            self.assertEqual(handshake.index, index)

    def test_notAnIndex(self) -> None:
        """Everything else that some language reads as a number is a bad request (H)."""
        for digits in (
            b"",
            b"00",
            b"01",
            b"+1",
            b"-1",
            b"-0",
            b" 1",
            b"1 ",
            b"1\n",
            b"1.0",
            b"1e3",
            b"1e999",
            b"0x10",
            b"1_0",
            b"inf",
            b"nan",
            b"x",
            b"9223372036854775808",
            b"9999999999999999999",
            b"10000000000000000000",
            b"1" * 5000,
            "١".encode(),
            "１".encode(),
        ):
            self.assertRaises(BadRequest, parseHandshake, USERNAME + b":" + digits + b":")

    def test_notOfTheForm(self) -> None:
        """Parts that are missing, too many or not what they should be: a bad request (H)."""
        for packet in (
            b"",
            b":",
            b"::",
            b":1:",
            USERNAME,
            USERNAME + b":1",
            USERNAME + b":1:ZluYSPmBkzY=:",
            USERNAME + b":1:ZluYSPmBkzY=:1",
            USERNAME + b":1:ZluYSPmBkzY=\n",
            USERNAME + b":1:ZluYSPmBkzY",
            USERNAME + b":1:ZluYSPmBkzZ=",
            USERNAME + b":1:not base64",
            b"\n" + USERNAME + b":1:",
            b":" + USERNAME + b":1:",
            b"alice@sample#1:1:",
            b"YWxpY2U=@c2FtcGxl:1:",
            b"\xff" * 65535,
        ):
            self.assertRaises(BadRequest, parseHandshake, packet)

    def test_beginnings(self) -> None:
        """No beginning of a handshake is one, before its mac has begun (H)."""
        text = USERNAME + b":1"
        for size in range(len(text) + 1):
            self.assertRaises(BadRequest, parseHandshake, text[:size])

    def test_repr(self) -> None:
        """A handshake's repr keeps the mac to itself (L6)."""
        handshake = parseHandshake(USERNAME + b":1:ZluYSPmBkzY=")
        self.assertNotIn("mac", repr(handshake))
        self.assertNotIn("Zlu", repr(handshake))
