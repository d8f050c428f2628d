"""
docs/protocol.md is the wire: its algorithms, its example and its words are the recorded ones.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hmac import digest
from typing import Any

from cryptography.exceptions import InvalidSignature
from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import GateStatus, LoginStatus
from tests.pages import ROOT, blocks, read, source, tables

PAGE = "docs/protocol.md"

RULES = [
    f"{letter}{number}"
    for letter, most in (("L", 6), ("H", 5), ("S", 9), ("U", 5), ("B", 5))
    for number in range(1, most + 1)
]

_FUNCTIONS = {
    "dhexchange": "dhexchange",
    "dhsecret": "dhsecret",
    "hashkey": "hashkey",
    "hmac64": "hmac64",
    "hmac_hash": "hmac_hash",
    "des": "desencode",
}
"""What the recorded vectors are of, and which of the page's functions that is."""

_MODERN = {
    *("challenge", "client_private_key", "client_public_key", "server_public_key", "token"),
    *("transcript", "shared", "secret", "proof_key", "token_key", "status_key", "proof"),
    *("sealed_token", "identity_public_key", "signature", "subid", "status_mac", "address_mac"),
}
"""What is in hex in a login of the modern vectors."""

_CITED = re.compile(r"\b[LHSUB][1-9]\b")


def _recorded(name: str) -> Any:
    return json.loads((ROOT / "tests" / "vectors" / name).read_text())


class AlgorithmsTests(SynchronousTestCase):
    """The page's Python is both suites, and nothing but the page is needed for it (L2, L3)."""

    def setUp(self) -> None:
        self.page: dict[str, Any] = {}
        # The last two of the blocks are the worked examples, which assert what they say.
        for block in blocks(PAGE):
            if block.language == "python":
                self.assertNotRegex(block.code, r"(import|from) msgserver")
                exec(compile(source(block), PAGE, "exec"), self.page)

    def test_vectors(self) -> None:
        """Each function gives what the original gave."""
        vectors = _recorded("classic-crypt.json")
        for name, function in _FUNCTIONS.items():
            for vector in vectors[name]:
                # Each has what was given, in the order of the parameters, and what came of it.
                *given, expected = map(bytes.fromhex, vector.values())
                self.assertEqual(self.page[function](*given), expected, f"{function} {vector}")

    def test_modern(self) -> None:
        """Each value of each login of the modern suite comes from the page's functions (L3)."""
        page = self.page
        for login in _recorded("modern.json")["logins"]:
            raw = {name: bytes.fromhex(login[name]) for name in _MODERN & set(login)}
            public = page["x25519_public"](raw["client_private_key"])
            self.assertEqual(public, raw["client_public_key"])
            t = page["transcript"](raw["challenge"], public, raw["server_public_key"])
            self.assertEqual(t, raw["transcript"])
            shared = page["x25519_shared"](raw["client_private_key"], raw["server_public_key"])
            self.assertEqual(shared, raw["shared"])
            keys = page["modern_keys"](shared, t)
            names = ("secret", "proof_key", "token_key", "status_key")
            self.assertEqual(keys, tuple(raw[name] for name in names))
            secret, proofKey, tokenKey, statusKey = keys
            self.assertEqual(page["modern_proof"](proofKey, t), raw["proof"])
            self.assertEqual(page["modern_seal"](tokenKey, t, raw["token"]), raw["sealed_token"])
            if "signature" in raw:
                page["check_identity"](raw["identity_public_key"], t, raw["signature"])
            lines = [line.encode() for _, line in login["lines"]]
            if "subid" in raw:
                mac = page["modern_subid_mac"](proofKey, t, raw["subid"])
            else:
                mac = page["modern_line_mac"](statusKey, t, lines[5].rpartition(b" ")[0])
            self.assertEqual(mac, raw["status_mac"])
            if "address" in login:
                mac = page["modern_line_mac"](statusKey, t, lines[6].rpartition(b" ")[0])
                self.assertEqual(mac, raw["address_mac"])
            for handshake in login.get("handshakes", ()):
                mac = page["modern_handshake_mac"](secret, handshake["text"].encode())
                self.assertEqual(mac.hex(), handshake["mac"])

    def test_refused(self) -> None:
        """The page's functions refuse what a client must refuse (L3)."""
        login = _recorded("modern.json")["logins"][1]
        identity, signature, t = (
            bytes.fromhex(login[name])
            for name in ("identity_public_key", "signature", "transcript")
        )
        check = self.page["check_identity"]
        for wrong in (b"", bytes(64), signature[:-1], signature + b"\x00"):
            self.assertRaises(InvalidSignature, check, identity, t, wrong)
        self.assertRaises(InvalidSignature, check, identity, t + b"\x00", signature)
        for key in _recorded("modern.json")["refused_public_keys"]:
            shared = self.page["x25519_shared"]
            self.assertRaises(ValueError, shared, bytes(32), bytes.fromhex(key))
        same = self.page["is_same"]
        self.assertTrue(same(b"mac", b"mac"))
        for other in (b"", b"mad", b"mac0"):
            self.assertFalse(same(b"mac", other))


