"""
The market's server: the game's own, as a process that can be killed, on sockets of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from hmac import compare_digest
from pathlib import Path
from signal import SIGTERM

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from msgserver import Account, ILoginHandler, Unauthorized
from msgserver.wire.naming import decode64, encode64

ROOT = Path(__file__).resolve().parents[2]
"""Where C{examples} is imported from."""

SERVERNAME = b"market"

PATIENCE = 30.0
"""Seconds that the server has to start, or to stop."""

_TRACEBACK = "Traceback (most recent call last):"

CONFIG = """\
# Sockets in a folder of our own: nobody else is there, so there are no addresses to limit, and the
# thousands of connections that the market makes of this one machine are not taken for an attack.
[login]
listen = [{login}]
# A login of PasswordLoginHandler takes 50 ms of a processor, so that guessing is slow. Here
# nobody guesses, and thousands log in.
handler = "examples.game.marketserver:MarketLoginHandler"
handler_options = {{ password = {password} }}

[gate]
servername = "market"
listen = [{gate}]
handler = {handler}
maxclient = {maxclient}

[gate.handler_options]
file = {file}
openingCents = {openingCents}
"""


def writeToken(player: str, password: str) -> bytes:
    """Write what a player of the market logs in with."""
    return b"%b:%b" % (encode64(player.encode()), password.encode())


@implementer(ILoginHandler)
class MarketLoginHandler:
    """
    Lets everybody in who knows the market's one password, under any name.

    @param password: made anew for each market, and in its folder alone.
    """

    def __init__(self, password: str) -> None:
        self._password = password.encode()

    def authenticate(self, token: bytes) -> Account:
        """See L{ILoginHandler.authenticate}."""
        player, _, password = token.partition(b":")
        if not compare_digest(password, self._password):
            raise Unauthorized("wrong password")
        try:
            return Account(SERVERNAME, decode64(player))
        except ValueError:
            raise Unauthorized("the player's name is not base64") from None


class MarketServer:
    """
    The process.

    @param folder: an empty one, for the config, the sockets, the database and the logs. Its
        path must be short: the kernel takes 107 bytes for a socket's.
    @param handler: what answers the players, as C{module:Name}.
    @param maxclient: how many connections there may be.
    @ivar file: the database.
    @ivar login: the login server's endpoint, and C{gate} the gate's.
    """

    def __init__(
        self,
        clock: IReactorTime,
        folder: Path,
        handler: str,
        password: str,
        openingCents: int,
        maxclient: int,
    ) -> None:
        self.file = folder / "game.sqlite"
        self.login = f"unix:{folder / 'login'}"
        self.gate = f"unix:{folder / 'gate'}"
        self._clock = clock
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._logs: list[Path] = []
        # A TOML string may be written as JSON writes one.
        values: dict[str, object] = {
            "login": f"{self.login}:mode=600",
            "gate": f"{self.gate}:mode=600",
            "handler": handler,
            "password": password,
            "file": str(self.file),
        }
        texts = {key: json.dumps(value) for key, value in values.items()}
        config = CONFIG.format(**texts, openingCents=openingCents, maxclient=maxclient)
        (folder / "market.toml").write_text(config)

    async def start(self) -> None:
        """
        Start it, and wait until it listens.

        @raise RuntimeError: it does not; the text is what it said last.
        """
        log = self._folder / f"log{len(self._logs)}"
        self._logs.append(log)
        twistd = [str(Path(sys.executable).parent / "twistd"), "-n", "--pidfile="]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*twistd, "msgserver", "--config", str(self._folder / "market.toml")],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        if not await self._happens(lambda: log.read_text().count(": listening on ") == 2):
            self.kill()
            raise RuntimeError(f"the server does not start: {log.read_text().strip()[-400:]}")

    def kill(self) -> None:
        """Have it die at once, whatever it is at; nothing happens where it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def stop(self) -> bool:
        """
        Stop it as an operator does.

        @return: it has stopped in good order.
        """
        process = self._process
        assert process is not None, "a server is started before it is stopped"
        process.terminate()
        isOver = await self._happens(lambda: process.poll() is not None)
        self.kill()
        # Twisted hands the signal on, when it has done with everything.
        return isOver and process.returncode in (0, -SIGTERM)

    def complaints(self) -> list[str]:
        """Give the last line of each traceback that it has logged."""
        found = []
        for log in self._logs:
            for part in log.read_text(errors="replace").split("Traceback (most recent call last):")[
                1:
            ]:
                # Frames are indented; what was raised is not.
                lines = part.splitlines()[1:]
                found.append(next((line for line in lines if line[:1].strip()), "a traceback"))
        return found

    async def _happens(self, hasHappened: Callable[[], bool]) -> bool:
        """Wait for something that the process does, unless it ends."""
        assert self._process is not None, "a server is started before it is waited for"
        deadline = self._clock.seconds() + PATIENCE
        while self._clock.seconds() < deadline:
            if hasHappened():
                return True
            if self._process.poll() is not None:
                return hasHappened()
            await deferLater(self._clock, 0.02)
        return False
