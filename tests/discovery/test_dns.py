"""Servers from DNS, asked of a real server on a real socket: addresses, services, times, and answers that fail."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import dns.asyncresolver
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
    """Answers from `zone`: (name, kind) -> records; what it lacks does not exist. asked: questions so far.

    rcodes: of single questions, where they differ from `rcode`. aliases: name -> (name it stands for, TTL).
    truncates: says by UDP that the answer is too long. lies: sends two answers to other questions before each.
    """

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.ttl_s = 60
        self.asked: list[tuple[str, str]] = []
        self.rcode = dns.rcode.NOERROR
        self.rcodes: dict[tuple[str, str], dns.rcode.Rcode] = {}
        self.aliases: dict[str, tuple[str, int]] = {}
        self.truncates = self.lies = False
        self.by_tcp = 0
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        answer = self.answer(dns.message.from_wire(data))
        if self.lies:
            for wrong in (self.answer(dns.message.from_wire(data)), dns.message.make_response(_another(data))):
                wrong.id = (answer.id + 1) % 65536 if wrong.question == answer.question else answer.id
                wrong.answer = [dns.rrset.from_text(wrong.question[0].name, 60, "IN", "A", "10.6.6.6")]
                self._transport.sendto(wrong.to_wire(), address)  # type: ignore[attr-defined]
        if self.truncates:
            answer.answer, answer.flags = [], answer.flags | dns.flags.TC
        self._transport.sendto(answer.to_wire(), address)  # type: ignore[attr-defined]

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The same over TCP (RFC 7766)."""
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        wire = self.answer(dns.message.from_wire(await reader.readexactly(length))).to_wire(max_size=65535)
        self.by_tcp += 1
        writer.write(struct.pack("!H", len(wire)) + wire)
        writer.close()

    def answer(self, question: dns.message.Message) -> dns.message.Message:
        name, kind = question.question[0].name.to_text().rstrip("."), question.question[0].rdtype.name
        self.asked.append((name, kind))
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        answer.set_rcode(self.rcodes.get((name, kind), self.rcode))
        if answer.rcode():
            return answer
        while name in self.aliases:
            target, ttl_s = self.aliases[name]
            answer.answer.append(dns.rrset.from_text(name + ".", ttl_s, "IN", "CNAME", target + "."))
            name = target
        records = self.zone.get((name, kind))
        if records:
            answer.answer.append(dns.rrset.from_text(name + ".", self.ttl_s, "IN", kind, *records))
        elif not any(known == name for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer


def _another(data: bytes) -> dns.message.Message:
    return dns.message.make_query("another.test.", "A", id=dns.message.from_wire(data).id)


@asynccontextmanager
async def name_server(zone: Zone) -> AsyncIterator[NameServer]:
    server = NameServer(zone)
    loop = asyncio.get_running_loop()
    while True:  # until a number is free in both
        stream = await asyncio.start_server(server.stream, "127.0.0.1", 0)
        try:
            address = stream.sockets[0].getsockname()
            transport, _ = await loop.create_datagram_endpoint(lambda: server, address)
            break
        except OSError:
            stream.close()
    try:
        yield server
    finally:
        stream.close()
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


async def asked_of(server: NameServer, name: str, port: str) -> list[Found]:
    """The first set that is found there."""
    async with anyio.create_task_group() as tasks:
        sink = Sink()
        tasks.start_soon(watch_name, name, port, 60.0, Resolver(f"127.0.0.1#{server.port}"), sink)
        await sink.until(sets=1)
        tasks.cancel_scope.cancel()
    return sink.sets[0]


def test_an_answer_too_long_for_a_datagram_comes_by_tcp_and_is_whole() -> None:
    hosts = [f"10.0.{number // 250}.{number % 250 + 1}" for number in range(900)]

    async def main() -> None:
        async with name_server({("app.test", "A"): hosts}) as server:
            server.truncates = True
            found = await asked_of(server, "app.test", "80")
            assert {each.address for each in found} == {f"{host}:80" for host in hosts}
            assert server.by_tcp == 2

    anyio.run(main)


def test_answers_to_other_questions_are_not_believed() -> None:
    async def main() -> None:
        async with name_server({("app.test", "A"): ["10.0.0.1"]}) as server:
            server.lies = True
            assert await asked_of(server, "app.test", "80") == [Found("10.0.0.1:80")]

    anyio.run(main)


def test_an_alias_counts_for_as_long_as_its_own_time() -> None:
    async def main() -> None:
        async with name_server({("real.test", "A"): ["10.0.0.1"]}) as server:
            server.aliases = {"app.test": ("middle.test", 20), "middle.test": ("real.test", 300)}
            answer = await Resolver(f"127.0.0.1#{server.port}").addresses("app.test")
            assert (answer.hosts, answer.ttl_s) == (("10.0.0.1",), 20)

    anyio.run(main)


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.NXDOMAIN, dns.rcode.REFUSED])
def test_a_name_server_that_fails_for_one_kind_of_address_is_good_for_the_other(
    rcode: dns.rcode.Rcode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.3)

    async def main() -> None:
        zone = {("app.test", "A"): ["10.0.0.1"], ("app.test", "AAAA"): ["2001:db8::1"]}
        async with name_server(zone) as server:
            server.rcodes["app.test", "AAAA"] = rcode
            resolver = Resolver(f"127.0.0.1#{server.port}")
            assert (await resolver.addresses("app.test")).hosts == ("10.0.0.1",)
            del server.rcodes["app.test", "AAAA"]
            assert (await resolver.addresses("app.test")).hosts == ("10.0.0.1", "2001:db8::1")
            server.rcodes["app.test", "AAAA"] = rcode
            hosts = (await resolver.addresses("app.test")).hosts
            assert hosts == (("10.0.0.1",) if rcode == dns.rcode.NXDOMAIN else ("10.0.0.1", "2001:db8::1"))

    anyio.run(main)


