"""
The whole picture: login servers and gates that lose each other, and find each other again.
"""

from __future__ import annotations

from msgserver.errors import Forbidden
from tests.remote.clusters import RETRY, WHOLE, ClusterCase
from tests.remote.links import GATE_TIMEOUT, TIMES

A, B, OTHER = "sample@a:1", "sample@b:1", "other"


class OneServerTests(ClusterCase):
    """One login server, and three gates of two names."""

    def setUp(self) -> None:
        super().setUp()
        self.build()
        self.addCleanup(self.stop)

    @property
    def known(self) -> list[tuple[bytes, bytes, str]]:
        """Whom the login server knows."""
        return self.servers[0].logins

    def test_login(self) -> None:
        """A login goes to a gate of the name, and is told of with that gate's address."""
        admission = self.successResultOf(self.login(b"alice"))
        self.assertEqual(admission.address, "a:1")
        self.assertEqual(self.successResultOf(self.login(b"bob")).address, "b:1")
        self.assertIsNone(self.successResultOf(self.login(b"carol", b"other")).address)
        self.assertEqual([gate for _, _, gate in self.known], [A, B, OTHER])
        self.assertEqual(self.known, self.logins())

    def test_again(self) -> None:
        """L4: a new login has the earlier one kicked, wherever that is."""
        first = self.loggedIn(b"alice")
        second = self.loggedIn(b"alice", b"other")
        self.assertEqual(self.known, [(b"alice", second, OTHER)])
        self.assertEqual(self.known, self.logins())
        self.assertEqual([user.subid for user in self.gate(A).ended], [first])

    def test_ended(self) -> None:
        """A login that ends is forgotten at once."""
        self.loggedIn(b"alice")
        (user,) = self.gate(A).users
        self.gate(A).service.end(user)
        self.turn()
        self.assertEqual(self.known, [])

    def test_restarted(self) -> None:
        """A login server that was restarted knows everybody within C{retryDelay} + 1 seconds."""
        for number in range(10):
            self.loggedIn(b"%d" % number, b"sample" if number % 3 else b"other")
        known = self.known
        for away in (0, 0.5, 20):
            self.kill(self.servers[0])
            self.wait(away)
            self.restart(self.servers[0])
            self.assertEqual(self.known, [])
            self.wait(RETRY + 1)
            self.assertEqual(self.known, known)
        self.assertEqual(self.logins(), known)
        self.assertEqual([gate.ended for gate in self.gates], [[], [], []])

    def test_restartedAndAgain(self) -> None:
        """Who logs in again after that has one login, whatever the new server knew by then."""
        for wait in (0, RETRY + 1):
            self.loggedIn(b"alice")
            self.kill(self.servers[0])
            self.restart(self.servers[0])
            # One gate is back at once; the login is at the other.
            self.cut(self.link(A))
            self.cut(self.link(B))
            self.wait(wait or 1)
            newest = self.loggedIn(b"alice", b"other")
            self.mend()
            self.wait(RETRY + 1)
            self.assertEqual(self.known, [(b"alice", newest, OTHER)])
            self.assertEqual(self.logins(), self.known)

    def test_gateDies(self) -> None:
        """When a gate's link breaks its uids can log in elsewhere at once."""
        self.loggedIn(b"alice")
        self.cut(self.link(A))
        self.assertEqual(self.known, [])
        newest = self.loggedIn(b"alice")
        self.assertEqual(self.known, [(b"alice", newest, B)])

    def test_cutOff(self) -> None:
        """A gate cut off keeps serving; when it is back, what was superseded is ended there."""
        first = self.loggedIn(b"alice")
        bob = self.loggedIn(b"bob", b"other")
        self.cut(self.link(A))
        newest = self.loggedIn(b"alice")
        self.wait(60)
        self.assertIn((b"alice", first, A), self.logins())
        self.mend()
        self.wait(RETRY + 1)
        self.assertEqual(self.known, [(b"alice", newest, B), (b"bob", bob, OTHER)])
        self.assertEqual(self.logins(), self.known)

    def test_newestWins(self) -> None:
        """So it is where the login server was restarted, in whatever order the gates return."""
        for order in ((A, OTHER), (OTHER, A)):
            self.loggedIn(b"alice")
            ((_, _, home),) = self.known
            self.cut(self.link(home))
            newest = self.loggedIn(b"alice", b"other")
            self.cut(self.link(OTHER))
            self.kill(self.servers[0])
            self.restart(self.servers[0])
            self.assertEqual(len(self.logins()), 2)
            for name in order:
                self.mend(self.link(name if name == OTHER else home))
                self.wait(RETRY + 1)
            self.assertEqual(self.known, [(b"alice", newest, OTHER)])
            self.assertEqual(self.logins(), self.known)
            self.mend()
            self.wait(RETRY + 1)

    def test_frozen(self) -> None:
        """
        A kick that cannot be delivered does not hold up the new login for longer than
        C{gateTimeout}; when the frozen gate is back its login is ended.
        """
        self.loggedIn(b"alice")
        self.link(A).place.hold()
        login = self.login(b"alice", b"other")
        self.wait(GATE_TIMEOUT - 0.25)
        self.assertNoResult(login)
        self.wait(0.25)
        newest = self.successResultOf(login).subid
        self.assertEqual(len(self.logins()), 2)
        self.wait(20)
        self.mend()
        self.wait(WHOLE)
        self.assertEqual(self.known, [(b"alice", newest, OTHER)])
        self.assertEqual(self.logins(), self.known)

    def test_frozenAtLogin(self) -> None:
        """A login at a gate that freezes goes to another; none is left at the frozen one."""
        self.link(A).place.hold()
        login = self.login(b"alice")
        self.wait(GATE_TIMEOUT)
        newest = self.successResultOf(login).subid
        self.assertEqual(self.known, [(b"alice", newest, B)])
        self.wait(1)
        self.mend()
        self.wait(WHOLE)
        self.assertEqual(self.known, [(b"alice", newest, B)])
        self.assertEqual(self.logins(), self.known)

    def test_answerLost(self) -> None:
        """A login whose answer is lost is no obstacle: who was not told of it logs in again."""
        self.link(OTHER).place.hold()
        login = self.login(b"alice", b"other")
        # It has reached the gate, whose answer never arrives.
        self.link(OTHER).place.wire.server.leave()
        self.link(OTHER).place.wire.client.arrive()
        self.assertEqual(len(self.logins()), 1)
        self.cut(self.link(OTHER))
        self.turn()
        self.failureResultOf(login, Forbidden)
        self.mend()
        self.wait(RETRY + 1)
        newest = self.loggedIn(b"alice", b"other")
        self.assertEqual(self.known, [(b"alice", newest, OTHER)])
        self.assertEqual(self.logins(), self.known)

    def test_drain(self) -> None:
        """Draining is told of, and is known again after a restart of the login server."""
        service = self.servers[0].service
        assert service is not None
        self.resultOf(service.operations.setDraining(A, True))
        for _ in range(2):
            for uid in (b"alice", b"bob"):
                self.loggedIn(uid)
            self.assertEqual([gate for _, _, gate in self.known], [B, B])
            self.kill(self.servers[0])
            self.restart(self.servers[0])
            self.wait(RETRY + 1)

    def test_leaves(self) -> None:
        """A gate that shuts down takes leave: nothing of it is known any more."""
        self.loggedIn(b"alice")
        stopped = self.gate(A).service.stopService()
        self.turn()
        self.successResultOf(stopped)
        self.assertEqual(self.known, [])
        self.assertEqual(self.logins(), [])
        self.assertTrue(self.link(A).place.wire.isLost)


