"""
The ports of a server, as a service; and the files that its connections need.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver.endpointstrings import hasTLS, isProxied

_OTHER_FILES = 64
"""How many descriptors there are beside connections, about: ports, logs, what handlers open."""

_log = Logger()


class CannotStart(SystemExit, Exception):
    """
    A server cannot be started, for a reason that is no bug to be traced back.

    As a SystemExit it ends the process with its text as one line, and status 1. It is an
    Exception besides because that is all that C{twistd} looks for before it removes its pid
    file, and tells the process that waits for the daemon to be up.
    """


class ListenService(Service):
    """
    Listens on every endpoint of a section.

    @param section: the section's name, for what is said of it.
    @param endpoints: each endpoint string, and its endpoint.
    @param factoryOf: gives the factory of an endpoint, by its string. They share what limits
        them, so that it holds for all.
    @param isWeak: what is spoken there is not safe to be overheard (L2).
    @param hasTLS: there is TLS around all of them, which their strings do not say.
    """

    log = Logger()

    def __init__(
        self,
        section: str,
        endpoints: Sequence[tuple[str, IStreamServerEndpoint]],
        factoryOf: Callable[[str], IProtocolFactory],
        isWeak: bool = False,
        *,
        hasTLS: bool = False,
    ) -> None:
        self._section = section
        self._endpoints = endpoints
        self._factoryOf = factoryOf
        self._isWeak = isWeak
        self._hasTLS = hasTLS
        self._ports: list[IListeningPort] = []
        self._hasStarted = False
        self._exposed: list[str] = []

    @property
    def isListening(self) -> bool:
        """Whether all of its ports are open."""
        return len(self._ports) == len(self._endpoints)

    def privilegedStartService(self) -> None:
        """
        Listen, while the process may still use the ports that only root may.

        @raise CannotStart: an endpoint cannot be listened on.
        """
        self._hasStarted = True
        for text, endpoint in self._endpoints:
            listening = endpoint.listen(self._factoryOf(text)).addCallback(self._opened, text)
            failures: list[Failure] = []
            # Twisted's own endpoints know at once whether they listen.
            if listening.called:
                listening.addErrback(failures.append)
            for failure in failures:
                # Short, since twistd tells who starts a daemon the first 100 bytes only.
                reason = _reasonOf(failure.value)
                raise CannotStart(f"{self._section}.listen: {reason}: {text}")
        if self._isWeak and self._exposed:
            self.log.warn(
                "{section}: whoever can overhear {places} can read the passwords: classic logins"
                " are weak, and there is no TLS around them",
                section=self._section,
                places=", ".join(self._exposed),
            )

    def startService(self) -> None:
        """Listen, where nobody cared for privileges before."""
        Service.startService(self)
        if not self._hasStarted:
            self.privilegedStartService()

    def stopService(self) -> Deferred[Any]:
        """Listen no more; connections that are open stay so (B5)."""
        Service.stopService(self)
        ports, self._ports = self._ports, []
        return DeferredList([maybeDeferred(port.stopListening) for port in ports])

    def _opened(self, port: IListeningPort, text: str) -> None:
        self._ports.append(port)
        place = _placeOf(port.getHost())
        isEncrypted = self._hasTLS or hasTLS(text)
        # What a proxy passes on comes from elsewhere, wherever the proxy is.
        if not isEncrypted and (isProxied(text) or not _isLocal(port.getHost())):
            self._exposed.append(place)
        self.log.info(
            "{section}: listening on {place}{tls}",
            section=self._section,
            place=place,
            tls=" with TLS" if isEncrypted else "",
        )


def provideFiles(connections: int) -> None:
    """Let the process open files enough for so many connections, or warn that it may not."""
    try:
        import resource
    except ImportError:
        return  # Windows, which has no such limit.
    needed = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError, OverflowError):
        allowed = soft
    if allowed < needed:
        _log.warn(
            "{connections} connections are allowed, but this process may open {allowed} files"
            " only: raise its limit (ulimit -n, LimitNOFILE), or lower maxclient",
            connections=connections,
            allowed=allowed,
        )


def _placeOf(address: IAddress) -> str:
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    if isinstance(address, UNIXAddress):
        return os.fsdecode(address.name or b"")
    return str(address)


def _isLocal(address: IAddress) -> bool:
    if isinstance(address, IPv4Address | IPv6Address):
        return ip_address(address.host).is_loopback
    return isinstance(address, UNIXAddress)


def _reasonOf(error: BaseException | None) -> str:
    """Say why an endpoint cannot be listened on, in the words of the system."""
    cause = error.socketError if isinstance(error, CannotListenError) else error
    return getattr(cause, "strerror", None) or str(cause)
