"""The login server and the gate of one run: processes of their own; and the proxies before them."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns

from attrs import frozen
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint

from msgserver.client import MsgClient
from tests.chaos.faults import CALM, Plan
from tests.chaos.journal import Journal
from tests.chaos.load import logIn
from tests.chaos.proxy import Proxy
from tests.endtoend.clusters import CLOCK, KEY, freePort, until
from tests.endtoend.processes import PATIENCE, Server

_LOGIN = """
[login]
listen = ["tcp:{login}:interface=127.0.0.1:backlog=4096"]
handler = "tests.endtoend.workload:Welcome"
maxclient = {maxclient}

[login.control]
listen = ["tcp:{control}:interface=127.0.0.1"]
operator_key = "{key}"
gates.sample = "{key}"
"""

_GATE = """
[gate]
servername = "sample"
listen = ["tcp:{gate}:interface=127.0.0.1:backlog=4096"]
advertise = "127.0.0.1:{proxy}"
handler = "tests.chaos.handler:ChaosHandler"
handler_options = {{ journal = "{journal}" }}
maxclient = {maxclient}
sessions = "{sessions}"

[gate.login]
servers = ["tcp:127.0.0.1:{control}"]
key = "{key}"
"""

_SPARE = 1500
"""Connections that the servers take beside two for each client: of those whose end is long gone."""

_BEFORE, _BEHIND = 300, 3000
"""Characters of a log around a traceback in it."""


@frozen
class Usage:
    """
    What a process holds.

    @ivar memory: bytes.
    @ivar cpuSeconds: the CPU time that it has taken so far.
    """

    memory: int
    descriptors: int
    cpuSeconds: float


class Stage:
    """
    All that clients talk to.

    @param folder: an empty one.
    @param clients: how many there will be.
    @param sessions: which sessions the gate takes (S7): C{any}, or C{increasing}.
    @ivar deaths: when gates were killed, in nanoseconds of the machine's monotonic clock.
    """

    def __init__(self, folder: Path, clients: int, sessions: str) -> None:
        self.deaths: list[int] = []
        self._folder = folder
        self._journal = folder / "journal"
        self._sessions = sessions
        self._maxclient = 2 * clients + _SPARE
        self._ports = {name: freePort() for name in ("login", "control", "gate", "proxy")}
        self._servers: list[Server] = []
        self.gateProxy = Proxy(CLOCK, self._ports["gate"], lambda: CALM)
        self.gateProxy.port = self._ports["proxy"]
        self.loginProxy = Proxy(CLOCK, self._ports["login"], lambda: CALM)

    @property
    def proxies(self) -> tuple[Proxy, Proxy]:
        """Both of them, the gate's first."""
        return self.gateProxy, self.loginProxy

    @property
    def loginPort(self) -> int:
        """Where the login server listens itself, without a proxy."""
        return self._ports["login"]

    @property
    def journal(self) -> Journal:
        """What the gates have done so far."""
        with self._journal.open("rb") as lines:
            return Journal.read(lines)

    @property
    def tracebacks(self) -> list[str]:
        """Give the beginning of each server's first one."""
        found = [re.search("Traceback|Unhandled", server.log) for server in self._servers]
        return [
            each.string[max(0, each.start() - _BEFORE) : each.end() + _BEHIND]
            for each in found
            if each is not None
        ]

    @property
    def usage(self) -> Usage:
        """What the gate holds at this moment."""
        pid = self._gate.process.pid
        # The fields behind the name, which is in brackets and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        cpuSeconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return Usage(self._gate.memory, self._gate.descriptors, cpuSeconds)

    def controller(self) -> MsgClient:
        """Make a client that reaches the gate beside the proxy, for what is no load."""
        return MsgClient(
            CLOCK,
            lambda: logIn(b"controller", self.loginPort),
            connectTo=lambda host, port: TCP4ClientEndpoint(
                reactor, "127.0.0.1", self._ports["gate"]
            ),
        )

    def breakWith(self, makePlan: Callable[[], Plan]) -> None:
        """Have new connections suffer."""
        for proxy in self.proxies:
            proxy.makePlan = makePlan

    async def start(self) -> None:
        """Start all, and wait until the gate has registered."""
        self._login = self._run("login", _LOGIN)
        await self.startGate()
        for proxy in self.proxies:
            await proxy.listen()

    async def startGate(self) -> None:
        """Start the gate, the first or another, and wait until it has registered."""
        before = self._login.log.count("has registered")
        self._gate = self._run(f"gate{len(self._servers)}", _GATE)
        await until(
            lambda: self._login.log.count("has registered") > before, PATIENCE, "the gate registers"
        )

    def _run(self, name: str, config: str) -> Server:
        folder = self._folder / name
        folder.mkdir()
        values = {
            **self._ports,
            "key": KEY,
            "maxclient": self._maxclient,
            "journal": self._journal,
            "sessions": self._sessions,
        }
        server = Server(folder, config.format(**values))
        self._servers.append(server)
        return server

    def freezeGate(self) -> None:
        """Stop it, as it is."""
        self._gate.process.send_signal(signal.SIGSTOP)

    def thawGate(self) -> None:
        """Let it go on."""
        self._gate.process.send_signal(signal.SIGCONT)

    def killGate(self) -> None:
        """End it, and all that it knows."""
        self._gate.process.kill()
        self._gate.process.wait()
        self.deaths.append(monotonic_ns())

    async def stop(self) -> None:
        """End everything."""
        # The processes first and at once: on Ctrl-C there is no later.
        for server in self._servers:
            server.__exit__(None, None, None)
        for proxy in self.proxies:
            await proxy.close()
