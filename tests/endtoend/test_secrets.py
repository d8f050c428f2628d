"""
Secrets stay where they belong (L6): a busy run of real processes, all of whose traces are searched
for every secret that was used in it.

Traces are what each process logs, at debug level, with every field of every event; what it and the
operator's command write to a terminal; and what everybody on the machine may see of a process.
"""

from __future__ import annotations

import os
from contextlib import suppress as suppressing  # The other name is one of trial's.
from pathlib import Path
from shutil import rmtree
from socket import SHUT_WR
from tempfile import mkdtemp

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.trial.unittest import TestCase

from msgserver.client import MsgClient, login
from msgserver.clientlogin import LoggedIn
from msgserver.errors import Forbidden, OutcomeUnknown, RequestFailed, Unauthorized
from msgserver.interfaces import Account
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.framing import MAX_LINE, packet
from msgserver.wire.gate import GateClient
from msgserver.wire.login import Suite
from msgserver.wire.modern import ModernSuite
from msgserver.wire.naming import encode64
from tests.endtoend.clusters import CLOCK
from tests.endtoend.guardedservers import KEYS, PASSWORD, GuardedServers
from tests.endtoend.leaks import Secrets
from tests.endtoend.processes import Gate, connect, readAll

WRONG_PASSWORD = "another password that fits nobody"

SUITES = ("classic", "modern")

GOOD = "operator's key"


def tokenOf(user: bytes, password: str) -> bytes:
    """Write the token that L{tests.endtoend.guarded.Guard} reads."""
    return b"%b@%b:%b" % (encode64(user), encode64(b"sample"), encode64(password.encode()))


