"""
One user and one request, before all others: what is wrong with all of them is said at once.
"""

from __future__ import annotations

from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from msgserver.client import MsgClient
from msgserver.clientlogin import LoggedIn
from msgserver.commandparts import Complaint
from msgserver.errors import (
    ProtocolError,
    Refused,
    RequestFailed,
    RequestTimedOut,
)
from msgserver.loadtest.dialogue import Dialogue
from msgserver.loadtest.plan import Plan
from msgserver.loadtest.reaching import Reach
from msgserver.loadtest.results import shown
from msgserver.loadtest.statuses import Status

_PATIENCE = 10.0
"""Seconds that the answer may take."""


class Probe:
    """
    The first user, for one request.
    """

    def __init__(self, plan: Plan, clock: IReactorTime, reach: Reach) -> None:
        self._plan = plan
        self._clock = clock
        self._reach = reach
        self._hasLoggedIn = False

    async def run(self) -> None:
        """
        Log in, connect, ask, and see that the answer is what is expected.

        @raise Complaint: it is not so.
        """
        client = MsgClient(
            self._clock, self._takeLogin, self._reach.gate, connectTo=self._reach.connectTo
        )
        try:
            try:
                await client.whenConnected(failAfterFailures=1)
            except CancelledError:
                raise
            except Exception as error:
                raise self._explain(error) from None
            await self._ask(client)
        finally:
            await client.close()

    def _takeLogin(self) -> Deferred[LoggedIn]:
        def note(loggedIn: LoggedIn) -> LoggedIn:
            self._hasLoggedIn = True
            return loggedIn

        return self._reach.takeLogin(self._plan.first).addCallback(note)

    async def _ask(self, client: MsgClient) -> None:
        plan = self._plan
        dialogue = Dialogue(plan.template, plan.size, plan.expect, Random(plan.seed))
        # No user of the test has a request of that number.
        asked = dialogue.ask(plan.target.nameOf(plan.first), 0)
        try:
            answer = await client.request(asked.content, timeout=_PATIENCE)
        except RequestTimedOut as error:
            raise Complaint(Status.FAILED, f"the first request has {error}") from None
        except RequestFailed as error:
            told = f"the server's handler failed at the first request, {shown(asked.content)}"
            raise Complaint(Status.FAILED, f"{told}: {shown(error.content)}") from None
        except CancelledError:
            raise
        except Exception as error:
            raise Complaint(Status.FAILED, f"the first request has failed: {error}") from None
        if not dialogue.isRight(asked, answer):
            raise Complaint(
                Status.FAILED,
                f"the server answers {shown(asked.content)} with {shown(answer)}, which is not what"
                f" is expected: see --expect, which is {plan.expect!r}",
            )

    def _explain(self, error: Exception) -> Complaint:
        target = self._plan.target
        name = target.nameOf(self._plan.first).decode(errors="backslashreplace")
        if self._hasLoggedIn:
            where, what = f"the gate (by default at {target.gate})", "the connection"
        else:
            where, what = f"the login server at {target.login}", "the login"
        if isinstance(error, Refused):
            status = error.status.decode()
            return Complaint(Status.REFUSED, f"{where} refuses {what} of {name}: {status}")
        if isinstance(error, ProtocolError):
            return Complaint(Status.UNREACHABLE, f"{where} is none, or another kind: {error}")
        if isinstance(error, ValueError):
            return Complaint(Status.MISTAKEN, f"{what} cannot be made: {error}")
        return Complaint(Status.UNREACHABLE, f"{where} cannot be reached: {error}")
