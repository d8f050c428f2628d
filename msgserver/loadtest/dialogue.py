"""
What a user asks, and what must be answered.

A request is a template in which fields are replaced: C{{user}}, the user's name; C{{number}}, which
of the user's requests it is, from 1; C{{filler}}, letters and digits that make it as long as it is
to be. They are replaced as text, and nothing else in braces is: a template may be JSON.
"""

from __future__ import annotations

import os
from random import Random
from string import ascii_letters, digits

from attrs import frozen

ECHO, ANY, PREFIX, TEXT = "echo", "any", "prefix:", "text:"
"""What an answer may be expected to be."""

KINDS = f"{ECHO}, {ANY}, {PREFIX}TEXT or {TEXT}TEXT"

FILLER = "{filler}"

_SUPPLY = 1 << 17


@frozen
class Asked:
    """
    One request, as it was made.

    @ivar content: what is sent, 0 to 65,531 bytes.
    """

    user: bytes
    number: int
    content: bytes


class Dialogue:
    """
    Makes requests, and judges answers.

    @param template: see above.
    @param size: the least and the most bytes of a request that has C{{filler}}.
    @param expect: C{echo}: the answer is the request; C{prefix:TEXT}: it begins with TEXT;
        C{text:TEXT}: it is TEXT, in both of which C{{user}}, C{{number}} and, as the last,
        C{{request}} are replaced; C{any}: it is what it is.
    @raise ValueError: C{expect} is none of these.
    """

    def __init__(self, template: str, size: tuple[int, int], expect: str, random: Random) -> None:
        self._template = os.fsencode(template)
        self._hasFiller = FILLER in template
        self._least, self._most = size
        self._random = random
        letters = (ascii_letters + digits).encode()
        # Drawn once: a piece of it from anywhere is as good as new.
        self._supply = bytes(random.choices(letters, k=_SUPPLY))
        self._kind, self._text = parseExpectation(expect)

    def ask(self, user: bytes, number: int) -> Asked:
        """Make a user's request of that number."""
        content = _replace(self._template, user, number)
        if self._hasFiller:
            content = self._fill(content)
        return Asked(user, number, content)

    def isRight(self, asked: Asked, answer: bytes) -> bool:
        """Say whether this may be the answer to that request."""
        if self._kind == ECHO:
            return answer == asked.content
        if self._kind == ANY:
            return True
        expected = _replace(self._text, asked.user, asked.number)
        expected = expected.replace(b"{request}", asked.content)
        if self._kind == PREFIX:
            return answer.startswith(expected)
        return answer == expected

    def _fill(self, content: bytes) -> bytes:
        size = self._least
        if self._most > size:
            size = self._random.randint(size, self._most)
        head, _, tail = content.partition(FILLER.encode())
        missing = size - len(head) - len(tail)
        if missing <= 0:
            # The number is at the end of the head: what is cut off is what says less.
            return (head + tail)[-missing:]
        start = self._random.randrange(_SUPPLY - missing)
        return b"%b%b%b" % (head, self._supply[start : start + missing], tail)


def _replace(text: bytes, user: bytes, number: int) -> bytes:
    return text.replace(b"{user}", user).replace(b"{number}", b"%d" % number)


def parseExpectation(expect: str) -> tuple[str, bytes]:
    """
    Take an expectation apart: its kind, and its text.

    @raise ValueError: it is none.
    """
    if expect in (ECHO, ANY):
        return expect, b""
    for kind in (PREFIX, TEXT):
        if expect.startswith(kind):
            return kind, os.fsencode(expect.removeprefix(kind))
    raise ValueError(f"must be {KINDS}")
