"""
C{twistd msgserver}: the one place where everything is put together.

No reactor is imported before it is needed: which one there is, twistd decides first.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import twisted
from attrs import AttrsInstance, fields
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

import msgserver
from msgserver.cluster import ILoginDirectory
from msgserver.collector import settle
from msgserver.compiled import howSessionsRun
from msgserver.config import Control, Gate, GateLogin, Login
from msgserver.configfile import Link, Part, Parts
from msgserver.endpointstrings import isOverheard, isProxied
from msgserver.interfaces import ILoginHandler, IMsgHandler
from msgserver.limits import FailureLimits, LoginFailures, Networks
from msgserver.listening import ListenService, provideFiles
from msgserver.loginprotocol import LoginFactory, LoginLimits
from msgserver.loginservice import LoginService
from msgserver.metrics import makeRegistry
from msgserver.msgprotocol import GateLimits, MsgFactory
from msgserver.msgservice import LifeLimits, MsgService
from msgserver.opsserver import Health, OpsFactory
from msgserver.options import Options
from msgserver.readset import ReadSet, hasReadSets
from msgserver.remote.door import OPERATOR, ControlFactory, ControlLinks, Keys, identityOf
from msgserver.remote.gates import ControlRealm
from msgserver.remote.link import LinkTimes
from msgserver.remote.servers import GateKey, LoginServers
from msgserver.sections import SUITES
from msgserver.sessions import SessionLimits
from msgserver.watched import Watched
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
    settings = [each.settings for each in (parts.login, gate, parts.control, parts.ops) if each]
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
    assembly = _Assembly(parts, reactor)
    if parts.login is not None:
        assembly.addLogin(parts.login)
    if _hasProcesses(parts.gate):
        assembly.services.append(_makeProcesses(parts, reactor, file))
    elif parts.gate is not None:
        assembly.addGate(parts.gate)
    everything = _Servers()
    for service in assembly.finish():
        service.setServiceParent(everything)
    return everything


class _Assembly:
    """
    The parts of a process while they are put together.

    @ivar services: in the order in which they start; the ports start behind them.
    """

    def __init__(self, parts: Parts, reactor: Any) -> None:
        self.services: list[Service] = []
        self._parts = parts
        self._reactor = reactor
        self._ports: list[ListenService] = []
        self._directory: ILoginDirectory | None = None
        # The arguments of Watched, as far as there are such parts.
        self._watched: dict[str, Any] = {}

    def addLogin(self, part: Part[Login, ILoginHandler]) -> None:
        """Add the login server, and its end of the control link."""
        parts, reactor = self._parts, self._reactor
        failures = _makeFailures(part.settings, reactor)
        logins = _makeLogin(part, failures, reactor)
        suites: dict[str, Suite] = {
            "modern": ModernSuite(signingKey=parts.identity),
            "classic": ClassicSuite(),
        }
        factory = LoginFactory(
            logins,
            reactor,
            suites.values(),
            LoginLimits(timeout=part.settings.loginTimeout, **_sharedWith(part, LoginLimits)),
            failures=failures,
        )

        def factoryOf(text: str) -> LoginFactory:
            chosen = [suites[name] for name in _suitesOf(part.settings, text)]
            return factory.at(isProxied=isProxied(text), suites=chosen)

        isWeak = "classic" in part.settings.suites
        self.services.append(logins)
        self._ports.append(ListenService("login", part.endpoints, factoryOf, isWeak=isWeak))
        self._directory = logins
        self._watched |= {
            "operations": logins.operations,
            "loginPort": factory,
            "failures": failures,
            "servernames": self._servernames(),
        }
        if parts.control is not None:
            self._addControl(parts.control, part, logins)

    def _servernames(self) -> Sequence[str]:
        """Name the gates that the login server may have."""
        parts = self._parts
        names = dict.fromkeys(parts.control.settings.gates if parts.control else ())
        if parts.gate is not None:
            names[parts.gate.settings.servername] = None
        return tuple(names)

    def _addControl(
        self, link: Link[Control], part: Part[Login, ILoginHandler], logins: LoginService
    ) -> None:
        factory = _makeControl(link, part, logins, self._reactor)
        self.services.append(ControlLinks(factory))
        self._ports.append(
            ListenService("login.control", link.endpoints, lambda text: factory, hasTLS=link.hasTLS)
        )
        self._watched["control"] = factory

    def addGate(self, part: Part[Gate, IMsgHandler]) -> None:
        """Add the gate, and its end of the control link."""
        parts, reactor, settings = self._parts, self._reactor, part.settings
        if parts.gateLogin is not None:
            self._directory = _makeServers(parts.gateLogin, part, reactor)
            self._watched["servers"] = self._directory
        gate = _makeGate(part, self._directory, reactor)
        factory = MsgFactory(
            gate,
            reactor,
            GateLimits(**_sharedWith(part, GateLimits)),
            isDirect=settings.directSend,
            readSet=ReadSet(reactor) if settings.batchReads and hasReadSets(reactor) else None,
        )

        def factoryOf(text: str) -> MsgFactory:
            return factory.at(isProxied=isProxied(text))

        self.services.append(gate)
        self._ports.append(ListenService("gate", part.endpoints, factoryOf))
        self._watched |= {"gate": gate, "gatePort": factory}

    def finish(self) -> list[Service]:
        """Give all services, in the order in which they start."""
        ports, ops = self._ports, self._parts.ops
        watching: list[Service] = []
        if ops is not None:
            watched = Watched(
                isListening=lambda: all(port.isListening for port in ports), **self._watched
            )
            factory = OpsFactory(
                makeRegistry(watched, msgserver.__version__),
                watched.notReady,
                Health(msgserver.__version__, twisted.__version__, howSessionsRun()),
                self._reactor,
                ops.settings.maxclient,
            )
            # The first to start and the last to stop: it tells of all the others.
            watching.append(ListenService("ops", ops.endpoints, lambda text: factory))
        return [*watching, *self.services, *ports]


def _sharedWith(part: Part[Any, Any], cls: type[AttrsInstance]) -> dict[str, Any]:
    """Give those settings of a section that a class of limits has under the same names."""
    settings = part.settings
    return {
        each.name: getattr(settings, each.name)
        for each in fields(cls)
        if hasattr(settings, each.name)
    }


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
        settings.maxAuthenticating,
    )


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
    # What a shutdown takes at most (B5): the requests, the logins, the answers, what the handler
    # has to end, the leave that is taken of the login servers; and a little for a machine that is
    # busy.
    stopTime = 3 * settings.drainTimeout + settings.kickTimeout + link.pingTimeout + 5
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
            increasing=settings.sessions == "increasing", **_sharedWith(part, SessionLimits)
        ),
        LifeLimits(**_sharedWith(part, LifeLimits)),
        weight=settings.weight,
    )
