"""
Tests for the arithmetic of the benchmarks of memory, handshakes and replays, and for what they
refuse to count.
"""

from __future__ import annotations

import json
import socket
import struct
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from bench import handshakes, holding, replays
from bench import visits as visiting
from bench.controlled import ORDER, Controlled, ControlledGate, Look, loginOf
from bench.servers import BenchError
from bench.visitfigures import figuresOf, inTurns, notesOn, rowsOf, writeJson
from bench.visits import OK, Visit, VisitLoad, Visits, checkClosed, helloOf, visitOf
from tests.gates import GateCase


def connected() -> tuple[socket.socket, socket.socket]:
    """Give the two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    return ours, theirs


class VisitTests(SynchronousTestCase):
    """What clients send, and what they take for an answer."""

    def test_visit(self) -> None:
        """A visit is a handshake, and the requests behind it; each has another content."""
        visit = visitOf(7, 3, [1, 258], 6)
        requests = b"\0\x0a\0\0\0\1\0\0\0\0\0\1" + b"\0\x0a\0\0\1\2\0\0\0\0\1\2"
        answers = b"\0\x0b\0\0\0\1\0\0\1\0\0\0\1" + b"\0\x0b\0\0\1\2\0\0\1\0\0\1\2"
        self.assertEqual(visit.sent, helloOf(7, 3) + requests)
        self.assertEqual(visit.expected, OK + answers)

    def test_nobodyListens(self) -> None:
        """A visit that cannot be made is no figure, but an error."""
        with socket.socket() as nobody:
            # Bound, so that nobody else listens there; and it does not listen itself.
            nobody.bind(("127.0.0.1", 0))
            port = nobody.getsockname()[1]
            error = self.assertRaises(BenchError, Visits(port).make, [Visit(7, b"hello")], 2)
        self.assertIn("login 7 could not connect", str(error))

    def visit(self, answer: bytes) -> VisitLoad:
        """Visit one who answers like this, and closes."""

        def serve() -> None:
            stream, _ = server.accept()
            with stream:
                stream.recv(5, socket.MSG_WAITALL)
                stream.sendall(answer)

        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = Thread(target=serve)
            thread.start()
            try:
                return Visits(server.getsockname()[1]).make([Visit(7, b"hello")], 1)
            finally:
                thread.join()

    def test_answer(self) -> None:
        """The right answer counts as one; others are errors, longer and shorter ones too."""
        self.assertEqual(len(self.visit(OK).latencies), 1)
        for answer in (b"\0\x06100 OK", OK + b"\0", OK[:-1], b""):
            error = self.assertRaises(BenchError, self.visit, answer)
            self.assertIn("login 7 was answered", str(error))

    def test_replaced(self) -> None:
        """A connection that was replaced has been closed in some way, without a further word."""
        for isReset in (True, False):
            ours, theirs = connected()
            if isReset:
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            theirs.close()
            checkClosed(ours)
            self.assertEqual(ours.fileno(), -1)

    def test_notReplaced(self) -> None:
        """A connection that is still open, or still used, is an error."""
        self.patch(visiting, "_CLOSING", 0.01)
        for word in (b"", b"x"):
            ours, theirs = connected()
            with theirs:
                theirs.sendall(word)
                self.assertRaises(BenchError, checkClosed, ours)


class FigureTests(SynchronousTestCase):
    """What is made of visits."""

    def test_figures(self) -> None:
        """Rates are by the clock; CPU time is by what is counted, of which a visit has several."""
        load = VisitLoad(2.0, [0.001, 0.002, 0.003, 0.004], 0.5)
        figures = figuresOf(load, 8, 1.0, (3.0, 6.0))
        self.assertEqual(list(figures), [row.key for row in rowsOf("request")])
        expected = {"rate": 4, "cpu": 125_000, "p50": 2, "p99": 4, "gateBusy": 50}
        self.assertEqual(figures, expected | {"clientsBusy": 25, "othersBusy": 25})

    def test_notes(self) -> None:
        """Whatever but the gate may have made the figures is said."""
        quiet = dict.fromkeys((row.key for row in rowsOf("request")), 1.0)
        for figures, expected in (
            ({}, []),
            ({"clientsBusy": 95.0}, ["lost: the clients were the bottleneck"]),
            ({"othersBusy": 40.0}, ["lost: other programs took 40 % of the machine"]),
        ):
            self.assertEqual(notesOn("request", {"lost": [{**quiet, **figures}]}), expected)

    def test_turns(self) -> None:
        """Each is the first in its turn, and each has all rounds."""
        order: list[str] = []

        def measure(name: str) -> dict[str, float]:
            order.append(name)
            return {"rate": float(len(order))}

        rounds = inTurns(["a", "b"], 3, measure)
        self.assertEqual("".join(order), "abbaab")
        self.assertEqual([each["rate"] for each in rounds["b"]], [2, 3, 6])

    def test_json(self) -> None:
        """The file says what was measured where, and with which options."""
        with TemporaryDirectory() as folder:
            file = Path(folder) / "results.json"
            options = Namespace(rounds=2, json=file)
            writeJson(options, {"cores": 2}, {"rounds": {"a": [{"rate": 1.0}]}})
            written = json.loads(file.read_text())
        self.assertEqual(
            written,
            {
                "machine": {"cores": 2},
                "options": {"rounds": 2},
                "rounds": {"a": [{"rate": 1.0}]},
            },
        )


class Gate:
    """A gate of which every look shows something else, and the last one for ever."""

    def __init__(self, *looks: Look) -> None:
        self._looks = list(looks)

    def look(self) -> Look:
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]


class HoldingTests(SynchronousTestCase):
    """What is made of memory."""

    rounds = (("away", 1024.0), ("connected", 3073.0), ("full", 2.0))

    def test_verdicts(self) -> None:
        """A target is met by as much, and missed by more."""
        figures = dict.fromkeys((row.key for row in holding.ROWS), 1.0) | dict(self.rounds)
        self.assertEqual(
            holding.verdictsOf({"gate": [figures]}),
            [
                "away, was connected: at most 1,024: 1,024, met",
                "connected, idle: at most 3,072: 3,073, MISSED",
                "connected, 128 answers of 64 bytes kept: at most 40,960: 2, met",
            ],
        )

    def test_wait(self) -> None:
        """It is waited for what is to be; what does not come is an error."""
        gate = cast(ControlledGate, Gate(Look(0, 2), Look(0, 1)))
        holding.waitUntil(gate, lambda look: look.connected == 1)
        self.patch(holding, "_PATIENCE", -1.0)
        error = self.assertRaises(
            BenchError, holding.waitUntil, gate, lambda look: look.connected == 0
        )
        self.assertIn("connected=1", str(error))

    def test_held(self) -> None:
        """Who was given everything was not held up, and who was given nothing did not ask."""
        holding.checkHeld(1, 2)
        for made in (0, 2):
            self.assertRaises(BenchError, holding.checkHeld, made, 2)

    def test_ask(self) -> None:
        """Each answer is compared."""
        ours, theirs = connected()
        with ours, theirs:
            theirs.sendall(b"\0\x45" + b"\0\0\0\5" * 16 + b"\1\0\0\0\5")
            holding.ask([ours], [5])
            theirs.sendall(b"\0\x45" + b"\0\0\0\6" * 16 + b"\1\0\0\0\5")
            self.assertRaises(BenchError, holding.ask, [ours], [5])


class ReplayTests(SynchronousTestCase):
    """What must be true of replays."""

    def test_run(self) -> None:
        """What ran although it must not, or did not although it must, is an error."""
        replays.checkRun(0, 0)
        replays.checkRun(3, 3)
        for requests, expected in ((1, 0), (2, 3)):
            self.assertRaises(BenchError, replays.checkRun, requests, expected)


class ControlledTests(GateCase):
    """A gate's handler that does as it is told."""

    def test_orders(self) -> None:
        """It admits logins, answers, and tells of both."""
        handler = Controlled()
        handler.gateOpened(self.handler.gate)
        user, _ = loginOf(0)

        def order(text: bytes) -> bytes:
            return handler.requestReceived(user, ORDER + text)

        self.assertEqual(order(b"admit 5 2"), b"")
        self.assertEqual(set(self.service.users()), {loginOf(n)[0] for n in (0, 5, 6)})
        self.assertEqual(order(b"count"), b"0 0")
        self.assertEqual(handler.requestReceived(user, b"hello"), b"hello")
        self.assertEqual(order(b"give 3"), b"\0\0\0")
        self.assertEqual(order(b"collect"), b"")
        self.assertEqual(order(b"count"), b"2 0")


class OptionTests(SynchronousTestCase):
    """The command lines."""

    def complaint(self, main: Callable[[Sequence[str]], None], *arguments: str) -> str:
        """Give the last line that is said of a command line that is wrong."""
        said = StringIO()
        with redirect_stderr(said):
            error = self.assertRaises(SystemExit, main, arguments)
        self.assertEqual(error.code, 2)
        return said.getvalue().splitlines()[-1]

    def test_wrong(self) -> None:
        """What is no number of those allowed is said in one line."""
        for main, arguments in (
            (handshakes.main, ("--handshakes", "0")),
            (replays.main, ("--asked", "129")),
            (holding.main, ("--logins", "x")),
        ):
            self.assertIn(f"'{arguments[1]}' is no number from", self.complaint(main, *arguments))

    def test_tooFewLogins(self) -> None:
        """Logins have one connection at a time."""
        complaint = self.complaint(replays.main, "--logins", "8", "--concurrency", "8")
        self.assertIn("--logins must be above --concurrency", complaint)