class SecretsTests(TestCase):
    """
    Users and operators, of whom some are wrong.

    @ivar secrets: all that must not be found.
    """

    timeout = 120
    """Seconds until it is given up: far more than it needs."""

    def setUp(self) -> None:
        folder, files = Path(mkdtemp()), Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        self.addCleanup(rmtree, files)
        self.servers = GuardedServers(folder, files)
        self.addCleanup(self.servers.end)
        self.secrets = Secrets()
        for name, key in KEYS.items():
            self.secrets.add(name, key.encode())
        for name, secret in self.servers.privateKeys():
            self.secrets.add(name, secret)
        self.suites: dict[str, Suite] = {
            "classic": ClassicSuite(),
            "modern": ModernSuite(serverIdentity=self.servers.identity),
        }

    def randomBytes(self, size: int) -> bytes:
        """Make private keys, and remember them."""
        made = os.urandom(size)
        self.secrets.add("private key of a client", made)
        return made

    async def logIn(
        self, user: bytes, password: str = PASSWORD, suite: str = "classic"
    ) -> LoggedIn:
        """Log in, and remember every secret of it."""
        token = tokenOf(user, password)
        self.secrets.add("token", token)
        self.secrets.add("password", password.encode())
        return await self.present(token, user, suite)

    async def present(self, token: bytes, user: bytes, suite: str) -> LoggedIn:
        """Log in with any token."""
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.servers.loginPort)
        account = Account(b"sample", user)
        loggedIn = await login(
            endpoint, account, token, suite=self.suites[suite], randomBytes=self.randomBytes
        )
        self.secrets.add("secret of a login", loggedIn.secret)
        return loggedIn

    async def beBusy(self, suite: str) -> None:
        """Log in, connect and ask, rightly and wrongly."""
        for user in (b"mistake", b"unwelcome"):
            with self.assertRaises(Forbidden):
                await self.logIn(user, suite=suite)
        for user, password in (
            (b"crash", PASSWORD),
            (b"nobody", PASSWORD),
            (b"alice", WRONG_PASSWORD),
        ):
            with self.assertRaises(Unauthorized):
                await self.logIn(user, password, suite)
        with self.assertRaises(Unauthorized):
            nonsense = b"a token that no handler understands"
            self.secrets.add("nonsense token", nonsense)
            await self.present(nonsense, b"alice", suite)
        client = MsgClient(CLOCK, lambda: self.logIn(b"alice", suite=suite))
        self.assertEqual(await client.request(b"hello"), b"hello")
        for order in (b"raise", b"fail"):
            with self.assertRaises(RequestFailed):
                await client.request(order)
        client.dropConnection()
        self.assertEqual(await client.request(b"again"), b"again")
        # A second login kicks the first; its client takes a third.
        await self.logIn(b"alice", suite=suite)
        with suppressing(OutcomeUnknown):  # Where it was sent before the kick was heard of.
            await client.request(b"kicked?")
        self.assertEqual(await client.request(b"logout"), b"logout")
        await client.close()
        await self.misbehave(await self.logIn(b"mallory", suite=suite))

    async def misbehave(self, loggedIn: LoggedIn) -> None:
        """Shake hands with a wrong mac, with a used index, and in no form at all; say no line."""
        assert loggedIn.address is not None
        port = int(loggedIn.address.rpartition(":")[2])
        user, secret = loggedIn.user, loggedIn.secret
        wrong = Gate(port, user, bytes(len(secret)), 1)
        self.assertEqual(wrong.verdict, b"401 Unauthorized")
        wrong.close()
        right = Gate(port, user, secret, 2)
        self.assertEqual(right.verdict, b"200 OK")
        replayed = Gate(port, user, secret, 2)
        self.assertEqual(replayed.verdict, b"403 Index Expired")
        replayed.close()
        right.close()
        # Of these the last is accepted, and asks with too few bytes for a session.
        hello = GateClient(user, secret, 3).hello
        for nonsense in (packet(b"no handshake"), b"\xff", hello + packet(b"no")):
            with connect(port) as stream:
                stream.sendall(nonsense)
                stream.shutdown(SHUT_WR)
                readAll(stream)
        with connect(self.servers.loginPort) as stream:
            stream.sendall(b"A" * (MAX_LINE + 1))
            readAll(stream)

    async def giveOrders(self) -> None:
        """Do as operators do, one of whom has no key."""
        operate = self.servers.operate
        await self.logIn(b"bob")
        for arguments in (("gates",), ("users",), ("--json", "users"), ("kick", "bob")):
            self.assertEqual(await operate(GOOD, *arguments), 0, arguments)
        self.assertNotEqual(await operate(GOOD, "kick", "nobody"), 0)
        self.assertNotEqual(await operate("wrong key", "users"), 0)

    def leaks(self) -> dict[str, list[str]]:
        """Tell which secrets are found where."""
        traces = self.servers.traces()
        found = {where: self.secrets.foundIn(written) for where, written in traces.items()}
        return {where: names for where, names in found.items() if names}

    async def test_busyRun(self) -> None:
        """L6: no secret is in anything that the servers wrote, or show."""
        await self.servers.start(isLeaky=False)
        for suite in SUITES:
            await self.beBusy(suite)
        await self.giveOrders()
        self.servers.stop()
        traces = self.servers.traces()
        # It has been busy, and all of it is here to be searched.
        self.assertGreater(self.secrets.count, 30)
        for where, part in (
            ("login/log", b"wrong user or password"),
            ("login/log", b"authenticate gave no Account"),
            ("login/log", b"KeyError, whose text is not logged"),
            ("login/log", b"a wrong key"),
            ("gate/log", b"RuntimeError: as ordered"),
            # What is logged at debug level is seen, too.
            ("events.login", b"a token is looked at"),
            ("events.gate", b"a request is looked at"),
            ("seen from outside", b"--supervised"),
            ("seen from outside", b"msgserver.ctl"),
        ):
            self.assertIn(part, traces[where], where)
        self.assertEqual(self.leaks(), {})

    async def test_leak(self) -> None:
        """A handler that does log tokens is found out: the search is worth something."""
        await self.servers.start(isLeaky=True)
        await self.logIn(b"alice")
        self.servers.stop()
        leaks = self.leaks()
        self.assertEqual(set(leaks), {"events.login", "login/log"})
        self.assertEqual(leaks["login/log"], ["password", "token"])
