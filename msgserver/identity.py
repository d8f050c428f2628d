"""
A server's identity key (L3): what it proves with to clients which server it is.

It is kept in a PEM file (PKCS #8, RFC 5208; Ed25519, RFC 8410), as OpenSSL writes it. Clients
are given its public part, as text.
"""

from __future__ import annotations

import os
import stat

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from msgserver.wire.login import Suite
from msgserver.wire.modern import ModernSuite
from msgserver.wire.naming import decode64, encode64

_SIZE = 32
_MODE = 0o600
_LARGEST = 65536
"""Bytes of a key's file at most; a key has some hundred."""
_HINT = "msgserver-ctl keygen makes one"
_MODERN = ModernSuite()


def writeIdentity(path: str) -> str:
    """
    Make a key, and write it to a new file that only its owner may read.

    @return: the public part, as L{publicText} writes it.
    @raise ValueError: there is a file of that name, which is left as it is, or it cannot be
        written.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        # Not to be read by others for one moment; and whatever is there is somebody's.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        raise ValueError(f"{path} exists already, and is left as it is") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror}") from None
    try:
        with open(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        os.unlink(path)
        raise ValueError(f"{path} cannot be written: {error.strerror}") from None
    return publicText(key)


def readIdentity(path: str) -> Ed25519PrivateKey:
    """
    Read a key.

    @raise ValueError: the file cannot be read, others can read it as well, or there is no such
        key in it.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read(_LARGEST)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise ValueError(
            f"{path} can be read by others (mode {stat.S_IMODE(mode):o}): chmod 600 it, or make a"
            " new key if they may have done so"
        )
    try:
        key = load_pem_private_key(pem, None)
    except TypeError:
        raise ValueError(
            f"{path} has a passphrase, which nobody is there to type: openssl pkey -in {path} -out"
            " FILE writes it without"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{path} is no private key in PEM form: {_HINT}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} is no Ed25519 key: {_HINT}")
    return key


def publicText(key: Ed25519PrivateKey) -> str:
    """Write a key's public part as text: 44 characters of base64."""
    return encode64(key.public_key().public_bytes_raw()).decode()


def parseIdentity(text: str | bytes) -> bytes:
    """
    Read what L{publicText} writes, with or without the space around it that a file has.

    @return: 32 bytes.
    @raise ValueError: it is none.
    """
    try:
        raw = decode64((text.encode("ascii") if isinstance(text, str) else text).strip())
    except ValueError:
        raw = b""
    if len(raw) != _SIZE:
        raise ValueError(
            "an identity is 44 characters of base64, as msgserver-ctl keygen prints them"
        )
    return raw


def clientSuite(suite: Suite | None, serverIdentity: str | bytes | None) -> Suite:
    """
    Give the suite that a client logs in with, from what its caller says.

    @param suite: which; None for the modern one.
    @param serverIdentity: what the server must prove to be, as L{publicText} writes it; None for
        anything. It goes with the modern suite.
    @raise ValueError: C{serverIdentity} is none, or a suite is given as well.
    """
    if serverIdentity is None:
        return suite or _MODERN
    if suite is not None:
        raise ValueError("serverIdentity goes without suite: it is for the modern suite")
    return ModernSuite(serverIdentity=parseIdentity(serverIdentity))
