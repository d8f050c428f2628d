"""
The dashboard and the alerts of the examples ask for metrics that there are, by labels they have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from tests.pages import ROOT
from tests.test_metrics import WatchedCase, samplesOf

SCRAPED = {"job", "instance"}
"""The labels that Prometheus itself adds."""

OTHERS = {"up": set[str]()}
"""The metrics that Prometheus itself makes."""

_STRING = r'"(?:[^"\\]|\\.)*"'
_SELECTOR = re.compile(rf"(?<![\w.])([a-zA-Z_:][\w:]*)\s*(\{{(?:[^}}\"]|{_STRING})*\}})?")
_MATCHER = re.compile(rf"(\w+)\s*(=~|!~|!=|=)\s*({_STRING})")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_WORDS = {"by", "without", "on", "ignoring", "and", "or", "unless", "offset", "bool"}
_LEGEND = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")


@frozen
class Selector:
    """A metric that a query asks for, and what the labels of its series must be."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]


def selectorsOf(query: str) -> list[Selector]:
    """Find the metrics of a PromQL query."""
    plain = _GROUPING.sub(" ", re.sub(r"\[[^\]]*\]", " ", query))
    found = []
    for match in _SELECTOR.finditer(plain):
        name, matchers = match.groups()
        isFunction = plain[match.end() :].lstrip().startswith("(") and not matchers
        if name not in _WORDS and not isFunction:
            parts = tuple(
                (label, operator, json.loads(text))
                for label, operator, text in _MATCHER.findall(matchers or "")
            )
            found.append(Selector(name, parts))
    return found


def groupingsOf(query: str) -> set[str]:
    """Find the labels that a query groups by."""
    return {label.strip() for labels in _GROUPING.findall(query) for label in labels.split(",")}


class SelectorsTests(WatchedCase):
    """The reading of queries itself."""

    def test_selectors(self) -> None:
        """Metrics are told from functions, words, numbers and labels."""
        query = 'sum by (a, b) (rate(one_total{c=~"x|}(y)", d="e"}[5m])) / on (f) max(two) > 1e3'
        self.assertEqual(
            selectorsOf(query),
            [Selector("one_total", (("c", "=~", "x|}(y)"), ("d", "=", "e"))), Selector("two", ())],
        )
        self.assertEqual(groupingsOf(query), {"a", "b", "f"})


class QueriesCase(WatchedCase):
    """Queries against what C{/metrics} gives."""

    def setUp(self) -> None:
        super().setUp()
        # So that there is a series of each metric.
        self.successResultOf(self.loginService.register(self.service, self.service.describe))
        self.series = samplesOf(self.registry)

    def labelsOf(self, metric: str) -> set[str]:
        """Tell the labels of a metric, those that Prometheus adds included."""
        if metric in OTHERS:
            return SCRAPED | OTHERS[metric]
        self.assertIn(metric, self.series)
        return SCRAPED | {name for labels in self.series[metric] for name, _ in labels}

    def assertRight(self, query: str) -> None:
        """See that a query may have a result."""
        self.assertEqual(query.count("("), query.count(")"), query)
        selectors = selectorsOf(query)
        self.assertNotEqual(selectors, [], query)
        for selector in selectors:
            known = self.labelsOf(selector.metric)
            for label, operator, text in selector.matchers:
                self.assertIn(label, known, query)
                if label not in SCRAPED:
                    self.assertIn(operator, ("=", "=~"), query)
                    values = self.valuesOf(selector.metric, label)
                    self.assertLessEqual(set(text.split("|")), values, query)
            self.assertLessEqual(groupingsOf(query), known, query)

    def valuesOf(self, metric: str, label: str) -> set[str]:
        """Tell the values of a label."""
        return {dict(labels)[label] for labels in self.series[metric]}

    def assertShown(self, query: str, text: str) -> None:
        """See that the labels that a text shows are there in what the query gives."""
        shown = set(_LEGEND.findall(text))
        left = groupingsOf(query)
        if re.match(r"(sum|max|min|avg|count)\b", query):
            self.assertLessEqual(shown, left, query)
        else:
            for selector in selectorsOf(query):
                self.assertLessEqual(shown, self.labelsOf(selector.metric), query)

    def ours(self) -> set[str]:
        """Give all metrics of ours; a histogram is one."""
        names = {name for name in self.series if name.startswith("msgserver_")}
        return {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}


