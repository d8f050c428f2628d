"""
Tests for L{msgserver.certificates}: which certificate a client is shown, and that it is the
renewed one once there is one.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import SkipTest

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from OpenSSL import SSL
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from msgserver.certificates import CertificatesOnDisk, readCertificateSet
from msgserver.filewatch import LOOK_INTERVAL
from msgserver.pemfiles import pemFilesIn
from tests.certificates import FIRST_DAY, LAST_DAY, Asking, Meeting, Signed, Talker
from tests.test_pemfiles import FolderTestCase

TODAY = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def days(first: int, last: int) -> tuple[datetime, datetime]:
    """Say from when to when a certificate is valid, in days from today."""
    today = TODAY.replace(tzinfo=None)
    return today + first * DAY, today + last * DAY


class CertificatesTestCase(FolderTestCase):
    """A folder of certificates that an authority has signed."""

    def setUp(self) -> None:
        """Make the authority, which clients trust."""
        super().setUp()
        self.authority = Signed("authority")
        self.clock = Clock()
        self.events: Any = self.enterContext(capturedLogs())

    def pair(self, file: str, *names: str) -> Signed:
        """Write a certificate and its key into a file."""
        signed = self.authority.sign(*names)
        self.write(file, signed.pair)
        return signed

    def onDisk(self) -> CertificatesOnDisk:
        """Serve from the folder."""
        folder = str(self.folder)
        files = lambda: pemFilesIn(folder)  # noqa: E731  # as the code that makes it has it
        return CertificatesOnDisk(folder, files, self.clock, lambda: TODAY)

    def assertShown(self, server: CertificatesOnDisk, name: str, *signed: Signed) -> None:
        """See a client that asks for this name shown these certificates."""
        meeting = Meeting(server, Asking(name))
        self.assertEqual(meeting.shown, [each.serial for each in signed], name)
        self.assertEqual(meeting.say(b"!"), (b"hello!", b"hello!"))

    def logged(self) -> list[str]:
        """Give what was logged since this was asked, as level and text."""
        found = [f"{event['log_level'].name} {formatEvent(event)}" for event in self.events]
        self.assertFalse([event for event in self.events if "log_failure" in event])
        self.events.clear()
        return [line.replace(str(self.folder), "FOLDER") for line in found]


class PickTests(CertificatesTestCase):
    """Which certificate is shown."""

    def test_names(self) -> None:
        """It is the one for the name, in whichever case; then the one for any of its kind."""
        a = self.pair("a.pem", "a.example", "www.a.example")
        b = self.pair("b.pem", "b.example", "*.b.example")
        c = self.pair("c.pem", "c.b.example")
        server = self.onDisk()
        for name, signed in (
            *(("a.example", a), ("www.a.example", a), ("A.EXAMPLE", a), ("b.example.", b)),
            *(("b.example", b), ("x.b.example", b), ("c.b.example", c)),
        ):
            self.assertShown(server, name, signed)

    def test_otherNames(self) -> None:
        """For names that there is none for, and none at all, it is the first file's."""
        # Written in another order, so that it is not the folder's.
        self.pair("c.pem", "*.example")
        self.pair("b/a.pem", "a.example")
        first = self.pair("a.pem", "z.example")
        self.pair("b.pem", "b.example")
        server = self.onDisk()
        for name in ("", "other", "x.y.example", "*.x", ".", "..", "\xff\xfe", "x" * 255):
            self.assertShown(server, name, first)
        self.assertEqual(self.logged(), [])

    def test_wildcardOfOneLabel(self) -> None:
        """A star stands for one label, and not for none."""
        first = self.pair("a.pem", "a.example")
        self.pair("b.pem", "*.b.example")
        server = self.onDisk()
        for name in ("x.y.b.example", "b.example", ".b.example.x"):
            self.assertShown(server, name, first)

    def test_address(self) -> None:
        """A client that asks for no name is shown the one for the address it has connected to."""
        first = self.pair("a.pem", "a.example")
        four = self.pair("b.pem", "10.0.0.7")
        six = self.pair("c.pem", "2001:db8::7", "10.0.0.8")
        server = self.onDisk()
        for host, signed in (
            *(("10.0.0.7", four), ("10.0.0.8", six), ("2001:db8::7", six), ("10.0.0.9", first)),
            *(("::ffff:10.0.0.7", four), ("2001:DB8:0::7", six), ("", first), ("x", first)),
        ):
            self.assertEqual(Meeting(server, Asking(), host).shown, [signed.serial], host)
        self.assertEqual(Meeting(server, Asking("a.example"), "10.0.0.7").shown, [first.serial])

    def test_verified(self) -> None:
        """Clients that verify are content with what they asked for, and with nothing else."""
        self.pair("a.pem", "a.example")
        self.pair("b.pem", "*.b.example")
        self.pair("c.pem", "10.0.0.7")
        server = self.onDisk()
        trusted = trustRootFromCertificates([Certificate.loadPEM(self.authority.certificate)])
        for name, isFine in (
            *(("a.example", True), ("x.b.example", True), ("10.0.0.7", True)),
            *(("c.example", False), ("b.example", False), ("10.0.0.8", False)),
        ):
            server_, client = Meeting(server, optionsForClientTLS(name, trusted)).talkers
            self.assertEqual((client.heard, client.lost is None), (b"hello" * isFine, isFine), name)
            self.assertEqual(server_.lost is None, isFine)
        self.assertEqual(self.logged(), [])

    def test_several(self) -> None:
        """Of several for a name, it is one that is valid, and of those the latest."""

        def sign(file: str, first: int, last: int) -> Signed:
            signed = Signed("a.example", self.authority, canSign=False, valid=days(first, last))
            self.write(file, signed.pair)
            return signed

        sign("a.pem", -90, -1)
        sign("b.pem", -60, 30)
        newest = sign("c.pem", -30, 60)
        sign("d.pem", 1, 90)
        server = self.onDisk()
        self.assertShown(server, "a.example", newest)
        # The default, however, is the first file's that is valid.
        self.assertEqual(self.logged(), [])

    def test_defaultIsValid(self) -> None:
        """The default is valid, if any is."""
        self.write("a.pem", Signed("a.example", valid=days(-90, -1)).pair)
        valid = self.pair("b.pem", "b.example")
        self.assertShown(self.onDisk(), "", valid)

    def test_outOfDate(self) -> None:
        """One that is out of date is shown if there is no other, and that is told once."""
        old = Signed("a.example", valid=days(-90, -1))
        early = Signed("b.example", valid=days(1, 90))
        self.write("a.pem", old.pair)
        self.write("b.pem", early.pair)
        server = self.onDisk()
        self.assertShown(server, "a.example", old)
        self.assertShown(server, "b.example", early)
        self.assertEqual(
            sorted(self.logged()),
            [
                "warn the certificate for a.example in FOLDER/a.pem has expired",
                "warn the certificate for b.example in FOLDER/b.pem is not valid yet",
            ],
        )


