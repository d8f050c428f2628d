"""The asyncio client, on each loop that it is for, against servers that are cut off and killed."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from msgserver import MsgHandler, User
from msgserver.aio import MsgClient, login
from msgserver.clientlogin import LoggedIn
from msgserver.errors import ClientClosed, OutcomeUnknown, Unauthorized
from msgserver.handlers import Mailbox
from msgserver.interfaces import MaybeLater
from msgserver.wire.naming import Account
from tests.aioloop import runOn
from tests.endtoend.processes import Server, token
from tests.endtoend.test_server import CONFIG
from tests.endtoend.test_transports import writeCertificate

ALICE = Account(b"sample", b"alice")
MESSAGES = 300


class Pushes(MsgHandler):
    """
    Has a mailbox for each uid.

    C{poll:} is what C{messages} asks; C{push:TEXT} puts C{TEXT} into one's own box.
    """

    def __init__(self) -> None:
        self._mailbox = Mailbox()

    def requestReceived(self, user: User, content: bytes) -> MaybeLater[bytes]:
        order, _, rest = content.partition(b":")
        if order == b"poll":
            return self._mailbox.poll(user.uid, rest)
        self._mailbox.push(user.uid, rest)
        return b""


class AsyncioTests(SynchronousTestCase):
    """
    What the client does on real sockets, and that nothing is left of it then.

    @cvar loop: on which loop; see L{tests.aioloop.LOOPS}.
    """

    loop = "asyncio"

    def setUp(self) -> None:
        # Short, as the path of a UNIX socket must be.
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        self.logins = 0

    def serve(self, config: str = CONFIG) -> Server:
        server = Server(self.folder, config).__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        return server

    def onLoop(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a test on the loop."""
        runOn(self.loop, main)

    def makeClient(
        self, loginServer: str, gate: str, context: ssl.SSLContext | None = None, **options: Any
    ) -> MsgClient:
        """Make a client with almost no back-off."""

        async def takeLogin() -> LoggedIn:
            self.logins += 1
            return await login(loginServer, ALICE, token("alice", "password"), ssl=context)

        options.setdefault("retryPolicy", lambda failures: 0.05)
        return MsgClient(takeLogin, gate, ssl=context, **options)

    def clientOf(self, server: Server, host: str = "127.0.0.1", **options: Any) -> MsgClient:
        """Make a client of a server on TCP."""
        ports = server.ports
        return self.makeClient(f"{host}:{ports['login']}", f"{host}:{ports['gate']}", **options)

    async def exercise(self, client: MsgClient) -> None:
        """Ask, be cut off, ask again, ask much."""
        async with client:
            hung = client.request(b"slow:20:a")
            await client.whenConnected()
            client.dropConnection()
            self.assertEqual(await hung, b"ran a")
            self.assertEqual(await client.request(b"runs:a"), b"1")
            # More than any buffer on the way holds: the client writes no more than is read.
            large = await asyncio.gather(*[client.request(bytes(60000)) for _ in range(200)])
            self.assertEqual(large, [bytes(60000)] * 200)
            large = await asyncio.gather(*[client.request(b"big:60000") for _ in range(100)])
            self.assertEqual(large, [bytes(60000)] * 100)
            never = client.request(b"hang")
            await client.request(b"")
        await self.assertFails(never, OutcomeUnknown)
        await self.assertFails(client.request(b""), ClientClosed)
        self.assertEqual(self.logins, 1)

    async def assertFails(self, awaitable: Awaitable[Any], error: type[BaseException]) -> None:
        """See it fail."""
        try:
            result = await awaitable
        except error:
            return
        self.fail(f"no {error.__name__}: {result!r}")

    def test_cutAgainAndAgain(self) -> None:
        """S6: 200 requests over a connection that is cut 20 times: each runs exactly once."""
        server = self.serve()

        async def main() -> None:
            async with self.clientOf(server) as client:
                answers = [client.request(b"slow:%d:%d" % (n, n)) for n in range(200)]
                for _ in range(20):
                    await asyncio.sleep(0.02)
                    await client.whenConnected()
                    client.dropConnection()
                expected = [b"ran %d" % n for n in range(200)]
                self.assertEqual(await asyncio.gather(*answers), expected)
                runs = [client.request(b"runs:%d" % n) for n in range(200)]
                self.assertEqual(await asyncio.gather(*runs), [b"1"] * 200)

        self.onLoop(main)
        self.assertEqual(self.logins, 1)

    def test_serverKilled(self) -> None:
        """
        U5: a server that is killed takes its logins with it. What was under way has an
        unknown outcome, and says so; what is asked from then on goes to the next login.
        """
        server = self.serve()

        async def main() -> None:
            async with self.clientOf(server) as client:
                self.assertEqual(await client.request(b"run:a"), b"ran a")
                hung = client.request(b"hang")
                await client.request(b"run:b")
                server.process.kill()
                server.process.wait()
                while client.isConnected:
                    await asyncio.sleep(0.01)
                waiting = client.request(b"run:c")
                config = CONFIG
                for section in ("login", "gate"):
                    config = config.replace("tcp:0:", f"tcp:{server.ports[section]}:", 1)
                await asyncio.to_thread(self.serve, config)
                await self.assertFails(hung, OutcomeUnknown)
                self.assertEqual(await waiting, b"ran c")
                self.assertEqual(await client.request(b"runs:a"), b"0")

        self.onLoop(main)
        self.assertEqual(self.logins, 2)

    def test_tls(self) -> None:
        """Over TLS, by the name of the host: a server of another name is told nothing."""
        pem = self.folder / "localhost.pem"
        writeCertificate(pem)
        listen = f"ssl:0:privateKey={pem}:certKey={pem}:interface=127.0.0.1"
        server = self.serve(CONFIG.replace("tcp:0:interface=127.0.0.1", listen))
        context = ssl.create_default_context(cafile=str(pem))

        async def main() -> None:
            for address in ("localhost", "127.0.0.1"):
                client = self.clientOf(server, address, context=context)
                if address == "localhost":
                    await self.exercise(client)
                else:
                    async with client:
                        connected = client.whenConnected(failAfterFailures=1)
                        await self.assertFails(connected, ssl.SSLCertVerificationError)

        self.onLoop(main)
        self.assertNotIn("Traceback", server.log)

    def test_unix(self) -> None:
        """Over UNIX sockets."""
        config = CONFIG
        paths = [self.folder / section for section in ("login", "gate")]
        for path in paths:
            config = config.replace("tcp:0:interface=127.0.0.1", f"unix:{path}", 1)
        self.serve(config)

        async def main() -> None:
            await self.exercise(self.makeClient(f"unix:{paths[0]}", f"unix:{paths[1]}"))

        self.onLoop(main)

    def test_ipv6(self) -> None:
        """Over IPv6, by an address in brackets."""
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError as error:
            raise SkipTest(f"no IPv6: {error}") from None
        listen = r"tcp6:0:interface=\\:\\:1"
        server = self.serve(CONFIG.replace("tcp:0:interface=127.0.0.1", listen))

        async def main() -> None:
            await self.exercise(self.clientOf(server, "[::1]"))

        self.onLoop(main)

    def test_keepAlive(self) -> None:
        """The kernel looks after the connection's socket."""
        server = self.serve()

        async def main() -> None:
            async with self.clientOf(server, keepAlive=20.0) as client:
                await client.whenConnected()
                assert client._connection is not None
                sock = client._connection.transport.get_extra_info("socket")
                self.assertTrue(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
                idle = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
                self.assertEqual(idle, 20)

        self.onLoop(main)

    def test_messages(self) -> None:
        """What is pushed arrives once and in order, though the connection is cut all the time."""
        server = self.serve(
            CONFIG.replace("tests.endtoend.workload:Workload", "tests.endtoend.test_aio:Pushes")
        )

        async def main() -> None:
            async with self.clientOf(server) as client:
                received = asyncio.create_task(self.receive(client))
                for number in range(MESSAGES):
                    await client.request(b"push:%d" % number)
                    if number % 30 == 0:
                        client.dropConnection()
                expected = [b"%d" % number for number in range(MESSAGES)]
                self.assertEqual(await received, expected)

        self.onLoop(main)
        self.assertEqual(self.logins, 1)

    async def receive(self, client: MsgClient) -> list[bytes]:
        """Give the first messages."""
        messages: list[bytes] = []
        async for message in client.messages(b"poll:"):
            messages.append(message)
            if len(messages) == MESSAGES:
                break
        return messages

    def test_login(self) -> None:
        """A login is refused, times out, and is cancelled, and leaves nothing in any case."""
        server = self.serve()
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        nobody = f"127.0.0.1:{silent.getsockname()[1]}"

        async def main() -> None:
            place = f"127.0.0.1:{server.ports['login']}"
            await self.assertFails(login(place, ALICE, token("alice", "wrong")), Unauthorized)
            await self.assertFails(login(nobody, ALICE, b"", timeout=0.05), TimeoutError)
            context = ssl.create_default_context()
            encrypted = login(nobody, ALICE, b"", timeout=0.05, ssl=context)
            await self.assertFails(encrypted, TimeoutError)
            task = asyncio.create_task(login(nobody, ALICE, b""))
            await asyncio.sleep(0.05)
            task.cancel()
            await self.assertFails(task, asyncio.CancelledError)

        self.onLoop(main)

    def test_notClosed(self) -> None:
        """A client that nobody has closed ends with its loop, and leaves nothing."""
        server = self.serve()

        async def main() -> None:
            client = self.clientOf(server)
            self.assertEqual(await client.request(b"run:a"), b"ran a")

        self.onLoop(main)


class UvloopTests(AsyncioTests):
    """The same on uvloop."""

    loop = "uvloop"
