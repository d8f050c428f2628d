"""
The limits of a server in memory, by the names that they have in a config file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from attrs import Attribute, AttrsInstance, fields, frozen

from msgserver.loginprotocol import LoginLimits
from msgserver.msgprotocol import GateLimits
from msgserver.msgservice import LifeLimits
from msgserver.sections import Gate, Login
from msgserver.sessions import SessionLimits

_LimitsT = TypeVar("_LimitsT", bound=AttrsInstance)

_EVERYBODY = ("0.0.0.0/0",)

_OF_LOGIN = ("multilogin", "gateTimeout", "loginTimeout")
"""The settings of a login server that matter where there are no strangers."""


def _keyOf(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def _known() -> dict[str, Attribute[Any]]:
    names = {each.name for cls in (SessionLimits, LifeLimits, GateLimits) for each in fields(cls)}
    ofGate = [each for each in fields(Gate) if each.name in names or each.name == "sessions"]
    ofLogin = [each for each in fields(Login) if each.name in _OF_LOGIN]
    return {_keyOf(each.name): each for each in [*ofGate, *ofLogin]}


_KNOWN = _known()


@frozen
class Settings:
    """
    What a server in memory is made with.

    No limit of an address holds, unless C{unlimited} is given: a test's clients come back as
    often as it likes.
    """

    sessions: SessionLimits
    lives: LifeLimits
    gate: GateLimits
    login: LoginLimits
    multilogin: bool
    gateTimeout: float


def settingsFrom(limits: Mapping[str, Any]) -> Settings:
    """
    Make what a server needs of keyword arguments, each checked as in a config file.

    @raise TypeError: there is no such key; with those that there are.
    @raise ValueError: a value is not what it must be.
    """
    values: dict[str, Any] = {each.name: each.default for each in _KNOWN.values()}
    values["unlimited"] = _EVERYBODY
    for key, value in limits.items():
        if key not in _KNOWN:
            raise TypeError(_unknown(key))
        setting = _KNOWN[key]
        try:
            values[setting.name] = setting.metadata["kind"].read(value)
        except ValueError as error:
            raise ValueError(f"{key} {error}") from None
    return Settings(
        _pick(SessionLimits, values | {"increasing": values["sessions"] == "increasing"}),
        _pick(LifeLimits, values),
        _pick(GateLimits, values),
        LoginLimits(timeout=values["loginTimeout"], unlimited=values["unlimited"]),
        values["multilogin"],
        values["gateTimeout"],
    )


def _unknown(key: str) -> str:
    likely = get_close_matches(key, _KNOWN, 1)
    meant = f", only {likely[0]!r}" if likely else ""
    return f"there is no limit {key!r}{meant}. There are: {', '.join(sorted(_KNOWN))}"


def _pick(cls: type[_LimitsT], values: Mapping[str, Any]) -> _LimitsT:
    return cls(**{each.name: values[each.name] for each in fields(cls) if each.name in values})
