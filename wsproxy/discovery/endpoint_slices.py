"""PURE: the endpoints of a Kubernetes service, from its EndpointSlices (discovery.k8s.io/v1).

Knows the shapes of the API and nothing of how they come. What lacks a field that it should have is passed over: what
one controller writes badly must not take the rest away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from wsproxy.discovery.found import Found

Slice = Mapping[str, Any]

FAMILIES: Final = ("IPv4", "IPv6")
"""The kinds of addresses that one can connect to; the API leaves the meaning of the third, FQDN, open."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint as one slice has it.

    is_serving: whether it could take requests, although it is about to end. zones: those it is meant for, if any is
    said. takes_new of `server`: ready and not about to end.
    """

    server: Found
    family: str
    is_serving: bool
    zones: tuple[str, ...]


def endpoints(slices: Iterable[Slice], port: str, zone: str | None, family: str = FAMILIES[0]) -> list[Found]:
    """Every endpoint once, in the order of their addresses; of two slices that know it, what the later one says.

    port: a port's name; or its number, which a slice with a single port need not have, as the number may be that of the
    service. zone: ours; endpoints that are meant for other zones stand in for those that are meant for it, unless there
    are some that are meant for none in particular: then hints are being set, or removed (as kube-proxy has it).
    family: where a pod has an address of each kind (dual-stack), the one by which it is known.
    One that is not ready, or is about to end, gets nothing new and keeps what it has; unless none is ready, then those
    that still serve have to do (as kube-proxy has it).
    """
    found = _each_once(slices, port, family)
    if not any(each.server.takes_new for each in found):
        found = [replace(each, server=replace(each.server, takes_new=each.is_serving)) for each in found]
    if zone and _is_meant_for(found, zone):
        servers = [replace(each.server, backup=zone not in each.zones) for each in found]
    else:
        servers = [each.server for each in found]
    return sorted(servers, key=lambda server: server.address)


def families(slices: Iterable[Slice]) -> set[str]:
    """The kinds of addresses that there are."""
    return {each["addressType"] for each in slices if each.get("addressType") in FAMILIES and _items(each, "endpoints")}


def ports(slices: Iterable[Slice]) -> list[str]:
    """What ports the service has, in words, for who has asked for another one."""
    known = {(str(port.get("name") or ""), port.get("port")) for each in slices for port in _items(each, "ports")}
    return sorted(f"{name} {number}".strip() for name, number in known)


def has_port(slices: Iterable[Slice], port: str) -> bool:
    """Whether any slice has it."""
    return any(_port_number(each, port) is not None for each in slices)


def _each_once(slices: Iterable[Slice], port: str, family: str) -> list[Endpoint]:
    """By name, as a pod has one: of its addresses one is used. Those without a name are known by their address."""
    found: dict[str, Endpoint] = {}
    for each in slices:
        for endpoint in _of_slice(each, port):
            label = endpoint.server.name or endpoint.server.address
            known = found.get(label)
            if known is None or _is_better(endpoint, known, family):
                found[label] = endpoint
    return list(found.values())


def _is_better(new: Endpoint, known: Endpoint, family: str) -> bool:
    if new.family != known.family:
        return new.family == family
    return new.server.takes_new or not known.server.takes_new  # it may move from slice to slice


def _is_meant_for(found: Iterable[Endpoint], zone: str) -> bool:
    ready = [each for each in found if each.server.takes_new]
    return all(each.zones for each in ready) and any(zone in each.zones for each in ready)


def _of_slice(each: Slice, port: str) -> Iterator[Endpoint]:
    number = _port_number(each, port)
    family = each.get("addressType")
    if number is None or family not in FAMILIES:
        return
    for endpoint in _items(each, "endpoints"):
        conditions = _table(endpoint, "conditions")
        is_ready = conditions.get("ready") is not False  # the API: unknown is to be taken for ready
        serving = conditions.get("serving")
        takes_new = is_ready and conditions.get("terminating") is not True
        name = _table(endpoint, "targetRef").get("name") or ""
        zones = tuple(str(zone.get("name")) for zone in _items(_table(endpoint, "hints"), "forZones"))
        addresses = endpoint.get("addresses")
        for host in addresses[:1] if isinstance(addresses, list) else ():  # all of them are the same endpoint
            address = f"[{host}]:{number}" if family == "IPv6" else f"{host}:{number}"
            server = Found(address, f"{name}:{number}" if name else "", takes_new=takes_new)
            yield Endpoint(server, family, is_ready if serving is None else serving is True, zones)


def _port_number(each: Slice, wanted: str) -> int | None:
    listed = _items(each, "ports")
    numbered = [each for each in listed if type(each.get("port")) is int and each.get("protocol") in (None, "TCP")]
    for each in numbered:
        if wanted in (each.get("name") or "", str(each["port"])):
            return int(each["port"])
    if not wanted.isdigit():
        return None
    if not listed:  # a headless service need not list any: then a pod's port is what one knows it to be
        return int(wanted)
    return int(numbered[0]["port"]) if len(numbered) == 1 else None


def _items(content: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    listed = content.get(key)
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _table(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = content.get(key)
    return found if isinstance(found, dict) else {}
