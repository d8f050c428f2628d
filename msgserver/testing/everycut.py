"""
Breaking the connection everywhere: each time at another byte.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar, overload

from twisted.internet.defer import Deferred

from msgserver.testing.cuts import AfterBytes
from msgserver.testing.server import MemoryServer

_T = TypeVar("_T")


@overload
def everyCut(
    makeServer: Callable[[], MemoryServer],
    scenario: Callable[[MemoryServer], Coroutine[Any, Any, _T]],
    *,
    everyByte: bool = True,
    logins: bool = False,
) -> _T: ...


@overload
def everyCut(
    makeServer: Callable[[], MemoryServer],
    scenario: Callable[[MemoryServer], Deferred[_T]],
    *,
    everyByte: bool = True,
    logins: bool = False,
) -> _T: ...


@overload
def everyCut(
    makeServer: Callable[[], MemoryServer],
    scenario: Callable[[MemoryServer], _T],
    *,
    everyByte: bool = True,
    logins: bool = False,
) -> _T: ...


def everyCut(
    makeServer: Callable[[], MemoryServer],
    scenario: Callable[[MemoryServer], Any],
    *,
    everyByte: bool = True,
    logins: bool = False,
) -> Any:
    """
    Run a scenario with no broken connection, and then once for each place at which one may break;
    and see to it that it comes to the same each time.

    A place is a number of bytes that the scenario's clients and the gate have delivered to each
    other, counted from the start, both ways together.

    @param makeServer: makes a new server with a new handler.
    @param scenario: makes clients and asks; what it gives, at once or later, is what must be the
        same. It may look at C{server.handler} to that end.
    @param everyByte: break at each byte. Otherwise where a delivery ends and one byte before,
        which is enough where much is sent.
    @param logins: the conversations with the login server count as well. A client that is cut
        there logs in anew, and the handler may see the first of these logins kicked.
    @return: what it came to.
    @raise AssertionError: it came to something else; with the place.
    @raise Exception: what the scenario has raised; its notes tell the place.
    """
    with makeServer() as server:
        server.network.cutsLogins = logins
        expected = _run(server, scenario)
        places = _places(server.network.delivered, everyByte)
    for place in places:
        with makeServer() as server:
            server.network.cutsLogins = logins
            server.network.cut = AfterBytes(None, place)
            try:
                outcome = _run(server, scenario)
            except Exception as error:
                error.add_note(f"the connection was cut after byte {place} of {places[-1]}")
                raise
        if outcome != expected:
            raise AssertionError(
                f"cut after byte {place} of {places[-1]}, it came to {outcome!r}, and otherwise to"
                f" {expected!r}"
            )
    return expected


def _run(server: MemoryServer, scenario: Callable[[MemoryServer], Any]) -> Any:
    outcome = scenario(server)
    isLater = isinstance(outcome, Deferred | Coroutine)
    return server.result(outcome) if isLater else outcome


def _places(delivered: Sequence[int], everyByte: bool) -> list[int]:
    if everyByte:
        return list(range(delivered[-1] + 1))
    return sorted({place for end in delivered for place in (end - 1, end) if place >= 0})
