"""EndpointSlices as tables: ports, conditions, zones, and what is written badly."""

from __future__ import annotations

from typing import Any

import pytest

from wsproxy.discovery.endpoint_slices import endpoints
from wsproxy.discovery.found import Found

LEAVING: dict[str, bool | None] = {"ready": False, "serving": True, "terminating": True}


def endpoint(
    host: str, zones: tuple[str, ...] = (), name: str = "", conditions: dict[str, bool | None] | None = None
) -> dict[str, Any]:
    content: dict[str, Any] = {"addresses": [host], "conditions": conditions or {}}
    if zones:
        content["hints"] = {"forZones": [{"name": zone} for zone in zones]}
    if name:
        content["targetRef"] = {"kind": "Pod", "name": name}
    return content


def slice_of(*items: dict[str, Any], ports: list[dict[str, Any]] | None = None, kind: str = "IPv4") -> dict[str, Any]:
    return {"addressType": kind, "ports": ports or [{"name": "http", "port": 8080}], "endpoints": list(items)}


@pytest.mark.parametrize(
    ("conditions", "takes_new"),
    [
        ({"ready": True}, True),
        ({}, True),
        ({"ready": None}, True),
        ({"ready": False}, False),
        ({"ready": False, "serving": True, "terminating": True}, False),
        ({"ready": True, "serving": True, "terminating": True}, False),
    ],
)
def test_conditions(conditions: dict[str, bool | None], takes_new: bool) -> None:
    found = endpoints([slice_of(endpoint("10.0.0.1", conditions=conditions), endpoint("10.0.0.9"))], "http", None)
    assert found[0] == Found("10.0.0.1:8080", takes_new=takes_new)


def test_where_none_is_ready_those_that_still_serve_have_to_do() -> None:
    leaving = endpoint("10.0.0.1", conditions=LEAVING)
    dead = endpoint("10.0.0.2", conditions={**LEAVING, "serving": False})
    found = endpoints([slice_of(leaving, dead)], "http", None)
    assert [server.takes_new for server in found] == [True, False]


@pytest.mark.parametrize(
    ("serving", "takes_new"),
    [({"serving": None}, False), ({"serving": True}, True), ({"serving": False}, False), ({}, False)],
)
def test_what_is_not_said_of_serving_is_as_ready_is(serving: dict[str, bool | None], takes_new: bool) -> None:
    found = endpoints([slice_of(endpoint("10.0.0.1", conditions={"ready": False, **serving}))], "http", None)
    assert found == [Found("10.0.0.1:8080", takes_new=takes_new)]


