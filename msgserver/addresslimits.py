"""
What one address may do: an IPv4 address, or a /64 of IPv6, which is what one customer has.

It is a part of L{msgserver.limits}.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from ipaddress import IPv6Network, ip_network
from math import inf
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final, TypeAlias, TypeVar

from twisted.internet.interfaces import IReactorTime

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
"""The networks of this machine alone."""

_MAPPED: Final = bytes(10) + b"\xff\xff"
"""What an IPv6 address that stands for an IPv4 address begins with (RFC 4291, 2.5.5.2)."""

_MAPPED_BITS: Final = 8 * len(_MAPPED)

_SITE_SIZE: Final = 8
"""The bytes of a /64."""

_NEARLY: Final = 1e-9
"""What a token may lack: a sum of fractions is not exact."""

Bucket: TypeAlias = tuple[float, float]
"""Tokens, and when, in seconds of a clock, there were so many."""


def plainHost(peer: object) -> str | None:
    """
    Give an address as people write it, without its port.

    @param peer: an L{IAddress<twisted.internet.interfaces.IAddress>}. One of IPv6 that stands
        for one of IPv4, as a port for both has it, is written as the latter.
    @return: None where it has none, as on a UNIX socket.
    """
    host: str | None = getattr(peer, "host", None)
    if host is not None and host.startswith("::ffff:") and "." in host:
        return host[len("::ffff:") :]
    return host


class Networks:
    """
    Tells the addresses that limits of an address hold for.

    @param unlimited: networks that none hold for, as C{10.0.0.0/8}.
    """

    def __init__(self, unlimited: Sequence[str] = LOOPBACK) -> None:
        # The size of an address in bytes, the mask, and what remains of an address within.
        self._unlimited: list[tuple[int, int, int]] = []
        for network in map(ip_network, unlimited):
            raw, bits = network.network_address.packed, network.prefixlen
            if isinstance(network, IPv6Network) and bits >= _MAPPED_BITS and _isMapped(raw):
                raw, bits = raw[len(_MAPPED) :], bits - _MAPPED_BITS
            mask = ((1 << bits) - 1) << (8 * len(raw) - bits)
            self._unlimited.append((len(raw), mask, int.from_bytes(raw, "big")))

    def keyOf(self, host: str | None) -> bytes | None:
        """
        Give what tells one customer's address from another's: of IPv4 all, of IPv6 a /64.

        @return: None where no limit holds: within C{unlimited}, on a UNIX socket, or where
            C{host} is no address.
        """
        raw = _packed(host)
        if raw is None:
            return None
        size, number = len(raw), int.from_bytes(raw, "big")
        for each, mask, network in self._unlimited:
            if each == size and number & mask == network:
                return None
        return raw[:_SITE_SIZE]


def _packed(host: str | None) -> bytes | None:
    """Give an address as its 4 or 16 bytes; None where it is none."""
    if not host:
        return None
    try:
        if ":" not in host:
            return inet_pton(AF_INET, host)
        # What stands behind the percent sign is the link that a local address is on.
        raw = inet_pton(AF_INET6, host.partition("%")[0])
    except (OSError, ValueError):
        return None
    return raw[len(_MAPPED) :] if _isMapped(raw) else raw


def _isMapped(raw: bytes) -> bool:
    return raw.startswith(_MAPPED)


class Table(OrderedDict[_Key, _Value]):
    """
    A table that stays small: past so many entries, it forgets what was longest not put there.

    @param most: how many entries; 1 or more.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def put(self, key: _Key, value: _Value) -> None:
        """Note something down, as the latest."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)

    def tidy(self, isStale: Callable[[_Value], bool]) -> None:
        """Forget the oldest entries where they are stale: two at most, as one came in at most."""
        for _ in range(2):
            oldest = next(iter(self), None)
            if oldest is None or not isStale(self[oldest]):
                return
            del self[oldest]


class Rate:
    """
    So many a second in the long run, and so many at once: a bucket of tokens for each who asks.

    @param rate: tokens a second; above 0.
    @param burst: tokens in a full bucket; 1 or more.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        # After so many seconds any bucket is full.
        self.fillTime = burst / rate if rate > 0 else inf

    def tokens(self, bucket: Bucket | None, now: float) -> float:
        """Tell how many tokens there are in a bucket now; None is one that is full."""
        if bucket is None:
            return float(self.burst)
        tokens, since = bucket
        # A clock that is set back gives nothing, and takes nothing away.
        return min(float(self.burst), tokens + max(0.0, now - since) * self.rate + _NEARLY)


class AddressLimits:
    """
    So many connections at once, and so many in the long run.

    @param maxclient: connections at once.
    @param rate: connections a second in the long run; above 0.
    @param burst: connections before that holds; 1 or more.
    @param table: how many addresses are remembered. Past it, the one that was longest not there
        may begin anew.
    """

    def __init__(
        self, clock: IReactorTime, maxclient: int, rate: float, burst: int, table: int
    ) -> None:
        self._clock = clock
        self._maxclient = maxclient
        self._rate = Rate(rate, burst)
        self._buckets: Table[bytes, Bucket] = Table(table)
        # No more entries than there are connections, and none is forgotten before they are.
        self._open: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Tell how many addresses are remembered."""
        return len(self._buckets)

    def opened(self, key: bytes) -> str | None:
        """
        Take in a connection of an address.

        @return: None; or, where it may not stay and is not taken in, the config key of the limit
            that it is over.
        """
        now = self._clock.seconds()
        self._buckets.tidy(lambda bucket: now - bucket[1] >= self._rate.fillTime)
        tokens = self._rate.tokens(self._buckets.get(key), now)
        isTooOften = tokens < 1
        # Who is refused is there all the same, and is not what was longest not there.
        self._buckets.put(key, (tokens if isTooOften else tokens - 1, now))
        if isTooOften:
            return "address_rate"
        count = self._open.get(key, 0)
        if count >= self._maxclient:
            return "address_maxclient"
        self._open[key] = count + 1
        return None

    def closed(self, key: bytes) -> None:
        """Forget a connection that was taken in."""
        count = self._open[key] - 1
        if count:
            self._open[key] = count
        else:
            del self._open[key]
