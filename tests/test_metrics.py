"""
L{msgserver.metrics} and L{msgserver.watched}: a whole process in memory, and what is told of it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generateOpenMetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parseOpen
from prometheus_client.parser import text_string_to_metric_families as parseText
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from zope.interface import alsoProvides, noLongerProvides

import msgserver
from msgserver.errors import GateStatus, LoginStatus
from msgserver.gatecounts import LogoutReason
from msgserver.handlers.agents import EVENTS
from msgserver.histograms import AWAY_BOUNDS
from msgserver.interfaces import ICounts
from msgserver.limits import LoginFailures
from msgserver.loginprotocol import LoginFactory, LoginLimits
from msgserver.loginservice import LoginService
from msgserver.metrics import HANDSHAKE_RESULTS, LOGIN_RESULTS, makeRegistry
from msgserver.msgprotocol import GateLimits
from msgserver.remote.door import ControlFactory, Keys
from msgserver.remote.gates import ControlRealm
from msgserver.remote.link import LinkTimes
from msgserver.remote.servers import GateKey, LoginServers
from msgserver.testing import MemoryTransport
from msgserver.watched import CONTROL_LIMITS, GATE_LIMITS, LOGIN_LIMITS, Watched
from msgserver.wire.classic import ClassicSuite
from msgserver.wire.gate import GateClient
from tests.gates import ONE, SECRET, TWO, Client, GateCase
from tests.test_opsserver import OpsCase

PACKAGE = Path(msgserver.__file__).parent


def samplesOf(registry: CollectorRegistry) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Read the metrics as Prometheus does: each sample's name, its labels, its value."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in parseText(generate_latest(registry).decode()):
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in series, (sample.name, labels)
            series[labels] = sample.value
    return found


class WatchedCase(GateCase):
    """
    A gate, a login server with it, and the links of both: all that there may be in a process.

    @ivar watched: all of it.
    @ivar listening: whether its ports are open.
    """

    gateLimits = GateLimits(requestRate=1000.0)

    def setUp(self) -> None:
        super().setUp()
        clock = self.clock
        self.loginService = LoginService(self.handler, clock)  # type: ignore[arg-type]  # not asked
        times = LinkTimes()
        realm = ControlRealm(self.loginService, self.loginService.operations, clock, times, 5.0)
        self.control = ControlFactory(realm, Keys({}), clock, 10, times)
        self.loginPort = LoginFactory(
            self.loginService, clock, [ClassicSuite()], LoginLimits(maxclient=2)
        )
        server = TCP4ClientEndpoint(MemoryReactorClock(), "a", 1)
        self.servers = LoginServers(
            GateKey(b"gate sample", b"key"),
            [("tcp:a:1", server), ("tcp:b:1", server)],
            clock,
            times,
        )
        self.failures = LoginFailures(clock)
        self.listening = True
        alsoProvides(self.handler, ICounts)
        self.events = dict.fromkeys(EVENTS, 0)
        self.handler.counts = lambda: self.events  # type: ignore[attr-defined]  # a handler that counts
        self.watched = Watched(
            gate=self.service,
            gatePort=self.factory,
            servers=self.servers,
            operations=self.loginService.operations,
            loginPort=self.loginPort,
            failures=self.failures,
            control=self.control,
            servernames=["sample", "other"],
            isListening=lambda: self.listening,
        )
        self.registry = makeRegistry(self.watched, "1.2.3")

    def values(self, name: str) -> dict[str, float]:
        """Give the values of one metric, by the values of its labels."""
        series = samplesOf(self.registry)[name]
        return {",".join(value for _, value in labels): value for labels, value in series.items()}

    def value(self, name: str) -> float:
        """Give the value of a metric without labels."""
        (value,) = samplesOf(self.registry)[name].values()
        return value

    def assertCounted(self, name: str, counts: Mapping[str, float]) -> None:
        """See what of a metric is not 0."""
        counted = {labels: value for labels, value in self.values(name).items() if value}
        self.assertEqual(counted, counts)


class FromTheStartTests(WatchedCase):
    """What there is before anything has happened."""

    def test_series(self) -> None:
        """Each series that can be is there at 0, so that a first event is a rate."""
        limits = {"login": LOGIN_LIMITS, "gate": GATE_LIMITS, "control": CONTROL_LIMITS}
        for name, labels in {
            "msgserver_login_attempts_total": LOGIN_RESULTS,
            "msgserver_handshakes_total": HANDSHAKE_RESULTS,
            "msgserver_answers_total": ["0", "1"],
            "msgserver_bytes_total": ["in", "out"],
            "msgserver_logouts_total": [reason.value for reason in LogoutReason],
            "msgserver_connections": ["login", "gate", "control"],
            "msgserver_strangers": ["login", "gate", "control"],
            "msgserver_limit_hits_total": [
                f"{limit},{port}" for port in limits for limit in limits[port]
            ],
            "msgserver_link_up": ["tcp:a:1", "tcp:b:1"],
            "msgserver_gates": [
                f"{name},{state}"
                for name in ("sample", "other")
                for state in ("open", "late", "draining")
            ],
            "msgserver_handler_events_total": EVENTS,
            "msgserver_logins": [""],
            "msgserver_requests_total": [""],
            "msgserver_replays_total": [""],
            "msgserver_requests_running": [""],
            "msgserver_link_refusals_total": [""],
        }.items():
            self.assertEqual(self.values(name), dict.fromkeys(labels, 0.0), name)

    def test_info(self) -> None:
        """Which msgserver it is."""
        (labels,) = samplesOf(self.registry)["msgserver_info"]
        self.assertEqual(dict(labels)["version"], "1.2.3")
        self.assertIn(dict(labels)["sessions"], ("compiled", "interpreted"))

    def test_histograms(self) -> None:
        """Each bound is there, and what is above all of them."""
        for name in ("msgserver_reconnect_gap_seconds", "msgserver_drop_to_answer_seconds"):
            bounds = [float(bound) for bound in self.values(f"{name}_bucket")]
            self.assertEqual(bounds, [*AWAY_BOUNDS, float("inf")])
            self.assertEqual((self.value(f"{name}_sum"), self.value(f"{name}_count")), (0, 0))

    def test_process(self) -> None:
        """Those of the process, and of Python's garbage collector, are there, too."""
        names = samplesOf(self.registry)
        self.assertIn("process_cpu_seconds_total", names)
        self.assertIn("python_gc_collections_total", names)

    def test_formats(self) -> None:
        """Both formats are right, and every metric says what it is."""
        for family in parseText(generate_latest(self.registry).decode()):
            self.assertRegex(family.documentation, r"\A[A-Z].*", family.name)
        names = [family.name for family in parseOpen(generateOpenMetrics(self.registry).decode())]
        self.assertEqual(len(names), len(set(names)))

    def test_statuses(self) -> None:
        """All that a client can be told is there."""
        for statuses, results in ((GateStatus, HANDSHAKE_RESULTS), (LoginStatus, LOGIN_RESULTS)):
            told = {status.value[:3].decode() for status in statuses}
            self.assertLessEqual(told - {"300"}, set(results))

    def test_everyLimit(self) -> None:
        """All that is counted as a limit that was hit is there: no name stands anywhere else."""
        known = {*LOGIN_LIMITS, *GATE_LIMITS, *CONTROL_LIMITS}
        found = set()
        for file in PACKAGE.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("hits"):
                    if isinstance(node.slice, ast.Constant):
                        found.add(node.slice.value)
        self.assertIn("line", found)
        self.assertLessEqual(found, known)

    def test_handlerDoesNotCount(self) -> None:
        """A handler need not count anything."""
        noLongerProvides(self.handler, ICounts)
        names = samplesOf(self.registry)
        self.assertNotIn("msgserver_handler_events_total", names)
        self.assertIn("msgserver_logins", names)

    def test_handlerFailsToCount(self) -> None:
        """One that cannot count takes nothing from the rest, and that is logged."""
        for wrong in (None, {"odd": "many"}):
            self.events = wrong  # type: ignore[assignment]  # what a handler may do
            names = samplesOf(self.registry)
            self.assertNotIn("msgserver_handler_events_total", names)
            self.assertIn("msgserver_logins", names)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError, ValueError)), 2)

    def test_missing(self) -> None:
        """What there is none of in a process is not told of."""
        names = set(samplesOf(makeRegistry(Watched(), "1")))
        self.assertEqual({name for name in names if "msgserver" in name}, {"msgserver_info"})
        names = set(samplesOf(makeRegistry(Watched(gatePort=self.factory), "1")))
        self.assertIn("msgserver_handshakes_total", names)
        self.assertNotIn("msgserver_logins", names)


