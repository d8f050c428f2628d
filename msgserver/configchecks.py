"""
What the settings of a config file must be together, beside what each must be by itself.
"""

from __future__ import annotations

from collections.abc import Callable

from msgserver.addresses import (
    HostAndPort,
    expandAddresses,
    fillAddress,
    fillEndpoint,
    placeholderIn,
)
from msgserver.configreading import Reading
from msgserver.endpointstrings import clientStringOf
from msgserver.tomllines import KeyPath

_SHORTER_TIMES: tuple[tuple[KeyPath, KeyPath], ...] = (
    (("login", "gate_timeout"), ("login", "login_timeout")),
    (("gate", "kick_timeout"), ("login", "gate_timeout")),
)
"""Pairs of times of which the first runs within the second."""

_LISTEN, _ADVERTISE = ("gate", "listen"), ("gate", "advertise")
_CONTROL, _GATE_LOGIN = ("login", "control"), ("gate", "login")
_OPS_LISTEN, _OPS_PORT = ("ops", "listen"), ("ops", "port")
_PROCESSES, _ADDRESSES = ("gate", "processes"), ("gate", "addresses")


def checkServers(reading: Reading) -> None:
    """Check all that a server's settings must be together."""
    if not (reading.has(("login",)) or reading.has(("gate",)) or reading.errors):
        reading.add("there must be a section [login], a section [gate], or both", ())
    _checkTimes(reading)
    if None not in map(reading.value, (_LISTEN, _ADVERTISE, _PROCESSES, _ADDRESSES)):
        _checkAddresses(reading)
        if reading.value(_PROCESSES) > 1:
            _checkProcesses(reading)
    if reading.has(_CONTROL) and reading.has(_GATE_LOGIN):
        _checkLink(reading)
    if reading.has(("ops",)):
        _checkOps(reading)


def _checkOps(reading: Reading) -> None:
    """See to it that each process can be watched apart from the others."""
    listen, first = reading.value(_OPS_LISTEN), reading.value(_OPS_PORT)
    processes = (reading.value(_PROCESSES) if reading.has(("gate",)) else None) or 1
    for text in listen or ():
        if "{host}" in text:
            reading.add(f'"{text}" has a {{host}}, which stands for nothing here', _OPS_LISTEN)
        elif processes > 1 and "{port}" not in text:
            reading.add(
                f'"{text}" is the same for several processes: write {{port}} where they differ',
                _OPS_LISTEN,
                _PROCESSES,
            )
    last = 0xFFFF - (processes if processes > 1 else 0)
    if first is not None and first > last:
        reading.add(
            f"must be at most {last}, for {processes} processes to have one each", _OPS_PORT
        )


def _checkLink(reading: Reading) -> None:
    """See to it that a gate and a login server of one file, if they are to meet, can do so."""
    listen, gates = reading.value((*_CONTROL, "listen")), reading.value((*_CONTROL, "gates"))
    servers, key = reading.value((*_GATE_LOGIN, "servers")), reading.value((*_GATE_LOGIN, "key"))
    name, processes = reading.value(("gate", "servername")), reading.value(_PROCESSES)
    if None in (listen, gates, servers, key, name, processes):
        return
    ends = list(map(clientStringOf, listen))
    if None not in ends and not {_portOf(end) for end in ends if end} & set(map(_portOf, servers)):
        # One process may well be a gate of another login server; several have no other reason.
        if processes > 1:
            reading.add(
                f"none of these is where [login.control] listens: that is {', '.join(listen)}",
                (*_GATE_LOGIN, "servers"),
            )
    elif name not in gates:
        reading.add(f'"{name}" must be there, for the gate in this file', (*_CONTROL, "gates"))
    elif gates[name] != key:
        reading.add(
            f'must be the key that login.control.gates has for "{name}"', (*_GATE_LOGIN, "key")
        )


def _portOf(text: str) -> str:
    """Give what tells one client's endpoint string of this machine from another, about."""
    return text if text.startswith("unix:") else text.rpartition(":")[2].removeprefix("port=")


def _checkTimes(reading: Reading) -> None:
    for short, long in _SHORTER_TIMES:
        shortTime, longTime = reading.value(short), reading.value(long)
        if shortTime is not None and longTime is not None and shortTime >= longTime:
            reading.add(
                f"{'.'.join(short)} ({shortTime}) must be below {'.'.join(long)} ({longTime})",
                short,
                long,
            )


def _checkAddresses(reading: Reading) -> None:
    """See to it that what is filled in makes something of each string, for each process."""
    addresses = expandAddresses(reading.value(_ADDRESSES))
    count = reading.value(_PROCESSES)
    for path, text, fill in _filled(reading):
        placeholder = placeholderIn(text)
        if placeholder and not addresses:
            reading.add(
                f'"{text}" has a {placeholder}, which stands for what addresses says: it must'
                " say something",
                path,
            )
        for address in addresses[:count]:
            try:
                fill(text, address)
            except ValueError as error:
                reading.add(str(error), path)
                break


def _checkProcesses(reading: Reading) -> None:
    """See to it that several processes can tell each other apart, and be told apart."""
    count = reading.value(_PROCESSES)
    addresses = expandAddresses(reading.value(_ADDRESSES))
    if len(addresses) < count:
        reading.add(
            f"there must be {count} addresses for {count} processes, not {len(addresses)}",
            _ADDRESSES,
            _PROCESSES,
        )
    for path, text, fill in _filled(reading):
        if not placeholderIn(text) or not _differ(text, fill, addresses[:count]):
            reading.add(
                f'"{text}" is the same for several processes: write {{port}} or {{host}} where'
                " they differ",
                path,
                _PROCESSES,
            )
    if not reading.value(_ADVERTISE):
        reading.add(
            f"is required where there are {count} processes, for clients to be told theirs:"
            ' one would be "gate.example.org:{port}"',
            _ADVERTISE,
        )
    for server, section in (("gate", "login"), ("login", "control")):
        if reading.has((server,)) and not reading.has((server, section)):
            reading.add(
                f"there must be a section [{server}.{section}] where there are {count} processes:"
                " each connects to the login server",
                _PROCESSES,
            )


def _differ(
    text: str, fill: Callable[[str, HostAndPort], str], addresses: tuple[HostAndPort, ...]
) -> bool:
    try:
        return len({fill(text, address) for address in addresses}) == len(addresses)
    except ValueError:
        # That is another mistake, and told as such.
        return True


def _filled(
    reading: Reading,
) -> list[tuple[KeyPath, str, Callable[[str, HostAndPort], str]]]:
    """List the strings that an address is put into, with what does so."""
    advertise = reading.value(_ADVERTISE)
    return [
        *((_LISTEN, text, fillEndpoint) for text in reading.value(_LISTEN)),
        *((_ADVERTISE, text, fillAddress) for text in (advertise,) if text),
    ]
