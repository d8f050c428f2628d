"""
What a login server does for operators.
"""

from __future__ import annotations

from enum import Enum

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import Logger
from zope.interface import implementer

from msgserver.cluster import GateLoad, GateReport, IOperations, LoginReport
from msgserver.directory import Directory, Member, Place
from msgserver.errors import GateUnavailable, UserNotFound
from msgserver.gatecalls import EPOCHS, GateCalls

_LOAD_TIME = 2.0
"""Seconds that a gate has at most to tell its load, so that one does not hold up the table."""


class GateState(Enum):
    """Whether a gate is given logins, in a word: the first of these that holds."""

    DRAINING = "draining"
    """It takes none."""
    LATE = "late"
    """Only where no other takes them: it was slow to answer lately."""
    OPEN = "open"


@frozen
class GateOutlook:
    """
    What a login server knows of a gate without asking it.

    @ivar name: see L{GateReport.name}.
    @ivar server: its server name, which it may share.
    @ivar logins: how many it is known to have.
    """

    name: str
    server: str
    state: GateState
    logins: int


@implementer(IOperations)
class Operations:
    """
    Tells of gates and logins, and commands them: see L{IOperations}, method by method.
    """

    log = Logger()

    def __init__(self, directory: Directory, calls: GateCalls) -> None:
        self._directory = directory
        self._calls = calls

    def gates(self) -> Deferred[list[GateReport]]:
        """See L{IOperations.gates}."""
        members = self._directory.members()
        reports = [Deferred.fromCoroutine(self._report(member)) for member in members]
        return gatherResults(reports, consumeErrors=True)

    def states(self) -> list[GateOutlook]:
        """Tell what is known of every gate, at once, in the order of their names."""
        return [
            GateOutlook(member.name, member.server, self._stateOf(member), len(member.places))
            for member in self._directory.members()
        ]

    def _stateOf(self, member: Member) -> GateState:
        if member.isDraining:
            return GateState.DRAINING
        return GateState.LATE if self._calls.isLate(member) else GateState.OPEN

    async def _report(self, member: Member) -> GateReport:
        load: GateLoad | None = None
        try:
            load = await self._calls.ask(member, member.gate.load, seconds=_LOAD_TIME)
        except GateUnavailable:
            pass
        except CancelledError:
            raise
        except Exception:
            self.log.failure("{gate} failed to tell its load", gate=member.name)
        return GateReport(
            member.name,
            member.servername,
            member.address,
            member.weight,
            member.isDraining,
            len(member.places),
            load,
        )

    def users(self, uid: bytes | None = None) -> list[LoginReport]:
        """See L{IOperations.users}."""
        directory = self._directory
        return list(map(_reportOf, directory.places() if uid is None else directory.placesOf(uid)))

    def kick(self, uid: bytes, subid: bytes | None = None) -> Deferred[list[LoginReport]]:
        """See L{IOperations.kick}."""
        return Deferred.fromCoroutine(self._kick(uid, subid))

    async def _kick(self, uid: bytes, subid: bytes | None) -> list[LoginReport]:
        places = [
            place
            for place in self._directory.placesOf(uid)
            if subid is None or place.record.subid == subid
        ]
        if not places and subid is None and self._directory.supersedeLost(uid):
            raise GateUnavailable("a gate that is away may have a login; it ends with its return")
        if not places:
            raise UserNotFound("no such login")
        reports = list(map(_reportOf, places))
        kicks = [self._calls.kick(place) for place in places]
        kicked: list[bool] = await gatherResults(kicks, consumeErrors=True)
        silent = [place.member.name for place, done in zip(places, kicked, strict=True) if not done]
        if silent:
            raise GateUnavailable(f"{', '.join(silent)} did not end it: try again")
        return reports

    def setDraining(self, gate: str, isDraining: bool) -> Deferred[GateReport]:
        """See L{IOperations.setDraining}."""
        return Deferred.fromCoroutine(self._setDraining(gate, isDraining))

    async def _setDraining(self, gate: str, isDraining: bool) -> GateReport:
        member = self._directory.named(gate)
        try:
            await self._calls.ask(member, member.gate.setDraining, isDraining)
        except GateUnavailable as error:
            raise GateUnavailable(f"{member.name}: {error}") from None
        return await self._report(member)


def _reportOf(place: Place) -> LoginReport:
    record = place.record
    return LoginReport(record.uid, record.subid, place.member.name, record.epoch / EPOCHS)
