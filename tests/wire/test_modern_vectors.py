"""
C{tests/vectors/modern.json}: each value follows from those before it, and both ends make them.

The steps are taken here one by one, HKDF by hand, with nothing of msgserver; and once more by
L{msgserver.wire}.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from hmac import digest
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import Forbidden, NotAcceptable, Unauthorized
from msgserver.wire.gate import GateClient, isProvedBy
from msgserver.wire.login import Admitted, LoginClient, LoginServer, TokenReceived
from msgserver.wire.modern import ModernSuite
from msgserver.wire.naming import User, parseHandshake
from tests.vectors import makemodern
from tests.wire import arrivals, given, outcome, recorded

REFUSALS = {"401": Unauthorized, "403": Forbidden, "406": NotAcceptable}

TEXTS = ("name", "address", "lines", "handshakes")
"""What of a login is no bytes."""


class Login:
    """
    One login of the file.

    @ivar raw: its values, by their names.
    @ivar up: the lines of the client.
    @ivar down: those of the server.
    """

    def __init__(self, vector: dict[str, Any]) -> None:
        self.raw = {
            name: bytes.fromhex(value) for name, value in vector.items() if name not in TEXTS
        }
        self.name: str = vector["name"]
        self.address: str | None = vector.get("address")
        self.handshakes: list[dict[str, str]] = vector.get("handshakes", [])
        self.lines = [(who, line.encode()) for who, line in vector["lines"]]
        self.up = [line + b"\n" for who, line in self.lines if who == "client"]
        self.down = [line + b"\n" for who, line in self.lines if who == "server"]

    @property
    def signingKey(self) -> Ed25519PrivateKey | None:
        """Give the identity key of the server, if it has one."""
        raw = self.raw.get("identity_private_key")
        return None if raw is None else Ed25519PrivateKey.from_private_bytes(raw)

    def server(self) -> LoginServer:
        """Make the server of this login."""
        suite = ModernSuite(signingKey=self.signingKey)
        randomBytes = given(self.raw["challenge"], self.raw["server_private_key"])
        return LoginServer({suite.keySize: suite}, randomBytes)

    def client(self) -> LoginClient:
        """Make the client of this login, which expects its server."""
        suite = ModernSuite(serverIdentity=self.raw.get("identity_public_key"))
        return LoginClient(suite, self.raw["token"], given(self.raw["client_private_key"]))


LOGINS = [Login(vector) for vector in recorded("modern.json")["logins"]]
ADMITTED = [login for login in LOGINS if "subid" in login.raw]
REFUSED = [login for login in LOGINS if "subid" not in login.raw]


class FileTests(SynchronousTestCase):
    """The file itself."""

    def test_made(self) -> None:
        """It is what makemodern writes."""
        self.assertEqual(makemodern.FILE.read_text(), makemodern.text())

    def test_cases(self) -> None:
        """It has logins of each kind."""
        self.assertEqual((len(ADMITTED), len(REFUSED)), (4, 3))
        for logins in (ADMITTED, REFUSED):
            self.assertEqual(len({login.signingKey is None for login in logins}), 2)
        tokens = [len(login.raw["token"]) for login in LOGINS]
        self.assertEqual((min(tokens), max(tokens)), (0, 6128))
        self.assertEqual(max(len(line) for login in LOGINS for line in login.up), 8193)
        codes = {login.lines[5][1].split()[0] for login in LOGINS}
        self.assertEqual(codes, {b"200", b"401", b"403", b"406"})


class StepsTests(SynchronousTestCase):
    """Each value by itself, from those before it, by what RFCs and hashlib say."""

    def test_publicKeys(self) -> None:
        """The public keys are those of the private ones (RFC 7748)."""
        for login in LOGINS:
            for who in ("client", "server"):
                private = X25519PrivateKey.from_private_bytes(login.raw[f"{who}_private_key"])
                public = private.public_key().public_bytes_raw()
                self.assertEqual(public, login.raw[f"{who}_public_key"], login.name)

    def test_shared(self) -> None:
        """Both ends compute the same."""
        for login in LOGINS:
            for mine, theirs in (("client", "server"), ("server", "client")):
                private = X25519PrivateKey.from_private_bytes(login.raw[f"{mine}_private_key"])
                public = X25519PublicKey.from_public_bytes(login.raw[f"{theirs}_public_key"])
                self.assertEqual(private.exchange(public), login.raw["shared"], login.name)

    def test_transcript(self) -> None:
        """The transcript is a label and what was said; the salt is its hash."""
        for login in LOGINS:
            said = [login.raw[n] for n in ("challenge", "client_public_key", "server_public_key")]
            transcript = b"msgserver login 2" + b"".join(said)
            self.assertEqual(len(transcript), 89)
            self.assertEqual(transcript, login.raw["transcript"], login.name)
            self.assertEqual(sha256(transcript).digest(), login.raw["salt"], login.name)

    def test_keys(self) -> None:
        """HKDF (RFC 5869), step by step, makes four keys."""
        for login in LOGINS:
            extracted = digest(login.raw["salt"], login.raw["shared"], "sha256")
            block = b""
            for number, name in enumerate(("secret", "proof_key", "token_key", "status_key"), 1):
                label = b"msgserver login 2 keys"
                block = digest(extracted, block + label + bytes([number]), "sha256")
                self.assertEqual(block, login.raw[name], f"{login.name}: {name}")

    def test_signature(self) -> None:
        """The identity key's signature is over the hash of the transcript."""
        signed = [login for login in LOGINS if login.signingKey is not None]
        self.assertEqual(len(signed), 4)
        for login in signed:
            public = Ed25519PublicKey.from_public_bytes(login.raw["identity_public_key"])
            public.verify(login.raw["signature"], sha256(login.raw["transcript"]).digest())

    def test_proof(self) -> None:
        """The proof is a mac of the transcript."""
        for login in LOGINS:
            proof = digest(login.raw["proof_key"], login.raw["transcript"], "sha256")
            self.assertEqual(proof, login.raw["proof"], login.name)

    def test_token(self) -> None:
        """The token is sealed with a nonce of zeros, the transcript beside it (RFC 8439)."""
        for login in LOGINS:
            cipher = ChaCha20Poly1305(login.raw["token_key"])
            sealed = cipher.encrypt(bytes(12), login.raw["token"], login.raw["transcript"])
            self.assertEqual(sealed, login.raw["sealed_token"], login.name)

    def test_lines(self) -> None:
        """The lines are those values, and macs of what the server says last."""
        for login in LOGINS:
            raw = login.raw
            answer = raw["server_public_key"] + raw.get("signature", b"")
            said = [
                ("server", raw["challenge"]),
                ("client", raw["client_public_key"]),
                ("server", answer),
                ("client", raw["proof"]),
                ("client", raw["sealed_token"]),
            ]
            expected = [(who, b64encode(each)) for who, each in said]
            self.assertEqual(login.lines[:5], expected, login.name)
            for (who, line), name in zip(login.lines[5:], ("status", "address"), strict=False):
                text, _, mac = line.rpartition(b" ")
                key, vouched = raw["status_key"], text
                if line.startswith(b"200 "):
                    self.assertEqual(text, b"200 " + b64encode(raw["subid"]))
                    key, vouched = raw["proof_key"], raw["subid"]
                elif name == "address":
                    assert login.address is not None
                    self.assertEqual(text, b"210 " + b64encode(login.address.encode()))
                made = digest(key, raw["transcript"] + vouched, "sha256")
                self.assertEqual((who, made), ("server", raw[f"{name}_mac"]), login.name)
                self.assertEqual(mac, b64encode(made), login.name)

    def test_handshakes(self) -> None:
        """The mac of a handshake is one of its text, under the secret."""
        for login in ADMITTED:
            self.assertEqual(len(login.handshakes), 3)
            for handshake in login.handshakes:
                uid, server = (bytes.fromhex(handshake[name]) for name in ("uid", "server"))
                names = [b64encode(each).decode() for each in (uid, server, login.raw["subid"])]
                text = "{}@{}#{}:{}".format(*names, handshake["index"])
                self.assertEqual(text, handshake["text"])
                mac = digest(login.raw["secret"], text.encode(), "sha256")
                self.assertEqual(mac.hex(), handshake["mac"])
                content = text.encode() + b":" + b64encode(mac)
                packet = len(content).to_bytes(2, "big") + content
                self.assertEqual(packet.hex(), handshake["packet"])