@pytest.mark.parametrize(
    ("wanted", "ports", "address"),
    [
        ("http", [{"name": "admin", "port": 9}, {"name": "http", "port": 80}], "10.0.0.1:80"),
        ("80", [{"name": "admin", "port": 9}, {"name": "http", "port": 80}], "10.0.0.1:80"),
        ("80", [{"name": "", "port": 8080}], "10.0.0.1:8080"),  # the service's number, another at the pod
        ("80", [{"name": "a", "port": 1}, {"name": "b", "port": 2}], None),
        ("http", [{"name": "", "port": 8080}], None),
        ("dns", [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns", "port": 54}], "10.0.0.1:54"),
        ("dns", [{"name": "dns", "port": 53, "protocol": None}], "10.0.0.1:53"),
        ("http", [{"name": "http", "port": None}], None),
        ("http", [{"name": "http", "port": True}], None),
    ],
)
def test_ports(wanted: str, ports: list[dict[str, Any]], address: str | None) -> None:
    found = endpoints([slice_of(endpoint("10.0.0.1"), ports=ports)], wanted, None)
    assert [server.address for server in found] == ([] if address is None else [address])


def test_a_headless_service_without_ports_has_that_which_was_asked_for() -> None:
    slices = [slice_of(endpoint("10.0.0.1")) | {"ports": None}]
    assert endpoints(slices, "8080", None) == [Found("10.0.0.1:8080")]
    assert endpoints(slices, "http", None) == []


def test_each_slice_has_its_own_number_for_a_port() -> None:
    slices = [slice_of(endpoint(f"10.0.0.{last}"), ports=[{"name": "http", "port": 8000 + last}]) for last in (1, 2)]
    assert [server.address for server in endpoints(slices, "http", None)] == ["10.0.0.1:8001", "10.0.0.2:8002"]


def test_a_pod_that_was_made_anew_is_known_by_its_new_address() -> None:
    """That of a stateful set keeps its name; the slice that lists the old one may change later."""
    old = slice_of(endpoint("10.0.0.5", name="db-0", conditions=LEAVING))
    new = slice_of(endpoint("10.0.0.9", name="db-0"))
    for slices in ([old, new], [new, old]):
        assert endpoints(slices, "http", None) == [Found("10.0.0.9:8080", "db-0:8080")]
    still = slice_of(endpoint("10.0.0.5", name="db-0"))
    assert endpoints([still, new], "http", None) == [Found("10.0.0.9:8080", "db-0:8080")]


@pytest.mark.parametrize(("family", "address"), [("IPv4", "10.0.0.1:8080"), ("IPv6", "[fd00::1]:8080")])
def test_a_pod_with_an_address_of_each_kind_is_one_server(family: str, address: str) -> None:
    four, six = slice_of(endpoint("10.0.0.1", name="web")), slice_of(endpoint("fd00::1", name="web"), kind="IPv6")
    for slices in ([four, six], [six, four]):
        assert endpoints(slices, "http", None, family) == [Found(address, "web:8080")]


def test_pods_give_names_and_ipv6_gets_brackets() -> None:
    found = endpoints([slice_of(endpoint("fd00::1", name="web-7f"), kind="IPv6")], "http", None)
    assert found == [Found("[fd00::1]:8080", "web-7f:8080")]


def test_an_endpoint_in_two_slices_is_one_and_ready_if_either_says_so() -> None:
    one, other = endpoint("10.0.0.1", conditions={"ready": False}), endpoint("10.0.0.1")
    assert endpoints([slice_of(one), slice_of(other)], "http", None) == [Found("10.0.0.1:8080")]


def test_those_for_our_zone_go_first() -> None:
    slices = [slice_of(endpoint("10.0.0.1", ("a",)), endpoint("10.0.0.2", ("b",)), endpoint("10.0.0.3", ("b", "a")))]
    assert [server.backup for server in endpoints(slices, "http", "a")] == [False, True, False]
    assert [server.backup for server in endpoints(slices, "http", None)] == [False, False, False]


@pytest.mark.parametrize(("conditions", "expected"), [({}, [False] * 3), ({"ready": False}, [False, True, True])])
def test_hints_that_not_all_have_are_being_set_and_do_not_count_yet(
    conditions: dict[str, bool | None], expected: list[bool]
) -> None:
    """As kube-proxy has it: else the few that have one already would get everything."""
    unhinted = endpoint("10.0.0.3", conditions=conditions)
    slices = [slice_of(endpoint("10.0.0.1", ("a",)), endpoint("10.0.0.2", ("b",)), unhinted)]
    assert [server.backup for server in endpoints(slices, "http", "a")] == expected


def test_where_none_is_for_our_zone_any_will_do() -> None:
    slices = [slice_of(endpoint("10.0.0.1", ("a",)), endpoint("10.0.0.2", ("b",)))]
    assert [server.backup for server in endpoints(slices, "http", "c")] == [False, False]


@pytest.mark.parametrize(
    "each",
    [
        {},
        {"addressType": "FQDN", "ports": [{"name": "http", "port": 1}], "endpoints": [{"addresses": ["a.test"]}]},
        {"addressType": "IPv4", "ports": None, "endpoints": None},
        {"addressType": "IPv4", "ports": [{"name": "http", "port": 1}], "endpoints": [{}]},
        {"addressType": "IPv4", "ports": [{"name": "http", "port": 1}], "endpoints": [7, {"addresses": 7}]},
        {"addressType": "IPv4", "ports": {"name": "http"}, "endpoints": {"addresses": ["10.0.0.7"]}},
        {"addressType": [], "ports": [7], "endpoints": 7},
    ],
)
def test_what_lacks_something_is_passed_over(each: dict[str, Any]) -> None:
    assert endpoints([each, slice_of(endpoint("10.0.0.1"))], "http", None) == [Found("10.0.0.1:8080")]
