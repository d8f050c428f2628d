"""The Twisted client against servers that are cut off, stopped and killed."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from msgserver.client import MsgClient, login
from msgserver.clientlogin import LoggedIn
from msgserver.errors import OutcomeUnknown
from msgserver.interfaces import Account
from tests.endtoend.processes import Server, token
from tests.endtoend.test_server import CONFIG


class ClientTests(TestCase):
    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.clock = IReactorTime(reactor)
        self.logins = 0

    def serve(self, config: str = CONFIG) -> Server:
        server = Server(self.folder, config).__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        return server

    def makeClient(self, server: Server) -> MsgClient:
        """Make a client with almost no back-off; what it leaves behind fails the test."""

        def takeLogin() -> Deferred[LoggedIn]:
            self.logins += 1
            endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{server.ports['login']}")
            return login(endpoint, Account(b"sample", b"alice"), token("alice", "password"))

        gate = clientFromString(reactor, f"tcp:127.0.0.1:{server.ports['gate']}")
        client = MsgClient(self.clock, takeLogin, gate, retryPolicy=lambda failures: 0.05)
        self.addCleanup(client.close)
        return client

    async def test_cutAgainAndAgain(self) -> None:
        """S6: 200 requests over a connection that is cut 20 times: each runs exactly once."""
        client = self.makeClient(self.serve())
        answers = gatherResults([client.request(b"slow:%d:%d" % (n, n)) for n in range(200)])
        for _ in range(20):
            await deferLater(self.clock, 0.02)
            await client.whenConnected()
            client.dropConnection()
        self.assertEqual(await answers, [b"ran %d" % n for n in range(200)])
        runs = await gatherResults([client.request(b"runs:%d" % n) for n in range(200)])
        self.assertEqual(runs, [b"1"] * 200)
        self.assertEqual(self.logins, 1)

    async def test_serverKilled(self) -> None:
        """
        U5: a server that is killed takes its logins with it. What was under way has an
        unknown outcome, and says so; what is asked from then on goes to the next login.
        """
        server = self.serve()
        client = self.makeClient(server)
        self.assertEqual(await client.request(b"run:a"), b"ran a")
        hung = client.request(b"hang")
        await client.request(b"run:b")
        server.process.kill()
        server.process.wait()
        config = CONFIG
        for section in ("login", "gate"):
            config = config.replace("tcp:0:", f"tcp:{server.ports[section]}:", 1)
        waiting = client.request(b"run:c")
        self.serve(config)
        await self.assertFailure(hung, OutcomeUnknown)
        try:
            await waiting
        except OutcomeUnknown:
            pass  # It had left before the loss was noticed, so that nobody can know.
        self.assertEqual(await client.request(b"runs:a"), b"0")
        self.assertEqual(self.logins, 2)

    async def test_logout(self) -> None:
        """U2: the client hears the answer of the request that logs out, then logs in anew."""
        client = self.makeClient(self.serve())
        self.assertEqual(await client.request(b"logout"), b"bye")
        # Asked before the close was heard of: nobody can know whether the gate saw it.
        await self.assertFailure(client.request(b"run:a"), OutcomeUnknown)
        self.assertEqual(await client.request(b"calls"), b"loggedOut=1")
        self.assertEqual(self.logins, 2)
