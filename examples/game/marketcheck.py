"""
What the market's players were told, against what the database says. Knows no network.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import Factory, define, frozen

from examples.game.goods import GOODS, MINE, SHOP, WAGE_CENTS, money, parseMoney

_INVENTORY = re.compile(r"you have (\d+\.\d\d)((?:, \d+ \w+)*)")


@frozen
class Verdict:
    """
    What has come of an order.

    @ivar isDone: it was carried out; else it was refused.
    @ivar text: what the player was told of it.
    """

    isDone: bool
    text: str


@define
class Asked:
    """
    An order as a player sees it.

    @ivar verdicts: one for each of the player's devices that asked it.
    """

    player: str
    id: str
    verb: str
    argument: str
    verdicts: list[Verdict] = Factory(list)

    @property
    def isDone(self) -> bool:
        """Whether the player was told that it is."""
        return any(verdict.isDone for verdict in self.verdicts)


@define
class Findings:
    """
    What the check has found.

    @ivar purchases: how many the database knows.
    @ivar doubled: how many things, or purchases, there are that nobody has bought.
    @ivar lost: how many were bought and are not there.
    @ivar cents: all the money that there is now.
    @ivar faults: whatever is not as it must be, a line each.
    """

    purchases: int = 0
    doubled: int = 0
    lost: int = 0
    cents: int = 0
    faults: list[str] = Factory(list)


def check(
    file: Path,
    orders: Iterable[Asked],
    inventories: Mapping[str, str],
    centsBefore: int,
    openingCents: int,
) -> Findings:
    """
    See to it that every order has happened once, as its player was told, and no cent is missing.

    @param orders: all that was ever asked.
    @param inventories: what each player was told of their belongings, at the end.
    @param centsBefore: all the money that there was before.
    @param openingCents: what each player had at first.
    """
    orders = list(orders)
    database = sqlite3.connect(file)
    try:
        findings = Findings()
        things = _checkThings(database, orders, findings)
        accounts = _checkMoney(database, orders, set(inventories), openingCents, findings)
        _checkOrders(database, orders, findings)
    finally:
        database.close()
    findings.cents = sum(accounts.values())
    if findings.cents != centsBefore:
        findings.faults.append(
            f"there was {money(centsBefore)} in all, and is {money(findings.cents)}"
        )
    for player, told in inventories.items():
        items = {item: count for (owner, item), count in things.items() if owner == player}
        if _read(told) != (accounts.get(player), items):
            findings.faults.append(f"{player} was told at the end: {told}; it is otherwise")
    return findings


def _checkOrders(database: sqlite3.Connection, orders: list[Asked], findings: Findings) -> None:
    """Compare the orders that there are with those that were asked, one by one."""
    rows = database.execute("select player, id, verb, argument, isDone, answer from orders")
    found = {
        (player, id): (verb, argument, Verdict(bool(isDone), answer))
        for player, id, verb, argument, isDone, answer in rows
    }
    findings.purchases = sum(verb == "buy" for verb, _, _ in found.values())
    for asked in orders:
        there = found.pop((asked.player, asked.id), None)
        if there is None:
            # Of those that were done, the thing tells whether they are lost.
            findings.lost += asked.verb == "buy" and not asked.isDone
            findings.faults.append(f"{_name(asked)} is not in the database")
        elif there[:2] != (asked.verb, asked.argument):
            findings.faults.append(f"{_name(asked)} is another order in the database")
        elif not asked.verdicts or any(verdict != there[2] for verdict in asked.verdicts):
            told = "; ".join(verdict.text for verdict in asked.verdicts) or "nothing"
            findings.faults.append(f"{_name(asked)} was answered {there[2].text}; told was {told}")
    for player, id in found:
        findings.faults.append(f"{player} has an order {id} that nobody asked")


def _checkThings(
    database: sqlite3.Connection, orders: list[Asked], findings: Findings
) -> Mapping[tuple[str, str], int]:
    """Compare what players have with what they have bought; give what they have."""
    rows = database.execute("select player, item, count from items")
    things: Counter[tuple[str, str]] = Counter()
    for player, item, count in rows:
        things[player, item] = count
    bought = Counter(
        (asked.player, asked.argument) for asked in orders if asked.verb == "buy" and asked.isDone
    )
    for player, item in sorted(things | bought):
        has, due = things[player, item], bought[player, item]
        findings.doubled += max(has - due, 0)
        findings.lost += max(due - has, 0)
        if has != due:
            findings.faults.append(f"{player} has bought {due} {item}, and has {has}")
    return things


def _checkMoney(
    database: sqlite3.Connection,
    orders: list[Asked],
    players: set[str],
    openingCents: int,
    findings: Findings,
) -> Mapping[str, int]:
    """Compare each account with what its owner did; give what is in them."""
    accounts = dict(database.execute("select name, cents from accounts").fetchall())
    due: Counter[str] = Counter(dict.fromkeys(players, openingCents))
    for asked in orders:
        if asked.isDone:
            cents, payer, payee = _movement(asked)
            due[payer] -= cents
            due[payee] += cents
    # What is in the mine follows from the sum.
    due.pop(MINE, None)
    for name in sorted({*accounts, *due} - {MINE}):
        if accounts.get(name) != due[name]:
            there = money(accounts.get(name, 0))
            findings.faults.append(f"{name} should have {money(due[name])}, and has {there}")
    return accounts


def _movement(asked: Asked) -> tuple[int, str, str]:
    """Tell how many cents an order moves, from whom, to whom."""
    if asked.verb == "dig":
        return WAGE_CENTS, MINE, asked.player
    if asked.verb == "buy":
        return GOODS[asked.argument], asked.player, SHOP
    other, _, amount = asked.argument.partition(" ")
    return parseMoney(amount) or 0, asked.player, other


def _read(inventory: str) -> tuple[int | None, dict[str, int]]:
    match = _INVENTORY.fullmatch(inventory)
    if match is None:
        return None, {}
    pairs = [part.split() for part in match[2].split(", ")[1:]]
    return parseMoney(match[1]), {item: int(count) for count, item in pairs}


def _name(asked: Asked) -> str:
    return f"{asked.player}'s order {asked.id} ({asked.verb} {asked.argument})"
