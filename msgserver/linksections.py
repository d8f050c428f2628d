"""
The sections of a config file that are about the control link: its two ends, and the operators'.

They are a part of L{msgserver.config}, which says what there is to know of such classes.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from msgserver.configvalues import (
    Flag,
    Key,
    Keys,
    Name,
    PemFile,
    Seconds,
    Strings,
    WholeNumber,
    about,
)

_CERTIFICATE = about(
    PemFile(), "This end's certificate, and those that lead to the authority; for TLS."
)
_PRIVATE_KEY = about(PemFile(), "The private key of the certificate, without a passphrase.")
_AUTHORITY = about(PemFile(), "The certificates of who must have signed the other end's.")
_PING_INTERVAL = about(
    Seconds(), "How often the other end is asked whether it is there.", "seconds", isLimit=False
)
_PING_TIMEOUT = about(
    Seconds(),
    "How long the other end may take over an answer, but a login's or a kick's.",
    "seconds",
)


@frozen(kw_only=True)
class Control:
    """The login server's end of the control link: the section C{[login.control]}."""

    listen: tuple[str, ...] = field(
        default=("tcp:8002:interface=127.0.0.1",),
        metadata=about(Strings("endpoint strings"), "Where gates and operators connect."),
    )
    gates: Mapping[str, str] = field(
        default={},
        repr=False,
        metadata=about(Keys(), "Which gates may connect, and the key that each must have."),
    )
    operatorKey: str = field(
        default="",
        repr=False,
        metadata=about(Key("no operators"), "The key that operators must have."),
    )
    certificate: str = field(default="", metadata=_CERTIFICATE)
    privateKey: str = field(default="", metadata=_PRIVATE_KEY)
    authority: str = field(default="", metadata=_AUTHORITY)
    insecure: bool = field(
        default=False,
        metadata=about(
            Flag(), "Whether the listen strings may be reached from other machines without TLS."
        ),
    )
    maxclient: int = field(
        default=1024,
        metadata=about(WholeNumber(1), "How many may be connected at once.", "connections"),
    )
    handshakeTimeout: float = field(
        default=10.0,
        metadata=about(Seconds(), "How long a connection may take to prove its key.", "seconds"),
    )
    pingInterval: float = field(default=5.0, metadata=_PING_INTERVAL)
    pingTimeout: float = field(default=5.0, metadata=_PING_TIMEOUT)


@frozen(kw_only=True)
class LoginServers:
    """How to connect to login servers; what the sections that do so share."""

    servers: tuple[str, ...] = field(
        default=("tcp:127.0.0.1:8002",),
        metadata=about(
            Strings("client endpoint strings"),
            "The login servers, by where their [login.control] listens.",
        ),
    )
    key: str = field(
        repr=False,
        metadata=about(
            Key(), "The key that the login servers have for this end.", example="replace-this-key"
        ),
    )
    certificate: str = field(default="", metadata=_CERTIFICATE)
    privateKey: str = field(default="", metadata=_PRIVATE_KEY)
    authority: str = field(default="", metadata=_AUTHORITY)
    serverName: str = field(
        default="login",
        metadata=about(Name(), "The name that the login servers' certificates must have."),
    )


@frozen(kw_only=True)
class GateLogin(LoginServers):
    """A gate's end of the control link: the section C{[gate.login]}."""

    pingInterval: float = field(default=5.0, metadata=_PING_INTERVAL)
    pingTimeout: float = field(default=5.0, metadata=_PING_TIMEOUT)
    retryDelay: float = field(
        default=5.0,
        metadata=about(
            Seconds(),
            "The longest wait before the next attempt to connect.",
            "seconds",
            isLimit=False,
        ),
    )


@frozen(kw_only=True)
class Operator(LoginServers):
    """How C{msgserver-ctl} connects: the section C{[operator]}."""

    timeout: float = field(
        default=10.0,
        metadata=about(
            Seconds(),
            "How long a login server may take to be connected to, and over each answer.",
            "seconds",
        ),
    )
