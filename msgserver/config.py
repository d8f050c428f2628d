"""
What a config file may say: every setting once, with its default, unit, range and meaning.

Whatever else there is to know of a setting derives from these two classes: how a file is read
(L{msgserver.configfile}), what C{--print-config} prints (L{exampleConfig}), and the tables of
the documentation (L{settings}).

A setting is C{camelCase} here and C{snake_case} in a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from attrs import field, frozen

from msgserver.configvalues import (
    Address,
    Choice,
    DottedPath,
    Flag,
    Kind,
    Name,
    Seconds,
    Strings,
    Table,
    WholeNumber,
    tomlText,
)
from msgserver.wire.framing import MAX_PACKET, PACKET_LENGTH


def _about(kind: Kind, doc: str, unit: str = "", example: str = "") -> dict[str, Any]:
    return {"kind": kind, "doc": doc, "unit": unit, "example": example}


_LISTEN = Strings("endpoint strings")
_CONNECTIONS = WholeNumber(1)
_OPTIONS = _about(Table(), "What the handler is made with: its keyword arguments.")


@frozen(kw_only=True)
class Login:
    """The login server: the section C{[login]}."""

    listen: tuple[str, ...] = field(
        default=("tcp:8001:interface=127.0.0.1",),
        metadata=_about(_LISTEN, "Where clients log in."),
    )
    handler: str = field(
        metadata=_about(
            DottedPath(),
            "Your ILoginHandler, which decides who may log in.",
            example="yours:YourLoginHandler",
        )
    )
    handlerOptions: Mapping[str, Any] = field(default={}, repr=False, metadata=_OPTIONS)
    suites: tuple[str, ...] = field(
        default=("classic",),
        metadata=_about(
            Strings("suites", ("classic",)),
            "Which algorithms clients may use; classic is weak, and needs TLS where others listen.",
        ),
    )
    maxclient: int = field(
        default=1024,
        metadata=_about(_CONNECTIONS, "How many may be logging in at once.", "connections"),
    )
    loginTimeout: float = field(
        default=10.0,
        metadata=_about(Seconds(), "How long a whole login may take.", "seconds"),
    )
    gateTimeout: float = field(
        default=5.0,
        metadata=_about(
            Seconds(),
            "How long a gate may take over a login or a kick; below login_timeout.",
            "seconds",
        ),
    )
    multilogin: bool = field(
        default=False,
        metadata=_about(Flag(), "Whether a user may be logged in several times at once."),
    )


@frozen(kw_only=True)
class Gate:
    """The message server: the section C{[gate]}."""

    servername: str = field(
        metadata=_about(Name(), "What users who log in call this gate.", example="sample")
    )
    listen: tuple[str, ...] = field(
        default=("tcp:8888:interface=127.0.0.1",),
        metadata=_about(_LISTEN, "Where clients connect once they are logged in."),
    )
    advertise: str = field(
        default="",
        metadata=_about(
            Address(), "Which address new clients are told at login; old ones know theirs."
        ),
    )
    handler: str = field(
        metadata=_about(
            DottedPath(),
            "Your IMsgHandler, which answers the requests.",
            example="yours:YourMsgHandler",
        )
    )
    handlerOptions: Mapping[str, Any] = field(default={}, repr=False, metadata=_OPTIONS)
    maxclient: int = field(
        default=1024,
        metadata=_about(_CONNECTIONS, "How many may be connected at once.", "connections"),
    )
    nodelay: bool = field(
        default=True,
        metadata=_about(Flag(), "Whether small answers leave at once (TCP_NODELAY)."),
    )
    expiredNumber: int = field(
        default=128,
        metadata=_about(
            WholeNumber(1, 65536),
            "How many responses of a login are kept at least, to be sent again.",
            "responses",
        ),
    )
    cacheBytes: int = field(
        default=1024 * 1024,
        metadata=_about(
            WholeNumber(PACKET_LENGTH.size + MAX_PACKET),
            "How large a login's kept responses grow before fewer of them are kept.",
            "bytes",
        ),
    )
    sessions: str = field(
        default="any",
        metadata=_about(
            Choice(("any", "increasing")),
            "Whether a client's sessions count up; then a request is never run twice.",
        ),
    )
    maxPacket: int = field(
        default=MAX_PACKET,
        metadata=_about(
            WholeNumber(128, MAX_PACKET), "How long a packet of a client may be.", "bytes"
        ),
    )
    handshakeTimeout: float = field(
        default=10.0,
        metadata=_about(Seconds(), "How long a connection may take to shake hands.", "seconds"),
    )
    maxRunning: int = field(
        default=128,
        metadata=_about(
            WholeNumber(1), "How many requests of a login may run at once.", "requests"
        ),
    )
    stallTimeout: float = field(
        default=30.0,
        metadata=_about(
            Seconds(),
            "How long a client may leave its answers unread, and how long a close may take.",
            "seconds",
        ),
    )
    awayTimeout: float = field(
        default=3600.0,
        metadata=_about(
            Seconds("never"),
            "How long a user may be without a connection before being logged out.",
            "seconds",
        ),
    )
    kickTimeout: float = field(
        default=3.0,
        metadata=_about(
            Seconds(),
            "How long the handler may take over a kick; below the gate_timeout of [login].",
            "seconds",
        ),
    )
    drainTimeout: float = field(
        default=10.0,
        metadata=_about(
            Seconds(), "How long running requests may take to finish at shutdown.", "seconds"
        ),
    )


@frozen
class Config:
    """
    A whole config file.

    @ivar login: None where this process has no login server.
    @ivar gate: None where this process has no gate.
    """

    login: Login | None = None
    gate: Gate | None = None


SECTIONS: dict[str, type[Login] | type[Gate]] = {"login": Login, "gate": Gate}
"""The sections of a file."""


@frozen
class Setting:
    """
    What is to be known of one setting.

    @ivar name: what it is called here; a file calls it L{key}.
    @ivar default: C{attrs.NOTHING} where it is required.
    @ivar kind: what it may be; as text, its range.
    @ivar doc: what it is for, in one sentence.
    @ivar unit: of its number; empty where it is none.
    @ivar example: what L{exampleConfig} says where there is no default.
    """

    section: str
    name: str
    default: object
    kind: Kind
    doc: str
    unit: str
    example: str

    @property
    def key(self) -> str:
        """What a file calls it."""
        return re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", self.name)

    @property
    def isRequired(self) -> bool:
        """It has no default."""
        return self.default is attrs.NOTHING

    @property
    def range(self) -> str:
        """What it may be, in words."""
        return str(self.kind)

    @property
    def defaultText(self) -> str:
        """The default as a file would say it; empty where it is required."""
        return "" if self.isRequired else tomlText(self.default)


def settings() -> Iterator[Setting]:
    """List all settings, in the order of a file."""
    for section, cls in SECTIONS.items():
        for attribute in attrs.fields(cls):
            yield Setting(section, attribute.name, attribute.default, **attribute.metadata)


def exampleConfig() -> str:
    """Write a file that says everything: what is required, and the defaults as comments."""
    lines = ["# A config of msgserver. Keys behind a # are optional, and shown at their defaults."]
    section = ""
    for setting in settings():
        if setting.section != section:
            section = setting.section
            lines += ["", f"[{section}]"]
        lines += [
            "",
            f"# {setting.doc}",
            f"# {f'In {setting.unit}' if setting.unit else 'Allowed'}: {setting.range}.",
        ]
        if setting.isRequired:
            lines += ["# Required.", f"{setting.key} = {tomlText(setting.example)}"]
        else:
            lines += [f"# {setting.key} = {setting.defaultText}"]
    return "\n".join(lines) + "\n"
