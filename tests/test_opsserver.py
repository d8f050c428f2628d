"""
L{msgserver.opsserver}: three pages, and no more than that is given away.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from msgserver.opsserver import Health, OpsFactory
from msgserver.testing import MemoryTransport


class One(Collector):
    """Tells one number, unless it fails."""

    isBroken = False

    def describe(self) -> Iterable[Metric]:
        """Name nothing."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Tell it."""
        if self.isBroken:
            raise ZeroDivisionError("a secret")
        yield GaugeMetricFamily("one", "One.", 1)


class Client(MemoryTransport):
    """A connection, and the server's end of it."""

    protocol: Any


class OpsCase(SynchronousTestCase):
    """The pages, in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.collector = One()
        self.reason: str | None = None
        registry = CollectorRegistry()
        registry.register(self.collector)
        health = Health("1.2.3", "26.10.0", "sessions: compiled")
        self.factory = OpsFactory(registry, lambda: self.reason, health, self.clock, maxclient=3)
        self.factory.doStart()
        self.addCleanup(self.factory.doStop)

    def connect(self) -> Client:
        """Open a connection."""
        client = Client()
        client.protocol = self.factory.buildProtocol(None)
        client.connect(client.protocol)
        return client

    def send(self, data: bytes) -> Client:
        """Send something, on a connection of its own."""
        transport = self.connect()
        transport.protocol.dataReceived(data)
        return transport

    def ask(
        self, path: str, method: str = "GET", *headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask for a page; give the status, the headers and the body."""
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]
        transport = self.send("\r\n".join(lines).encode())
        self.assertTrue(transport.disconnecting)
        answer = transport.take()
        transport.lose()
        return parse(answer)


