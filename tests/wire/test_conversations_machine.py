"""
Tests for both conversations by L{tests.wire.loginmachine} and L{tests.wire.gatemachine}.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from msgserver.errors import Forbidden, Unauthorized
from msgserver.wire.framing import MAX_PACKET
from tests.machines import runAlways
from tests.wire.conversations import line
from tests.wire.gatemachine import ALICE, OK, SECRET, GateMachine
from tests.wire.interference import ALL
from tests.wire.loginmachine import LoginMachine, ModernLoginMachine

MAX_EXAMPLES = 200
"""How many examples each machine runs in every test run."""


class MachineTests(SynchronousTestCase):
    """Two ends and whoever is in between: the same examples each time."""

    def test_login(self) -> None:
        """L, L1, L5: the login conversation."""
        runAlways(LoginMachine, MAX_EXAMPLES)

    def test_modernLogin(self) -> None:
        """L, L1, L3, L5: the same in the modern suite."""
        runAlways(ModernLoginMachine, MAX_EXAMPLES)

    def test_gate(self) -> None:
        """H, H1, H2, S, B4: the gate's."""
        runAlways(GateMachine, MAX_EXAMPLES)


class RareLoginTests(SynchronousTestCase):
    """
    What the machine comes upon in a long run only, done on purpose.

    @ivar machine: with the first connection open, and all of its directions open to change.
    """

    def setUp(self) -> None:
        """Make the machine."""
        self.machine = LoginMachine()
        self.machine.start()

    def check(self, situation: str) -> None:
        """Go on to the end, and see that it came to that and breaks no invariant."""
        self.machine.finish(b"", None, None, 0)
        self.machine.oneSecretL()
        self.machine.oneVerdictL()
        self.assertIn(situation, self.machine.noted)

    def test_longLine(self) -> None:
        """L1: a line of 8 KiB and a byte ends the conversation."""
        self.machine.dial(0, 9, "up", 0)
        self.machine.forge(True, 0, "a longer line")
        self.check("L1: a line is too long")

    def test_longestLine(self) -> None:
        """L1: a line of 8 KiB is a line."""
        self.machine.dial(0, 9, "up", 0)
        self.machine.forge(True, 0, "the longest line")
        self.check("L: the server takes no key, proof or token")

    def test_earlyYes(self) -> None:
        """L: a yes before the keys is none."""
        self.machine.dial(0, 9, "down", 1)
        self.machine.forge(False, 0, "200")
        self.check("L: the client hears no login server")

    def test_proof(self) -> None:
        """L: one guess at the proof; the right token behind a wrong one is of no use."""
        self.machine.dial(0, 9, "up", 3)
        self.machine.change(True, 0, 0, 0)
        self.check("L: the server takes no key, proof or token")
        self.assertEqual(self.machine.serverTold, [Unauthorized])

    def test_behindTheToken(self) -> None:
        """L: the token is the last that is looked at."""
        self.machine.dial(0, 9, "up", 3)
        self.machine.forge(True, 200, "nothing")
        self.machine.deliver(True, ALL, True)
        self.assertEqual(len(self.machine.serverTold), 1)

    def test_zeroKey(self) -> None:
        """L2: a key of zero is refused."""
        self.machine.dial(0, 9, "up", 1)
        self.machine.forge(True, 0, "a key")
        self.check("L: the server takes no key, proof or token")

    def test_addressLost(self) -> None:
        """L5: a client that never gets the second line is admitted, and knows no address."""
        self.machine.dial(0, 9, "down", 5)
        self.machine.cut(False, len(b"200 MQ==\n"))
        self.check("L5: the address is lost")

    def test_token(self) -> None:
        """L2: a token of more than one block can be changed, and nobody can tell."""
        self.machine.dial(0, 20, "up", 3)
        self.machine.flip(True, len(line(bytes(8))) + 2, 0)
        self.check("weak: another token arrives than was sent")

    def test_subid(self) -> None:
        """L2: the status line can be changed."""
        self.machine.dial(0, 9, "down", 5)
        self.machine.forge(False, 0, "200")
        self.check("weak: another subid arrives than was sent")

    def test_verdict(self) -> None:
        """L2: the status line can be made up."""
        self.machine.dial(0, 9, "down", 3)
        self.machine.forge(False, 0, "200")
        self.machine.deliver(False, ALL, True)
        self.machine.refuseEarly(Forbidden, 0)
        self.check("weak: a forged yes is believed")


