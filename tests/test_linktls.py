"""
Tests for L{msgserver.linktls}: TLS with certificates at both ends.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    PrivateCertificate,
    TLSVersion,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.trial.unittest import SynchronousTestCase

from msgserver.linktls import Credentials, readCertificates, readPrivateKey
from tests.certificates import Signed, meet, writeCertificates


class FolderTestCase(SynchronousTestCase):
    """A folder of certificates."""

    def setUp(self) -> None:
        """Make the folder."""
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.authority = writeCertificates(self.folder)

    def path(self, name: str, content: bytes | None = None) -> str:
        """Give the path of a file, of this content where there is some."""
        path = self.folder / name
        if content is not None:
            path.write_bytes(content)
        return str(path)

    def credentials(self, name: str, authority: str = "authority.pem") -> Credentials:
        """Read what one end shows, and whom it trusts."""
        return Credentials(
            readCertificates(self.path(f"{name}.pem")),
            readPrivateKey(self.path(f"{name}.key")),
            readCertificates(self.path(authority)),
        )


class ReadTests(FolderTestCase):
    """What is read from the files."""

    def test_certificates(self) -> None:
        """A file may have several, in their order; the key beside them is not looked at."""
        login, authority = self.authority.sign("login"), self.authority
        content = login.key + login.certificate + authority.certificate
        found = readCertificates(self.path("chain.pem", content))
        self.assertEqual(
            [each.dumpPEM() for each in found], [login.certificate, authority.certificate]
        )

    def test_noFile(self) -> None:
        """A file that is not there is told by its name."""
        for read in (readCertificates, readPrivateKey):
            error = self.assertRaises(ValueError, read, self.path("nowhere.pem"))
            self.assertEqual(str(error), f"No such file or directory: {self.path('nowhere.pem')}")

    def test_noCertificate(self) -> None:
        """So is one without a certificate in it."""
        garbled = self.authority.certificate.replace(b"M", b"N")
        for content in (b"", b"nothing", self.authority.key, garbled):
            path = self.path("x.pem", content)
            error = self.assertRaises(ValueError, readCertificates, path)
            self.assertEqual(str(error), f"{path} has no certificate in PEM form")

    def test_noKey(self) -> None:
        """And one without a key."""
        garbled = self.authority.key.replace(b"M", b"N")
        for content in (b"", b"\xff", self.authority.certificate, garbled):
            path = self.path("x.key", content)
            error = self.assertRaises(ValueError, readPrivateKey, path)
            self.assertEqual(str(error), f"{path} has no private key in PEM form")

    def test_passphrase(self) -> None:
        """Nobody is there to be asked for a passphrase."""
        path = self.path("x.key", self.authority.encryptedKey)
        error = self.assertRaises(ValueError, readPrivateKey, path)
        self.assertEqual(str(error), f"the key in {path} must not need a passphrase")


class CheckTests(FolderTestCase):
    """L{Credentials.check} and the names of servers."""

    def test_fits(self) -> None:
        """A key and its certificate are fine."""
        self.credentials("login").check()

    def test_otherKey(self) -> None:
        """A key must be that of the certificate."""
        self.path("login.key", Signed("login").key)
        error = self.assertRaises(ValueError, self.credentials("login").check)
        self.assertEqual(str(error), "is not the key of the certificate")

    def test_refusedByOpenSSL(self) -> None:
        """What OpenSSL has against a key is told in its words."""
        weak = Signed("login", self.authority, key=generate_private_key(65537, 1024))
        self.path("login.pem", weak.certificate)
        self.path("login.key", weak.key)
        error = self.assertRaises(ValueError, self.credentials("login").check)
        self.assertEqual(str(error), "cannot be used: ee key too small")

    def test_serverName(self) -> None:
        """What can be no name is told."""
        error = self.assertRaises(ValueError, self.credentials("gate").clientOptions, "a..b")
        self.assertRegex(str(error), "^can be no server's name: ")


class HandshakeTests(FolderTestCase):
    """Two ends that meet."""

    def assertRefuses(self, server: Credentials, client: IOpenSSLClientConnectionCreator) -> None:
        """See nothing heard, and both connections lost."""
        for talker in meet(server, client):
            self.assertEqual(talker.heard, b"")
            self.assertIsNotNone(talker.lost)

    def assertMeets(self, server: Credentials, client: IOpenSSLClientConnectionCreator) -> None:
        """See each heard by the other."""
        for talker in meet(server, client):
            self.assertEqual((talker.heard, talker.lost), (b"hello", None))

    def test_meet(self) -> None:
        """Ends that the authority has signed hear each other."""
        self.assertMeets(self.credentials("login"), self.credentials("gate").clientOptions("login"))

    def test_chain(self) -> None:
        """So do ends that it has signed by way of another."""
        middle = Signed("middle", self.authority)
        for name in ("login", "gate"):
            signed = middle.sign(name)
            self.path(f"{name}.pem", signed.certificate + middle.certificate)
            self.path(f"{name}.key", signed.key)
        self.assertMeets(self.credentials("login"), self.credentials("gate").clientOptions("login"))

    def test_noName(self) -> None:
        """
        Nor is one whose certificate has no name at all, which Twisted's own check lets pass.
        """
        nameless = Signed("gate", self.authority, canSign=False, isNamed=False)
        self.path("gate.pem", nameless.certificate)
        self.path("gate.key", nameless.key)
        self.assertRefuses(
            self.credentials("gate"), self.credentials("login").clientOptions("gate")
        )
        self.assertEqual(self.flushLoggedErrors(), [])
        # As a client it needs none.
        self.assertMeets(self.credentials("login"), self.credentials("gate").clientOptions("login"))

    def test_address(self) -> None:
        """A server may be known by an address, which its certificate has then."""
        server = self.authority.sign("10.0.0.7")
        self.path("login.pem", server.certificate)
        self.path("login.key", server.key)
        client = self.credentials("gate")
        self.assertMeets(self.credentials("login"), client.clientOptions("10.0.0.7"))
        self.assertRefuses(self.credentials("login"), client.clientOptions("10.0.0.8"))

    def test_otherName(self) -> None:
        """Not every end that it has signed is the server."""
        client = self.credentials("gate").clientOptions("elsewhere")
        self.assertRefuses(self.credentials("login"), client)
        client = self.credentials("login").clientOptions("login")
        self.assertRefuses(self.credentials("gate"), client)

    def test_otherAuthority(self) -> None:
        """An end that somebody else has signed is refused by either."""
        self.path("other.pem", Signed("authority").certificate)
        ours, others = (
            {name: self.credentials(name, f"{authority}.pem") for name in ("login", "gate")}
            for authority in ("authority", "other")
        )
        self.assertRefuses(ours["login"], others["gate"].clientOptions("login"))
        self.assertRefuses(others["login"], ours["gate"].clientOptions("login"))

    def test_noCertificate(self) -> None:
        """A client without a certificate is refused, though it trusts the server."""
        (authority,) = readCertificates(self.path("authority.pem"))
        self.assertRefuses(
            self.credentials("login"),
            optionsForClientTLS("login", trustRootFromCertificates([authority])),
        )

    def test_oldVersion(self) -> None:
        """Nothing older than TLS 1.2 is spoken."""
        (authority,) = readCertificates(self.path("authority.pem"))
        for version, assertResult in (
            (TLSVersion.TLSv1_1, self.assertRefuses),
            (TLSVersion.TLSv1_2, self.assertMeets),
        ):
            gate = self.credentials("gate")
            client = optionsForClientTLS(
                "login",
                trustRootFromCertificates([authority]),
                PrivateCertificate.fromCertificateAndKeyPair(gate.chain[0], gate.key),
                extraCertificateOptions={
                    "insecurelyLowerMinimumTo": TLSVersion.TLSv1_0,
                    "lowerMaximumSecurityTo": version,
                },
            )
            assertResult(self.credentials("login"), client)
