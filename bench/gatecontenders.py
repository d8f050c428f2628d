"""
Whom the benchmark of the gate compares: echoes that do no more, a naive gate, and ours.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import frozen

from bench.echoes import BACKLOG, hasUvloop
from bench.handlers import SERVER
from bench.loads import Kind
from bench.servers import Program, Server
from bench.workloads import Workload
from msgserver.compiled import isCompiled
from msgserver.config import settings
from msgserver.configvalues import tomlText

CONFIGURATIONS: dict[str, dict[str, bool]] = {
    "ours": {},
    "ours, no batched reads": {"batch_reads": False},
    "ours, plain": {"batch_reads": False, "direct_send": False},
}
"""By the contender's name, what the section C{[gate]} says that is not the default."""

BARE = "twisted-echo"
"""The contender that all others are compared to."""

_GATE = """
[gate]
servername = "{server}"
listen = ["tcp:0:interface=127.0.0.1:backlog={backlog}"]
handler = "{handler}"
handler_options = {{ logins = {logins} }}
maxclient = {logins}
handshake_timeout = 60.0
"""

_LISTENING = r"^listening on 127\.0\.0\.1:(\d+)$"


@frozen
class Running:
    """A contender that runs, and its port of 127.0.0.1."""

    program: Program
    port: int


Start = Callable[[str, Path, Workload, int | None], Running]
"""Starts a program of that name, its files in the folder, for a workload, on one core."""


@frozen
class GateContender:
    """
    One of those that are compared.

    @ivar title: what it is called.
    @ivar kind: what its answers are like.
    @ivar isOptional: it is only measured where it is asked for.
    """

    title: str
    kind: Kind
    start: Start
    isOptional: bool = False

    @property
    def name(self) -> str:
        """What a command line calls it."""
        return self.title.partition(" (")[0].replace(", ", "-").replace(" ", "-")


def contenders() -> list[GateContender]:
    """List all contenders that can run here, the bare Twisted echo first."""
    compiled = " (compiled)" if isCompiled else ""
    echoes = ["twisted", "asyncio"] + (["uvloop"] if hasUvloop() else [])
    # So that an older version can be measured, too: it has what it has.
    known = {setting.key for setting in settings() if setting.section == "gate"}
    ours = [
        GateContender(name + compiled, "gate", _ours(keys))
        for name, keys in CONFIGURATIONS.items()
        if known.issuperset(keys)
    ]
    onAsyncio = _ours({}, ("--reactor", "asyncio"))
    return [
        *(GateContender(f"{kind} echo", "echo", _echo(kind)) for kind in echoes),
        GateContender("naive", "gate", _naive),
        *ours,
        GateContender(f"ours on asyncio{compiled}", "gate", onAsyncio, isOptional=True),
    ]


def _echo(kind: str) -> Start:
    def start(name: str, folder: Path, workload: Workload, core: int | None) -> Running:
        command = [sys.executable, "-m", "bench.echoes", kind]
        return _started(Program(name, folder, command, core))

    return start


def _naive(name: str, folder: Path, workload: Workload, core: int | None) -> Running:
    arguments = [workload.handlerPath, str(workload.connections)]
    command = [sys.executable, "-m", "bench.naive", *arguments]
    return _started(Program(name, folder, command, core))


def _started(program: Program) -> Running:
    try:
        return Running(program, int(program.waitFor(_LISTENING)[1]))
    except BaseException:
        program.stop()
        raise


def _ours(keys: Mapping[str, bool], options: tuple[str, ...] = ()) -> Start:
    def start(name: str, folder: Path, workload: Workload, core: int | None) -> Running:
        config = _GATE.format(
            server=SERVER.decode(),
            backlog=BACKLOG,
            handler=workload.handlerPath,
            logins=workload.connections,
        )
        config += "".join(f"{key} = {tomlText(value)}\n" for key, value in keys.items())
        server = Server(name, folder, config, options, core)
        try:
            return Running(server, server.portOf("gate"))
        except BaseException:
            server.stop()
            raise

    return start
