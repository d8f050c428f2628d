"""
A log for machines: one JSON object a line, and how twistd and twist are told to write it.

Each object has C{time} (ISO 8601, UTC, milliseconds), C{level}, C{source} (what has logged it),
C{message}, and where there are such C{event} (what has happened, in a word), C{traceback}, and the
event's own fields: those that are text, numbers, or lists of them. Other fields are in the message
alone. A line is ASCII, and at most 60,000 bytes.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Any, Final

from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
    textFileLogObserver,
)
from twisted.python.logfile import LogFile
from twisted.python.usage import Options

FORMATS: Final = ("text", "json")
"""The values of C{--log-format}."""

RELAYED: Final = "relayed"
"""
The field of an event that another process has logged: its object, as it was read there. Such an
event is written as that, with the field C{process} added.
"""

LONGEST_LINE: Final = 60_000
"""Bytes of a line at most, its end not counted. What is longer is cut, and says C{truncated}."""

_LONGEST_TEXT: Final = 2_000
"""Characters of a message or a traceback that has been cut: of 12 bytes each, if need be."""

_LONGEST_WORD: Final = 200
"""And those of what should be a word."""

_DEEPEST: Final = 3
"""How deep lists in lists are written; below, there is only what they look like."""

_LEGACY_SOURCE: Final = "log_legacy"
_LEGACY: Final = frozenset("failure format isError logLevel message system time why".split())
"""What C{twisted.python.log} adds to its events, of no use to anybody."""

_LEVELS: Final = frozenset(level.name for level in LogLevel.iterconstants())

_OURS: Final = frozenset("time level source event message traceback process truncated".split())
"""The fields that mean the same in every line."""


def jsonLogObserver(outFile: IO[Any]) -> ILogObserver:
    """Make an observer that writes each event to a file as a line of JSON; text or binary."""
    observer: ILogObserver = FileLogObserver(outFile, formatAsJSON)
    return observer


def formatAsJSON(event: LogEvent) -> str | None:
    """
    Write an event as a line of JSON, its end included. It never raises.

    @return: None where the event says nothing.
    """
    try:
        said = _relayed(event) or _said(event)
        return None if said is None else _lineOf(said)
    except Exception as error:
        # A log that fails over what it is told of would hide just that.
        return _lineOf(
            {
                "time": _timeOf(time.time()),
                "level": "error",
                "source": __name__,
                "message": f"an event could not be written: {type(error).__name__}",
            }
        )


def _relayed(event: LogEvent) -> dict[str, Any] | None:
    said = event.get(RELAYED)
    return {**said, "process": event.get("process")} if isinstance(said, dict) else None


def _said(event: LogEvent) -> dict[str, Any] | None:
    message = formatEvent(event) or ""
    failure = event.get("log_failure")
    if not message and failure is None and "event" not in event:
        return None
    isLegacy = event.get("log_namespace") == _LEGACY_SOURCE or "log_legacy" in event
    source = event.get("log_system" if isLegacy else "log_namespace")
    said: dict[str, Any] = {
        "time": _timeOf(event.get("log_time")),
        "level": str(getattr(event.get("log_level"), "name", "info")),
        "source": _textOf(source or "-"),
    }
    if "event" in event:
        said["event"] = _textOf(event["event"])
    said["message"] = _textOf(message)
    if failure is not None:
        said["traceback"] = _tracebackOf(failure)
        said["message"] = said["message"] or said["traceback"].rstrip().rpartition("\n")[2]
    for name, value in event.items():
        isTrapping = name.startswith("log_") or (isLegacy and name in _LEGACY) or name == "event"
        if not isTrapping and _isPlain(value):
            said[f"{name}_" if name in _OURS and name != "process" else name] = _plain(value)
    return said


def _timeOf(seconds: object) -> str:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)  # type: ignore[arg-type]  # is tried
    except (TypeError, ValueError, OverflowError, OSError):
        moment = datetime.now(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _tracebackOf(failure: Any) -> str:
    try:
        return _textOf(failure.getTraceback())
    except Exception as error:
        return f"a failure without a traceback: {type(error).__name__}"


def _isPlain(value: object) -> bool:
    return value is None or isinstance(value, str | bytes | int | float | list | tuple)


def _plain(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, list | tuple) and depth < _DEEPEST:
        return [_plain(each, depth + 1) for each in value]
    return _textOf(value)


def _textOf(value: object) -> str:
    """Make text of what it may be, that any encoding can write."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    # Half a surrogate pair is what Python makes of a file's name that is no text.
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def _lineOf(said: dict[str, Any]) -> str:
    line = json.dumps(said, allow_nan=False)
    if len(line) > LONGEST_LINE:
        line = json.dumps(_cut(said))
    return f"{line}\n"


