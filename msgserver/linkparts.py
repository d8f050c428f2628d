"""
The ends of the control link that a config file makes: endpoints, with TLS around them or safe
without.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from attrs import field, frozen
from twisted.internet.endpoints import wrapClientTLS, wrapServerTLS
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

from msgserver.config import Control, GateLogin, Operator
from msgserver.configreading import Reading
from msgserver.endpointstrings import clientStringOf, exposureOf, hasTLS
from msgserver.linktls import (
    CredentialFiles,
    Credentials,
    RenewedClient,
    RenewedServer,
    readCertificates,
    readPrivateKey,
)
from msgserver.loading import makeClientEndpoint, makeEndpoint
from msgserver.tomllines import KeyPath

_Settings = TypeVar("_Settings", Control, GateLogin, Operator)

_CONTROL: KeyPath = ("login", "control")
_FILES = ("certificate", "private_key", "authority")


@frozen
class Link(Generic[_Settings]):
    """
    One end of the control link: its section, and what that names.

    @ivar endpoints: each endpoint string, and its endpoint: a server's for a L{Control}, a
        client's for the others. Where the settings say so, there is TLS around it.
    """

    settings: _Settings
    endpoints: tuple[tuple[str, Any], ...] = field(repr=False)

    @property
    def hasTLS(self) -> bool:
        """There is TLS around all endpoints, which their strings do not say."""
        return self.settings.certificate != ""


def makeControl(reading: Reading, reactor: Any) -> Link[Control] | None:
    """Make the login server's end, where there is one and it is without mistakes."""
    endpoints: list[tuple[str, IStreamServerEndpoint]] = []
    path = (*_CONTROL, "listen")
    wantsTLS = _wantsTLS(reading, _CONTROL)
    isInsecure = reading.value((*_CONTROL, "insecure"))
    files, options = _readFiles(reading, _CONTROL), None
    if files is not None:
        options = reading.attempt(RenewedServer, files, reactor, at=(*_CONTROL, "certificate"))
    for text in reading.value(path) or ():
        endpoint = reading.attempt(makeEndpoint, reactor, text, at=path)
        if endpoint is None:
            continue
        if wantsTLS:
            _refuseTLS(reading, text, path)
        elif isInsecure is False and (exposure := exposureOf(text)):
            reading.add(
                f'"{text}" {exposure}. Either listen where this machine alone can connect'
                ' ("tcp:8002:interface=127.0.0.1", "unix:/run/control.sock:mode=600"); or set'
                f" {', '.join(_FILES)}; or, on a network that is safe, insecure = true",
                path,
            )
        if options is not None:
            endpoint = wrapServerTLS(options, endpoint, reactor)
        endpoints.append((text, endpoint))
    login = reading.config.login
    return Link(login.control, tuple(endpoints)) if login and login.control else None


def makeGateLogin(reading: Reading, reactor: Any) -> Link[GateLogin] | None:
    """Make a gate's end, where there is one and it is without mistakes."""
    endpoints = _makeClients(reading, ("gate", "login"), reactor)
    gate = reading.config.gate
    return Link(gate.login, endpoints) if gate and gate.login else None


def makeOperator(reading: Reading, reactor: Any) -> Link[Operator] | None:
    """
    Make the operators' end, where it is without mistakes.

    Without a section of its own it is the counterpart of the login server's in the same file,
    for whoever may read that.
    """
    if reading.has(("operator",)):
        endpoints = _makeClients(reading, ("operator",), reactor)
        operator = reading.config.operator
    else:
        operator = _deriveOperator(reading)
        servers = operator.servers if operator else ()
        endpoints = tuple((text, makeClientEndpoint(reactor, text)) for text in servers)
    return Link(operator, endpoints) if operator else None


def _deriveOperator(reading: Reading) -> Operator | None:
    login = reading.config.login
    if login is None or login.control is None:
        if not reading.errors:
            reading.add("there must be a section [operator], or a section [login.control]", ())
        return None
    control = login.control
    if _wantsTLS(reading, _CONTROL):
        reading.add(
            "with TLS, operators need a section [operator] with certificates of their own",
            (*_CONTROL, "certificate"),
        )
        return None
    servers = tuple(filter(None, map(clientStringOf, control.listen)))
    if not servers:
        reading.add(
            "these do not tell how to connect to them: there must be a section [operator]",
            (*_CONTROL, "listen"),
        )
    if not control.operatorKey:
        reading.add("is required: without it, nobody is an operator", (*_CONTROL, "operator_key"))
    if not servers or not control.operatorKey:
        return None
    return Operator(servers=servers, key=control.operatorKey)


def _makeClients(
    reading: Reading, section: KeyPath, reactor: Any
) -> tuple[tuple[str, IStreamClientEndpoint], ...]:
    endpoints = []
    path, namePath = (*section, "servers"), (*section, "server_name")
    files, name, options = _readFiles(reading, section), reading.value(namePath), None
    if files is not None and name is not None:
        options = reading.attempt(RenewedClient, files, name, reactor, at=namePath)
    for text in reading.value(path) or ():
        endpoint = reading.attempt(makeClientEndpoint, reactor, text, at=path)
        if endpoint is None:
            continue
        if _wantsTLS(reading, section):
            _refuseTLS(reading, text, path)
        if options is not None:
            endpoint = wrapClientTLS(options, endpoint, reactor)
        endpoints.append((text, endpoint))
    return tuple(endpoints)


def _wantsTLS(reading: Reading, section: KeyPath) -> bool:
    # A name of a file that is wrong by itself is said all the same, and its value None.
    return reading.has(section) and any(reading.value((*section, key)) != "" for key in _FILES)


def _refuseTLS(reading: Reading, text: str, path: KeyPath) -> None:
    if hasTLS(text):
        reading.add(
            f'"{text}" has TLS of its own, and {", ".join(_FILES)} put TLS around it once'
            " more: let it be without",
            path,
        )


def _readFiles(reading: Reading, section: KeyPath) -> CredentialFiles | None:
    """Give the files of a section, where it names all of them and they are right."""
    paths = [(*section, key) for key in _FILES]
    files = [reading.value(path) for path in paths]
    if not _wantsTLS(reading, section) or None in files:
        return None
    missing = [key for key, file in zip(_FILES, files, strict=True) if not file]
    if missing:
        said = [path for path, file in zip(paths, files, strict=True) if file]
        reading.add(
            f"{', '.join(_FILES)} are for all of them or none: {' and '.join(missing)} must be"
            " set, too",
            *said,
        )
        return None
    chain = reading.attempt(readCertificates, files[0], at=paths[0])
    key = reading.attempt(readPrivateKey, files[1], at=paths[1])
    authorities = reading.attempt(readCertificates, files[2], at=paths[2])
    if chain is None or key is None or authorities is None:
        return None
    credentials = Credentials(chain, key, authorities)
    found = len(reading.errors)
    reading.attempt(credentials.check, at=paths[1])
    return CredentialFiles(*map(str, files)) if len(reading.errors) == found else None
