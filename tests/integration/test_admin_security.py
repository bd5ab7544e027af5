"""The admin listener on the wire: what callers without the token get, bodies without end, and pages of other sites."""

from __future__ import annotations

import json

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.integration.admin_caller import TOKEN, Caller, administered
from tests.integration.harness import connect as connect_raw
from tests.integration.harness import http_route, in_loop, raw_request
from wsproxy.admin.endpoints import ENDPOINTS, Access

ROUTE = http_route(9)


def anonymous(caller: Caller) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{caller.port}", trust_env=False)


@in_loop
async def test_without_the_token_nothing_is_said_or_done() -> None:
    async with administered(ROUTE) as caller, anonymous(caller) as client:
        for endpoint in ENDPOINTS:
            answer = await client.request(endpoint.method, endpoint.path, json={})
            if endpoint.access is Access.OPEN:
                assert answer.status_code == 200
            else:
                assert answer.status_code == 401, endpoint
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert answer.json() == {"error": "present the token"}
        assert (await client.get("/status", params={"token": TOKEN})).status_code == 401, "never in a URL"
        assert (await client.get("/nowhere")).status_code == 401


@in_loop
async def test_a_browser_logs_in_once() -> None:
    async with administered(ROUTE) as caller, anonymous(caller) as client:
        own = {"Origin": f"http://127.0.0.1:{caller.port}"}
        assert (await client.post("/login", json={"token": "wrong"}, headers=own)).status_code == 401
        answer = await client.post("/login", json={"token": TOKEN}, headers=own)
        assert answer.status_code == 200
        assert TOKEN not in answer.headers["set-cookie"]
        assert (await client.get("/status")).status_code == 200
        name = {"backend": "127.0.0.1:9"}
        assert (await client.post("/backends/disable", json=name, headers=own)).status_code == 200
        assert (await client.post("/backends/disable", json=name)).status_code == 403
        other = {"Origin": "https://evil.example"}
        assert (await client.post("/backends/disable", json=name, headers=other)).status_code == 403
        assert (await client.post("/login", data={"token": TOKEN}, headers=other)).status_code == 403
        assert (await client.post("/login", data={"token": TOKEN}, headers=own)).status_code == 200
        assert (await client.post("/logout", headers=own)).status_code == 200
        assert (await client.get("/status")).status_code == 401


@in_loop
async def test_metrics_open_to_whom_the_file_names() -> None:
    lines = f"token = {TOKEN}\nmetrics_allow = 127.0.0.0/8"
    async with administered(ROUTE, lines) as caller, anonymous(caller) as client:
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/status")).status_code == 401


@in_loop
async def test_who_is_not_allowed_reads_only_health() -> None:
    async with administered(ROUTE, f"token = {TOKEN}\nallow = 192.0.2.1") as caller:
        await caller.get("/status", expect=403)
        await caller.get("/", expect=403)
        await caller.get("/metrics", expect=403)
        await caller.get("/healthz")


@in_loop
async def test_the_live_figures_are_for_own_pages_alone() -> None:
    async with administered(ROUTE) as caller:
        url = f"ws://127.0.0.1:{caller.port}/live"
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        for fields, origin, expected in (({}, None, 401), (bearer, "https://evil.example", 403)):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, additional_headers=fields, origin=origin, proxy=None)  # type: ignore[arg-type]
            assert refused.value.response.status_code == expected
        async with connect(url, additional_headers=bearer, proxy=None) as websocket:
            figures = json.loads(await websocket.recv())
            assert [backend["name"] for backend in figures["backends"]] == ["127.0.0.1:9"]
            assert json.loads(await websocket.recv())["at"] > figures["at"]
        answer = await caller.get("/live", expect=426)
        assert answer.headers["sec-websocket-version"] == "13"


@in_loop
async def test_bodies_and_heads_have_limits() -> None:
    async with administered(ROUTE, "") as caller:
        head = b"POST /backends HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        endless = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"x" * 0x10000 + b"\r\n1\r\nx\r\n"
        for data, status in (
            (head + b"Content-Length: 65537\r\n\r\n", b"413"),
            (endless, b"413"),
            (head + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
            (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"414"),
            (b"GET /status HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n", b"403"),
            (head + b"Connection: close\r\nContent-Length: 5\r\n\r\n[[[[[", b"400"),
            (head + b"Connection: close\r\nContent-Length: 2\r\n\r\n[]", b"400"),
        ):
            assert (await raw_request(caller.port, data)).split(b" ", 2)[1] == status, data[:200]


@in_loop
async def test_one_connection_carries_many_requests_and_chunked_bodies() -> None:
    async with administered(ROUTE, "") as caller, await connect_raw(caller.port) as client:
        head = b"POST /switches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        await client.send(head + b'Transfer-Encoding: chunked\r\n\r\n15\r\n{"monitoring": false}\r\n0\r\n\r\n')
        assert (await client.response()).status == 200
        host = b"Host: localhost\r\n\r\n"
        await client.send(b"HEAD /status HTTP/1.1\r\n" + host + b"GET /switches HTTP/1.1\r\n" + host)
        head_only = await client.until(b"\r\n\r\n")
        assert head_only.startswith(b"HTTP/1.1 200 ")
        assert b'monitoring":false' in (await client.response()).body


@in_loop
async def test_browsers_are_kept_strict() -> None:
    async with administered(ROUTE) as caller:
        for path in ("/status", "/nowhere"):
            fields = (await caller.client.get(path)).headers
            assert fields["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
            assert "unsafe" not in fields["content-security-policy"]
            assert (fields["x-content-type-options"], fields["cache-control"]) == ("nosniff", "no-store")
