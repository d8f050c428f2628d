"""
The sections of a config file that are a server each.

They are a part of L{msgserver.config}, which says what there is to know of such classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from msgserver.addresses import Address, Addresses
from msgserver.configvalues import (
    Choice,
    DottedPath,
    Flag,
    Name,
    Seconds,
    Strings,
    Table,
    WholeNumber,
    about,
)
from msgserver.linksections import Control, GateLogin
from msgserver.wire.framing import MAX_PACKET, PACKET_LENGTH

_LISTEN = Strings("endpoint strings")
_CONNECTIONS = WholeNumber(1)
_OPTIONS = about(Table(), "What the handler is made with: its keyword arguments.")


@frozen(kw_only=True)
class Login:
    """
    The login server: the section C{[login]}.

    @ivar control: None where no gate connects from elsewhere, and no operator.
    """

    listen: tuple[str, ...] = field(
        default=("tcp:8001:interface=127.0.0.1",),
        metadata=about(_LISTEN, "Where clients log in."),
    )
    handler: str = field(
        metadata=about(
            DottedPath(),
            "Your ILoginHandler, which decides who may log in.",
            example="yours:YourLoginHandler",
        )
    )
    handlerOptions: Mapping[str, Any] = field(default={}, repr=False, metadata=_OPTIONS)
    suites: tuple[str, ...] = field(
        default=("classic",),
        metadata=about(
            Strings("suites", ("classic",)),
            "Which algorithms clients may use; classic is weak, and needs TLS where others listen.",
        ),
    )
    maxclient: int = field(
        default=1024,
        metadata=about(_CONNECTIONS, "How many may be logging in at once.", "connections"),
    )
    loginTimeout: float = field(
        default=10.0,
        metadata=about(Seconds(), "How long a whole login may take.", "seconds"),
    )
    gateTimeout: float = field(
        default=5.0,
        metadata=about(
            Seconds(),
            "How long a gate may take over a login or a kick; below login_timeout.",
            "seconds",
        ),
    )
    multilogin: bool = field(
        default=False,
        metadata=about(Flag(), "Whether a user may be logged in several times at once."),
    )
    sticky: bool = field(
        default=False,
        metadata=about(
            Flag(),
            "Whether a user who logs in again goes back to the gate of the login before.",
        ),
    )
    control: Control | None = None


@frozen(kw_only=True)
class Gate:
    """
    The message server: the section C{[gate]}.

    @ivar login: None where it registers with the login server of the same file, or none.
    """

    servername: str = field(
        metadata=about(Name(), "What users who log in call this gate.", example="sample")
    )
    listen: tuple[str, ...] = field(
        default=("tcp:8888:interface=127.0.0.1",),
        metadata=about(_LISTEN, "Where clients connect once they are logged in."),
    )
    advertise: str = field(
        default="",
        metadata=about(
            Address(), "Which address new clients are told at login; old ones know theirs."
        ),
    )
    weight: int = field(
        default=1,
        metadata=about(
            WholeNumber(1, 1000),
            "Its share of new logins, among gates of one name.",
            "shares",
            isLimit=False,
        ),
    )
    processes: int = field(
        default=1,
        metadata=about(
            WholeNumber(1, 256),
            "How many processes run the gate, each on an address of its own.",
            "processes",
            isLimit=False,
        ),
    )
    addresses: tuple[str, ...] = field(
        default=(),
        metadata=about(
            Addresses(),
            "Of each process, what {host} and {port} stand for in listen and advertise.",
        ),
    )
    handler: str = field(
        metadata=about(
            DottedPath(),
            "Your IMsgHandler, which answers the requests.",
            example="yours:YourMsgHandler",
        )
    )
    handlerOptions: Mapping[str, Any] = field(default={}, repr=False, metadata=_OPTIONS)
    maxclient: int = field(
        default=1024,
        metadata=about(_CONNECTIONS, "How many may be connected at once.", "connections"),
    )
    nodelay: bool = field(
        default=True,
        metadata=about(Flag(), "Whether small answers leave at once (TCP_NODELAY)."),
    )
    directSend: bool = field(
        default=True,
        metadata=about(
            Flag(), "Whether answers go to the socket past Twisted's buffers; plain TCP only."
        ),
    )
    batchReads: bool = field(
        default=True,
        metadata=about(
            Flag(), "Whether connections are read past Twisted's reactor; plain TCP on Linux only."
        ),
    )
    expiredNumber: int = field(
        default=128,
        metadata=about(
            WholeNumber(1, 65536),
            "How many responses of a login are kept at least, to be sent again.",
            "responses",
        ),
    )
    cacheBytes: int = field(
        default=1024 * 1024,
        metadata=about(
            WholeNumber(PACKET_LENGTH.size + MAX_PACKET),
            "How large a login's kept responses grow before fewer of them are kept.",
            "bytes",
        ),
    )
    sessions: str = field(
        default="any",
        metadata=about(
            Choice(("any", "increasing")),
            "Whether a client's sessions count up; then a request is never run twice.",
        ),
    )
    maxPacket: int = field(
        default=MAX_PACKET,
        metadata=about(
            WholeNumber(128, MAX_PACKET), "How long a packet of a client may be.", "bytes"
        ),
    )
    handshakeTimeout: float = field(
        default=10.0,
        metadata=about(Seconds(), "How long a connection may take to shake hands.", "seconds"),
    )
    maxRunning: int = field(
        default=128,
        metadata=about(WholeNumber(1), "How many requests of a login may run at once.", "requests"),
    )
    stallTimeout: float = field(
        default=30.0,
        metadata=about(
            Seconds(),
            "How long a client may leave its answers unread, and how long a close may take.",
            "seconds",
        ),
    )
    awayTimeout: float = field(
        default=3600.0,
        metadata=about(
            Seconds("never"),
            "How long a user may be without a connection before being logged out.",
            "seconds",
        ),
    )
    kickTimeout: float = field(
        default=3.0,
        metadata=about(
            Seconds(),
            "How long the handler may take over a kick; below the gate_timeout of [login].",
            "seconds",
        ),
    )
    drainTimeout: float = field(
        default=10.0,
        metadata=about(
            Seconds(), "How long running requests may take to finish at shutdown.", "seconds"
        ),
    )
    login: GateLogin | None = None
