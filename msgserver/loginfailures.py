"""
Failed logins: who has given too many wrong tokens must wait, longer each time.

It is a part of L{msgserver.limits}.
"""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from msgserver.addresslimits import Networks, Table
from msgserver.errors import NotAcceptable

_DIGEST_SIZE = 16
"""The bytes that stand for a uid in a table: strangers say how long the uid itself is."""

_MOST_DOUBLINGS = 64
"""After so many any wait is as long as waits are; the power of a large number takes all memory."""


@frozen
class FailureLimits:
    """
    How often logins may fail.

    @ivar free: failures of a user before the next login must wait.
    @ivar addressFree: failures from an address before the next login must wait.
    @ivar delay: seconds of the first wait; each further failure doubles it.
    @ivar longest: seconds of a wait at most.
    @ivar memory: seconds after the last failure until all are forgotten.
    @ivar table: how many users are remembered, and how many addresses.
    """

    free: int = 5
    addressFree: int = 50
    delay: float = 1.0
    longest: float = 60.0
    memory: float = 600.0
    table: int = 65536


class _Record:
    """
    The failures of one user, or from one address.

    @ivar failed: how many attempts have failed.
    @ivar since: when the last of them failed, in seconds of the clock.
    @ivar underWay: how many attempts have no verdict yet.
    @ivar begun: when the last of those began.
    """

    __slots__ = ("begun", "failed", "since", "underWay")

    def __init__(self) -> None:
        self.failed = 0
        self.since = float("-inf")
        self.underWay = 0
        self.begun = float("-inf")

    @property
    def last(self) -> float:
        """When the last attempt failed, or that began which may fail yet."""
        return max(self.since, self.begun) if self.underWay else self.since


class _Records:
    """The failures of all users, or from all addresses."""

    def __init__(self, limits: FailureLimits, free: int) -> None:
        self._limits = limits
        self._free = free
        self._table: Table[bytes, _Record] = Table(limits.table)

    def __len__(self) -> int:
        return len(self._table)

    def mustWait(self, key: bytes, now: float, *, withUnderWay: bool = True) -> bool:
        """
        Say whether the next attempt comes too early.

        @param withUnderWay: those attempts that have no verdict yet count as failed, too.
        """
        record = self._table.get(key)
        if record is None or self._isStale(record, now):
            return False
        count, last = record.failed, record.since
        if withUnderWay:
            count, last = count + record.underWay, record.last
        over = count - self._free
        if over < 0:
            return False
        limits = self._limits
        wait = min(limits.longest, limits.delay * 2.0 ** min(over, _MOST_DOUBLINGS))
        # A clock that was set back keeps nobody waiting.
        return 0 <= now - last < wait

    def begin(self, key: bytes, now: float) -> _Record:
        """Take note that an attempt begins."""
        self._table.tidy(lambda record: self._isStale(record, now))
        record = self._table.get(key)
        if record is None or self._isStale(record, now):
            record = _Record()
        record.underWay += 1
        record.begun = now
        self._table.put(key, record)
        return record

    def failed(self, key: bytes, record: _Record, now: float) -> None:
        """Take note that an attempt has failed."""
        record.underWay -= 1
        record.failed += 1
        record.since = now
        self._table.put(key, record)

    def takenBack(self, key: bytes, record: _Record, now: float, *, wasInVain: bool) -> None:
        """
        Take note that an attempt was none.

        @param wasInVain: the handler was asked, and nobody has waited for its answer. It is no
            failure, as it has told nothing; but where one must wait, this begins the wait anew.
        """
        record.underWay -= 1
        if wasInVain and record.failed >= self._free:
            record.since = now
        self._forgetEmpty(key, record)

    def succeeded(self, key: bytes, record: _Record) -> None:
        """Forget the failures, but not those attempts that are under way."""
        record.underWay -= 1
        record.failed = 0
        self._forgetEmpty(key, record)

    def _forgetEmpty(self, key: bytes, record: _Record) -> None:
        if not (record.failed or record.underWay) and self._table.get(key) is record:
            del self._table[key]

    def _isStale(self, record: _Record, now: float) -> bool:
        return now - record.last >= self._limits.memory


