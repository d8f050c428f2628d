"""
The chat's server for a crowd: a process of its own, on ports that are free.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import NoReturn

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorCore, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from msgserver.passwords import hashPassword

SERVER = b"chat"
PASSWORD = b"one for all"

START_TIMEOUT = 30.0
"""Seconds that the server has to start."""

STOP_TIMEOUT = 30.0
"""Seconds that it has to stop; then it is killed."""

_ROOT = Path(__file__).parents[2]
_LISTENING = re.compile(rb"(login|gate): listening on 127\.0\.0\.1:(\d+)\s", re.MULTILINE)

_CONFIG = """
[login]
listen = ["tcp:0:interface=127.0.0.1"]
handler = "msgserver.handlers:PasswordLoginHandler"
[login.handler_options]
servers = ["chat"]
[login.handler_options.users]
{users}
[gate]
servername = "chat"
listen = ["tcp:0:interface=127.0.0.1"]
handler = "examples.chat.server:ChatHandler"
maxclient = {maxclient}
"""


class ServerFailed(Exception):
    """The server did not start, or not in time; the text has what it said last."""


class CrowdServer:
    """
    C{twistd msgserver}, with the chat behind it.

    @param users: who may log in, each with L{PASSWORD}.
    @ivar users: the same.
    @ivar ports: of the login server, and of the gate, on 127.0.0.1.
    """

    def __init__(self, reactor: IReactorTime, users: Iterable[str]) -> None:
        self._reactor = reactor
        self.users = [*users]

    async def __aenter__(self) -> CrowdServer:
        self._folder = Path(mkdtemp())
        config = self._folder / "chat.toml"
        # One hash for all, as it takes a moment to make one.
        stored = hashPassword(PASSWORD)
        users = "\n".join(f'{user} = "{stored}"' for user in self.users)
        config.write_text(_CONFIG.format(users=users, maxclient=max(1024, 2 * len(self.users))))
        self._process = _Process()
        # Also where somebody has the crowd stop in the middle.
        IReactorCore(self._reactor).addSystemEventTrigger(
            "before", "shutdown", lambda: Deferred.fromCoroutine(self._stop())
        )
        twistd = str(Path(sys.executable).with_name("twistd"))
        command = [twistd, "-n", "--pidfile=", "msgserver", "--config", str(config)]
        IReactorProcess(self._reactor).spawnProcess(
            self._process, twistd, command, env=dict(os.environ), path=str(_ROOT)
        )
        try:
            started = self._process.started
            self.ports = await started.addTimeout(START_TIMEOUT, self._reactor, _notInTime)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stop()

    async def _stop(self) -> None:
        killing = self._reactor.callLater(STOP_TIMEOUT, self._process.signal, "KILL")
        self._process.signal("TERM")
        await self._process.whenEnded()
        if killing.active():
            killing.cancel()
        rmtree(self._folder, ignore_errors=True)


class _Process(ProcessProtocol):
    """Reads what the server says, until it has said where it listens."""

    def __init__(self) -> None:
        self.started: Deferred[tuple[int, int]] = Deferred()
        self._ended = False
        self._onEnd: list[Deferred[None]] = []
        self._said = b""

    def signal(self, name: str) -> None:
        """Send a signal, if there still is somebody."""
        if not self._ended and self.transport is not None:
            self.transport.signalProcess(name)

    def whenEnded(self) -> Deferred[None]:
        """Wait for the end."""
        if self._ended:
            return succeed(None)
        end: Deferred[None] = Deferred()
        self._onEnd.append(end)
        return end

    def outReceived(self, data: bytes) -> None:
        """Look for the ports."""
        if self.started.called:
            return
        self._said += data
        ports = {name: int(port) for name, port in _LISTENING.findall(self._said)}
        if len(ports) == 2:
            self.started.callback((ports[b"login"], ports[b"gate"]))

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        """Tell whoever waits."""
        self._ended = True
        for end in self._onEnd:
            end.callback(None)
        if not self.started.called:
            said = self._said.decode(errors="replace")
            self.started.errback(ServerFailed(f"the server has ended:\n{said}"))


def _notInTime(result: object, timeout: float) -> NoReturn:
    raise ServerFailed(f"the server has not started within {timeout:g} seconds")
