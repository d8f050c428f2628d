"""
The process of the server that C{msgserver-bench --demo} tries itself on.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IReactorProcess
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from msgserver.commandparts import Complaint
from msgserver.loadtest.server import DEMO_CONFIG
from msgserver.loadtest.statuses import Status

_ANYWHERE = "tcp:0:interface=127.0.0.1:backlog=1024"
# In a group of its own, as Ctrl-C is not for it; it ends when its standard input does.
_TWISTD = "import os; getattr(os, 'setpgrp', bool)(); from twisted.scripts.twistd import run; run()"
_LISTENING = re.compile(rb" (login|gate): listening on ([0-9.]+:[0-9]+)\r?\n")
_SPARE = 64


class Demo(ProcessProtocol):
    """
    A login server and a gate in a process of their own, on ports that were free, of 127.0.0.1.

    @param users: how many may come.
    @ivar password: everybody's, for this time.
    @ivar addresses: where it listens, by C{login} and C{gate}; complete when C{ready}.
    @ivar ready: fires when it does; fails with L{Complaint} where it ends before.
    """

    def __init__(self, users: int, reactor: IReactorProcess) -> None:
        self.password = token_urlsafe()
        self.addresses: dict[str, str] = {}
        self.ready: Deferred[None] = Deferred()
        self._ended: Deferred[None] = Deferred()
        self._said = b""
        self._folder = TemporaryDirectory()
        config = Path(self._folder.name, "demo.toml")
        # A connection that was cut may be heard of after the next is there.
        connections = 2 * users + _SPARE
        text = DEMO_CONFIG.format(
            login=_ANYWHERE, gate=_ANYWHERE, password=self.password, maxclient=connections
        )
        config.touch(0o600)
        config.write_text(text)
        server = ["msgserver", "--config", str(config), "--supervised"]
        command = [sys.executable, "-c", _TWISTD, "-n", "--pidfile=", *server]
        self._process: Any = reactor.spawnProcess(
            self, sys.executable, command, env=dict(os.environ)
        )

    @property
    def cpuSeconds(self) -> float | None:
        """The seconds of CPU that it has had so far; None where the system does not tell."""
        try:
            text = Path(f"/proc/{self._process.pid}/stat").read_text()
            user, system = text.rpartition(")")[2].split()[11:13]
            return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError):
            return None

    async def stop(self) -> None:
        """End it."""
        if not self._ended.called:
            with suppress(ProcessExitedAlready):
                self._process.signalProcess("KILL")
        await self._ended
        self._folder.cleanup()

    def outReceived(self, data: bytes) -> None:
        """Look for where it listens."""
        self._said = (self._said + data)[-65536:]
        for kind, address in _LISTENING.findall(self._said):
            self.addresses[kind.decode()] = address.decode()
        if len(self.addresses) == 2 and not self.ready.called:
            self.ready.callback(None)

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        """Tell whoever waits."""
        self._ended.callback(None)
        if not self.ready.called:
            last = self._said.decode(errors="backslashreplace").strip().rpartition("\n")[2]
            text = f"the demo server does not start: {last or reason.value}"
            self.ready.errback(Complaint(Status.FAILED, text))
