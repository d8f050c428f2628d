"""
What there is in the game, what it costs, and amounts as people write them.
"""

from __future__ import annotations

import re

SHOP = "@shop"
MINE = "@mine"
"""Accounts that no player has: players' names have no C{@}."""

GOODS = {"rope": 250, "lantern": 1299, "pickaxe": 4500, "boat": 120_000}
"""What the shop sells, and for how many cents."""

WORLD_CENTS = 1_000_000_000_00
"""All the money there is, in cents. No order makes or destroys any."""

OPENING_CENTS = 100_00
"""What a new player gets from the mine, in cents."""

WAGE_CENTS = 175
"""What digging once gives, in cents."""

_AMOUNT = re.compile(r"(\d{1,10})(?:\.(\d\d))?", re.ASCII)


def money(cents: int) -> str:
    """Write an amount: C{12.50}."""
    units, rest = divmod(abs(cents), 100)
    return f"{'-' * (cents < 0)}{units}.{rest:02}"


def parseMoney(text: str) -> int | None:
    """
    Read an amount, C{12.50} or C{12}.

    @return: cents; None where it is none.
    """
    match = _AMOUNT.fullmatch(text)
    return None if match is None else int(match[1]) * 100 + int(match[2] or 0)
