"""
Servers that do nothing but send back what they get: C{python -m bench.echoes KIND}.

What a gate costs is told by what it costs more than these. Each says where it listens, and ends
when its standard input does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

BACKLOG = 1024
"""A connection that finds it full comes again a second later."""

_HOST = "127.0.0.1"


def sayPort(port: int) -> None:
    """Tell whoever started this where it listens."""
    print(f"listening on {_HOST}:{port}", flush=True)


def serveTwisted() -> None:
    """Serve by Twisted, on the reactor that it picks for this system."""
    # The reactor is installed on import.
    from twisted.internet import reactor
    from twisted.internet.protocol import Factory, Protocol
    from twisted.internet.stdio import StandardIO

    class Echo(Protocol):
        def dataReceived(self, data: bytes) -> None:
            assert self.transport is not None
            self.transport.write(data)

    class UntilEnd(Protocol):
        def connectionLost(self, reason: object = None) -> None:
            core.stop()

    core = cast(Any, reactor)
    port = core.listenTCP(0, Factory.forProtocol(Echo), BACKLOG, _HOST)
    StandardIO(UntilEnd())
    sayPort(port.getHost().port)
    core.run()


def serveAsyncio() -> None:
    """Serve by asyncio, on the loop that it has of its own."""
    asyncio.run(_echo())


def serveUvloop() -> None:
    """
    Serve by asyncio, on uvloop.

    @raise ImportError: it is not installed.
    """
    import_module("uvloop").run(_echo())


def hasUvloop() -> bool:
    """Say whether uvloop is installed."""
    return find_spec("uvloop") is not None


async def _echo() -> None:
    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = cast(asyncio.Transport, transport)

        def data_received(self, data: bytes) -> None:
            self._transport.write(data)

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, lambda: None if os.read(0, 1) else ended.set())
    async with await loop.create_server(Echo, _HOST, 0, backlog=BACKLOG) as server:
        sayPort(server.sockets[0].getsockname()[1])
        await ended.wait()


KINDS: dict[str, Callable[[], None]] = {
    "twisted": serveTwisted,
    "asyncio": serveAsyncio,
    "uvloop": serveUvloop,
}


def main(arguments: Sequence[str]) -> None:
    """Serve until the end of standard input."""
    about = "Send back what is sent, on a port of 127.0.0.1, until the end of standard input."
    parser = ArgumentParser("python -m bench.echoes", description=about)
    parser.add_argument("kind", choices=list(KINDS), help="what it runs on")
    kind = parser.parse_args(arguments).kind
    if kind == "uvloop" and not hasUvloop():
        raise SystemExit("uvloop is not installed")
    try:
        KINDS[kind]()
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main(sys.argv[1:])
