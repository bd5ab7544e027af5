"""Servers from DNS: the addresses of a name (A, AAAA), or the targets of a service (SRV, RFC 2782).

Asked again when the answer's TTL is over, and after `interval` at the latest. An answer that fails, or that says there
is nothing, leaves the last one in force: a name server that is away must not take a service away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import anyio
import dns.asyncresolver
import dns.exception
import dns.rdatatype
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.SRV import SRV
from dns.resolver import Answer

from wsproxy.discovery.found import MOST_SERVERS, Found, FoundSink

SHORTEST_S: Final = 1.0
"""A TTL of 0 means "do not keep", not "ask a thousand times a second"."""

PATIENCE_S: Final = 5.0
"""For one question, over all name servers and repetitions."""

LONGEST_RETRY_S: Final = 30.0
"""Between two questions that fail: they begin a second apart."""


class QuestionError(Exception):
    """No answer that could be believed; str() says why."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a name stands for, and how long that may be believed."""

    hosts: tuple[str, ...]
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Service:
    """One SRV record."""

    priority: int
    weight: int
    port: int
    target: str


class Questions(Protocol):
    """Who answers questions, see `Resolver`."""

    async def addresses(self, name: str) -> Addresses: ...

    async def services(self, name: str) -> tuple[tuple[Service, ...], float]: ...


class Resolver:
    """Asks name servers. where: `address#port` of one instead of the system's."""

    def __init__(self, where: str | None) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=where is None)
        self._resolver.cache = None  # the time of each answer is kept by who asks
        if where is not None:
            host, _, port = where.partition("#")
            self._resolver.nameservers = [host]
            self._resolver.port = int(port)

    async def addresses(self, name: str) -> Addresses:
        """The A and AAAA records of a name. Raises QuestionError."""
        answers = [await self._ask(name, kind) for kind in ("A", "AAAA")]
        hosts = [record.address for answer in answers for record in answer if isinstance(record, A | AAAA)]
        if not hosts:
            raise QuestionError(f"{name} has no address")
        return Addresses(tuple(sorted(set(hosts))), min(_ttl_s(answer) for answer in answers if answer.rrset))

    async def services(self, name: str) -> tuple[tuple[Service, ...], float]:
        """The SRV records of a name, and their time. Raises QuestionError."""
        answer = await self._ask(name, "SRV")
        records = [record for record in answer if isinstance(record, SRV)]
        if not records or (len(records) == 1 and str(records[0].target) == "."):  # RFC 2782: decidedly not available
            raise QuestionError(f"{name} has no SRV record")
        services = (Service(each.priority, each.weight, each.port, str(each.target).rstrip(".")) for each in records)
        return tuple(sorted(services, key=lambda each: (each.priority, each.target, each.port))), _ttl_s(answer)

    async def _ask(self, name: str, kind: str) -> Answer:
        try:
            return await self._resolver.resolve(name, kind, raise_on_no_answer=False, lifetime=PATIENCE_S, search=True)
        except (dns.exception.DNSException, OSError) as error:
            words = str(error) or type(error).__name__
            raise QuestionError(f"{name} {kind}: {words.splitlines()[0]}") from None


def _ttl_s(answer: Answer) -> float:
    return float(answer.rrset.ttl) if answer.rrset is not None else 0.0


async def watch_name(name: str, port: str, interval_s: float, questions: Questions, sink: FoundSink) -> None:
    """Tell `sink` what a name stands for, until cancelled. port: "" to ask for SRV records."""
    retry_s = SHORTEST_S
    while True:
        try:
            servers, ttl_s = await (_services(name, questions) if not port else _addresses(name, port, questions))
        except QuestionError as error:
            sink.not_found(str(error))
            await anyio.sleep(min(retry_s, interval_s))
            retry_s = min(2 * retry_s, LONGEST_RETRY_S)
            continue
        retry_s = SHORTEST_S
        await sink.found(servers[:MOST_SERVERS])
        await anyio.sleep(min(max(ttl_s, SHORTEST_S), interval_s))


async def _addresses(name: str, port: str, questions: Questions) -> tuple[Sequence[Found], float]:
    answer = await questions.addresses(name)
    return [Found(_address(host, port)) for host in answer.hosts], answer.ttl_s


async def _services(name: str, questions: Questions) -> tuple[Sequence[Found], float]:
    """The targets of the first priority; those of others stand in for them when none is healthy."""
    services, ttl_s = await questions.services(name)
    first = services[0].priority
    servers: dict[str, Found] = {}
    failures = []
    for service in services:
        try:
            answer = await questions.addresses(service.target)
        except QuestionError as error:
            failures.append(error)  # the others may do
            continue
        ttl_s = min(ttl_s, answer.ttl_s)
        for host in answer.hosts:
            address = _address(host, str(service.port))
            # RFC 2782: a weight of 0 is the smallest chance there is, not none.
            found = Found(address, weight=max(1, min(service.weight, 1000)), backup=service.priority > first)
            servers.setdefault(address, found)
    if not servers:
        raise failures[0] if failures else QuestionError(f"{name} has no servers")
    return list(servers.values()), ttl_s


def _address(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
