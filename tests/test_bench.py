"""
Tests for the benchmarks' own arithmetic, and for what they refuse to count.
"""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from bench.figures import Row, Spread, percentile, spreads, table
from bench.loginload import LoginLoad, logIn
from bench.loginphases import ROWS, Phase, checkSpread, figuresOf, phasesOf
from bench.logins import notesOn
from bench.servers import BenchError
from msgserver.wire.login import Admitted


def admittedAt(*addresses: str | None) -> dict[bytes, Admitted]:
    """Make logins at these gates."""
    return {
        b"u%d" % number: Admitted(b"s%d" % number, b"8 bytes.", address)
        for number, address in enumerate(addresses)
    }


class FiguresTests(SynchronousTestCase):
    """Medians, percentiles, tables."""

    rows = (Row("rate", "logins/s", hasRatio=True), Row("p50", "p50, ms", 2))
    rounds = {
        "local": [{"rate": 1000.0, "p50": 0.5}, {"rate": 2000.0, "p50": 0.25}],
        "tcp": [{"rate": 500.0, "p50": 0.75}, {"rate": 1000.0, "p50": 0.75}],
    }

    def test_percentile(self) -> None:
        """A percentile is one of the values: the least that so many do not exceed."""
        values = [float(n) for n in range(100, 0, -1)]
        for share, expected in ((0.5, 50), (0.99, 99), (0.999, 100), (1, 100), (0, 1)):
            self.assertEqual(percentile(values, share), expected)
        self.assertEqual(percentile([7.0], 0.99), 7.0)

    def test_spread(self) -> None:
        """The median stands first, and how far the rounds lie apart behind it, if they do."""
        self.assertEqual(Spread.of([3.0, 1.0, 10.0]), Spread(3.0, 1.0, 10.0))
        self.assertEqual(Spread.of([1234.5, 1000, 2000]).write(0), "1,234 (1,000–2,000)")
        self.assertEqual(Spread.of([0.125, 0.125]).write(2), "0.12")

    def test_ratios(self) -> None:
        """A ratio is that of two figures of one round, and of those the median is taken."""
        told = spreads(self.rows, self.rounds)
        self.assertEqual(told["rate"]["figures"]["local"], Spread(1500, 1000, 2000))
        self.assertEqual(told["rate"]["ratios"], {"tcp": Spread(0.5, 0.5, 0.5)})
        self.assertEqual(told["p50"]["ratios"], {})

    def test_ratioToNothing(self) -> None:
        """What the first contender has none of has no ratio."""
        rounds = {"local": [{"rate": 0.0}], "tcp": [{"rate": 1.0}]}
        self.assertEqual(spreads(self.rows[:1], rounds)["rate"]["ratios"], {})

    def test_table(self) -> None:
        """There is a line for each figure, and a column for each contender and each ratio."""
        self.assertEqual(
            table("2 at a time", self.rows, self.rounds).splitlines(),
            [
                "2 at a time  local                tcp              tcp : local",
                "logins/s     1,500 (1,000–2,000)  750 (500–1,000)  0.50",
                "p50, ms      0.38 (0.25–0.50)     0.75",
            ],
        )


class LoginPhaseTests(SynchronousTestCase):
    """What is made of logins."""

    def test_phases(self) -> None:
        """Those of the last phase are the ones who log in once more."""
        self.assertEqual(phasesOf([1, 8]), [Phase(1), Phase(8), Phase(8, isAgain=True)])
        self.assertEqual(Phase(8, isAgain=True).title, "8 at a time, again")

    def test_figures(self) -> None:
        """Rates are by the clock, and CPU time is by the login, each process's apart."""
        load = LoginLoad(2.0, [0.001, 0.002, 0.003, 0.004], 0.5, {})
        figures = figuresOf(load, (1.0, 0.5), (3.0, 4.0))
        self.assertEqual(list(figures), [row.key for row in ROWS])
        expected = {"rate": 2, "p50": 2, "p99": 4, "loginCpu": 250_000, "gatesCpu": 125_000}
        expected |= {"cpu": 375_000, "clientsCpu": 125_000, "loginBusy": 50, "clientsBusy": 25}
        self.assertEqual(figures, expected | {"othersBusy": 25, "idle": 25})

    def test_spread(self) -> None:
        """Logins that are not spread over all gates are no figure, but an error."""
        gates = ["a:1", "b:1"]
        checkSpread(gates, admittedAt("a:1", "b:1", "a:1", "b:1"))
        for addresses in (("a:1",) * 4, ("a:1", "b:1", "c:1", "a:1"), ("a:1", "b:1", None, "a:1")):
            self.assertRaises(BenchError, checkSpread, gates, admittedAt(*addresses))

    def test_sameSubid(self) -> None:
        """Two logins with one subid are an error."""
        logins = dict.fromkeys([b"u1", b"u2"], Admitted(b"1", b"8 bytes.", "a:1"))
        self.assertRaises(BenchError, checkSpread, ["a:1"], logins)

    def test_refused(self) -> None:
        """A login that does not succeed is no figure, but an error."""
        with socket.socket() as nobody:
            # Bound, so that nobody else listens there; and it does not listen itself.
            nobody.bind(("127.0.0.1", 0))
            port = nobody.getsockname()[1]
            error = self.assertRaises(BenchError, logIn, port, [b"u1", b"u2"], 2)
        self.assertIn("b'u1' could not log in: ConnectionRefusedError", str(error))

    def notes(self, **figures: float) -> list[str]:
        """Give what is said of one round of these figures."""
        quiet = {**dict.fromkeys((row.key for row in ROWS), 1.0), "idle": 50.0}
        return notesOn({"8 at a time": {"tcp": [{**quiet, **figures}]}})

    def test_notes(self) -> None:
        """Whatever but the servers may have made the figures is said."""
        self.assertEqual(self.notes(), [])
        self.assertEqual(self.notes(loginBusy=99, idle=1), [])
        for figures, expected in (
            ({"clientsBusy": 95.0}, "the clients were the bottleneck"),
            ({"othersBusy": 40.0, "idle": 0.0}, "other programs took 40 % of the machine"),
            ({"idle": 1.0}, "clients and servers had too few cores for them all"),
        ):
            self.assertEqual(self.notes(**figures), [f"8 at a time, tcp: {expected}"])
