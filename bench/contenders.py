"""
What is measured: a login server and its gates, in one process or over the control link.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen

from bench.handlers import SERVER
from bench.servers import Server

# A connection that finds the backlog full comes again a second later.
_LOGIN = """
[login]
listen = ["tcp:0:interface=127.0.0.1:backlog=1024"]
handler = "bench.handlers:Welcome"
maxclient = 4096
"""

_CONTROL = """
[login.control]
listen = ["{listen}"]
gates.{server} = "a key for the benchmark alone"
"""

_GATE = """
[gate]
servername = "{server}"
listen = ["tcp:0:interface=127.0.0.1"]
advertise = "{address}"
handler = "examples.echo:EchoHandler"
"""

_LINK = """
[gate.login]
servers = ["{place}"]
key = "a key for the benchmark alone"
"""


@frozen
class Contender:
    """
    One way to run the servers.

    @ivar listen: where the login server takes gates; empty where its one gate is in its own
        process. C{folder} stands for one of its own.
    """

    name: str
    listen: str


CONTENDERS = (
    Contender("local", ""),
    Contender("tcp", "tcp:0:interface=127.0.0.1"),
    Contender("unix", "unix:{folder}/control:mode=600"),
)


@frozen
class Cluster:
    """
    A contender that runs.

    @ivar gates: the gates that are processes of their own.
    @ivar gatePorts: where each gate listens, by the address that it has clients told.
    """

    login: Server
    gates: list[Server]
    loginPort: int
    gatePorts: dict[str, int]

    @property
    def cpuSeconds(self) -> tuple[float, float]:
        """The CPU time of the login server and that of all gates, so far."""
        return self.login.cpuSeconds, sum(gate.cpuSeconds for gate in self.gates)

    def check(self) -> None:
        """See to it that nothing has failed."""
        for server in (self.login, *self.gates):
            server.check()


@contextmanager
def running(contender: Contender, gates: int) -> Iterator[Cluster]:
    """
    Run a contender.

    @param gates: how many, where they are processes of their own.
    """
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)

        def start(name: str, config: str) -> Server:
            server = Server(name, folder, config)
            stack.callback(server.stop)
            return server

        if not contender.listen:
            address = _addressOf(0)
            login = start("login", _LOGIN + _gateConfig(address))
            yield Cluster(login, [], login.portOf("login"), {address: login.portOf("gate")})
            return
        server = SERVER.decode()
        control = _CONTROL.format(listen=contender.listen.format(folder=folder), server=server)
        login = start("login", _LOGIN + control)
        place = f"unix:{folder}/control"
        if contender.listen.startswith("tcp:"):
            place = f"tcp:127.0.0.1:{login.portOf('login.control')}"
        else:
            login.waitFor(r" login\.control: listening on ")
        link = _LINK.format(place=place)
        servers = {
            _addressOf(number): start(f"gate{number}", _gateConfig(_addressOf(number)) + link)
            for number in range(gates)
        }
        for gate in servers.values():
            gate.waitFor(" registered with ")
        ports = {address: gate.portOf("gate") for address, gate in servers.items()}
        yield Cluster(login, list(servers.values()), login.portOf("login"), ports)


def _addressOf(number: int) -> str:
    # Nobody connects there: it tells which gate it was, and the port is any that was free.
    return f"gate{number}:8888"


def _gateConfig(address: str) -> str:
    return _GATE.format(server=SERVER.decode(), address=address)
