"""
The documentation says what is so: its commands run, its configs load, its tables are right.

Its Python runs in L{tests.test_docs_python}; its wire is L{tests.test_docs_protocol}'s.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from configparser import ConfigParser
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, TimeoutError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from msgserver import IMsgGate, IMsgHandler, clientlogin, errors
from msgserver.client import RETRY_POLICY, MsgClient
from msgserver.config import Gate, settings
from msgserver.configfile import loadConfig
from msgserver.loading import makeEndpoint
from msgserver.tap import Options
from msgserver.wire import framing, naming
from tests.pages import PAGES, ROOT, FolderTestCase, blocks, blocksOf, count, read, tables

COUNTS = {
    "README.md": {"sh": 4, "python": 2, "toml": 1},
    "docs/protocol.md": {"text": 2, "python": 2},
    "docs/running.md": {"sh": 7, "console": 2, "toml": 2, "ini": 1, "text": 1},
    "docs/handlers.md": {"python": 11, "toml": 1},
    "docs/clients.md": {"python": 4},
}
"""
How many blocks of which language a page has. A block that is added, or that L{tests.pages}
loses sight of, shows here; a language that is added needs a test that runs it.
"""

_SHOWN = re.compile(r"(server|client) -> .*|\[msgserver\.\w+\.\w+#info\] .*")
"""What a block of text may show: the wire, or a line of the log. All else must run."""

_LINK = re.compile(r"\]\(([^)]+)\)")
_TABLE_HEAD = "| key | default | allowed | meaning |\n|---|---|---|---|\n"
_CONFIG_ROW = "| `{}` | {} | {} | {} |"


class BlocksTests(SynchronousTestCase):
    """No block is passed over in silence."""

    def test_counts(self) -> None:
        """Each page has the blocks that the tests here know of."""
        self.assertEqual({page: count(page) for page in PAGES}, COUNTS)

    def test_text(self) -> None:
        """A block that does not run shows what a program says."""
        for block in blocksOf("text"):
            for line in block.code.splitlines():
                self.assertRegex(line, rf"\A({_SHOWN.pattern})\Z", block.place)

    def test_links(self) -> None:
        """Each link within the documentation leads somewhere."""
        for page in (*PAGES, "NEWS.md"):
            for link in _LINK.findall(read(page)):
                if link.startswith("https://"):
                    continue
                file, _, anchor = link.partition("#")
                target = (ROOT / page).parent / file if file else ROOT / page
                self.assertTrue(target.is_file(), f"{page}: {link}")
                if anchor:
                    self.assertIn(anchor, _anchors(target.read_text()), f"{page}: {link}")


def _anchors(text: str) -> list[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def _makeCertificate(folder: Path) -> None:
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gate.example.org")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1))
        .not_valid_after(datetime(2020, 1, 1) + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("gate.example.org")]), False)
        .sign(key, SHA256())
    )
    folder.mkdir()
    (folder / "gate.example.org.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )


class ConfigBlocksTests(FolderTestCase):
    """Configs that are shown are without mistakes."""

    def test_toml(self) -> None:
        """Each loads, with the handlers, endpoints and certificates that it names."""
        _makeCertificate(self.folder / "certificates")
        for page in PAGES:
            self.savePage(page)
            for block in blocks(page):
                if block.language == "toml":
                    file = self.folder / "shown.toml"
                    file.write_text(block.code)
                    loadConfig(str(file), MemoryReactorClock())

    def test_unit(self) -> None:
        """The systemd unit starts a server: its command is one, and its config is right."""
        self.savePage("docs/running.md")
        (block,) = blocksOf("ini")
        unit = ConfigParser()
        unit.optionxform = str  # type: ignore[assignment,method-assign]  # as its own docs have it
        unit.read_string(block.code)
        service = unit["Service"]
        command = service["ExecStart"].removeprefix("/srv/hello/venv/bin/")
        command = command.replace(service["WorkingDirectory"], str(self.folder))
        self.assertEqual(_run(f"{command} --check", self.folder)[0], 0)

    def test_endpoints(self) -> None:
        """Each endpoint string of the table is one."""
        _makeCertificate(self.folder / "certificates")
        for cell, _ in tables("docs/running.md", "## Where to listen"):
            makeEndpoint(MemoryReactorClock(), cell.strip("`"))


class CommandsTests(FolderTestCase):
    """Command lines that are shown do what the page says."""

    def test_sh(self) -> None:
        """Each line succeeds."""
        for page in PAGES:
            self.savePage(page)
            for block in blocks(page):
                if block.language == "sh":
                    for line in block.code.splitlines():
                        self._try(line, block.place)

    def test_console(self) -> None:
        """Each line says what is shown below it."""
        self.savePage("docs/running.md")
        for block in blocksOf("console"):
            for shown in re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]:
                command, _, output = shown.partition("\n")
                self.assertRegex(command, r"twistd msgserver --check |printf ", block.place)
                self.assertEqual(_run(command, self.folder)[1], output, block.place)

    def test_options(self) -> None:
        """The options in the table are those that there are."""
        shown = {
            option.split()[0]
            for cell, _ in tables("docs/running.md", "## Starting")
            for option in re.findall(r"`(--[^`]+)`", cell)
        }
        # What is Twisted's own, --help, needs no telling.
        options = {name.rstrip("=") for name in Options().longOpt} - {"help"}
        self.assertEqual(shown, {f"--{name}" for name in options})

    def _try(self, line: str, place: str) -> None:
        """Run a line, or what comes nearest to it where it would not end, or takes long."""
        if match := re.fullmatch(r"make (\w+)", line):
            # Not even by make -n: it runs lines that call make, and so this very test.
            self.assertRegex((ROOT / "Makefile").read_text(), rf"(?m)^{match[1]}:.* ## ", place)
        elif line in ("python3 -m venv venv", "venv/bin/pip install ."):
            # tests.test_packaging installs.
            self.assertTrue((ROOT / "pyproject.toml").is_file())
        elif re.fullmatch(r"(twistd|twist) (-\S+ )*msgserver --config \S+", line):
            self.assertEqual(_run(f"{line} --check", self.folder)[0], 0, place)
        elif re.fullmatch(r"twistd msgserver --(check|print-config).*", line):
            self.assertEqual(_run(line, self.folder)[0], 0, place)
        elif line == "python -m msgserver.passwords":
            status, output = _run(line, self.folder)
            self.assertEqual(status, 0, place)
            self.assertIn("scrypt$", output)
        else:
            self.fail(f"{place}: nothing here knows how to run {line}")


def _run(command: str, folder: Path) -> tuple[int, str]:
    """Run a command as a user's shell would that has msgserver installed."""
    scripts = folder / "scripts"
    if folder != ROOT and not scripts.exists():
        scripts.mkdir()
        for name, code in (
            ("twistd", "from twisted.scripts.twistd import run; run()"),
            ("twist", "from twisted.application.twist._twist import Twist; Twist.main()"),
        ):
            (scripts / name).write_text(f"#!{sys.executable}\n{code}\n")
            (scripts / name).chmod(0o755)
        (scripts / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (scripts / "python").chmod(0o755)
    finished = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        },
        # A session of its own has no terminal to ask for a password on.
        start_new_session=True,
        input="password\n",
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
    )
    return finished.returncode, finished.stdout