class TwoServersTests(ClusterCase):
    """Two login servers, of which every gate knows both."""

    def setUp(self) -> None:
        super().setUp()
        self.build(servers=2)
        self.addCleanup(self.stop)

    def test_both(self) -> None:
        """A login by one is known to the other, and so is its end."""
        self.loggedIn(b"alice", server=0)
        self.loggedIn(b"bob", server=1)
        self.turn()
        for server in self.servers:
            self.assertEqual(server.logins, self.logins())
            self.assertEqual(len(server.logins), 2)
        for gate in self.gates:
            for user in gate.users:
                gate.service.end(user)
        self.turn()
        self.assertEqual([server.logins for server in self.servers], [[], []])

    def test_again(self) -> None:
        """A login by the one has the earlier one kicked that the other made."""
        self.loggedIn(b"alice", b"sample", 0)
        newest = self.loggedIn(b"alice", b"other", 1)
        self.turn()
        for server in self.servers:
            self.assertEqual(server.logins, [(b"alice", newest, OTHER)])
        self.assertEqual(len(self.logins()), 1)

    def test_atOnce(self) -> None:
        """Of two logins at the same moment by both, one is left, and both know which."""
        for link in self.links:
            link.place.hold()
        first, second = self.login(b"alice", b"sample", 0), self.login(b"alice", b"other", 1)
        self.mend()
        self.wait(1)
        self.assertTrue(first.called and second.called)
        first.addErrback(lambda failure: failure.trap(Forbidden))
        second.addErrback(lambda failure: failure.trap(Forbidden))
        (left,) = self.logins()
        for server in self.servers:
            self.assertEqual(server.logins, [left])

    def test_oneAway(self) -> None:
        """While one is away the other goes on; when it is back it knows what has happened."""
        self.loggedIn(b"alice", b"sample", 0)
        self.kill(self.servers[0])
        newest = self.loggedIn(b"alice", b"other", 1)
        self.wait(60)
        self.restart(self.servers[0])
        self.wait(RETRY + 1)
        for server in self.servers:
            self.assertEqual(server.logins, [(b"alice", newest, OTHER)])
        self.assertEqual(len(self.logins()), 1)

    def test_oneBlind(self) -> None:
        """A server that a gate is cut off from learns of a newer login when it is mended."""
        self.cut(self.link(OTHER, 0))
        first = self.loggedIn(b"alice", b"other", 1)
        self.wait(1)
        self.assertEqual(self.servers[0].logins, [])
        newest = self.loggedIn(b"alice", b"sample", 0)
        self.turn()
        self.assertEqual([subid for _, subid, _ in self.logins()], [newest])
        self.assertEqual([user.subid for user in self.gate(OTHER).ended], [first])
        self.mend()
        self.wait(TIMES.answer)
        for server in self.servers:
            self.assertEqual(server.logins, self.logins())
