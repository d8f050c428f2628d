"""
Tests for L{msgserver.commandline.options} and L{msgserver.commandline.credentials}.
"""

from __future__ import annotations

import io
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from msgserver.clientlogin import MAX_UNANSWERED
from msgserver.commandline import credentials, options
from msgserver.commandline.commands import VERBS
from msgserver.commandline.credentials import takeToken
from msgserver.commandline.options import Options, parse
from msgserver.commandline.statuses import Status
from msgserver.commandparts import MAX_SECRET, PASSWORD_VARIABLE, Complaint
from msgserver.handlers import PasswordLoginHandler
from msgserver.wire.naming import encode64

KEY = encode64(bytes(range(32))).decode()


class ParseTests(SynchronousTestCase):
    """Command lines."""

    def says(self, *arguments: str) -> tuple[int, str]:
        """Give the exit status of a command line that is none, and what it says."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", out)
        ended = self.assertRaises(SystemExit, parse, arguments)
        assert isinstance(ended.code, int)
        return ended.code, out.getvalue()

    def test_defaults(self) -> None:
        """By default it is the server of make run that is asked, and its user who asks."""
        self.assertEqual(
            parse([]),
            Options(
                login="127.0.0.1:8001",
                gate="127.0.0.1:8888",
                server="sample",
                user="alice",
                identity=None,
                isClassic=False,
                usesTLS=False,
                authorities=None,
                passwordFile=None,
                tokenFile=None,
                connectTimeout=10.0,
                timeout=30.0,
                window=MAX_UNANSWERED,
                commands=None,
                script=None,
                style="line",
                record=None,
            ),
        )

    def test_all(self) -> None:
        """Each option says what it says."""
        said = parse(
            "--login [::1]:1 --gate unix:/g --server s --user u --identity".split()
            + [KEY, "--password-file", "p", "--connect-timeout", "1.5", "--timeout", "0"]
            + "--window 3 -c wait -c cut --json --record r".split()
        )
        self.assertEqual(
            said,
            evolve(
                parse([]),
                login="[::1]:1",
                gate="unix:/g",
                server="s",
                user="u",
                identity=KEY,
                passwordFile="p",
                connectTimeout=1.5,
                timeout=0.0,
                window=3,
                commands=("wait", "cut"),
                style="json",
                record="r",
            ),
        )
        self.assertEqual(
            parse("--classic --token-file t --script - -q --tls".split()),
            evolve(
                parse([]),
                isClassic=True,
                tokenFile="t",
                script="-",
                style="answers",
                usesTLS=True,
            ),
        )

    def test_authorities(self) -> None:
        """Whoever names authorities wants TLS."""
        self.assertTrue(parse(["--ca", "ca.pem"]).usesTLS)

    def test_mistakes(self) -> None:
        """Bad input is told in one line behind the usage, with the option, and status 2."""
        for arguments, text in (
            ("--login nonsense", "argument --login: host:port, "),
            ("--gate unix:", "argument --gate: host:port, "),
            ("--gate a:0", "argument --gate: host:port, "),
            ("--identity nonsense", "argument --identity: an identity is 44 characters"),
            (f"--identity {KEY} --classic", "--identity goes without --classic"),
            ("-c wait --script x", "--script goes without -c"),
            ("--tls --login unix:/x", "no TLS on a UNIX socket"),
            ("--ca x --login unix:/x", "no TLS on a UNIX socket"),
            ("--tls --gate unix:/x", "no TLS on a UNIX socket"),
            ("--password-file a --token-file b", "not allowed with"),
            ("--json -q", "not allowed with"),
            ("--timeout -1", "argument --timeout: a number of seconds"),
            ("--timeout nan", "argument --timeout: a number of seconds"),
            ("--connect-timeout 0", "argument --connect-timeout: a number of seconds over 0"),
            ("--window 0", "argument --window: a number from 1 up"),
            ("--window x", "argument --window: a number from 1 up"),
            ("send hello", "unrecognized arguments"),
        ):
            status, said = self.says(*arguments.split())
            self.assertEqual(status, Status.MISTAKEN, arguments)
            self.assertTrue(said.startswith("usage: msgserver-client "), said)
            self.assertIn(text, said.splitlines()[-1], arguments)

    def test_help(self) -> None:
        """Help has each command and each exit status, and nobody's password among options."""
        status, said = self.says("--help")
        self.assertEqual(status, 0)
        for verb in VERBS:
            self.assertIn(f"\n  {verb} ", said)
        for each in Status:
            self.assertIn(f"\n  {each} ", said)
        self.assertNotIn("--password ", said)

    def test_version(self) -> None:
        """The version is shown also where nothing is installed."""
        self.assertRegex(self.says("--version")[1], r"\Amsgserver \d")

        def version(name: str) -> str:
            raise PackageNotFoundError

        self.patch(options, "version", version)
        self.assertIn("not installed", self.says("--version")[1])


