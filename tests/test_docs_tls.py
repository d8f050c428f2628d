"""
docs/tls.md: its commands make what its config names, a real server runs with that, and the page's
clients talk to it, each on its own loop.
"""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import SkipTest

from msgserver.handlers import MsgHandler
from msgserver.identity import parseIdentity, writeIdentity
from msgserver.interfaces import User
from tests.endtoend.processes import Server
from tests.pages import FolderTestCase, blocks, read, shownIn
from tests.runpages import Shell, freePorts

PAGE = "docs/tls.md"

_NAME = "gate.example.org"
_PORTS = ("8001", "8888")


class HelloHandler(MsgHandler):
    """The README's, where a process of its own finds it."""

    def requestReceived(self, user: User, content: bytes) -> bytes:
        """Say hello."""
        return b"hello " + user.uid + b", you said: " + content


class TLSPageTests(FolderTestCase):
    """The folder of a reader who follows the page."""

    def setUp(self) -> None:
        """Run the commands of the page that make files."""
        if shutil.which("openssl") is None:
            raise SkipTest("there is no openssl on this machine")
        super().setUp()
        self.savePage(PAGE)
        self.shell = Shell(self.folder)
        self.lines = [
            line
            for block in blocks(PAGE)
            if block.language == "sh"
            for line in block.code.splitlines()
        ]
        for line in self.lines:
            if re.match(r"mkdir |openssl req |msgserver-ctl keygen ", line):
                self.said = self.shell.run(self, line, PAGE)

    @contextmanager
    def serving(self) -> Iterator[dict[str, int]]:
        """Run the server of the page on this machine, where ports are free, and give those."""
        config = Path("hello.toml").read_text().replace(_NAME, "localhost")
        for port, free in zip(_PORTS, freePorts(len(_PORTS)), strict=True):
            config = config.replace(f"port={port}", f"port={free}:interface=127.0.0.1")
            config = config.replace(f"localhost:{port}", f"localhost:{free}")
        config = config.replace("tls:certificates", f"tls:{self.folder}/certificates")
        config = config.replace('"identity.pem"', f'"{self.folder}/identity.pem"')
        config = config.replace("hello:HelloHandler", "tests.test_docs_tls:HelloHandler")
        with Server(self.folder, config) as server:
            yield server.ports

    def clientOf(self, file: str, ports: dict[str, int], identity: str) -> str:
        """Run a client of the page, and give what it prints; the gate's address it is told."""
        code = Path(file).read_text().replace(_NAME, "localhost")
        self.assertNotIn("8888", code)
        code = code.replace("8001", str(ports["login"]))
        code, count = re.subn(r'(IDENTITY = )".*"', rf'\1"{identity}"', code)
        self.assertEqual(count, 1)
        Path(file).write_text(code)
        return self.shell.run(self, f"python {file}", PAGE)

    def identity(self) -> str:
        """Give the public part of the key, which the command has printed."""
        parseIdentity(self.said.splitlines()[0])
        return self.said.splitlines()[0]

    def test_clients(self) -> None:
        """Both log in and ask over TLS that they check, and know the server by its key."""
        with self.serving() as ports:
            for file in ("ask_twisted.py", "ask_asyncio.py"):
                said = self.clientOf(file, ports, self.identity())
                self.assertEqual(said, "hello alice, you said: safely\n", file)

    def test_fromOutside(self) -> None:
        """openssl finds the certificate right, by the name of the page, at either port."""
        (line,) = (line for line in self.lines if line.startswith("openssl s_client "))
        with self.serving() as ports:
            for port in ports.values():
                command = line.replace(f"{_NAME}:8888", f"localhost:{port}")
                said = self.shell.run(self, command, PAGE)
                for text in ("CONNECTION ESTABLISHED", "Verification: OK"):
                    self.assertIn(text, said)
                # By default openssl looks at no name, and all is well with any.
                other = command.replace(_NAME, "other.example.org")
                self.assertNotEqual(self.shell.status("sh", "-c", other), 0)
            for strict in ("localhost", _NAME):
                self.assertShownTo(strict, ports["gate"])

    def assertShownTo(self, name: str, port: int) -> None:
        """See that the strictest of Python's checks are content with what a client is shown."""
        context = ssl.create_default_context(cafile="trusted/authority.pem")
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        plain = socket.create_connection(("127.0.0.1", port), 20)
        with context.wrap_socket(plain, server_hostname=name) as stream:
            self.assertIn(stream.version(), ("TLSv1.2", "TLSv1.3"))

    def test_console(self) -> None:
        """What the server says of an identity key in the wrong place is what the page shows."""
        for block in blocks(PAGE):
            if block.language == "console":
                for command, output in shownIn(block):
                    finished = subprocess.run(
                        ["sh", "-c", command],
                        env=self.shell.environment(),
                        text=True,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        timeout=60,
                    )
                    self.assertEqual(finished.stdout, output, block.place)

    def test_watching(self) -> None:
        """The command tells a certificate that is good for longer from one that is not."""
        (line,) = (line for line in self.lines if line.startswith("openssl x509 "))
        self.shell.run(self, line, PAGE)
        days = int(line.split()[-1]) / (24 * 3600)
        self.assertIn(f"for {days:g} days more", read(PAGE))
        late = line.replace(line.split()[-1], str(366 * 24 * 3600)).split()
        self.assertEqual(self.shell.status(*late), 1)

    def test_lines(self) -> None:
        """No command is passed over."""
        known = r"(mkdir|openssl (req|x509|s_client)|msgserver-ctl keygen) .*"
        for line in self.lines:
            self.assertRegex(line, rf"\A{known}\Z")

    def test_link(self) -> None:
        """The files of the control link are those that the commands of the other page make."""
        (_, shown) = read(PAGE).split("\n## The control link\n")
        made = re.findall(r"-(?:keyout|out) (\w+\.(?:pem|key))", read("docs/running.md"))
        for name in made:
            if "localhost" not in name:
                self.assertIn(f"`{name}`", shown)

    def test_otherKey(self) -> None:
        """A client that was given another server's key says so, and tells no token."""
        other = writeIdentity(str(self.folder / "other.pem"))
        code = (
            Path("ask_asyncio.py")
            .read_text()
            .replace("    async with", "    await takeLogin()\n    async with")
        )
        Path("ask_asyncio.py").write_text(code)
        with self.serving() as ports:
            with self.assertRaises(self.failureException) as refused:
                self.clientOf("ask_asyncio.py", ports, other)
        self.assertIn("ProtocolError", str(refused.exception))
        self.assertIn("another identity", str(refused.exception))
