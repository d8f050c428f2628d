"""
The operator's end of the control link.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.spread import pb

from msgserver.cluster import GateReport, LoginReport
from msgserver.errors import GateUnavailable, Unauthorized
from msgserver.remote.door import OPERATOR, enter
from msgserver.remote.gates import reportOf
from msgserver.remote.link import Link, LinkTimes


class RemoteOperations:
    """
    A login server's L{msgserver.cluster.IOperations}, from another process.

    Made by L{connect}; what it asks may take C{times.answer} seconds. Each method raises what
    the interface says, and L{GateUnavailable} where the login server goes away.
    """

    def __init__(self, link: Link, desk: pb.RemoteReference) -> None:
        self._link = link
        self._desk = desk

    @classmethod
    async def connect(
        cls,
        servers: Iterable[tuple[str, IStreamClientEndpoint]],
        key: bytes,
        clock: IReactorTime,
        times: LinkTimes,
    ) -> RemoteOperations:
        """
        Connect to the first login server that is there.

        @param servers: each one's endpoint string, and its endpoint.
        @raise Unauthorized: it does not know the key.
        @raise GateUnavailable: none is there. The text says why, a line for each that was tried;
            so it does for L{Unauthorized}.
        """
        reasons = []
        for text, endpoint in servers:
            try:
                return cls(*await enter(endpoint, OPERATOR, key, clock, times))
            except CancelledError:
                raise
            except Exception as error:
                # Endpoints fail with what they like.
                reasons.append(f"{text}: {error}")
                if isinstance(error, Unauthorized):
                    raise Unauthorized("\n".join(reasons)) from None
        raise GateUnavailable("\n".join(reasons))

    async def gates(self) -> list[GateReport]:
        """See L{msgserver.cluster.IOperations.gates}."""
        return list(map(reportOf, await self._call("gates")))

    async def users(self, uid: bytes | None = None) -> list[LoginReport]:
        """See L{msgserver.cluster.IOperations.users}."""
        reports: list[LoginReport] = []
        while page := await self._call("users", uid, len(reports)):
            reports += [LoginReport(*parts) for parts in page]
        return reports

    async def kick(self, uid: bytes, subid: bytes | None = None) -> list[LoginReport]:
        """See L{msgserver.cluster.IOperations.kick}."""
        return [LoginReport(*parts) for parts in await self._call("kick", uid, subid)]

    async def setDraining(self, gate: str, isDraining: bool) -> GateReport:
        """See L{msgserver.cluster.IOperations.setDraining}."""
        return reportOf(await self._call("setDraining", gate, isDraining))

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    async def _call(self, method: str, *arguments: object) -> Any:
        return await self._link.call(self._desk, method, *arguments)