class LoginFailures:
    """
    Makes those wait who have given too many wrong tokens: for one user, or from one address.

    An attempt counts as failed while nobody knows what will come of it: trying side by side is
    no way around. What ends otherwise than by the handler's no is taken back. Where the client
    has gone before the answer it has learnt nothing, as clients with bad networks do all the
    time, and that is no failure; only a wait that was over begins anew, so that leaving early
    has the handler asked no more often.

    The address from which a user has last logged in need not wait for the failures of others:
    nobody can keep users out of where they are at home. An address that no limit holds for is
    nobody's home: behind a proxy that does not say whose a connection is, all have that one.

    @ivar hits: how often each limit was hit by a login, by its config key.
    """

    def __init__(
        self,
        clock: IReactorTime,
        limits: FailureLimits | None = None,
        networks: Networks | None = None,
    ) -> None:
        limits = limits or FailureLimits()
        self.hits: Counter[str] = Counter()
        self._clock = clock
        self._networks = networks or Networks()
        self._users = _Records(limits, limits.free)
        self._addresses = _Records(limits, limits.addressFree)
        # Only who has logged in gets an entry here, so nobody drives others' entries out.
        self._homes: Table[bytes, bytes] = Table(limits.table)

    def __len__(self) -> int:
        """Tell how many users and addresses are remembered for their failures."""
        return len(self._users) + len(self._addresses)

    def isHeld(self, key: bytes | None) -> bool:
        """
        Say whether an address must wait: then it need not even be listened to.

        @param key: as L{Networks.keyOf} gives it.
        """
        # Not for attempts under way: these may be many users behind one address.
        now = self._clock.seconds()
        return key is not None and self._addresses.mustWait(key, now, withUnderWay=False)

    def begin(self, uid: bytes | None, host: str | None) -> Attempt:
        """
        Begin an attempt; it is to be told how it has ended.

        @param uid: who is said to log in; None where that is not known.
        @param host: the address that it comes from.
        @raise NotAcceptable: it comes too early, which is counted.
        """
        now = self._clock.seconds()
        key = self._networks.keyOf(host)
        if key is not None and self._addresses.mustWait(key, now):
            self.hits["address_free_failures"] += 1
            raise NotAcceptable("too many logins from this address have failed")
        user = None if uid is None else _digestOf(uid)
        isHome = user is not None and key is not None and self._homes.get(user) == key
        if user is not None and not isHome and self._users.mustWait(user, now):
            self.hits["free_failures"] += 1
            raise NotAcceptable("too many logins of this user have failed")
        return Attempt(self, user, key, isHome)

    def _welcome(self, uid: bytes, key: bytes | None) -> None:
        if key is not None:
            self._homes.put(_digestOf(uid), key)


class Attempt:
    """
    One attempt to log in. The first of its methods to be called says how it has ended.

    @ivar isHome: it comes from where the user has last logged in.
    """

    def __init__(
        self, failures: LoginFailures, user: bytes | None, key: bytes | None, isHome: bool
    ) -> None:
        self.isHome = isHome
        self._failures = failures
        self._key = key
        now = failures._clock.seconds()
        self._parts = [
            (records, name, records.begin(name, now))
            for records, name in ((failures._users, user), (failures._addresses, key))
            if name is not None
        ]

    def failed(self) -> None:
        """Take note that the handler said no."""
        now = self._failures._clock.seconds()
        for records, name, record in self._taken():
            records.failed(name, record, now)

    def succeeded(self, uid: bytes) -> None:
        """Take note of who has logged in. The failures of others from there remain."""
        users, user = self._failures._users, _digestOf(uid)
        for records, name, record in self._taken():
            if records is users and name == user:
                records.succeeded(name, record)
            else:
                records.takenBack(name, record, self._failures._clock.seconds(), wasInVain=False)
        self._failures._welcome(uid, self._key)

    def dropped(self) -> None:
        """Take it back: it is no fault of the client's that there was no verdict."""
        self._takeBack(wasInVain=False)

    def left(self) -> None:
        """Take it back: the client has gone, and learnt nothing."""
        self._takeBack(wasInVain=True)

    def _takeBack(self, wasInVain: bool) -> None:
        now = self._failures._clock.seconds()
        for records, name, record in self._taken():
            records.takenBack(name, record, now, wasInVain=wasInVain)

    def _taken(self) -> list[tuple[_Records, bytes, _Record]]:
        parts, self._parts = self._parts, []
        return parts


def _digestOf(uid: bytes) -> bytes:
    return blake2b(uid, digest_size=_DIGEST_SIZE).digest()
