"""A stand-in for the Kubernetes API on a real socket: lists, watches, 410 Gone, broken connections, tokens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from tests.discovery.sink import Sink
from tests.discovery.test_endpoint_slices import endpoint, slice_of
from wsproxy.config.discovery_settings import DiscoverySettings, Target
from wsproxy.discovery import kubernetes
from wsproxy.discovery.kubernetes import watch_service

Watch = Callable[[web.StreamResponse], Awaitable[None]]


def named(name: str, version: str, *hosts: str) -> dict[str, Any]:
    return {**slice_of(*(endpoint(host) for host in hosts)), "metadata": {"name": name, "resourceVersion": version}}


def event(kind: str, content: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": content}).encode() + b"\n"


class Api:
    """Lists `items` in pages of one, and runs the next script for each watch. asked: the query of each request."""

    def __init__(self, items: list[dict[str, Any]], *watches: Watch) -> None:
        self.items = items
        self.watches = list(watches)
        self.asked: list[dict[str, str]] = []
        self.tokens: list[str] = []
        self.failures: list[web.Response] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert request.path == "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
        assert request.query["labelSelector"] == "kubernetes.io/service-name=web"
        self.asked.append(dict(request.query))
        self.tokens.append(request.headers.get("Authorization", ""))
        if self.failures:
            return self.failures.pop(0)
        if "watch" not in request.query:
            return self._page(int(request.query.get("continue", "0")))
        response = web.StreamResponse()
        await response.prepare(request)
        if not self.watches:
            await anyio.sleep_forever()
        await self.watches.pop(0)(response)
        return response

    def _page(self, at: int) -> web.Response:
        metadata = {"resourceVersion": "100"}
        if at + 1 < len(self.items):
            metadata["continue"] = str(at + 1)
        return web.json_response({"items": self.items[at : at + 1], "metadata": metadata})


@asynccontextmanager
async def serving(api: Api) -> AsyncIterator[Api]:
    application = web.Application()
    application.router.add_get("/{path:.*}", api.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield api
    finally:
        await runner.cleanup()


@asynccontextmanager
async def watching(api: Api, account: Path) -> AsyncIterator[Sink]:
    sink = Sink()
    async with serving(api), anyio.create_task_group() as tasks:
        settings = DiscoverySettings(Target("kubernetes", "web", "http", "shop"), api=api.url)
        tasks.start_soon(watch_service, settings, sink, account)
        yield sink
        tasks.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "FIRST_RETRY_S", 0.01)


def test_all_pages_are_listed_and_changes_followed(tmp_path: Path) -> None:
    async def script(response: web.StreamResponse) -> None:
        change = event("MODIFIED", named("a", "101", "10.0.0.1", "10.0.0.3"))
        for piece in (change[:10], change[10:], event("DELETED", named("b", "102"))):
            await response.write(piece)
        await response.write(event("BOOKMARK", {"metadata": {"resourceVersion": "150"}}))

    async def main() -> None:
        api = Api([named("a", "1", "10.0.0.1"), named("b", "2", "10.0.0.2")], script)
        async with watching(api, tmp_path) as sink:
            await sink.until(sets=3)
            with anyio.fail_after(20):
                while len(api.asked) < 4:  # noqa: ASYNC110 - the server's side of it
                    await anyio.sleep(0.005)
        assert sink.addresses[:3] == [
            ["10.0.0.1:8080", "10.0.0.2:8080"],
            ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"],
            ["10.0.0.1:8080", "10.0.0.3:8080"],
        ]
        assert [asked.get("resourceVersion") for asked in api.asked[2:4]] == ["100", "150"]  # it goes on from there
        assert sink.reasons == []

    anyio.run(main)


@pytest.mark.parametrize("by_status", [False, True])
def test_after_410_gone_all_is_listed_anew(tmp_path: Path, by_status: bool) -> None:
    async def script(response: web.StreamResponse) -> None:
        await response.write(event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"}))

    async def main() -> None:
        api = Api([named("a", "1", "10.0.0.1")], script)
        async with watching(api, tmp_path) as sink:
            await sink.until(sets=1)
            if by_status:
                api.failures.append(web.Response(status=410))
            api.items = [named("a", "9", "10.0.0.9")]
            await sink.until(sets=2)
        assert sink.addresses[-1] == ["10.0.0.9:8080"]
        assert sink.reasons == []

    anyio.run(main)


def test_a_broken_connection_is_told_and_what_was_known_stays(tmp_path: Path) -> None:
    async def script(response: web.StreamResponse) -> None:
        await response.write(b'{"type": "MODI')
        assert response._req is not None
        assert response._req.transport is not None
        response._req.transport.abort()

    async def main() -> None:
        api = Api([named("a", "1", "10.0.0.1")], script)
        async with watching(api, tmp_path) as sink:
            await sink.until(sets=2, reasons=1)
        assert sink.addresses[:2] == [["10.0.0.1:8080"]] * 2

    anyio.run(main)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (web.Response, "the API answered 500"),
        (web.Response, "403: the service account may not list and watch endpointslices"),
        (web.Response, "the API's answer is not JSON"),
        (web.Response, "the API's answer is no list"),
    ],
)
def test_answers_that_cannot_be_believed(tmp_path: Path, answer: type[web.Response], reason: str) -> None:
    status = {"5": 500, "4": 403}.get(reason[-3] if reason.endswith("500") else reason[0], 200)
    body = {"the API's answer is no list": "[]"}.get(reason, "nonsense")

    async def main() -> None:
        api = Api([named("a", "1", "10.0.0.1")])
        api.failures.append(answer(status=status, text=body))
        async with watching(api, tmp_path) as sink:
            await sink.until(sets=1, reasons=1)
        assert sink.reasons == [reason]
        assert sink.addresses == [["10.0.0.1:8080"]]

    anyio.run(main)


def test_the_token_is_read_anew_for_each_request(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")

    async def script(_: web.StreamResponse) -> None:
        token.write_text("second\n")

    async def main() -> None:
        api = Api([named("a", "1", "10.0.0.1")], script)
        async with watching(api, tmp_path):
            with anyio.fail_after(20):
                while len(api.tokens) < 3:  # noqa: ASYNC110 - the server's side of it
                    await anyio.sleep(0.005)
        assert api.tokens[:3] == ["Bearer first", "Bearer first", "Bearer second"]

    anyio.run(main)


def test_outside_of_a_cluster_it_says_what_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    async def main() -> None:
        sink = Sink()
        async with anyio.create_task_group() as tasks:
            settings = DiscoverySettings(Target("kubernetes", "web", "80", "shop"))
            tasks.start_soon(watch_service, settings, sink, tmp_path)
            await sink.until(reasons=1)
            tasks.cancel_scope.cancel()
        assert "discover_api" in sink.reasons[0]

    anyio.run(main)
