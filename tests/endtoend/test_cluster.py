"""
A login server and three gates, 300 users who talk, and what may happen to each process.

What is bounded is stated in docs/running.md: these wait for as long as is said there, and a
little for a machine that is busy.
"""

from __future__ import annotations

import signal
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests.endtoend.clusters import CLOCK, Cluster, Crowd, Talker, until

USERS = 300
BUSY = 10.0
"""Seconds that a busy machine may take over what should happen at once."""


class ClusterCase(TestCase):
    timeout = 120
    users = USERS
    more = ""

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # As trial has it.
        return Deferred.fromCoroutine(self.start())

    async def start(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        self.cluster = Cluster(folder, 3, self.more)
        self.addCleanup(self.checkLogs)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.cluster.stop()))
        await self.cluster.start()
        self.crowd = Crowd(self.cluster, self.users)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.crowd.stop()))
        await self.crowd.allTalk(3 * BUSY)

    def checkLogs(self) -> None:
        """See that nothing that was done to the processes was more than they are made for."""
        self.assertEqual(self.cluster.tracebacks(), [])

    def assertUndisturbed(self, talkers: list[Talker], logins: int = 1) -> None:
        """See that users have the login that they had, and have been answered everything."""
        self.assertGreater(len(talkers), 0)
        for talker in talkers:
            self.assertEqual(len(talker.logins), logins, talker.uid)
            self.assertEqual((talker.unknown, talker.wrong), (0, []), talker.uid)

    async def assertOneLoginEach(self) -> None:
        """See that each user has one login, of all that the gates have."""
        await self.cluster.whole(BUSY, self.users)
        reports = await self.cluster.loginReports()
        self.assertEqual(sorted(each.uid for each in reports), sorted(self.crowd.talkers))

    async def called(self, gate: int) -> bytes:
        """Ask a gate's handler which calls it has had, by one of its users."""
        talker = self.crowd.at(self.cluster.addresses[gate])[0]
        return await talker.client.request(b"calls")


