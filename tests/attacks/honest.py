"""
The user, who is to be served whatever strangers do.

Three of them, as three things are to be seen: alice stays connected and asks every 20 ms; bob
loses his connection again and again, and comes back; carol logs in anew each time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IDelayedCall

from msgserver.client import MsgClient, login
from msgserver.clientlogin import LoggedIn
from msgserver.interfaces import Account
from tests.attacks.handler import TRIM
from tests.attacks.stage import SERVERNAME, USERS
from tests.endtoend.clusters import CLOCK, pause, until

REQUEST, RECONNECT, LOGIN = "request", "reconnect", "login"

_PACE = 0.02
"""Seconds from one request of alice's to the next, whether or not it is answered."""

_RETRY = 0.1
"""Seconds until a client whose attempt has failed tries again."""


@define
class Experience:
    """
    What the user saw for a while.

    @ivar seconds: what each thing that was begun in that time took, by its kind.
    @ivar counts: how much went wrong, by what: attempts that had to be made again, and what
        is not to be at all, under C{failed} and C{wrong}.
    """

    seconds: dict[str, list[float]] = field(factory=lambda: defaultdict(list))
    counts: Counter[str] = field(factory=Counter)

    @property
    def lost(self) -> int:
        """How many requests were not answered, or not with their answer."""
        return self.counts["failed"] + self.counts["wrong"]


class HonestUser:
    """
    Logs in, connects and asks, until told to stop.

    @param ports: the server's, by the section of its config.
    @param tokenOf: what each of L{USERS} logs in with.
    @param interval: seconds from one reconnect to the next, and from one new login to the next.
    @ivar experience: what is seen of what begins now; L{begin} exchanges it for another.
    @ivar usernames: those of the latest logins, as anybody who overhears handshakes knows them.
    @ivar open: how much has been begun that has not ended, by its kind.
    """

    def __init__(
        self, ports: dict[str, int], tokenOf: Callable[[bytes], bytes], interval: float
    ) -> None:
        self.experience = Experience()
        self.usernames: dict[bytes, bytes] = {}
        self.open: Counter[str] = Counter()
        self._ports = ports
        self._tokenOf = tokenOf
        self._interval = interval
        self._isGoing = True
        self._resting: dict[Deferred[None], IDelayedCall] = {}
        self._count = 0
        alice, bob, self._carol = USERS
        self._staying = self._client(alice)
        self._dropping = self._client(bob)
        lanes = (self._keepAsking, self._keepReconnecting, self._keepLoggingIn)
        self._lanes = [Deferred.fromCoroutine(lane()) for lane in lanes]

    def _endpoint(self, section: str) -> TCP4ClientEndpoint:
        return TCP4ClientEndpoint(reactor, "127.0.0.1", self._ports[section])

    def _client(self, user: bytes) -> MsgClient:
        async def takeLogin() -> LoggedIn:
            account = Account(SERVERNAME, user)
            experience = self.experience
            experience.counts["login attempts"] += 1
            try:
                loggedIn = await login(self._endpoint("login"), account, self._tokenOf(user))
                self.usernames[user] = loggedIn.user.username
                return loggedIn
            except Exception as error:
                experience.counts[f"login: {_nameOf(error)}"] += 1
                raise

        return MsgClient(
            CLOCK, takeLogin, self._endpoint("gate"), retryPolicy=lambda failures: _RETRY
        )

    async def _measured(self, kind: str, act: Callable[[bytes], Awaitable[bytes]]) -> None:
        self._count += 1
        experience, begun, content = self.experience, CLOCK.seconds(), b"%d" % self._count
        self.open[kind] += 1
        try:
            answer = await act(content)
        except Exception as error:
            experience.counts["failed"] += 1
            experience.counts[f"{kind}: {_nameOf(error)}"] += 1
        else:
            experience.seconds[kind].append(CLOCK.seconds() - begun)
            experience.counts["wrong"] += answer != content
        self.open[kind] -= 1

    async def _keepAsking(self) -> None:
        while self._isGoing:
            # Not waited for: a request that takes long must not keep the next from being seen.
            Deferred.fromCoroutine(self._measured(REQUEST, self._staying.request))
            await pause(_PACE)

    async def _keepReconnecting(self) -> None:
        await self._dropping.whenConnected()
        while self._isGoing:
            await self._measured(RECONNECT, self._reconnect)
            await self._rest()

    async def _reconnect(self, content: bytes) -> bytes:
        self._dropping.dropConnection()
        return await self._dropping.request(content)

    async def _keepLoggingIn(self) -> None:
        while self._isGoing:
            await self._measured(LOGIN, self._logIn)
            await self._rest()

    async def _logIn(self, content: bytes) -> bytes:
        client = self._client(self._carol)
        try:
            return await client.request(content)
        finally:
            await client.close()

    def _rest(self) -> Deferred[None]:
        rested: Deferred[None] = Deferred()
        self._resting[rested] = CLOCK.callLater(self._interval, self._goOn, rested)
        return rested

    def _goOn(self, rested: Deferred[None]) -> None:
        del self._resting[rested]
        rested.callback(None)

    def begin(self, experience: Experience) -> None:
        """Write down there what begins from now on; whoever rests, begins now."""
        self.experience = experience
        for rested, call in list(self._resting.items()):
            call.cancel()
            self._goOn(rested)

    async def trim(self) -> None:
        """Have the gate give back what memory is free."""
        await self._staying.request(TRIM)

    async def served(self, seconds: float) -> None:
        """
        Wait until each thing that was begun in the present experience has been done once.

        @raise AssertionError: that takes longer.
        """
        seen = self.experience.seconds
        await until(
            lambda: all(seen[kind] for kind in (REQUEST, RECONNECT, LOGIN)),
            seconds,
            "the user is served",
        )

    async def stop(self, seconds: float) -> Mapping[str, int]:
        """
        Begin nothing more, wait for what is under way for so long, and hang up.

        @return: what did not come to its end by then, by its kind.
        """
        self._isGoing = False
        unanswered: Mapping[str, int] = {}
        try:
            await until(lambda: not self.open.total(), seconds, "the user is answered")
        except AssertionError:
            unanswered = dict(self.open)
        await gatherResults([self._staying.close(), self._dropping.close()])
        if not unanswered:
            await gatherResults(self._lanes)
        return unanswered


def _nameOf(error: Exception) -> str:
    return type(error).__name__