def test_what_is_remembered_of_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_NAMES", 3)
    zone = {(f"{number}.test", "A"): ["10.0.0.1"] for number in range(6)}

    async def main() -> None:
        async with name_server(zone) as server:
            resolver = Resolver(f"127.0.0.1#{server.port}")
            for name, _ in zone:
                await resolver.addresses(name)
        assert len(resolver._known) == 6

    anyio.run(main)


def test_a_target_that_cannot_be_asked_for_keeps_its_servers_and_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHORTEST_S", 0.02)
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    zone = {
        ("_http._tcp.app.test", "SRV"): ["1 1 80 a.test.", "1 1 80 b.test."],
        ("a.test", "A"): ["10.0.0.1"],
        ("b.test", "A"): ["10.0.0.2"],
    }

    async def main() -> None:
        async with name_server(zone) as server, anyio.create_task_group() as tasks:
            server.ttl_s = 0
            sink = Sink()
            resolver = Resolver(f"127.0.0.1#{server.port}")
            tasks.start_soon(watch_name, "_http._tcp.app.test", "", 60.0, resolver, sink)
            await sink.until(sets=1)
            server.rcodes = {("b.test", kind): dns.rcode.SERVFAIL for kind in ("A", "AAAA")}
            await sink.until(reasons=1)
            assert "b.test." in sink.reasons[0]
            server.zone["a.test", "A"] = ["10.0.0.3"]
            await sink.until(sets=2)
            assert sink.addresses == [["10.0.0.1:80", "10.0.0.2:80"], ["10.0.0.3:80", "10.0.0.2:80"]]
            assert len(sink.reasons) == 1
            server.rcodes = {("b.test", kind): dns.rcode.NXDOMAIN for kind in ("A", "AAAA")}
            await sink.until(sets=3)
            assert sink.addresses[-1] == ["10.0.0.3:80"]  # that it is gone is an answer
            tasks.cancel_scope.cancel()

    anyio.run(main)


def test_targets_of_a_service_are_complete_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """RFC 2782; with the search domains and ndots of a pod, others of the same beginning would be found."""
    zone = {
        ("_http._tcp.app.svc.cluster.local", "SRV"): ["1 1 80 a.test."],
        ("a.test", "A"): ["10.0.0.1"],
        ("a.test.svc.cluster.local", "A"): ["10.6.6.6"],
    }

    async def main() -> None:
        async with name_server(zone) as server:
            system = tmp_path / "resolv.conf"
            system.write_text("nameserver 127.0.0.1\nsearch svc.cluster.local\noptions ndots:5\n")
            monkeypatch.setattr("dns.asyncresolver.Resolver", lambda configure: _reading(system, server.port))
            sink = Sink()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch_name, "_http._tcp.app", "", 60.0, Resolver(None), sink)
                await sink.until(sets=1)
                tasks.cancel_scope.cancel()
            assert sink.addresses == [["10.0.0.1:80"]]
            assert {name for name, _ in server.asked} == {"_http._tcp.app.svc.cluster.local", "a.test"}

    anyio.run(main)


_Resolver = dns.asyncresolver.Resolver


def _reading(path: Path, port: int) -> dns.asyncresolver.Resolver:
    resolver = _Resolver(filename=str(path))
    resolver.port = port
    return resolver


def test_without_a_name_server_it_says_so_and_looks_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A container may get its resolv.conf late; that must not be the end of the proxy."""
    monkeypatch.setattr(module, "SHORTEST_S", 0.02)
    system = tmp_path / "resolv.conf"

    async def main() -> None:
        async with name_server({("app.test", "A"): ["10.0.0.1"]}) as server, anyio.create_task_group() as tasks:
            monkeypatch.setattr("dns.asyncresolver.Resolver", lambda configure: _reading(system, server.port))
            sink = Sink()
            tasks.start_soon(watch_name, "app.test", "80", 60.0, Resolver(None), sink)
            await sink.until(reasons=1)
            system.write_text("nameserver 127.0.0.1\n")
            await sink.until(sets=1)
            assert sink.addresses == [["10.0.0.1:80"]]
            tasks.cancel_scope.cancel()

    anyio.run(main)


def test_the_next_name_server_is_asked_where_one_is_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def main() -> None:
        async with name_server({("app.test", "A"): ["10.0.0.1"]}) as server:
            system = tmp_path / "resolv.conf"
            system.write_text("nameserver 127.9.9.9\nnameserver 127.0.0.1\n")
            monkeypatch.setattr("dns.asyncresolver.Resolver", lambda configure: _reading(system, server.port))
            assert (await Resolver(None).addresses("app.test")).hosts == ("10.0.0.1",)

    anyio.run(main)


def test_a_port_of_0_is_no_server() -> None:
    zone = {("_http._tcp.app.test", "SRV"): ["1 1 0 a.test.", "1 1 81 a.test."], ("a.test", "A"): ["10.0.0.1"]}
    assert anyio.run(first_of, zone, "_http._tcp.app.test", "") == [Found("10.0.0.1:81")]
