"""No counter goes back in a reload, whatever takes the place of what has counted, as long as its name is there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from tests.integration.harness import RawServer, Wire, connect, eventually, get, in_loop, ok, refused_port
from tests.integration.test_tcp import echo as tcp_echo
from tests.integration.websocket_wire import TEXT, echo, frame, handshake, receive_frame
from wsproxy.app import Application
from wsproxy.config.build import load
from wsproxy.config.model import Config
from wsproxy.observe.metrics import render

QUIET = "[log]\naccess = off\n"
COUNTING = ("_total", "_count", "_sum", "_bucket")


class Changing:
    """The product, and what its next reload reads."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.application = Application(self.read(), self.read)

    def read(self) -> Config:
        return load(QUIET + self.text, "a.ini", {}, "/")

    def counters(self) -> dict[str, float]:
        """Every sample of a counter or histogram that only grows, but those of the process itself."""
        text = render(self.application.figures.snapshot(), "")[0].decode()
        samples = (line.rpartition(" ")[::2] for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in samples if name.partition("{")[0].endswith(COUNTING)}

    async def reload(self, text: str) -> None:
        before = self.counters()
        self.text = text
        await self.application.reload()
        after = self.counters()
        back = {name: (value, after[name]) for name, value in before.items() if after.get(name, value) < value}
        assert not back


@asynccontextmanager
async def changing(text: str) -> AsyncIterator[Changing]:
    running = Changing(text)
    async with anyio.create_task_group() as tasks:
        await tasks.start(running.application.run)
        try:
            yield running
        finally:
            tasks.cancel_scope.cancel()


async def status_of(port: int, target: bytes = b"/") -> int:
    async with await connect(port) as client:
        await client.send(get(target))
        return (await client.response()).status


def section(name: str, port: int, lines: str) -> str:
    return f"[{name}]\nhost = 127.0.0.1\nport = {port}\n{lines}\n"


def listed(server: RawServer, lines: str = "") -> str:
    return f"[http]\nserver1 = 127.0.0.1:{server.port}\nhealth_check_interval = 1h\n{lines}\n"


@in_loop
async def test_a_group_whose_servers_come_another_way_and_back(tmp_path: Path) -> None:
    path = tmp_path / "servers.json"
    port = await refused_port()
    top = section("frontend", port, "")
    async with RawServer(ok()) as server:
        path.write_text(json.dumps([f"127.0.0.1:{server.port}"]))
        found = f"[http]\ndiscover = file://{path}\nhealth_check_interval = 1h\n"
        name = f'{{backend="127.0.0.1:{server.port}",group="http"}}'
        async with changing(top + listed(server)) as running:
            for number, text in enumerate((found, listed(server), found, listed(server)), 1):
                assert [await status_of(port) for _ in range(3)] == [200] * 3
                counters = running.counters()
                assert counters[f"wsproxy_backend_exchanges_total{name}"] == 3 * number
                assert counters[f"wsproxy_backend_connect_seconds_count{name}"] >= number
                assert sum(v for k, v in counters.items() if k.startswith("wsproxy_http_requests_total")) == 3 * number
                probes = "wsproxy_backend_probes_total" + name.replace("}", ',outcome="good"}')
                await eventually(lambda: running.counters()[probes] >= number)  # noqa: B023
                await running.reload(top + text)
                await eventually(lambda: bool(running.application.groups["http"].group.backends))


@in_loop
async def test_a_server_that_moves_keeps_its_name_and_its_counters() -> None:
    port = await refused_port()
    top = section("frontend", port, "")
    async with (
        RawServer(ok()) as first,
        RawServer(ok()) as second,
        changing(top + listed(first, "server1_name = a")) as running,
    ):
        assert await status_of(port) == 200
        await running.reload(top + listed(second, "server1_name = a"))
        assert await status_of(port) == 200
        assert running.counters()['wsproxy_backend_exchanges_total{backend="a",group="http"}'] == 2


