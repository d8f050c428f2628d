"""
Many at once, whose connections break all the time, and who count what they hear::

    python -m examples.chat.crowd --users 200 --seconds 60

It starts the chat's own server as a process, has so many real clients join its rooms over real
sockets, talk, and lose their connections at random. In the end every member of a room must have
heard all that was said there, each once, in the room's order: the exit status is 0 if so, and 1
otherwise.
"""

from __future__ import annotations

import sys
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser, Namespace
from collections.abc import Sequence
from random import Random
from time import monotonic

from attrs import define
from twisted.internet.defer import DeferredSemaphore, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater, react

from examples.chat.crowdserver import PASSWORD, SERVER, CrowdServer, ServerFailed
from examples.chat.member import Member
from msgserver import Account
from msgserver.client import MsgClient, login
from msgserver.passwords import passwordToken

LOGINS_AT_ONCE = 16
"""How many log in at a time; each has its password checked."""

PATIENCE = 60.0
"""Seconds until everybody must have heard everything, when nobody says anything any more."""

_TICK = 0.05
"""Seconds from one throw of the dice to the next."""

PARSER = ArgumentParser(
    prog="python -m examples.chat.crowd",
    description="Have many talk whose connections break, and count what they hear.",
    formatter_class=ArgumentDefaultsHelpFormatter,
)
PARSER.add_argument("--users", type=int, default=200, help="how many talk")
PARSER.add_argument("--rooms", type=int, help="in how many rooms (default: one for 20 users)")
PARSER.add_argument("--seconds", type=float, default=60.0, help="how long they talk")
PARSER.add_argument(
    "--pause", type=float, default=5.0, help="seconds from one message of a user to the next"
)
PARSER.add_argument(
    "--cuts", type=float, default=0.05, help="share of the connections that break in a second"
)
PARSER.add_argument("--seed", type=int, default=0, help="makes another course of things")


@define
class Report:
    """
    What became of it all.

    @ivar deliveries: how many messages were heard, by all members together.
    @ivar missed: how many were not heard by a member who should have.
    @ivar doubled: how many were heard, or said, once too often.
    @ivar disordered: how many were heard after one that was said later.
    @ivar failed: what has gone wrong otherwise.
    """

    users: int
    rooms: int
    said: int
    deliveries: int
    cuts: int
    missed: int
    doubled: int
    disordered: int
    failed: Sequence[str] = ()

    @property
    def isGood(self) -> bool:
        """Whether all was heard once and in order."""
        return not (self.missed or self.doubled or self.disordered or self.failed)

    def lines(self) -> list[str]:
        """Write it as a table."""
        rows = {
            "users": self.users,
            "rooms": self.rooms,
            "messages said": self.said,
            "deliveries": self.deliveries,
            "cuts": self.cuts,
            "missed": self.missed,
            "doubled": self.doubled,
            "out of order": self.disordered,
        }
        table = [f"{name:<14}{number:>10,}" for name, number in rows.items()]
        return [*table, *(f"failed: {text}" for text in self.failed)]


def judge(members: Sequence[Member], rooms: Sequence[str]) -> Report:
    """Compare what the members of each room have heard with what was said there."""
    report = Report(len(members), len(rooms), 0, 0, 0, 0, 0, 0)
    failed: list[str] = []
    for room in rooms:
        inside = [member for member in members if member.room == room]
        said = {number: text for member in inside for number, text in member.said.items()}
        report.said += len(said)
        for member in inside:
            report.deliveries += len(member.heard)
            numbers = [number for number, _ in member.heard]
            report.missed += len(said.keys() - set(numbers))
            report.doubled += len(numbers) - len(set(numbers))
            report.disordered += sum(b < a for a, b in zip(numbers, numbers[1:], strict=False))
            # A number that nobody was told of has been said without being asked, or twice.
            wrong = {number for number, text in member.heard if said.get(number) != text}
            report.doubled += len(wrong)
    for member in members:
        report.cuts += member.cuts
        failed += member.failed
    report.failed = failed
    return report


class Crowd:
    """
    All who talk.

    @param random: decides who talks when, and whose connection breaks when.
    """

    def __init__(
        self, reactor: IReactorTime, server: CrowdServer, options: Namespace, random: Random
    ) -> None:
        self._reactor = reactor
        self._options = options
        self._random = random
        self._turns = DeferredSemaphore(LOGINS_AT_ONCE)
        self.rooms = [f"room-{number}" for number in range(options.rooms)]
        self.members = [
            Member(name, self._client(server, name), self.rooms[number % len(self.rooms)])
            for number, name in enumerate(server.users)
        ]

    def _client(self, server: CrowdServer, name: str) -> MsgClient:
        uid = name.encode()
        token = passwordToken(uid, SERVER, PASSWORD)
        places = [TCP4ClientEndpoint(self._reactor, "127.0.0.1", port) for port in server.ports]
        account = Account(SERVER, uid)
        return MsgClient(
            self._reactor,
            lambda: self._turns.run(login, places[0], account, token, clock=self._reactor),
            places[1],
            retryPolicy=lambda failures: min(0.1 * failures, 2.0),
        )

    async def talk(self) -> None:
        """Have all join, talk, and hear what was said."""
        await gatherResults([member.join() for member in self.members])
        ticking = LoopingCall(self._tick)
        ticking.clock = self._reactor
        ticked = ticking.start(_TICK)
        await deferLater(self._reactor, self._options.seconds)
        ticking.stop()
        await ticked
        end = monotonic() + PATIENCE
        while not self._haveAllHeard() and monotonic() < end:
            await deferLater(self._reactor, 0.1)
        # What comes twice comes after that.
        await deferLater(self._reactor, 0.5)

    async def close(self) -> None:
        """End all clients."""
        await gatherResults([member.client.close() for member in self.members])

    def _tick(self) -> None:
        for member in self.members:
            if self._random.random() < _TICK / self._options.pause:
                member.say()
            if self._random.random() < _TICK * self._options.cuts:
                member.cut()

    def _haveAllHeard(self) -> bool:
        if any(member.asking for member in self.members):
            return False
        said = {room: 0 for room in self.rooms}
        for member in self.members:
            said[member.room] += len(member.said)
        return all(len(member.heard) >= said[member.room] for member in self.members)


async def main(reactor: IReactorTime, *arguments: str) -> None:
    """Run a crowd, and tell what became of it."""
    options = PARSER.parse_args(arguments)
    if options.rooms is None:
        options.rooms = max(1, options.users // 20)
    for name, least in (("users", 1), ("rooms", 1), ("seconds", 0), ("cuts", 0)):
        if getattr(options, name) < least:
            PARSER.error(f"--{name}: must be {least} or more")
    if options.pause <= 0:
        PARSER.error("--pause: must be above 0")
    names = [f"user-{number}" for number in range(options.users)]
    try:
        async with CrowdServer(reactor, names) as server:
            crowd = Crowd(reactor, server, options, Random(options.seed))
            try:
                await crowd.talk()
            finally:
                await crowd.close()
    except ServerFailed as error:
        raise SystemExit(str(error)) from None
    report = judge(crowd.members, crowd.rooms)
    print("\n".join(report.lines()), flush=True)
    if not report.isGood:
        raise SystemExit(1)


if __name__ == "__main__":
    react(main, sys.argv[1:])
