"""
Buy things, ten thousand of them, while everything breaks; then count::

    python -m examples.game.market --purchases 10000 --kill-server 5

The server is a process of its own, which dies by SIGKILL if asked to; the clients are real ones,
whose connections are cut and whose players log in a second time. In the end every purchase must
have happened once, and every cent be where it belongs; else the exit status is 1.
"""

from __future__ import annotations

import sys
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from random import Random, SystemRandom
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

from attrs import define
from twisted.internet.defer import (
    Deferred,
    DeferredLock,
    gatherResults,
)
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater, react
from twisted.python.failure import Failure

from examples.game.goods import WORLD_CENTS, money
from examples.game.marketcheck import Findings, check
from examples.game.marketplayers import LONGEST_MOMENT, Counts, Shopper, drawWishes, makeClients
from examples.game.marketserver import MarketServer

OPENING_CENTS = 250_000
"""What a player of the market has at first: enough for ropes and lanterns, not for all boats."""

SHOWN_FAULTS = 10
"""How many faults are shown one by one."""


def _count(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise ArgumentTypeError(f"{text}: a whole number is needed, {least} or more")
        return int(text)

    return parse


PARSER = ArgumentParser(
    prog="python -m examples.game.market",
    description="Buy things while everything breaks, and count them.",
    formatter_class=ArgumentDefaultsHelpFormatter,
)
PARSER.add_argument("--purchases", type=_count(1), default=10_000, help="how many")
PARSER.add_argument("--players", type=_count(2), default=50, help="how many buy them")
PARSER.add_argument("--cuts", type=_count(0), help="connections to cut; None: one purchase in 10")
PARSER.add_argument(
    "--second-logins", type=_count(0), help="second logins to make; None: one purchase in 50"
)
PARSER.add_argument("--kill-server", type=_count(0), default=0, help="how often it dies")
PARSER.add_argument("--seed", type=_count(0), help="of what is drawn; None: any")
PARSER.add_argument("--seconds", type=_count(1), default=900, help="until it is given up")
PARSER.add_argument(
    "--handler",
    default="examples.game.server:GameHandler",
    help="what answers the players; a wrong one shows that the check can fail",
)


@define
class Outcome:
    """
    What a market comes to.

    @ivar kills: how often the server has died.
    """

    counts: Counts
    findings: Findings
    kills: int


class Market:
    """
    One market.

    @param folder: an empty one; see L{MarketServer}.
    """

    def __init__(self, reactor: IReactorTime, options: Namespace, folder: Path) -> None:
        self._clock = reactor
        self._options = options
        self._random = Random(options.seed)
        self._counts = Counts()
        self._kills = 0
        self._turns = DeferredLock()
        self._shopping: Deferred[None] | None = None
        self._reason: BaseException | None = None
        password = token_hex(16)
        self._server = MarketServer(
            reactor, folder, options.handler, password, OPENING_CENTS, 4 * options.players + 64
        )
        self._makeClient = makeClients(reactor, self._random, self._server, password)
        span = range(1, options.purchases)
        self._killsAt = set(self._random.sample(span, min(options.kill_server, len(span))))

    async def run(self) -> Outcome:
        """
        Have it all happen, and count.

        @raise RuntimeError: the server does not start, or it has not ended in time.
        """
        await self._server.start()
        try:
            shoppers = self._makeShoppers()
            await self._bounded(self._shop(shoppers))
            isInOrder = await self._server.stop()
        finally:
            self._server.kill()
        findings = check(
            self._server.file,
            [asked for each in shoppers for asked in each.orders],
            {each.name: each.inventory for each in shoppers},
            WORLD_CENTS,
            OPENING_CENTS,
        )
        if not isInOrder:
            findings.faults.append("the server has not stopped in good order")
        findings.faults += [f"the server has logged: {each}" for each in self._server.complaints()]
        return Outcome(self._counts, findings, self._kills)

    def _makeShoppers(self) -> list[Shopper]:
        options = self._options
        names = [f"player{number}" for number in range(options.players)]
        wishes = drawWishes(
            self._random, names, options.purchases, options.cuts, options.second_logins
        )
        return [
            Shopper(
                self._clock,
                self._random,
                name,
                wishes[name],
                self._counts,
                self._makeClient,
                self._purchased,
            )
            for name in names
        ]

    async def _bounded(self, shopping: Coroutine[Deferred[Any], Any, None]) -> None:
        """Wait for the end, unless it does not come in time or the server has broken down."""
        self._shopping = Deferred.fromCoroutine(shopping)
        timer = self._clock.callLater(self._options.seconds, self._takesTooLong)
        try:
            await self._shopping
        except Exception:
            if self._reason is not None:
                raise self._reason from None
            raise
        finally:
            if timer.active():
                timer.cancel()

    async def _shop(self, shoppers: list[Shopper]) -> None:
        try:
            await _allOf(each.shop() for each in shoppers)
            # The server may have died for the last time just now.
            await self._turns.run(lambda: None)
            await _allOf(each.look() for each in shoppers)
        finally:
            await _allOf(each.close() for each in shoppers)

    def _purchased(self) -> None:
        if self._counts.answered in self._killsAt:
            killed = self._turns.run(lambda: Deferred.fromCoroutine(self._killServer()))
            killed.addErrback(self._brokenBy)

    async def _killServer(self) -> None:
        await deferLater(self._clock, self._random.uniform(0, LONGEST_MOMENT))
        self._server.kill()
        self._kills += 1
        await self._server.start()

    def _takesTooLong(self) -> None:
        answered, seconds = self._counts.answered, self._options.seconds
        self._giveUp(RuntimeError(f"{answered} purchases were answered in {seconds} s"))

    def _brokenBy(self, failure: Failure) -> None:
        assert failure.value is not None, "a failure is of something"
        self._giveUp(failure.value)

    def _giveUp(self, reason: BaseException) -> None:
        self._reason = reason
        if self._shopping is not None:
            self._shopping.cancel()


async def _allOf(things: Iterable[Coroutine[Deferred[Any], Any, None]]) -> None:
    await gatherResults([Deferred.fromCoroutine(each) for each in things], consumeErrors=True)


def table(options: Namespace, outcome: Outcome) -> str:
    """Write what there is to see."""
    counts, findings = outcome.counts, outcome.findings
    rows = {
        "purchases": options.purchases,
        "players": options.players,
        "seed": options.seed,
        "connections cut": counts.cuts,
        "second logins": counts.secondLogins,
        "server kills": outcome.kills,
        "asked again, same login": counts.againAfterCut,
        "asked again, next login": counts.againAfterLogin,
        "money before": money(WORLD_CENTS),
        "money after": money(findings.cents),
        "purchases in the database": findings.purchases,
        "doubled": findings.doubled,
        "lost": findings.lost,
        "faults": len(findings.faults),
    }
    return "\n".join(f"{name:<26}{value!s:>15}" for name, value in rows.items())


def parse(arguments: list[str]) -> Namespace:
    """Read the command line, and draw and reckon what it leaves open."""
    options = PARSER.parse_args(arguments)
    if options.cuts is None:
        options.cuts = options.purchases // 10
    if options.second_logins is None:
        options.second_logins = options.purchases // 50
    if options.cuts + options.second_logins > options.purchases:
        PARSER.error("--cuts and --second-logins together must be no more than --purchases")
    if options.seed is None:
        options.seed = SystemRandom().randrange(2**32)
    return options


async def main(reactor: IReactorTime, *arguments: str) -> None:
    """Run a market, and show what has come of it."""
    options = parse(list(arguments))
    with TemporaryDirectory(prefix="market-") as folder:
        try:
            outcome = await Market(reactor, options, Path(folder)).run()
        except RuntimeError as error:
            raise SystemExit(str(error)) from None
    print(table(options, outcome))
    faults = outcome.findings.faults
    for fault in faults[:SHOWN_FAULTS]:
        print(f"! {fault}")
    if faults[SHOWN_FAULTS:]:
        print(f"! and {len(faults) - SHOWN_FAULTS} more")
    if faults:
        raise SystemExit(1)


if __name__ == "__main__":
    react(main, sys.argv[1:])
