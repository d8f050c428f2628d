"""
The market's players: real clients, whose connections are cut and who log in twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from random import Random

from attrs import define, frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from examples.game import orders
from examples.game.goods import GOODS, money
from examples.game.marketcheck import Asked, Verdict
from examples.game.marketserver import SERVERNAME, MarketServer, writeToken
from msgserver.client import MsgClient, login
from msgserver.errors import RequestFailed
from msgserver.interfaces import Account

AT_ONCE = 3
"""How many orders of a player are under way at once."""

LONGEST_MOMENT = 0.05
"""Seconds after an order was asked that something happens to it, at most."""

GIFTS = 0.1
"""How many gifts from player to player there are for each purchase."""

WEIGHTS = {"rope": 60, "lantern": 30, "pickaxe": 9, "boat": 1}
"""How often each thing is bought. A boat is more than most players have, and refused to them."""


class Trouble(Enum):
    """What happens in the middle of an order."""

    NONE = "nothing"
    CUT = "the connection is cut"
    SECOND_LOGIN = "the player logs in on a second device as well, and asks the same there"


@frozen
class Wish:
    """An order that is to be asked."""

    verb: str
    argument: str
    trouble: Trouble = Trouble.NONE


def drawWishes(
    random: Random, players: list[str], purchases: int, cuts: int, secondLogins: int
) -> dict[str, deque[Wish]]:
    """
    Draw what everybody is going to order, and what happens meanwhile.

    @param players: two or more.
    @param cuts: how many of the purchases; so are C{secondLogins}. Both together are no more
        than C{purchases}.
    """
    troubles = [Trouble.CUT] * cuts + [Trouble.SECOND_LOGIN] * secondLogins
    troubles += [Trouble.NONE] * (purchases - len(troubles))
    random.shuffle(troubles)
    goods = random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=purchases)
    assert WEIGHTS.keys() == GOODS.keys()
    wishes: dict[str, deque[Wish]] = {player: deque() for player in players}
    for item, trouble in zip(goods, troubles, strict=True):
        player = random.choice(players)
        wishes[player].append(Wish("buy", item, trouble))
        if random.random() < GIFTS:
            other = random.choice([each for each in players if each != player])
            wishes[player].append(Wish("give", f"{other} {money(random.randrange(1, 500))}"))
    return wishes


@define
class Counts:
    """
    What has happened so far.

    @ivar cuts: connections that were cut.
    @ivar secondLogins: of devices that a player took besides the first.
    @ivar againAfterCut: requests that were unanswered when their connection was cut: the client
        asks them again under the same login, by itself.
    @ivar againAfterLogin: requests that were asked again because their login had ended.
    @ivar answered: purchases that have been answered.
    """

    cuts: int = 0
    secondLogins: int = 0
    againAfterCut: int = 0
    againAfterLogin: int = 0
    answered: int = 0


class Shopper:
    """
    One player.

    @param wishes: what is to be ordered.
    @param purchased: called whenever a purchase is answered.
    @ivar orders: what was ordered.
    @ivar inventory: what the player was told to have, at the end.
    """

    def __init__(
        self,
        clock: IReactorTime,
        random: Random,
        name: str,
        wishes: deque[Wish],
        counts: Counts,
        makeClient: Callable[[str], MsgClient],
        purchased: Callable[[], object],
    ) -> None:
        self.name = name
        self.orders: list[Asked] = []
        self.inventory = ""
        self._clock = clock
        self._random = random
        self._wishes = wishes
        self._counts = counts
        self._makeClient = makeClient
        self._purchased = purchased
        self._client = makeClient(name)

    async def shop(self) -> None:
        """Order all that is wished for."""
        await gatherResults(
            [Deferred.fromCoroutine(self._fulfilAll()) for _ in range(AT_ONCE)],
            consumeErrors=True,
        )

    async def look(self) -> None:
        """Look at what is there; after everybody has ordered, since there are gifts."""
        self.inventory = (await self._answered(self._client, b"inventory")).text

    async def close(self) -> None:
        """Go home."""
        await self._client.close()

    async def _fulfilAll(self) -> None:
        while self._wishes:
            wish = self._wishes.popleft()
            id = f"{self._random.getrandbits(128):032x}"
            asked = Asked(self.name, id, wish.verb, wish.argument)
            self.orders.append(asked)
            await self._fulfil(asked, wish.trouble)
            if wish.verb == "buy":
                self._counts.answered += 1
                self._purchased()

    async def _fulfil(self, asked: Asked, trouble: Trouble) -> None:
        answered = Deferred.fromCoroutine(self._ask(self._client, asked))
        if trouble is not Trouble.NONE:
            await deferLater(self._clock, self._random.uniform(0, LONGEST_MOMENT))
        if trouble is Trouble.CUT:
            await self._client.whenConnected()
            self._counts.cuts += 1
            self._counts.againAfterCut += self._client.unanswered
            self._client.dropConnection()
        elif trouble is Trouble.SECOND_LOGIN:
            self._counts.secondLogins += 1
            second = self._makeClient(self.name)
            try:
                await self._ask(second, asked)
            finally:
                await second.close()
        await answered

    async def _ask(self, client: MsgClient, asked: Asked) -> None:
        content = orders.request(asked.verb, *asked.argument.split(), id=asked.id)
        asked.verdicts.append(await self._answered(client, content))

    async def _answered(self, client: MsgClient, content: bytes) -> Verdict:
        def again() -> None:
            self._counts.againAfterLogin += 1

        try:
            answer = await orders.answered(client.request, content, self._clock, again)
        except RequestFailed as refusal:
            return Verdict(False, refusal.content.decode())
        return Verdict(True, answer.decode())


def makeClients(
    reactor: IReactorTime, random: Random, server: MarketServer, password: str
) -> Callable[[str], MsgClient]:
    """Give what makes a player's client."""
    loginServer = clientFromString(reactor, server.login)
    gate = clientFromString(reactor, server.gate)

    def pause(failures: int) -> float:
        # Shorter than the client's own: what is tested here is not the waiting.
        return random.uniform(0.02, 0.2) * 2.0 ** min(failures, 4)

    def makeClient(player: str) -> MsgClient:
        token = writeToken(player, password)
        account = Account(SERVERNAME, player.encode())
        return MsgClient(
            reactor,
            lambda: login(loginServer, account, token, clock=reactor),
            gate,
            retryPolicy=pause,
        )

    return makeClient
