"""Servers from DNS: the addresses of a name (A, AAAA), or the targets of a service (SRV, RFC 2782).

Asked again when the answer's TTL is over, and after `interval` at the latest. An answer that fails, or that says there
is nothing, leaves the last one in force: a name server that is away must not take a service away. The same holds for a
part of an answer: for one of the two kinds of addresses, and for one of the targets of a service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import anyio
import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.SRV import SRV
from dns.resolver import Answer

from wsproxy.discovery.found import Found, FoundSink

SHORTEST_S: Final = 1.0
"""A TTL of 0 means "do not keep", not "ask a thousand times a second"."""

PATIENCE_S: Final = 5.0
"""For one question, over all name servers and repetitions."""

LONGEST_RETRY_S: Final = 30.0
"""Between two questions that fail: they begin a second apart."""

AT_ONCE: Final = 16
"""Targets of a service that are asked for together: few enough for the socket buffer of a small name server."""

MOST_NAMES: Final = 2000
"""Of which the addresses are remembered: twice the servers that a group may have."""


class QuestionError(Exception):
    """No answer that could be believed; str() says why."""


class NoSuchNameError(QuestionError):
    """The answer is that there is no such name."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a name stands for, and how long that may be believed."""

    hosts: tuple[str, ...]
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Service:
    """One SRV record. target: a name that is complete, with its dot at the end."""

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
        self._where = where
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._known: dict[tuple[str, str], tuple[str, ...]] = {}

    async def addresses(self, name: str) -> Addresses:
        """The A and AAAA records of a name. Raises QuestionError.

        Where only one kind of question fails, what was last known of it stands for its answer: there are name servers
        that never answer the other one.
        """
        answers: dict[str, Answer | QuestionError] = {}

        async def ask(kind: str) -> None:
            try:
                answers[kind] = await self._ask(name, kind)
            except QuestionError as error:
                answers[kind] = error

        async with anyio.create_task_group() as tasks:
            for kind in ("A", "AAAA"):
                tasks.start_soon(ask, kind)
        hosts: set[str] = set()
        times = []
        for kind, answer in sorted(answers.items()):
            if isinstance(answer, Answer):
                self._remember(name, kind, _hosts(answer))
                hosts.update(_hosts(answer))
                times += [_ttl_s(answer)] if answer.rrset else []
            elif not isinstance(answer, NoSuchNameError):
                hosts.update(self._known.get((name, kind), ()))
        if not times:
            failure = next((each for each in answers.values() if isinstance(each, QuestionError)), None)
            raise failure or QuestionError(f"{name} has no address")
        return Addresses(tuple(sorted(hosts)), min(times))

    async def services(self, name: str) -> tuple[tuple[Service, ...], float]:
        """The SRV records of a name, and their time. Raises QuestionError."""
        answer = await self._ask(name, "SRV")
        records = [record for record in answer if isinstance(record, SRV)]
        if not records or (len(records) == 1 and str(records[0].target) == "."):  # RFC 2782: decidedly not available
            raise QuestionError(f"{name} has no SRV record")
        services = (Service(each.priority, each.weight, each.port, str(each.target)) for each in records if each.port)
        return tuple(sorted(services, key=lambda each: (each.priority, each.target, each.port))), _ttl_s(answer)

    def _remember(self, name: str, kind: str, hosts: tuple[str, ...]) -> None:
        self._known.pop((name, kind), None)
        self._known[name, kind] = hosts
        while len(self._known) > 2 * MOST_NAMES:
            del self._known[next(iter(self._known))]

    async def _ask(self, name: str, kind: str) -> Answer:
        try:
            resolver = self._resolver or self._configured()
            return await resolver.resolve(name, kind, raise_on_no_answer=False, lifetime=PATIENCE_S, search=True)
        except dns.resolver.NXDOMAIN as error:
            raise NoSuchNameError(_words(name, kind, error)) from None
        except (dns.exception.DNSException, OSError) as error:
            self._resolver = None  # the system may ask others by now
            raise QuestionError(_words(name, kind, error)) from None

    def _configured(self) -> dns.asyncresolver.Resolver:
        """The name servers, those of the system as they are now. Raises DNSException."""
        resolver = dns.asyncresolver.Resolver(configure=self._where is None)
        resolver.cache = None  # the time of each answer is kept by who asks
        if self._where is not None:
            host, _, port = self._where.partition("#")
            resolver.nameservers = [host]
            resolver.port = int(port)
            resolver.domain = dns.name.root  # that of this machine is none of its business
        self._resolver = resolver
        return resolver


