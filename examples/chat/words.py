"""
What clients ask and the server tells: a JSON object each, in UTF-8.

A client asks C{{"do": "say", "room": "lobby", "text": "hello"}} and is answered in JSON, or with
one line that says what was wrong. What happens in its rooms it is told by push, as
C{{"event": "said", "room": "lobby", "number": 7, "user": "alice", "text": "hello"}}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import Attribute, AttrsInstance, asdict, field, fields, frozen

POLL = b"poll:"
"""What a poll begins with; everything else is JSON."""

MAX_TEXT = 1000
"""How many characters may be said at once."""

STATES = ("online", "away", "back", "gone")
"""What may become of a user's connection; whoever is gone has left all rooms."""

_ROOM = re.compile(r"[a-z0-9-]{1,32}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_T = TypeVar("_T", bound=AttrsInstance)


class Mistake(ValueError):
    """What was asked cannot be understood; the text says why, for people."""


def _isRoom(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not _ROOM.fullmatch(value):
        raise Mistake(f"{attribute.name} must be 1 to 32 of the characters a-z, 0-9 and -")


def _isText(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT:
        raise Mistake(f"{attribute.name} must be 1 to {MAX_TEXT} characters")
    if _CONTROL.search(value):
        raise Mistake(f"{attribute.name} must be one line, without control characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Mistake(f"{attribute.name} must be whole characters") from None


def _isName(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, str):
        raise Mistake(f"{attribute.name} must be text")


def _isNumber(_: object, attribute: Attribute[Any], value: object) -> None:
    if type(value) is not int or value < 0:
        raise Mistake(f"{attribute.name} must be a number")


def _isState(_: object, attribute: Attribute[Any], value: object) -> None:
    if value not in STATES:
        raise Mistake(f"{attribute.name} must be one of {', '.join(STATES)}")


# What clients ask.


@frozen
class Join:
    """Enter a room; what was said there last is told by push."""

    room: str = field(validator=_isRoom)


@frozen
class Leave:
    """Leave a room."""

    room: str = field(validator=_isRoom)


@frozen
class Say:
    """Say something to all who are in a room; it is answered with its number there."""

    room: str = field(validator=_isRoom)
    text: str = field(validator=_isText)


@frozen
class Who:
    """Ask who is in a room."""

    room: str = field(validator=_isRoom)


@frozen
class Here:
    """Say that one has a connection again, and nothing else."""


Request = Join | Leave | Say | Who | Here


# What the server tells.


@frozen
class Entered:
    """
    The user is in the room; what was said there last follows.

    @ivar run: which run of the server this is; each numbers its rooms anew.
    """

    room: str = field(validator=_isRoom)
    run: str = field(validator=_isName)


@frozen
class Exited:
    """The user is in the room no more; what follows is not of it."""

    room: str = field(validator=_isRoom)


@frozen
class Joined:
    """Somebody else is in the room from now on."""

    room: str = field(validator=_isRoom)
    user: str = field(validator=_isName)


@frozen
class Left:
    """Somebody is in the room no more."""

    room: str = field(validator=_isRoom)
    user: str = field(validator=_isName)


@frozen
class Said:
    """
    Somebody has said something.

    @ivar number: of all that was said in the room, from 1.
    """

    room: str = field(validator=_isRoom)
    number: int = field(validator=_isNumber)
    user: str = field(validator=_isName)
    text: str = field(validator=_isText)


@frozen
class Presence:
    """What has become of the connection of somebody who is in one of the user's rooms."""

    user: str = field(validator=_isName)
    state: str = field(validator=_isState)


Event = Entered | Exited | Joined | Left | Said | Presence

_REQUESTS: Mapping[str, type[Request]] = {
    "join": Join,
    "leave": Leave,
    "say": Say,
    "who": Who,
    "here": Here,
}
_EVENTS: Mapping[str, type[Event]] = {
    "entered": Entered,
    "exited": Exited,
    "joined": Joined,
    "left": Left,
    "said": Said,
    "presence": Presence,
}


def writeRequest(request: Request) -> bytes:
    """Write what a client asks."""
    return _write("do", request)


def parseRequest(content: bytes) -> Request:
    """
    Read what a client asks.

    @raise Mistake: it is nothing that can be asked.
    """
    return _parse("do", _REQUESTS, content)


def writeEvent(event: Event) -> bytes:
    """Write what the server tells."""
    return _write("event", event)


def parseEvent(message: bytes) -> Event:
    """
    Read what the server tells.

    @raise Mistake: it is nothing that it can tell.
    """
    return _parse("event", _EVENTS, message)


def writeAnswer(answer: object) -> bytes:
    """Write what a request is answered."""
    return json.dumps(answer, ensure_ascii=False).encode()


def parseObject(content: bytes) -> dict[str, Any]:
    """
    Read an object of JSON.

    @raise Mistake: it is none.
    """
    try:
        parsed = json.loads(content.decode())
    except (ValueError, RecursionError):
        raise Mistake("that is not JSON in UTF-8") from None
    if not isinstance(parsed, dict):
        raise Mistake("that is not an object of JSON")
    return parsed


def _write(key: str, value: Any) -> bytes:
    return writeAnswer({key: type(value).__name__.lower(), **asdict(value)})


def _parse(key: str, kinds: Mapping[str, type[_T]], content: bytes) -> _T:
    given = parseObject(content)
    name = given.pop(key, None)
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise Mistake(f"{key} must be one of {', '.join(kinds)}")
    names = [each.name for each in fields(kind)]
    for missing in (each for each in names if each not in given):
        raise Mistake(f"{name} needs {missing}")
    for unknown in (each for each in given if each not in names):
        raise Mistake(f"{name} knows no {unknown[:32]!r}")
    return kind(**given)
