"""
What a login server asks of its gates: never for longer than it can wait.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from msgserver.cluster import LoginRecord
from msgserver.directory import Directory, Member, Place
from msgserver.errors import GateUnavailable
from msgserver.later import asked

EPOCHS = 1_000_000
"""How many logins a second may begin, for long, before their epochs run ahead of the clock."""


class GateCalls:
    """
    Asks gates.

    @param directory: takes note of what comes of it.
    @param gateTimeout: seconds that a gate may take over an answer.
    """

    log = Logger()

    def __init__(self, directory: Directory, clock: IReactorTime, gateTimeout: float) -> None:
        self._directory = directory
        self._clock = clock
        self._gateTimeout = gateTimeout

    def isLate(self, member: Member) -> bool:
        """Say whether a gate has been late lately, or is so at this moment."""
        return member.isLate(self._clock.seconds())

    async def ask(
        self,
        member: Member,
        question: Callable[..., Deferred[Any]],
        *arguments: object,
        seconds: float = inf,
    ) -> Any:
        """
        Ask a gate.

        @param question: a method of its L{msgserver.cluster.IGate}.
        @param seconds: how long it may take, where that is less than it may in any case.
        @raise GateUnavailable: it is away, or did not answer in time.
        """
        try:
            limit = min(seconds, self._gateTimeout)
            return await asked(question, *arguments).addTimeout(limit, self._clock)
        except TimeoutError:
            # Whether it is frozen or busy: while there are others, those are asked first.
            member.lateUntil = self._clock.seconds() + self._gateTimeout
            raise GateUnavailable(f"{member.name} did not answer in time") from None

    async def logIn(self, member: Member, uid: bytes, secret: bytes) -> LoginRecord:
        """
        Ask a gate to admit a login, which is the newest of all.

        @raise GateUnavailable: as in L{ask}.
        """
        # Above all that there have been, wherever the clock was set to meanwhile.
        epoch = max(int(self._clock.seconds() * EPOCHS), self._directory.lastEpoch + 1)
        self._directory.lastEpoch = epoch
        member.asked += 1
        try:
            subid = await self.ask(member, member.gate.login, uid, secret, epoch)
        finally:
            member.asked -= 1
        return LoginRecord(uid, subid, epoch)

    def kick(self, place: Place) -> Deferred[bool]:
        """
        Have a login ended, and forget it then.

        @return: whether its gate has done so in time. It fails where it is cancelled, and not
            otherwise: one gate that is away must not lock its users out of the others.
        """
        return Deferred.fromCoroutine(self._kick(place))

    async def _kick(self, place: Place) -> bool:
        member, record = place.member, place.record
        try:
            await self.ask(member, member.gate.kick, record.uid, record.subid)
        except GateUnavailable as error:
            self.log.warn(
                "could not kick {uid} at {gate}: {error}",
                uid=record.uid,
                gate=member.name,
                error=error,
            )
        except CancelledError:
            raise
        except Exception:
            self.log.failure("{gate} failed to kick {uid}", gate=member.name, uid=record.uid)
        else:
            self._directory.forget(member.gate, record.uid, record.subid)
            return True
        return False
