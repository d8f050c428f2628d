"""Which attacks there are, and what memory each may cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from attrs import field, frozen

from bench.loginload import OneKey
from msgserver.interfaces import User
from msgserver.wire.gate import GateClient
from msgserver.wire.naming import parseUsername
from tests.attacks.raids import Raid, Tactic
from tests.attacks.stage import SERVERNAME, USERS, Setting
from tests.attacks.tactics import (
    ALL_BUT_ONE,
    FULL_LINE,
    FULL_PACKET,
    LONG_LINE,
    LONG_PACKET,
    Churn,
    Guess,
    NeverRead,
    Say,
    WrongMac,
    clientHello,
    tokensOf,
)
from tests.attacks.visits import logInFrom

ONE = ("127.0.0.66",)
"""The address of an attacker who has one."""

_KIB, _MIB = 1024, 1024 * 1024

_CROWD = 150
"""So many at least, as fewer would not be more than what is accepted and closed in one turn."""

_OF_TLS = 160 * _KIB
"""
Bytes that a connection with TLS takes beside what others do, at most: half of a handshake is some
50 KiB of OpenSSL's alone.
"""

_TLS_KEPT = 8 * _MIB
"""Bytes that stay when the first such connections have gone; later ones leave nothing more."""

_GARBAGE = 4096
"""The bytes of some nonsense."""

_SEED = 6
"""What guesses are drawn from: which they are makes no difference."""


def addresses(count: int) -> list[str]:
    """Give the addresses of an attacker who has many."""
    return [f"127.66.{number // 250}.{number % 250 + 1}" for number in range(count)]


@frozen
class Strength:
    """
    How strong the attacks are.

    @ivar scale: 1 for what the server must stand.
    """

    scale: float

    def count(self, number: int, least: int = 1) -> int:
        """Give how many there are, where there are C{number} at full strength."""
        return max(least, round(number * self.scale))

    def seconds(self, number: float, least: float = 1.0) -> float:
        """Give how long something lasts that lasts C{number} seconds at full strength."""
        return max(least, number * self.scale)


@frozen
class Target:
    """
    What is attacked.

    @ivar ports: the server's, as L{tests.attacks.stage.Setting.portNames} calls them.
    @ivar usernames: those of logins that there are, in the middle of a user's conversation.
    """

    ports: dict[str, int]
    usernames: Sequence[str]
    strength: Strength


@frozen
class Attack:
    """
    One of them.

    @ivar about: what it is.
    @ivar raids: makes what the attacker runs at the same time.
    @ivar seconds: how long it lasts at most, at full strength.
    @ivar memory: bytes that the limits let it cost at most, at full strength; beside what
        connections themselves cost.
    @ivar kept: how many of these the process keeps for the next time.
    @ivar isLasting: it leaves logins behind, which are let go of when they have been away
        for long enough.
    @ivar setting: how the server is configured, where that is not by default.
    """

    about: str
    raids: Callable[[Target], Sequence[Raid]]
    seconds: float
    memory: int = 0
    kept: int = 0
    isLasting: bool = False
    setting: Setting = field(factory=Setting)


def _both(
    target: Target, tactics: Sequence[Tactic], sources: Sequence[str], **how: int
) -> list[Raid]:
    ports = (target.ports["login"], target.ports["gate"])
    return [Raid(port, tactic, sources, **how) for port, tactic in zip(ports, tactics, strict=True)]


def _silent(target: Target) -> list[Raid]:
    # What is closed comes again after a second: an attacker who only wants to hold connections.
    count = target.strength.count(2000, _CROWD)
    return _both(target, (Tactic(), Tactic()), ONE, atOnce=count, pause=1)


def _silentFromMany(target: Target) -> list[Raid]:
    count = target.strength.count(2000, _CROWD)
    sources = addresses(target.strength.count(500, _CROWD))
    return _both(target, (Tactic(), Tactic()), sources, atOnce=count)


def _drip(target: Target) -> list[Raid]:
    sources = addresses(target.strength.count(20, 4))
    count = target.strength.count(500)
    return _both(target, (LONG_LINE, LONG_PACKET), sources, atOnce=count)


def _packets(target: Target) -> list[Raid]:
    login, gate = target.ports["login"], target.ports["gate"]
    sources = addresses(target.strength.count(20, 4))
    count = target.strength.count(400)
    return [
        Raid(gate, FULL_PACKET, sources, count),
        Raid(gate, ALL_BUT_ONE, sources, count),
        Raid(login, FULL_LINE, sources, count),
    ]


def _reader(target: Target) -> list[Raid]:
    raids = []
    for number in range(target.strength.count(20, 2)):
        user, secret = logInFrom(ONE[0], target.ports["login"], b"mallory%d" % number)
        helloes = _helloesOf(user, secret)
        raids.append(Raid(target.ports["gate"], NeverRead(helloes), ONE, 1, pause=0.5, buffer=4096))
    return raids


def _helloesOf(user: User, secret: bytes) -> Callable[[], bytes]:
    index = 0

    def nextHello() -> bytes:
        nonlocal index
        index += 1
        return GateClient(user, secret, index).hello

    return nextHello


def _passwords(target: Target, sources: Sequence[str]) -> list[Raid]:
    guess = Guess(OneKey(), tokensOf(USERS[-1], SERVERNAME, Random(_SEED)))
    total = target.strength.count(50_000)
    atOnce = target.strength.count(500)
    return [Raid(target.ports["login"], guess, sources, atOnce, total)]


def _macs(target: Target, sources: Sequence[str]) -> list[Raid]:
    total = target.strength.count(10_000)
    users = [parseUsername(each.encode()) for each in target.usernames]
    users.append(User(b"nobody", b"1", SERVERNAME))
    random = Random(_SEED)
    tactic = WrongMac(lambda: random.choice(users))
    return [Raid(target.ports["gate"], tactic, sources, target.strength.count(200), total)]


def _churn(target: Target, sources: Sequence[str]) -> list[Raid]:
    atOnce = target.strength.count(50, 4)
    login, gate = target.ports["login"], target.ports["gate"]
    return [
        Raid(login, Churn(), sources, atOnce),
        Raid(login, Churn(isPatient=True), sources, atOnce),
        Raid(gate, Churn(), sources, atOnce),
        Raid(gate, Churn(b"\x00\x0bno hello at all", isPatient=True), sources, atOnce),
    ]


def _halfTLS(target: Target) -> list[Raid]:
    sources = addresses(target.strength.count(20, 4))
    count = target.strength.count(200)
    hello = clientHello()
    ports = [target.ports[f"{name} with TLS"] for name in ("login", "gate")]
    # Half a hello, for the rest of which the server waits; and a whole one, which it answers.
    tactics = (Say(hello[: len(hello) // 2]), Say(hello))
    return [Raid(port, each, sources, count) for port in ports for each in tactics]


def _office(target: Target) -> list[Raid]:
    count = target.strength.count(500)
    garbage = Say(Random(_SEED).randbytes(_GARBAGE))
    ports = [target.ports[name] for name in ("control", "ops")]
    return [Raid(port, each, ONE, count) for port in ports for each in (Tactic(), garbage)]


def _many(target: Target) -> list[str]:
    return addresses(target.strength.count(200, 10))


_PASSWORDS = Setting(hasPasswords=True)

_CHECKING = 10 * 16 * _MIB
"""
Bytes that the checks of passwords take: those of scrypt, in each thread of Twisted's pool. The
threads stay, and the allocator keeps for each what it took.
"""

ATTACKS = {
    "silent": Attack("2,000 silent connections on each port, from one address", _silent, 30),
    "silent-many": Attack("the same from 500 addresses", _silentFromMany, 30),
    "drip": Attack("500 connections on each port that say one byte a second", _drip, 30),
    "packets": Attack(
        "packets and lines of the greatest length, whole and all but whole",
        _packets,
        30,
        # What strangers may have half said: each a packet, or a line; and as much again that
        # was read at once.
        memory=512 * 2 * 64 * _KIB + 512 * 2 * 8 * _KIB,
    ),
    "reader": Attack(
        "20 logins that ask for answers of 60 KB and read none",
        _reader,
        60,
        # Of each login: two generations of kept answers, and what one batch makes.
        memory=20 * 4 * _MIB,
        isLasting=True,
        setting=Setting(gate={"away_timeout": 5}),
    ),
    "passwords": Attack(
        "50,000 wrong passwords, from one address",
        lambda target: _passwords(target, ONE),
        60,
        memory=_CHECKING,
        kept=_CHECKING,
        setting=_PASSWORDS,
    ),
    "passwords-many": Attack(
        "50,000 wrong passwords, from 200 addresses",
        lambda target: _passwords(target, _many(target)),
        60,
        memory=_CHECKING,
        kept=_CHECKING,
        setting=_PASSWORDS,
    ),
    "macs": Attack(
        "10,000 handshakes with wrong macs, from one address",
        lambda target: _macs(target, ONE),
        60,
    ),
    "macs-many": Attack(
        "10,000 handshakes with wrong macs, from 200 addresses",
        lambda target: _macs(target, _many(target)),
        60,
    ),
    "tls": Attack(
        "800 connections with TLS that do not finish their handshake",
        _halfTLS,
        30,
        memory=1024 * _OF_TLS,
        kept=_TLS_KEPT,
        setting=Setting(hasTLS=True),
    ),
    "office": Attack(
        "1,000 connections each to the control port and the ops port, silent or talking nonsense",
        _office,
        30,
        setting=Setting(hasOffice=True),
    ),
    "churn": Attack(
        "connect and close on both ports, from one address",
        lambda target: _churn(target, ONE),
        60,
    ),
    "churn-many": Attack(
        "connect and close on both ports, from 200 addresses",
        lambda target: _churn(target, _many(target)),
        60,
    ),
}