class CountingTests(WatchedCase):
    """What is told once something has happened."""

    def test_handler(self) -> None:
        """What the handler counts is read when it is asked for."""
        self.events["saves"] += 3
        self.assertCounted("msgserver_handler_events_total", {"saves": 3})

    def test_requests(self) -> None:
        """Requests and their answers, those that are running, and those sent again."""
        user = self.login()
        client = self.connect(user)
        client.ask(ONE, b"hello")
        client.ask(TWO, b"refuse:no")
        client.ask(b"\x00\x00\x00\x03", b"later:x")
        self.assertEqual(self.value("msgserver_requests_total"), 3)
        self.assertEqual(self.value("msgserver_requests_running"), 1)
        self.assertCounted("msgserver_answers_total", {"1": 1, "0": 1})
        sent = self.values("msgserver_bytes_total")
        self.assertEqual(sent["out"], (2 + 5 + 5) + (2 + 2 + 5))
        self.assertEqual(self.value("msgserver_logins"), 1)
        client.lose()
        self.connect(user, 2).ask(ONE, b"hello")
        self.assertEqual(self.value("msgserver_replays_total"), 1)
        self.assertEqual(self.value("msgserver_requests_total"), 3)

    def test_connections(self) -> None:
        """Connections, strangers among them, what comes of handshakes, and limits."""
        user = self.login()
        self.connect(user)
        stranger = Client(self.factory)
        self.assertCounted("msgserver_connections", {"gate": 2})
        self.assertCounted("msgserver_strangers", {"gate": 1})
        stranger.send(GateClient(user, SECRET, 1).hello)
        self.assertCounted("msgserver_handshakes_total", {"200": 1, "403": 1})
        for _ in range(3):
            transport = MemoryTransport()
            transport.connect(self.loginPort.buildProtocol(None))
        self.assertCounted("msgserver_limit_hits_total", {"maxclient,login": 1})
        self.assertCounted("msgserver_login_attempts_total", {"limit": 1})

    def test_sharedLimits(self) -> None:
        """What is counted elsewhere is counted with its port."""
        self.failures.hits["free_failures"] += 2
        assert self.factory.rate is not None
        self.factory.rate.hits["request_rate"] += 3
        self.assertCounted(
            "msgserver_limit_hits_total", {"free_failures,login": 2, "request_rate,gate": 3}
        )

    def test_away(self) -> None:
        """How long clients are away, cumulative as Prometheus has it; why logins end."""
        user = self.login()
        self.connect(user, 1).lose()
        self.clock.advance(0.3)
        self.connect(user, 2)
        buckets = self.values("msgserver_reconnect_gap_seconds_bucket")
        self.assertEqual((buckets["0.25"], buckets["0.5"], buckets["+Inf"]), (0, 1, 1))
        self.assertEqual(self.value("msgserver_reconnect_gap_seconds_sum"), 0.3)
        self.handler.gate.logout(user)
        self.assertCounted("msgserver_logouts_total", {"logout": 1})

    def test_gates(self) -> None:
        """Gates by their states, and the logins of each."""
        self.successResultOf(self.loginService.register(self.service, self.service.describe))
        self.assertCounted("msgserver_gates", {"sample,open": 1})
        self.assertEqual(
            self.values("msgserver_directory_logins"), {"sample@gate.example.org:8888": 0}
        )
        self.successResultOf(self.loginService.draining(self.service, True))
        self.assertCounted("msgserver_gates", {"sample,draining": 1})

    def test_unknownGate(self) -> None:
        """A gate that no config names has its states, too."""
        self.watched = Watched(operations=self.loginService.operations)
        self.registry = makeRegistry(self.watched, "1")
        self.successResultOf(self.loginService.register(self.service, self.service.describe))
        self.assertEqual(len(self.values("msgserver_gates")), 3)

    def test_links(self) -> None:
        """The link to each login server."""
        self.servers._servers[0].isUp = True
        self.assertCounted("msgserver_link_up", {"tcp:a:1": 1})

    def test_neverFalls(self) -> None:
        """No counter falls when a login ends."""
        user = self.login()
        client = self.connect(user)
        client.ask(ONE, b"hello")
        before = samplesOf(self.registry)
        client.lose()
        self.handler.gate.logout(user)
        after = samplesOf(self.registry)
        for name, series in before.items():
            if name.startswith("msgserver_") and name.endswith("_total"):
                for labels, value in series.items():
                    self.assertGreaterEqual(after[name][labels], value, name)


