"""
Reads a config file: makes everything that it says, or tells every mistake in it at once.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any, Generic, TypeVar, cast

from attrs import field, frozen
from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override
from twisted.internet.interfaces import IStreamServerEndpoint
from zope.interface import Interface

from msgserver import loading
from msgserver.config import SECTIONS, Config, Gate, Login, Setting, settings
from msgserver.configvalues import Kind, Table
from msgserver.errors import ConfigError, ConfigErrors
from msgserver.interfaces import ILoginHandler, IMsgHandler
from msgserver.tomllines import KeyPath, locateKeys

_Settings = TypeVar("_Settings", Login, Gate)
_Handler = TypeVar("_Handler")

_SETTINGS: dict[KeyPath, Setting] = {
    (setting.section, setting.key): setting for setting in settings()
}
_KEYS = {setting.name: setting.key for setting in settings()}

_SHORTER_TIMES = (
    (("login", "gate_timeout"), ("login", "login_timeout")),
    (("gate", "kick_timeout"), ("login", "gate_timeout")),
)
"""Pairs of times of which the first runs within the second."""

_SYNTAX_ERROR = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


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
class Parts:
    """
    What a config file makes.

    @ivar login: None where this process has no login server.
    @ivar gate: None where this process has no gate.
    """

    login: Part[Login, ILoginHandler] | None
    gate: Part[Gate, IMsgHandler] | None


def loadConfig(file: str, reactor: object) -> Parts:
    """
    Read a config file and make the handlers and endpoints that it names.

    @param reactor: what the endpoints will listen with; nothing does so yet.
    @raise ConfigErrors: the file cannot be used; with all that is wrong with it.
    """
    source = _readSource(file)
    reading = _Reading(file, _parse(file, source), locateKeys(source))
    config = reading.structure()
    reading.checkTimes()
    loginHandler = reading.makeHandler("login", ILoginHandler)
    msgHandler = reading.makeHandler("gate", IMsgHandler)
    loginEndpoints = reading.makeEndpoints("login", reactor)
    gateEndpoints = reading.makeEndpoints("gate", reactor)
    if reading.errors:
        raise ConfigErrors(reading.errors)
    return Parts(
        None if config.login is None else Part(config.login, loginHandler, loginEndpoints),
        None if config.gate is None else Part(config.gate, msgHandler, gateEndpoints),
    )


def _readSource(file: str) -> str:
    try:
        with open(file, "rb") as opened:
            content = opened.read()
    except OSError as error:
        raise ConfigErrors([ConfigError(file, 0, "", error.strerror or str(error))]) from None
    try:
        # Some editors put a mark before UTF-8, which TOML has no place for.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise ConfigErrors([ConfigError(file, line, "", "this is not UTF-8")]) from None


def _parse(file: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(source)
    except ValueError as error:
        reason, line = str(error), 0
        match = _SYNTAX_ERROR.fullmatch(reason)
        if match is not None:
            reason, line = match[1], int(match[2] or len(source.splitlines()))
        raise ConfigErrors([ConfigError(file, line, "", f"this is not TOML: {reason}")]) from None


class _Reading:
    """
    A file on its way to its values.

    @ivar errors: the mistakes found so far.
    """

    def __init__(self, file: str, document: dict[str, Any], lines: dict[KeyPath, int]) -> None:
        self.errors: list[ConfigError] = []
        self._file = file
        self._document = document
        self._lines = lines
        self._mistaken: set[KeyPath] = set()

    def structure(self) -> Config:
        """Make the values, or a Config of nothing where there are mistakes."""
        try:
            config = _makeConverter().structure(self._document, Config)
        except ClassValidationError as error:
            for path, mistake in _flatten(error):
                self._addMistake(path, mistake)
            return Config()
        if config == Config():
            self._add("there must be a section [login], a section [gate], or both", ())
        return config

    def checkTimes(self) -> None:
        """Compare the times of which one runs within the other."""
        for short, long in _SHORTER_TIMES:
            shortTime, longTime = self._value(short), self._value(long)
            if shortTime is not None and longTime is not None and shortTime >= longTime:
                self._add(
                    f"{_dotted(short)} ({shortTime}) must be below {_dotted(long)} ({longTime})",
                    short,
                    long,
                )

    def makeHandler(self, section: str, interface: type[Interface]) -> Any:
        """Make a section's handler, where there is one to make."""
        handlerKey, optionsKey = (section, "handler"), (section, "handler_options")
        path, options = self._value(handlerKey), self._value(optionsKey)
        if path is None:
            return None
        try:
            factory = loading.findHandler(path)
        except ValueError as error:
            return self._add(str(error), handlerKey)
        if options is None:
            return None
        try:
            handler = loading.makeHandler(factory, options)
        except ValueError as error:
            return self._add(f"{path}: {error}", optionsKey, handlerKey)
        try:
            loading.verifyHandler(handler, interface)
        except ValueError as error:
            return self._add(str(error), handlerKey)
        return handler

    def makeEndpoints(
        self, section: str, reactor: object
    ) -> tuple[tuple[str, IStreamServerEndpoint], ...]:
        """Make a section's endpoints, those that can be made."""
        endpoints = []
        for text in self._value((section, "listen")) or ():
            try:
                endpoints.append((text, loading.makeEndpoint(reactor, text)))
            except ValueError as error:
                self._add(str(error), (section, "listen"))
        return tuple(endpoints)

    def _value(self, path: KeyPath) -> Any:
        """Give what a key says, or its default; None where that is wrong or not needed."""
        section, key = path
        table = self._document.get(section)
        if not isinstance(table, dict) or path in self._mistaken:
            return None
        return table.get(key, _SETTINGS[path].default)

    def _addMistake(self, path: KeyPath, mistake: Exception) -> None:
        self._mistaken.add(path)
        if isinstance(mistake, ForbiddenExtraKeysError):
            for key in mistake.extra_fields:
                self._add(_unknown(path, key), (*path, key))
        elif isinstance(mistake, KeyError):
            self._add(f"is required: it must be {_SETTINGS[path].range}", path)
        else:
            self._add(str(mistake), path)

    def _add(self, reason: str, *paths: KeyPath) -> None:
        """Add a mistake, on the line of the first of the keys that is in the file."""
        path = next((path for path in paths if path in self._lines), paths[0])
        line = self._lines.get(path) or self._lines.get(path[:1]) or 0
        # One line for one mistake, whatever an exception of others says.
        reason = " ".join(reason.splitlines())
        self.errors.append(ConfigError(self._file, line, _dotted(path), reason))