class NamesTests(SynchronousTestCase):
    """The names in the tables are those that the code has."""

    def test_handler(self) -> None:
        """Every method of a handler has its place in the life of a login, and in the README."""
        life = tables("docs/handlers.md", "## The life of a login")
        skynet = tables("README.md", "## Coming from skynet")
        for method in IMsgHandler.names():
            self.assertIn(f"`{method}(", str(life))
            self.assertIn(f"`{method}(", str(skynet))

    def test_gate(self) -> None:
        """The table of what a gate can do has all of it."""
        shown = [row[0] for row in tables("docs/handlers.md", "## The gate")]
        names = [re.sub(r"`gate\.(\w+).*", r"\1", cell) for cell in shown]
        self.assertEqual(sorted(names), sorted(IMsgGate.names()))

    def test_client(self) -> None:
        """The table of what a client can do has all of it."""
        shown = [row[0] for row in tables("docs/clients.md", "## The Twisted client")]
        public = [name for name in vars(MsgClient) if not name.startswith("_")]
        self.assertEqual([re.sub(r"`(\w+)\(.*", r"\1", cell) for cell in shown], public)

    def test_errors(self) -> None:
        """The errors of the client are in msgserver.errors, or where the page says."""
        for heading in ("## Errors of a login", "## Errors of a request"):
            for error, _ in tables("docs/clients.md", heading):
                name = error.split(",")[0].strip("`")
                if name != "other errors":
                    known = vars(errors) | _OTHER_ERRORS
                    self.assertTrue(issubclass(known[name], Exception))

    def test_skynet(self) -> None:
        """The settings that the README names for those of the original are settings."""
        known = {f"[{setting.section}] {setting.key}" for setting in settings()}
        for _, ours in tables("README.md", "## Coming from skynet"):
            for name in re.findall(r"`(\[\w+\] \w+)`", ours):
                self.assertIn(name, known)


