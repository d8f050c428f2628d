"""
The parts of a process that whoever watches it is told of, and whether it is ready.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from msgserver.limits import ConnectionLimits, LoginFailures
from msgserver.loginprotocol import LoginFactory
from msgserver.msgprotocol import MsgFactory
from msgserver.msgservice import MsgService
from msgserver.operations import Operations
from msgserver.remote.door import ControlFactory
from msgserver.remote.servers import LoginServers

_OF_BOTH = ("maxclient", "max_strangers", "address_maxclient", "address_rate")

LOGIN_LIMITS = (*_OF_BOTH, "login_timeout", "line", "free_failures", "address_free_failures")
"""What may be hit at the login port: config keys, and C{line} for lines that are too long."""

GATE_LIMITS = (*_OF_BOTH, "handshake_timeout", "max_packet", "stall_timeout", "request_rate")
"""And at the gate's port."""

CONTROL_LIMITS = ("maxclient", "handshake_timeout")
"""And at the port for other gates and operators."""


@frozen
class Port:
    """
    A kind of port: login, gate or control.

    @ivar limits: the connections there.
    @ivar hits: where limits that were hit are counted, by their names.
    @ivar names: the limits that there are.
    """

    name: str
    limits: ConnectionLimits[Any]
    hits: Sequence[Mapping[str, int]]
    names: Sequence[str]


@frozen
class Watched:
    """
    A process, as far as it is watched; each part may be missing.

    @ivar gate: the gate, and C{gatePort}: what takes its connections.
    @ivar servers: the login servers in other processes that the gate registers with.
    @ivar operations: of the login server, and C{loginPort}: what takes its connections;
        C{failures}: who makes those wait whose logins fail.
    @ivar control: what takes the connections of gates and operators.
    @ivar servernames: the names of the gates that the login server knows by its config.
    @ivar isListening: says whether all ports are open.
    """

    gate: MsgService | None = None
    gatePort: MsgFactory | None = None
    servers: LoginServers | None = None
    operations: Operations | None = None
    loginPort: LoginFactory | None = None
    failures: LoginFailures | None = None
    control: ControlFactory | None = None
    servernames: Sequence[str] = ()
    isListening: Callable[[], bool] = lambda: True

    def ports(self) -> list[Port]:
        """Give the ports that there are."""
        ports = []
        if (login := self.loginPort) is not None:
            hits = [login.limits.hits]
            if self.failures is not None:
                hits.append(self.failures.hits)
            ports.append(Port("login", login.limits, hits, LOGIN_LIMITS))
        if (gate := self.gatePort) is not None:
            hits = [gate.limits.hits]
            if gate.rate is not None:
                hits.append(gate.rate.hits)
            ports.append(Port("gate", gate.limits, hits, GATE_LIMITS))
        if (control := self.control) is not None:
            ports.append(Port("control", control.limits, [control.limits.hits], CONTROL_LIMITS))
        return ports

    def notReady(self) -> str | None:
        """
        Tell why no new users should be sent here.

        @return: None where they should.
        """
        if not self.isListening():
            return "not all ports are open"
        if self.gate is not None and not self.gate.isOpen:
            return "the gate takes no new logins"
        if self.servers is not None and not any(isUp for _, isUp in self.servers.links()):
            return "the gate is registered with no login server"
        return None
