"""
What is measured of a login server and its gates, and what must be true of it.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from attrs import frozen

from bench.contenders import Cluster
from bench.figures import Row, percentile
from bench.handlers import SERVER
from bench.loginload import LoginLoad, logIn
from bench.servers import BenchError, machineSeconds
from msgserver.errors import MsgServerError, UserNotFound
from msgserver.interfaces import User
from msgserver.wire.gate import GateClient
from msgserver.wire.login import Admitted

_WARM_UP = 50
"""Logins before those that count."""

_PATIENCE = 10.0
"""Seconds that a gate may take over a handshake."""

ROWS = (
    Row("rate", "logins/s", hasRatio=True),
    Row("p50", "p50, ms", 2, hasRatio=True),
    Row("p99", "p99, ms", 2, hasRatio=True),
    Row("cpu", "CPU of all servers, µs a login", hasRatio=True),
    Row("loginCpu", "  of the login server", hasRatio=True),
    Row("gatesCpu", "  of the gates"),
    Row("clientsCpu", "CPU of the clients, µs a login"),
    Row("loginBusy", "login server busy, % of a core"),
    Row("clientsBusy", "clients busy, % of a core"),
    Row("othersBusy", "other programs busy, % of all cores"),
    Row("idle", "idle, % of all cores"),
)


@frozen
class Phase:
    """
    One thing that is measured of a contender.

    @ivar concurrency: how many log in at once.
    @ivar isAgain: they are those of the phase before, who are logged in: the gate of the earlier
        login kicks it, and that is waited for (L4).
    """

    concurrency: int
    isAgain: bool = False

    @property
    def title(self) -> str:
        """What to call it."""
        return f"{self.concurrency} at a time{', again' if self.isAgain else ''}"


def phasesOf(concurrencies: Sequence[int]) -> list[Phase]:
    """Make the phases: as many at once, each, and those of the last once more."""
    return [*map(Phase, concurrencies), Phase(concurrencies[-1], isAgain=True)]


def measure(cluster: Cluster, phases: Sequence[Phase], count: int) -> dict[str, dict[str, float]]:
    """
    Measure a contender.

    @param count: how many logins a phase has.
    @return: the figures of each phase, by its title.
    """
    logIn(cluster.loginPort, (b"w%d" % n for n in range(_WARM_UP)), concurrency=8)
    told: dict[str, dict[str, float]] = {}
    earlier: dict[bytes, Admitted] = {}
    for number, phase in enumerate(phases):
        uids = list(earlier) if phase.isAgain else [b"%d-%d" % (number, n) for n in range(count)]
        begun, busyBegun = cluster.cpuSeconds, machineSeconds()
        load = logIn(cluster.loginPort, uids, phase.concurrency)
        ended, busyEnded = cluster.cpuSeconds, machineSeconds()
        cluster.check()
        checkSpread(cluster.gatePorts, load.admitted)
        _checkGates(cluster, load.admitted, earlier if phase.isAgain else {})
        told[phase.title] = figuresOf(
            load,
            (ended[0] - begun[0], ended[1] - begun[1]),
            (busyEnded[0] - busyBegun[0], busyEnded[1] - busyBegun[1]),
        )
        earlier = load.admitted
    return told


def figuresOf(
    load: LoginLoad, cpu: tuple[float, float], machine: tuple[float, float]
) -> dict[str, float]:
    """
    Make the figures of L{ROWS}.

    @param cpu: seconds of the login server and of the gates.
    @param machine: seconds that the cores were busy, and that they were there.
    """
    count = len(load.latencies)
    busy, available = machine
    # Both clocks are coarse, and so this may come out a little below nothing.
    others = max(0.0, busy - sum(cpu) - load.cpuSeconds)
    return {
        "rate": count / load.seconds,
        "p50": percentile(load.latencies, 0.5) * 1e3,
        "p99": percentile(load.latencies, 0.99) * 1e3,
        "cpu": sum(cpu) / count * 1e6,
        "loginCpu": cpu[0] / count * 1e6,
        "gatesCpu": cpu[1] / count * 1e6,
        "clientsCpu": load.cpuSeconds / count * 1e6,
        "loginBusy": cpu[0] / load.seconds * 100,
        "clientsBusy": load.cpuSeconds / load.seconds * 100,
        "othersBusy": others / max(available, busy, 1e-9) * 100,
        "idle": (1 - busy / max(available, busy, 1e-9)) * 100,
    }


def checkSpread(addresses: Collection[str], admitted: Mapping[bytes, Admitted]) -> None:
    """
    See to it that everybody was told of a gate, and that each gate has its share.

    @raise BenchError: somebody was not, or one has less than half of that.
    """
    told = Counter(each.address for each in admitted.values())
    if strangers := set(told) - set(addresses):
        raise BenchError(f"sent to gates that do not exist: {strangers}")
    least = len(admitted) / len(addresses) / 2
    if any(told[address] < int(least) for address in addresses):
        raise BenchError(f"the gates do not have equal shares of the logins: {dict(told)}")
    if len({each.subid for each in admitted.values()}) < len(admitted):
        raise BenchError("a subid came twice")


def _checkGates(
    cluster: Cluster, admitted: Mapping[bytes, Admitted], earlier: Mapping[bytes, Admitted]
) -> None:
    """See to it that a login of each gate is one, and that the one before it is no more."""
    for uid in {each.address: uid for uid, each in admitted.items()}.values():
        if not _isLogin(cluster, uid, admitted[uid]):
            raise BenchError(f"the login of {uid!r} is not known to its gate")
        if uid in earlier and _isLogin(cluster, uid, earlier[uid]):
            raise BenchError(f"the earlier login of {uid!r} was not kicked")


def _isLogin(cluster: Cluster, uid: bytes, admitted: Admitted) -> bool:
    """Shake hands with a gate, to learn whether it has a login."""
    client = GateClient(User(uid, admitted.subid, SERVER), admitted.secret, index=1)
    port = cluster.gatePorts[admitted.address or ""]
    try:
        with socket.create_connection(("127.0.0.1", port), _PATIENCE) as stream:
            stream.sendall(client.hello)
            while data := stream.recv(4096):
                client.feed(data)
                if client.nextEvent() is not None:
                    return True
    except UserNotFound:
        return False
    except (MsgServerError, OSError) as error:
        raise BenchError(f"{uid!r} could not connect to the gate: {error!r}") from error
    raise BenchError(f"the gate has not answered {uid!r}")
