"""The dashboard, the alerts and what scrapes: each metric and label they name is one that the product has."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.manifests import DEPLOY, KUBERNETES, ROOT, base, documents, named
from tests.programs import program

ROW = re.compile(r"(?m)^\| `(wsproxy_\w+)` \| (\w+) \|([\w, ]*)\|")
NAME = re.compile(r"\bwsproxy_\w+")
WORDS = re.compile(r'"[^"]*"|\$\w+')
LABELS = re.compile(r"\bby \(([\w, ]+)\)|(\w+) ?(?:=~|!=|=)")
LEGEND = re.compile(r"\{\{\s*\$?(?:labels\.)?(\w+)")
COMPONENT = KUBERNETES / "components/monitoring"
DASHBOARD = COMPONENT / "dashboard.json"
SCRAPED = {"instance", "le", "namespace", "pod"}  # what Prometheus and histograms add
PARTS = ("_bucket", "_sum", "_count")


def metrics() -> dict[str, set[str]]:
    """The labels of every metric, from the manual, which is tested against a scrape."""
    rows = ROW.findall((ROOT / "docs/metrics.md").read_text("utf-8"))
    known = {name: set(labels.replace(" ", "").split(",")) - {""} for name, _, labels in rows}
    parts = {name + part: known[name] for name, kind, _ in rows if kind == "histogram" for part in PARTS}
    return known | parts


def panels() -> Iterator[tuple[str, str, str]]:
    """The title, expression and legend of each query of the dashboard."""
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]


def rules() -> list[dict[str, Any]]:
    (file,) = documents(DEPLOY / "monitoring/alerts.yml")
    return [rule for group in file["groups"] for rule in group["rules"]]


def check(expression: str, shown: str = "") -> None:
    """Every metric is there, and every label is one of its metrics'."""
    names = NAME.findall(expression)
    assert names, expression
    known = metrics()
    assert set(names) <= known.keys(), expression
    labels = SCRAPED.union(*(known[name] for name in names))
    found = LABELS.findall(WORDS.sub("", expression))
    used = {label for listed, single in found for label in (listed or single).replace(" ", "").split(",")}
    assert used <= labels, expression
    assert set(LEGEND.findall(shown)) - {"value"} <= labels, shown


def test_the_dashboard_asks_for_what_there_is() -> None:
    queries = list(panels())
    assert len(queries) > 30
    for _, expression, legend in queries:
        check(expression, legend)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_looks_at_what_there_is(rule: dict[str, Any]) -> None:
    check(rule["expr"], rule["annotations"]["summary"])


@pytest.mark.parametrize(
    "expression", ["rate(wsproxy_http_request_total[1m])", "sum by (backends) (wsproxy_backend_queue_depth)"]
)
def test_the_check_sees_what_is_not_there(expression: str) -> None:
    with pytest.raises(AssertionError):
        check(expression)


def test_panels_do_not_lie_upon_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_alerts_are_the_same_with_the_operator_and_without() -> None:
    (alone,) = documents(DEPLOY / "monitoring/alerts.yml")
    (for_operator,) = documents(COMPONENT / "alerts.yaml")
    assert for_operator["spec"] == alone


def test_the_operator_finds_the_service_of_the_metrics() -> None:
    (monitor,) = documents(COMPONENT / "service-monitor.yaml")
    service = named(base(), "Service", "wsproxy-admin")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"


def test_what_pods_are_scaled_by_is_there() -> None:
    (values,) = documents(KUBERNETES / "components/autoscaling/adapter-values.yaml")
    for rule in values["rules"]["custom"]:
        check(rule["seriesQuery"])
        check(rule["metricsQuery"].replace("<<.GroupBy>>", "pod").replace("<<.LabelMatchers>>", 'pod="wsproxy-1"'))
        assert "wsproxy_build_info" in rule["seriesQuery"]  # which is there when nothing else is
        assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}


def test_prometheus_takes_the_rules_and_the_configuration() -> None:
    for command in (["rules", "alerts.yml"], ["config", "prometheus.yml"]):
        done = subprocess.run(
            [program("promtool", package="prometheus"), "check", *command],
            cwd=DEPLOY / "monitoring", capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
