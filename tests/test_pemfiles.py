"""
Tests for L{msgserver.pemfiles}: certificates and keys, wherever they stand.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from twisted.trial.unittest import SynchronousTestCase

from msgserver.pemfiles import Found, chainOf, namesOf, pemFilesIn, publicPart, readPEM
from tests.certificates import Signed


class FolderTestCase(SynchronousTestCase):
    """A folder."""

    def setUp(self) -> None:
        """Make it."""
        self.folder = Path(tempfile.mkdtemp()).resolve()
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name: str, content: bytes = b"") -> str:
        """Write a file, and give its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)


class FilesTests(FolderTestCase):
    """L{pemFilesIn}"""

    def test_names(self) -> None:
        """Those of the one ending are listed, in their order, from folders below too."""
        found = [self.write(name) for name in ("a.pem", "b/a.pem", "b/c/x.pem", "c.pem")]
        for other in ("README", "b/a.key", "pem", "d.pem.old"):
            self.write(other)
        self.assertEqual(pemFilesIn(str(self.folder)), found)

    def test_links(self) -> None:
        """Links lead to files and to folders, each of which is listed once."""
        self.write("archive/x/privkey1.pem")
        live = self.folder / "live"
        (live / "x").mkdir(parents=True)
        (live / "x" / "privkey.pem").symlink_to("../../archive/x/privkey1.pem")
        self.assertEqual(pemFilesIn(str(live)), [str(live / "x" / "privkey.pem")])
        (live / "y").symlink_to(self.folder / "archive")
        (live / "z").symlink_to("y")
        (live / "top").symlink_to(live)
        listed = [str(live / "x" / "privkey.pem"), str(live / "y" / "x" / "privkey1.pem")]
        self.assertEqual(pemFilesIn(str(live)), listed)

    def test_unreadable(self) -> None:
        """A folder that is none is not taken for an empty one."""
        self.assertRaises(OSError, pemFilesIn, str(self.folder / "nowhere"))


class ReadTests(FolderTestCase):
    """L{readPEM}"""

    def assertRefused(self, content: bytes, complaint: str) -> None:
        """See a file refused, with its name in the reason."""
        path = self.write("x.pem", content)
        error = self.assertRaises(ValueError, readPEM, path)
        self.assertEqual(str(error), complaint.format(path))

    def test_order(self) -> None:
        """All of a file is read; what is neither certificate nor key is passed over."""
        one, other = Signed("one"), Signed("other")
        parameters = (
            b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        )
        content = b"Bag Attributes\n" + one.certificate + parameters + other.pair
        first, second, third = readPEM(self.write("x.pem", content))
        assert isinstance(first, x509.Certificate) and isinstance(third, x509.Certificate)
        self.assertEqual([first.serial_number, third.serial_number], [one.serial, other.serial])
        self.assertIsInstance(second, EllipticCurvePrivateKey)
        self.assertEqual(publicPart(second), publicPart(third))
        self.assertNotEqual(publicPart(first), publicPart(third))

    def test_nothing(self) -> None:
        """What has nothing in it, or not all of it, is refused."""
        signed = Signed("x")
        for content in (b"", b"nothing", signed.pair[:-20], signed.pair[:10], signed.key[:-40]):
            self.assertRefused(content, "{} has nothing in PEM form, or is cut off")

    def test_garbled(self) -> None:
        """So is what cannot be read."""
        signed = Signed("x")
        garbled = signed.certificate.replace(b"M", b"N")
        self.assertRefused(garbled, "{} has a certificate that cannot be read")
        garbled = signed.key.replace(b"M", b"N")
        self.assertRefused(garbled, "{} has a private key that cannot be read")

    def test_passphrase(self) -> None:
        """Nobody is there to be asked for a passphrase."""
        self.assertRefused(Signed("x").encryptedKey, "the key in {} must not need a passphrase")

    def test_noFile(self) -> None:
        """A file that is not there is told by its name."""
        path = str(self.folder / "nowhere.pem")
        error = self.assertRaises(ValueError, readPEM, path)
        self.assertEqual(str(error), f"No such file or directory: {path}")


def load(signed: Signed) -> x509.Certificate:
    """Give a certificate as an object."""
    return x509.load_pem_x509_certificate(signed.certificate)


class ChainTests(SynchronousTestCase):
    """L{chainOf}"""

    def chain(self, leaf: Signed, *others: tuple[str, Signed]) -> list[int]:
        """Give the serials of what leads from a certificate in C{here} to its authority."""
        pool: dict[x509.Name, list[Found]] = {}
        for file, other in others:
            certificate = load(other)
            pool.setdefault(certificate.subject, []).append((file, certificate))
        return [each.serial_number for each in chainOf(("here", load(leaf)), pool)]

    def test_anyOrder(self) -> None:
        """It is found in any order, and ends before the authority."""
        authority = Signed("authority")
        upper = Signed("upper", authority)
        lower = Signed("lower", upper)
        leaf = lower.sign("a.example")
        for others in ([leaf, lower, upper, authority], [authority, upper, Signed("x"), lower]):
            found = self.chain(leaf, *(("here", other) for other in others))
            self.assertEqual(found, [lower.serial, upper.serial])
        self.assertEqual(self.chain(leaf, ("here", lower)), [lower.serial])
        self.assertEqual(self.chain(leaf), [])

    def test_signature(self) -> None:
        """A name alone makes nobody an authority."""
        lower = Signed("lower", Signed("authority"))
        leaf = lower.sign("a.example")
        impostor = Signed("lower", Signed("authority"))
        found = self.chain(leaf, ("here", impostor), ("here", lower))
        self.assertEqual(found, [lower.serial])

    def test_sameFile(self) -> None:
        """Of two that fit, the one in the same file is meant."""
        first = Signed("lower", Signed("authority"))
        second = Signed("lower", Signed("other"), key=first.privateKey)
        leaf = first.sign("a.example")
        found = self.chain(leaf, ("elsewhere", first), ("here", second))
        self.assertEqual(found, [second.serial])
        found = self.chain(leaf, ("here", first), ("elsewhere", second))
        self.assertEqual(found, [first.serial])

    def test_circle(self) -> None:
        """Two that have signed each other are no endless chain."""
        one = Signed("one", Signed("two"))
        two = Signed("two", one)
        again = Signed("one", two, key=one.privateKey)
        leaf = again.sign("a.example")
        found = self.chain(leaf, ("here", again), ("here", two))
        self.assertEqual(found, [again.serial, two.serial])

    def test_selfSigned(self) -> None:
        """What has signed itself needs nobody."""
        alone = Signed("a.example")
        self.assertEqual(self.chain(alone, ("here", alone)), [])


class NamesTests(SynchronousTestCase):
    """L{namesOf}"""

    def test_names(self) -> None:
        """They are host names, as they are compared, and addresses."""
        names = ("A.Example", "*.b.example", "10.0.0.7", "2001:db8::1")
        found = namesOf(load(Signed("x", names=names)))
        self.assertEqual(found, {"a.example", "*.b.example", "10.0.0.7", "2001:db8::1"})

    def test_noNames(self) -> None:
        """Old ones have no such names, but one that is as good for us."""
        self.assertEqual(namesOf(load(Signed("A.Example", isNamed=False))), {"a.example"})
