"""
What a terminal shows of the chat: a line of text for each thing that happens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from zlib import crc32

from attrs import frozen

from examples.chat.words import Entered, Event, Exited, Joined, Left, Presence, Said

_RESET, _DIM, _RED = "\x1b[0m", "\x1b[2m", "\x1b[31m"
_OF_NAMES = ("\x1b[32m", "\x1b[33m", "\x1b[34m", "\x1b[35m", "\x1b[36m")
ERASE = "\x1b[1A\x1b[2K"
"""Takes back the line above, which is where somebody has typed."""

# What would move the cursor, or turn the direction of what is read.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\u200e\u200f]")


@frozen
class Missed:
    """
    Messages that will not come any more.

    @ivar room: where they were said; None: anywhere.
    @ivar count: how many; None where nobody knows.
    """

    room: str | None
    count: int | None


def isColoured(isTerminal: bool, environment: Mapping[str, str]) -> bool:
    """Say whether to use colours: on a terminal, unless C{NO_COLOR} is set to something."""
    return isTerminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


class Screen:
    """
    Makes lines of what happens.

    @param isColoured: with colours, which need a terminal.
    """

    def __init__(self, isColoured: bool = False) -> None:
        self.isColoured = isColoured

    def happened(self, event: Event | Missed) -> str:
        """Tell what has happened."""
        match event:
            case Said(room, number, user, text):
                name = self._paint(_colourOf(user), safe(user))
                return f"{self._paint(_DIM, f'[{room} {number}]')} {name}: {safe(text)}"
            case Entered(room, _):
                return self.note(f"you are in {room}")
            case Exited(room):
                return self.note(f"you have left {room}")
            case Joined(room, user):
                return self.note(f"{user} has joined {room}")
            case Left(room, user):
                return self.note(f"{user} has left {room}")
            case Presence(user, state):
                return self.note(f"{user} is {state}")
            case Missed(_, None):
                return self.complaint("perhaps messages are missed for good")
            case Missed(room, count):
                where = f" in {room}" if room else ""
                return self.complaint(f"missed for good{where}, messages: {count}")

    def note(self, text: str) -> str:
        """Tell something that nobody has said."""
        return self._paint(_DIM, f"-- {safe(text)}")

    def complaint(self, text: str) -> str:
        """Tell what has gone wrong."""
        return self._paint(_RED, f"!! {safe(text)}")

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if self.isColoured else text


def safe(text: str) -> str:
    """Replace what would do something to a terminal; what others say is not to be trusted."""
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)


def _colourOf(user: str) -> str:
    return _OF_NAMES[crc32(user.encode(errors="replace")) % len(_OF_NAMES)]
