"""
A login server, a gate of two processes and one that nobody knows, whose every trace is kept.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.internet.task import LoopingCall
from twisted.internet.utils import getProcessOutputAndValue

from msgserver.identity import parseIdentity, readIdentity, writeIdentity
from tests.certificates import writeCertificates
from tests.endtoend.clusters import freePort, until
from tests.endtoend.leaks import descendants, shownOf
from tests.endtoend.processes import PATIENCE, ROOT, Server

PASSWORD = "a password: nobody's, but here"
KEYS = {
    "gate's key": "the gates' key, between them and us",
    "operator's key": "the operators' key, of no other use",
    "wrong key": "a key that opens no door at all",
}

LOGIN = """
[login]
listen = ["tcp:{login}:interface=127.0.0.1"]
handler = "tests.endtoend.guarded:Guard"
handler_options = {{ folder = "{folder}", password = "{password}", isLeaky = {leaky} }}
identity = "{files}/identity.pem"
suites = ["modern", "classic"]

[login.control]
listen = ["tcp:{control}"]
operator_key = "{keys[operator's key]}"
gates.sample = "{keys[gate's key]}"
certificate = "{files}/login.pem"
private_key = "{files}/login.key"
authority = "{files}/authority.pem"
"""

GATE = """
[gate]
servername = "sample"
processes = {count}
addresses = {addresses}
listen = ["tcp:{{port}}:interface=127.0.0.1"]
advertise = "127.0.0.1:{{port}}"
handler = "tests.endtoend.guarded:Guarded"
handler_options = {{ folder = "{folder}" }}
drain_timeout = 1

[gate.login]
servers = ["tcp:127.0.0.1:{control}"]
key = "{key}"
retry_delay = 0.2
certificate = "{files}/gate.pem"
private_key = "{files}/gate.key"
authority = "{files}/authority.pem"
"""

OPERATOR = """
[operator]
servers = ["tcp:127.0.0.1:{control}"]
key = "{key}"
certificate = "{files}/gate.pem"
private_key = "{files}/gate.key"
authority = "{files}/authority.pem"
"""

PROCESSES = 2
"""Of each gate."""

FORMATS = {"login": "json", "gate": "json", "stranger": "text"}
"""How each server's log is written."""

_LOOK = 0.1
"""Seconds from one look at the processes to the next."""


def isListening(server: Server) -> bool:
    """
    Say whether a server has said that it listens, in whatever format.

    @raise AssertionError: it has ended.
    """
    if server.process.poll() is not None:
        raise AssertionError(f"the server has ended:\n{server.log}")
    return ": listening on" in server.log


class GuardedServers:
    """
    The servers of one run.

    @param folder: an empty one, for all that they write.
    @param files: another, for their configs and keys, where secrets are to be.
    @ivar identity: the public part of the login server's identity key, as clients are given it.
    """

    def __init__(self, folder: Path, files: Path) -> None:
        self.loginPort = freePort()
        self.identity = parseIdentity(writeIdentity(str(files / "identity.pem")))
        self._folder = folder
        self._files = files
        self._control = freePort()
        self._shown: set[bytes] = set()
        self._servers: list[Server] = []
        writeCertificates(files)
        self._looking = LoopingCall(self._look)
        self._looking.start(_LOOK)

    def privateKeys(self) -> Iterator[tuple[str, bytes]]:
        """Give the private keys of all, and what they are."""
        yield "identity key", readIdentity(str(self._files / "identity.pem")).private_bytes_raw()
        for name in ("login", "gate"):
            pair = load_pem_private_key((self._files / f"{name}.key").read_bytes(), None)
            assert isinstance(pair, EllipticCurvePrivateKey)
            number = pair.private_numbers().private_value
            yield f"private key of the {name}", number.to_bytes(pair.key_size // 8, "big")

    def _look(self) -> None:
        self._shown.update(shownOf(pid) for pid in descendants(os.getpid()))

    def _start(self, name: str, config: str, **values: object) -> Server:
        folder = self._folder / name
        folder.mkdir()
        given = {
            "folder": self._folder,
            "files": self._files,
            "login": self.loginPort,
            "control": self._control,
            "keys": KEYS,
            "password": PASSWORD,
        }
        server = Server(folder, config.format(**given, **values), "--log-format", FORMATS[name])
        self._servers.append(server)
        return server

    async def start(self, isLeaky: bool) -> None:
        """
        Start all, and wait until the gate's processes have registered.

        @param isLeaky: the login handler logs tokens.
        """
        logins = self._start("login", LOGIN, leaky=str(isLeaky).lower())
        for name, key in (("gate", "gate's key"), ("stranger", "wrong key")):
            addresses = [str(freePort()) for _ in range(PROCESSES)]
            values = {"count": PROCESSES, "addresses": json.dumps(addresses)}
            self._start(name, GATE, key=KEYS[key], **values)
        for server in self._servers:
            await until(partial(isListening, server), PATIENCE, "servers listen")
        await until(
            lambda: logins.log.count("has registered") == PROCESSES, PATIENCE, "gates register"
        )
        await until(lambda: "a wrong key" in logins.log, PATIENCE, "a stranger is refused")

    async def operate(self, key: str, *arguments: str) -> int:
        """
        Run the operator's command; what it says is a trace, too.

        @param key: which of L{KEYS}.
        @return: its exit status.
        """
        file = self._files / "operator.toml"
        file.write_text(OPERATOR.format(control=self._control, key=KEYS[key], files=self._files))
        output, errors, status = await getProcessOutputAndValue(
            sys.executable,
            ["-m", "msgserver.ctl", "--config", str(file), *arguments],
            env=dict(os.environ),
            path=str(ROOT),
        )
        self._shown.update((output, errors))
        return int(status)

    def stop(self) -> None:
        """Stop all in good order: gates first, which take their leave of the login server."""
        for server in reversed(self._servers):
            server.stop()

    def end(self) -> None:
        """See that nothing of them is left."""
        self._looking.stop()
        for server in self._servers:
            server.__exit__(None, None, None)

    def traces(self) -> dict[str, bytes]:
        """Give all that was written down, by where."""
        traces = {
            str(file.relative_to(self._folder)): file.read_bytes()
            for file in self._folder.rglob("*")
            # The config, which stands beside its server's log, is where keys are to be.
            if file.is_file() and file.name != "msgserver.toml"
        }
        traces["seen from outside"] = b"\n".join(self._shown)
        return traces
