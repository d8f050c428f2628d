"""
C{twistd msgserver}: the command line, and the one place where everything is put together.

No reactor is imported before it is needed: which one there is, twistd decides first.
"""

from __future__ import annotations

from typing import Any, NoReturn

import twisted
from twisted.application.service import MultiService, Service
from twisted.python import usage

import msgserver
from msgserver.config import Gate, Login, exampleConfig
from msgserver.configfile import Part, Parts, loadConfig
from msgserver.errors import ConfigErrors
from msgserver.interfaces import ILoginDirectory, ILoginHandler, IMsgHandler
from msgserver.listening import ListenService, provideFiles
from msgserver.loginprotocol import LoginFactory, LoginLimits
from msgserver.loginservice import LoginService
from msgserver.msgprotocol import GateLimits, MsgFactory
from msgserver.msgservice import LifeLimits, MsgService
from msgserver.sessions import SessionLimits
from msgserver.wire.classic import ClassicSuite

_SUITES = {suite.name: suite for suite in (ClassicSuite(),)}


class Options(usage.Options):
    """
    The command line.

    @ivar parts: what the config file makes; set once the command line is read.
    """

    synopsis = "[options]"
    longdesc = "Runs a login server, a message gate, or both, as a config file says."
    optParameters = [["config", "c", None, "The config file."]]
    optFlags = [
        ["check", None, "Check the config file, and everything it names, and exit."],
        ["print-config", None, "Print a config file with every key at its default, and exit."],
    ]
    parts: Parts

    def opt_version(self) -> NoReturn:
        """Print the version and exit."""
        print(f"msgserver {msgserver.__version__}, Twisted {twisted.__version__}")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """
        Read the config file.

        @raise SystemExit: that was all there was to do, or there are mistakes. A UsageError
            would bury them under a page on how to use twistd.
        """
        if self["print-config"]:
            print(exampleConfig(), end="")
            raise SystemExit(0)
        file = self["config"]
        if file is None:
            raise SystemExit(
                "no config file: type 'twistd -n msgserver --config FILE',"
                " or 'twistd msgserver --print-config' to see what can be in one"
            )
        from twisted.internet import reactor

        try:
            self.parts = loadConfig(file, reactor)
        except ConfigErrors as errors:
            raise SystemExit(str(errors)) from None
        if self["check"]:
            print(f"{file}: ok")
            raise SystemExit(0)


def makeService(options: Options) -> MultiService:
    """Make the service that twistd runs."""
    from twisted.internet import reactor

    parts = options.parts
    provideFiles(
        sum(part.settings.maxclient for part in (parts.login, parts.gate) if part is not None)
    )
    return assemble(parts, reactor)


def assemble(parts: Parts, reactor: Any) -> MultiService:
    """
    Put the servers together.

    They start in order: the login service, the gate, which registers with it, the ports;
    and stop the other way around, so that nobody new comes in while the gate drains (B5).

    @param reactor: the one that the parts were loaded with.
    """
    services: list[Service] = []
    ports: list[Service] = []
    directory: LoginService | None = None
    if parts.login is not None:
        directory = _makeLogin(parts.login, reactor)
        services.append(directory)
        ports.append(_makeLoginPorts(parts.login, directory, reactor))
    if parts.gate is not None:
        gate = _makeGate(parts.gate, directory, reactor)
        services.append(gate)
        ports.append(_makeGatePorts(parts.gate, gate, reactor))
    everything = MultiService()
    for service in services + ports:
        service.setServiceParent(everything)
    return everything


def _makeLogin(part: Part[Login, ILoginHandler], reactor: Any) -> LoginService:
    settings = part.settings
    return LoginService(part.handler, reactor, settings.multilogin, settings.gateTimeout)


def _makeLoginPorts(
    part: Part[Login, ILoginHandler], logins: LoginService, reactor: Any
) -> ListenService:
    settings = part.settings
    factory = LoginFactory(
        logins,
        reactor,
        [_SUITES[name] for name in settings.suites],
        LoginLimits(maxclient=settings.maxclient, timeout=settings.loginTimeout),
    )
    return ListenService("login", part.endpoints, factory, isWeak="classic" in settings.suites)


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
        ),
    )
    return ListenService("gate", part.endpoints, factory)
