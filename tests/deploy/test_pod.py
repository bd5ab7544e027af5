"""The base's file as a pod runs it, with a stand-in for the API server: probes, metrics, servers, and a stop."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from tests.deploy.manifests import KUBERNETES, base, container, named
from tests.integration.harness import RawServer, connect, fetch, in_loop, ok, refused_port
from tests.system.harness import spawned

TOKEN = "0123456789abcdef"


def endpoint_slice(port: int) -> dict[str, object]:
    return {
        "metadata": {"name": "app-1", "resourceVersion": "7"},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
    }


async def api_server(port: int) -> tuple[web.AppRunner, str]:
    """One that knows of one endpoint, and of no change."""

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.path == "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "7"}, "items": [endpoint_slice(port)]})
        response = web.StreamResponse()
        await response.prepare(request)
        await anyio.sleep_forever()
        return response

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    own = await refused_port()
    await web.TCPSite(runner, "127.0.0.1", own).start()
    return runner, f"http://127.0.0.1:{own}"


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


@in_loop
async def test_a_pod_is_probed_serves_and_drains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAMESPACE", "shop")
    monkeypatch.setenv("WSPROXY_ADMIN_TOKEN", TOKEN)
    pod = container(named(base(), "Deployment"))
    alive, ready = (pod[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe"))
    admin = await refused_port()
    async with RawServer(ok(b"from the pod behind")) as server:
        runner, api = await api_server(server.port)
        try:
            async with spawned(tmp_path, "", whole=as_in_a_pod(api, admin)) as running:
                assert await status(admin, alive) == 200
                assert await status(admin, ready) == 200
                assert await status(admin, "/status") == 401
                assert await status(admin, "/metrics", TOKEN) == 200
                assert (await fetch(running.port)).body == b"from the pod behind"
                running.signal(15)
                await running.wait_for("not ready any more")
                assert await status(admin, ready) == 503
                assert await status(admin, alive) == 200
                assert (await fetch(running.port)).body == b"from the pod behind"
                running.signal(15)  # a second one ends the delay
                assert await running.exit_code(within_s=10) == 0
        finally:
            await runner.cleanup()
