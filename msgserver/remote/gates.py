"""
The login server's end of the control link: its gates, and its operators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import astuple, evolve
from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.spread import pb
from zope.interface import Interface, implementer

from msgserver.cluster import (
    GateLoad,
    GateReport,
    IGate,
    ILoginDirectory,
    IOperations,
    LoginRecord,
    LoginReport,
    Registration,
)
from msgserver.errors import InvalidState
from msgserver.remote.door import OPERATOR, IDesk
from msgserver.remote.link import Link, LinkBroker, LinkTimes, Served

PAGE = 1000
"""How many logins one call carries: some milliseconds' work, far below what a call can hold."""


@implementer(IGate)
class RemoteGate:
    """
    A gate in another process.

    No call has a deadline of its own here: who asks has one (L4), and lets go. What is late
    then is still heard: a login that nobody waits for any more is ended.

    @param end: what it has given us to call.
    @param gateTimeout: seconds that it is given for a login.
    """

    def __init__(self, link: Link, end: pb.RemoteReference, gateTimeout: float) -> None:
        self._link = link
        self._end = end
        self._gateTimeout = gateTimeout

    @property
    def isLate(self) -> bool:
        """See L{IGate}."""
        return self._link.isLate

    def login(self, uid: bytes, secret: bytes, epoch: int) -> Deferred[bytes]:
        """See L{IGate.login}."""
        answer: Deferred[bytes] = Deferred()

        def answered(subid: Any) -> None:
            if not answer.called:
                answer.callback(subid)  # A Failure makes it fail.
            elif isinstance(subid, bytes):
                self._link.tell(self._end, "kick", uid, subid)

        # Nothing tells the other end that the answer is not wanted any more.
        asked = self._link.ask(self._end, "login", uid, secret, epoch, self._gateTimeout)
        asked.addBoth(answered)
        return answer

    def kick(self, uid: bytes, subid: bytes) -> Deferred[None]:
        """See L{IGate.kick}."""
        return self._link.ask(self._end, "kick", uid, subid)

    def setDraining(self, isDraining: bool) -> Deferred[None]:
        """See L{IGate.setDraining}."""
        return self._link.ask(self._end, "setDraining", isDraining)

    def load(self) -> Deferred[GateLoad]:
        """See L{IGate.load}."""
        return self._link.ask(self._end, "load").addCallback(lambda load: GateLoad(*load))

    def replaced(self) -> None:
        """See L{IGate.replaced}: if it is alive, it is told, and has to come anew."""
        self._link.tell(self._end, "replaced")
        self._link.broker.transport.loseConnection()


class GateDesk(Served):
    """What a gate may call."""

    def __init__(
        self, directory: ILoginDirectory, servername: bytes, link: Link, gateTimeout: float
    ) -> None:
        self._directory = directory
        self._servername = servername
        self._link = link
        self._gateTimeout = gateTimeout
        self._gate: RemoteGate | None = None

    def remote_register(
        self,
        end: pb.RemoteReference,
        address: str | None,
        weight: int,
        isDraining: bool,
        load: tuple[int, int, int],
    ) -> None:
        """
        See L{ILoginDirectory.register}; the logins follow, by L{remote_adopt}.

        @param end: what the gate lets us call.
        """
        if self._gate is not None:
            raise InvalidState("this gate has registered already")
        if weight < 1:
            raise InvalidState("a gate's weight is 1 or more")
        self._gate = RemoteGate(self._link, end, self._gateTimeout)
        registration = Registration(self._servername, address, weight, isDraining, GateLoad(*load))
        self._directory.register(self._gate, lambda: registration)
        self._link.stays()
        self._link.watch(end)

    async def remote_adopt(self, logins: list[Any]) -> list[Any]:
        """See L{ILoginDirectory.adopt}."""
        return pack(await self._directory.adopt(self._registered(), unpack(logins)))

    def remote_draining(self, isDraining: bool) -> Deferred[None]:
        """See L{ILoginDirectory.draining}."""
        return self._directory.draining(self._registered(), isDraining)

    def remote_loggedOut(self, uid: bytes, subid: bytes) -> Deferred[None]:
        """See L{ILoginDirectory.loggedOut}."""
        return self._directory.loggedOut(self._registered(), uid, subid)

    def remote_unregister(self) -> Deferred[None]:
        """See L{ILoginDirectory.unregister}."""
        return self._directory.unregister(self._registered())

    def remote_ping(self) -> None:
        """Answer: the process is alive."""

    def left(self) -> None:
        """Take note that the link is no more."""
        if self._gate is not None:
            self._directory.unregister(self._gate)

    def _registered(self) -> RemoteGate:
        if self._gate is None:
            raise InvalidState("this gate has not registered")
        return self._gate


class OperatorDesk(Served):
    """What an operator may call."""

    def __init__(self, operations: IOperations) -> None:
        self._operations = operations
        self._reports: list[LoginReport] = []

    async def remote_gates(self) -> list[tuple[Any, ...]]:
        """See L{IOperations.gates}."""
        return [astuple(report) for report in await self._operations.gates()]

    def remote_users(self, uid: bytes | None, start: int) -> list[tuple[Any, ...]]:
        """
        See L{IOperations.users}: a page of it.

        @param start: how many have been told; 0 asks anew.
        """
        if start == 0:
            self._reports = list(self._operations.users(uid))
        return [astuple(report) for report in self._reports[start : start + PAGE]]

    async def remote_kick(self, uid: bytes, subid: bytes | None) -> list[tuple[Any, ...]]:
        """See L{IOperations.kick}."""
        return [astuple(report) for report in await self._operations.kick(uid, subid)]

    async def remote_setDraining(self, gate: str, isDraining: bool) -> tuple[Any, ...]:
        """See L{IOperations.setDraining}."""
        return astuple(await self._operations.setDraining(gate, isDraining))


@implementer(IRealm)
class ControlRealm:
    """
    Gives whoever has proved a key its desk.

    @param directory: what gates report to.
    @param operations: what operators command.
    @param gateTimeout: seconds that a gate is given for a login.
    """

    def __init__(
        self,
        directory: ILoginDirectory,
        operations: IOperations,
        clock: IReactorTime,
        times: LinkTimes,
        gateTimeout: float,
    ) -> None:
        self._directory = directory
        self._operations = operations
        self._clock = clock
        self._times = times
        self._gateTimeout = gateTimeout

    def requestAvatar(
        self, avatarId: bytes | tuple[()], mind: object, *interfaces: type[Interface]
    ) -> tuple[type[Interface], Served, Callable[[], None]]:
        """Make the desk of a peer, and what is to be called when its link is lost."""
        assert isinstance(avatarId, bytes) and isinstance(mind, LinkBroker)
        link = Link(mind, self._clock, self._times)
        if avatarId == OPERATOR:
            link.stays()
            return IDesk, OperatorDesk(self._operations), lambda: None
        _, _, servername = avatarId.partition(b" ")
        desk = GateDesk(self._directory, servername, link, self._gateTimeout)
        return IDesk, desk, desk.left


def pack(logins: Any) -> list[Any]:
    """Lay logins out flat: a list of lists would cost the link three times as much."""
    return [part for login in logins for part in astuple(login)]


def unpack(parts: list[Any]) -> list[LoginRecord]:
    """Make logins of what L{pack} has made of them."""
    return [LoginRecord(*login) for login in zip(*[iter(parts)] * 3, strict=True)]


def reportOf(parts: tuple[Any, ...]) -> GateReport:
    """Make a report of what C{astuple} has made of it."""
    report = GateReport(*parts)
    return report if report.load is None else evolve(report, load=GateLoad(*parts[-1]))
