"""
What a config file may say: every setting once, with its default, unit, range and meaning.

Whatever else there is to know of a setting derives from the classes of the sections, which are
in L{msgserver.sections} and L{msgserver.linksections}: how a file is read
(L{msgserver.configreading}), what C{--print-config} prints (L{exampleConfig}), and the tables of
the documentation (L{settings}).

A setting is C{camelCase} here and C{snake_case} in a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

import attrs
from attrs import frozen

from msgserver.configvalues import Kind, tomlText
from msgserver.linksections import Control, GateLogin, Operator
from msgserver.sections import Gate, Login, Ops

__all__ = [
    "SECTIONS",
    "SERVERS",
    "Config",
    "Control",
    "Gate",
    "GateLogin",
    "Login",
    "Operator",
    "Ops",
    "Section",
    "Setting",
    "exampleConfig",
    "settings",
]

Section: TypeAlias = Login | Control | Gate | GateLogin | Ops | Operator


@frozen
class Config:
    """
    A whole config file.

    @ivar login: None where this process has no login server.
    @ivar gate: None where this process has no gate.
    @ivar ops: None where nobody watches.
    @ivar operator: None where the file is not for C{msgserver-ctl}, or not for it alone.
    """

    login: Login | None = None
    gate: Gate | None = None
    ops: Ops | None = None
    operator: Operator | None = None


SECTIONS: dict[str, type[Section]] = {
    "login": Login,
    "login.control": Control,
    "gate": Gate,
    "gate.login": GateLogin,
    "ops": Ops,
    "operator": Operator,
}
"""The sections of a file; one that is inside of another has a dot."""

SERVERS = ("login", "gate")
"""The sections of which there must be one; the others are there for those who want them."""


@frozen
class Setting:
    """
    What is to be known of one setting.

    @ivar section: its section's name; with a dot where that is inside of another.
    @ivar name: what it is called here; a file calls it L{key}.
    @ivar default: C{attrs.NOTHING} where it is required.
    @ivar kind: what it may be; as text, its range.
    @ivar doc: what it is for, in one sentence.
    @ivar unit: of its number; empty where it is none.
    @ivar example: what L{exampleConfig} says where there is no default.
    @ivar isLimit: something happens past its number.
    """

    section: str
    name: str
    default: object
    kind: Kind
    doc: str
    unit: str
    example: str
    isLimit: bool

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
            # What has none is a section inside of this one.
            if attribute.metadata:
                yield Setting(section, attribute.name, attribute.default, **attribute.metadata)


def exampleConfig() -> str:
    """Write a file that says everything: what is required, and the rest as comments."""
    lines = ["# A config of msgserver. Keys behind a # are optional, and shown at their defaults."]
    for section in SECTIONS:
        sectionLines = [f"[{section}]"]
        for setting in settings():
            if setting.section == section:
                sectionLines += ["", *_exampleOf(setting)]
        if section not in SERVERS:
            lines += ["", "# An optional section: to have it, take a # from each of its lines."]
            sectionLines = [f"# {line}".rstrip() for line in sectionLines]
        else:
            lines += [""]
        lines += sectionLines
    return "\n".join(lines) + "\n"


def _exampleOf(setting: Setting) -> list[str]:
    lines = [
        f"# {setting.doc}",
        f"# {f'In {setting.unit}' if setting.unit else 'Allowed'}: {setting.range}.",
    ]
    if setting.isRequired:
        return [*lines, "# Required.", f"{setting.key} = {tomlText(setting.example)}"]
    return [*lines, f"# {setting.key} = {setting.defaultText}"]
