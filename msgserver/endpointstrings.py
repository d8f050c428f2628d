"""
What endpoint strings say, as far as it matters here: who can connect, and how.

Twisted reads them too, but keeps what it has read to itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address

from attrs import frozen
from twisted.internet.endpoints import quoteStringArgument

_TOKEN = re.compile(r"\\.|[^:\\]+|:", re.DOTALL)
_KEY = re.compile(r"((?:\\.|[^=\\])*)=(.*)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

# The arguments of the kinds that matter here, by their places; each may be said by name, too.
_ARGUMENTS = {
    "tcp": ("port", "interface", "backlog"),
    "tcp6": ("port", "backlog", "interface"),
    "unix": ("address", "mode", "backlog", "lockfile"),
}
_DEFAULT_MODE = "666"
_EVERYBODY = 0o007
_LOOPBACKS = {"tcp": "127.0.0.1", "tcp6": "::1"}
_ANY = ("", "0.0.0.0", "::")


@frozen
class _Endpoint:
    """
    What an endpoint string says.

    @ivar kind: in lower case; of what is behind a C{haproxy:}, that is.
    @ivar isProxied: it is behind one.
    @ivar arguments: by their names, for the kinds whose names are known.
    """

    kind: str
    isProxied: bool
    arguments: Mapping[str, str]


def hasTLS(text: str) -> bool:
    """Tell whether an endpoint, of a server or a client, brings TLS of its own."""
    return _parse(text).kind in ("tls", "ssl")


def exposureOf(text: str) -> str:
    """
    Say who may connect to a server endpoint, beside those whom this machine lets.

    @return: the end of a sentence on the endpoint; empty where nobody may.
    """
    endpoint = _parse(text)
    if endpoint.kind in ("tls", "ssl"):
        return "lets anybody connect: its TLS asks for no certificate"
    if endpoint.isProxied:
        return "lets connect whomever the proxy does"
    if endpoint.kind == "unix":
        mode = endpoint.arguments.get("mode", _DEFAULT_MODE)
        if endpoint.arguments.get("address", "").startswith("\0"):
            return "lets every user of this machine connect: a name without a file has no mode"
        if int(mode, 8) & _EVERYBODY:
            return f"lets every user of this machine connect (mode={mode}): write mode=600"
        return ""
    if endpoint.kind in _LOOPBACKS and _isLoopback(endpoint.arguments.get("interface", "")):
        return ""
    return "may be reached from other machines"


def clientStringOf(text: str) -> str | None:
    """Make the string of a client's endpoint that connects to a server's; None if none can be."""
    endpoint = _parse(text)
    arguments = endpoint.arguments
    if endpoint.kind == "unix" and not endpoint.isProxied and "address" in arguments:
        return f"unix:{quoteStringArgument(arguments['address'])}"
    if endpoint.kind not in _LOOPBACKS or endpoint.isProxied:
        return None
    port, host = arguments.get("port", ""), arguments.get("interface", "")
    if not port.isdecimal() or int(port) == 0:
        # Which one it comes to be, the system decides.
        return None
    host = _LOOPBACKS[endpoint.kind] if host in _ANY else host
    return f"tcp:{quoteStringArgument(host)}:{port}"


def _parse(text: str) -> _Endpoint:
    # As Twisted has it: what has a = is a keyword wherever it stands, and the last of a name wins.
    places: list[str] = []
    named: dict[str, str] = {}
    for part in _split(text):
        if match := _KEY.fullmatch(part):
            named[_unescape(match[1])] = _unescape(match[2])
        else:
            places.append(_unescape(part))
    kinds = [place.lower() for place in places[:2]] or [""]
    isProxied = kinds[0] == "haproxy" and len(kinds) > 1
    kind, *values = places[isProxied:] or [""]
    kind = kind.lower()
    known = dict(zip(_ARGUMENTS.get(kind, ()), values, strict=False))
    return _Endpoint(kind, isProxied, known | named)


def _split(text: str) -> list[str]:
    """Take a string apart at the colons that have no backslash before them."""
    parts = [""]
    for token in _TOKEN.findall(text):
        if token == ":":
            parts.append("")
        else:
            parts[-1] += token
    return parts


def _unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def _isLoopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        # A name may be anybody's.
        return False