class RareModernLoginTests(SynchronousTestCase):
    """What is tried on each connection of the modern suite, with and without an identity (L3)."""

    def machines(self, where: str, depth: int) -> Iterator[ModernLoginMachine]:
        """Give machines with a connection open."""
        for seed in range(len(ModernLoginMachine.models)):
            machine = ModernLoginMachine()
            machine.dial(seed, 20, where, depth)
            yield machine

    def check(self, machine: ModernLoginMachine, situation: str) -> None:
        """Go on to the end, and see that it came to that and breaks no invariant."""
        machine.finish(b"1", None, None, 0)
        machine.oneSecretL()
        machine.oneVerdictL()
        self.assertIn(situation, machine.noted)

    def test_token(self) -> None:
        """A token that was changed does not arrive."""
        for machine in self.machines("up", 3):
            machine.change(True, 1, 0, 0)
            self.check(machine, "L: the server takes no key, proof or token")

    def test_subid(self) -> None:
        """A verdict is not believed from anybody but the server."""
        for depth in (3, 5):
            for machine in self.machines("down", depth):
                machine.forge(False, 0, "200")
                self.check(machine, "L: the client hears no login server")

    def test_plainRefusal(self) -> None:
        """Nor is a no, be it of the server itself, while they share no keys."""
        for machine in self.machines("nowhere", 1):
            machine.refuseEarly(Forbidden, 0)
            self.check(machine, "L3: a refusal that nothing stands behind is no verdict")

    def test_address(self) -> None:
        """The address can be kept from the client, as a whole line."""
        for machine in self.machines("down", 5):
            machine.cut(False, machine.down.pending.index(b"\n") + 1)
            self.check(machine, "L5: the address is lost")


class RareGateTests(SynchronousTestCase):
    """
    What the machine comes upon in a long run only, done on purpose.

    @ivar machine: with one request behind an accepted handshake, and the verdict on its way.
    """

    def setUp(self) -> None:
        """Make the machine."""
        self.machine = GateMachine()
        self.machine.start()
        self.machine.dial(1, ALICE, SECRET, MAX_PACKET, "both", 1, 2)

    def check(self, situation: str) -> None:
        """Go on to the end, and see that it came to that and breaks no invariant."""
        self.machine.finish(0, 0)
        self.machine.verdictFirstH2()
        self.machine.untouchedS()
        self.assertIn(situation, self.machine.noted)

    def test_noHandshake(self) -> None:
        """H: what is no handshake is told so."""
        self.machine.dial(1, ALICE, SECRET, MAX_PACKET, "up", 1, 0)
        self.machine.forge(True, 0, "no handshake")
        self.check("H: the client hears 400")
        self.assertIn("H: the handshake is none", self.machine.noted)

    def test_afterRefusal(self) -> None:
        """H2: a refusal is the last that is heard."""
        self.machine.dial(0, ALICE, SECRET, MAX_PACKET, "down", 1, 2)
        self.machine.forge(False, 100, "200 OK")
        self.check("H: the client hears 403")

    def test_responseFirst(self) -> None:
        """H: what is no verdict is none, however well formed a response it is."""
        self.machine.loseVerdict()
        self.check("H: a response arrives in the place of the verdict")
        self.assertIn("H: the client hears no gate", self.machine.noted)

    def test_noFlag(self) -> None:
        """S: a flag is 0 or 1."""
        self.machine.forge(False, 100, "a response without a flag")
        self.check("S: a response without a flag")

    def test_request(self) -> None:
        """H: the mac is the handshake's alone: requests can be changed."""
        self.machine.deliver(False, ALL, True)
        self.machine.ask(3)
        self.machine.flip(True, 3, 0)
        self.check("weak: another request arrives than was sent")

    def test_response(self) -> None:
        """H: and so can responses."""
        self.machine.respond(0, True, 9)
        self.machine.flip(False, len(OK) + 3, 0)
        self.check("weak: another response arrives than was sent")
