"""
What login servers and gates say to each other, and to operators: L{IGate}, L{ILoginDirectory}
and L{IOperations}, and the frozen values in their signatures.

In one process the services call each other, in many L{msgserver.remote} stands between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import field, frozen
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface


@frozen
class LoginRecord:
    """
    One login, as the login side and the gates speak of it to each other.

    @ivar epoch: a number that the login side gives it, above that of every earlier login: of
        two logins of one uid, it tells the newer even to a login server that has seen neither
        of them begin.
    """

    uid: bytes
    subid: bytes
    epoch: int


@frozen
class GateLoad:
    """
    What a gate is doing at this moment.

    @ivar logins: how many it has, those of its handler's own included.
    @ivar connections: how many of their clients are connected.
    @ivar running: how many requests its handler is at.
    """

    logins: int = 0
    connections: int = 0
    running: int = 0


@frozen
class Registration:
    """
    What a gate says of itself when it registers.

    @ivar servername: the name of the login point that it is, by itself or with others.
    @ivar address: the C{host:port} that clients reach it at, or None where they know it.
    @ivar weight: how large a share of new logins it takes, next to the others of its name.
    @ivar isDraining: it takes no new logins.
    @ivar logins: those that it has at this moment, of all that the login side has made.
    """

    servername: bytes
    address: str | None = None
    weight: int = 1
    isDraining: bool = False
    load: GateLoad = GateLoad()
    logins: tuple[LoginRecord, ...] = field(default=(), repr=False)


@frozen
class GateReport:
    """
    What an operator is told of a gate.

    @ivar name: what to call it: its server name, and its address where it has one.
    @ivar logins: how many the login side knows it to have.
    @ivar load: what it says itself; None where it does not answer.
    """

    name: str
    servername: bytes
    address: str | None
    weight: int
    isDraining: bool
    logins: int
    load: GateLoad | None


@frozen
class LoginReport:
    """
    What an operator is told of a login.

    @ivar gate: the name of its gate, as in L{GateReport}.
    @ivar since: when it began, in seconds since 1970.
    """

    uid: bytes
    subid: bytes
    gate: str
    since: float


class IGate(Interface):
    """
    What the login side asks of a gate, in this process or in another.

    Whatever is asked of a gate that is away, or leaves while it is asked, fails with
    L{msgserver.errors.GateUnavailable}.
    """

    isLate: bool = Attribute("It has been asked whether it is there, and has yet to answer.")

    def login(uid: bytes, secret: bytes, epoch: int) -> Deferred[bytes]:
        """
        Admit a login and tell its subid.

        @param epoch: see L{LoginRecord}.
        @return: fails with L{Forbidden} where the gate says no. Cancelling it leaves no
            login behind, though perhaps after a while.
        """

    def kick(uid: bytes, subid: bytes) -> Deferred[None]:
        """
        End a login that has been superseded, or that an operator wants ended (U3, U4).

        @return: fires when the login is gone, and the handler has let go of it; at once
            where there is none.
        """

    def setDraining(isDraining: bool) -> Deferred[None]:
        """
        Take no new logins from now on, or take them again. Those there are stay.

        @return: fires when the login side has been told, by L{ILoginDirectory.draining}.
        """

    def load() -> Deferred[GateLoad]:
        """Tell what the gate is doing at this moment."""

    def replaced() -> None:
        """Take note that another gate has registered with the same name and address."""


class ILoginDirectory(Interface):
    """What a gate asks of the login side, in this process or in another."""

    def register(
        gate: IGate, describe: Callable[[], Registration]
    ) -> Deferred[Sequence[LoginRecord]]:
        """
        Make the gate known, or known anew. One that is known with the same name and the
        same address makes way for it; others of the same name share it, as a group.

        @param describe: tells of the gate at the moment of the call. A directory that is far
            away calls it again each time that it has been out of reach.
        @return: those of its logins that newer ones have superseded; the gate ends them.
        """

    def unregister(gate: IGate) -> Deferred[None]:
        """Forget the gate and its logins: it is no more, or out of reach."""

    def draining(gate: IGate, isDraining: bool) -> Deferred[None]:
        """Take note that the gate takes no new logins, or takes them again."""

    def adopt(gate: IGate, logins: Sequence[LoginRecord]) -> Deferred[Sequence[LoginRecord]]:
        """
        Take note of logins of the gate that the directory may not have heard of.

        @return: those of them that newer ones have superseded; the gate ends them.
        """

    def loggedOut(gate: IGate, uid: bytes, subid: bytes) -> Deferred[None]:
        """Take note that a login of the gate has ended; it alone, never a newer one (U4)."""


class IOperations(Interface):
    """What an operator asks of the login side."""

    def gates() -> Deferred[list[GateReport]]:
        """Tell of every gate, in the order of their names."""

    def users(uid: bytes | None = None) -> list[LoginReport]:
        """Tell of every login, or of those of one uid, in the order of their uids."""

    def kick(uid: bytes, subid: bytes | None = None) -> Deferred[list[LoginReport]]:
        """
        End a login of a uid, or all of them (U3, U4).

        @return: which logins those were. Fails with L{msgserver.errors.UserNotFound} where
            there is none, and with L{msgserver.errors.GateUnavailable} where a gate did not
            answer in time.
        """

    def setDraining(gate: str, isDraining: bool) -> Deferred[GateReport]:
        """
        Have a gate take no new logins from now on, or take them again.

        @param gate: its name as in L{GateReport}, or its address, or its server name; where
            that is the name of one gate alone.
        @return: fails with L{msgserver.errors.UserNotFound} where it is not, and with
            L{msgserver.errors.GateUnavailable} where the gate did not answer in time.
        """