class ReadyTests(WatchedCase):
    """Whether new users should be sent to a process."""

    def test_ready(self) -> None:
        """Once its ports are open, and a login server has the gate, until it drains."""
        self.servers._servers[0].isUp = True
        self.listening = False
        self.assertEqual(self.watched.notReady(), "not all ports are open")
        self.listening = True
        self.assertIsNone(self.watched.notReady())
        self.servers._servers[0].isUp = False
        self.assertEqual(self.watched.notReady(), "the gate is registered with no login server")
        self.servers._servers[0].isUp = True
        self.service.setDraining(True)
        self.assertEqual(self.watched.notReady(), "the gate takes no new logins")
        self.service.setDraining(False)
        self.assertIsNone(self.watched.notReady())
        self.stop()
        self.assertEqual(self.watched.notReady(), "the gate takes no new logins")

    def test_missing(self) -> None:
        """What there is none of does not count."""
        self.assertIsNone(Watched().notReady())
        self.assertIsNone(Watched(operations=self.loginService.operations).notReady())


class PageTests(OpsCase):
    """The metrics on their page."""

    def test_page(self) -> None:
        """They are served as they are."""
        self.factory._registry = makeRegistry(Watched(), "1.2.3")
        self.assertIn(b'version="1.2.3"', self.ask("/metrics")[2])
