"""
A network in memory: a whole server, from its config file, and clients that connect to it.
"""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import ClientFactory
from twisted.internet.testing import MemoryReactorClock
from twisted.test.iosim import FakeTransport, IOPump
from twisted.trial.unittest import SynchronousTestCase

from msgserver.configfile import Parts, loadConfig
from msgserver.handlers import PasswordLoginHandler
from msgserver.tap import assemble

_T = TypeVar("_T")

_TURN = 0.05
"""Seconds that a turn of the reactor takes."""

_MOST_TURNS = 1000

_CLIENT = IPv4Address("TCP", "192.0.2.1", 54321)


class MemoryNetwork(MemoryReactorClock):
    """A reactor whose connections lead to its own ports."""

    def __init__(self) -> None:
        super().__init__()
        self._pumps: list[IOPump] = []

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory,
        timeout: float = 30,
        bindAddress: object = None,
    ) -> object:
        """Connect with the next turn, as a real reactor does."""
        connector = super().connectTCP(host, port, factory, timeout, bindAddress)
        self.callLater(0, self._link, IPv4Address("TCP", host, port), factory)
        return connector

    def runUntil(self, main: Deferred[_T] | Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        """Let time pass and bytes flow until C{main} is done."""
        promised = Deferred.fromCoroutine(main) if isinstance(main, Coroutine) else main
        finished: Deferred[_T] = Deferred()
        promised.addBoth(finished.callback)
        for _ in range(_MOST_TURNS):
            if finished.called:
                break
            self.turn()
        return finished

    def turn(self) -> None:
        """Let one turn of the reactor pass."""
        for pump in self._pumps:
            pump.flush()
        self.advance(_TURN)

    def _link(self, address: IPv4Address, factory: ClientFactory) -> None:
        (listening,) = (entry[1] for entry in self.tcpServers if entry[0] == address.port)
        client = factory.buildProtocol(address)
        server = listening.buildProtocol(_CLIENT)
        assert client is not None and server is not None
        clientIO = FakeTransport(client, False, peerAddress=address)
        serverIO = FakeTransport(server, True, peerAddress=_CLIENT)
        server.makeConnection(serverIO)
        client.makeConnection(clientIO)
        self._pumps.append(IOPump(client, server, clientIO, serverIO, False))


def serve(case: SynchronousTestCase, config: Path, network: MemoryNetwork) -> Parts:
    """
    Run the servers of a config file until the test is over.

    @return: what the file made: its handlers are in there.
    """
    # A test has no reactor that runs, so what a thread would do is done here and now.
    case.patch(PasswordLoginHandler.__init__, "__defaults__", (maybeDeferred,))
    parts = loadConfig(str(config), network)
    servers = assemble(parts, network)
    servers.startService()

    def stop() -> None:
        case.successResultOf(network.runUntil(maybeDeferred(servers.stopService)))

    case.addCleanup(stop)
    return parts