class LayoutTests(CertificatesTestCase):
    """Where certificates, keys and chains may stand."""

    def setUp(self) -> None:
        """Make a chain."""
        super().setUp()
        self.upper = Signed("upper", self.authority)
        self.lower = Signed("lower", self.upper)
        self.leaf = self.lower.sign("a.example")

    def assertChain(self) -> None:
        """See the whole chain shown, but for the authority."""
        self.assertShown(self.onDisk(), "a.example", self.leaf, self.lower, self.upper)

    def test_oneFile(self) -> None:
        """All may be in one file, in any order."""
        parts = [each.certificate for each in (self.leaf, self.lower, self.upper, self.authority)]
        for content in ([self.leaf.key, *parts], [*reversed(parts), self.leaf.key]):
            self.write("a.pem", b"".join(content))
            self.assertChain()

    def test_files(self) -> None:
        """Or each in one of its own."""
        self.write("a.pem", self.upper.certificate)
        self.write("b/x.pem", self.leaf.key)
        self.write("c/x.pem", self.leaf.certificate)
        self.write("c/y.pem", self.lower.certificate)
        self.assertChain()

    def writeAsCertbot(self, number: int) -> None:
        """Write what certbot does for a renewal, in its order, and link to it."""
        chain = self.lower.certificate + self.upper.certificate
        for name, content in (
            ("cert", self.leaf.certificate),
            ("privkey", self.leaf.key),
            ("chain", chain),
            ("fullchain", self.leaf.certificate + chain),
        ):
            self.write(f"archive/a.example/{name}{number}.pem", content)
        live = self.folder / "live" / "a.example"
        live.mkdir(parents=True, exist_ok=True)
        for name in ("cert", "privkey", "chain", "fullchain"):
            link = live / f"{name}.new"
            link.symlink_to(f"../../archive/a.example/{name}{number}.pem")
            link.replace(live / f"{name}.pem")

    def test_certbot(self) -> None:
        """The folder that certbot makes will do as it is, and so will all of certbot's."""
        self.writeAsCertbot(1)
        for folder in (self.folder, self.folder / "live", self.folder / "live" / "a.example"):
            files = pemFilesIn(str(folder))
            found = readCertificateSet(files, TODAY).default.context
            self.assertIsInstance(found, SSL.Context)
        self.assertChain()

    def test_certbotRenews(self) -> None:
        """What it makes when it renews is found, with the old beside it too."""
        self.writeAsCertbot(1)
        servers = [self.onDisk()]
        self.folder, whole = self.folder / "live", self.folder
        servers.append(self.onDisk())
        self.folder = whole
        valid = FIRST_DAY + DAY, LAST_DAY
        self.leaf = Signed("a.example", self.lower, canSign=False, valid=valid)
        self.writeAsCertbot(2)
        self.clock.advance(LOOK_INTERVAL)
        for server in servers:
            self.assertShown(server, "a.example", self.leaf, self.lower, self.upper)


