"""
Reads a config file: makes everything that it says, or tells every mistake in it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from attrs import evolve, field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.interfaces import IStreamServerEndpoint
from zope.interface import Interface

from msgserver import loading
from msgserver.addresses import (
    HostAndPort,
    expandAddresses,
    fillAddress,
    fillEndpoint,
    placeholderIn,
)
from msgserver.config import Control, Gate, GateLogin, Login, Operator, Ops
from msgserver.configchecks import checkServers
from msgserver.configreading import Reading
from msgserver.identity import readIdentity
from msgserver.interfaces import (
    ICounts,
    ILoginHandler,
    IMsgHandler,
    INamesUser,
    INoticesClosing,
    INoticesConnections,
)
from msgserver.linkparts import Link, makeControl, makeGateLogin, makeOperator

__all__ = ["Link", "Part", "Parts", "WatchPart", "loadConfig", "loadOperator"]

_Settings = TypeVar("_Settings", Login, Gate)
_Handler = TypeVar("_Handler")

_LISTEN = ("gate", "listen")
_PROCESSES = ("gate", "processes")

_OPTIONAL: tuple[type[Interface], ...] = (
    INamesUser,
    INoticesConnections,
    INoticesClosing,
    ICounts,
)
"""What a handler may provide besides."""


@frozen
class Part(Generic[_Settings, _Handler]):
    """
    One of the servers: its section, and what that names.

    @ivar endpoints: each endpoint string, and the endpoint that it describes.
    """

    settings: _Settings
    handler: _Handler = field(repr=False)
    endpoints: tuple[tuple[str, IStreamServerEndpoint], ...] = field(repr=False)


@frozen
class WatchPart:
    """
    Where a process is watched: the section C{[ops]}, and what that names.

    @ivar endpoints: each endpoint string, and the endpoint that it describes.
    """

    settings: Ops
    endpoints: tuple[tuple[str, IStreamServerEndpoint], ...] = field(repr=False)


@frozen
class Parts:
    """
    What a config file makes.

    @ivar login: None where this process has no login server.
    @ivar gate: None where this process has no gate. Where several processes are the gate,
        this one is none of them: then it has no endpoints.
    @ivar control: None where the login server is not to be connected to.
    @ivar gateLogin: None where the gate does not connect to a login server.
    @ivar ops: None where nobody watches.
    @ivar identity: the login server's key, where it has one (L3).
    """

    login: Part[Login, ILoginHandler] | None
    gate: Part[Gate, IMsgHandler] | None
    control: Link[Control] | None = None
    gateLogin: Link[GateLogin] | None = None
    ops: WatchPart | None = None
    identity: Ed25519PrivateKey | None = field(default=None, repr=False)


def loadConfig(file: str, reactor: object, process: int = 0) -> Parts:
    """
    Read a config file and make the handlers and endpoints that it names.

    @param reactor: what the endpoints will listen and connect with; nothing does so yet.
    @param process: which process of the gate this is, from 1. It is that and nothing else, and
        a gate of one process to itself. 0 is the process that is started by hand.
    @raise ConfigErrors: the file cannot be used; with all that is wrong with it.
    """
    reading = Reading(file)
    checkServers(reading)
    if process:
        _checkProcess(reading, process)
    login = None if process else _makeLogin(reading, reactor)
    gate = _makeGate(reading, reactor, process)
    control = None if process else makeControl(reading, reactor)
    gateLogin = makeGateLogin(reading, reactor)
    ops = _makeOps(reading, reactor, process)
    identity = None if process else _readIdentity(reading)
    reading.check()
    return Parts(login, gate, control, gateLogin, ops, identity)


def loadOperator(file: str, reactor: object) -> Link[Operator]:
    """
    Read from a config file how an operator connects; no handler is made.

    @raise ConfigErrors: the file cannot be used; with all that is wrong with it.
    """
    reading = Reading(file)
    operator = makeOperator(reading, reactor)
    reading.check()
    assert operator is not None  # Where there is none, there is a mistake.
    return operator


def _checkProcess(reading: Reading, process: int) -> None:
    if not reading.has(("gate",)):
        reading.add(f"there is no section [gate], and so no process {process} of it", ())
        return
    count = reading.value(_PROCESSES)
    if count is not None and not 1 <= process <= count:
        reading.add(f"there is no process {process}: they are numbered 1 to {count}", _PROCESSES)


def _makeLogin(reading: Reading, reactor: object) -> Part[Login, ILoginHandler] | None:
    handler = _makeHandler(reading, "login", ILoginHandler)
    path, endpoints = ("login", "listen"), []
    for text in reading.value(path) or ():
        endpoint = reading.attempt(loading.makeEndpoint, reactor, text, at=path)
        if endpoint is not None:
            endpoints.append((text, endpoint))
    login = reading.config.login
    return None if login is None else Part(login, handler, tuple(endpoints))


def _readIdentity(reading: Reading) -> Ed25519PrivateKey | None:
    path = ("login", "identity")
    file = reading.value(path)
    return reading.attempt(readIdentity, file, at=path) if file else None


def _makeOps(reading: Reading, reactor: object, process: int) -> WatchPart | None:
    path, endpoints = ("ops", "listen"), []
    port = reading.value(("ops", "port"))
    for text in reading.value(path) or ():
        if port is None or "{host}" in text:
            continue  # That is told already.
        filled = fillEndpoint(text, ("", port + process))
        endpoint = reading.attempt(loading.makeEndpoint, reactor, filled, at=path)
        if endpoint is not None:
            endpoints.append((filled, endpoint))
    ops = reading.config.ops
    return None if ops is None else WatchPart(ops, tuple(endpoints))


def _makeGate(reading: Reading, reactor: object, process: int) -> Part[Gate, IMsgHandler] | None:
    handler = _makeHandler(reading, "gate", IMsgHandler)
    addresses = _addressesOf(reading, process)
    endpoints = _makeGateEndpoints(reading, reactor, addresses)
    gate = reading.config.gate
    # A process that does not exist may lack an address, and strings not fit: it is no part then.
    if gate is None or reading.errors:
        return None
    if gate.processes > 1 and not process:
        return Part(gate, handler, ())
    address = addresses[0]
    if address is not None:
        gate = evolve(gate, advertise=fillAddress(gate.advertise, address))
    listen = tuple(text for text, _ in endpoints)
    return Part(evolve(gate, listen=listen, processes=1), handler, endpoints)


def _addressesOf(reading: Reading, process: int) -> Sequence[HostAndPort | None]:
    """Give the address of a process, or those of all for process 0; or else None, once."""
    addresses = expandAddresses(reading.value(("gate", "addresses")) or ())
    first, last = (process - 1, process) if process else (0, reading.value(_PROCESSES))
    return addresses[first:last] or [None]


def _makeGateEndpoints(
    reading: Reading, reactor: object, addresses: Sequence[HostAndPort | None]
) -> tuple[tuple[str, IStreamServerEndpoint], ...]:
    endpoints = []
    for text in reading.value(_LISTEN) or ():
        for address in addresses:
            try:
                filled = text if address is None else fillEndpoint(text, address)
            except ValueError:
                break  # That is told already; and so is a string that cannot be filled in.
            if placeholderIn(filled):
                break
            endpoint = reading.attempt(loading.makeEndpoint, reactor, filled, at=_LISTEN)
            if endpoint is None:
                break  # What is wrong for one process is so for the others, too.
            endpoints.append((filled, endpoint))
    return tuple(endpoints)


def _makeHandler(reading: Reading, section: str, interface: type[Interface]) -> Any:
    """Make a section's handler, where there is one to make."""
    handlerKey, optionsKey = (section, "handler"), (section, "handler_options")
    path, options = reading.value(handlerKey), reading.value(optionsKey)
    if path is None:
        return None
    try:
        factory = loading.findHandler(path)
    except ValueError as error:
        return reading.add(str(error), handlerKey)
    if options is None:
        return None
    try:
        handler = loading.makeHandler(factory, options)
    except ValueError as error:
        return reading.add(f"{path}: {error}", optionsKey, handlerKey)
    for each in (interface, *(optional for optional in _OPTIONAL if optional.providedBy(handler))):
        try:
            loading.verifyHandler(handler, each)
        except ValueError as error:
            return reading.add(str(error), handlerKey)
    return handler