def _words(name: str, kind: str, error: Exception) -> str:
    words = str(error) or type(error).__name__
    return f"{name} {kind}: {words.splitlines()[0]}"


def _hosts(answer: Answer) -> tuple[str, ...]:
    return tuple(record.address for record in answer if isinstance(record, A | AAAA))


def _ttl_s(answer: Answer) -> float:
    """The shortest on the way to the answer: an alias (CNAME) may be changed sooner than what it stands for."""
    return float(answer.chaining_result.minimum_ttl)


async def watch_name(name: str, port: str, interval_s: float, questions: Questions, sink: FoundSink) -> None:
    """Tell `sink` what a name stands for, until cancelled. port: "" to ask for SRV records."""
    retry_s = SHORTEST_S
    targets = Targets(questions)
    while True:
        try:
            if port:
                answer = await questions.addresses(name)
                servers, ttl_s = [Found(_address(host, port)) for host in answer.hosts], answer.ttl_s
            else:
                services, ttl_s = await questions.services(name)
                ttl_s = min(ttl_s, await targets.look_up({service.target for service in services}))
                servers = _servers(services, targets.hosts)
        except QuestionError as error:
            sink.not_found(str(error))
            await anyio.sleep(min(retry_s, interval_s))
            retry_s = min(2 * retry_s, LONGEST_RETRY_S)
            continue
        retry_s = SHORTEST_S
        await sink.found(servers)
        for reason in targets.new_failures():
            sink.not_found(reason)
        await anyio.sleep(min(max(ttl_s, SHORTEST_S), interval_s))


@dataclass(slots=True)
class Targets:
    """The addresses of the targets of a service; those of one that cannot be asked for now are those of before."""

    questions: Questions
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    _failures: dict[str, QuestionError] = field(default_factory=dict)
    _said: frozenset[str] = frozenset()

    async def look_up(self, names: Iterable[str]) -> float:
        """Ask for all of them; returns how long that may be believed, in s. Raises QuestionError where none can."""
        hosts: dict[str, tuple[str, ...]] = {}
        times = []
        self._failures = {}
        limit = anyio.CapacityLimiter(AT_ONCE)

        async def ask(name: str) -> None:
            async with limit:
                try:
                    answer = await self.questions.addresses(name)
                    hosts[name] = answer.hosts
                    times.append(answer.ttl_s)
                except NoSuchNameError as error:
                    self._failures[name] = error
                except QuestionError as error:
                    self._failures[name] = error
                    hosts[name] = self.hosts.get(name, ())

        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(ask, name)
        if not times:
            raise next(iter(self._failures.values()), QuestionError("no target of the service has a port"))
        self.hosts = hosts
        return min(times) if not self._failures else min(*times, LONGEST_RETRY_S)

    def new_failures(self) -> list[str]:
        """Why targets could not be asked for, of those that could be the last time."""
        new = [str(error) for name, error in self._failures.items() if name not in self._said]
        self._said = frozenset(self._failures)
        return new


def _servers(services: Sequence[Service], hosts: Mapping[str, tuple[str, ...]]) -> list[Found]:
    """The targets of the first priority; those of others stand in for them when none is healthy."""
    first = services[0].priority
    servers: dict[str, Found] = {}
    for service in services:
        for host in hosts.get(service.target, ()):
            address = _address(host, str(service.port))
            # RFC 2782: a weight of 0 is the smallest chance there is, not none.
            found = Found(address, weight=max(1, min(service.weight, 1000)), backup=service.priority > first)
            servers.setdefault(address, found)
    return list(servers.values())


def _address(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
