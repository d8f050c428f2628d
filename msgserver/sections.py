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
    Networks,
    PemFile,
    Port,
    Rate,
    Seconds,
    Strings,
    Table,
    WholeNumber,
    about,
)
from msgserver.linksections import Control, GateLogin
from msgserver.wire.framing import MAX_PACKET, PACKET_LENGTH

SUITES = ("modern", "classic")
"""What the suites of algorithms are called, the better first."""

_LISTEN = Strings("endpoint strings")
_CONNECTIONS = WholeNumber(1)
_STRANGERS = about(
    WholeNumber(1),
    "How many may be connected at once that have not proved who they are.",
    "connections",
)
_ADDRESS_MAXCLIENT = about(
    WholeNumber(1), "How many may be connected at once from one address.", "connections"
)
_ADDRESS_RATE = about(
    Rate(), "How often one address may connect in the long run.", "connections a second"
)
_ADDRESS_BURST = about(
    WholeNumber(1), "How often one address may connect before that holds.", "connections"
)
_ADDRESS_TABLE = about(
    WholeNumber(1024), "How many addresses and users such limits are kept for.", "entries"
)
_UNLIMITED = about(Networks(), "The addresses that no limit of an address holds for.")
_LOOPBACK = ("127.0.0.0/8", "::1/128")
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
        default=(),
        metadata=about(
            Strings("suites", SUITES, "what is safe"),
            "Which algorithms clients may use; classic is safe only where nobody can overhear it.",
        ),
    )
    identity: str = field(
        default="",
        metadata=about(
            PemFile(), "The key that proves to clients which server this is; keygen makes one."
        ),
    )
    maxclient: int = field(
        default=1024,
        metadata=about(_CONNECTIONS, "How many may be logging in at once.", "connections"),
    )
    maxStrangers: int = field(default=512, metadata=_STRANGERS)
    addressMaxclient: int = field(default=64, metadata=_ADDRESS_MAXCLIENT)
    addressRate: float = field(default=10.0, metadata=_ADDRESS_RATE)
    addressBurst: int = field(default=100, metadata=_ADDRESS_BURST)
    addressTable: int = field(default=65536, metadata=_ADDRESS_TABLE)
    unlimited: tuple[str, ...] = field(default=_LOOPBACK, metadata=_UNLIMITED)
    maxAuthenticating: int = field(
        default=64,
        metadata=about(WholeNumber(1), "How many tokens the handler may be at, at once.", "logins"),
    )
    freeFailures: int = field(
        default=5,
        metadata=about(
            WholeNumber(1),
            "How many logins of a user may fail before the next must wait.",
            "failures",
        ),
    )
    addressFreeFailures: int = field(
        default=50,
        metadata=about(
            WholeNumber(1),
            "How many logins of an address may fail before the next must wait.",
            "failures",
        ),
    )
    failureDelay: float = field(
        default=1.0,
        metadata=about(
            Seconds(),
            "How long the first such wait is; each further one is twice it.",
            "seconds",
        ),
    )
    longestFailureDelay: float = field(
        default=60.0,
        metadata=about(Seconds(), "How long such a wait is at most.", "seconds"),
    )
    failureMemory: float = field(
        default=600.0,
        metadata=about(
            Seconds(), "How long after the last failure all of them are forgotten.", "seconds"
        ),
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
    maxStrangers: int = field(default=512, metadata=_STRANGERS)
    addressMaxclient: int = field(default=256, metadata=_ADDRESS_MAXCLIENT)
    addressRate: float = field(default=20.0, metadata=_ADDRESS_RATE)
    addressBurst: int = field(default=200, metadata=_ADDRESS_BURST)
    addressTable: int = field(default=65536, metadata=_ADDRESS_TABLE)
    unlimited: tuple[str, ...] = field(default=_LOOPBACK, metadata=_UNLIMITED)
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
    requestRate: float = field(
        default=0.0,
        metadata=about(
            Rate("as often as it likes"),
            "How often a login may ask in the long run; past it, its requests wait.",
            "requests a second",
        ),
    )
    requestBurst: int = field(
        default=256,
        metadata=about(WholeNumber(1), "How often a login may ask before that holds.", "requests"),
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


@frozen(kw_only=True)
class Ops:
    """What runs beside a server for those who watch it: the section C{[ops]}."""

    listen: tuple[str, ...] = field(
        default=("tcp:{port}:interface=127.0.0.1",),
        metadata=about(_LISTEN, "Where /metrics, /healthz and /readyz are served."),
    )
    port: int = field(
        default=8003,
        metadata=about(
            Port(),
            "What {port} stands for; for process K of a gate of several, K more.",
        ),
    )
    maxclient: int = field(
        default=64,
        metadata=about(_CONNECTIONS, "How many may be connected at once.", "connections"),
    )
