"""
Tests for L{msgserver.aio}: how a client ends, whatever it is doing. What is left of it, the test
case looks for.
"""

from __future__ import annotations

import asyncio
from typing import Any

from msgserver.aio import MsgClient
from msgserver.clientlogin import LoggedIn
from msgserver.errors import ClientClosed, OutcomeUnknown, UserNotFound
from tests.aioloop import ClientTestCase, runOn
from tests.peers import FIRST, ONE


class CloseTests(ClientTestCase):
    """L{MsgClient.close}."""

    def assertCloses(self, client: MsgClient | None = None) -> None:
        """It does, and nothing is left."""
        client = client or self.client
        waiting: list[asyncio.Future[Any]] = [client.request(b"waits"), client.whenConnected()]
        self.resultOf(client.close())
        for each in waiting:
            self.errorOf(each, ClientClosed)
        self.assertNothingLeft()

    def test_connected(self) -> None:
        """The connection is cut; what was sent may have run, and what was not has not (U5)."""
        gate = self.connected()
        self.client = self.makeClient("gate.example:8888", maxUnanswered=1)
        gate.lose()
        gate = self.gate()
        gate.accept()
        sent, waits = self.ask(b"sent", timeout=5.0), self.ask(b"waits", timeout=5.0)
        closed = self.client.close()
        self.errorOf(sent, OutcomeUnknown)
        self.errorOf(waits, ClientClosed)
        self.resultOf(closed)
        self.assertTrue(gate.isClosing)
        self.errorOf(self.client.request(b""), ClientClosed)
        self.errorOf(self.client.whenConnected(), ClientClosed)

    def test_untilItIsLost(self) -> None:
        """It is closed when the connection is."""
        self.connected()
        heard: list[str] = []
        protocol = self.loop.newest
        lost = protocol.connection_lost

        def connection_lost(reason: Exception | None) -> None:
            heard.append("lost")
            lost(reason)

        self.patch(protocol, "connection_lost", connection_lost)
        closed = self.client.close()
        closed.add_done_callback(lambda _: heard.append("closed"))
        self.resultOf(closed)
        self.assertEqual(heard, ["lost", "closed"])

    def test_beforeTheFirstTurn(self) -> None:
        """One that is closed where it is made connects nowhere."""
        known = len(self.loop.places)

        async def main() -> None:
            await MsgClient(self.takeLogin, "gate.example:8888").close()

        self.resultOf(self.loop.begin(main()))
        self.assertEqual(len(self.loop.places), known)

    def test_loggingIn(self) -> None:
        """A login that is under way is cancelled."""
        self.close(self.client)
        login: asyncio.Future[LoggedIn] = self.loop.create_future()

        async def takeLogin() -> LoggedIn:
            return await login

        self.patch(self, "takeLogin", takeLogin)
        self.assertCloses(self.makeClient("gate.example:8888"))
        self.assertTrue(login.cancelled())

    def test_loggingInAllTheSame(self) -> None:
        """A login that makes nothing of its cancellation comes too late."""
        self.close(self.client)
        known = len(self.loop.places)

        async def takeLogin() -> LoggedIn:
            try:
                await self.loop.create_future()
            except asyncio.CancelledError:
                pass
            return FIRST

        self.patch(self, "takeLogin", takeLogin)
        self.assertCloses(self.makeClient("gate.example:8888"))
        self.assertEqual(len(self.loop.places), known)

    def test_connecting(self) -> None:
        """So does a connection that is being made."""
        self.connect().lose()
        self.loop.isSilent = True
        self.loop.advance(1.0)
        self.assertCloses()

    def test_shakingHands(self) -> None:
        """A connection without a verdict is cut."""
        gate = self.connect()
        self.assertCloses()
        self.assertTrue(gate.isClosing)

    def test_verdictMeanwhile(self) -> None:
        """A verdict in the turn of the close comes too late."""
        heard: list[str] = []
        self.client.on("connected", lambda: heard.append("connected"))
        gate = self.connect()
        gate.handshake()

        def both() -> asyncio.Future[None]:
            closed = self.client.close()
            self.loop.newest.data_received(b"\x00\x06200 OK")
            return closed

        self.resultOf(self.inLoop(both))
        self.assertTrue(gate.isClosing)
        self.assertEqual(heard, [])

    def test_waiting(self) -> None:
        """Between attempts, there is only a timer to stop."""
        self.connect().lose()
        self.assertEqual(len(self.loop.timers()), 1)
        self.assertCloses()

    def test_again(self) -> None:
        """One may close as often as one likes, and stop to wait for it."""
        self.connected()
        first, second, third = [self.client.close() for _ in range(3)]
        second.cancel()
        self.resultOf(first)
        self.resultOf(third)
        self.resultOf(self.client.close())

    def test_byAHook(self) -> None:
        """A hook may close the client, in the middle of an attempt."""
        closed: list[asyncio.Future[None]] = []
        self.client.on("connected", lambda: closed.append(self.client.close()))
        gate = self.connected()
        self.resultOf(closed[0])
        self.assertTrue(gate.isClosing)

    def test_byTheLogin(self) -> None:
        """Who is to log in may close the client instead, and even wait for it."""
        self.close(self.client)
        clients: list[MsgClient] = []

        async def takeLogin() -> LoggedIn:
            await clients[0].close()
            return FIRST

        self.patch(self, "takeLogin", takeLogin)

        async def main() -> None:
            clients.append(MsgClient(self.takeLogin, "gate.example:8888"))

        self.resultOf(self.loop.begin(main()))
        self.errorOf(clients[0].whenConnected(), ClientClosed)

    def test_onceItDoesNotConnect(self) -> None:
        """Who hears that it does not connect may close it."""
        waiting = self.client.whenConnected(failAfterFailures=1)
        waiting.add_done_callback(lambda _: self.client.close())
        self.connect().lose()
        self.errorOf(waiting, ConnectionResetError)
        self.errorOf(self.client.whenConnected(), ClientClosed)

    def test_with(self) -> None:
        """C{async with} closes it, with an error or without."""
        for error in (None, ZeroDivisionError()):
            self.logins[:] = [lambda: FIRST]

            async def main(error: Exception | None = error) -> MsgClient:
                async with MsgClient(self.takeLogin, "gate.example:8888") as client:
                    await client.whenConnected()
                    if error is not None:
                        raise error
                    return client

            task = self.loop.begin(main())
            gate = self.gate()
            gate.accept()
            if error is None:
                self.errorOf(self.resultOf(task).request(b""), ClientClosed)
            else:
                self.errorOf(task, ZeroDivisionError)
            self.assertTrue(gate.isClosing)

    def test_allTasksAreCancelled(self) -> None:
        """What the end of C{asyncio.run} cancels ends as if it had been closed."""
        reasons: list[Exception] = []
        self.client.on("ended", reasons.append)
        gate = self.connected()
        sent = self.ask(b"sent")
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.errorOf(sent, OutcomeUnknown)
        self.errorOf(self.client.request(b""), ClientClosed)
        self.assertTrue(gate.isClosing)
        self.assertEqual([type(reason) for reason in reasons], [ClientClosed])
        self.assertNothingLeft()

    def test_cancelledWhileLoggingIn(self) -> None:
        """That goes for a login that is under way, too: there is no further one."""
        self.close(self.client)
        asked: list[str] = []

        async def takeLogin() -> LoggedIn:
            asked.append("")
            await asyncio.sleep(1.0)
            return FIRST

        self.patch(self, "takeLogin", takeLogin)
        client = self.makeClient("gate.example:8888")
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.advance(10.0)
        self.assertEqual(len(asked), 1)
        self.errorOf(client.request(b""), ClientClosed)

    def test_bug(self) -> None:
        """A policy that fails ends the client, and is in the log: nobody waits for ever."""

        def retryPolicy(failures: int) -> float:
            raise ZeroDivisionError

        client = self.makeClient("gate.example:8888", retryPolicy=retryPolicy)
        self.gate().accept()
        self.gate().lose()
        self.errorOf(client.request(b""), ZeroDivisionError)
        self.errorOf(client.whenConnected(), ZeroDivisionError)
        (record,) = [each for each in self.logged if each.exc_info]
        self.assertEqual(record.getMessage(), "the client ends")

    def test_loggedOutThenClosed(self) -> None:
        """Who hears of the end of a login may close the client: no other is taken."""
        self.client.on("loggedOut", lambda reason: self.client.close())
        self.connect().refuse(UserNotFound())
        self.loop.advance(10.0)
        self.assertEqual(len(self.logins), 1)
        self.errorOf(self.client.request(b""), ClientClosed)


class RunnerTests(ClientTestCase):
    """The helper that other tests stand on."""

    def test_complains(self) -> None:
        """A socket that is left, and an error that nobody takes, are found."""

        async def leaveSocket() -> None:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
            server.close()

        async def leaveError() -> None:
            asyncio.get_running_loop().create_future().set_exception(ZeroDivisionError())

        self.assertRaises(AssertionError, runOn, "asyncio", leaveSocket)
        for loop in ("asyncio", "uvloop"):
            self.assertRaises(AssertionError, runOn, loop, leaveError)
            self.assertIsNone(runOn(loop, lambda: asyncio.sleep(0)))

    def test_unanswered(self) -> None:
        """On a client that is connected, an answer that comes finds nobody, and harms nobody."""
        gate = self.connected()
        self.ask(b"hello").cancel()
        gate.answer(ONE, b"hi")
        gate.answer(ONE, b"hi")
        self.assertFalse(gate.isClosing)