class MistakesTests(CertificatesTestCase):
    """What is refused at the start."""

    def assertRefused(self, complaint: str) -> None:
        """See the folder refused."""
        error = self.assertRaises(ValueError, self.onDisk)
        self.assertEqual(str(error).replace(str(self.folder), "FOLDER"), complaint)

    def test_nothing(self) -> None:
        """There must be a file, and in it a certificate with its key."""
        self.assertRefused("there is no .pem file in FOLDER")
        self.write("a.pem", self.authority.certificate)
        self.assertRefused("there is no certificate with its key")
        self.write("a.pem", b"")
        self.assertRefused("FOLDER/a.pem has nothing in PEM form, or is cut off")
        self.folder /= "nowhere"
        self.assertRefused("No such file or directory: FOLDER")

    def test_otherKey(self) -> None:
        """A key must be a certificate's, though others are fine."""
        self.pair("a.pem", "a.example")
        self.write("b.pem", Signed("b.example").key + Signed("b.example").certificate)
        self.assertRefused("the key in FOLDER/b.pem is not that of any certificate there")

    def test_refusedByOpenSSL(self) -> None:
        """What OpenSSL has against a key is told in its words."""
        self.write("a.pem", Signed("a.example", key=generate_private_key(65537, 1024)).pair)
        self.assertRefused("FOLDER/a.pem cannot be used: ee key too small")