class ModernExampleTests(SynchronousTestCase):
    """The example of the modern suite is the vectors' second login."""

    def test_values(self) -> None:
        """Each value is, and each line, in their order."""
        login = _recorded("modern.json")["logins"][1]
        shown = {
            what: value.strip("`")
            for what, value in tables(PAGE, "## A worked example of the modern suite")
        }
        expected = {
            f"line {number}, {sender}": line
            for number, (sender, line) in enumerate(login["lines"], 1)
        }
        for what, name in (
            ("client private key", "client_private_key"),
            ("server private key", "server_private_key"),
            ("identity, private", "identity_private_key"),
            ("identity, public", "identity_public_key"),
            ("SHA-256(T)", "salt"),
            ("shared", "shared"),
            ("secret", "secret"),
            ("proof key", "proof_key"),
            ("token key", "token_key"),
            ("status key", "status_key"),
        ):
            expected[what] = login[name]
        handshake = login["handshakes"][0]
        expected["first handshake"] = bytes.fromhex(handshake["packet"])[2:].decode()
        self.assertEqual(shown, expected)

    def test_refusal(self) -> None:
        """The refusal behind it is the one that the server would have said."""
        login = _recorded("modern.json")["logins"][1]
        key, transcript = (bytes.fromhex(login[name]) for name in ("status_key", "transcript"))
        mac = b64encode(digest(key, transcript + b"401 Unauthorized", "sha256")).decode()
        self.assertIn(f"`401 Unauthorized {mac}`", read(PAGE))


class ExampleTests(SynchronousTestCase):
    """The worked example is what was recorded, all of it, in its order."""

    def setUp(self) -> None:
        self.transcript = _recorded("classic-transcript.json")
        self.tables = tables(PAGE, "## A worked example")

    def test_login(self) -> None:
        """The values of the login and of the handshakes are the recorded ones."""
        shown = {what: re.sub(r"`([^`]*)`.*", r"\1", value) for what, value, *_ in self.tables}
        login, user = self.transcript["login"], self.transcript["user"]
        lines = [line for _, line in login["lines"]]
        names = ("challenge", "client public key", "server public key", "proof")
        senders = [sender for sender, _ in login["lines"]]
        expected = {
            f"line {number}, {sender}: {name}": line
            for number, (sender, name, line) in enumerate(
                zip(senders, (*names, "encrypted token", "status"), lines, strict=True), 1
            )
        } | {
            "client private key": login["client_private_key"],
            "secret": login["secret"],
            "token": login["token"],
            "username": user["username"],
            "first handshake": self._frame(3, 0),
            "its answer": self._frame(3, 1),
            "second handshake": self._frame(5, 0),
        }
        self.assertEqual({what: shown.get(what) for what in expected}, expected)

    def test_packets(self) -> None:
        """The packets are those of both connections, with their lengths in front."""
        shown = [
            [who, "".join(re.findall(r"`(\w+)`", packet))]
            for who, packet, *_ in self.tables
            if who in ("client", "server")
        ]
        expected = [
            [who, f"{len(payload) // 2:04x}{payload}"]
            for connection in (3, 5)
            for who, payload in self.transcript["connections"][connection][2:]
            if who != "wait" and payload is not None
        ]
        self.assertEqual(shown, expected)

    def _frame(self, connection: int, frame: int) -> str:
        return bytes.fromhex(self.transcript["connections"][connection][frame][1]).decode()


class WordsTests(SynchronousTestCase):
    """The page has what it promises, and the source keeps to it."""

    def test_rules(self) -> None:
        """Every rule stands there, once, and in order."""
        self.assertEqual(re.findall(r"^- \*\*(\w\d)\*\* ", read(PAGE), re.MULTILINE), RULES)

    def test_cited(self) -> None:
        """Every rule that the source cites is one."""
        for file in sorted((ROOT / "msgserver").rglob("*.py")):
            for rule in _CITED.findall(file.read_text()):
                self.assertIn(rule, RULES, file)

    def test_statuses(self) -> None:
        """The tables of statuses are those that are sent, in the order of the checks (H1)."""
        login = [row[0].strip("`") for row in tables(PAGE, "## L. The login") if len(row) == 2]
        statuses = [status.value.decode() for status in LoginStatus]
        self.assertEqual(login, [f"{statuses[0]} base64(subid)", *statuses[1:]])
        rows = tables(PAGE, "## H. The handshake with the gate")
        gate = [row[0].strip("`") for row in rows if len(row) == 2]
        checked = ("BAD_REQUEST", "USER_NOT_FOUND", "UNAUTHORIZED", "INDEX_EXPIRED", "OK")
        self.assertEqual(gate, [GateStatus[name].value.decode() for name in checked])
        self.assertEqual(len(checked), len(GateStatus))

    def test_client(self) -> None:
        """A client has eight rules to keep, as the README says."""
        section = read(PAGE).split("\n## What a client must do\n")[1].split("\n## ")[0]
        self.assertEqual(re.findall(r"^(\d)\. ", section, re.MULTILINE), list("12345678"))
        self.assertIn("[eight rules](docs/protocol.md#what-a-client-must-do)", read("README.md"))
