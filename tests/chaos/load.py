"""Clients who ask, and write down what they hear."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from time import monotonic_ns

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint

from bench.loginload import OneKey
from msgserver.client import MsgClient, login
from msgserver.clientlogin import LoggedIn
from msgserver.errors import OutcomeUnknown, RequestFailed
from msgserver.interfaces import Account
from msgserver.wire.framing import MAX_REQUEST, MAX_RESPONSE
from tests.chaos.judge import Asked, History, Outcome
from tests.chaos.orders import Order, Verb
from tests.chaos.watching import Watch, WatchedEndpoint
from tests.endtoend.clusters import CLOCK, pause

DEPTH = 6
"""
How many requests a client has under way: twice as many of the largest responses are what a gate
keeps by default (S7, cache_bytes).
"""

PACE = 0.4
"""Seconds that a client lets pass before it asks the next in the place of one, on the average."""

_LOGINS_AT_ONCE = 64
_NEVER = 10**9

RetryPolicy = Callable[[int], float]


def impatient(failures: int) -> float:
    """Come back soon, so that a run of some seconds sees many connections."""
    return float(min(1.0, 0.02 * 2**failures))


class Mix:
    """Draws orders: mostly small and quick, some slow, failing, large up to the limits."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def draw(self, name: bytes) -> Order:
        """Draw one."""
        random = self._random
        verb = random.choices((Verb.ANSWER, Verb.FAIL, Verb.LOGOUT), (900, 99, 1))[0]
        isSlow = verb is not Verb.LOGOUT and random.random() < 0.3
        milliseconds = int(10 ** random.uniform(0, 3.2)) if isSlow else 0
        return Order(name, verb, milliseconds, self._size(MAX_REQUEST), self._size(MAX_RESPONSE))

    def _size(self, limit: int) -> int:
        kind = self._random.random()
        if kind < 0.01:
            return limit
        return self._random.randrange(limit if kind < 0.03 else 200)


class AskingClient:
    """
    One user.

    @param loginPort: where it logs in.
    @param counts: what is counted of the clients together.
    @param isStrict: see L{History}.
    @ivar watch: what is seen of it.
    @ivar heard: called with each request that has ended.
    """

    def __init__(
        self,
        uid: bytes,
        loginPort: int,
        counts: Counter[str],
        logins: DeferredSemaphore,
        retryPolicy: RetryPolicy,
        isStrict: bool = True,
    ) -> None:
        self.history = History(uid, isStrict)
        self.heard: Callable[[Asked], object] = lambda asked: None
        self.underWay: dict[bytes, Asked] = {}
        self._loginPort = loginPort
        self._counts = counts
        self._logins = logins
        self._count = 0
        self.watch = Watch(counts, self._sent)
        self._client = MsgClient(
            CLOCK,
            self._takeLogin,
            maxUnanswered=DEPTH,
            loginAfter=_NEVER if isStrict else 3,
            connectTo=lambda host, port: WatchedEndpoint(
                TCP4ClientEndpoint(reactor, host, port), self.watch
            ),
            retryPolicy=retryPolicy,
        )

    def nextName(self) -> bytes:
        """Make up a name."""
        self._count += 1
        return b"%b.%d" % (self.history.uid, self._count)

    def ask(self, order: Order) -> Deferred[None]:
        """Ask, and write down what becomes of it."""
        asked = Asked(order)
        self.history.asked.append(asked)
        self.underWay[order.name] = asked
        return Deferred.fromCoroutine(self._ask(asked))

    def whenConnected(self) -> Deferred[None]:
        """Wait for a connection."""
        return self._client.whenConnected()

    def giveUp(self) -> None:
        """Take nothing for an answer any more."""
        self.underWay.clear()

    def close(self) -> Deferred[None]:
        """Hang up; what is not answered by now never will be."""
        return self._client.close()

    async def _ask(self, asked: Asked) -> None:
        content = b""
        try:
            content = await self._client.request(asked.order.encode())
            outcome = Outcome.ANSWERED
        except RequestFailed as failure:
            content = failure.content
            outcome = Outcome.FAILED
        except OutcomeUnknown as error:
            outcome, asked.said = Outcome.UNKNOWN, str(error)
        except Exception as error:
            outcome, asked.said = Outcome.ERROR, repr(error)
        if self.underWay.pop(asked.order.name, None) is None:
            return  # The run is over, and has written it down as unanswered.
        asked.outcome, asked.at = outcome, monotonic_ns()
        if outcome in (Outcome.ANSWERED, Outcome.FAILED):
            self._read(asked, content)
        self.heard(asked)

    def _read(self, asked: Asked, content: bytes) -> None:
        answer = asked.answer = asked.order.readAnswer(content)
        if answer is None:
            asked.said = repr(content[:200])
        elif answer.made < self.watch.connectedAt:
            self._counts["replays"] += 1
        elif answer.began < self.watch.connectedAt:
            self._counts["handed over"] += 1

    def _sent(self, username: bytes, name: bytes) -> None:
        # What has ended is never sent anew; were it, the journal would tell.
        if name in self.underWay:
            self.underWay[name].usernames.append(username)

    async def _takeLogin(self) -> LoggedIn:
        uid = self.history.uid
        asked = monotonic_ns()
        try:
            loggedIn = await self._logins.run(logIn, uid, self._loginPort)
        except Exception:
            self.history.disturbed.append(asked)
            raise
        self.history.taken[loggedIn.user.username] = asked
        self._counts["logins"] += 1
        return loggedIn


