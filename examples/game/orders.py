"""
The client's half of an order: an id, made before it is asked, and asked with until it is answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import uuid4

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from msgserver.errors import OutcomeUnknown, RequestFailed

VERBS = frozenset({"dig", "buy", "give"})
"""What moves money, and needs an id."""

PAUSE = 0.5
"""Seconds until a request is asked again at which the game itself has failed."""

MAX_FAILURES = 10
"""How often in a row the game may fail at a request until it is given up."""


def request(verb: str, *words: str, id: str | None = None) -> bytes:
    """
    Write what is asked of the game.

    @param id: an order's, where it has one already; one is made otherwise.
    """
    identified = [id or uuid4().hex] if verb in VERBS else []
    return " ".join([verb, *identified, *words]).encode()


async def answered(
    ask: Callable[[bytes], Awaitable[bytes]],
    content: bytes,
    clock: IReactorTime,
    again: Callable[[], object] = lambda: None,
) -> bytes:
    """
    Ask, and ask the same again under each next login, until there is an answer.

    While a login lasts the client does so by itself, and S6 keeps the request from running
    twice. Under the next login the same content is a new request, and it is the order's id
    that does.

    @param ask: C{client.request}.
    @param clock: where L{PAUSE} is waited.
    @param again: called whenever the outcome was unknown, before it is asked once more.
    @raise RequestFailed: an order is refused, and the content says why; it has moved nothing,
        and never will. Without content: the game has failed at it L{MAX_FAILURES} times.
    @raise Exception: what ended the client. Of what it had sent, nobody knows what came.
    """
    failures = 0
    while True:
        try:
            return await ask(content)
        except OutcomeUnknown:
            failures = 0
        except RequestFailed as failure:
            # No word of the game's: a bug, a full disk, or a login that is just being ended.
            failures += 1
            if failure.content or failures >= MAX_FAILURES:
                raise
            await deferLater(clock, PAUSE)
        again()
