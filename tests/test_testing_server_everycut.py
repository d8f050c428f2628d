"""
Tests for L{msgserver.testing.everyCut}, and for the places at which it breaks connections.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from msgserver import User
from msgserver.client import MsgClient
from msgserver.testing import MemoryServer, everyCut
from msgserver.testing.cuts import AfterBytes, AtAnswer, answerBounds
from msgserver.wire.framing import packet
from tests.servers import Teller


class Forgetful(Teller):
    """Begins to count anew where a connection breaks, and so is wrong."""

    def disconnected(self, user: User) -> None:
        super().disconnected(user)
        self.requests.clear()


class EveryCutTests(SynchronousTestCase):
    """A scenario at each place at which its connection may break."""

    def makeServer(self) -> MemoryServer:
        """Make a server that is counted."""
        clock = Clock()
        server = MemoryServer(Teller(clock), clock=clock)
        self.servers.append(server)
        return server

    def setUp(self) -> None:
        self.servers: list[MemoryServer] = []

    async def scenario(self, server: MemoryServer) -> Any:
        """Ask one after another, and two at a time."""
        alice: MsgClient = server.client(b"alice")
        answers = [await alice.request(b""), await alice.request(b"awaited 1")]
        for asked in [alice.request(b""), alice.request(b"")]:
            answers.append(await asked)
        return answers, len(server.handler.requests)

    def test_same(self) -> None:
        """It comes to the same, with a run for each byte, and one whose connection stays whole."""
        answers = [b"1", b"late, awaited", b"3", b"4"]
        self.assertEqual(everyCut(self.makeServer, self.scenario), (answers, 4))
        whole = self.servers[0].network.delivered[-1]
        self.assertEqual(len(self.servers), whole + 2)
        for server in self.servers[1:]:
            self.assertIsNone(server.network.cut)
            # No login conversation breaks.
            self.assertEqual(server.handler.happened.count(("loginReceived", b"alice")), 1)
            self.assertEqual(server.clock.seconds(), 1.0)
            self.assertEqual(server.clock.getDelayedCalls(), [])
        broken = [("disconnected", b"alice") in each.handler.happened for each in self.servers]
        # Until the gate has the whole handshake, it does not know whose connection breaks.
        self.assertEqual(broken, sorted(broken))
        self.assertTrue(broken[-1])

    def test_deliveries(self) -> None:
        """It may break where deliveries end, and a byte before, which are fewer places."""
        everyCut(self.makeServer, self.scenario, everyByte=False)
        ends = set(self.servers[0].network.delivered)
        places = {place for end in ends for place in (end - 1, end)} - {-1}
        self.assertEqual(len(self.servers), 1 + len(places))

    def test_logins(self) -> None:
        """The login conversations may break, too; then there may be a login that is kicked."""
        everyCut(self.makeServer, self.scenario, everyByte=False, logins=True)
        happened = [[what for what, _ in server.handler.happened] for server in self.servers]
        self.assertTrue(any("kicked" in each for each in happened))

    def test_differs(self) -> None:
        """What comes to something else is told, with the place and both outcomes."""

        def scenario(server: MemoryServer) -> list[bytes]:
            alice = server.client(b"alice")
            return [server.result(alice.request(b"")) for _ in range(2)]

        error = self.assertRaises(
            AssertionError, everyCut, lambda: MemoryServer(Forgetful()), scenario
        )
        self.assertRegex(str(error), r"^cut after byte \d+ of \d+, it came to \[b'1', b'1'\]")
        self.assertIn("and otherwise to [b'1', b'2']", str(error))

    def test_severalClients(self) -> None:
        """A scenario may have several clients, who come when others are answered."""

        async def scenario(server: MemoryServer) -> list[bytes]:
            alice = server.client(b"alice")
            answers = [await alice.request(b"")]
            bob = server.client(b"bob")
            answers += [await bob.request(b"awaited 1"), await alice.request(b"")]
            return answers

        self.assertEqual(everyCut(self.makeServer, scenario), [b"1", b"late, awaited", b"3"])

    def test_raises(self) -> None:
        """What the scenario raises where it is cut is raised, and says where."""

        def scenario(server: MemoryServer) -> None:
            server.result(server.client(b"alice").request(b""))
            if ("disconnected", b"alice") in server.handler.happened:
                raise KeyError("broken")

        error = self.assertRaises(KeyError, everyCut, self.makeServer, scenario)
        self.assertRegex(error.__notes__[0], r"^the connection was cut after byte \d+ of \d+$")

    def test_atOnce(self) -> None:
        """What a scenario gives at once is what it comes to; None as well."""
        self.assertIsNone(everyCut(self.makeServer, lambda server: None))


class PlaceTests(SynchronousTestCase):
    """Where in what is delivered a connection breaks."""

    def test_bytes(self) -> None:
        """It breaks in the delivery that has the byte, at it; with its last byte if need be."""
        cut = AfterBytes(True, 5)
        self.assertIsNone(cut.place(b"abc", True, ()))
        self.assertIsNone(cut.place(b"other", False, ()))
        self.assertEqual(cut.place(b"de", True, ()), 2)
        self.assertEqual(AfterBytes(None, 3).place(b"abcd", False, ()), 3)

    def test_bounds(self) -> None:
        """Answers begin and end where packets do; the first of a connection is none."""
        said = packet(b"200 OK") + packet(b"12345") + packet(b"123456")
        self.assertEqual(answerBounds(said, True), [8, 15, 23])
        self.assertEqual(answerBounds(said[8:], False), [0, 7, 15])
        self.assertEqual(answerBounds(packet(b"200 OK"), True), [8])
        self.assertEqual(answerBounds(b"", False), [0])

    def test_atAnswer(self) -> None:
        """It breaks at the answer of its number, before it or behind it."""
        for isBefore, place in ((True, 7), (False, 15)):
            cut = AtAnswer(4, isBefore)
            self.assertIsNone(cut.place(b"", True, ()))
            self.assertIsNone(cut.place(b"", False, [0, 7, 15]))
            self.assertEqual(cut.place(b"", False, [0, 7, 15, 23]), place)
