"""
Makes C{modern.json}: the modern suite, with every value on the way (L3, H).

Nothing of msgserver is used here, so that the vectors are no copy of what they are to test.
Keys are the SHA-256 of their names, so that everybody can see that nothing is special about
them. To write the file anew::

    python -m tests.vectors.makemodern
"""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from hmac import digest
from pathlib import Path

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FILE = Path(__file__).with_name("modern.json")

ALICE = b"YWxpY2U=@c2FtcGxl:cGFzc3dvcmQ="

P = 2**255 - 19

ORDER_8 = (
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
)
"""The two points of order 8."""


@frozen
class Case:
    """What a login is made of; the keys follow from the name."""

    name: str
    token: bytes = ALICE
    hasIdentity: bool = False
    subid: bytes = b"1"
    address: str | None = None
    refusal: str | None = None


CASES = (
    Case("admitted"),
    Case(
        "admitted by a server with an identity", hasIdentity=True, address="gate.example.org:8888"
    ),
    Case("an empty token", b"", subid=bytes(range(244, 256)), address="[2001:db8::1]:8888"),
    Case("the longest token", bytes(range(256)) * 23 + bytes(240), hasIdentity=True),
    Case("unauthorized", refusal="401 Unauthorized"),
    Case("forbidden", hasIdentity=True, refusal="403 Forbidden"),
    Case("not acceptable", hasIdentity=True, refusal="406 Not Acceptable"),
)


def makeVectors() -> dict[str, object]:
    """Make all that the file holds."""
    return {
        "about": "The modern suite of docs/protocol.md (L3). Bytes are in hex; lines and texts"
        " are ASCII, without line ends. Made by tests/vectors/makemodern.py.",
        "logins": [makeLogin(case) for case in CASES],
        "refused_public_keys": [key.hex() for key in refusedKeys()],
    }


def makeLogin(case: Case) -> dict[str, object]:
    """Make one login, and the handshakes of an admitted user."""
    challenge = _named(f"{case.name}: challenge")[:8]
    clientPrivate = _named(f"{case.name}: client")
    serverPrivate = _named(f"{case.name}: server")
    clientPublic, serverPublic = _public(clientPrivate), _public(serverPrivate)
    shared = X25519PrivateKey.from_private_bytes(clientPrivate).exchange(
        X25519PublicKey.from_public_bytes(serverPublic)
    )
    transcript = b"msgserver login 2" + challenge + clientPublic + serverPublic
    salt = sha256(transcript).digest()
    keys = HKDF(SHA256(), 128, salt, b"msgserver login 2 keys").derive(shared)
    secret, proofKey, tokenKey, statusKey = (keys[at : at + 32] for at in range(0, 128, 32))
    proof = digest(proofKey, transcript, "sha256")
    sealed = ChaCha20Poly1305(tokenKey).encrypt(bytes(12), case.token, transcript)
    login: dict[str, object] = {
        "name": case.name,
        "challenge": challenge.hex(),
        "client_private_key": clientPrivate.hex(),
        "client_public_key": clientPublic.hex(),
        "server_private_key": serverPrivate.hex(),
        "server_public_key": serverPublic.hex(),
        "token": case.token.hex(),
        "transcript": transcript.hex(),
        "salt": salt.hex(),
        "shared": shared.hex(),
        "secret": secret.hex(),
        "proof_key": proofKey.hex(),
        "token_key": tokenKey.hex(),
        "status_key": statusKey.hex(),
        "proof": proof.hex(),
        "sealed_token": sealed.hex(),
    }
    signature = b""
    if case.hasIdentity:
        identity = Ed25519PrivateKey.from_private_bytes(_named("identity"))
        signature = identity.sign(salt)
        login["identity_private_key"] = identity.private_bytes_raw().hex()
        login["identity_public_key"] = identity.public_key().public_bytes_raw().hex()
        login["signature"] = signature.hex()
    lines = [
        ["server", _base64(challenge)],
        ["client", _base64(clientPublic)],
        ["server", _base64(serverPublic + signature)],
        ["client", _base64(proof)],
        ["client", _base64(sealed)],
    ]
    if case.refusal is not None:
        mac = digest(statusKey, transcript + case.refusal.encode(), "sha256")
        login["status_mac"] = mac.hex()
        lines.append(["server", f"{case.refusal} {_base64(mac)}"])
    else:
        mac = digest(proofKey, transcript + case.subid, "sha256")
        login["subid"] = case.subid.hex()
        login["status_mac"] = mac.hex()
        lines.append(["server", f"200 {_base64(case.subid)} {_base64(mac)}"])
        if case.address is not None:
            text = f"210 {_base64(case.address.encode())}"
            mac = digest(statusKey, transcript + text.encode(), "sha256")
            login["address"] = case.address
            login["address_mac"] = mac.hex()
            lines.append(["server", f"{text} {_base64(mac)}"])
        login["handshakes"] = [
            makeHandshake(secret, b"alice", b"sample", case.subid, index)
            for index in (1, 2, 2**63 - 1)
        ]
    login["lines"] = lines
    return login


def makeHandshake(
    secret: bytes, uid: bytes, server: bytes, subid: bytes, index: int
) -> dict[str, object]:
    """Make one handshake with the gate."""
    text = f"{_base64(uid)}@{_base64(server)}#{_base64(subid)}:{index}"
    mac = digest(secret, text.encode(), "sha256")
    content = f"{text}:{_base64(mac)}".encode()
    return {
        "uid": uid.hex(),
        "server": server.hex(),
        # Not as a number: those of JSON are exact up to 2^53 in many languages.
        "index": str(index),
        "text": text,
        "mac": mac.hex(),
        "packet": (len(content).to_bytes(2, "big") + content).hex(),
    }


def refusedKeys() -> list[bytes]:
    """
    Give all 32-byte keys that leave nothing to share: each point of small order in each form
    in which it can be written, with the top bit, which X25519 ignores, and without.
    """
    numbers = [
        0,
        1,
        P - 1,
        P,
        P + 1,
        *(int.from_bytes(bytes.fromhex(k), "little") for k in ORDER_8),
    ]
    return [(n + top).to_bytes(32, "little") for top in (0, 2**255) for n in numbers]


def text() -> str:
    """Write all that the file holds."""
    return json.dumps(makeVectors(), indent=1) + "\n"


def _named(name: str) -> bytes:
    return sha256(f"msgserver test vectors, {name}".encode()).digest()


def _public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _base64(raw: bytes) -> str:
    return b64encode(raw).decode()


if __name__ == "__main__":
    FILE.write_text(text())
