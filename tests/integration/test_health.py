"""Servers that go down and come back, and names that resolve or do not, as requests meet them."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.integration.harness import (
    Proxy,
    RawServer,
    Wire,
    eventually,
    fetch,
    http_route,
    in_loop,
    logged,
    ok,
    proxied,
    proxy,
)

QUICK = "health_check_interval = 100ms\nhealth_check_fall = 2\nhealth_check_rise = 2\nalgorithm = round-robin"


def healthy(running: Proxy) -> int:
    """How many servers of [http] may be chosen now."""
    return len(running.application.groups["http"].group.healthy.snapshot() or ())


class Checked:
    """A server's script with a /healthCheck that answers what it is told to."""

    def __init__(self, report: bytes, name: bytes = b"fine") -> None:
        self.report = report
        self.name = name
        self.probes: list[bytes] = []

    async def __call__(self, wire: Wire) -> None:
        while True:
            request = await wire.request()
            if request.target == b"/healthCheck":
                self.probes.append(request.head)
                await wire.send(self.report)
                return
            await wire.send(ok(self.name))


@in_loop
async def test_a_server_that_dies_is_left_out_and_used_again_once_it_is_back() -> None:
    async with RawServer(ok(b"one")) as one, RawServer(ok(b"two")) as two:
        with logged() as log:
            async with proxy(http_route(one.port, two.port, lines=QUICK)) as running:
                assert {(await fetch(running.port)).body for _ in range(4)} == {b"one", b"two"}
                await one.stop()
                assert {(await fetch(running.port)).body for _ in range(4)} == {b"two"}  # at once, not one 502
                await eventually(lambda: healthy(running) == 1)
                assert {(await fetch(running.port)).body for _ in range(4)} == {b"two"}
                await one.start()
                await eventually(lambda: healthy(running) == 2)
                assert {(await fetch(running.port)).body for _ in range(4)} == {b"one", b"two"}
        assert any(f"127.0.0.1:{one.port}" in line and "down" in line for line in log.of("WARNING"))
        assert any(f"127.0.0.1:{one.port}" in line and "up" in line for line in log.of("INFO"))


@in_loop
async def test_with_every_server_down_the_answer_is_503_at_once_until_one_is_back() -> None:
    async with proxied(ok(), QUICK) as (server, running):
        await server.stop()
        await eventually(lambda: healthy(running) == 0)
        started = asyncio.get_running_loop().time()
        assert (await fetch(running.port)).status == 503
        assert asyncio.get_running_loop().time() - started < 3  # and not after the 5 s of `queue_timeout`
        await server.start()
        await eventually(lambda: healthy(running) == 1)
        assert (await fetch(running.port)).status == 200


@in_loop
async def test_requests_that_wait_when_the_last_server_goes_down_get_503() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.rest()

    lines = QUICK + "\nmax_workers = 1\nbuffer_size = 1\nqueue_timeout = 1h"
    async with proxied(script, lines) as (server, running), asyncio.TaskGroup() as tasks:
        answers = [tasks.create_task(fetch(running.port)) for _ in range(3)]
        group = running.application.groups["http"].group
        await eventually(lambda: len(group.waiting) == 1 and len(server.requests) == 1)  # accepted, not on its way
        server.refuse()
        (answered,), held = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        assert answered.result().status == 503
        for answer in held:
            answer.cancel()


@pytest.mark.parametrize(
    "sick",
    [
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        ok(b'{"status": 503}'),
        ok(b'{"status": "503"}'),
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
        b"hello\r\n\r\n",
    ],
)
@in_loop
async def test_a_server_that_says_it_is_sick_is_left_out_until_it_says_otherwise(sick: bytes) -> None:
    lines = QUICK + "\nenable_health_check = true"
    patient, other = Checked(ok(b'{"status": 200}'), b"patient"), Checked(ok(b'{"status": "204"}'), b"other")
    async with (
        RawServer(patient) as one,
        RawServer(other) as two,
        proxy(http_route(one.port, two.port, lines=lines)) as running,
    ):
        await eventually(lambda: len(patient.probes) >= 2)
        assert healthy(running) == 2
        patient.report = sick
        await eventually(lambda: healthy(running) == 1)
        assert {(await fetch(running.port)).body for _ in range(4)} == {b"other"}
        patient.report = b"HTTP/1.1 204 No Content\r\n\r\n"
        await eventually(lambda: healthy(running) == 2)
        assert {(await fetch(running.port)).body for _ in range(4)} == {b"patient", b"other"}
    assert all(probe.startswith(b"GET /healthCheck HTTP/1.1\r\n") for probe in patient.probes)


@in_loop
async def test_without_enable_health_check_nothing_is_asked() -> None:
    checked = Checked(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
    async with proxied(checked, QUICK) as (server, running):
        deadlines = running.application.deadlines
        started = deadlines.now
        await eventually(lambda: deadlines.now > started + 0.5)  # five probes have come and gone
        assert healthy(running) == 1
        assert (checked.probes, server.opened) == ([], 0)


class FakeResolver:
    """Names that exist here and nowhere else, in place of the loop's own look-up."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int, **_: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        self.asked.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


class LoopWithNames:
    """The running loop, with a resolver of the test's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, resolver: FakeResolver) -> None:
        self._loop = loop
        self.getaddrinfo = resolver

    def __getattr__(self, name: str) -> object:
        return getattr(self._loop, name)


@in_loop
async def test_a_name_with_an_underscore_works_and_one_that_stops_resolving_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver = FakeResolver()
    resolver.names.add("es1_hc")
    loop = LoopWithNames(asyncio.get_running_loop(), resolver)
    monkeypatch.setattr("wsproxy.net.dial.asyncio.get_running_loop", lambda: loop)
    async with RawServer(ok(b"named")) as server:
        route = f"[http]\nserver1 = es1_hc:{server.port}\n{QUICK}\n"
        async with proxy(route) as running:
            assert (await fetch(running.port)).body == b"named"
            resolver.names.clear()
            await eventually(lambda: healthy(running) == 0)
            assert (await fetch(running.port)).status == 503
            resolver.names.add("es1_hc")
            await eventually(lambda: healthy(running) == 1)
            assert (await fetch(running.port)).body == b"named"
