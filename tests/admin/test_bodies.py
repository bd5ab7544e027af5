"""Bodies and parameters against the schemas of the endpoint table."""

from __future__ import annotations

from typing import Any

import pytest

from wsproxy.admin.bodies import check_body, read_query
from wsproxy.admin.endpoints import ENDPOINTS, Schema
from wsproxy.admin.messages import RefusalError


def schema(action: str) -> Schema:
    (found,) = [endpoint.takes for endpoint in ENDPOINTS if endpoint.action == action]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("action", "content"),
    [
        ("add_backend", {"url": "http://a:1"}),
        ("add_backend", {"url": "http://a:1", "group": "http", "weight": 0}),
        ("add_backend", {"url": "http://a:1", "weight": 1000.0}),
        ("switch", {}),
        ("switch", {"monitoring": True}),
    ],
)
def test_what_fits(action: str, content: dict[str, Any]) -> None:
    check_body(content, schema(action))


@pytest.mark.parametrize(
    ("action", "content", "problem"),
    [
        ("add_backend", {}, "'url' is missing"),
        ("add_backend", {"url": ""}, "'url' must have 1 to 1024 characters"),
        ("add_backend", {"url": 5}, "'url' must be a string"),
        ("add_backend", {"url": None}, "'url' must be a string"),
        ("add_backend", {"url": "a:1", "weight": "1"}, "'weight' must be an integer"),
        ("add_backend", {"url": "a:1", "weight": True}, "'weight' must be an integer"),
        ("add_backend", {"url": "a:1", "weight": 1.5}, "'weight' must be an integer"),
        ("add_backend", {"url": "a:1", "weight": 1001}, "'weight' must be 0 to 1000"),
        ("add_backend", {"url": "a:1", "wieght": 1}, "there is no property 'wieght' (known: url, group, weight)"),
        ("switch", {"monitoring": 1}, "'monitoring' must be a boolean"),
        ("purge_cache", {"x": 1}, "there is no property 'x' (known: url, tag)"),
        ("purge_cache", {"url": "/a"}, "'url' must fit ^https?://[!-.0-~]+(/[!-~]*)?$"),
    ],
)
def test_what_does_not_fit_is_named(action: str, content: dict[str, Any], problem: str) -> None:
    with pytest.raises(RefusalError) as refused:
        check_body(content, schema(action))
    assert (refused.value.status, str(refused.value)) == (400, problem)


def query(action: str) -> Any:
    (found,) = [endpoint.query for endpoint in ENDPOINTS if endpoint.action == action]
    return found


def test_parameters_are_read() -> None:
    assert read_query({"limit": "10", "route": "7"}, query("sessions")) == {"limit": 10, "route": "7"}
    assert read_query({}, query("sessions")) == {}


@pytest.mark.parametrize(
    ("action", "written", "problem"),
    [
        ("sessions", {"limit": "ten"}, "'limit' must be an integer"),
        ("sessions", {"limit": "0"}, "'limit' must be 1 to 10000"),
        ("sessions", {"limit": "9" * 30}, "'limit' must be an integer"),
        ("sessions", {"other": "1"}, "there is no parameter 'other' (known: route, group, backend, limit)"),
        ("reload", {"dry_run": "yes"}, "'dry_run' must be one of 0, 1"),
        ("status", {"x": ""}, "there is no parameter 'x' (known: none)"),
    ],
)
def test_parameters_that_are_none_are_named(action: str, written: dict[str, str], problem: str) -> None:
    with pytest.raises(RefusalError) as refused:
        read_query(written, query(action))
    assert (refused.value.status, str(refused.value)) == (400, problem)