def _cut(said: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is long: of a traceback its end tells the most."""
    short: dict[str, Any] = {"truncated": True}
    for name in ("time", "level", "source", "event", "process"):
        if name in said:
            short[name] = _textOf(said[name])[:_LONGEST_WORD]
    short["message"] = _textOf(said.get("message", ""))[:_LONGEST_TEXT]
    if "traceback" in said:
        short["traceback"] = _textOf(said["traceback"])[-_LONGEST_TEXT:]
    return short


def readLine(line: bytes) -> dict[str, Any] | None:
    """
    Read a line that L{formatAsJSON} has written, perhaps in another process.

    @return: what it says; None for anything else.
    """
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    match said:
        case {"level": str() as level, "source": str(), "message": str()} if level in _LEVELS:
            whole: dict[str, Any] = said
            return whole
    return None


# How twistd and twist are told


def useLogFormat(name: str | None, parent: Options | None) -> None:
    """
    Have the log written in a format, to where the command line says.

    To be called while options are read, when those in front of the plugin's name are.

    @param name: one of L{FORMATS}; None, or empty, leaves it as it is.
    @param parent: the options of twistd or twist themselves; None: there is nothing to be done.
    @raise SystemExit: it cannot be done, and why.
    """
    if not name:
        return
    if name not in FORMATS:
        raise SystemExit(f"--log-format: must be one of {', '.join(FORMATS)}, not {name!r}")
    if parent is None:
        return
    if "fileLogObserverFactory" in parent:  # It is twist.
        isJSON = name == "json"
        parent["fileLogObserverFactory"] = jsonLogObserver if isJSON else textFileLogObserver
    elif name == "json":
        for option in ("syslog", "logger"):
            if parent.get(option):
                raise SystemExit(f"--log-format: json does not go together with --{option}")
        # It wants a name, that it imports; and what has it then calls without a word.
        _twistd.append(parent)
        parent["logger"] = f"{__name__}.{twistdObserver.__name__}"


_twistd: Final[list[Options]] = []
"""The options of the twistd that this process is, once it has been told."""


def twistdObserver() -> ILogObserver:
    """Make the observer of this process's twistd: see its option C{--logger}."""
    return jsonLogObserver(_openLog(_twistd[-1]))


def _openLog(parent: Mapping[str, Any]) -> IO[Any]:
    """Open what twistd would log to, and rotate it when twistd would."""
    name = parent.get("logfile")
    isForeground = bool(parent.get("nodaemon", True))
    if name == "-" and not isForeground:
        raise SystemExit("--logfile: daemons cannot log to stdout")
    if name == "-" or not name and isForeground:
        return sys.stdout
    log: Any = LogFile.fromFullPath(os.path.abspath(name or "twistd.log"))
    if hasattr(signal, "SIGUSR1") and not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, lambda number, frame: _rotate(log))
    opened: IO[Any] = log
    return opened


def _rotate(log: Any) -> None:
    # Not in the middle of a line, which a signal may come in.
    from twisted.internet import reactor

    reactor.callFromThread(log.rotate)  # type: ignore[attr-defined]  # it is a module to mypy