def parse(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Take an answer apart."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("ascii").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), {name.lower(): text for name, text in headers.items()}, body


class PagesTests(OpsCase):
    """What is told."""

    def test_metrics(self) -> None:
        """The metrics, as text unless asked for otherwise."""
        code, headers, body = self.ask("/metrics")
        self.assertEqual(code, 200)
        self.assertTrue(headers["content-type"].startswith("text/plain; version="))
        self.assertEqual(body, b"# HELP one One.\n# TYPE one gauge\none 1.0\n")

    def test_openMetrics(self) -> None:
        """They are in the newer format for who asks for it, as Prometheus does."""
        accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5"
        _, headers, body = self.ask("/metrics", "GET", accept)
        self.assertIn("application/openmetrics-text", headers["content-type"])
        (family,) = text_string_to_metric_families(body.decode())
        self.assertEqual([each.value for each in family.samples], [1.0])

    def test_query(self) -> None:
        """What is behind the path is no matter."""
        self.assertEqual(self.ask("/metrics?name[]=x")[0], 200)

    def test_healthz(self) -> None:
        """The process answers, and which it is; also as JSON."""
        code, headers, body = self.ask("/healthz")
        self.assertEqual((code, headers["content-type"]), (200, "text/plain; charset=utf-8"))
        self.assertEqual(body, b"ok: msgserver 1.2.3, Twisted 26.10.0, sessions: compiled\n")
        code, headers, body = self.ask("/healthz", "GET", "Accept: application/json")
        self.assertEqual((code, headers["content-type"]), (200, "application/json"))
        expected = {"status": "ok", "version": "1.2.3", "twisted": "26.10.0"}
        self.assertEqual(json.loads(body), {**expected, "sessions": "compiled"})

    def test_readyz(self) -> None:
        """Whether new users should be sent here, and if not, why."""
        self.assertEqual(self.ask("/readyz")[::2], (200, b"ready\n"))
        self.reason = "no link"
        self.assertEqual(self.ask("/readyz")[::2], (503, b"not ready: no link\n"))
        code, _, body = self.ask("/readyz", "GET", "Accept: application/json")
        self.assertEqual(
            (code, json.loads(body)), (503, {"status": "not ready", "reason": "no link"})
        )
        # It is alive all the same.
        self.assertEqual(self.ask("/healthz")[0], 200)

    def test_head(self) -> None:
        """Who asks for the head gets what he would get, but for the body."""
        code, headers, body = self.ask("/healthz", "HEAD")
        self.assertEqual((code, body), (200, b""))
        self.assertEqual(int(headers["content-length"]), len(self.ask("/healthz")[2]))

    def test_others(self) -> None:
        """There is nothing else, and nothing to be done."""
        for path in ("/", "/metrics/", "/metrics/x", "//metrics", "/%6detrics", "*", "/readyz%00"):
            self.assertEqual(self.ask(path)[::2], (404, b"not found\n"), path)
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "X"):
            code, headers, _ = self.ask("/metrics", method)
            self.assertEqual((code, headers["allow"]), (405, "GET, HEAD"))
            self.assertEqual(self.ask("/", method)[0], 404)

    def test_headers(self) -> None:
        """Nothing tells what serves it; nobody keeps it; it is the one answer."""
        for path in ("/metrics", "/healthz", "/readyz", "/"):
            _, headers, body = self.ask(path)
            self.assertEqual(
                headers,
                {
                    "content-type": headers["content-type"],
                    "content-length": str(len(body)),
                    "cache-control": "no-store",
                    "x-content-type-options": "nosniff",
                    "connection": "close",
                },
            )

    def test_failure(self) -> None:
        """What goes wrong is logged, and nothing of it is told."""
        self.collector.isBroken = True
        self.assertEqual(self.ask("/metrics")[::2], (500, b"it failed: the log says why\n"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_notLogged(self) -> None:
        """A request is no line of the log, whatever comes of it."""
        with capturedLogs() as events:
            self.ask("/metrics")
            self.ask("/nothing")
            self.send(b"nonsense\r\n\r\n")
        self.assertEqual(events, [])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)


class BoundsTests(OpsCase):
    """What is not put up with."""

    def test_maxclient(self) -> None:
        """One connection too many is closed at once, and counted; then there is room again."""
        first, *_ = [self.connect() for _ in range(3)]
        extra = self.connect()
        self.assertTrue(extra.disconnected)
        self.assertEqual(self.factory.limits.hits["maxclient"], 1)
        extra.lose()
        first.lose()
        self.assertEqual(self.ask("/healthz")[0], 200)

    def test_slow(self) -> None:
        """Who is slow is closed, at whatever: a line, the head, or reading the answer."""
        for begun in (b"", b"GET /me", b"GET /metrics HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n\r\n"):
            transport = self.send(begun)
            for number in range(9):
                self.clock.advance(1)
                if not transport.disconnecting:
                    transport.protocol.dataReceived(b"X: %d\r\n" % number)
            self.assertFalse(transport.disconnected)
            self.clock.advance(1)
            self.assertTrue(transport.disconnected)
            transport.lose()
        self.assertEqual(len(self.factory.limits), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_large(self) -> None:
        """A line or a head that is too large is refused, and read no further."""
        for data in (
            b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: " + b"x" * 20000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 100 + b"\r\n",
            b"GET / HTTP/1.1\r\n" + (b"X: " + b"x" * 1000 + b"\r\n") * 20 + b"\r\n",
        ):
            transport = self.send(data)
            self.assertTrue(transport.disconnecting or transport.disconnected)
            self.assertNotIn(b" 200 ", transport.take())

    def test_body(self) -> None:
        """A body is refused, of whatever length, and kept nowhere."""
        for header, body in (
            (b"Content-Length: 5", b"12345"),
            (b"Content-Length: 5000000000", b"x" * 10000),
            (b"Transfer-Encoding: chunked", b"5\r\n12345\r\n"),
        ):
            head = b"POST /metrics HTTP/1.1\r\n" + header + b"\r\n\r\n"
            transport = self.send(head + body)
            answer = transport.take()
            self.assertEqual(parse(answer)[0], 413)
            self.assertEqual(answer.count(b"HTTP/1.1"), 1)
            self.assertTrue(transport.disconnecting)
            transport.lose()

    def test_pipelined(self) -> None:
        """There is one answer a connection, however much is asked."""
        transport = self.send(b"GET /healthz HTTP/1.1\r\n\r\n" * 100)
        self.assertEqual(transport.take().count(b"HTTP/1.1 200"), 1)
        self.assertTrue(transport.disconnecting)

    def test_nonsense(self) -> None:
        """What is no HTTP is no page."""
        for data in (b"\x16\x03\x01\r\n\r\n", b"GET /metrics\r\n\r\n", b"\r\n" * 50):
            self.assertNotIn(b"one 1.0", self.send(data).take())