class DashboardTests(QueriesCase):
    """examples/grafana.json."""

    def setUp(self) -> None:
        super().setUp()
        self.dashboard: dict[str, Any] = json.loads((ROOT / "examples/grafana.json").read_text())
        self.panels: list[dict[str, Any]] = self.dashboard["panels"]

    def targets(self) -> Iterator[tuple[str, str]]:
        """Give each query, and its legend."""
        for panel in self.panels:
            for target in panel.get("targets", ()):
                yield target["expr"], target["legendFormat"]

    def test_queries(self) -> None:
        """Each asks for what there is, and shows labels that are there."""
        for query, legend in self.targets():
            self.assertRight(query)
            self.assertShown(query, legend)

    def test_all(self) -> None:
        """Every metric of ours is in some panel."""
        asked = {
            re.sub(r"_(bucket|count|sum)$", "", selector.metric)
            for query, _ in self.targets()
            for selector in selectorsOf(query)
        }
        self.assertEqual(self.ours() - asked, set())

    def test_selected(self) -> None:
        """Each query is about the processes that were chosen, and no others."""
        chosen = {("job", "=~", "$job"), ("instance", "=~", "$instance")}
        for query, _ in self.targets():
            for selector in selectorsOf(query):
                self.assertLessEqual(chosen, set(selector.matchers), query)

    def test_rates(self) -> None:
        """What only grows is shown by how fast it does, what does not is not."""
        for query, _ in self.targets():
            for selector in selectorsOf(query):
                grows = selector.metric.endswith(("_total", "_bucket", "_count", "_sum"))
                isRate = f"rate({selector.metric}" in query
                self.assertEqual(isRate, grows, query)

    def test_panels(self) -> None:
        """Each has an id of its own, a title, and says what it shows, in which unit."""
        ids = [panel["id"] for panel in self.panels]
        self.assertEqual(len(ids), len(set(ids)))
        titles = [panel["title"] for panel in self.panels if panel["type"] != "row"]
        for panel in self.panels:
            self.assertTrue(panel["title"])
            if panel["type"] == "row":
                continue
            self.assertTrue(panel["description"].endswith("."), panel["title"])
            self.assertTrue(panel["fieldConfig"]["defaults"]["unit"], panel["title"])
            self.assertTrue(all(target["legendFormat"] for target in panel["targets"]))
            refs = [target["refId"] for target in panel["targets"]]
            self.assertEqual(len(refs), len(set(refs)))
        self.assertGreater(len(titles), 20)

    def test_places(self) -> None:
        """No panel is on another, or past the edge."""
        taken: set[tuple[int, int]] = set()
        for panel in self.panels:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            cells = {
                (place["x"] + right, place["y"] + down)
                for right in range(place["w"])
                for down in range(place["h"])
            }
            self.assertEqual(cells & taken, set(), panel["title"])
            taken |= cells

    def test_dataSource(self) -> None:
        """It is nobody's own: which Prometheus it is, whoever imports it says."""
        variables = {each["name"]: each for each in self.dashboard["templating"]["list"]}
        self.assertEqual(list(variables), ["datasource", "job", "instance"])
        self.assertEqual(variables["datasource"]["query"], "prometheus")
        source = {"type": "prometheus", "uid": "${datasource}"}
        for each in [variables["job"], variables["instance"], *self.panels]:
            if each["type"] != "row":
                self.assertEqual(each["datasource"], source)
        self.assertNotIn("id", self.dashboard)

    def test_variables(self) -> None:
        """What may be chosen is what has a version."""
        for variable in self.dashboard["templating"]["list"][1:]:
            query = variable["query"]["query"]
            self.assertEqual(query, variable["definition"])
            match = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
            assert match is not None
            (selector,) = selectorsOf(match[1])
            self.assertIn(match[2], self.labelsOf(selector.metric))


class AlertsTests(QueriesCase):
    """examples/alerts.yaml, whose lines are simple enough to be read one by one."""

    def test_rules(self) -> None:
        """Each asks for what there is, and its text shows labels that are there."""
        text = (ROOT / "examples/alerts.yaml").read_text()
        rules = text.split("- alert: ")[1:]
        self.assertGreater(len(rules), 5)
        names = []
        for rule in rules:
            fields = dict(re.findall(r"^ *(\w+): (.+)$", "alert: " + rule, re.MULTILINE))
            self.assertLessEqual({"alert", "expr", "summary"}, set(fields))
            self.assertRight(fields["expr"])
            self.assertShown(fields["expr"], fields["summary"])
            names.append(fields["alert"])
        self.assertEqual(len(names), len(set(names)))
