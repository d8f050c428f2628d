"""
What docs/migrating.md shows works together: its login handler, its agent, its config, its test.
"""

from __future__ import annotations

import sys
import unittest
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from msgserver import Account, ILoginHandler, RequestFailed, Unauthorized
from msgserver.configfile import Parts, loadConfig
from msgserver.handlers import AgentHandler
from msgserver.testing import MemoryServer
from msgserver.wire.naming import encode64
from tests.pages import PageTestCase, read, tables

PAGE = "docs/migrating.md"


def token(*parts: bytes) -> bytes:
    """Write a token as the original's client does."""
    return b"%b@%b:%b" % tuple(map(encode64, parts))


class MigratingTests(PageTestCase):
    """The page's code."""

    page = PAGE
    proved = {
        "Accounts": "test_player",
        "MyLogins": "test_login",
        "Player": "test_player",
        "makeServer": "test_tests",
        "PlayerTests": "test_tests",
    }

    def prepare(self) -> None:
        """Let the page import its own files."""
        self.savePage(PAGE)
        sys.path.insert(0, str(self.folder))

    def load(self) -> Parts:
        """Load the config of the page."""
        return loadConfig("mygame.toml", MemoryReactorClock())

    def serve(self) -> MemoryServer:
        """Serve with the page's handlers, as the config has made them."""
        parts = self.load()
        assert parts.login is not None and parts.gate is not None
        server = MemoryServer(parts.gate.handler, loginHandler=parts.login.handler)
        self.addCleanup(server.stop)
        return server

    def test_all(self) -> None:
        """Everything that is defined is used here."""
        self.proveAll()

    def test_login(self) -> None:
        """The login handler takes the original's token apart, and judges it."""
        logins: Any = self.shown["MyLogins"]()
        self.assertTrue(verifyObject(ILoginHandler, logins))
        server = self.serve()
        account = server.result(logins.authenticate(token(b"alice", b"sample", b"secret")))
        self.assertEqual(account, Account(server=b"sample", uid=b"alice"))
        for wrong in (
            token(b"alice", b"sample", b"?"),
            b"alice@sample:secret",
            b"",
            b"a:b:c",
            b"@:",
        ):
            self.assertRaises(Unauthorized, server.result, logins.authenticate(wrong))

    def test_player(self) -> None:
        """The agent is loaded at login and saved at logout, under the config's handler."""
        server = self.serve()
        alice = server.client(b"alice", token=token(b"alice", b"sample", b"secret"))
        self.assertEqual(server.result(alice.request(b"dig")), b"8")
        self.assertRaises(RequestFailed, server.result, alice.request(b"jump"))
        server.offline(alice)
        server.result(server.logout(b"alice"))
        server.online(alice)
        self.assertEqual(server.result(alice.request(b"dig")), b"9")

    def test_tests(self) -> None:
        """The tests that are shown pass."""
        result = unittest.TestResult()
        case = self.shown["PlayerTests"]
        unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
        self.assertEqual((result.testsRun, result.errors, result.failures), (2, [], []))

    def test_config(self) -> None:
        """The config says what the page says of it."""
        parts = self.load()
        assert parts.login is not None and parts.gate is not None
        self.assertEqual(parts.login.settings.suites, ("modern", "classic"))
        self.assertIsInstance(parts.gate.handler, AgentHandler)
        self.assertEqual(parts.gate.settings.awayTimeout, 3600.0)


class NamesTests(SynchronousTestCase):
    """The page has no second table of names."""

    def test_names(self) -> None:
        """What the README's table has, by its left side, no table of this page has again."""
        names = {there for there, _ in tables("README.md", "## Coming from skynet")}
        headings = [line for line in read(PAGE).splitlines() if line.startswith("## ")]
        here = {row[0] for heading in headings for row in tables(PAGE, heading)}
        self.assertGreater(len(names), 10)
        self.assertEqual(names & here, set())
