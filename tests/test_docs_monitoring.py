"""
docs/monitoring.md says what is so: its metrics are those that there are, and so are its events.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from twisted.logger import capturedLogs

from msgserver.jsonlog import formatAsJSON
from tests.pages import ROOT, blocksOf, read, tables
from tests.test_grafana import QueriesCase
from tests.test_metrics import PACKAGE

PAGE = "docs/monitoring.md"


def named(cell: str) -> list[str]:
    """Give what a cell names."""
    return re.findall(r"`([^`]+)`", cell)


class MetricsTests(QueriesCase):
    """The table of the metrics."""

    def test_table(self) -> None:
        """It has all of them, and of each its kind and its labels."""
        kinds = {
            family.name: family.type
            for family in text_string_to_metric_families(generate_latest(self.registry).decode())
        }
        shown = {}
        for name, kind, labels, _ in tables(PAGE, "## Metrics"):
            (metric,) = named(name)
            shown[metric] = labels
            self.assertEqual(kinds[metric.removesuffix("_total")], kind, metric)
        self.assertEqual(set(shown), self.ours())
        for metric, labels in shown.items():
            series = f"{metric}_sum" if f"{metric}_sum" in self.series else metric
            have = {name for each in self.series[series] for name, _ in each}
            self.assertEqual(set(named(labels)), have, metric)

    def test_values(self) -> None:
        """The values that it names of a label are those that there are."""
        for metric, label in (
            ("msgserver_logouts_total", "reason"),
            ("msgserver_gates", "state"),
            ("msgserver_bytes_total", "direction"),
            ("msgserver_answers_total", "flag"),
            ("msgserver_connections", "port"),
        ):
            (row,) = (row for row in tables(PAGE, "## Metrics") if row[0] == f"`{metric}`")
            self.assertEqual(set(named(row[3])), self.valuesOf(metric, label), metric)

    def test_scraping(self) -> None:
        """Prometheus is told the port of the defaults, and the name that the alerts go by."""
        (block,) = blocksOf("yaml")
        self.assertIn("job_name: msgserver\n", block.code)
        self.assertIn('job="msgserver"', (ROOT / "examples/alerts.yaml").read_text())
        (row,) = (row for row in tables("docs/running.md", "### [ops]") if row[0] == "`port`")
        self.assertIn(f'["127.0.0.1:{row[1].strip("`")}"]', block.code)
        self.assertIn(
            f"by default {row[1].strip('`')} on this machine", read(PAGE).replace("\n", " ")
        )


class EventsTests(QueriesCase):
    """The table of the events."""

    def emitted(self) -> Iterator[tuple[str, set[str]]]:
        """Find each event that something here logs, and its fields."""
        for file in sorted(PACKAGE.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                keywords = {each.arg: each.value for each in node.keywords if each.arg}
                names = [
                    each.value
                    for each in ast.walk(keywords.get("event", ast.Pass()))
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                ]
                for name in names:
                    yield name, set(keywords)

    def test_table(self) -> None:
        """It has all of them, and each has the fields that it says, wherever it is logged."""
        shown = {
            named(row[0])[0]: set(named(row[2])) for row in tables(PAGE, "## A log for machines")
        }
        seen = set()
        for name, fields in self.emitted():
            self.assertIn(name, shown)
            self.assertLessEqual(shown[name], fields, name)
            seen.add(name)
        self.assertEqual(set(shown), seen)

    def test_line(self) -> None:
        """The line that is shown is what the event is written as."""
        (block,) = blocksOf("json")
        shown = json.loads(block.code)
        user = self.login()
        with capturedLogs() as events:
            self.handler.gate.logout(user)
        (event,) = (event for event in events if event.get("event") == "logout")
        self.assertEqual(list(shown), list(json.loads(formatAsJSON(event) or "")))