class WireTests(SynchronousTestCase):
    """Both of our ends say the same, and hear it."""

    def test_keys(self) -> None:
        """Our suite makes the keys of the file at both ends (L3)."""
        for login in LOGINS:
            raw = login.raw
            serving = ModernSuite(signingKey=login.signingKey)
            expecting = ModernSuite(serverIdentity=raw.get("identity_public_key"))
            answer, keys = serving.answer(
                raw["challenge"], raw["client_public_key"], given(raw["server_private_key"])
            )
            agreed = expecting.agree(
                raw["client_private_key"], raw["client_public_key"], raw["challenge"], answer
            )
            self.assertEqual(agreed, keys)
            made = [keys.transcript, keys.secret, keys.proofKey, keys.tokenKey, keys.statusKey]
            names = ("transcript", "secret", "proof_key", "token_key", "status_key")
            self.assertEqual(made, [raw[name] for name in names], login.name)
            self.assertEqual(keys.proof, raw["proof"], login.name)
            self.assertEqual(keys.seal(raw["token"]), raw["sealed_token"], login.name)

    def test_server(self) -> None:
        """However the client's lines arrive, our server says the lines of the file."""
        for login in LOGINS:
            stream = b"".join(login.up)
            for chunks in arrivals(stream + b"trailing\n")[: 3 if len(stream) < 999 else 1]:
                server = login.server()
                received = TokenReceived(login.raw["token"], login.raw["secret"])
                self.assertEqual(outcome(server, chunks), [received])
                self.assertTrue(server.isProved)
                if "subid" in login.raw:
                    server.admit(login.raw["subid"], login.address)
                else:
                    server.refuse(REFUSALS[login.lines[5][1][:3].decode()]())
                self.assertEqual(server.dataToSend(), b"".join(login.down), login.name)

    def test_client(self) -> None:
        """However the server's lines arrive, our client says the lines of the file."""
        for login in LOGINS:
            for chunks in arrivals(b"".join(login.down)):
                client = login.client()
                told = outcome(client, chunks)
                self.assertEqual(client.dataToSend(), b"".join(login.up), login.name)
                if "subid" in login.raw:
                    subid, secret = login.raw["subid"], login.raw["secret"]
                    admitted = Admitted(subid, secret, login.address)
                    self.assertEqual([*told, client.feedEnd()][0], admitted, login.name)
                else:
                    self.assertEqual(told, [REFUSALS[login.lines[5][1][:3].decode()]])

    def test_handshakes(self) -> None:
        """Our gate's client says the handshakes of the file, and our gate believes them (H)."""
        for login in ADMITTED:
            for handshake in login.handshakes:
                uid, server = (bytes.fromhex(handshake[name]) for name in ("uid", "server"))
                user = User(uid, login.raw["subid"], server)
                packet = bytes.fromhex(handshake["packet"])
                client = GateClient(user, login.raw["secret"], int(handshake["index"]))
                self.assertEqual(client.hello, packet)
                self.assertTrue(isProvedBy(parseHandshake(packet[2:]), login.raw["secret"]))
