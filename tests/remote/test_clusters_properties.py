"""
What holds of login servers and gates whatever happens between them, once links are whole.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred

from msgserver.errors import GateUnavailable, Refused, UserNotFound
from msgserver.interfaces import Admission
from tests.remote.clusters import WHOLE, ClusterCase
from tests.remote.links import GATE_TIMEOUT

UIDS = (b"alice", b"bob", b"carol")


@define
class Attempt:
    """
    A client's login.

    @ivar began: when, as the number of things that had happened.
    @ivar ended: when it was answered.
    @ivar subid: what it was told; None where it was refused.
    """

    uid: bytes
    began: int
    ended: int | None = None
    subid: bytes | None = None


class PlayTests(ClusterCase):
    """
    Plays, each of some minutes of their clock.

    @ivar attempts: all logins of the play.
    @ivar wanted: the subids that somebody has wanted ended.
    @ivar moment: how many things have happened.
    """

    def play(self, seed: int, servers: int, multilogin: bool) -> None:
        """Play once, and see what has come of it."""
        self.random = Random(f"{seed} {servers} {multilogin}")
        self.attempts: list[Attempt] = []
        self.wanted: set[bytes] = set()
        self.moment = 0
        self.build(servers, multilogin)
        steps = (
            [self.stepLogin] * 6
            + [self.stepLogout] * 2
            + [self.stepKick, self.stepDrain]
            + [self.stepCut, self.stepHold] * 2
            + [self.stepMend] * 4
            + [self.stepKill, self.stepRestart]
        )
        for _ in range(35):
            self.moment += 1
            self.random.choice(steps)()
            self.wait(self.random.choice((0, 0, 0, 0.25, 0.5, 1, 4)))
        self.makeWhole()
        self.check(multilogin)
        self.stop()

    def stepLogin(self) -> None:
        """Begin a login of somebody, somewhere."""
        server = self.random.choice(self.servers)
        if server.service is None:
            return
        attempt = Attempt(self.random.choice(UIDS), self.moment)
        self.attempts.append(attempt)
        name = self.random.choice((b"sample", b"other"))
        login = self.login(attempt.uid, name, self.servers.index(server))

        def done(admission: Admission | None) -> None:
            attempt.ended = self.moment
            attempt.subid = None if admission is None else admission.subid

        login.addErrback(lambda failure: failure.trap(Refused) and None).addCallback(done)

    def stepLogout(self) -> None:
        """End a login at its gate."""
        there = [(gate, user) for gate in self.gates for user in gate.users]
        if there:
            gate, user = self.random.choice(there)
            self.wanted.add(user.subid)
            gate.service.end(user)

    def stepKick(self) -> None:
        """Kick somebody, as an operator does."""
        server = self.random.choice(self.servers)
        if server.service is None:
            return
        uid = self.random.choice(UIDS)
        # Those too that are at a gate which is away: they end with its return.
        self.wanted |= {user.subid for gate in self.gates for user in gate.users if user.uid == uid}
        self.forgive(server.service.operations.kick(uid))

    def stepDrain(self) -> None:
        """Have a gate drain, or take logins again."""
        server = self.random.choice(self.servers)
        if server.service is not None:
            name = self.random.choice(self.gates).name
            self.forgive(server.service.operations.setDraining(name, self.random.random() < 0.3))

    def forgive(self, command: Deferred[Any]) -> None:
        """Let a command fail where it may."""
        command.addErrback(lambda failure: failure.trap(UserNotFound, GateUnavailable))

    def stepCut(self) -> None:
        """Cut a link; often it is whole again at once."""
        link = self.random.choice(self.links)
        self.cut(link)
        if self.random.random() < 0.5 and link.server.service is not None:
            self.mend(link)

    def stepHold(self) -> None:
        """Hold a link, as if one of its ends were frozen."""
        self.random.choice(self.links).place.hold()

    def stepMend(self) -> None:
        """Have a link made again, or go on."""
        self.mend(self.random.choice(self.links))

    def stepKill(self) -> None:
        """Have a login server die; often another is there at once."""
        server = self.random.choice(self.servers)
        self.kill(server)
        if self.random.random() < 0.7:
            self.restart(server)

    def stepRestart(self) -> None:
        """Start the login servers that have died."""
        for server in self.servers:
            if server.service is None:
                self.restart(server)

    def makeWhole(self) -> None:
        """Have everything made whole, and wait until it is quiet."""
        self.moment += 1
        self.stepRestart()
        self.mend()
        # What is under way has its deadlines, one for each of the gates.
        self.wait(WHOLE + (1 + len(self.gates)) * GATE_TIMEOUT)

    def check(self, multilogin: bool) -> None:
        """See what must be so."""
        there = self.logins()
        for server in self.servers:
            self.assertEqual(server.logins, there)
        self.assertEqual([each for each in self.attempts if each.ended is None], [])
        if not multilogin:
            most = Counter(uid for uid, _, _ in there)
            self.assertEqual({uid: count for uid, count in most.items() if count > 1}, {})
        told = {each.subid: each for each in self.attempts if each.subid is not None}
        for gate in self.gates:
            ends = Counter(user.subid for user in gate.ended)
            self.assertEqual([subid for subid, count in ends.items() if count > 1], [])
            for user in gate.ended:
                if user.subid in told and user.subid not in self.wanted:
                    self.assertFalse(multilogin, f"{user} was ended")
                    self.assertTrue(self.isSuperseded(told[user.subid]), f"{user} was ended")

    def isSuperseded(self, attempt: Attempt) -> bool:
        """Say whether another login of the uid came after that one, or crossed it."""
        return any(
            each.uid == attempt.uid
            and each is not attempt
            and (each.ended is None or each.ended >= attempt.began)
            for each in self.attempts
        )

    def plays(self, count: int, servers: int, multilogin: bool = False) -> None:
        """Play so many times."""
        for seed in range(count):
            try:
                self.play(seed, servers, multilogin)
            except self.failureException as failure:
                raise self.failureException(f"seed {seed}: {failure}") from failure

    def test_oneServer(self) -> None:
        """
        With one login server, once links are whole and quiet: each uid has one login at most;
        the login server knows exactly those there are; none was ended that was not superseded,
        kicked or logged out, and none was ended twice.
        """
        self.plays(30, servers=1)

    def test_twoServers(self) -> None:
        """So it is with two login servers, of which each knows the same."""
        self.plays(30, servers=2)

    def test_multilogin(self) -> None:
        """Where a uid may have several logins none is ended but by a logout or a kick."""
        self.plays(10, servers=1, multilogin=True)
        self.plays(10, servers=2, multilogin=True)
