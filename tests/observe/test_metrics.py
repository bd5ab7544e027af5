"""Metrics: what prometheus reads of a snapshot, in both of its formats."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.observe.test_histogram import durations
from wsproxy.observe.histogram import BOUNDS_S
from wsproxy.observe.metrics import SnapshotCollector, render
from wsproxy.observe.snapshot import (
    Answered,
    BackendFigures,
    Carried,
    FrontendFigures,
    GroupFigures,
    HealthFigures,
    OverloadFigures,
    PoolFigures,
    ProcessFigures,
    RateLimitFigures,
    RedisFigures,
    ReloadFigures,
    RouteFigures,
    Snapshot,
    WebSocketFigures,
)

SNAPSHOT = Snapshot(
    at=1000.0,
    version="1.2.3",
    frontends=(FrontendFigures("frontend", ("0.0.0.0:80",), 5, 100, 70, {404: 3, 400: 1}),),
    routes=(
        RouteFigures(
            "http",
            "http",
            "http",
            (
                Answered("a", 200, durations(0.004, 0.2), durations(0.004, 0.1)),
                Answered("a", 502, durations(3.0), durations(3.0)),
                Answered("", 503, durations(5.0), durations(5.0)),
            ),
            retries=2,
            rate_limit=RateLimitFigures(11, 12, 13, 14),
        ),
        RouteFigures(
            "websocket",
            "websocket",
            "chat",
            websockets=WebSocketFigures(
                open={"c": 4},
                handshakes={"opened": 9, "origin": 1},
                closes={("client", 1000): 4, ("proxy", 1012): 1},
                client=Carried(10, 7, 500, 1, 2),
                upstream=Carried(20, 0, 900, 0, 0),
                ended=5,
                lived_s=60.5,
                round_trips=3,
                round_trip_s=0.3,
                client_sizes={1: 2, 4: 1, 10: 3, 30: 4},
            ),
        ),
    ),
    groups=(
        GroupFigures(
            "http",
            2,
            (
                BackendFigures(
                    "http",
                    'a"\\',
                    "http://a:1",
                    "draining",
                    pool=PoolFigures(workers=3, idle=1, failed={"upstream": 4}, queue_wait=durations(0.5, 0.25)),
                    health=HealthFigures(False, 6, 2, 1, "refused"),
                ),
            ),
        ),
    ),
    reloads=ReloadFigures(2, 1, 10, 3),
    overload=OverloadFigures(1 << 20, 6, {"bytes": 5}, 4),
    redis=(RedisFigures("sticky_redis", "redis://a:6379/0", True, 7),),
    processes=(ProcessFigures(17, 900.0, 1.5, 1 << 20, 12, 1024, 0.003, 8),),
)

Key = tuple[str, frozenset[tuple[str, str]]]


def values(openmetrics: bool = False) -> dict[Key, float]:
    body, _ = render(SNAPSHOT, "application/openmetrics-text; version=1.0.0" if openmetrics else "")
    parse: Callable[[str], Iterable[Metric]] = parse_openmetrics if openmetrics else parse_text
    samples = [sample for family in parse(body.decode()) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def value(name: str, **labels: str) -> float:
    return values()[f"wsproxy_{name}", frozenset(labels.items())]


def test_requests_are_counted_by_route_backend_and_code() -> None:
    assert value("http_requests_total", route="http", backend="a", code="200") == 2
    assert value("http_requests_total", route="http", backend="a", code="502") == 1
    assert value("http_requests_total", route="http", backend="", code="503") == 1
    assert value("http_retries_total", route="http") == 2


def test_a_histogram_has_all_codes_of_a_backend_and_grows_from_bucket_to_bucket() -> None:
    buckets = [
        value("http_request_duration_seconds_bucket", route="http", backend="a", le=repr(bound)) for bound in BOUNDS_S
    ]
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[-1]) == (0, 3)
    assert value("http_request_duration_seconds_count", route="http", backend="a") == 3
    assert value("http_request_duration_seconds_sum", route="http", backend="a") == pytest.approx(3.204)
    assert value("http_first_byte_duration_seconds_sum", route="http", backend="a") == pytest.approx(3.104)


def test_backends_and_their_state() -> None:
    named = {"group": "http", "backend": 'a"\\'}
    states = {state: value("backend_state", **named, state=state) for state in ("up", "down", "disabled", "draining")}
    assert states == {"up": 0, "down": 0, "disabled": 0, "draining": 1}
    assert value("backend_workers", **named) == 3
    assert value("backend_healthy", **named) == 0
    assert value("backend_failures_total", **named, fault="upstream") == 4
    assert value("backend_probes_total", **named, outcome="bad") == 2
    assert value("backend_queue_wait_seconds_sum", **named) == 0.75
    assert value("group_waiting_requests", group="http") == 2


def test_websockets() -> None:
    assert value("websocket_sessions", route="websocket", backend="c") == 4
    assert value("websocket_handshakes_total", route="websocket", result="origin") == 1
    assert value("websocket_closes_total", route="websocket", initiator="proxy", code="1012") == 1
    assert value("websocket_messages_total", route="websocket", sender="client", type="text") == 7
    assert value("websocket_messages_total", route="websocket", sender="client", type="binary") == 3
    assert value("websocket_payload_bytes_total", route="websocket", sender="upstream") == 900
    assert value("websocket_round_trip_seconds_total", route="websocket") == 0.3


def test_messages_by_size() -> None:
    who = {"route": "websocket", "sender": "client"}
    bounds = ["16.0", "512.0", "1024.0", "67108864.0", "+Inf"]
    assert [value("websocket_message_size_bytes_bucket", **who, le=bound) for bound in bounds] == [3, 3, 6, 6, 10]
    assert value("websocket_message_size_bytes_count", **who) == 10
    assert value("websocket_message_size_bytes_sum", **who) == 500
    assert value("websocket_message_size_bytes_count", route="websocket", sender="upstream") == 0


def test_the_whole() -> None:
    assert value("build_info", version="1.2.3") == 1
    assert value("frontend_refused_requests_total", frontend="frontend", code="404") == 3
    assert value("process_resident_memory_bytes", pid="17") == 1 << 20
    assert value("log_lines_dropped_total", pid="17") == 8
    assert value("reloads_total", outcome="refused") == 1
    assert value("reload_sessions_total", fate="drained") == 3


def test_limits() -> None:
    assert value("rate_limit_refused_requests_total", route="http") == 11
    assert value("rate_limit_unchecked_requests_total", route="http") == 12
    assert value("rate_limit_entries", route="http") == 13
    assert value("rate_limit_evictions_total", route="http") == 14
    assert value("overload_refused_requests_total", excess="bytes") == 5
    assert value("overload_buffered_bytes") == 1 << 20
    assert value("overload_handshakes") == 6
    assert value("overload_closed_websockets_total") == 4


def test_redis() -> None:
    where = {"use": "sticky_redis", "server": "redis://a:6379/0"}
    assert value("redis_unreachable", **where) == 1
    assert value("redis_faults_total", **where) == 7


def test_both_formats_say_the_same_and_every_name_is_ours() -> None:
    text, openmetrics = values(), values(openmetrics=True)
    assert all(name.startswith("wsproxy_") for name, _ in text)
    assert text == openmetrics
    assert render(SNAPSHOT, "")[1].startswith("text/plain; version=0.0.4")
    assert render(SNAPSHOT, "application/openmetrics-text; version=1.0.0")[1].startswith("application/openmetrics-text")


def test_the_manual_lists_every_metric() -> None:
    """What fails here is the line that docs/metrics.md lacks, or has for nothing."""
    empty = Snapshot(at=0.0, version="")
    described = {
        f"| `{family.name}{'_total' if family.type == 'counter' else ''}` | {family.type} | "
        for family in SnapshotCollector(empty).collect()
    }
    manual = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    assert described == set(re.findall(r"^\| `wsproxy_\w+` \| \w+ \| ", manual, re.MULTILINE))
