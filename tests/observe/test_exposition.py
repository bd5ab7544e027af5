"""The bytes of a scrape: what prometheus_client would write of the same families, in less time."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from tests.observe.test_histogram import durations
from tests.observe.test_metrics import SNAPSHOT
from tests.yardstick import cost_s
from wsproxy.observe.exposition import encode
from wsproxy.observe.metrics import SnapshotCollector, render
from wsproxy.observe.snapshot import Answered, BackendFigures, GroupFigures, PoolFigures, RouteFigures, Snapshot

OPENMETRICS = "application/openmetrics-text"

SCRAPE_S = 0.05
"""What a scrape of 100 backends may take, of CPU time: twice what it does."""


def test_both_forms_are_what_the_library_writes() -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(SNAPSHOT))
    assert render(SNAPSHOT, "")[0] == generate_latest(registry)
    assert render(SNAPSHOT, OPENMETRICS)[0] == generate_openmetrics(registry)  # type: ignore[no-untyped-call] # it is in the library


def test_what_stands_in_help_and_labels_is_escaped_as_each_form_wants_it() -> None:
    family = GaugeMetricFamily("a", 'back\\slash, "quotes"\nand more', labels=("b",))
    family.add_metric(('back\\slash, "quotes"\nand more',), 1.5)
    told = '{b="back\\\\slash, \\"quotes\\"\\nand more"} 1.5'
    assert f"a{told}".encode() in encode([family], "")[0]
    assert b'HELP a back\\\\slash, "quotes"\\nand' in encode([family], "")[0]
    assert b'HELP a back\\\\slash, \\"quotes\\"\\nand' in encode([family], OPENMETRICS)[0]


@pytest.mark.parametrize(
    ("accept", "is_openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3", True),
        ("text/plain;q=0.5, Application/OpenMetrics-Text ; version=nonsense", True),
        ("application/openmetrics-text;q=0, text/plain", False),
        (",;=,;", False),
    ],
)
def test_the_form_is_what_the_scraper_takes(accept: str, is_openmetrics: bool) -> None:
    body, media_type = encode([], accept)
    assert media_type.startswith(OPENMETRICS) is is_openmetrics
    assert body.endswith(b"# EOF\n") is is_openmetrics


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_a_scrape_of_a_hundred_backends_is_soon_done(accept: str) -> None:
    waits = durations(0.001, 0.1)
    pool = PoolFigures(failed={"client": 0, "upstream": 1, "proxy": 0}, queue_wait=waits, connect=waits)
    backends = tuple(BackendFigures("http", f"10.0.0.{number}:80", "", pool=pool) for number in range(100))
    answered = tuple(Answered(each.name, code, waits, waits) for each in backends for code in (200, 404, 503))
    routes = (RouteFigures("http", "http", "http", answered),)
    snapshot = Snapshot(1.0, "1", routes=routes, groups=(GroupFigures("http", 0, backends),))
    assert cost_s(lambda: render(snapshot, accept), SCRAPE_S) < SCRAPE_S