class TokenTests(SynchronousTestCase):
    """Tokens, and where they come from."""

    def setUp(self) -> None:
        """Nobody is to be asked."""
        self.prompts: list[str] = []

    def take(self, typed: str | Exception = "", **options: Any) -> bytes:
        """Take a token; at a prompt, this is typed."""
        environment = options.pop("environment", {})

        def ask(prompt: str) -> str:
            self.prompts.append(prompt)
            if isinstance(typed, Exception):
                raise typed
            return typed

        return takeToken(evolve(parse([]), **options), environment, ask)

    def complaint(self, typed: str | Exception = "", **options: Any) -> str:
        """See that there is none, in one line and with status 2."""
        complaint = self.assertRaises(Complaint, self.take, typed, **options)
        self.assertEqual(complaint.status, Status.MISTAKEN)
        self.assertEqual(len(str(complaint).splitlines()), 1)
        return str(complaint)

    def write(self, content: bytes) -> str:
        """Write a file."""
        path: str = self.mktemp()
        Path(path).write_bytes(content)
        return path

    def test_asked(self) -> None:
        """A password is asked for, of whom, and makes the token that the handler reads."""
        token = self.take("p\u00e4ss", user="bob", server="s")
        self.assertEqual(self.prompts, ["Password of bob: "])
        self.assertEqual(token, b"Ym9i@cw==:" + encode64("p\u00e4ss".encode()))
        self.assertEqual(PasswordLoginHandler({}, ["s"]).uidOf(token), b"bob")

    def test_environment(self) -> None:
        """The environment's password is not asked for; nor is that of a file, which is first."""
        environment = {PASSWORD_VARIABLE: "secret"}
        token = b"YWxpY2U=@c2FtcGxl:" + encode64(b"secret")
        self.assertEqual(self.take(environment=environment), token)
        path = self.write(b"other\r\nand more\n")
        other = b"YWxpY2U=@c2FtcGxl:" + encode64(b"other")
        self.assertEqual(self.take(environment=environment, passwordFile=path), other)
        self.assertEqual(self.prompts, [])

    def test_tokenFile(self) -> None:
        """Another handler's token is the bytes of a file, all of them."""
        path = self.write(b"\0token\n")
        self.assertEqual(self.take(tokenFile=path), b"\0token\n")

    def test_none(self) -> None:
        """Where there is none, one line says so, and nothing of what there was."""
        secret = b"tell nobody" * MAX_SECRET
        for name in ("passwordFile", "tokenFile"):
            self.assertIn("No such file", self.complaint(**{name: "nothing"}))
            self.assertIn("empty", self.complaint(**{name: self.write(b"")}))
            text = self.complaint(**{name: self.write(secret)})
            self.assertIn(str(MAX_SECRET), text)
            self.assertNotIn("tell nobody", text)
        self.assertIn("empty", self.complaint(passwordFile=self.write(b"\nsecret\n")))
        self.assertIn("empty", self.complaint(""))
        self.assertIn("empty", self.complaint(environment={PASSWORD_VARIABLE: ""}))
        self.assertNotIn("tell", self.complaint(environment={PASSWORD_VARIABLE: secret.decode()}))

    def test_noTerminal(self) -> None:
        """Without a terminal nobody is asked, and the ways that remain are told."""
        for error in (EOFError(), OSError(6, "No such device or address")):
            text = self.complaint(error)
            self.assertIn("--password-file", text)
            self.assertIn(PASSWORD_VARIABLE, text)

    def test_neverShown(self) -> None:
        """By default it is getpass that asks, which shows nothing of what is typed."""
        self.patch(credentials, "TERMINAL", "/dev/null")
        self.patch(credentials, "getpass", lambda prompt: "secret")
        token = takeToken(parse([]), {})
        self.assertTrue(token.endswith(encode64(b"secret")))
