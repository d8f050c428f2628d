"""
C{twistd msgserver}: the one place where everything is put together.

No reactor is imported before it is needed: which one there is, twistd decides first.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from msgserver.cluster import ILoginDirectory
from msgserver.collector import settle
from msgserver.config import Control, Gate, GateLogin, Login
from msgserver.configfile import Link, Part, Parts
from msgserver.endpointstrings import isOverheard, isProxied
from msgserver.interfaces import ILoginHandler, IMsgHandler
from msgserver.limits import FailureLimits, LoginFailures, Networks
from msgserver.listening import ListenService, provideFiles
from msgserver.loginprotocol import LoginFactory, LoginLimits
from msgserver.loginservice import LoginService
from msgserver.msgprotocol import GateLimits, MsgFactory
from msgserver.msgservice import LifeLimits, MsgService
from msgserver.options import Options
from msgserver.readset import ReadSet, hasReadSets
from msgserver.remote.door import OPERATOR, ControlFactory, ControlLinks, Keys, identityOf
from msgserver.remote.gates import ControlRealm
from msgserver.remote.link import LinkTimes
from msgserver.remote.servers import GateKey, LoginServers
from msgserver.sections import SUITES
from msgserver.sessions import SessionLimits
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.login import Suite
from msgserver.wire.modern import ModernSuite

__all__ = ["Options", "assemble", "makeService"]


def makeService(options: Options) -> MultiService:
    """Make the service that twistd runs."""
    from twisted.internet import reactor

    parts = options.parts
    # The connections of a gate that has several processes are theirs.
    gate = None if _hasProcesses(parts.gate) else parts.gate
    settings = [part.settings for part in (parts.login, gate, parts.control) if part]
    provideFiles(sum(each.maxclient for each in settings))
    everything = assemble(parts, reactor, os.path.abspath(options["config"]))
    if options["supervised"]:
        # Imported here, as what it imports installs a reactor.
        from msgserver.processes import Supervised

        Service.setServiceParent(Supervised(reactor), everything)
    # When all services have started, whose handlers may have made much that stays.
    reactor.callWhenRunning(settle)
    return everything


class _Servers(MultiService):
    """
    Services that start in their order, and stop the other way around: each when the one
    behind it has stopped, or failed to.
    """

    log = Logger()

    def __init__(self) -> None:
        MultiService.__init__(self)

    def stopService(self) -> Deferred[None]:
        """Stop all of them."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for service in reversed(list(self)):
            try:
                await maybeDeferred(service.stopService)
            except Exception:
                self.log.failure("{service} failed to stop", service=type(service).__name__)


def assemble(parts: Parts, reactor: Any, file: str = "") -> MultiService:
    """
    Put the servers together.

    The login service starts first, then the gate, which registers with it, then the ports;
    and nobody new comes in while the gate drains (B5).

    @param reactor: the one that the parts were loaded with.
    @param file: the config file, for the processes of a gate that has several.
    """
    services: list[Service] = []
    ports: list[Service] = []
    directory: ILoginDirectory | None = None
    if parts.login is not None:
        failures = _makeFailures(parts.login.settings, reactor)
        logins = _makeLogin(parts.login, failures, reactor)
        directory = logins
        services.append(logins)
        ports.append(_makeLoginPorts(parts, logins, failures, reactor))
        if parts.control is not None:
            factory = _makeControl(parts.control, parts.login, logins, reactor)
            services.append(ControlLinks(factory))
            ports.append(
                ListenService(
                    "login.control",
                    parts.control.endpoints,
                    lambda text: factory,
                    hasTLS=parts.control.hasTLS,
                )
            )
    if _hasProcesses(parts.gate):
        services.append(_makeProcesses(parts, reactor, file))
    elif parts.gate is not None:
        if parts.gateLogin is not None:
            directory = _makeServers(parts.gateLogin, parts.gate, reactor)
        gate = _makeGate(parts.gate, directory, reactor)
        services.append(gate)
        ports.append(_makeGatePorts(parts.gate, gate, reactor))
    everything = _Servers()
    for service in services + ports:
        service.setServiceParent(everything)
    return everything


def _makeFailures(settings: Login, reactor: Any) -> LoginFailures:
    limits = FailureLimits(
        free=settings.freeFailures,
        addressFree=settings.addressFreeFailures,
        delay=settings.failureDelay,
        longest=settings.longestFailureDelay,
        memory=settings.failureMemory,
        table=settings.addressTable,
    )
    return LoginFailures(reactor, limits, Networks(settings.unlimited))


def _makeLogin(
    part: Part[Login, ILoginHandler], failures: LoginFailures, reactor: Any
) -> LoginService:
    settings = part.settings
    return LoginService(
        part.handler,
        reactor,
        settings.multilogin,
        settings.gateTimeout,
        settings.sticky,
        failures,
    )


