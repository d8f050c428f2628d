"""
The documentation says what is so: its commands run, its configs load, its links lead somewhere.

Its Python runs in L{tests.test_docs_python} and L{tests.test_docs_clients}; its wire is
L{tests.test_docs_protocol}'s, the operator's commands are L{tests.test_docs_operating}'s, and its
tables are L{tests.test_docs_tables}'s.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from datetime import datetime, timedelta
from pathlib import Path
from unittest import SkipTest

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from twisted.internet.ssl import optionsForClientTLS, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from msgserver.certificates import CertificatesOnDisk
from msgserver.config import Control, GateLogin, Login
from msgserver.configfile import loadConfig, loadOperator
from msgserver.endpointstrings import isProxied
from msgserver.identity import writeIdentity
from msgserver.linktls import Credentials, readCertificates, readPrivateKey
from msgserver.loading import makeClientEndpoint, makeEndpoint
from msgserver.pemfiles import pemFilesIn
from msgserver.tap import Options
from tests.certificates import Meeting, meet, writeCertificates
from tests.pages import (
    PAGES,
    ROOT,
    Block,
    FolderTestCase,
    blocks,
    blocksOf,
    count,
    read,
    shownIn,
    tables,
)

COUNTS = {
    "README.md": {"sh": 4, "python": 2, "toml": 1},
    "docs/tutorial.md": {"sh": 1, "python": 4, "toml": 1, "console": 18},
    "docs/protocol.md": {"text": 2, "python": 4},
    "docs/running.md": {
        **{"sh": 11, "console": 2, "toml": 7, "ini": 2, "text": 2},
        **{"haproxy": 1, "nginx": 1},
    },
    "docs/operating.md": {"toml": 3, "console": 6},
    "docs/monitoring.md": {"yaml": 1, "json": 1},
    "docs/security.md": {},
    "docs/handlers.md": {"python": 11, "toml": 1},
    "docs/agents.md": {"python": 7, "toml": 3},
    "docs/push.md": {"text": 1, "python": 4},
    "docs/load-testing.md": {"toml": 1, "console": 3},
    "docs/testing.md": {"python": 11},
    "docs/migrating.md": {"python": 4, "toml": 1},
    "docs/clients.md": {"python": 6},
    "docs/asyncio.md": {"python": 8},
    "docs/command-line.md": {"console": 6, "commands": 1},
    "docs/guarantees.md": {"sh": 1},
    "docs/benchmarks.md": {"sh": 1},
    "docs/deploy.md": {"sh": 8, "toml": 1, "systemd": 1, "docker": 1, "cfg": 1},
    "docs/tls.md": {"sh": 4, "toml": 1, "console": 1, "python": 2},
    "docs/gates.md": {"sh": 5, "toml": 2, "console": 1},
    "docs/design.md": {"python": 1},
    "docs/index.md": {},
    "docs/reference/config.md": {},
    "docs/reference/metrics.md": {},
    "docs/reference/interfaces.md": {},
}
"""
How many blocks of which language a page has. A block that is added, or that L{tests.pages}
loses sight of, shows here; a language that is added needs a test that runs it.
"""

RUN_ELSEWHERE = ("docs/deploy.md", "docs/tls.md", "docs/gates.md")
"""The pages whose commands tests of their own run: L{tests.test_docs_deploy} and so on."""

_SHOWN = re.compile(r"(server|client) -> .*|\[msgserver\.\w+\.\w+#info\] .*")
"""What a block of text may show: the wire, or a line of the log. All else must run."""

_PICTURE = re.compile(r"[┌┐└┘─│┬┴┼▲▼◀▶]")
"""What pictures are drawn with, and nothing else is."""

_LINK = re.compile(r"\]\(([^)]+)\)")


class BlocksTests(SynchronousTestCase):
    """No block is passed over in silence."""

    def test_counts(self) -> None:
        """Each page has the blocks that the tests here know of."""
        self.assertEqual({page: count(page) for page in PAGES}, COUNTS)

    def test_text(self) -> None:
        """A block that does not run shows what a program says."""
        for block in blocksOf("text"):
            if not _PICTURE.search(block.code):
                for line in block.code.splitlines():
                    self.assertRegex(line, rf"\A({_SHOWN.pattern})\Z", block.place)

    def test_picture(self) -> None:
        """The ports in the picture of the processes are those of the config for them."""
        (picture,) = (block for block in blocksOf("text") if _PICTURE.search(block.code))
        config = tomllib.loads(_named("docs/running.md", "cluster.toml").code)
        ports = {part for text in config["gate"]["addresses"] for part in text.split("-")}
        defaults = (Login(handler="a:B").listen, Control().listen)
        ports |= {text.split(":")[1] for listen in defaults for text in listen}
        self.assertLessEqual(ports, set(re.findall(r"\d{4}", picture.code)))
        self.assertEqual(picture.code.count(f"gate {config['gate']['servername']}"), 3)
        self.assertEqual(config["gate"]["processes"], 3)

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


def _named(page: str, file: str) -> Block:
    """Give the block of a page that is a file."""
    (found,) = (block for block in blocks(page) if block.file == file)
    return found


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
    folder.mkdir(exist_ok=True)
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
        writeCertificates(self.folder)
        writeIdentity(str(self.folder / "identity.pem"))
        for page in PAGES:
            self.savePage(page)
            for block in blocks(page):
                if block.language == "toml":
                    file = self.folder / "shown.toml"
                    file.write_text(block.code)
                    load = loadOperator if block.file == "operator.toml" else loadConfig
                    load(str(file), MemoryReactorClock())

    def test_units(self) -> None:
        """Each systemd unit starts a server: its command is one, and its config is right."""
        _makeCertificate(self.folder / "certificates")
        writeCertificates(self.folder)
        self.savePage("docs/running.md")
        commands = []
        for block in blocksOf("ini"):
            unit = ConfigParser(interpolation=None)
            unit.optionxform = str  # type: ignore[assignment,method-assign]  # as its docs have it
            unit.read_string(block.code)
            service = unit["Service"]
            command = service["ExecStart"].removeprefix("/srv/hello/venv/bin/")
            command = command.replace(service["WorkingDirectory"], str(self.folder))
            commands.append(command.replace("%i", "4"))
            self.assertEqual(_run(f"{commands[-1]} --check", self.folder)[0], 0)
        login, gate = commands
        self.assertIn("login.toml", login)
        # There are so many as the page starts, and no more.
        self.assertEqual(_run(f"{gate} --check".replace(" 4 ", " 5 "), self.folder)[0], 1)

    def test_link(self) -> None:
        """What the configs of several machines say of the link fits together."""
        login, gate = (
            tomllib.loads(_named("docs/running.md", name).code)
            for name in ("login.toml", "gate.toml")
        )
        control, link = login["login"]["control"], gate["gate"]["login"]
        self.assertEqual(control["gates"][gate["gate"]["servername"]], link["key"])
        (listen,), (server,) = control["listen"], link["servers"]
        self.assertEqual(listen.split(":")[1], server.split(":")[2])
        (row,) = (
            row for row in tables("docs/running.md", "### On several machines") if row[0] == "8002"
        )
        self.assertEqual(row[0], listen.split(":")[1])
        self.assertEqual(control["authority"], link["authority"])

    def runCommands(self, *parts: str) -> list[str]:
        """Run the commands of the page on running that have one of these in them, and give them."""
        lines = [
            line
            for block in blocks("docs/running.md")
            if block.language == "sh"
            for line in block.code.splitlines()
            if any(part in line for part in parts)
        ]
        for line in lines:
            status, output = _run(line, self.folder)
            self.assertEqual(status, 0, output)
        return lines

    def test_certificateForATry(self) -> None:
        """The commands for one make it, where the config looks, and clients can check it."""
        if shutil.which("openssl") is None:
            raise SkipTest("there is no openssl on this machine")
        self.assertEqual(len(self.runCommands("mkdir ", "-out certificates/localhost.pem")), 2)
        self.savePage("docs/running.md")
        loadConfig(str(self.folder / "tls.toml"), MemoryReactorClock())
        server = CertificatesOnDisk("x", lambda: pemFilesIn("certificates"), Clock())
        trusted = trustRootFromCertificates(readCertificates("certificates/localhost.pem"))
        for name in ("localhost", "127.0.0.1"):
            meeting = Meeting(server, optionsForClientTLS(name, trusted))
            self.assertEqual(meeting.say(b"!"), (b"hello!", b"hello!"))
        page = read("docs/running.md")
        for text in re.findall(r"`(tls:[\w.]+:8888[^`]*)`", page):
            makeClientEndpoint(MemoryReactorClock(), text)

    def test_certbot(self) -> None:
        """What certbot is told to run puts a certificate where the config looks."""
        (line,) = (
            line
            for block in blocks("docs/running.md")
            if block.language == "sh"
            for line in block.code.splitlines()
            if line.startswith("certbot ")
        )
        match = re.fullmatch(
            r"certbot certonly --standalone -d (\S+) --deploy-hook '([^']+)'", line
        )
        assert match is not None
        lineage = self.folder / "lineage"
        _makeCertificate(lineage)
        (pair,) = lineage.iterdir()
        shutil.copy(pair, lineage / "fullchain.pem")
        pair.rename(lineage / "privkey.pem")
        # Only root may give files to another user.
        hook = match[2].replace("/srv/hello", str(self.folder)).replace("-o hello ", "")
        for _ in range(2):
            status, output = _run(f"export RENEWED_LINEAGE={lineage}; {hook}", self.folder)
            self.assertEqual((status, output), (0, ""))
        self.savePage("docs/running.md")
        loadConfig(str(self.folder / "tls.toml"), MemoryReactorClock())
        files = pemFilesIn(str(self.folder / "certificates" / match[1]))
        self.assertEqual(len(files), 2)

    def test_proxies(self) -> None:
        """What the proxies connect to is where the config listens, with a header."""
        config = tomllib.loads(_named("docs/running.md", "proxied.toml").code)
        listens = [config[section]["listen"][0] for section in ("login", "gate")]
        for text in listens:
            self.assertTrue(isProxied(text))
        inner = [re.findall(r"port=(\d+)", text)[0] for text in listens]
        (haproxy,), (nginx,) = blocksOf("haproxy"), blocksOf("nginx")
        outer = re.findall(r"bind :(\d+)\n", haproxy.code)
        servers = re.findall(r"127\.0\.0\.1:(\d+) check send-proxy-v2\n", haproxy.code)
        self.assertEqual(servers, inner)
        self.assertEqual(re.findall(r"proxy_pass 127\.0\.0\.1:(\d+);", nginx.code), inner)
        self.assertEqual(re.findall(r"listen (\d+);", nginx.code), outer)
        self.assertIn("    proxy_protocol on;\n", nginx.code)
        self.assertEqual(config["gate"]["advertise"].split(":")[1], outer[1])

    def test_haproxyItself(self) -> None:
        """HAProxy is content with its config, where there is one."""
        if shutil.which("haproxy") is None:
            raise SkipTest("there is no haproxy on this machine")
        (haproxy,) = blocksOf("haproxy")
        (self.folder / "haproxy.cfg").write_text(haproxy.code)
        status, output = _run("haproxy -c -f haproxy.cfg", self.folder)
        self.assertEqual(status, 0, output)

    def test_authority(self) -> None:
        """The commands for certificates make those that the configs name, and they are right."""
        if shutil.which("openssl") is None:
            raise SkipTest("there is no openssl on this machine")
        self.assertEqual(len(self.runCommands(" -CA authority.pem", "-out authority.pem")), 4)
        _makeCertificate(self.folder / "certificates")
        self.savePage("docs/running.md")
        for name in ("login.toml", "gate.toml"):
            loadConfig(str(self.folder / name), MemoryReactorClock())
        ends = [
            Credentials(
                readCertificates(f"{name}.pem"),
                readPrivateKey(f"{name}.key"),
                readCertificates("authority.pem"),
            )
            for name in ("login", "gate", "operator")
        ]
        serverName = GateLogin(key="k" * 16).serverName
        for end in ends[1:]:
            for talker in meet(ends[0], end.clientOptions(serverName)):
                self.assertEqual(talker.heard, b"hello")
            # A gate's certificate is not the login server's.
            _, client = meet(end, ends[0].clientOptions(serverName))
            self.assertEqual((client.heard, client.lost is not None), (b"", True))

    def test_endpoints(self) -> None:
        """Each endpoint string of the table is one."""
        _makeCertificate(self.folder / "certificates")
        for cell, _ in tables("docs/running.md", "## Where to listen"):
            makeEndpoint(MemoryReactorClock(), cell.strip("`"))


class CommandsTests(FolderTestCase):
    """Command lines that are shown do what the page says."""

    def test_sh(self) -> None:
        """Each line succeeds."""
        for page in set(PAGES) - set(RUN_ELSEWHERE):
            self.savePage(page)
            for block in blocks(page):
                if block.language == "sh":
                    for line in block.code.splitlines():
                        self._try(line, block.place)

    def test_console(self) -> None:
        """Each line says what is shown below it."""
        self.savePage("docs/running.md")
        for block in blocks("docs/running.md"):
            if block.language == "console":
                for command, output in shownIn(block):
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
        if match := re.fullmatch(r"make ([\w-]+)", line):
            # Not even by make -n: it runs lines that call make, and so this very test.
            self.assertRegex((ROOT / "Makefile").read_text(), rf"(?m)^{match[1]}:.* ## ", place)
        elif line in ("python3 -m venv venv", "python3 -m venv .venv", ". .venv/bin/activate"):
            pass  # As the Makefile does.
        elif match := re.fullmatch(r"(?:venv/bin/)?pip install (?:-e )?'?\.(?:\[(.*)\])?'?", line):
            # tests.test_packaging installs.
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            extras = set((match[1] or "").split(",")) - {""}
            self.assertLessEqual(extras, set(project["optional-dependencies"]), place)
        elif re.fullmatch(r"(twistd|twist) (-\S+ )*msgserver --config \S+", line):
            self.assertEqual(_run(f"{line} --check", self.folder)[0], 0, place)
        elif line.startswith(("openssl ", "certbot ", "mkdir ")):
            pass  # ConfigBlocksTests runs them, or what certbot would.
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
