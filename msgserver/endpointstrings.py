"""
What endpoint strings say, as far as it matters here: who can connect, and how, and who may
overhear it.

Twisted reads them too, but keeps what it has read to itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
    "ssl": (
        *("port", "privateKey", "certKey", "sslmethod", "interface", "backlog"),
        *("extraCertChain", "dhParameters"),
    ),
}
_DEFAULT_MODE = "666"
_EVERYBODY = 0o007
_LOOPBACKS = {"tcp": "127.0.0.1", "tcp6": "::1"}
_TLS = ("tls", "ssl")
_ANY = ("", "0.0.0.0", "::")


@frozen
class Endpoint:
    """
    What an endpoint string says.

    @ivar kind: in lower case; of what is behind a C{haproxy:}, that is.
    @ivar isProxied: it is behind one.
    @ivar places: the arguments that are said by their places, but for the kind.
    @ivar named: those that are said by their names.
    """

    kind: str
    isProxied: bool
    places: Sequence[str]
    named: Mapping[str, str]

    @property
    def arguments(self) -> Mapping[str, str]:
        """All of them by their names, for the kinds whose names are known."""
        known = dict(zip(_ARGUMENTS.get(self.kind, ()), self.places, strict=False))
        return {**known, **self.named}

    @property
    def behind(self) -> str:
        """Say it again as a string, without the C{haproxy:}."""
        named = (f"{_quote(key)}={_quote(value)}" for key, value in self.named.items())
        return ":".join([*map(_quote, (self.kind, *self.places)), *named])


def hasTLS(text: str) -> bool:
    """Tell whether an endpoint, of a server or a client, brings TLS of its own."""
    return parseEndpoint(text).kind in _TLS


def isProxied(text: str) -> bool:
    """
    Tell whether a proxy stands before a server endpoint, and says whose each connection is.

    Then C{getPeer} is the proxy until the first bytes have come.
    """
    return parseEndpoint(text).isProxied


def isOverheard(text: str) -> bool:
    """
    Tell whether others may overhear what goes through a server endpoint.

    Nobody can where there is TLS, nor on a UNIX socket or a loopback address; what a proxy sends
    there has come from elsewhere. Where it is not known, they may.
    """
    endpoint = parseEndpoint(text)
    if endpoint.kind in _TLS:
        return False
    return endpoint.isProxied or not (endpoint.kind == "unix" or _isForLoopback(endpoint))


def exposureOf(text: str) -> str:
    """
    Say who may connect to a server endpoint, beside those whom this machine lets.

    @return: the end of a sentence on the endpoint; empty where nobody may.
    """
    endpoint = parseEndpoint(text)
    if endpoint.kind in _TLS:
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
    if _isForLoopback(endpoint):
        return ""
    return "may be reached from other machines"


def clientStringOf(text: str) -> str | None:
    """Make the string of a client's endpoint that connects to a server's; None if none can be."""
    endpoint = parseEndpoint(text)
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


def parseEndpoint(text: str) -> Endpoint:
    """Read an endpoint string; whether it is one is not looked at."""
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
    kind, *places = places[isProxied:] or [""]
    return Endpoint(kind.lower(), isProxied, places, named)


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


def _quote(text: str) -> str:
    # With a = in it, an argument that is said by its place would be said by a name.
    quoted: str = quoteStringArgument(text)
    return quoted.replace("=", r"\=")


def _isForLoopback(endpoint: Endpoint) -> bool:
    host = endpoint.arguments.get("interface", "")
    try:
        return endpoint.kind in _LOOPBACKS and ip_address(host).is_loopback
    except ValueError:
        # A name may be anybody's.
        return False
