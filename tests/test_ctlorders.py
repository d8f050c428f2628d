"""
Tests for L{msgserver.ctlorders}: the command line of C{msgserver-ctl}; and for how
L{msgserver.ctltables} writes the bytes that are named there.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from io import StringIO

from hypothesis import given
from hypothesis.strategies import binary, text
from twisted.trial.unittest import SynchronousTestCase

from msgserver.ctlorders import LOCAL, NAME, VERBS, Order, Status, parse
from msgserver.ctltables import bytesText, parseBytes


class BytesTests(SynchronousTestCase):
    """Uids and subids as text."""

    def test_text(self) -> None:
        """What can be seen is shown as it is; the rest, and what looks like the rest, is not."""
        for raw, shown in (
            (b"alice", "alice"),
            ("j\xfcrgen \u4e2d".encode(), "j\xfcrgen \u4e2d"),
            (b"-x", "-x"),
            (b"base64", "base64"),
            (b"xbase64:", "xbase64:"),
            (b"", "base64:"),
            (b"\xff", "base64:/w=="),
            (b"a\n", "base64:YQo="),
            (b"\x1b[2J", "base64:G1sySg=="),
            (b" ", "base64:IA=="),
            (b" a", "base64:IGE="),
            (b"a ", "base64:YSA="),
            (b"base64:", "base64:YmFzZTY0Og=="),
            (b"base64:/w==", "base64:YmFzZTY0Oi93PT0="),
            ("\u202e".encode(), "base64:4oCu"),
        ):
            self.assertEqual(bytesText(raw), shown)
            self.assertEqual(parseBytes(shown), raw)

    @given(binary() | text().map(lambda each: each.encode("utf-8", "replace")))
    def test_roundTrip(self, raw: bytes) -> None:
        """What is shown names the same bytes, whichever, on a command line."""
        shown = bytesText(raw)
        self.assertTrue(shown.isprintable() and shown)
        order = parse(["-c", "hello.toml", "kick", "--", shown, shown], "")
        self.assertEqual((order.uid, order.subid), (raw, raw))

    def test_arguments(self) -> None:
        """An argument that is no UTF-8 names the bytes that were typed."""
        self.assertEqual(parseBytes("\udcff"), b"\xff")
        self.assertEqual(parseBytes(""), b"")
        self.assertEqual(parseBytes("a\n"), b"a\n")


class ParseTests(SynchronousTestCase):
    """Command lines."""

    def setUp(self) -> None:
        """Collect what is written."""
        self.out, self.err = StringIO(), StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)
        # Whatever the terminal is that the tests run in.
        self.patch(os, "environ", {**os.environ, "COLUMNS": "80"})

    def exits(self, *arguments: str) -> object:
        """Read a command line that is none, and give the exit status."""
        return self.assertRaises(SystemExit, parse, arguments, "msgserver 5").code

    def test_orders(self) -> None:
        """Each command, with what it is about."""
        for line, order in (
            ("gates", Order("f", "gates")),
            ("users", Order("f", "users")),
            ("users alice", Order("f", "users", uid=b"alice")),
            ("kick alice", Order("f", "kick", uid=b"alice")),
            ("kick alice base64:/w==", Order("f", "kick", uid=b"alice", subid=b"\xff")),
            ("kick -- -x -c", Order("f", "kick", uid=b"-x", subid=b"-c")),
            ("drain sample@a:1", Order("f", "drain", gate="sample@a:1")),
            ("undrain base64:", Order("f", "undrain", gate="base64:")),
        ):
            self.assertEqual(parse(["-c", "f", *line.split()], ""), order)

    def test_aboutAFile(self) -> None:
        """What is about a key's file needs no config."""
        for line, order in (
            ("keygen a.pem", Order("", "keygen", file="a.pem")),
            ("identity --json a.pem", Order("", "identity", True, file="a.pem")),
            ("--json identity -- -a", Order("", "identity", True, file="-a")),
        ):
            self.assertEqual(parse(line.split(), ""), order)

    def test_optionsAnywhere(self) -> None:
        """Options stand before the command, behind it, and in the midst."""
        order = Order("f", "kick", True, b"alice", b"1")
        for line in (
            "--config f --json kick alice 1",
            "kick alice 1 --json --config=f",
            "kick -c f alice --json 1",
            "--json kick alice -c f -- 1",
            "-cf kick --json alice 1",
        ):
            self.assertEqual(parse(line.split(), ""), order, line)

    def test_mistakes(self) -> None:
        """A mistake is the usage and one line that says what it is, and status 2."""
        for line, complaint in (
            ("", "COMMAND"),
            ("gates", "-c FILE is required"),
            ("-c f", "COMMAND"),
            ("gates -c", "expected one argument"),
            ("-c f stop", "invalid choice: 'stop'"),
            ("-c f gates sample", "unrecognized arguments: sample"),
            ("-c f users --all", "unrecognized arguments: --all"),
            ("-c f kick", "UID"),
            ("-c f drain", "GATE"),
            ("-c f users base64:/w", "argument UID: base64:/w: not base64"),
            ("-c f users base64:/x==", "argument UID: base64:/x==: not canonical base64"),
            ("-c f kick alice base64:\xff", "argument SUBID: base64:\xff: not base64"),
            ("-c f kick base64:\udcff", r"argument UID: base64:\udcff: not base64"),
            ("-c f drain \udcff", r"argument GATE: \udcff: not UTF-8"),
            ("keygen", "FILE"),
            ("identity a b", "unrecognized arguments: b"),
            ("-c f keygen a", "keygen asks no server, and takes no -c FILE"),
            ("identity a --config=f", "identity asks no server, and takes no -c FILE"),
        ):
            self.err.seek(0)
            self.err.truncate()
            self.assertEqual(self.exits(*line.split()), Status.MISTAKEN, line)
            usage, mistake = self.err.getvalue().splitlines()
            self.assertTrue(usage.startswith(f"usage: {NAME} "), usage)
            self.assertIn(complaint, mistake)
        self.assertEqual(self.out.getvalue(), "")

    def test_version(self) -> None:
        """--version shows the version, and needs nothing else."""
        self.assertEqual(self.exits("--version"), Status.DONE)
        self.assertEqual(self.out.getvalue(), "msgserver 5\n")

    def test_help(self) -> None:
        """--help lists the commands and the exit statuses, and has an example, which is right."""
        self.assertEqual(self.exits("--help"), Status.DONE)
        shown = self.out.getvalue()
        self.assertEqual(re.findall(r"^    (\w+) {4,}", shown, re.M), list(VERBS))
        self.assertEqual(
            [int(each) for each in re.findall(r"^  (\d+) ", shown, re.M)], list(Status)
        )
        self.assertExample(shown)

    def test_helpOfEach(self) -> None:
        """Each command's help has its options, and an example of it, which is right."""
        for verb in VERBS:
            self.out.seek(0)
            self.out.truncate()
            self.assertEqual(self.exits(verb, "--help"), Status.DONE)
            shown = self.out.getvalue()
            self.assertEqual("--config FILE" in shown, verb not in LOCAL)
            self.assertIn("--json", shown)
            self.assertEqual(self.assertExample(shown).verb, verb)
            self.assertTrue(all(len(line) < 80 for line in shown.splitlines()), shown)

    def assertExample(self, shown: str) -> Order:
        """See that a help's last line is a command line that is right, and give its order."""
        name, *arguments = shlex.split(shown.splitlines()[-1])
        self.assertEqual(name, NAME)
        return parse(arguments, "")

    def test_said(self) -> None:
        """An order is told as it may be typed."""
        for line in ("users", "kick alice base64:/w==", "drain sample@a:1"):
            self.assertEqual(str(parse(["-c", "f", *line.split()], "")), line)
        self.assertEqual(str(parse(["keygen", "a.pem"], "")), "keygen a.pem")
