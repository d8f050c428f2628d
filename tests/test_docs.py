"""
The documentation says what is so: its commands run, its configs load, its links lead somewhere.

Its Python runs in L{tests.test_docs_python} and L{tests.test_docs_clients}; its wire is
L{tests.test_docs_protocol}'s, and its tables are L{tests.test_docs_tables}'s.
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
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.configfile import loadConfig
from msgserver.loading import makeEndpoint
from msgserver.tap import Options
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
