"""Servers that are found at run time, through the product: they come and go, and what stays is not disturbed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.discovery.test_dns import name_server
from tests.integration.harness import RawServer, connect, eventually, fetch, in_loop, logged, ok, proxy
from tests.integration.websocket_wire import TEXT, echo, frame, handshake, receive_frame
from wsproxy.discovery import file as file_module


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_module, "LOOK_EVERY_S", 0.02)


def put(path: Path, *servers: object) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps({"servers": servers}))
    os.replace(beside, path)


def address(server: RawServer) -> str:
    return f"127.0.0.1:{server.port}"


@in_loop
async def test_servers_of_a_file_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "servers.json"
    async with RawServer(ok(b"first")) as first, RawServer(ok(b"second")) as second:
        put(path, address(first))
        async with proxy(f"[http]\ndiscover = file://{path}\nhealth_check_interval = 1h\n") as running:
            assert (await fetch(running.port)).body == b"first"
            put(path, {"addr": address(second), "name": "other"})
            backends = running.application.groups["http"].group.backends
            await eventually(lambda: list(backends) == ["other"])
            assert (await fetch(running.port)).body == b"second"
            path.write_text("nonsense")
            finder = running.application.groups["http"].finder
            assert finder is not None
            await eventually(lambda: finder.errors > 0)
            assert (await fetch(running.port)).body == b"second"
            put(path)
            await eventually(lambda: not backends)
            assert (await fetch(running.port)).status == 503


@in_loop
async def test_a_websocket_on_a_server_that_stays_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "servers.json"
    lines = f"[websocket]\ndiscover = file://{path}\nhealth_check_interval = 1h\n"
    async with RawServer(echo) as kept, RawServer(ok()) as other:
        put(path, address(kept))
        async with proxy(lines) as running, await connect(running.port) as client:
            await client.send(handshake())
            assert (await client.response()).status == 101
            group = running.application.groups["websocket"].group
            weighed = {"addr": address(kept), "weight": 3}
            for servers in ([address(kept), address(other)], [weighed], [address(kept)]):
                put(path, *servers)
                count = len(servers)
                await eventually(lambda count=count: len(group.backends) == count)  # type: ignore[misc]
                await client.send(frame(TEXT, b"still here", masked=True))
                assert await receive_frame(client) == (TEXT, b"still here")
            put(path, {"addr": address(kept), "enabled": False})
            (backend,) = group.backends.values()
            await eventually(lambda: not backend.enabled)
            await client.send(frame(TEXT, b"and here", masked=True))  # it gets nothing new, and keeps what it has
            assert await receive_frame(client) == (TEXT, b"and here")
            put(path, address(kept))
            await eventually(lambda: backend.enabled)


@in_loop
async def test_a_name_is_followed(tmp_path: Path) -> None:
    async with RawServer(ok(b"here")) as server, name_server({("app.test", "A"): ["127.0.0.1"]}) as names:
        text = f"[http]\ndiscover = dns://app.test:{server.port}\ndiscover_resolver = 127.0.0.1:{names.port}\n"
        with logged() as log:
            async with proxy(f"{text}health_check_interval = 1h\n") as running:
                assert (await fetch(running.port)).body == b"here"
    assert f"http: dns://app.test:{server.port}: 1 servers; new: 127.0.0.1:{server.port}" in log.of("INFO")
