"""
docs/deploy.md: its commands run, in a folder that stands for the machine; its unit starts a server
that it lets stop in time; its image is built of what there is.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet.testing import MemoryReactorClock

from msgserver.config import Gate, GateLogin, Ops
from msgserver.configfile import Parts, loadConfig
from tests.endtoend.processes import Server
from tests.pages import ROOT, Block, FolderTestCase, blocks, read, source
from tests.runpages import Shell

PAGE = "docs/deploy.md"


def only(language: str) -> Block:
    """Give the block of the page that is in this language."""
    (block,) = (block for block in blocks(PAGE) if block.language == language)
    return block


class DeployCase(FolderTestCase):
    """The folder of a reader who is at this page, and the machine below it."""

    def setUp(self) -> None:
        """Save what the page says is in files."""
        super().setUp()
        self.savePage(PAGE)
        self.shell = Shell(self.folder)

    def load(self) -> Parts:
        """Load the config of the page."""
        return loadConfig("hello.toml", MemoryReactorClock())


class CommandsTests(DeployCase):
    """What is typed into a shell."""

    def test_order(self) -> None:
        """Each line succeeds, one after the other, and changes what the page says it does."""
        Path(self.folder, "var/log/hello").mkdir(parents=True)
        for name, age in (("hello.log.1", 1), ("hello.log.2", 31), ("hello.log", 31)):
            file = self.folder / "var/log/hello" / name
            file.touch()
            seconds = file.stat().st_mtime - age * 24 * 3600 - 60
            os.utime(file, (seconds, seconds))
        for block in blocks(PAGE):
            if block.language == "sh":
                for line in block.code.splitlines():
                    if "msgserver-ctl" not in line:
                        self.shell.run(self, line, block.place)
        home = self.folder / "srv/hello"
        self.assertEqual(os.readlink(home / "venv"), "venv-2")
        self.assertEqual((home / "hello.toml").stat().st_mode & 0o777, 0o640)
        self.assertEqual(home.stat().st_mode & 0o777, 0o750)
        left = sorted(os.listdir(self.folder / "var/log/hello"))
        self.assertEqual(left, ["hello.log", "hello.log.1"])
        self.assertEqual(
            [shlex.split(line)[0] for line in self.shell.asked()],
            ["useradd", "pip", "systemctl", "curl", "curl", "journalctl", "pip", "systemctl"],
        )

    def test_names(self) -> None:
        """What systemd is told to do, it is told of the unit; curl asks where [ops] listens."""
        text = read(PAGE)
        self.assertEqual(only("systemd").file, "hello.service")
        for name in re.findall(
            r"^(?:systemctl \S+(?: --now)?|journalctl --unit) (\S+)", text, re.M
        ):
            self.assertEqual(name, "hello")
        for port in re.findall(r"http://127\.0\.0\.1:(\d+)/", text):
            self.assertEqual(int(port), Ops().port)


class RunningTests(DeployCase):
    """The server of the page, as a process of its own."""

    def test_asked(self) -> None:
        """curl and msgserver-ctl are told that it is well, as the page has it."""
        if shutil.which("curl") is None:
            raise SkipTest("there is no curl on this machine")
        self.shell.forget("curl")
        (self.folder / "run/hello").mkdir(parents=True)
        home = self.folder / "srv/hello"
        home.mkdir(parents=True)
        config = self.shell.placed(Path("hello.toml").read_text())
        (home / "hello.toml").write_text(config)
        shutil.copy("hello.py", home)
        self.shell.run(self, "python3 -m venv /srv/hello/venv", PAGE)
        for port in ("tcp:8001", "tcp:8888"):
            config = config.replace(port, "tcp:0:interface=127.0.0.1")
        # Spaces hide the section from what waits for two ports.
        config = config.replace("[ops]", '[ ops ]\nlisten = ["tcp:0:interface=127.0.0.1"]')
        config = config.replace("hello:HelloHandler", "examples.echo:EchoHandler")
        with Server(self.folder, config) as server:
            match = re.search(r"ops: listening on 127\.0\.0\.1:(\d+)", server.log)
            assert match is not None, server.log
            said = [
                self.shell.run(self, line.replace(str(Ops().port), match[1]), block.place)
                for block in blocks(PAGE)
                if block.language == "sh"
                for line in block.code.splitlines()
                if line.startswith("curl ") or "msgserver-ctl" in line
            ]
            server.stop()
        healthy, ready, gates = said
        self.assertIn("ok", healthy)
        self.assertIn("ready", ready)
        self.assertRegex(gates, r"(?m)^sample +0 +0 +0 +1 +open$")


class UnitTests(DeployCase):
    """The unit of systemd."""

    def unit(self) -> Any:
        """Read it."""
        unit = ConfigParser(interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign]  # as its docs have it
        unit.read_string(only("systemd").code)
        return unit

    def test_stop(self) -> None:
        """It has as long to stop as it may take (B5), also with a login server elsewhere."""
        parts = self.load()
        assert parts.gate is not None
        settings = parts.gate.settings
        self.assertEqual(settings.drainTimeout, Gate(servername="a", handler="b:C").drainTimeout)
        longest = 2 * settings.drainTimeout + settings.kickTimeout
        self.assertIn(f"{longest:g} seconds here", read(PAGE))
        longest += GateLogin(key="k" * 16).pingTimeout
        limit = int(self.unit()["Service"]["TimeoutStopSec"])
        self.assertGreater(limit, longest)
        for text in (f"--stop-timeout {limit}", f"or {limit} seconds of grace"):
            self.assertIn(text, read(PAGE))

    def test_descriptors(self) -> None:
        """It lets as many descriptors be open as the config needs."""
        parts = self.load()
        each = [parts.login, parts.gate, parts.control, parts.ops]
        needed = sum(part.settings.maxclient for part in each if part is not None)
        self.assertGreater(int(self.unit()["Service"]["LimitNOFILE"]), needed + 100)

    def test_places(self) -> None:
        """The folder that it makes is the one of the control link's socket."""
        parts = self.load()
        assert parts.control is not None
        (text,) = parts.control.settings.listen
        service = self.unit()["Service"]
        self.assertTrue(text.startswith(f"unix:/run/{service['RuntimeDirectory']}/"))

    def test_verified(self) -> None:
        """systemd is content with it, and finds little that it could do to others."""
        if shutil.which("systemd-analyze") is None:
            raise SkipTest("there is no systemd on this machine")
        command = self.unit()["Service"]["ExecStart"].split()[0]
        twistd = str(Path(sys.executable).parent / "twistd")
        file = self.folder / "hello.service"
        file.write_text(
            only("systemd").code.replace(command, twistd).replace("=hello\n", "=root\n")
        )
        for order in (["verify"], ["security", "--offline=yes", "--threshold=25"]):
            finished = subprocess.run(
                ["systemd-analyze", *order, str(file)],
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=60,
            )
            self.assertEqual(finished.returncode, 0, finished.stdout)

    def test_start(self) -> None:
        """What it starts is a server, with options that there are."""
        name, *arguments = shlex.split(self.unit()["Service"]["ExecStart"])
        self.assertEqual(name, "/srv/hello/venv/bin/twistd")
        self.assertEqual(self.shell.status("twistd", *arguments, "--check"), 0)


