"""
What C{msgserver-client} tells: each thing once, as a line for people or as JSON for programs.
"""

from __future__ import annotations

import json
import re
from typing import Literal, TypeAlias

from attrs import frozen

from msgserver.wire.naming import User

Kind: TypeAlias = Literal[
    "sent",
    "answered",
    "failed",
    "message",
    "connected",
    "away",
    "back",
    "loggedOut",
    "ended",
    "status",
    "help",
    "complaint",
    "note",
    "command",
]
"""
What has happened: a request was C{sent}, was C{answered}, or C{failed}; a C{message} was pushed;
C{connected}, C{away}, C{back}, C{loggedOut} and C{ended} are those of
L{msgserver.clientcore.Happening}; C{status} and C{help} are what these commands ask for;
C{complaint} says what is wrong, C{note} anything else; C{command} is a line that was read, and is
in records alone.
"""

BRIEF = 60
"""Of what was sent, a line shows so many characters; the rest is known to whoever sent it."""

WORDLESS = "the server's handler failed without a word; the server's log may say why"
"""What a line tells of a failure that has no content (S4)."""

# What is no part of any text, but of binary data, or of what a terminal obeys.
_BINARY = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@frozen
class Event:
    """
    One thing to tell.

    @ivar time: when; seconds since the epoch.
    @ivar text: what is told in words; empty where C{kind} says it all.
    @ivar content: the bytes that it is about, or None.
    @ivar number: the request that it is about, counted from 1, or None.
    @ivar milliseconds: from asking until now, or None.
    """

    kind: Kind
    time: float
    text: str = ""
    content: bytes | None = None
    number: int | None = None
    milliseconds: float | None = None

    def asJSON(self) -> str:
        """
        Write it as a JSON object on one line. Of C{content} there is C{text} if it is one, and
        C{hex} if it is none; what is told in words is C{note}.
        """
        shown: dict[str, object] = {"time": round(self.time, 3), "event": self.kind}
        if self.number is not None:
            shown["number"] = self.number
        if self.milliseconds is not None:
            shown["ms"] = round(self.milliseconds, 3)
        if self.content is not None:
            text = textIn(self.content)
            shown |= {"hex": self.content.hex()} if text is None else {"text": text}
        if self.text:
            shown["note"] = self.text
        return json.dumps(shown)

    @property
    def head(self) -> str:
        """What a line about it begins with: the request's number, and what has come of it."""
        if self.kind == "message":
            return "message"
        if self.number is None:
            return _HEADS.get(self.kind, "")
        after = "" if self.milliseconds is None else f" after {self.milliseconds:.1f} ms"
        return f"#{self.number} {self.kind}{after}"

    @property
    def body(self) -> str:
        """What stands behind that; on one line, and nothing in it that a terminal obeys."""
        if self.content is None:
            return printable(self.text)
        if self.kind == "failed" and not self.content:
            return WORDLESS
        shown = contentText(self.content)
        if self.kind == "sent" and len(shown) > BRIEF:
            shown = f"{shown[:BRIEF]}... ({len(self.content)} bytes)"
        return f"{printable(self.text)}: {shown}" if self.text else shown

    @property
    def line(self) -> str:
        """The whole line, without its end."""
        return ": ".join(filter(None, [self.head, self.body]))


_HEADS: dict[Kind, str] = {
    "connected": "connected",
    "away": "away",
    "back": "back",
    "loggedOut": "logged out",
    "ended": "ended",
}


def textIn(content: bytes) -> str | None:
    """Give the text that bytes are: UTF-8 without control characters; None where it is none."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return None if _BINARY.search(text) else text


def contentText(content: bytes) -> str:
    """Write bytes on one line: as their text, or as C{hex} and their digits."""
    text = textIn(content)
    return f"hex {content.hex()}" if text is None else printable(text)


def nameOf(user: User) -> str:
    """Write whose login it is, where, and which."""
    uid, server, subid = map(contentText, (user.uid, user.server, user.subid))
    return f"{uid} at {server}, login {subid}"


def printable(text: str) -> str:
    """Write what a terminal would obey, or a line would end at, as backslashes have it."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )
