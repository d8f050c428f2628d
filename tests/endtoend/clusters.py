"""A login server and its gates, each a process of its own, and users who talk all the time."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorTime
from twisted.internet.task import deferLater
from twisted.protocols.portforward import ProxyFactory, ProxyServer

from msgserver.client import MsgClient, login
from msgserver.clientlogin import LoggedIn
from msgserver.cluster import GateReport, LoginReport
from msgserver.errors import ClientClosed, GateUnavailable, OutcomeUnknown
from msgserver.interfaces import Account
from msgserver.remote.link import LinkTimes
from msgserver.remote.operations import RemoteOperations
from tests.endtoend.processes import Server

CLOCK = IReactorTime(reactor)
KEY = "a key for the tests alone"

_LOGIN = """
[login]
listen = ["tcp:{login}:interface=127.0.0.1"]
handler = "tests.endtoend.workload:Welcome"
{more}

[login.control]
listen = ["tcp:{control}:interface=127.0.0.1"]
operator_key = "{key}"
gates.sample = "{key}"
"""

_GATE = """
[gate]
servername = "sample"
listen = ["tcp:{port}:interface=127.0.0.1"]
advertise = "127.0.0.1:{port}"
handler = "tests.endtoend.workload:Workload"

[gate.login]
servers = ["tcp:127.0.0.1:{control}"]
key = "{key}"
{more}
"""


async def until(happened: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait for something that other processes do; tell how long that took."""
    begun = CLOCK.seconds()
    while not happened():
        if CLOCK.seconds() > begun + seconds:
            raise AssertionError(f"not within {seconds:g} seconds: {what}")
        await pause(0.02)
    return CLOCK.seconds() - begun


def pause(seconds: float) -> Deferred[None]:
    """Let so much time pass."""
    return deferLater(CLOCK, seconds, lambda: None)


def freePort() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Wire(ProxyFactory):
    """
    What a gate's link goes through, so that it can be cut without either end knowing why.

    @ivar front: the port where gates connect to it.
    """

    def __init__(self, control: int) -> None:
        ProxyFactory.__init__(self, "127.0.0.1", control)
        self.noisy = False
        self.front = freePort()
        self._listening: IListeningPort | None = None
        self._servers: list[Any] = []

    def buildProtocol(self, addr: IAddress | None) -> ProxyServer | None:
        """Make one connection."""
        server = ProxyFactory.buildProtocol(self, addr)
        self._servers.append(server)
        return server

    async def mend(self) -> None:
        """Let connections through."""
        endpoint = serverFromString(reactor, f"tcp:{self.front}:interface=127.0.0.1")
        self._listening = await endpoint.listen(self)

    def cut(self) -> None:
        """Reset every connection; new ones are let through."""
        for server in self._servers:
            if server.transport is not None:
                server.transport.abortConnection()
        self._servers.clear()

    async def close(self) -> None:
        """Reset every connection, and let none through."""
        if self._listening is not None:
            await maybeDeferred(self._listening.stopListening)
        self._listening = None
        self.cut()