def _makeConverter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    for section, cls in SECTIONS.items():
        readers = {
            setting.name: override(rename=setting.key, struct_hook=_hook(setting.kind))
            for setting in _SETTINGS.values()
            if setting.section == section
        }
        # As Any, because the type of **readers has no place for them beside its own options.
        structure = make_dict_structure_fn(cls, converter, **cast(Any, readers))
        converter.register_structure_hook(
            cls, lambda value, type_, structure=structure: structure(Table().read(value), type_)
        )
    return converter


def _hook(kind: Kind) -> Callable[[object, object], object]:
    return lambda value, type_: kind.read(value)


def _flatten(error: Exception, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Exception]]:
    """Take the groups apart that cattrs makes of mistakes, and find the key of each."""
    if not isinstance(error, ClassValidationError):
        yield path, error
        return
    ofAttributes, others = error.group_exceptions()
    for inner, note in ofAttributes:
        yield from _flatten(inner, (*path, _KEYS.get(note.name, note.name)))
    for inner in others:
        yield path, inner


def _unknown(section: KeyPath, key: str) -> str:
    """Say what is wrong with a key that is not known in C{section}, C{()} for the top."""
    known = [path[-1] for path in _SETTINGS if path[:-1] == section] or list(SECTIONS)
    elsewhere = [f"[{path[0]}]" for path in _SETTINGS if path[-1] == key]
    if elsewhere:
        return f"stands in the wrong place: it is a key of {' and of '.join(elsewhere)}"
    close = get_close_matches(key, known, 1)
    if close:
        return f"is not known: did you mean {close[0]}?"
    return f"is not known: there are {', '.join(known)}"


def _dotted(path: KeyPath) -> str:
    return ".".join(path)
