"""
Tests for L{msgserver.commandparts}: what the commands for users share.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from msgserver.commandparts import MISTAKEN, Complaint, address, identity, readSecrets
from msgserver.wire.naming import encode64


class ValueTests(SynchronousTestCase):
    """The values of options."""

    def test_address(self) -> None:
        """A server is at a host and a port, or at a path."""
        for text in ("example.org:1", "[::1]:65535", "unix:/run/gate", "unix:gate"):
            self.assertEqual(address(text), text)
        for text in ("", "unix:", "example.org", "example.org:0", "::1:8001", "x..y:8001"):
            self.assertRaises(ArgumentTypeError, address, text)

    def test_identity(self) -> None:
        """An identity is 32 bytes, in base64."""
        text = encode64(bytes(range(32))).decode()
        self.assertEqual(identity(text), text)
        for wrong in ("", text[:-4], "nonsense"):
            self.assertRaises(ArgumentTypeError, identity, wrong)


class ReadSecretsTests(SynchronousTestCase):
    """Files that have secrets."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def complaint(self, most: int = -1) -> str:
        """Give what is complained of when the file is read."""
        complaint = self.assertRaises(Complaint, readSecrets, str(self.path), "token", most)
        self.assertEqual(complaint.status, MISTAKEN)
        return str(complaint).replace(str(self.path), "FILE")

    def test_read(self) -> None:
        """All of a file is given, and no more than may be is read."""
        self.path.write_bytes(b"secret\n")
        self.assertEqual(readSecrets(str(self.path), "token"), b"secret\n")
        self.assertEqual(readSecrets(str(self.path), "token", 7), b"secret\n")
        self.assertEqual(self.complaint(6), "FILE has more than 6 bytes, and no token")

    def test_none(self) -> None:
        """What is not there, or empty, is told as such."""
        self.assertEqual(
            self.complaint(), "the token cannot be read from FILE: No such file or directory"
        )
        self.path.write_bytes(b" \n")
        self.assertEqual(self.complaint(), "FILE is empty, and no token")
