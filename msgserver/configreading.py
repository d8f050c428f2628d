"""
A config file on its way to its values: what it says, and every mistake in that with its line.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any, TypeVar, cast

from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from msgserver.config import SECTIONS, Config, Setting, settings
from msgserver.configvalues import Kind, Table
from msgserver.errors import ConfigError, ConfigErrors
from msgserver.tomllines import KeyPath, locateKeys

_Result = TypeVar("_Result")

_SETTINGS: dict[KeyPath, Setting] = {
    (*setting.section.split("."), setting.key): setting for setting in settings()
}
_SECTIONS: tuple[KeyPath, ...] = tuple(tuple(section.split(".")) for section in SECTIONS)
_KEYS = {setting.name: setting.key for setting in settings()}

_LIKELY_MEANT, _SURELY_MEANT = 0.6, 0.9
"""How alike two keys are, out of 1, of which one may be meant by the other."""

_SYNTAX_ERROR = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


class Reading:
    """
    A file that has been read.

    @ivar config: what it says; nothing where it says something wrong.
    @ivar errors: the mistakes found so far.
    """

    def __init__(self, file: str) -> None:
        """
        Read the file.

        @raise ConfigErrors: it cannot be read, or is no TOML; all other mistakes are kept.
        """
        source = _readSource(file)
        self.config = Config()
        self.errors: list[ConfigError] = []
        self._file = file
        self._document = _parse(file, source)
        self._lines = locateKeys(source)
        self._mistaken: set[KeyPath] = set()
        try:
            self.config = _makeConverter().structure(self._document, Config)
        except ClassValidationError as error:
            for path, mistake in _flatten(error):
                self._addMistake(path, mistake)

    def has(self, section: KeyPath) -> bool:
        """Tell whether there is such a section."""
        return self._table(section) is not None

    def value(self, path: KeyPath) -> Any:
        """Give what a key says, or its default; None where that is wrong or not needed."""
        *section, key = path
        table = self._table(tuple(section))
        if table is None or path in self._mistaken:
            return None
        value = table.get(key, _SETTINGS[path].default)
        return tuple(value) if isinstance(value, list) else value

    def add(self, reason: str, *paths: KeyPath) -> None:
        """Add a mistake, on the line of the first of the keys that is in the file."""
        path = next((path for path in paths if path in self._lines), paths[0])
        # A key that is missing is missed where its section is.
        parents = (path[:length] for length in range(len(path), 0, -1))
        line = next((self._lines[parent] for parent in parents if parent in self._lines), 0)
        # One line for one mistake, whatever an exception of others says.
        reason = " ".join(reason.splitlines())
        self.errors.append(ConfigError(self._file, line, ".".join(path), reason))

    def attempt(
        self, function: Callable[..., _Result], *arguments: Any, at: KeyPath
    ) -> _Result | None:
        """Call a function; where it raises a C{ValueError}, add that and give None."""
        try:
            return function(*arguments)
        except ValueError as error:
            self.add(str(error), at)
            return None

    def check(self) -> None:
        """
        Go on only where there is no mistake.

        @raise ConfigErrors: there are some; with all of them.
        """
        if self.errors:
            raise ConfigErrors(self.errors)

    def _table(self, section: KeyPath) -> dict[str, Any] | None:
        table: Any = self._document
        for name in section:
            table = table.get(name)
            if not isinstance(table, dict):
                return None
        return cast(dict[str, Any], table)

    def _addMistake(self, path: KeyPath, mistake: Exception) -> None:
        self._mistaken.add(path)
        if isinstance(mistake, ForbiddenExtraKeysError):
            for key in mistake.extra_fields:
                self.add(_unknown(path, key), (*path, key))
        elif isinstance(mistake, KeyError):
            self.add(f"is required: it must be {_SETTINGS[path].range}", path)
        else:
            self.add(str(mistake), path)


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


def _makeConverter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    # From the inside out: a section's function is made of those of the sections in it.
    for section, cls in sorted(SECTIONS.items(), key=lambda item: -item[0].count(".")):
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
    known = [path[-1] for path in (*_SETTINGS, *_SECTIONS) if path[:-1] == section]
    homes = [f"[{'.'.join(path[:-1])}]" for path in _SETTINGS if path[-1] == key]
    sections = [f"[{'.'.join(path)}]" for path in _SECTIONS if path[-1] == key]
    close = get_close_matches(key, known, 1, _SURELY_MEANT if homes else _LIKELY_MEANT)
    if sections:
        return f"stands in the wrong place: there is a section {' and a section '.join(sections)}"
    if close:
        return f"is not known: did you mean {close[0]}?"
    if homes:
        return f"stands in the wrong place: it is a key of {' and of '.join(homes)}"
    return f"is not known: there are {', '.join(known)}"