def _makeLoginPorts(
    parts: Parts, logins: LoginService, failures: LoginFailures, reactor: Any
) -> ListenService:
    assert parts.login is not None
    settings = parts.login.settings
    suites: dict[str, Suite] = {
        "modern": ModernSuite(signingKey=parts.identity),
        "classic": ClassicSuite(),
    }
    limits = LoginLimits(
        maxclient=settings.maxclient,
        timeout=settings.loginTimeout,
        maxStrangers=settings.maxStrangers,
        addressMaxclient=settings.addressMaxclient,
        addressRate=settings.addressRate,
        addressBurst=settings.addressBurst,
        addressTable=settings.addressTable,
        unlimited=settings.unlimited,
    )
    factory = LoginFactory(logins, reactor, suites.values(), limits, failures=failures)

    def factoryOf(text: str) -> LoginFactory:
        chosen = [suites[name] for name in _suitesOf(settings, text)]
        return factory.at(isProxied=isProxied(text), suites=chosen)

    isWeak = "classic" in settings.suites
    return ListenService("login", parts.login.endpoints, factoryOf, isWeak=isWeak)


def _suitesOf(settings: Login, text: str) -> Sequence[str]:
    """Name the suites that an endpoint takes: unless told, those that are safe there (L2)."""
    return settings.suites or (SUITES[:1] if isOverheard(text) else SUITES)


def _makeControl(
    link: Link[Control], part: Part[Login, ILoginHandler], logins: LoginService, reactor: Any
) -> ControlFactory:
    settings = link.settings
    times = _timesOf(settings, settings.handshakeTimeout)
    keys = {identityOf(name.encode()): key.encode() for name, key in settings.gates.items()}
    if settings.operatorKey:
        keys[OPERATOR] = settings.operatorKey.encode()
    realm = ControlRealm(logins, logins.operations, reactor, times, part.settings.gateTimeout)
    return ControlFactory(realm, Keys(keys), reactor, settings.maxclient, times)


def _makeServers(
    link: Link[GateLogin], part: Part[Gate, IMsgHandler], reactor: Any
) -> LoginServers:
    settings = link.settings
    key = GateKey(identityOf(part.settings.servername.encode()), settings.key.encode())
    times = _timesOf(settings, settings.pingTimeout)
    return LoginServers(key, link.endpoints, reactor, times, settings.retryDelay)


def _timesOf(settings: Control | GateLogin, proof: float) -> LinkTimes:
    return LinkTimes(proof, settings.pingInterval, settings.pingTimeout)


def _hasProcesses(part: Part[Gate, IMsgHandler] | None) -> bool:
    return part is not None and part.settings.processes > 1


def _makeProcesses(parts: Parts, reactor: Any, file: str) -> Service:
    # Imported here, as what it imports installs a reactor.
    from msgserver.processes import GateProcesses

    assert parts.gate is not None and parts.gateLogin is not None
    settings, link = parts.gate.settings, parts.gateLogin.settings
    # What a shutdown takes at most (B5): the requests, the logins, the answers, the leave that
    # is taken of the login servers; and a little for a machine that is busy.
    stopTime = 2 * settings.drainTimeout + settings.kickTimeout + link.pingTimeout + 5
    return GateProcesses(reactor, file, settings.processes, stopTime)


def _makeGate(
    part: Part[Gate, IMsgHandler], directory: ILoginDirectory | None, reactor: Any
) -> MsgService:
    settings = part.settings
    return MsgService(
        part.handler,
        settings.servername.encode(),
        reactor,
        directory,
        settings.advertise or None,
        SessionLimits(
            expiredNumber=settings.expiredNumber,
            cacheBytes=settings.cacheBytes,
            increasing=settings.sessions == "increasing",
            maxPacket=settings.maxPacket,
            maxRunning=settings.maxRunning,
        ),
        LifeLimits(
            awayTimeout=settings.awayTimeout,
            kickTimeout=settings.kickTimeout,
            drainTimeout=settings.drainTimeout,
        ),
        weight=settings.weight,
    )


def _makeGatePorts(part: Part[Gate, IMsgHandler], gate: MsgService, reactor: Any) -> ListenService:
    settings = part.settings
    factory = MsgFactory(
        gate,
        reactor,
        GateLimits(
            maxclient=settings.maxclient,
            handshakeTimeout=settings.handshakeTimeout,
            stallTimeout=settings.stallTimeout,
            maxPacket=settings.maxPacket,
            nodelay=settings.nodelay,
            maxStrangers=settings.maxStrangers,
            addressMaxclient=settings.addressMaxclient,
            addressRate=settings.addressRate,
            addressBurst=settings.addressBurst,
            addressTable=settings.addressTable,
            unlimited=settings.unlimited,
            requestRate=settings.requestRate,
            requestBurst=settings.requestBurst,
        ),
        isDirect=settings.directSend,
        readSet=ReadSet(reactor) if settings.batchReads and hasReadSets(reactor) else None,
    )
    return ListenService("gate", part.endpoints, lambda text: factory.at(isProxied=isProxied(text)))