class ThreeGatesTests(ClusterCase):
    """One thing happens at a time, under the traffic of 300 users."""

    async def test_spread(self) -> None:
        """The users are spread over the group, and each is where the login has said (L5)."""
        for address in self.cluster.addresses:
            self.assertEqual(len(self.crowd.at(address)), USERS // 3)
        await self.assertOneLoginEach()
        self.assertUndisturbed(list(self.crowd.talkers.values()))

    async def test_gateKilled(self) -> None:
        """
        A gate that is killed is forgotten when its link breaks: its users can log in
        elsewhere at once, and nobody else notices.
        """
        dead, *others = self.cluster.addresses
        victims, rest = self.crowd.at(dead), self.crowd.at(*others)
        gate = self.cluster.gates[0]
        gate.process.kill()
        gate.process.wait()
        await self.cluster.whole(BUSY)
        again = await self.cluster.logIn(victims[0].uid)
        self.assertIn(again.address, others)
        # The rest find out by themselves that their gate does not answer.
        await self.crowd.allTalk(2 * BUSY, victims)
        self.assertEqual({victim.gate for victim in victims}, set(others))
        self.assertEqual([victim.wrong for victim in victims if victim.wrong], [])
        await self.assertOneLoginEach()
        self.assertUndisturbed(rest)
        # The one of the login above is logged in by its client, too, which kicks that.
        calls = b"".join([await self.called(gate) for gate in (1, 2)])
        self.assertNotIn(b"disconnected", calls)

    async def test_loginServerKilled(self) -> None:
        """
        A login server that is killed and started again knows everybody within seconds, and
        nobody who is logged in notices.
        """
        self.cluster.login.process.kill()
        self.cluster.login.process.wait()
        await self.crowd.allTalk(BUSY)
        self.cluster.startLogin()
        # The longest wait between a gate's attempts is 5 s, and the start takes one or two.
        await self.cluster.whole(5.5 + BUSY, USERS)
        await self.crowd.allTalk(BUSY)
        await self.assertOneLoginEach()
        self.assertUndisturbed(list(self.crowd.talkers.values()))
        for gate in range(3):
            self.assertEqual(await self.called(gate), b"")
        # It knows them: a login again kicks the one that it has not seen begin.
        old = next(iter(self.crowd.talkers.values()))
        await self.crowd.replace(old)
        await self.crowd.allTalk(BUSY)
        await self.assertOneLoginEach()
        calls = b",".join([await self.called(gate) for gate in range(3)])
        self.assertIn(b"kicked=1,loggedOut=1", calls)

    async def test_gateFrozen(self) -> None:
        """
        A gate that hangs for 20 seconds holds up a login of one of its users by 5 seconds,
        then nobody's; when it goes on, it ends those that were superseded and no others.
        """
        frozen, *others = self.cluster.addresses
        stuck, rest = self.crowd.at(frozen), self.crowd.at(*others)
        leaving, staying = stuck[:30], stuck[30:]
        gate = self.cluster.gates[0]
        gate.process.send_signal(signal.SIGSTOP)
        begun = CLOCK.seconds()
        gone = [Deferred.fromCoroutine(self.crowd.replace(each)) for each in leaving[:15]]
        await self.crowd.allTalk(10 + BUSY, await gatherResults(gone))
        # By now it has been found out, and others' logins do not wait for it any more.
        await until(lambda: CLOCK.seconds() > begun + 10.5, 30, "the pings have told")
        gone = [Deferred.fromCoroutine(self.crowd.replace(each)) for each in leaving[15:]]
        await self.crowd.allTalk(4, await gatherResults(gone))
        for talker in leaving:
            self.assertIn(self.crowd.talkers[talker.uid].gate, others)
        await until(lambda: CLOCK.seconds() > begun + 20, 30, "20 seconds have passed")
        gate.process.send_signal(signal.SIGCONT)
        await self.crowd.allTalk(BUSY, staying)
        await self.assertOneLoginEach()
        await self.crowd.allTalk(BUSY)
        self.assertUndisturbed(staying + rest)
        self.assertIn(b"kicked=30,loggedOut=30", await self.called(0))

    async def test_linkCut(self) -> None:
        """
        A link that is cut is made anew, and no user notices; while it cannot be, the gate's
        users are served, and can log in elsewhere at once. What that supersedes ends when the
        link is back.
        """
        address, *others = self.cluster.addresses
        wire = self.cluster.wires[0]
        wire.cut()
        await self.cluster.whole(5.5 + BUSY, USERS)
        self.assertUndisturbed(list(self.crowd.talkers.values()))
        await wire.close()
        await until(lambda: "is gone" in self.cluster.login.log, BUSY, "the loss is noticed")
        cutOff, rest = self.crowd.at(address), self.crowd.at(*others)
        await self.crowd.allTalk(BUSY, cutOff)
        mover = await self.crowd.replace(cutOff[0])
        await self.crowd.allTalk(4, [mover])
        self.assertIn(mover.gate, others)
        await wire.mend()
        await self.cluster.whole(5.5 + BUSY, USERS)
        await self.assertOneLoginEach()
        await self.crowd.allTalk(BUSY)
        self.assertUndisturbed(cutOff[1:] + rest)
        self.assertIn(b"kicked=1,loggedOut=1", await self.called(0))


class LeakTests(ClusterCase):
    """Over and over."""

    users = 30
    more = "retry_delay = 0.1"
    rounds = 50

    async def test_rounds(self) -> None:
        """
        50 times the links are cut and users log in anew: no process then has a descriptor
        more than before, or memory to speak of.
        """
        processes = [self.cluster.login, *self.cluster.gates]
        for number in range(self.rounds):
            for wire in self.cluster.wires:
                wire.cut()
            talkers = list(self.crowd.talkers.values())
            moved = talkers[number % 10 :: 10]
            await gatherResults(
                [Deferred.fromCoroutine(self.crowd.replace(talker)) for talker in moved]
            )
            await self.cluster.whole(BUSY, self.users)
            if number == 9:
                # What is loaded and grown once has been by now.
                before = [(each.descriptors, each.memory) for each in processes]
        await self.crowd.allTalk(BUSY)
        await self.assertOneLoginEach()
        for process, (descriptors, memory) in zip(processes, before, strict=True):
            self.assertLessEqual(process.descriptors, descriptors + 2)
            self.assertLess(process.memory, memory + 2**21)
