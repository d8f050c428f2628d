"""
Tests for L{msgserver.passwords}: what is stored of a password, and what fits it (L6).
"""

from __future__ import annotations

import sys
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from msgserver import passwords
from msgserver.passwords import (
    UNKNOWN,
    hashPassword,
    isHash,
    isPassword,
    main,
    parsePasswordToken,
    passwordToken,
)

# RFC 7914, section 12, the third vector: "pleaseletmein", "SodiumChloride", 16384, 8, 1.
PUBLISHED = (
    "scrypt$16384$8$1$U29kaXVtQ2hsb3JpZGU=$cCO9yzr9c0hGHAbNgf04"
    "6/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw=="
)
# Of "hunter2"; its cost is a joke, so that it takes no time.
CHEAP = "scrypt$2$1$1$c2FsdA==$4btWc07y/Z1ucifRpta7OF2zR+Qq+5a0lmOmkAF1+YU="

SALT = "$c2FsdA=="
HASH = "$aGFzaA=="


class HashTests(SynchronousTestCase):
    """What is stored."""

    def test_roundTrip(self) -> None:
        """A password fits what was made of it, and no other does."""
        stored = hashPassword(b"correct horse")
        self.assertTrue(isHash(stored))
        self.assertTrue(isPassword(b"correct horse", stored))
        for wrong in (b"correct horsE", b"", b"correct horse ", b"correct hors"):
            self.assertFalse(isPassword(wrong, stored))

    def test_anyBytes(self) -> None:
        """Any bytes are a password, none included."""
        for password in (b"", b"\0\xff\n$"):
            self.assertTrue(isPassword(password, hashPassword(password)))

    def test_form(self) -> None:
        """The scheme, its parameters, 16 bytes of salt, 32 of hash; nothing of the password."""
        stored = hashPassword(b"correct horse")
        self.assertRegex(
            stored, r"\Ascrypt\$16384\$8\$1\$[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=\Z"
        )

    def test_salted(self) -> None:
        """The same password twice is stored as two different things."""
        self.assertNotEqual(hashPassword(b"same"), hashPassword(b"same"))

    def test_published(self) -> None:
        """The hash is scrypt's, as published."""
        self.assertTrue(isPassword(b"pleaseletmein", PUBLISHED))
        self.assertFalse(isPassword(b"pleaseletmeim", PUBLISHED))

    def test_storedParameters(self) -> None:
        """A hash is checked with the parameters that it was made with."""
        self.assertTrue(isHash(CHEAP))
        self.assertTrue(isPassword(b"hunter2", CHEAP))
        self.assertFalse(isPassword(b"hunter3", CHEAP))

    def test_unknown(self) -> None:
        """The hash of nobody costs what others do, and nobody's password fits."""
        self.assertTrue(isHash(UNKNOWN))
        self.assertEqual(UNKNOWN.split("$")[:4], hashPassword(b"any").split("$")[:4])
        self.assertEqual(len(UNKNOWN), len(hashPassword(b"any")))
        self.assertFalse(isPassword(b"", UNKNOWN))

    def test_malformed(self) -> None:
        """What L{hashPassword} did not make is no hash, and is not checked."""
        for stored in (
            "",
            "secret",
            "bcrypt$2$1$1" + SALT + HASH,
            "scrypt$2$1$1" + SALT,
            "scrypt$2$1$1" + SALT + HASH + HASH,
            "scrypt$2$1$1" + SALT + HASH + "\n",
            " scrypt$2$1$1" + SALT + HASH,
            "scrypt$2$1$1$sal" + HASH,
            "scrypt$2$1$1" + SALT + "$hash!",
            "scrypt$2$1$1" + SALT + "$\xe9A==",
            "scrypt$2$1$1" + SALT + "$",
            "scrypt$$1$1" + SALT + HASH,
            "scrypt$two$1$1" + SALT + HASH,
            "scrypt$\u0662$1$1" + SALT + HASH,
            "scrypt$ 2$1$1" + SALT + HASH,
            "scrypt$2.0$1$1" + SALT + HASH,
        ):
            self.assertFalse(isHash(stored), stored)
            self.assertRaises(ValueError, isPassword, b"any", stored)

    def test_parameters(self) -> None:
        """Parameters that scrypt refuses, or that take too much memory, make no hash: better
        known when the table is read than at the login."""
        for parameters in (
            "0$1$1",
            "1$1$1",
            "-2$1$1",
            "3$1$1",
            "2$0$1",
            "2$-1$1",
            "2$1$0",
            "2$1$-1",
            "65536$8$1",
            "2$1$1000000",
            "1073741824$8$1",
            "9" * 5000 + "$1$1",
        ):
            stored = f"scrypt${parameters}{SALT}{HASH}"
            self.assertFalse(isHash(stored), parameters[:20])
            self.assertRaises(ValueError, isPassword, b"any", stored)

    def test_most(self) -> None:
        """Twice our own cost is still no matter."""
        self.assertTrue(isHash(f"scrypt$32768$8$1{SALT}{HASH}"))
        self.assertFalse(isPassword(b"any", f"scrypt$32768$8$1{SALT}{HASH}"))


class TokenTests(SynchronousTestCase):
    """What clients log in with."""

    def test_token(self) -> None:
        """It is that of the recorded login; text and bytes make the same."""
        self.assertEqual(
            passwordToken("alice", "sample", "password"), b"YWxpY2U=@c2FtcGxl:cGFzc3dvcmQ="
        )
        self.assertEqual(
            passwordToken("\xe9", b"sample", b"\xff"),
            passwordToken("\xe9".encode(), "sample", "\udcff"),
        )

    def test_parse(self) -> None:
        """A token is taken apart again; what is none is told as such."""
        parts = (b"alice", b"a@b:c", b"\x00:@")
        self.assertEqual(parsePasswordToken(passwordToken(*parts)), parts)
        for wrong in (b"", b"YQ==@YQ==", b"YQ==@YQ==:", b"@YQ==:YQ=="):
            with self.assertRaisesRegex(ValueError, "not of the form"):
                parsePasswordToken(wrong)
        for wrong in (b"YQ@YQ==:YQ==", b"YQ==@YQ:YQ==", b"YQ==@YQ==:YQ"):
            with self.assertRaisesRegex(ValueError, "not base64"):
                parsePasswordToken(wrong)


class MainTests(SynchronousTestCase):
    """C{python -m msgserver.passwords}."""

    def test_main(self) -> None:
        """It asks for a password without showing it, and prints its hash and nothing else."""
        prompts: list[str] = []

        def getpass(prompt: str) -> str:
            prompts.append(prompt)
            return "h\xe9llo"

        self.patch(passwords, "getpass", getpass)
        printed = StringIO()
        self.patch(sys, "stdout", printed)
        main()
        self.assertEqual(prompts, ["Password: "])
        line, end, rest = printed.getvalue().partition("\n")
        self.assertEqual((end, rest), ("\n", ""))
        self.assertTrue(isPassword("h\xe9llo".encode(), line))