class RenewalTests(CertificatesTestCase):
    """What is shown once files have changed."""

    def later(self) -> None:
        """Let the time come for another look."""
        self.clock.advance(LOOK_INTERVAL)

    def test_renewed(self) -> None:
        """New connections see the new one; those that are open stay as they are."""
        old = self.pair("a.pem", "a.example")
        server = self.onDisk()
        before = Meeting(server, Asking("a.example"))
        new = self.pair("a.pem", "a.example")
        self.later()
        self.assertShown(server, "a.example", new)
        self.assertEqual(before.say(b"!"), (b"hello!", b"hello!"))
        self.assertEqual(before.shown, [old.serial])
        self.assertEqual(
            self.logged(), ["info the certificates in FOLDER have changed, and are in use"]
        )

    def test_everybody(self) -> None:
        """So do those that ask for no name, or an unknown one."""
        for name in ("", "x", "a.example"):
            self.pair("a.pem", "a.example")
            server = self.onDisk()
            new = self.pair("a.pem", "a.example")
            self.later()
            self.assertShown(server, name, new)

    def test_meanwhile(self) -> None:
        """A connection that was made before keeps what there was then."""
        old = self.pair("a.pem", "a.example")
        self.pair("b.pem", "b.example")
        server = self.onDisk()
        connection = server.serverConnectionForTLS(None)
        self.pair("a.pem", "a.example")
        self.later()
        self.assertNotEqual(_certificateOf(server.serverConnectionForTLS(None)), old.serial)
        self.assertEqual(_certificateOf(connection), old.serial)

    def test_added(self) -> None:
        """A certificate that is added is shown, and one that is taken away is not."""
        first = self.pair("a.pem", "a.example")
        server = self.onDisk()
        self.assertShown(server, "b.example", first)
        added = self.pair("b.pem", "b.example")
        self.later()
        self.assertShown(server, "b.example", added)
        (self.folder / "b.pem").unlink()
        self.later()
        self.assertShown(server, "b.example", first)

    def test_flood(self) -> None:
        """However many connect, and ask for what there is not, files are looked at seldom."""
        self.pair("a.pem", "a.example")
        looks = 0

        def files() -> list[str]:
            nonlocal looks
            looks += 1
            return pemFilesIn(str(self.folder))

        server = CertificatesOnDisk("x", files, self.clock, lambda: TODAY)
        start = looks
        for number in range(50):
            Meeting(server, Asking(f"x{number}.example"))
        self.assertEqual((looks - start, self.logged()), (0, []))
        self.later()
        for number in range(50):
            Meeting(server, Asking(f"x{number}.example"))
        self.assertEqual((looks - start, self.logged()), (1, []))

    def assertKeeps(self, server: CertificatesOnDisk, signed: Signed, complaint: str) -> None:
        """See what cannot be used replace nothing, and one line on that."""
        for _ in range(3):
            self.later()
            self.assertShown(server, "a.example", signed)
        self.assertEqual(
            self.logged(),
            [
                "error the certificates in FOLDER have changed, but cannot be used; those of"
                f" before stay in use: {complaint}"
            ],
        )

    def test_broken(self) -> None:
        """What is half-written, or does not fit together, replaces nothing."""
        old = self.pair("a.pem", "a.example")
        server = self.onDisk()
        new = self.authority.sign("a.example")
        for content, complaint in (
            (b"", "FOLDER/a.pem has nothing in PEM form, or is cut off"),
            (new.pair[:-9], "FOLDER/a.pem has nothing in PEM form, or is cut off"),
            (new.certificate, "there is no certificate with its key"),
            (new.key, "the key in FOLDER/a.pem is not that of any certificate there"),
            (
                old.key + new.certificate,
                "the key in FOLDER/a.pem is not that of any certificate there",
            ),
            (new.encryptedKey, "the key in FOLDER/a.pem must not need a passphrase"),
        ):
            self.write("a.pem", content)
            self.assertKeeps(server, old, complaint)
        self.write("a.pem", new.pair)
        self.later()
        self.assertShown(server, "a.example", new)

    def test_gone(self) -> None:
        """Nor does nothing."""
        old = self.pair("a.pem", "a.example")
        server = self.onDisk()
        (self.folder / "a.pem").unlink()
        self.assertKeeps(server, old, "there is no .pem file in FOLDER")
        self.folder.rmdir()
        self.assertKeeps(server, old, "No such file or directory: FOLDER")
        self.folder.mkdir()

    def test_unreadable(self) -> None:
        """Nor what this process may not read any more."""
        if os.geteuid() == 0:
            raise SkipTest("nothing is unreadable to root")
        old = self.pair("a.pem", "a.example")
        server = self.onDisk()
        (self.folder / "a.pem").chmod(0)
        self.assertKeeps(server, old, "Permission denied: FOLDER/a.pem")

    def test_expired(self) -> None:
        """Nor what is out of date for a name, where the one in use is not."""
        old = self.pair("a.pem", "a.example")
        server = self.onDisk()
        for when, late in (((-90, -1), "has expired"), ((1, 90), "is not valid yet")):
            self.write("a.pem", Signed("a.example", valid=days(*when)).pair)
            self.assertKeeps(server, old, f"the certificate for a.example in FOLDER/a.pem {late}")
        new = self.pair("a.pem", "a.example")
        # One for another name is nobody's loss.
        self.write("b.pem", Signed("b.example", valid=days(-90, -1)).pair)
        self.later()
        self.assertShown(server, "a.example", new)

    def test_expiredBefore(self) -> None:
        """Where the one in use is, too, the new one is as good."""
        self.write("a.pem", Signed("a.example", valid=days(-90, -1)).pair)
        server = self.onDisk()
        new = Signed("a.example", valid=days(-80, -2))
        self.write("a.pem", new.pair)
        self.later()
        self.assertShown(server, "a.example", new)


