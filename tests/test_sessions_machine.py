"""
Tests for L{msgserver.sessions} by L{tests.sessionsmachine}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.machines import runAlways
from tests.sessionsmachine import AnyMachine, IncreasingMachine, LoginsMachine
from tests.sessionsparts import INCREASING_RARE, LARGEST, STEPS, USERS, Entry

MAX_EXAMPLES = 200
"""How many examples each machine runs in every test run."""


class MachineTests(SynchronousTestCase):
    """Logins of both modes do what the model says; the same examples each time."""

    def test_any(self) -> None:
        """H1, H4, S1 to S9, U2, U5, B2, B3, B4, with sessions in any order."""
        runAlways(AnyMachine, MAX_EXAMPLES)

    def test_increasing(self) -> None:
        """The same with sessions that count up, and wrap (S7)."""
        runAlways(IncreasingMachine, MAX_EXAMPLES)


class RareTests(SynchronousTestCase):
    """What the machines come upon in a long run only, done on purpose."""

    def walk(self, machine: LoginsMachine, entry: Entry, walk: str) -> None:
        """
        Have a login's client do one thing after the other.

        @param walk: verbs of requests with the session's choice, C{later:2}, which go together
            up to the next other word; C{lose} and C{back} with as many to be asked again;
            C{end} of the login, C{admit} of its user; C{answer} of what runs.
        """
        written: list[tuple[str, int]] = []
        for word in [*walk.split(), "-"]:
            what, _, number = word.partition(":")
            isRequest = what not in ("lose", "back", "answer", "end", "admit", "-")
            if written and not isRequest:
                machine.receive(entry, written, [], 0)
                written = []
            if isRequest:
                written.append((what, int(number)))
            elif what == "lose":
                machine.lose(entry, 0)
            elif what == "back":
                machine.comeBack(entry, int(number), False, [])
            elif what == "end":
                machine.end(entry.user, 0)
            elif what == "admit":
                machine.handshake(entry, 1, "right")
                machine.admit(entry.user, 0)
            elif what == "answer":
                for content, running in list(machine.application.running.items()):
                    machine.answer((entry, content, running), 0, True, False, False)
            self.check(machine)

    def check(self, machine: LoginsMachine) -> None:
        """See that no invariant is broken."""
        machine.tableU2()
        machine.oneConnectionH4()
        machine.brokenS3()
        machine.runningB2()
        machine.boundedS7()

    def test_any(self) -> None:
        """All that is rare of L{AnyMachine}; each with logins of its own."""
        noted: set[str] = set()
        for walk in (
            "huge:0 huge:1 huge:2 now:3 lose back:4",
            "big:0 now:1 big:2 big:3 lose back:4",
            "now:0 now:1 now:2 now:3 lose back:4",
            "later:0 lose answer back:1",
            "later:0 lose now:1 answer now:0",
            "later:0 later:0 answer",
            "later:0 answer lose back:1",
            "fail:0 lose back:1",
            "later:0 back:1",
            "later:0 later:1 later:2 later:3 later:4",
            "later:0 bye:1 end admit",
            "drop:0",
            "short:3",
            "long:3",
            "later:0 out:1 lose end answer",
        ):
            machine = AnyMachine()
            machine.start(1, LARGEST, 4)
            machine.admit(USERS[1], 0)
            self.walk(machine, machine.entries[0], walk)
            noted |= machine.noted
        self.assertEqual(AnyMachine.rare - noted, set())

    def test_increasing(self) -> None:
        """What else is rare of L{IncreasingMachine}."""
        machine = IncreasingMachine()
        machine.start(1, LARGEST, 4)
        (entry,) = machine.entries
        past = {step: STEPS.index(step) for step in (0, -2)}
        self.walk(machine, entry, f"later:0 now:{past[0]} answer now:{past[0]}")
        self.walk(machine, entry, f"now:0 now:0 now:0 now:0 now:{past[-2]}")
        self.assertEqual(INCREASING_RARE - machine.noted, set())

    def test_held(self) -> None:
        """S7: nothing is held twice while there is no connection to ask for it."""
        machine = AnyMachine()
        machine.start(4, LARGEST, 4)
        (entry,) = machine.entries
        self.walk(machine, entry, "huge:0 huge:1 lose")
        machine.handshake(entry, 1, "right")
        self.walk(machine, entry, "lose")

    def test_size(self) -> None:
        """S7: what fits into C{cache_bytes} is known, whatever it is made of."""
        machine = AnyMachine()
        machine.start(4, LARGEST, 4)
        self.walk(machine, machine.entries[0], "third:0 third:1 third:2 lose back:3")
        self.assertEqual(len(machine.asked), 3)
