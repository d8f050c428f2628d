"""
Saving agents when their logins end, in time or with a word about it.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from msgserver.handlers.seats import Seat
from msgserver.handlers.workerprotocol import AgentLost
from msgserver.later import asked, within


class Saving:
    """
    Saves agents, and knows whose logins are ending, or have ended, and are not saved yet.

    @param timeout: seconds that the end of a login waits at most: half of it for requests that
        are running, and what is left for C{save}.
    @param count: counts an event: C{saves}, C{saves_failed}, C{saves_late} or C{agents_lost}.
    @param forget: called with each agent that has left.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        timeout: float,
        count: Callable[[str], object],
        forget: Callable[[Seat], object],
    ) -> None:
        self._clock = clock
        self._timeout = timeout
        self._count = count
        self._forget = forget
        # By uid: the saves that are not over yet. Not only of logins that have ended: where a kick
        # is given up, or by another login server, the next login comes before that.
        self._leaving: dict[bytes, set[Deferred[None]]] = {}

    def save(self, seat: Seat) -> Deferred[None]:
        """
        Close a seat and save its agent, unless nothing has run since it was saved.

        @return: fires when that is over, or when the time is up; never fails.
        """
        self._begin(seat)
        return self._inTime(seat)

    def leave(self, seat: Seat) -> Deferred[None]:
        """Do as L{save} does, and let go of the agent when that is over, however late."""
        self._begin(seat).addCallback(lambda _: self._forget(seat))
        return self._inTime(seat)

    def allLeft(self, uid: bytes | None = None) -> Deferred[bool]:
        """
        Wait until all are saved whose seats are closed, or all of a user's.

        @return: whether they are within the time; never fails.
        """
        uids = self._leaving if uid is None else {uid} & self._leaving.keys()
        saving = [each for one in uids for each in self._leaving[one]]
        if not saving:
            return succeed(True)
        return within(self._clock, self._timeout, DeferredList(saving))

    def _begin(self, seat: Seat) -> Deferred[None]:
        seat.close()
        seat.saving = saving = Deferred.fromCoroutine(self._saveWhenQuiet(seat, seat.saving))
        self._leaving.setdefault(seat.user.uid, set()).add(saving)
        return saving.addCallback(self._over, seat.user.uid, saving)

    def _inTime(self, seat: Seat) -> Deferred[None]:
        assert seat.saving is not None
        inTime = within(self._clock, self._timeout, seat.saving)
        return inTime.addCallback(self._waited, seat)

    def _waited(self, isInTime: bool, seat: Seat) -> None:
        if not isInTime and not seat.isLate:
            seat.isLate = True
            self._count("saves_late")
            self._complain(seat, "late", f"not within {self._timeout:g} s")

    async def _saveWhenQuiet(self, seat: Seat, earlier: Deferred[None] | None) -> None:
        if earlier is not None:
            await earlier
        # A save that misses a request is better than none at all.
        await within(self._clock, self._timeout / 2, seat.quiet())
        await self._saveOnce(seat)
        if seat.running:
            await seat.quiet()
            await self._saveOnce(seat)

    def _saveOnce(self, seat: Seat) -> Deferred[None]:
        if not seat.isUnsaved:
            return succeed(None)
        seat.isUnsaved = False
        return asked(seat.agent.save).addCallbacks(
            self._saved, self._notSaved, (seat,), errbackArgs=(seat,)
        )

    def _saved(self, _: object, seat: Seat) -> None:
        self._count("saves")

    def _notSaved(self, failure: Failure, seat: Seat) -> None:
        if failure.check(AgentLost):
            self._count("agents_lost")
            self._complain(seat, "lost", "its worker has died")
        else:
            seat.isUnsaved = True
            self._count("saves_failed")
            # Of a traceback that comes from a worker, what was raised.
            text = failure.getErrorMessage().rstrip().rpartition("\n")[2]
            self._complain(seat, "error", text, failure)

    def _complain(self, seat: Seat, reason: str, text: str, failure: Failure | None = None) -> None:
        self.log.error(
            "the agent of {user} is not saved: {text}",
            user=seat.user,
            text=text,
            event="save_failed",
            uid=seat.user.uid,
            subid=seat.user.subid,
            reason=reason,
            **({} if failure is None else {"log_failure": failure}),
        )

    def _over(self, _: None, uid: bytes, saving: Deferred[None]) -> None:
        leaving = self._leaving[uid]
        leaving.discard(saving)
        if not leaving:
            del self._leaving[uid]
