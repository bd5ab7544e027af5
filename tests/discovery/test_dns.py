"""Servers from DNS, asked of a real server on a real socket: addresses, services, times, and answers that fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from tests.discovery.sink import Sink
from wsproxy.discovery import dns as module
from wsproxy.discovery.dns import Resolver, watch_name
from wsproxy.discovery.found import Found

Zone = dict[tuple[str, str], list[str]]


class NameServer(asyncio.DatagramProtocol):
    """Answers from `zone`: (name, kind) -> records; what it lacks does not exist. asked: questions so far."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.ttl_s = 60
        self.asked: list[tuple[str, str]] = []
        self.rcode = dns.rcode.NOERROR
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        question = dns.message.from_wire(data)
        name, kind = question.question[0].name.to_text().rstrip("."), question.question[0].rdtype.name
        self.asked.append((name, kind))
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        answer.set_rcode(self.rcode)
        records = self.zone.get((name, kind))
        if records and not self.rcode:
            answer.answer.append(dns.rrset.from_text(name + ".", self.ttl_s, "IN", kind, *records))
        elif not self.rcode and not any(known == name for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), address)  # type: ignore[attr-defined]


@asynccontextmanager
async def name_server(zone: Zone) -> AsyncIterator[NameServer]:
    server = NameServer(zone)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, ("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()


async def first_of(zone: Zone, name: str, port: str) -> list[Found]:
    """The first set that is found."""
    async with name_server(zone) as server, anyio.create_task_group() as tasks:
        sink = Sink()
        tasks.start_soon(watch_name, name, port, 60.0, Resolver(f"127.0.0.1#{server.port}"), sink)
        await sink.until(sets=1)
        tasks.cancel_scope.cancel()
    return sink.sets[0]


def test_both_kinds_of_addresses_are_servers() -> None:
    zone = {("app.test", "A"): ["10.0.0.2", "10.0.0.1"], ("app.test", "AAAA"): ["2001:db8::1"]}
    found = anyio.run(first_of, zone, "app.test", "80")
    assert found == [Found("10.0.0.1:80"), Found("10.0.0.2:80"), Found("[2001:db8::1]:80")]


def test_services_have_ports_weights_and_those_that_stand_in() -> None:
    zone = {
        (
            "_http._tcp.app.test",
            "SRV",
        ): ["10 5 8001 a.test.", "10 0 8002 b.test.", "20 1 8003 c.test.", "10 1 1 gone.test."],
        ("a.test", "A"): ["10.0.0.1"],
        ("b.test", "A"): ["10.0.0.2"],
        ("c.test", "AAAA"): ["::1"],
    }
    found = anyio.run(first_of, zone, "_http._tcp.app.test", "")
    assert found == [
        Found("10.0.0.1:8001", weight=5),
        Found("10.0.0.2:8002", weight=1),
        Found("[::1]:8003", backup=True),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda server: server.zone.clear(), "does not exist"),
        (lambda server: setattr(server, "rcode", dns.rcode.SERVFAIL), "SERVFAIL"),
        (lambda server: server.zone.update({("app.test", "A"): [], ("app.test", "TXT"): ["x"]}), "has no address"),
    ],
)
def test_an_answer_that_fails_is_asked_for_again_and_takes_nothing_away(
    change: Callable[[NameServer], None], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHORTEST_S", 0.02)
    monkeypatch.setattr(module, "PATIENCE_S", 0.3)

    async def main() -> None:
        async with name_server({("app.test", "A"): ["10.0.0.1"]}) as server, anyio.create_task_group() as tasks:
            server.ttl_s = 0
            sink = Sink()
            tasks.start_soon(watch_name, "app.test", "80", 60.0, Resolver(f"127.0.0.1#{server.port}"), sink)
            await sink.until(sets=1)
            change(server)
            await sink.until(reasons=2)
            assert reason in sink.reasons[0]
            known = len(sink.sets)
            server.rcode = dns.rcode.NOERROR
            server.zone[("app.test", "A")] = ["10.0.0.2"]
            await sink.until(sets=known + 1)
            assert sink.addresses[-1] == ["10.0.0.2:80"]
            tasks.cancel_scope.cancel()

    anyio.run(main)


@pytest.mark.parametrize(("ttl_s", "interval_s", "pause_s"), [(5, 30.0, 5.0), (300, 30.0, 30.0), (0, 30.0, 1.0)])
def test_an_answer_is_asked_for_again_when_its_time_is_over(
    ttl_s: int, interval_s: float, pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def main() -> None:
        async with name_server({("app.test", "A"): ["10.0.0.1"]}) as server, anyio.create_task_group() as tasks:
            server.ttl_s = ttl_s

            async def sleep(delay_s: float) -> None:
                pauses.append(delay_s)
                tasks.cancel_scope.cancel()
                await asyncio.sleep(0)

            monkeypatch.setattr("wsproxy.discovery.dns.anyio.sleep", sleep)
            tasks.start_soon(watch_name, "app.test", "80", interval_s, Resolver(f"127.0.0.1#{server.port}"), Sink())

    anyio.run(main)
    assert pauses == [pause_s]
