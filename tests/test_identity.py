"""
Tests for L{msgserver.identity}: the files of identity keys, and their public parts as text.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from msgserver.identity import parseIdentity, publicText, readIdentity, writeIdentity
from msgserver.wire.naming import encode64

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

# From "openssl genpkey -algorithm ed25519", and "openssl pkey -pubout" of it. Nobody uses it.
OPENSSL = """\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIHPOuy4KBJINxLqlGV6clAfUjqpLA1UihAh2uejGSWfW
-----END PRIVATE KEY-----
"""
OPENSSL_PUBLIC = "AJPyUcmEE3tN/jYyK+zwC2sZyC+dpXOWu2TxXBK8QK0="


def pemOf(key: PrivateKeyTypes, encryption: KeySerializationEncryption | None = None) -> bytes:
    """Write a key as OpenSSL does: PKCS #8, in PEM form."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


class IdentityTestCase(SynchronousTestCase):
    """A folder."""

    def setUp(self) -> None:
        """Make it."""
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.path = str(Path(temporary.name) / "identity.pem")

    def write(self, content: bytes, mode: int = 0o600) -> None:
        """Write the file."""
        Path(self.path).write_bytes(content)
        os.chmod(self.path, mode)

    def assertUnreadable(self, reason: str) -> None:
        """See the file refused, in one line that names it, and tells nothing of a key."""
        text = str(self.assertRaises(ValueError, readIdentity, self.path))
        self.assertTrue(text.startswith(f"{self.path} "), text)
        self.assertIn(reason, text)
        self.assertEqual(len(text.splitlines()), 1)


class WriteTests(IdentityTestCase):
    """L{writeIdentity}."""

    def test_written(self) -> None:
        """L3: what is written is read again, and its public part is what was told."""
        told = writeIdentity(self.path)
        key = readIdentity(self.path)
        self.assertEqual(publicText(key), told)
        self.assertEqual(Path(self.path).read_bytes(), pemOf(key))

    def test_mode(self) -> None:
        """Only the owner may read it, whatever new files are like here."""
        for umask in (0, 0o022, 0o077):
            self.addCleanup(os.umask, os.umask(umask))
            path = f"{self.path}{umask}"
            writeIdentity(path)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)

    def test_fresh(self) -> None:
        """No key is made twice."""
        self.assertNotEqual(writeIdentity(self.path), writeIdentity(f"{self.path}.2"))

    def test_existing(self) -> None:
        """Whatever is there is left as it is: a file, a link to nowhere, a folder."""
        self.write(b"something")
        os.symlink("nowhere", f"{self.path}.link")
        for path in (self.path, f"{self.path}.link", os.path.dirname(self.path)):
            error = self.assertRaises(ValueError, writeIdentity, path)
            self.assertEqual(str(error), f"{path} exists already, and is left as it is")
        self.assertEqual(Path(self.path).read_bytes(), b"something")
        self.assertFalse(os.path.exists(os.path.join(os.path.dirname(self.path), "nowhere")))

    def test_noFolder(self) -> None:
        """A folder that is not there is told of."""
        path = f"{self.path}/identity.pem"
        error = self.assertRaises(ValueError, writeIdentity, path)
        self.assertEqual(str(error), f"{path} cannot be written: No such file or directory")

    def test_fullDisk(self) -> None:
        """Where there is no room for it, no half of a key stays."""

        def fail(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        self.patch(os, "fsync", fail)
        error = self.assertRaises(ValueError, writeIdentity, self.path)
        self.assertEqual(str(error), f"{self.path} cannot be written: No space left on device")
        self.assertFalse(os.path.exists(self.path))


class ReadTests(IdentityTestCase):
    """L{readIdentity}."""

    def test_openssl(self) -> None:
        """What C{openssl genpkey -algorithm ed25519} writes is read, to the same public part."""
        self.write(OPENSSL.encode())
        self.assertEqual(publicText(readIdentity(self.path)), OPENSSL_PUBLIC)
        for content in (
            pemOf(KEY),
            b"a comment\n" + pemOf(KEY),
            pemOf(KEY).replace(b"\n", b"\r\n"),
        ):
            self.write(content)
            self.assertEqual(publicText(readIdentity(self.path)), publicText(KEY))

    def test_modes(self) -> None:
        """L3: a key that others may read, or replace, is none; one that its owner may is."""
        for mode in (0o640, 0o604, 0o644, 0o660, 0o602, 0o777):
            self.write(pemOf(KEY), mode)
            self.assertUnreadable(f"(mode {mode:o}): chmod 600 it")
        for mode in (0o600, 0o400, 0o700):
            self.write(pemOf(KEY), mode)
            self.assertEqual(publicText(readIdentity(self.path)), publicText(KEY))

    def test_missing(self) -> None:
        """A file that is not there is told of; so is a folder."""
        self.assertUnreadable("cannot be read: No such file or directory")
        os.mkdir(self.path, 0o700)
        self.assertUnreadable("cannot be read: Is a directory")

    def test_unreadable(self) -> None:
        """A file that one may not read is told of."""
        if os.geteuid() == 0:
            raise SkipTest("root may read all files")
        self.write(pemOf(KEY), 0o000)
        self.assertUnreadable("cannot be read: Permission denied")

    def test_passphrase(self) -> None:
        """A key with a passphrase is told apart from what is no key."""
        self.write(pemOf(KEY, BestAvailableEncryption(b"a passphrase")))
        self.assertUnreadable("has a passphrase, which nobody is there to type: openssl pkey -in ")

    def test_otherKeys(self) -> None:
        """A key of another kind is none: RSA, and X25519, which looks so alike."""
        for key in (generate_private_key(65537, 2048), X25519PrivateKey.generate()):
            self.write(pemOf(key))
            self.assertUnreadable("is no Ed25519 key: msgserver-ctl keygen makes one")

    def test_garbage(self) -> None:
        """What is no key, or a piece of one, is none."""
        public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        for garbage in (
            b"",
            b"garbage",
            bytes(range(256)) * 1000,
            KEY.private_bytes_raw(),
            encode64(KEY.private_bytes_raw()),
            pemOf(KEY)[:-30],
            OPENSSL.replace("MC4C", "MC4D").encode(),
            public,
        ):
            self.write(garbage)
            self.assertUnreadable("is no private key in PEM form: msgserver-ctl keygen makes one")


class TextTests(SynchronousTestCase):
    """Public parts as text."""

    def test_text(self) -> None:
        """It is 44 characters, which C{parseIdentity} reads again, with a line's end or not."""
        text = publicText(KEY)
        self.assertEqual(len(text), 44)
        for each in (text, text.encode(), f" {text}\r\n"):
            raw = parseIdentity(each)
            self.assertEqual(raw, KEY.public_key().public_bytes_raw())
            Ed25519PublicKey.from_public_bytes(raw)

    def test_nonsense(self) -> None:
        """What is none is told, in words that say what one is."""
        text = publicText(KEY)
        for nonsense in (
            "",
            "44",
            text[:-1],
            text[:-4],
            text + text,
            text[:20] + "\n" + text[20:],
            text.replace("=", "-"),
            "\xe9" * 44,
            b"\xff" * 44,
            bytes(32),
            text[:42] + "9=",
        ):
            error = self.assertRaises(ValueError, parseIdentity, nonsense)
            self.assertIn("44 characters of base64", str(error))
