"""
Tests for L{msgserver.linktls}: TLS with certificates at both ends.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    PrivateCertificate,
    TLSVersion,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from msgserver.filewatch import LOOK_INTERVAL
from msgserver.linktls import (
    CredentialFiles,
    Credentials,
    RenewedClient,
    RenewedServer,
    readCertificates,
    readPrivateKey,
)
from tests.certificates import FIRST_DAY, Meeting, Signed, meet, writeCertificates


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


class RenewalTests(FolderTestCase):
    """Files that are renewed while both ends run."""

    def setUp(self) -> None:
        """Make both ends, and their clock."""
        super().setUp()
        self.clock = Clock()
        self.server = RenewedServer(self.files("login"), self.clock)
        self.client = RenewedClient(self.files("gate"), "login", self.clock)
        self.events: Any = self.enterContext(capturedLogs())

    def files(self, name: str) -> CredentialFiles:
        """Give the files of an end."""
        return CredentialFiles(*map(self.path, (f"{name}.pem", f"{name}.key", "authority.pem")))

    def renew(self, name: str, signer: Signed | None = None) -> Signed:
        """Write a new certificate for an end."""
        signed = (signer or self.authority).sign(name)
        self.path(f"{name}.pem", signed.certificate)
        self.path(f"{name}.key", signed.key)
        return signed

    def later(self) -> None:
        """Let the time come for another look."""
        self.clock.advance(LOOK_INTERVAL)

    def met(self) -> tuple[int, int]:
        """Let them meet, and give the serials of what each was shown by the other."""
        meeting = Meeting(self.server, self.client)
        self.assertEqual(meeting.say(b"!"), (b"hello!", b"hello!"))
        server: Any = meeting.talkers[0].transport
        # The authority, which OpenSSL adds, is the same all the time.
        return server.getPeerCertificate().get_serial_number(), meeting.shown[0]

    def logged(self) -> list[str]:
        """Give what was logged, as level and text."""
        self.assertFalse([event for event in self.events if "log_failure" in event])
        found = [f"{event['log_level'].name} {formatEvent(event)}" for event in self.events]
        self.events.clear()
        return [line.replace(str(self.folder), "FOLDER") for line in found]

    def test_renewed(self) -> None:
        """New connections have the new ones, at either end; what is open stays."""
        before = Meeting(self.server, self.client)
        login, gate = self.renew("login"), self.renew("gate")
        self.assertNotEqual(self.met(), (gate.serial, login.serial))
        self.later()
        self.assertEqual(self.met(), (gate.serial, login.serial))
        self.assertEqual(before.say(b"!"), (b"hello!", b"hello!"))
        what = "info the certificates of the control link in FOLDER"
        self.assertEqual(
            sorted(self.logged()),
            [f"{what}/{name}.pem have changed, and are in use" for name in ("gate", "login")],
        )

    def test_authority(self) -> None:
        """So is a new authority."""
        authority = Signed("authority")
        self.path("authority.pem", self.authority.certificate + authority.certificate)
        self.later()
        self.met()
        login, gate = self.renew("login", authority), self.renew("gate", authority)
        self.path("authority.pem", authority.certificate)
        self.later()
        self.assertEqual(self.met(), (gate.serial, login.serial))
        # Who was signed by the one of before is a stranger now.
        old = self.authority.sign("gate")
        stranger = Credentials(
            readCertificates(self.path("old.pem", old.certificate)),
            readPrivateKey(self.path("old.key", old.key)),
            readCertificates(self.path("authority.pem")),
        )
        for talker in Meeting(self.server, stranger.clientOptions("login")).talkers:
            self.assertIsNotNone(talker.lost)

    def test_broken(self) -> None:
        """What cannot be used replaces nothing, and one line says so."""
        before = self.met()
        new = self.authority.sign("login")
        expired = Signed(
            "login", self.authority, canSign=False, valid=(FIRST_DAY, FIRST_DAY + timedelta(days=1))
        )
        key = self.path("login.key")
        start = (
            "error the certificates of the control link in FOLDER/login.pem have changed, but"
            " cannot be used; those of before stay in use: "
        )
        for certificate, written, complaint in (
            (new.certificate, None, "FOLDER/login.key is not the key of the certificate"),
            (b"", new.key, "FOLDER/login.pem has no certificate in PEM form"),
            (new.certificate, b"", "FOLDER/login.key has no private key in PEM form"),
            (expired.certificate, expired.key, "the certificate in FOLDER/login.pem has expired"),
        ):
            self.path("login.pem", certificate)
            if written is not None:
                Path(key).write_bytes(written)
            for _ in range(3):
                self.later()
                self.assertEqual(self.met(), before)
            self.assertEqual(self.logged(), [start + complaint])
        Path(key).write_bytes(new.key)
        self.path("login.pem", new.certificate)
        self.later()
        self.assertEqual(self.met()[1], new.serial)

    def test_wrongAtStart(self) -> None:
        """What is wrong at the start is raised."""
        self.path("login.key", Signed("login").key)
        error = self.assertRaises(ValueError, RenewedServer, self.files("login"), self.clock)
        key = self.path("login.key")
        self.assertEqual(str(error), f"{key} is not the key of the certificate")
        error = self.assertRaises(ValueError, RenewedClient, self.files("gate"), "a..b", self.clock)
        self.assertRegex(str(error), "^can be no server's name: ")
