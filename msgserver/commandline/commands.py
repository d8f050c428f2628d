"""
What can be said to C{msgserver-client}: one command a line.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import TypeAlias

from attrs import frozen

from msgserver.wire.framing import MAX_REQUEST

MAX_REPEAT = 1_000_000
"""How many times C{repeat} does something, at most."""

MAX_SLEEP = 86_400.0
"""The most seconds that one C{sleep} takes."""


COLUMN = 22
"""In C{help}, where it is said what a command does."""


class Mistake(ValueError):
    """A line that is no command; the text says why."""


@frozen
class Send:
    """Ask the gate C{content}."""

    content: bytes


@frozen
class SendFile:
    """Ask the gate what is in the file C{path}, when its turn comes."""

    path: str


@frozen
class Repeat:
    """Do C{command} so many C{times}."""

    times: int
    command: Command


@frozen
class Expect:
    """The answer to the last request must be C{content}."""

    content: bytes


@frozen
class ExpectFail:
    """The last request must have failed, with C{content} where that is not None."""

    content: bytes | None


@frozen
class Sleep:
    """Do nothing for so many C{seconds}."""

    seconds: float


@frozen
class Messages:
    """Show what the server pushes, asked for by polls that begin with C{prefix}."""

    prefix: bytes


@frozen
class ExpectMessage:
    """The next message that is pushed must be C{content}."""

    content: bytes


@frozen
class Do:
    """One of the commands that take nothing; C{verb} says which."""

    verb: str


Command: TypeAlias = (
    Send | SendFile | Repeat | Expect | ExpectFail | Sleep | Messages | ExpectMessage | Do
)


@frozen
class Verb:
    """
    A command as C{help} shows it.

    @ivar takes: what stands behind the verb; empty where nothing may.
    @ivar read: makes the command of what stands there.
    """

    takes: str
    about: str
    read: Callable[[str], Command]


def encoded(text: str) -> bytes:
    """Write text as bytes: UTF-8, and bytes that are none as they were given to Python."""
    return text.encode("utf-8", "surrogateescape")


def parse(line: str, isTyped: bool = False) -> Command | None:
    """
    Read a line.

    @param isTyped: it was typed at the prompt. There a line that begins with no command is
        sent as it is; elsewhere it is a mistake, and one that begins with C{#} a comment.
    @return: None where there is nothing to do.
    @raise Mistake: see there.
    """
    words = line.split(None, 1)
    if not words or (not isTyped and words[0].startswith("#")):
        return None
    verb = VERBS.get(words[0])
    if verb is None:
        if isTyped:
            return Send(_content(encoded(line)))
        raise Mistake(f'"{words[0]}" is no command; "help" lists them')
    # One space ends the verb, and any more are the content's own.
    rest = line.lstrip()[len(words[0]) + 1 :]
    if not verb.takes and rest.strip():
        raise Mistake(f"{words[0]} takes nothing after it")
    return verb.read(rest)


def _content(content: bytes) -> bytes:
    if len(content) > MAX_REQUEST:
        raise Mistake(f"{len(content)} bytes are too many: a request has {MAX_REQUEST} at most")
    return content


def _text(rest: str) -> bytes:
    return _content(encoded(rest))


def _hex(rest: str) -> bytes:
    try:
        return _content(bytes.fromhex(rest))
    except Mistake:
        raise
    except ValueError:
        raise Mistake("hexadecimal digits are wanted, two for each byte") from None


def _file(rest: str) -> SendFile:
    if not rest.strip():
        raise Mistake("which file?")
    return SendFile(rest.strip())


def _repeat(rest: str) -> Repeat:
    number, _, line = rest.strip().partition(" ")
    # Not many digits: there is a number of them that Python does not read.
    isNumber = number.isascii() and number.isdecimal() and len(number) <= len(str(MAX_REPEAT))
    if not isNumber or not 1 <= int(number) <= MAX_REPEAT:
        raise Mistake(f"how many times? A number from 1 to {MAX_REPEAT} is wanted")
    # Without end, it would be a way to have Python run out of stack.
    if line.split(None, 1)[:1] == ["repeat"]:
        raise Mistake("a repeat is not repeated")
    command = parse(line)
    if command is None:
        raise Mistake("repeat what?")
    return Repeat(int(number), command)


def _sleep(rest: str) -> Sleep:
    try:
        seconds = float(rest)
    except ValueError:
        seconds = -1.0
    if not isfinite(seconds) or not 0 <= seconds <= MAX_SLEEP:
        raise Mistake(f"how long? A number of seconds from 0 to {MAX_SLEEP:.0f} is wanted")
    return Sleep(seconds)


def _do(verb: str) -> Callable[[str], Command]:
    return lambda rest: Do(verb)


VERBS = {
    "send": Verb("TEXT", "ask the gate this", lambda rest: Send(_text(rest))),
    "hex": Verb("BYTES", "ask the gate these bytes: 00 ff", lambda rest: Send(_hex(rest))),
    "file": Verb("PATH", "ask the gate what is in a file", _file),
    "repeat": Verb("N COMMAND", "do a command N times", _repeat),
    "wait": Verb("", "wait until all answers are there", _do("wait")),
    "expect": Verb(
        "TEXT", "the last request must be answered this", lambda rest: Expect(encoded(rest))
    ),
    "expect-hex": Verb(
        "BYTES", "the last request must be answered this", lambda rest: Expect(_hex(rest))
    ),
    "expect-fail": Verb(
        "[TEXT]",
        "the last request must fail; with TEXT, if given",
        lambda rest: ExpectFail(encoded(rest) if rest else None),
    ),
    "cut": Verb("", "drop the connection; it comes back by itself", _do("cut")),
    "offline": Verb("", "drop the connection, and stay away", _do("offline")),
    "online": Verb("", "come back", _do("online")),
    "status": Verb("", "show login, connection, and what is unanswered", _do("status")),
    "messages": Verb(
        "[PREFIX]",
        "show what the server pushes; polls begin with PREFIX",
        lambda rest: Messages(encoded(rest)),
    ),
    "expect-message": Verb(
        "TEXT", "the next message must be this", lambda rest: ExpectMessage(encoded(rest))
    ),
    "sleep": Verb("SECONDS", "do nothing for a while", _sleep),
    "help": Verb("", "show this", _do("help")),
    "quit": Verb("", "leave at once; what is unanswered is given up", _do("quit")),
}
"""Each verb, in the order that C{help} shows them in."""

HELP = "".join(
    f"{f'{name} {verb.takes}'.strip():<{COLUMN}}{verb.about}\n" for name, verb in VERBS.items()
).rstrip()
"""The commands, a line each."""