_SUITE = OneKey()


def logIn(uid: bytes, port: int) -> Deferred[LoggedIn]:
    """Log in: at a login server that takes everybody's word."""
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    return login(endpoint, Account(b"sample", uid), uid, suite=_SUITE)


class Crowd:
    """
    Many clients.

    @ivar counts: what is counted of all of them together.
    """

    def __init__(
        self,
        size: int,
        loginPort: int,
        seed: int,
        retryPolicy: RetryPolicy = impatient,
        areStrict: bool = False,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.random = Random(f"{seed}: clients")
        logins = DeferredSemaphore(_LOGINS_AT_ONCE)
        make = partial(
            AskingClient,
            loginPort=loginPort,
            counts=self.counts,
            logins=logins,
            retryPolicy=retryPolicy,
        )
        self.clients = [
            make(b"u%d" % number, isStrict=areStrict or number % 4 != 0) for number in range(size)
        ]
        self._isAsking = True
        self._lanes: list[Deferred[None]] = []

    @property
    def histories(self) -> list[History]:
        """What they have to tell."""
        return [client.history for client in self.clients]

    @property
    def underWay(self) -> int:
        """How many requests are unanswered."""
        return sum(len(client.underWay) for client in self.clients)

    def each(self, do: Callable[[AskingClient], Deferred[None]]) -> Deferred[list[None]]:
        """Have all do something, and wait for all."""
        return gatherResults([do(client) for client in self.clients], consumeErrors=True)

    def beginAsking(self) -> None:
        """Have each of them keep some requests under way, of all kinds."""
        mix = Mix(self.random)
        self._lanes = [
            Deferred.fromCoroutine(self._keepAsking(client, mix))
            for client in self.clients
            for _ in range(DEPTH)
        ]

    def stopAsking(self) -> None:
        """Let them ask nothing more, and wait for what is under way."""
        self._isAsking = False

    async def close(self) -> None:
        """Have all hang up."""
        for client in self.clients:
            client.giveUp()
        await self.each(lambda client: client.close())
        await gatherResults(self._lanes)

    async def _keepAsking(self, client: AskingClient, mix: Mix) -> None:
        await pause(self.random.uniform(0, PACE))
        while self._isAsking:
            await client.ask(mix.draw(client.nextName()))
            await pause(self.random.expovariate(1 / PACE))