_OTHER_ERRORS = {
    "ValueError": ValueError,
    "CancelledError": CancelledError,
    "ConnectionDone": ConnectionDone,
    "twisted.internet.error.TimeoutError": TimeoutError,
}


class NumbersTests(SynchronousTestCase):
    """What is said of settings and limits is what the code has."""

    def test_config(self) -> None:
        """The tables of config keys are the settings, all of them, word for word."""
        for section in ("login", "gate"):
            rows = [
                _CONFIG_ROW.format(
                    setting.key,
                    "required" if setting.isRequired else f"`{setting.defaultText}`",
                    setting.range + (f"; in {setting.unit}" if setting.unit else ""),
                    setting.doc,
                )
                for setting in settings()
                if setting.section == section
            ]
            self.assertIn("\n\n" + _TABLE_HEAD + "\n".join(rows) + "\n\n", read("docs/running.md"))

    def test_limits(self) -> None:
        """The limits that have a key are there with their defaults and units, all of them."""
        shown = {tuple(row[1:4]) for row in tables("README.md", "## Limits") if len(row) == 5}
        self.assertEqual(
            shown,
            {
                (f"`[{setting.section}] {setting.key}`", f"`{setting.defaultText}`", setting.unit)
                for setting in settings()
                if setting.unit
            },
        )

    def test_wireLimits(self) -> None:
        """The limits without a key are those of the wire."""
        shown = [row[1] for row in tables("README.md", "## Limits") if len(row) == 4]
        limits = (framing.MAX_LINE, framing.MAX_REQUEST, framing.MAX_RESPONSE, naming.MAX_INDEX)
        self.assertEqual(shown, [f"{limit:,}" for limit in limits])

    def test_shutdown(self) -> None:
        """The longest that a shutdown takes is what the page says (B5)."""
        gate = Gate(servername="sample", handler="yours:Handler")
        longest = 2 * gate.drainTimeout + gate.kickTimeout
        self.assertIn(f": {longest:g} seconds at the defaults", read("docs/running.md"))

    def test_unanswered(self) -> None:
        """How many requests a client leaves unanswered is what the pages say (S7)."""
        most = clientlogin.MAX_UNANSWERED
        self.assertIn(f"At most {most} are sent and unanswered", read("docs/clients.md"))
        self.assertIn(f"no more than {most} requests unanswered", read("docs/protocol.md"))

    def test_retries(self) -> None:
        """A client waits about a second at first, and half a minute at last."""
        self.assertIn("The first wait is at most about a second", read("docs/clients.md"))
        self.assertLess(RETRY_POLICY(1), 1.5)
        self.assertTrue(30 <= RETRY_POLICY(50) < 32)
