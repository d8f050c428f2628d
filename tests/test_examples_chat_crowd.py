"""
The judge of the crowd of examples/chat finds what is wrong.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from examples.chat.crowd import judge
from examples.chat.member import Member
from examples.chat.server import ChatHandler
from msgserver.testing import MemoryServer


class JudgeTests(SynchronousTestCase):
    """The judge of the crowd finds what is wrong."""

    def setUp(self) -> None:
        clock = Clock()
        server = MemoryServer(ChatHandler(clock=clock), clock=clock)
        self.addCleanup(server.stop)
        self.server = server
        self.members = [
            Member(name, server.client(name.encode()), "lobby") for name in ("alice", "bob")
        ]
        for member in self.members:
            server.result(member.join())
        for _ in range(3):
            for member in self.members:
                member.say()
                server.settle()

    def counted(self) -> tuple[int, int, int, bool]:
        """Judge, and give what was missed, doubled and out of order, and whether it is good."""
        report = judge(self.members, ["lobby"])
        return report.missed, report.doubled, report.disordered, report.isGood

    def test_good(self) -> None:
        """Where all is well it says so, with what there was."""
        self.assertEqual(self.counted(), (0, 0, 0, True))
        report = judge(self.members, ["lobby"])
        self.assertEqual((report.users, report.said, report.deliveries), (2, 6, 12))
        self.assertIn("messages said          6", report.lines())

    def test_cuts(self) -> None:
        """Breaks are counted, those that there was a connection for."""
        self.members[0].cut()
        self.server.settle()
        self.members[0].say()
        self.server.settle()
        report = judge(self.members, ["lobby"])
        self.assertEqual((report.cuts, report.said, report.isGood), (1, 7, True))

    def test_missed(self) -> None:
        """A message that a member has not heard."""
        del self.members[0].heard[2]
        self.assertEqual(self.counted(), (1, 0, 0, False))

    def test_doubled(self) -> None:
        """A message that a member has heard twice."""
        self.members[0].heard.insert(2, self.members[0].heard[1])
        self.assertEqual(self.counted(), (0, 1, 0, False))

    def test_saidTwice(self) -> None:
        """A message that ran twice, though it was asked once."""
        for member in self.members:
            member.heard.append((7, member.heard[0][1]))
        self.assertEqual(self.counted(), (0, 2, 0, False))

    def test_disordered(self) -> None:
        """A message that was heard after a later one."""
        self.members[1].heard.reverse()
        self.assertEqual(self.counted(), (0, 0, 5, False))

    def test_failed(self) -> None:
        """Whatever else has gone wrong."""
        self.server.result(self.members[0].client.close())
        self.members[0].say()
        self.assertEqual(self.counted()[3], True)
        self.members[0].failed.append("ValueError: a bug")
        self.assertEqual(self.counted()[3], False)
        self.assertIn("failed: ValueError: a bug", judge(self.members, ["lobby"]).lines())
