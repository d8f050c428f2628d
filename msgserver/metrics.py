"""
What Prometheus is told of a process: plain numbers that are there anyway, read when it asks.

Nothing is counted for it on the way of a request. No label's values are a stranger's to choose,
and those of every counter are there from the start, at 0, so that rates are right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from msgserver.compiled import isCompiled
from msgserver.gatecounts import GateCounts
from msgserver.histograms import Histogram
from msgserver.msgservice import MsgService
from msgserver.operations import GateState, Operations
from msgserver.watched import Watched

_ENDS = ("timeout", "malformed", "lost", "limit")

LOGIN_RESULTS = ("200", "401", "403", "406", *_ENDS)
"""What comes of a login's connection: the status that the client was told, or its end."""

HANDSHAKE_RESULTS = ("200", "400", "401", "403", "404", *_ENDS)
"""And of a gate connection's handshake."""


def makeRegistry(watched: Watched, version: str) -> CollectorRegistry:
    """
    Make what can be asked for all metrics: ours, those of the process, and of its collector.

    @param version: of msgserver.
    """
    registry = CollectorRegistry()
    registry.register(WatchedCollector(watched, version))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class WatchedCollector(Collector):
    """Reads the numbers of a process."""

    def __init__(self, watched: Watched, version: str) -> None:
        self._watched = watched
        self._version = version

    def describe(self) -> Iterable[Metric]:
        """Name no metrics before they are asked for."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Read all of them."""
        watched = self._watched
        sessions = "compiled" if isCompiled else "interpreted"
        yield InfoMetricFamily(
            "msgserver",
            "Which msgserver this is, and how its sessions run.",
            {"version": self._version, "sessions": sessions},
        )
        yield from _ofPorts(watched)
        if watched.loginPort is not None:
            yield _counts(
                "msgserver_login_attempts",
                "Connections of clients to the login port, by what has come of them.",
                "result",
                _whole(LOGIN_RESULTS, watched.loginPort.outcomes),
            )
        if watched.gatePort is not None:
            yield _counts(
                "msgserver_handshakes",
                "Connections of clients to the gate's port, by what has come of the handshake.",
                "result",
                _whole(HANDSHAKE_RESULTS, watched.gatePort.handshakes),
            )
        if watched.gate is not None:
            yield from _ofGate(watched.gate)
            yield from _ofLogins(watched.gate.counts)
        if watched.servers is not None:
            up = GaugeMetricFamily(
                "msgserver_link_up",
                "Whether the gate is registered with a login server in another process.",
                labels=["server"],
            )
            for server, isUp in watched.servers.links():
                up.add_metric([server], float(isUp))
            yield up
        if watched.operations is not None:
            yield from _ofDirectory(watched.operations, watched.servernames)
        if watched.control is not None:
            yield CounterMetricFamily(
                "msgserver_link_refusals",
                "Gates and operators that were refused: unknown, or with a wrong key.",
                watched.control.refused,
            )


def _ofPorts(watched: Watched) -> Iterator[Metric]:
    connections = GaugeMetricFamily(
        "msgserver_connections", "Connections that are open, by the port.", labels=["port"]
    )
    strangers = GaugeMetricFamily(
        "msgserver_strangers",
        "Those of them that have not proved who they are.",
        labels=["port"],
    )
    hits = CounterMetricFamily(
        "msgserver_limit_hits",
        "How often a limit was hit, by the port and the limit's key in the config.",
        labels=["port", "limit"],
    )
    for port in watched.ports():
        connections.add_metric([port.name], len(port.limits))
        strangers.add_metric([port.name], port.limits.strangers)
        counted = dict.fromkeys(port.names, 0)
        for counter in port.hits:
            for limit, count in counter.items():
                counted[limit] = counted.get(limit, 0) + count
        for limit, count in counted.items():
            hits.add_metric([port.name, limit], count)
    yield from (connections, strangers, hits)


def _ofGate(gate: MsgService) -> Iterator[Metric]:
    tally = gate.tally()
    yield GaugeMetricFamily(
        "msgserver_logins",
        "Logins that the gate has, those among them whose users are away.",
        gate.current.logins,
    )
    yield CounterMetricFamily(
        "msgserver_requests", "Requests that were given to the handler.", tally.requests
    )
    yield _counts(
        "msgserver_answers",
        "Answers to requests: flag 1, or flag 0 where the request failed.",
        "flag",
        {"1": tally.answered, "0": tally.failed},
    )
    yield CounterMetricFamily(
        "msgserver_replays", "Answers that were kept and sent again.", tally.replayed
    )
    yield GaugeMetricFamily(
        "msgserver_requests_running", "Requests that the handler is at.", tally.running
    )
    yield _counts(
        "msgserver_bytes",
        "Bytes of requests (in) and answers (out).",
        "direction",
        {"in": tally.bytesIn, "out": tally.bytesOut},
    )
    if counts := gate.handlerCounts():
        yield _counts(
            "msgserver_handler_events",
            "What the handler itself counts, by what it calls it.",
            "event",
            counts,
        )


def _ofLogins(counts: GateCounts) -> Iterator[Metric]:
    yield _counts(
        "msgserver_logouts",
        "Logins that have ended, by why.",
        "reason",
        {reason.value: count for reason, count in counts.logouts.items()},
    )
    yield _histogram(
        "msgserver_reconnect_gap_seconds",
        "From the loss of a login's connection to its next handshake.",
        counts.reconnectGap,
    )
    yield _histogram(
        "msgserver_drop_to_answer_seconds",
        "From the loss of a login's connection to the first answer on its next one.",
        counts.dropToAnswer,
    )


def _ofDirectory(operations: Operations, servernames: Sequence[str]) -> Iterator[Metric]:
    gates = GaugeMetricFamily(
        "msgserver_gates",
        "Gates that are registered, by their server name and state.",
        labels=["servername", "state"],
    )
    logins = GaugeMetricFamily(
        "msgserver_directory_logins",
        "Logins that the login server knows of, by the gate that has them.",
        labels=["gate"],
    )
    reports = operations.states()
    counted = {(name, state): 0 for name in servernames for state in GateState}
    for report in reports:
        for state in GateState:
            counted.setdefault((report.server, state), 0)
        counted[report.server, report.state] += 1
        logins.add_metric([report.name], report.logins)
    for (name, state), count in counted.items():
        gates.add_metric([name, state.value], count)
    yield from (gates, logins)


def _whole(names: Sequence[str], counts: Mapping[str, int]) -> dict[str, int]:
    """Add the names of what has not happened yet."""
    return {**dict.fromkeys(names, 0), **counts}


def _counts(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, map(float, histogram.cumulative()), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.sum)
