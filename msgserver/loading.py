"""
What a config names, found and made: handlers and endpoints.

Whatever goes wrong is a C{ValueError} whose text is for whoever wrote the config: it says
what is wrong and what is needed, and there is no traceback to read.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import signature
from traceback import extract_tb
from typing import Any, TypeVar

from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    clientFromString,
    serverFromString,
    wrapServerTLS,
)
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from zope.interface import Interface
from zope.interface.exceptions import BrokenImplementation, BrokenMethodImplementation, Invalid
from zope.interface.verify import verifyObject

from msgserver.certificates import CertificatesOnDisk
from msgserver.endpointstrings import parseEndpoint
from msgserver.pemfiles import pemFilesIn
from msgserver.proxied import ProxiedEndpoint

_Endpoint = TypeVar("_Endpoint")
_Wrapper = Callable[[IStreamServerEndpoint], IStreamServerEndpoint]

# What only Twisted's own ssl: knows of. It reads its files once.
_ONLY_TWISTED = ("sslmethod", "dhParameters")

_CALLEE = re.compile(r"^[\w.<>]+\(\) ")


def makeEndpoint(reactor: Any, text: str) -> IStreamServerEndpoint:
    """
    Make what C{text}, an endpoint string, describes. It does not listen yet.

    Strings are Twisted's, and mean what they mean there, but that C{tls:} and C{ssl:} show
    renewed certificates without a restart, and C{haproxy:} wants the PROXY header before TLS.

    @raise ValueError: the string is none, or a file that it names cannot be used.
    """

    def make() -> IStreamServerEndpoint:
        return _makeServer(reactor, text)

    return _makeOf(text, make, "no endpoint", "tcp:8001:interface=127.0.0.1")


def makeClientEndpoint(reactor: object, text: str) -> IStreamClientEndpoint:
    """
    Make what C{text}, a client's endpoint string, describes. It does not connect yet.

    @raise ValueError: the string is none, or a file that it names cannot be used.
    """

    def make() -> IStreamClientEndpoint:
        endpoint: IStreamClientEndpoint = clientFromString(reactor, text)
        return endpoint

    return _makeOf(text, make, "no endpoint of a client", "tcp:127.0.0.1:8002")


def findHandler(path: str) -> Callable[..., object]:
    """
    Find the class or function that makes a handler; the current directory is looked into.

    @param path: C{package.module:Name}.
    @raise ValueError: it is not there, or its module cannot be imported.
    """
    moduleName, _, name = path.partition(":")
    found: object = _importModule(moduleName)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ValueError(f"there is no {part} in {path.removesuffix(part)[:-1]}") from None
    if not callable(found):
        raise ValueError(f"{path} must be a class or a function that makes a handler")
    return found


def makeHandler(factory: Callable[..., object], options: Mapping[str, Any]) -> object:
    """
    Make a handler.

    @param options: the keyword arguments.
    @raise ValueError: it does not take them.
    """
    try:
        known = signature(factory)
    except (TypeError, ValueError):
        known = None  # A callable in C that does not tell; then calling it will.
    if known is not None:
        try:
            known.bind(**options)
        except TypeError as error:
            names = ", ".join(known.parameters) or "none"
            raise ValueError(f"{error}; its options are: {names}") from None
    try:
        return factory(**options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"not accepted: {error}") from None
    except Exception as error:
        raise ValueError(f"the handler cannot be made: {_blame(error)}") from None


def verifyHandler(handler: object, interface: type[Interface]) -> None:
    """
    See to it that a handler has every method that will be called.

    @raise ValueError: it does not; every method at fault is named.
    """
    try:
        verifyObject(interface, handler)
    except Invalid as invalid:
        # Several faults come as one MultipleInvalid, a single one by itself.
        faults = getattr(invalid, "exceptions", [invalid])
        raise ValueError(
            f"{type(handler).__qualname__} is no {interface.__name__}: "
            + "; ".join(_faultText(fault, interface) for fault in faults)
        ) from None


def _makeServer(reactor: Any, text: str) -> IStreamServerEndpoint:
    said = parseEndpoint(text)
    plain = ProxiedEndpoint if said.isProxied else _asItIs
    if said.kind == "tls":
        return _makeTLS(reactor, plain, *said.places, **said.named)
    if said.kind == "ssl" and not any(key in said.arguments for key in _ONLY_TWISTED):
        return _makeSSL(reactor, plain, **said.arguments)
    if said.isProxied and said.kind == "ssl":
        raise ValueError(f"there is no {' nor '.join(_ONLY_TWISTED)} behind haproxy:")
    if said.isProxied:
        return ProxiedEndpoint(_makeServer(reactor, said.behind))
    endpoint: IStreamServerEndpoint = serverFromString(reactor, text)
    return endpoint


def _makeTLS(
    reactor: Any,
    plain: _Wrapper,
    /,
    path: str,
    port: str = "443",
    backlog: str = "50",
    interface: str = "::",
) -> IStreamServerEndpoint:
    certificates = CertificatesOnDisk(path, lambda: pemFilesIn(path), reactor)
    endpoint = TCP6ServerEndpoint(reactor, int(port), int(backlog), interface)
    return wrapServerTLS(certificates, plain(endpoint), reactor)


def _makeSSL(
    reactor: Any,
    plain: _Wrapper,
    /,
    port: str,
    privateKey: str = "server.pem",
    certKey: str = "",
    interface: str = "",
    backlog: str = "50",
    extraCertChain: str = "",
) -> IStreamServerEndpoint:
    files = tuple(filter(None, dict.fromkeys((certKey, privateKey, extraCertChain))))
    certificates = CertificatesOnDisk(", ".join(files), lambda: files, reactor)
    endpoint = TCP4ServerEndpoint(reactor, int(port), int(backlog), interface)
    return wrapServerTLS(certificates, plain(endpoint), reactor)


def _asItIs(endpoint: IStreamServerEndpoint) -> IStreamServerEndpoint:
    return endpoint


def _makeOf(text: str, make: Callable[[], _Endpoint], what: str, example: str) -> _Endpoint:
    try:
        return make()
    except Exception as error:
        # Every kind of endpoint has its own parser, and they raise what they like.
        reason = _CALLEE.sub("", _textOf(error))
        raise ValueError(f'"{text}" is {what}: {reason}; one would be "{example}"') from None


def _importModule(name: str) -> object:
    here = os.getcwd()
    if here not in sys.path:
        # First, as under python -m: some packages install a module named examples or tests.
        sys.path.insert(0, here)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if f"{name}.".startswith(f"{error.name}."):
            raise ValueError(
                f"there is no module {error.name}, neither in {here} nor installed"
            ) from None
        raise ValueError(f"{name} cannot be imported: {_blame(error)}") from None
    except Exception as error:
        raise ValueError(f"{name} cannot be imported: {_blame(error)}") from None


def _faultText(fault: Invalid, interface: type[Interface]) -> str:
    if isinstance(fault, BrokenImplementation):
        return f"it has no {fault.name.__name__}"
    if isinstance(fault, BrokenMethodImplementation):
        method = fault.method
        return f"its {method.__name__} must be a method that takes {method.getSignatureString()}"
    return f"it is not declared as one, by @implementer({interface.__name__}) before its class"


def _textOf(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.strerror}: {error.filename}"
    return str(error) if isinstance(error, TypeError | ValueError | OSError) else _named(error)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _blame(error: Exception) -> str:
    """Say what was raised, and where: the last place is the user's, or near it."""
    if isinstance(error, SyntaxError):
        return _named(error)  # It says where by itself.
    place = extract_tb(error.__traceback__)[-1]
    return f"{_named(error)} ({os.path.basename(place.filename)}, line {place.lineno})"
