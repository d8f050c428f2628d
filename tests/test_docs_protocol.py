"""
docs/protocol.md is the wire: its algorithms, its example and its words are the recorded ones.
"""

from __future__ import annotations

import json
import re
from typing import Any

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

_CITED = re.compile(r"\b[LHSUB][1-9]\b")


def _recorded(name: str) -> Any:
    return json.loads((ROOT / "tests" / "vectors" / name).read_text())


class AlgorithmsTests(SynchronousTestCase):
    """The page's Python is the classic suite, and nothing but the page is needed for it (L2)."""

    def setUp(self) -> None:
        self.page: dict[str, Any] = {}
        # The last of the blocks is the worked example, which asserts what it says.
        for block in blocks(PAGE):
            if block.language == "python":
                self.assertNotIn("msgserver", block.code)
                exec(compile(source(block), PAGE, "exec"), self.page)

    def test_vectors(self) -> None:
        """Each function gives what the original gave."""
        vectors = _recorded("classic-crypt.json")
        for name, function in _FUNCTIONS.items():
            for vector in vectors[name]:
                # Each has what was given, in the order of the parameters, and what came of it.
                *given, expected = map(bytes.fromhex, vector.values())
                self.assertEqual(self.page[function](*given), expected, f"{function} {vector}")


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
        gate = [cell.strip("`") for cell, _ in tables(PAGE, "## H. The handshake with the gate")]
        checked = ("BAD_REQUEST", "USER_NOT_FOUND", "UNAUTHORIZED", "INDEX_EXPIRED", "OK")
        self.assertEqual(gate, [GateStatus[name].value.decode() for name in checked])
        self.assertEqual(len(checked), len(GateStatus))

    def test_client(self) -> None:
        """A client has eight rules to keep, as the README says."""
        section = read(PAGE).split("\n## What a client must do\n")[1].split("\n## ")[0]
        self.assertEqual(re.findall(r"^(\d)\. ", section, re.MULTILINE), list("12345678"))
        self.assertIn("[eight rules](docs/protocol.md#what-a-client-must-do)", read("README.md"))