class ImageTests(DeployCase):
    """The Dockerfile."""

    def steps(self) -> list[tuple[str, str]]:
        """Give its instructions, and what each is told."""
        found = []
        for line in only("docker").code.splitlines():
            if line:
                word, _, rest = line.partition(" ")
                found.append((word, rest))
        return found

    def told(self, word: str) -> list[str]:
        """Give what an instruction is told, each time."""
        return [rest for each, rest in self.steps() if each == word]

    def test_stages(self) -> None:
        """Both stages are of one image, for a virtual environment is of one Python."""
        first, second = self.told("FROM")
        self.assertEqual(first, f"{second} AS build")
        self.assertIn("--from=build /srv/hello /srv/hello", self.told("COPY"))
        version = re.search(r"python:3\.(\d+)", second)
        assert version is not None
        self.assertGreaterEqual(int(version[1]), 11)

    def test_build(self) -> None:
        """What it runs succeeds: with what stands in for the image's folders, and no network."""
        (self.folder / "srv/hello").mkdir(parents=True)
        for name in self.told("COPY")[1].split()[:-1]:
            shutil.copy(name, self.folder / "srv/hello")
        for line in self.told("RUN"):
            for part in line.split(" && "):
                if part.startswith("cd "):
                    os.chdir(self.shell.placed(part.removeprefix("cd ")))
                else:
                    self.shell.run(self, part, PAGE)
        os.chdir(self.folder)
        self.assertEqual([shlex.split(line)[0] for line in self.shell.asked()], ["pip", "useradd"])

    def test_run(self) -> None:
        """What it is when it runs is a server; its ports are those of the config."""
        (entry,) = self.told("ENTRYPOINT")
        name, *arguments = [str(part) for part in tomllib.loads(f"x = {entry}")["x"]]
        self.assertEqual(name, "venv/bin/twistd")
        self.assertEqual(self.shell.status("twistd", *arguments, "--check"), 0)
        parts = self.load()
        assert parts.login is not None and parts.gate is not None
        listens = [*parts.login.settings.listen, *parts.gate.settings.listen]
        self.assertEqual(self.told("EXPOSE"), [" ".join(text.split(":")[1] for text in listens)])

    def test_health(self) -> None:
        """Its health check is Python, and asks where [ops] listens."""
        (check,) = self.told("HEALTHCHECK")
        command = tomllib.loads(f"x = {check.removeprefix('CMD ')}")["x"]
        self.assertEqual(command[:2], ["venv/bin/python", "-c"])
        compile(source(Block(f"{PAGE}:1", "python", command[2], None)), PAGE, "exec")
        self.assertIn(f"http://127.0.0.1:{Ops().port}/healthz", command[2])


class ProxyTests(DeployCase):
    """The balancer of the login servers."""

    def test_asks(self) -> None:
        """It asks for a page that there is, where [ops] listens, and says whose a connection is."""
        code = only("cfg").code
        self.assertIn("option httpchk GET /readyz\n", code)
        self.assertIn(f"check port {Ops().port} ", code)
        self.assertIn("send-proxy-v2", code)
        for text in re.findall(r'`listen = \["(haproxy:[^"]*)"\]`', read(PAGE)):
            self.assertEqual(set(re.findall(r":(\d{4})\n", code)), {"8001", text[-4:]})

    def test_haproxyItself(self) -> None:
        """HAProxy is content with it, where there is one."""
        if shutil.which("haproxy") is None:
            raise SkipTest("there is no haproxy on this machine")
        (self.folder / "logins.cfg").write_text(only("cfg").code)
        finished = subprocess.run(["haproxy", "-c", "-f", "logins.cfg"], timeout=60, check=False)
        self.assertEqual(finished.returncode, 0)

    def test_root(self) -> None:
        """The checkout that is installed from has what pip looks for."""
        self.assertTrue((ROOT / "pyproject.toml").is_file())