class Cluster:
    """
    A login server, and gates of one name.

    @param folder: an empty one.
    @ivar gates: the gates' processes; C{wires} and C{addresses} are those of the same index.
    """

    def __init__(self, folder: Path, gates: int, more: str = "", moreOfLogin: str = "") -> None:
        self._folder = folder
        ports = {"login": freePort(), "control": freePort()}
        self.loginPort = ports["login"]
        self._control = ports["control"]
        self._loginConfig = _LOGIN.format(**ports, key=KEY, more=moreOfLogin)
        self.wires = [Wire(self._control) for _ in range(gates)]
        gatePorts = [freePort() for _ in range(gates)]
        self.addresses = [f"127.0.0.1:{port}" for port in gatePorts]
        self._gateConfigs = [
            _GATE.format(port=port, control=wire.front, key=KEY, more=more)
            for port, wire in zip(gatePorts, self.wires, strict=True)
        ]
        self.gates: list[Server] = []
        self._all: list[Server] = []

    async def start(self) -> None:
        """Start all of it, and wait until every gate has registered."""
        for wire in self.wires:
            await wire.mend()
        self.startLogin()
        self.gates = [self._run(f"gate{n}", each) for n, each in enumerate(self._gateConfigs)]
        await self.whole()

    def startLogin(self) -> None:
        """Start the login server, the first or another."""
        self.login = self._run(f"login{len(self._all)}", self._loginConfig)

    def _run(self, name: str, config: str) -> Server:
        folder = self._folder / name
        folder.mkdir()
        server = Server(folder, config)
        self._all.append(server)
        return server

    async def stop(self) -> None:
        """End all of it."""
        for server in self._all:
            server.__exit__(None, None, None)
        for wire in self.wires:
            await wire.close()

    def tracebacks(self) -> list[str]:
        """Give the names of the processes that have logged one, with their logs."""
        return [
            f"{server.folder.name}: {server.log}"
            for server in self._all
            if re.search("Traceback|Unhandled", server.log)
        ]

    async def gateReports(self) -> list[GateReport]:
        """Ask for the gates; none where the login server is away."""
        operations = await self._connect()
        if operations is None:
            return []
        try:
            return await operations.gates()
        except GateUnavailable:
            return []
        finally:
            operations.close()

    async def loginReports(self) -> list[LoginReport]:
        """Ask for the logins."""
        operations = await self._connect()
        assert operations is not None
        try:
            return await operations.users()
        finally:
            operations.close()

    async def whole(self, seconds: float = 20.0, logins: int | None = None) -> float:
        """
        Wait until the login server has every gate that runs.

        @param logins: and the gates have so many, as they say, and as the login server says.
        @return: how long that took, in seconds.
        """
        begun = CLOCK.seconds()
        running = sum(gate.process.poll() is None for gate in self.gates)
        while True:
            reports = await self.gateReports()
            said = [sum(each.load.logins if each.load else -1 for each in reports)]
            said.append(sum(each.logins for each in reports))
            if len(reports) == running and logins in (None, *said) and said[0] == said[1]:
                return CLOCK.seconds() - begun
            if CLOCK.seconds() > begun + seconds:
                raise AssertionError(f"never whole: {reports}\n{self.login.log}")
            await pause(0.05)

    async def _connect(self) -> RemoteOperations | None:
        text = f"tcp:127.0.0.1:{self._control}"
        servers = [(text, clientFromString(reactor, text))]
        try:
            return await RemoteOperations.connect(servers, KEY.encode(), CLOCK, LinkTimes())
        except GateUnavailable:
            return None

    def logIn(self, uid: bytes) -> Deferred[LoggedIn]:
        """Log in once."""
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{self.loginPort}")
        return login(endpoint, Account(b"sample", uid), uid)


class Talker:
    """
    A user who asks something, waits for the answer, and asks again.

    @ivar logins: every login so far.
    @ivar unknown: how many requests had an outcome that nobody can know.
    @ivar wrong: answers that were not those of their requests.
    @ivar answers: how many were right.
    """

    def __init__(self, cluster: Cluster, uid: bytes, pace: float) -> None:
        self.uid = uid
        self.logins: list[LoggedIn] = []
        self.unknown = 0
        self.wrong: list[bytes] = []
        self.answers = 0
        self._cluster = cluster
        self._pace = pace
        self._isTalking = True
        self.client = MsgClient(CLOCK, self._takeLogin, retryPolicy=lambda failures: 0.2)
        self._ended = Deferred.fromCoroutine(self._talk())

    async def _takeLogin(self) -> LoggedIn:
        self.logins.append(await self._cluster.logIn(self.uid))
        return self.logins[-1]

    async def _talk(self) -> None:
        while self._isTalking:
            name = b"%b.%d" % (self.uid, self.answers + self.unknown)
            try:
                answer = await self.client.request(b"run:" + name)
            except OutcomeUnknown:
                self.unknown += self._isTalking  # Else it is our own hanging up.
            except ClientClosed:
                return
            else:
                self.answers += 1
                if answer != b"ran " + name:
                    self.wrong.append(answer)
            await pause(self._pace)

    @property
    def gate(self) -> str | None:
        """Where the user is logged in."""
        return self.logins[-1].address if self.logins else None

    async def stop(self) -> None:
        """Hang up. The login stays."""
        self._isTalking = False
        await self.client.close()
        await self._ended


class Crowd:
    """Users who talk."""

    def __init__(self, cluster: Cluster, size: int, pace: float = 0.5) -> None:
        self._cluster = cluster
        self._pace = pace
        self.talkers = {b"u%d" % n: Talker(cluster, b"u%d" % n, pace) for n in range(size)}

    def at(self, *addresses: str) -> list[Talker]:
        """Give those who are logged in at some gates."""
        return [each for each in self.talkers.values() if each.gate in addresses]

    async def allTalk(self, seconds: float, talkers: Iterable[Talker] | None = None) -> float:
        """Wait until each of them, or of some, has had an answer from now on."""
        waiting = list(self.talkers.values() if talkers is None else talkers)
        heard = {each: each.answers for each in waiting}
        return await until(
            lambda: all(each.answers > heard[each] for each in waiting), seconds, "all talk"
        )

    async def replace(self, talker: Talker) -> Talker:
        """Have a user lose the device that was used, and take another."""
        await talker.stop()
        other = self.talkers[talker.uid] = Talker(self._cluster, talker.uid, self._pace)
        return other

    async def stop(self) -> None:
        """Have all hang up."""
        await gatherResults(
            [Deferred.fromCoroutine(talker.stop()) for talker in self.talkers.values()]
        )
