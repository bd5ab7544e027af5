"""The base's file as a pod runs it, with a stand-in for the API server: probes, metrics, servers, and a stop."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import pytest

from tests.deploy.manifests import KUBERNETES, base, container, named
from tests.discovery.api_server import ApiServer, serving
from tests.discovery.test_endpoint_slices import endpoint, slice_of
from tests.integration.harness import RawServer, Wire, connect, fetch, in_loop, ok, refused_port
from tests.system.harness import spawned

TOKEN = "0123456789abcdef"


def as_in_a_pod(api: str, admin: int) -> str:
    """The file of the ConfigMap on free ports, and asking the stand-in."""
    text = (KUBERNETES / "base/proxy.ini").read_text("utf-8")
    text = text.replace("port = 8080", "port = 0").replace("port = 8081", f"port = {admin}")
    return re.sub("(?m)^(discover = .*)$", rf"\1\ndiscover_api = {api}", text)


async def status(port: int, target: str, token: str = "") -> int:
    """What the admin listener answers."""
    field = f"Authorization: Bearer {token}\r\n" if token else ""
    async with await connect(port) as client:
        await client.send(f"GET {target} HTTP/1.1\r\nHost: 10.1.2.3:8081\r\n{field}\r\n".encode())
        return (await client.response()).status


async def pod_behind(wire: Wire) -> None:
    """Answers, but for what is slow."""
    while b"/slow" not in (await wire.request()).start:
        await wire.send(ok(b"from the pod behind"))
    await anyio.sleep_forever()


@in_loop
async def test_a_pod_is_probed_serves_and_drains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAMESPACE", "shop")
    monkeypatch.setenv("WSPROXY_ADMIN_TOKEN", TOKEN)
    pod = container(named(base(), "Deployment"))
    alive, ready = (pod[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe"))
    admin = await refused_port()
    api = ApiServer()
    async with RawServer(pod_behind) as server, serving(api):
        pods = slice_of(endpoint("127.0.0.1", name="app-1"), ports=[{"name": "http", "port": server.port}])
        api.put("app-1", pods, service="app")
        async with spawned(tmp_path, "", whole=as_in_a_pod(api.url, admin)) as running:
            assert await status(admin, alive) == 200
            assert await status(admin, ready) == 200
            assert await status(admin, "/status") == 401
            assert await status(admin, "/metrics", TOKEN) == 200
            assert (await fetch(running.port)).body == b"from the pod behind"
            async with await connect(running.port) as waiting:
                await waiting.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
                running.signal(15)
                await running.wait_for("not ready any more")
                assert await status(admin, ready) == 200  # as long as it accepts, see the probe
                assert await status(admin, "/readyz") == 503
                assert await status(admin, alive) == 200
                assert (await fetch(running.port)).body == b"from the pod behind"
                running.signal(15)  # a second one ends the delay
                await running.wait_for("finishing what is in flight")
                assert await status(admin, ready) == 503
                running.signal(15)  # and a third one what is in flight
                assert await running.exit_code(within_s=10) == 0
