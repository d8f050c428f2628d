"""
A real server tells how it is: over HTTP, to whoever asks as Prometheus and load balancers do.
"""

from __future__ import annotations

import json
import re
import signal
from http.client import HTTPConnection
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from threading import Thread

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from tests.endtoend.processes import PATIENCE, Gate, Server, login, token, waitUntil
from tests.endtoend.test_server import CONFIG, userOf

OPS = """
[ops]
listen = ["tcp:0:interface=127.0.0.1"]
"""

_LISTENING = re.compile(r"(login|gate|ops): listening on 127\.0\.0\.1:(\d+)$", re.MULTILINE)


class OpsTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        self.server = Server(folder, CONFIG + OPS)
        self.addCleanup(self.server.__exit__, None, None, None)
        waitUntil(lambda: len(_LISTENING.findall(self.server.log)) == 3, "all ports are open")
        self.ports = {name: int(port) for name, port in _LISTENING.findall(self.server.log)}

    def ask(self, path: str, method: str = "GET", accept: str = "*/*") -> tuple[int, str]:
        """Ask for a page; give its status and its text."""
        connection = HTTPConnection("127.0.0.1", self.ports["ops"], timeout=PATIENCE)
        connection.request(method, path, headers={"Accept": accept})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text

    def metric(self, name: str, **labels: str) -> float:
        """Give the value of a metric."""
        status, text = self.ask("/metrics")
        self.assertEqual(status, 200)
        (value,) = (
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )
        return value

    def test_whole(self) -> None:
        """From a first login to the shutdown, which it says while it drains."""
        self.assertEqual(self.ask("/readyz"), (200, "ready\n"))
        status, text = self.ask("/healthz", accept="application/json")
        self.assertEqual((status, json.loads(text)["status"]), (200, "ok"))
        self.assertEqual(self.ask("/")[0], 404)
        self.assertEqual(self.ask("/metrics", "POST")[0], 405)
        admitted = login(self.ports["login"], token("alice", "password"))
        user = userOf(b"alice", admitted)
        gate = Gate(self.ports["gate"], user, admitted.secret, 1)
        self.assertEqual(gate.ask(1, b"run:a"), b"ran a")
        gate.cut()
        again = Gate(self.ports["gate"], user, admitted.secret, 2)
        self.addCleanup(again.close)
        self.assertEqual(again.ask(1, b"run:a"), b"ran a")
        self.assertEqual(self.metric("msgserver_login_attempts_total", result="200"), 1)
        self.assertEqual(self.metric("msgserver_handshakes_total", result="200"), 2)
        self.assertEqual(self.metric("msgserver_requests_total"), 1)
        self.assertEqual(self.metric("msgserver_replays_total"), 1)
        self.assertEqual(self.metric("msgserver_reconnect_gap_seconds_count"), 1)
        self.assertEqual(self.metric("msgserver_drop_to_answer_seconds_count"), 1)
        self.assertEqual(self.metric("msgserver_gates", servername="sample", state="open"), 1)
        self.assertGreater(self.metric("process_resident_memory_bytes"), 1e6)
        again.send(2, b"slow:1500:b")
        waitUntil(lambda: self.metric("msgserver_requests_running") == 1, "it runs")
        stopping = Thread(target=self.server.stop)
        stopping.start()
        self.addCleanup(stopping.join)
        # The same port says that it drains, for as long as it does.
        waitUntil(lambda: self.ask("/readyz")[0] == 503, "it is not ready any more")
        self.assertEqual(again.answer(), (2, 1, b"ran b"))
        stopping.join()
        self.assertEqual(self.server.process.returncode, -signal.SIGTERM)
        self.assertNotIn("Traceback", self.server.log)
        self.assertNotIn("/metrics", self.server.log)
