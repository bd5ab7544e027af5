"""PURE: the endpoints of a Kubernetes service, from its EndpointSlices (discovery.k8s.io/v1).

Knows the shapes of the API and nothing of how they come. What lacks a field that it should have is passed over: what
one controller writes badly must not take the rest away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from wsproxy.discovery.found import MOST_SERVERS, Found

Slice = Mapping[str, Any]


def endpoints(slices: Iterable[Slice], port: str, zone: str | None) -> list[Found]:
    """Every endpoint once, in the order of their addresses.

    port: a port's name; or its number, which a slice with a single port need not have, as the number may be that of the
    service. zone: ours; endpoints that are meant for other zones stand in for those that are meant for it.
    One that is not ready, or is about to end, gets nothing new and keeps what it has; unless none is ready, then those
    that still serve have to do (as kube-proxy has it).
    """
    found: dict[str, tuple[Found, bool]] = {}
    for each in slices:
        for server, is_fallback in _of_slice(each, port, zone):
            known = found.get(server.address)
            if known is None or (server.takes_new and not known[0].takes_new):  # it may move from slice to slice
                found[server.address] = (server, is_fallback)
    some_are_ready = any(server.takes_new for server, _ in found.values())
    servers = [
        server if some_are_ready or not is_fallback else Found(server.address, server.name, backup=server.backup)
        for server, is_fallback in found.values()
    ]
    if not any(server.takes_new and not server.backup for server in servers):  # none for our zone: any will do
        servers = [Found(server.address, server.name, takes_new=server.takes_new) for server in servers]
    return sorted(servers, key=lambda server: server.address)[:MOST_SERVERS]


def _of_slice(each: Slice, port: str, zone: str | None) -> Iterator[tuple[Found, bool]]:
    number = _port_number(each.get("ports") or (), port)
    if number is None or each.get("addressType") not in ("IPv4", "IPv6"):
        return
    for endpoint in each.get("endpoints") or ():
        conditions = endpoint.get("conditions") or {}
        is_ready = conditions.get("ready") is not False  # the API: unknown is to be taken for ready
        is_serving = conditions.get("serving", is_ready) is not False
        is_leaving = conditions.get("terminating") is True
        target = endpoint.get("targetRef") or {}
        name = target.get("name") or ""
        for host in (endpoint.get("addresses") or ())[:1]:  # all of them are the same endpoint
            address = f"[{host}]:{number}" if each["addressType"] == "IPv6" else f"{host}:{number}"
            takes_new = is_ready and not is_leaving
            label = f"{name}:{number}" if name else ""
            yield Found(address, label, backup=_is_elsewhere(endpoint, zone), takes_new=takes_new), is_serving


def _port_number(ports: Iterable[Mapping[str, Any]], wanted: str) -> int | None:
    numbered = [each for each in ports if type(each.get("port")) is int and each.get("protocol", "TCP") == "TCP"]
    for each in numbered:
        if wanted in (each.get("name") or "", str(each["port"])):
            return int(each["port"])
    return int(numbered[0]["port"]) if len(numbered) == 1 and wanted.isdigit() else None


def _is_elsewhere(endpoint: Mapping[str, Any], zone: str | None) -> bool:
    hinted = (endpoint.get("hints") or {}).get("forZones")
    return bool(zone and hinted and all(each.get("name") != zone for each in hinted))
