"""
What strangers may hold, and how often they may try. Both ports use it (B1, H3, L1).

  - connections, in all and of strangers, and how long they may stay such: L{ConnectionLimits}
  - L{msgserver.addresslimits}: connections of one address, at once and in the long run
  - L{msgserver.loginfailures}: failed logins of one user, and from one address
  - L{msgserver.requestrate}: requests of one login, which is no stranger

All of it costs a connection or a login some microseconds. A request it costs nothing, unless
its rate is limited. What is over a limit is refused as early as can be, and counted by the
config key of the limit.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IReactorTime

from msgserver.addresslimits import LOOPBACK, AddressLimits, Networks, plainHost
from msgserver.deadlines import Deadlines
from msgserver.loginfailures import FailureLimits, LoginFailures
from msgserver.requestrate import RequestMeter, RequestRate

__all__ = [
    "LOOPBACK",
    "AddressLimits",
    "ConnectionLimits",
    "FailureLimits",
    "LoginFailures",
    "Networks",
    "RequestMeter",
    "RequestRate",
    "plainHost",
]

_Connection = TypeVar("_Connection", bound=Hashable)


class ConnectionLimits(Generic[_Connection]):
    """
    Counts connections, and gives each a time to prove itself.

    They are counted when they have their transport, not in C{buildProtocol}: one that
    returns None there is no connection to a TLS or PROXY wrapper, which needs one.

    A stranger is a connection that has not proved itself. Where there is one too many, the oldest
    is closed: a flood of connections that say nothing keeps nobody out who proves himself
    before so many others have come.

    @param maxclient: how many connections at once (B1).
    @param seconds: how long each has from L{opened} until L{proved} or L{closed}.
    @param expired: called with a connection whose time has run out, where C{over} is None.
    @param deadline: the config key of C{seconds}.
    @param maxStrangers: how many strangers at once, 1 or more; None: as many as connections.
    @param addresses: what each address may do; None: anything.
    @param networks: the addresses that this holds for.
    @param failures: which addresses must wait for their failed logins; None: none.
    @param over: called with each connection that is over a limit, and the config key of that:
        it must be closed at once. None: it is the caller's affair to close what is refused.
    @ivar hits: how often each limit was hit, by its config key.
    """

    def __init__(
        self,
        clock: IReactorTime,
        maxclient: int,
        seconds: float,
        expired: Callable[[_Connection], object] | None = None,
        *,
        deadline: str = "handshake_timeout",
        maxStrangers: int | None = None,
        addresses: AddressLimits | None = None,
        networks: Networks | None = None,
        failures: LoginFailures | None = None,
        over: Callable[[_Connection, str], object] | None = None,
    ) -> None:
        self.hits: Counter[str] = Counter()
        self._maxclient = maxclient
        self._deadline = deadline
        self._maxStrangers = maxclient if maxStrangers is None else maxStrangers
        self._addresses = addresses
        self._networks = networks or Networks()
        self._failures = failures
        self._expired = expired
        self._over = over
        # Each with what L{AddressLimits} counts it under, if anything.
        self._connections: dict[_Connection, bytes | None] = {}
        # In the order in which they came.
        self._strangers: OrderedDict[_Connection, None] = OrderedDict()
        # Those whose proxy has not said yet whose they are, and the proxy.
        self._unnamed: dict[_Connection, object] = {}
        self._deadlines = Deadlines(clock, seconds, self._outOfTime)

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def strangers(self) -> int:
        """How many connections have not proved themselves."""
        return len(self._strangers)

    def opened(
        self, connection: _Connection, peer: object = None, *, isProxied: bool = False
    ) -> bool:
        """
        Take in a new connection, or say no where it is over a limit.

        @param peer: who is at the other end: an L{IAddress<twisted.internet.interfaces.IAddress>}.
        @param isProxied: that is a proxy, which has yet to say whose connection it is: L{named}.
        """
        if len(self._connections) >= self._maxclient:
            return self._isOver(connection, "maxclient")
        key = None
        if isProxied:
            self._unnamed[connection] = peer
        else:
            key, limit = self._judge(peer)
            if limit is not None:
                return self._isOver(connection, limit)
        self._connections[connection] = key
        self._strangers[connection] = None
        self._deadlines.start(connection)
        if len(self._strangers) > self._maxStrangers:
            self._isOver(next(iter(self._strangers)), "max_strangers")
        return connection in self._strangers

    def named(self, connection: _Connection, peer: object) -> bool:
        """
        Take note of whose connection it is, once, or say no where it is over a limit.

        @param peer: as the transport tells it from the first bytes on. If it is still the proxy,
            that has said nothing, and asks on its own behalf: no limit of an address holds.
        """
        if connection not in self._unnamed:
            return True
        if self._unnamed.pop(connection) == peer:
            return True
        key, limit = self._judge(peer)
        if limit is not None:
            return self._isOver(connection, limit)
        self._connections[connection] = key
        return True

    def known(self, connection: _Connection) -> None:
        """Count a connection among the strangers no more; its time runs on."""
        self._strangers.pop(connection, None)

    def proved(self, connection: _Connection) -> None:
        """Let a connection stay for as long as it likes."""
        self._strangers.pop(connection, None)
        self._deadlines.stop(connection)

    def closed(self, connection: _Connection) -> None:
        """Forget a connection, taken in or not."""
        self.proved(connection)
        self._unnamed.pop(connection, None)
        key = self._connections.pop(connection, None)
        if key is not None and self._addresses is not None:
            self._addresses.closed(key)

    def _judge(self, peer: object) -> tuple[bytes | None, str | None]:
        """
        Count a connection for its address.

        @return: what it is counted under, if anything, and the limit that it is over, if any.
        """
        if self._addresses is None:
            return None, None
        key = self._networks.keyOf(plainHost(peer))
        if key is None:
            return None, None
        if self._failures is not None and self._failures.isHeld(key):
            return None, "address_free_failures"
        return key, self._addresses.opened(key)

    def _isOver(self, connection: _Connection, limit: str) -> bool:
        self.hits[limit] += 1
        # It may take its time to close, and must not be the oldest once more.
        self._strangers.pop(connection, None)
        if self._over is not None:
            self._over(connection, limit)
        return False

    def _outOfTime(self, connection: _Connection) -> None:
        self._isOver(connection, self._deadline)
        if self._expired is not None:
            self._expired(connection)