class SettingsTests(CertificatesTestCase):
    """What is spoken."""

    def meet(self, newest: object) -> Meeting:
        """Let a client connect which speaks nothing newer than this, and asks for a name."""
        self.pair("a.pem", "a.example")
        self.pair("b.pem", "b.example")

        class Client(Asking):
            def clientConnectionForTLS(self, protocol: object) -> SSL.Connection:
                options = CertificateOptions(
                    insecurelyLowerMinimumTo=TLSVersion.TLSv1_0, lowerMaximumSecurityTo=newest
                )
                connection = SSL.Connection(options.getContext(), None)
                connection.set_tlsext_host_name(b"b.example")
                return connection

        return Meeting(self.onDisk(), Client())

    def test_versions(self) -> None:
        """TLS 1.2 and 1.3 are spoken, and nothing older, whichever certificate it is."""
        for version, name in ((TLSVersion.TLSv1_3, "TLSv1.3"), (TLSVersion.TLSv1_2, "TLSv1.2")):
            meeting = self.meet(version)
            self.assertEqual(meeting.say(b"!"), (b"hello!", b"hello!"))
            self.assertEqual(handleOf(meeting.talkers[0]).get_protocol_version_name(), name)
        self.assertIsNotNone(self.meet(TLSVersion.TLSv1_1).talkers[1].lost)

    def test_noRenegotiation(self) -> None:
        """A client of TLS 1.2 cannot have the handshake's work done again and again."""
        meeting = self.meet(TLSVersion.TLSv1_2)
        server, client = map(handleOf, meeting.talkers)
        self.assertTrue(client.renegotiate())
        # The client's next write begins with the handshake.
        meeting.say(b"!")
        self.assertEqual(server.total_renegotiations(), 0)
        self.assertIsNotNone(meeting.talkers[1].lost)


def handleOf(talker: Talker) -> SSL.Connection:
    """Give the TLS of an end."""
    transport: Any = talker.transport
    handle: SSL.Connection = transport.getHandle()
    return handle


def _certificateOf(connection: SSL.Connection) -> int:
    certificate = connection.get_certificate()
    assert certificate is not None
    return certificate.get_serial_number()