@in_loop
async def test_what_watches_servers_may_be_changed_switched_off_and_on() -> None:
    port = await refused_port()
    top = section("frontend", port, "")
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    breaker = "breaker = yes\nbreaker_failures = 1\nbreaker_open = 10ms\nserver1_name = a"
    async with RawServer(busy) as server, changing(top + listed(server, breaker)) as running:
        opened = 'wsproxy_backend_breaker_opened_total{backend="a",group="http"}'
        good = 'wsproxy_backend_probes_total{backend="a",group="http",outcome="good"}'
        assert await status_of(port) == 503
        await eventually(lambda: running.counters()[opened] == 1 and running.counters()[good] == 1)
        off = f"server1_name = a\nserver1_enabled = no\nserver2 = 127.0.0.1:{port}"
        for lines in ("server1_name = a\nhealth_check_timeout = 1s", off, breaker):
            await running.reload(top + listed(server, lines))
            assert running.counters()[opened] == 1
        await eventually(lambda: running.counters()[good] > 1)


@in_loop
async def test_listeners_that_move() -> None:
    one, other, tcp_one, tcp_other = [await refused_port() for _ in range(4)]
    async with RawServer(ok()) as server, RawServer(tcp_echo) as echoing:
        route = f"[http:api]\npath_prefix = /api\nserver1 = 127.0.0.1:{server.port}\nhealth_check_interval = 1h\n"
        tcp = f"server1 = 127.0.0.1:{echoing.port}\nhealth_check_interval = 1h"
        texts = [
            section("frontend", port, "") + section("tcp:test", tcp_port, tcp) + route
            for port, tcp_port in ((one, tcp_one), (other, tcp_other))
        ]
        async with changing(texts[0]) as running, await connect(tcp_one) as stays:
            await stays.send(b"ping")
            assert await stays.exactly(4) == b"ping"
            assert await status_of(one) == 404
            await running.reload(texts[1])
            assert await status_of(other) == 404
            await stays.send(b"ping")
            assert await stays.exactly(4) == b"ping"
            async with await connect(tcp_other) as client:
                await client.send(b"ping")
                assert await client.exactly(4) == b"ping"
            await eventually(lambda: any(name.startswith("wsproxy_tcp_connections") for name in running.counters()))
            await running.reload(texts[0])
            counters = running.counters()
            assert counters['wsproxy_frontend_refused_requests_total{code="404",frontend="frontend"}'] == 2
            assert counters['wsproxy_frontend_connections_accepted_total{frontend="frontend"}'] == 2
            for side in ("client", "upstream"):
                name = f'wsproxy_tcp_{side}_bytes_total{{backend="127.0.0.1:{echoing.port}",listener="tcp:test"}}'
                assert counters[name] == 12


@in_loop
async def test_websockets_that_drain_still_count(tmp_path: Path) -> None:
    path, port = tmp_path / "servers.json", await refused_port()
    top = section("frontend", port, "")
    async with RawServer(echo) as server:
        path.write_text(json.dumps([f"127.0.0.1:{server.port}"]))
        lines = f"server1 = 127.0.0.1:{server.port}\nhealth_check_interval = 1h\n"
        found = f"discover = file://{path}\nhealth_check_interval = 1h\n"
        name = 'wsproxy_websocket_messages_total{route="websocket",sender="client",type="text"}'
        async with changing(f"{top}[websocket]\n{lines}") as running, await connect(port) as client:
            await client.send(handshake())
            assert (await client.response()).status == 101
            await talk(client)
            await running.reload(f"{top}[websocket]\n{found}")
            assert running.counters()[name] == 1


async def talk(client: Wire) -> None:
    await client.send(frame(TEXT, b"hello", masked=True))
    assert (await receive_frame(client))[0] == TEXT


@in_loop
async def test_a_cache_that_is_switched_off_and_on() -> None:
    port = await refused_port()
    top = section("frontend", port, "")
    async with RawServer(ok(b"fine", b"Cache-Control: max-age=60")) as server:
        cached = top + listed(server, "cache = yes")
        async with changing(cached) as running:
            assert [await status_of(port) for _ in range(3)] == [200] * 3
            await running.reload(top + listed(server))
            await running.reload(cached)
            assert await status_of(port) == 200
            counters = running.counters()
            assert sum(v for k, v in counters.items() if k.startswith("wsproxy_cache_requests_total")) == 4
            assert counters["wsproxy_cache_stored_total"] == 2
