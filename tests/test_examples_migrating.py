"""
Tests for examples/migrating: the six hooks in memory, and all of it as its README says.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from examples.migrating.gated import Gated
from examples.migrating.logind import Logind
from examples.migrating.msgagent import MsgAgent
from msgserver import Account, ILoginHandler, IMsgHandler, Unauthorized
from msgserver.configfile import loadConfig
from msgserver.testing import MemoryServer, everyCut
from msgserver.wire.naming import encode64
from tests.endtoend.clusters import freePort
from tests.endtoend.processes import PATIENCE, Server
from tests.endtoend.test_examples import onFreePorts
from tests.pages import ROOT, blocks, shownIn

FOLDER = ROOT / "examples" / "migrating"
CONFIG = FOLDER / "server.toml"


def token(user: bytes, server: bytes, password: bytes) -> bytes:
    """Write a token as the original's client does."""
    return b"%b@%b:%b" % (encode64(user), encode64(server), encode64(password))


class LogindTests(SynchronousTestCase):
    """Who may log in."""

    def setUp(self) -> None:
        self.logind = Logind(password="password")
        self.assertTrue(verifyObject(ILoginHandler, self.logind))

    def test_admitted(self) -> None:
        """auth_handler's token is taken apart: its user is the uid."""
        account = self.logind.authenticate(token(b"hello", b"sample", b"password"))
        self.assertEqual(account, Account(server=b"sample", uid=b"hello"))

    def test_refused(self) -> None:
        """What is no such token, or has another password, proves nothing."""
        for wrong in (
            token(b"hello", b"sample", b"Password"),
            token(b"hello", b"sample", b"passwor\xff"),
            token(b"", b"sample", b"password"),
            b"hello@sample:password",
            b"\xff@\xff:\xff",
            b"",
        ):
            self.assertRaises(Unauthorized, self.logind.authenticate, wrong)


class GatedTests(SynchronousTestCase):
    """The six hooks, behind a real gate."""

    def setUp(self) -> None:
        self.server = self.makeServer()
        self.addCleanup(self.server.stop)
        self.hello = self.server.client(b"hello")

    def makeServer(self) -> MemoryServer:
        """Make a server with the example's handler, and the limits of its config."""
        clock = Clock()
        handler = Gated(clock)
        self.assertTrue(verifyObject(IMsgHandler, handler))
        maxclient = tomllib.loads(CONFIG.read_text())["gate"]["maxclient"]
        return MemoryServer(handler, clock=clock, maxclient=maxclient)

    def agent(self) -> MsgAgent:
        """Give the one agent that there is."""
        (agent,) = self.server.handler.agents.values()
        assert isinstance(agent, MsgAgent)
        return agent

    def test_echo(self) -> None:
        """An agent answers with what it is asked, after 0.1 seconds."""
        answer = self.hello.request(b"echo")
        self.server.advance(0.09)
        self.assertNoResult(answer)
        self.server.advance(0.02)
        self.assertEqual(self.successResultOf(answer), b"echo")

    def test_agentOfALogin(self) -> None:
        """There is an agent from login to logout, while the user is away as well."""
        agent = self.agent()
        self.server.offline(self.hello)
        self.server.advance(60)
        self.server.online(self.hello)
        self.assertEqual(self.server.result(self.hello.request(b"again")), b"again")
        self.assertIs(self.agent(), agent)
        self.server.result(self.server.logout(b"hello"))
        self.assertEqual(self.server.handler.agents, {})

    def test_secondLogin(self) -> None:
        """A second login kicks the first: its agent is let go of, and there is a new one."""
        first = self.agent()
        second = self.server.client(b"hello")
        self.assertEqual(self.server.result(second.request(b"echo")), b"echo")
        self.assertIsNot(self.agent(), first)
        self.assertEqual((first.asked, self.agent().asked), (0, 1))

    def test_eachHasOne(self) -> None:
        """Users do not share an agent; nor a subid."""
        self.server.client(b"other")
        users = list(self.server.handler.agents)
        self.assertEqual([user.uid for user in users], [b"hello", b"other"])
        self.assertNotEqual(*(user.subid for user in users))

    def test_everyCut(self) -> None:
        """Wherever the connection breaks, each request runs once and is answered."""

        async def scenario(server: MemoryServer) -> tuple[bytes, bytes, int]:
            client = server.client(b"hello")
            echo, again = client.request(b"echo"), client.request(b"again")
            answers = await echo, await again
            (agent,) = server.handler.agents.values()
            return *answers, agent.asked

        self.assertEqual(everyCut(self.makeServer, scenario), (b"echo", b"again", 2))


class ConfigTests(SynchronousTestCase):
    """server.toml."""

    def test_loads(self) -> None:
        """It is without mistakes, and makes the example's handlers."""
        parts = loadConfig(str(CONFIG), MemoryReactorClock())
        assert parts.login is not None and parts.gate is not None
        self.assertIsInstance(parts.login.handler, Logind)
        self.assertIsInstance(parts.gate.handler, Gated)


class ReadmeTests(SynchronousTestCase):
    """All of it, as processes, as the README says."""

    def serve(self) -> Server:
        """Run the server of the example."""
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        server = Server(folder, onFreePorts("migrating/server.toml")).__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        return server

    def client(self, login: int, gate: int) -> subprocess.CompletedProcess[str]:
        """Run the client of the example."""
        where = [f"--login-port={login}", f"--gate-port={gate}"]
        return subprocess.run(
            [sys.executable, "-m", "examples.migrating.client", *where],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def test_client(self) -> None:
        """The client gets its answers again, and the server says how often it was asked."""
        (block,) = (
            each for each in blocks("examples/migrating/README.md") if each.language == "console"
        )
        ((command, shown),) = shownIn(block)
        self.assertEqual(command, "python -m examples.migrating.client")
        server = self.serve()
        told = self.client(server.ports["login"], server.ports["gate"])
        self.assertEqual((told.returncode, told.stderr, told.stdout), (0, "", shown))
        server.stop()
        self.assertIn("asked 2 times", server.log)

    def test_nobody(self) -> None:
        """Where there is no server, one line says so."""
        told = self.client(freePort(), freePort())
        self.assertEqual((told.returncode, told.stdout), (1, ""))
        self.assertRegex(told.stderr, r"^no connection: .*refused\n$")

    def test_command(self) -> None:
        """The command that runs the server names the config that is there."""
        (block,) = (
            each for each in blocks("examples/migrating/README.md") if each.language == "sh"
        )
        self.assertEqual(block.code, f"twistd -n msgserver --config {CONFIG.relative_to(ROOT)}\n")
        self.assertIn(block.code.strip(), CONFIG.read_text())
