"""The second client against the vectors, and against servers that are not the right one."""

from __future__ import annotations

import ast
import json
import socket
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.trial.unittest import SynchronousTestCase

from tests import independent
from tests.independent import Admitted, Keys, Refused, Untrusted, handshake, login, publicOf

VECTORS = json.loads((Path(__file__).parent / "vectors" / "modern.json").read_text())
LOGINS: dict[str, dict[str, Any]] = {case["name"]: case for case in VECTORS["logins"]}
PLAIN = "admitted"
ADDRESSED = "admitted by a server with an identity"


def valueOf(case: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(case[name])


def linesOf(case: dict[str, Any], who: str) -> list[bytes]:
    return [line.encode() for speaker, line in case["lines"] if speaker == who]


def keysOf(case: dict[str, Any]) -> Keys:
    keys = Keys(
        valueOf(case, "client_private_key"),
        valueOf(case, "challenge"),
        valueOf(case, "server_public_key"),
    )
    keys.exchange()
    return keys


def publicOfIdentity(name: bytes) -> bytes:
    private = Ed25519PrivateKey.from_private_bytes(name.ljust(32, b"."))
    return private.public_key().public_bytes_raw()


class Conversation:
    """
    A login of the vectors, whose server says all that it has to say at once, and closes.

    @ivar sent: the lines that the client has sent.
    @ivar outcome: what it made of the server's.
    """

    def __init__(
        self, case: dict[str, Any], said: bytes | None = None, identity: bytes | None = None
    ) -> None:
        if said is None:
            said = b"".join(line + b"\n" for line in linesOf(case, "server"))
        ours, theirs = socket.socketpair()
        self.outcome: Admitted | Exception
        with ours, theirs:
            theirs.sendall(said)
            theirs.shutdown(socket.SHUT_WR)
            try:
                self.outcome = login(
                    ours, valueOf(case, "token"), identity, valueOf(case, "client_private_key")
                )
            except (Refused, OSError) as error:
                self.outcome = error
            ours.close()
            with theirs.makefile("rb") as stream:
                self.sent = stream.read().splitlines(keepends=True)


class VectorTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """The client says what the vectors say, to the byte, and believes the server."""
        for name, case in LOGINS.items():
            identity = case.get("identity_public_key")
            for known in (None, identity and bytes.fromhex(identity)):
                conversation = Conversation(case, identity=known)
                expected = [line + b"\n" for line in linesOf(case, "client")]
                self.assertEqual(conversation.sent, expected, name)
                outcome = conversation.outcome
                if "subid" in case:
                    admitted = Admitted(
                        valueOf(case, "subid"), valueOf(case, "secret"), case.get("address")
                    )
                    self.assertEqual(outcome, admitted, name)
                else:
                    text = linesOf(case, "server")[-1].rpartition(b" ")[0].decode()
                    self.assertIsInstance(outcome, Refused, name)
                    self.assertEqual(str(outcome), text, name)

    def test_values(self) -> None:
        """Each value in between is that of the vectors."""
        for name, case in LOGINS.items():
            keys = keysOf(case)
            made = {
                "client_public_key": publicOf(valueOf(case, "client_private_key")),
                "transcript": keys.transcript,
                "salt": keys.salt,
                "shared": keys.shared,
                "secret": keys.secret,
                "proof_key": keys.proofKey,
                "token_key": keys.tokenKey,
                "status_key": keys.statusKey,
                "proof": keys.proof(),
                "sealed_token": keys.seal(valueOf(case, "token")),
            }
            if "subid" in case:
                made["status_mac"] = keys.subidMac(valueOf(case, "subid"))
            else:
                made["status_mac"] = keys.lineMac(linesOf(case, "server")[2].rpartition(b" ")[0])
            if "address" in case:
                text = b"210 " + b64encode(case["address"].encode())
                made["address_mac"] = keys.lineMac(text)
            for value, data in made.items():
                self.assertEqual(data, valueOf(case, value), f"{name}: {value}")

    def test_handshakes(self) -> None:
        """Each handshake is that of the vectors."""
        count = 0
        for name, case in LOGINS.items():
            for vector in case.get("handshakes", ()):
                admitted = Admitted(valueOf(case, "subid"), valueOf(case, "secret"))
                uid, server = valueOf(vector, "uid"), valueOf(vector, "server")
                made = handshake(uid, server, admitted, int(vector["index"]))
                self.assertEqual(made, valueOf(vector, "packet"), name)
                count += 1
        self.assertGreater(count, 0)

    def test_refusedKeys(self) -> None:
        """Check 3: a key that leaves no secret gets no proof and no token."""
        case = LOGINS[PLAIN]
        for key in VECTORS["refused_public_keys"]:
            first = linesOf(case, "server")[0]
            conversation = Conversation(case, first + b"\n" + b64encode(bytes.fromhex(key)) + b"\n")
            self.assertIsInstance(conversation.outcome, Untrusted, key)
            self.assertEqual(len(conversation.sent), 1, key)


class CheckTests(SynchronousTestCase):
    """The checks that the page demands of a client."""

    def assertDistrusts(
        self, sent: int, said: bytes, name: str = ADDRESSED, identity: bytes | None = None
    ) -> None:
        """The client sends so many lines, and then calls it an error of the connection."""
        conversation = Conversation(LOGINS[name], said, identity)
        self.assertIsInstance(conversation.outcome, Untrusted, said)
        self.assertEqual(len(conversation.sent), sent, said)

    def test_changed(self) -> None:
        """A change in the server's word is seen, wherever it is."""
        for name, case in LOGINS.items():
            identity = case.get("identity_public_key")
            said = b"".join(line + b"\n" for line in linesOf(case, "server"))
            for place in range(len(said)):
                changed = said[:place] + bytes([said[place] ^ 1]) + said[place + 1 :]
                conversation = Conversation(case, changed, identity and bytes.fromhex(identity))
                self.assertIsInstance(conversation.outcome, Untrusted, (name, place))

    def test_cutShort(self) -> None:
        """A close is no admission before the 200 is there, nor within a line."""
        said = b"".join(line + b"\n" for line in linesOf(LOGINS[ADDRESSED], "server"))
        status = said.rfind(b"\n", 0, -1) + 1
        for end in range(len(said)):
            outcome = Conversation(LOGINS[ADDRESSED], said[:end]).outcome
            if end == status:
                assert isinstance(outcome, Admitted)
                self.assertIsNone(outcome.address)
            else:
                self.assertIsInstance(outcome, Untrusted, end)

    def test_identity(self) -> None:
        """Check 2: another identity, and no signature, get no proof and no token."""
        said = b"".join(line + b"\n" for line in linesOf(LOGINS[ADDRESSED], "server"))
        self.assertDistrusts(1, said, identity=publicOfIdentity(b"other"))
        unsigned = b"".join(line + b"\n" for line in linesOf(LOGINS[PLAIN], "server"))
        self.assertDistrusts(1, unsigned, PLAIN, publicOfIdentity(b"other"))

    def test_plainRefusals(self) -> None:
        """Check 4: a refusal without a mac is not the server's, whenever it comes."""
        lines = linesOf(LOGINS[ADDRESSED], "server")
        for text in (b"401 Unauthorized", b"403 Forbidden", b"406 Not Acceptable"):
            for before, sent in ((0, 0), (1, 1), (2, 3), (3, 3)):
                said = b"".join(line + b"\n" for line in [*lines[:before], text])
                self.assertDistrusts(sent, said)

    def test_wrongLengths(self) -> None:
        """Check 1: eight bytes, then 32 or 96; the classic suite's 8 are not taken (check 8)."""
        first = linesOf(LOGINS[PLAIN], "server")[0]
        for length in (0, 7, 9, 16):
            self.assertDistrusts(0, b64encode(bytes(length)) + b"\n")
        for length in (0, 8, 31, 33, 64, 95, 97):
            self.assertDistrusts(1, first + b"\n" + b64encode(b"9" * length) + b"\n")
        self.assertDistrusts(0, bytes(10_000))

    def test_emptySubid(self) -> None:
        """Check 5: the client's own proof, sent back to it, admits nobody."""
        case = LOGINS[PLAIN]
        lines = linesOf(case, "server")[:2]
        lines.append(b"200  " + b64encode(valueOf(case, "proof")))
        self.assertDistrusts(3, b"".join(line + b"\n" for line in lines), PLAIN)

    def test_looseBase64(self) -> None:
        """Check 7: no padding left out, no bits that say nothing, no CR."""
        case = LOGINS[ADDRESSED]
        right = linesOf(case, "server")
        for number, sent in ((0, 0), (2, 3), (3, 3)):
            self.assertTrue(right[number].endswith(b"="))
            letter = right[number].rstrip(b"=")[-1:]
            after = bytes([letter[0] + 1])
            loose = right[number].replace(letter + b"=", after + b"=")
            self.assertEqual(b64decode(loose.split()[-1]), b64decode(right[number].split()[-1]))
            for line in (loose, right[number].rstrip(b"="), right[number] + b"\r"):
                lines = [*right[:number], line, *right[number + 1 :]]
                self.assertDistrusts(sent, b"".join(line + b"\n" for line in lines))

    def test_otherNumber(self) -> None:
        """L5: another line than 210 with a fitting mac is passed over."""
        case = LOGINS[ADDRESSED]
        text = b"211 something"
        line = text + b" " + b64encode(keysOf(case).lineMac(text))
        said = b"".join(line + b"\n" for line in [*linesOf(case, "server")[:3], line])
        outcome = Conversation(case, said).outcome
        assert isinstance(outcome, Admitted)
        self.assertIsNone(outcome.address)

    def test_otherStatus(self) -> None:
        """A status that the page does not have admits nobody, nor is it a refusal that it has."""
        case = LOGINS[ADDRESSED]
        text = b"500 Not Known"
        line = text + b" " + b64encode(keysOf(case).lineMac(text))
        said = b"".join(line + b"\n" for line in [*linesOf(case, "server")[:2], line])
        self.assertDistrusts(3, said)

    def test_longLine(self) -> None:
        """L1: a line has at most 8,192 bytes, even if its mac fits."""
        case = LOGINS[ADDRESSED]
        for subid, isShort in ((bytes(6105), True), (bytes(6106), False)):
            mac = keysOf(case).subidMac(subid)
            line = b"200 %b %b" % (b64encode(subid), b64encode(mac))
            self.assertEqual(len(line) <= 8192, isShort)
            said = b"".join(line + b"\n" for line in [*linesOf(case, "server")[:2], line])
            outcome = Conversation(case, said).outcome
            self.assertIsInstance(outcome, Admitted if isShort else Untrusted)

    def test_longToken(self) -> None:
        """A token that no line can hold is not even tried."""
        ours, theirs = socket.socketpair()
        with ours, theirs, self.assertRaises(ValueError):
            login(ours, bytes(6129))

    def test_secrets(self) -> None:
        """L6: the secret is in no repr."""
        self.assertNotIn("hidden", repr(Admitted(b"1", b"hidden")))


class IndependenceTests(SynchronousTestCase):
    def test_imports(self) -> None:
        """The client takes nothing from msgserver, nor from another module here."""
        allowed = {"__future__", "base64", "cryptography", "dataclasses", "hashlib", "hmac", "io"}
        allowed |= {"os", "select", "socket", "struct"}
        file = independent.__file__
        assert file is not None
        imported: set[str] = set()
        for node in ast.walk(ast.parse(Path(file).read_text())):
            if isinstance(node, ast.Import):
                imported.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                self.assertEqual(node.level, 0)
                imported.add(node.module or "")
            elif isinstance(node, ast.Name):
                self.assertNotIn(node.id, ("__import__", "importlib", "exec", "eval"))
        self.assertEqual({name.partition(".")[0] for name in imported}, allowed)
