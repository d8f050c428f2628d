"""What the servers of the end-to-end tests run."""

from __future__ import annotations

from collections import Counter

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from msgserver import Account, ILoginHandler, MsgHandler, User
from msgserver.interfaces import IMsgGate, MaybeLater

SECRET = b"8 bytes."


class Workload(MsgHandler):
    """
    Counts what runs.

    C{run:NAME} and C{slow:MS:NAME} count a run of C{NAME}, at once and after a while;
    C{runs:NAME} tells how many there were; C{calls} tells which calls there were; C{ip} tells
    the user's address;
    C{logout}, C{raise} and C{hang} do so; C{big:N} is answered with N bytes.

    @param admit: how many logins to begin with, with uids C{0}, C{1} and so on and the subid
        C{1}, so that a test need not log each of them in.
    """

    def __init__(self, admit: int = 0) -> None:
        self._admit = admit
        self._runs: Counter[bytes] = Counter()
        self._calls: Counter[str] = Counter()

    def gateOpened(self, gate: IMsgGate) -> None:
        super().gateOpened(gate)
        for number in range(self._admit):
            gate.login(User(b"%d" % number, b"1", gate.servername), SECRET)

    def requestReceived(self, user: User, content: bytes) -> MaybeLater[bytes]:
        order, _, rest = content.partition(b":")
        match order:
            case b"run":
                self._runs[rest] += 1
                return b"ran " + rest
            case b"slow":
                return self._slow(rest)
            case b"runs":
                return b"%d" % self._runs[rest]
            case b"calls":
                return ",".join(f"{k}={n}" for k, n in sorted(self._calls.items())).encode()
            case b"ip":
                return str(self.gate.ip(user)).encode()
            case b"logout":
                self.gate.logout(user)
                return b"bye"
            case b"raise":
                raise ValueError("as ordered")
            case b"hang":
                return Deferred()
            case b"big":
                return bytes(int(rest))
        return content

    async def _slow(self, rest: bytes) -> bytes:
        milliseconds, _, name = rest.partition(b":")
        self._runs[name] += 1
        await deferLater(IReactorTime(reactor), int(milliseconds) / 1000, lambda: None)
        return b"ran " + name

    def disconnected(self, user: User) -> None:
        self._calls["disconnected"] += 1

    def kicked(self, user: User) -> None:
        self._calls["kicked"] += 1

    def loggedOut(self, user: User) -> None:
        self._calls["loggedOut"] += 1


@implementer(ILoginHandler)
class Welcome:
    """Lets everybody in as whom they say that they are: the token is the uid."""

    def authenticate(self, token: bytes) -> Account:
        """See L{ILoginHandler.authenticate}."""
        return Account(b"sample", token)
