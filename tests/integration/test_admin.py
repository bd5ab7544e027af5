"""The admin API on the running product: the shapes that users know, backends that come and go, and WebSockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.integration.admin_caller import Caller, administered
from tests.integration.harness import RawServer, Wire, eventually, fetch, get, http_route, in_loop, ok, refused_port
from tests.integration.harness import connect as wire_to


async def echo(websocket: ServerConnection) -> None:
    async for message in websocket:
        await websocket.send(message)


@asynccontextmanager
async def chat(clients: int, lines: str = "") -> AsyncIterator[tuple[Caller, list[ClientConnection]]]:
    """A route to a WebSocket echo, and clients on it."""
    async with serve(echo, "127.0.0.1", 0) as server, AsyncExitStack() as stack:
        port = next(iter(server.sockets)).getsockname()[1]
        caller = await stack.enter_async_context(
            administered(http_route(port, section="websocket", lines=f"server1_name = chat-1\n{lines}"))
        )
        url = f"ws://127.0.0.1:{caller.proxy.port}/"
        clients_of = [connect(url, proxy=None, compression=None) for _ in range(clients)]
        yield caller, [await stack.enter_async_context(client) for client in clients_of]


async def close_code(websocket: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(websocket.recv(), 5)
    return websocket.close_code


# The shapes of the first proxies.


@in_loop
async def test_status_has_the_shape_that_users_know() -> None:
    async with RawServer(ok()) as server, administered(http_route(server.port)) as caller:
        status = (await caller.get("/status")).json()
        assert (status["total_backends"], status["active_backends"]) == (1, 1)
        (backend,) = status["backends"]
        assert backend["url"] == f"http://127.0.0.1:{server.port}"
        assert backend["alive"] is True
        assert backend["current_connections"] == 0
        assert (status["phase"], backend["state"]) == ("running", "up")


@in_loop
async def test_a_client_that_leaves_is_no_failure_of_the_server_and_a_broken_answer_is() -> None:
    async def silent_then_broken(wire: Wire) -> None:
        if (await wire.request()).target == b"/broken":
            await wire.send(b"nonsense\r\n\r\n")
        await wire.some()

    async with RawServer(silent_then_broken) as server, administered(http_route(server.port)) as caller:
        async with await wire_to(caller.proxy.port) as client:
            await client.send(get(b"/silent"))
            await eventually(lambda: server.opened == 1)
            client.reset()
        await eventually(lambda: caller.proxy.pool().in_flight == 0)
        assert (await caller.get("/status")).json()["backends"][0]["failures"] == 0
        assert (await fetch(caller.proxy.port, b"/broken")).status == 502
        assert (await caller.get("/status")).json()["backends"][0]["failures"] == 1


@in_loop
async def test_a_server_is_added_and_gets_requests() -> None:
    async with (
        RawServer(ok(b"first")) as first,
        RawServer(ok(b"second")) as second,
        administered(http_route(first.port, lines="algorithm = round-robin")) as caller,
    ):
        url = f"http://127.0.0.1:{second.port}"
        answer = (await caller.post("/backends", {"url": url}, expect=201)).json()
        assert answer["backend"]["url"] == url
        assert answer["backend"]["added"]
        assert "kept across reloads" in answer["note"]
        bodies = {(await fetch(caller.proxy.port)).body for _ in range(4)}
        assert bodies == {b"first", b"second"}
        assert (await caller.get("/status")).json()["total_backends"] == 2


@in_loop
async def test_what_cannot_be_added_is_refused_with_a_reason() -> None:
    async with RawServer(ok()) as server, administered(http_route(server.port)) as caller:
        known = f"http://127.0.0.1:{server.port}"
        assert "already" in (await caller.post("/backends", {"url": known}, expect=409)).json()["error"]
        assert (await caller.post("/backends", {"url": f"127.0.0.1:{server.port}"}, expect=409)).json()
        problem = (await caller.post("/backends", {"url": "no url"}, expect=400)).json()["error"]
        assert "no url" in problem
        assert (await caller.post("/backends", {}, expect=400)).json() == {"error": "'url' is missing"}
        nowhere = await caller.post("/backends", {"url": "http://a:1", "group": "other"}, expect=404)
        assert "other" in nowhere.json()["error"]


@in_loop
async def test_without_a_group_the_only_one_is_meant_and_of_two_none() -> None:
    async with RawServer(ok()) as server:
        one = http_route(server.port, section="http:a")
        async with administered(one) as caller:
            answer = await caller.post("/backends", {"url": "http://127.0.0.1:9"}, expect=201)
            assert answer.json()["backend"]["group"] == "http:a"
        async with administered(one + http_route(server.port, section="http:b", lines="path_prefix = /b")) as caller:
            problem = (await caller.post("/backends", {"url": "http://127.0.0.1:9"}, expect=400)).json()["error"]
            assert problem == "name a group: http:a, http:b"
            gone = await caller.delete("/backends", {"url": f"127.0.0.1:{server.port}"}, expect=400)
            assert "http:a, http:b" in gone.json()["error"]


@in_loop
async def test_without_a_group_that_of_the_http_section_is_meant() -> None:
    async with RawServer(ok()) as server:
        two = f"[group:app]\nserver1 = 127.0.0.1:{server.port}\n[http]\ngroup = app\n"
        async with administered(two + http_route(server.port, section="http:b", lines="path_prefix = /b")) as caller:
            answer = await caller.post("/backends", {"url": "http://127.0.0.1:9"}, expect=201)
            assert answer.json()["backend"]["group"] == "app"


@in_loop
async def test_a_removed_server_finishes_what_it_has() -> None:
    held: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def slow(wire: Wire) -> None:
        await wire.request()
        await held
        await wire.send(ok(b"late"))

    async with (
        RawServer(slow) as first,
        RawServer(ok()) as second,
        administered(http_route(first.port, second.port, lines="algorithm = round-robin")) as caller,
    ):
        answer = asyncio.ensure_future(fetch(caller.proxy.port))
        await eventually(lambda: first.opened == 1)
        gone = (await caller.delete("/backends", {"url": f"http://127.0.0.1:{first.port}"})).json()
        assert gone["left"] == {"requests": 1, "websockets": 0}
        assert [each["url"] for each in gone["backends"]] == [f"http://127.0.0.1:{second.port}"]
        assert (await fetch(caller.proxy.port)).body == b"fine"
        held.set_result(None)
        assert (await answer).body == b"late"
        await caller.delete("/backends", {"url": f"http://127.0.0.1:{first.port}"}, expect=404)


@in_loop
async def test_a_disabled_server_gets_nothing_until_it_is_enabled() -> None:
    async with (
        RawServer(ok(b"first")) as first,
        RawServer(ok(b"second")) as second,
        administered(http_route(first.port, second.port, lines="algorithm = round-robin")) as caller,
    ):
        name = {"backend": f"127.0.0.1:{first.port}"}
        answer = (await caller.post("/backends/disable", name)).json()
        assert answer["backend"]["state"] == "disabled"
        status = (await caller.get("/status")).json()
        assert (status["total_backends"], status["active_backends"]) == (2, 1)
        assert {(await fetch(caller.proxy.port)).body for _ in range(4)} == {b"second"}
        assert (await caller.post("/backends/enable", name)).json()["backend"]["state"] == "up"
        assert {(await fetch(caller.proxy.port)).body for _ in range(4)} == {b"first", b"second"}
        await caller.post("/backends/disable", {"backend": "nobody"}, expect=404)


@in_loop
async def test_a_server_that_the_file_disables_is_there_unprobed_and_can_be_enabled() -> None:
    async with RawServer(ok(b"first")) as first, RawServer(ok(b"second")) as second:
        lines = "server2_enabled = no\nhealth_check_interval = 100ms"
        async with administered(http_route(first.port, second.port, lines=lines)) as caller:
            name = {"backend": f"127.0.0.1:{second.port}"}

            async def second_backend() -> tuple[str, bool, int]:
                backend = (await caller.get("/status")).json()["backends"][1]
                return backend["state"], backend["alive"], backend["probes"]["good"]

            status = (await caller.get("/status")).json()
            assert (status["total_backends"], status["active_backends"]) == (2, 1)
            assert await second_backend() == ("disabled", False, 0)
            assert {(await fetch(caller.proxy.port)).body for _ in range(4)} == {b"first"}
            await caller.post("/backends/enable", name)
            await caller.post("/backends/disable", {"backend": f"127.0.0.1:{first.port}"})
            assert {(await fetch(caller.proxy.port)).body for _ in range(4)} == {b"second"}
            while (await second_backend())[2] == 0:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.01)
            assert (await second_backend())[:2] == ("up", True)


@in_loop
async def test_calls_of_plain_tools_need_no_media_type_but_those_of_browsers_do() -> None:
    async with RawServer(ok()) as server, administered(http_route(server.port)) as caller:
        body = b'{"url": "http://127.0.0.1:1"}'
        form = {"Content-Type": "application/x-www-form-urlencoded"}  # what `curl -d` says
        assert (await caller.client.post("/backends", content=body, headers=form)).status_code == 201
        gone = await caller.client.request("DELETE", "/backends", content=body)
        assert (gone.status_code, gone.json()["left"]) == (200, {"requests": 0, "websockets": 0})
        nothing = await caller.client.post("/sessions/drain")
        assert nothing.status_code == 400, "all of them is said by {}"
        for fields in (
            {"Content-Type": "text/plain"},
            {**form, "Origin": f"http://127.0.0.1:{caller.port}"},
            {**form, "Referer": "http://elsewhere.example/"},
            {**form, "Sec-Fetch-Site": "none"},
        ):
            answer = await caller.client.post("/backends", content=body, headers=fields)
            assert answer.status_code == 415, fields


@in_loop
async def test_a_weight_is_changed() -> None:
    async with RawServer(ok()) as server, administered(http_route(server.port)) as caller:
        url = f"http://127.0.0.1:{server.port}"
        answer = await caller.post("/backends/weight", {"backend": url, "weight": 7})
        assert answer.json()["backend"]["weight"] == 7
        assert not answer.json()["backend"]["added"]
        await caller.post("/backends/weight", {"backend": url, "weight": -1}, expect=400)


@in_loop
async def test_a_server_that_is_down_shows_as_that() -> None:
    lines = "health_check_interval = 100ms\nhealth_check_fall = 1"
    async with administered(http_route(await refused_port(), lines=lines)) as caller:

        async def state() -> tuple[bool, str, str]:
            (backend,) = (await caller.get("/backends")).json()["backends"]
            return backend["alive"], backend["state"], backend["probes"]["reason"]

        for _ in range(100):
            if not (await state())[0]:
                break
            await asyncio.sleep(0.02)
        assert await state() == (False, "down", "connection refused")


# WebSockets.


@in_loop
async def test_sessions_are_listed_with_what_they_carried() -> None:
    async with chat(2) as (caller, (first, _)):
        await first.send("hello")
        await first.recv()
        sessions = (await caller.get("/sessions")).json()["sessions"]
        assert len({session["id"] for session in sessions}) == 2
        (busy,) = [session for session in sessions if session["client"]["messages"]]
        assert (busy["route"], busy["backend"], busy["peer"]) == ("websocket", "chat-1", "127.0.0.1")
        assert busy["client"] == {"messages": 1, "texts": 1, "data_bytes": 5, "pings": 0, "pongs": 0}
        assert busy["upstream"]["messages"] == 1
        assert not busy["closing"]
        assert len((await caller.get("/sessions?limit=1")).json()["sessions"]) == 1
        assert (await caller.get("/sessions?backend=other")).json() == {"sessions": []}
        status = (await caller.get("/status")).json()
        assert status["websockets"] == status["backends"][0]["current_connections"] == 2


@in_loop
async def test_one_session_is_closed_as_asked() -> None:
    async with chat(2) as (caller, (first, second)):
        await first.send("I am the first")
        await first.recv()
        sessions = (await caller.get("/sessions")).json()["sessions"]
        (name,) = [session["id"] for session in sessions if session["client"]["messages"]]
        await caller.post("/sessions/close", {"id": name, "code": 4001, "reason": "asked to"})
        assert await close_code(first) == 4001
        assert first.close_reason == "asked to"
        await eventually(lambda: caller.proxy.relays == 1)
        await caller.post("/sessions/close", {"id": name}, expect=404)
        await second.send("still here")
        assert await second.recv() == "still here"
        await caller.post("/sessions/close", {"id": name, "code": 1005}, expect=400)


@in_loop
async def test_a_drained_backend_lets_its_sessions_go_and_can_come_back() -> None:
    async with chat(3, "drain_rate = 1000/s") as (caller, clients):
        answer = (await caller.post("/backends/drain", {"backend": "chat-1"})).json()
        assert answer["backend"]["state"] == "draining"
        assert [await close_code(client) for client in clients] == [1012] * 3
        await eventually(lambda: caller.proxy.relays == 0)
        assert (await caller.post("/backends/enable", {"backend": "chat-1"})).json()["backend"]["state"] == "up"
        async with connect(f"ws://127.0.0.1:{caller.proxy.port}/", proxy=None) as again:
            await again.send("back")
            assert await again.recv() == "back"


@in_loop
async def test_sessions_are_drained_by_name() -> None:
    async with chat(2, "drain_rate = 1000/s") as (caller, clients):
        assert (await caller.post("/sessions/drain", {"route": "other"})).json() == {"draining": 0}
        assert (await caller.post("/sessions/drain", {"route": "websocket"})).json() == {"draining": 2}
        assert [await close_code(client) for client in clients] == [1012] * 2


# The whole.


@in_loop
async def test_metrics_tell_of_what_happened() -> None:
    async with RawServer(ok()) as server, administered(http_route(server.port)) as caller:
        for _ in range(3):
            await fetch(caller.proxy.port)
        answer = await caller.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        values = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }
        name = f"127.0.0.1:{server.port}"
        assert values["wsproxy_http_requests_total", ("backend", name), ("code", "200"), ("route", "http")] == 3
        assert values["wsproxy_http_request_duration_seconds_count", ("backend", name), ("route", "http")] == 3
        assert values["wsproxy_backend_connections_opened_total", ("backend", name), ("group", "http")] == 1
        assert values["wsproxy_backend_connections_reused_total", ("backend", name), ("group", "http")] == 2
        openmetrics = await caller.client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
        assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
        assert openmetrics.text.endswith("# EOF\n")


@in_loop
async def test_the_configuration_is_shown_without_the_token() -> None:
    async with RawServer(ok()) as server, administered(http_route(server.port)) as caller:
        answer = await caller.get("/config")
        assert answer.json()["admin"]["token"] == "***"
        assert answer.json()["routes"][0]["name"] == "http"


@in_loop
async def test_what_there_is_not_is_said() -> None:
    async with RawServer(ok()) as server, administered(http_route(server.port)) as caller:
        await caller.post("/cache/purge", {}, expect=409)
        await caller.post("/switches", {"scaling": True}, expect=409)
        assert (await caller.post("/switches", {"monitoring": False})).json()["monitoring"] is False
        assert (await caller.get("/switches")).json() == {"monitoring": False, "scaling": None}
        assert (await caller.post("/reload", expect=409)).json()["problems"] == ["this configuration came from no file"]
        await caller.get("/nowhere", expect=404)
        assert (await caller.client.put("/status")).headers["allow"] == "GET, HEAD"


@in_loop
async def test_life_and_readiness_need_no_token() -> None:
    async with RawServer(ok()) as server, administered(http_route(server.port)) as caller:
        for path in ("/healthz", "/readyz"):
            answer = await caller.client.get(path, headers={"Authorization": ""})
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


# The tap.


def path_of(session: str) -> str:
    return f"/websockets/{session}/tap"


@in_loop
async def test_a_tap_shows_the_last_frames_of_one_websocket() -> None:
    async with chat(2, "inspect = yes") as (caller, (first, second)):
        await eventually(lambda: caller.proxy.relays == 2)
        sessions = (await caller.get("/sessions")).json()["sessions"]
        assert all(session["inspected"] for session in sessions)
        name = next(session["id"] for session in sessions if session["id"].endswith("1"))
        await caller.get(path_of(name), expect=404)
        begun = (await caller.post(f"{path_of(name)}?for=30s")).json()
        assert (begun["id"], begun["frames"]) == (name, [])
        assert 29 < begun["left_s"] <= 30
        for client in (first, second):
            await client.send("grüß dich")
            await client.send(b"\x00\xff")
            assert [await client.recv(), await client.recv()] == ["grüß dich", b"\x00\xff"]
        await first.close(4001, "enough")
        frames = (await caller.get(path_of(name))).json()["frames"]
        shown = [(frame["sender"], frame["kind"], frame["preview"], frame["is_text"]) for frame in frames]
        said = [("text", "grüß dich", True), ("binary", "00ff", False)]
        both = [(sender, *frame) for frame in said for sender in ("client", "upstream")]
        assert sorted(shown[:4]) == sorted(both)
        assert shown[4:] == [(sender, "close", "4001 enough", True) for sender in ("client", "upstream")]
        assert abs(frames[0]["at"] - time.time()) < 10
        assert frames[0]["size_bytes"] == len("grüß dich".encode())


@in_loop
async def test_who_may_not_be_tapped_and_for_how_long() -> None:
    async with chat(1) as (caller, _):
        await eventually(lambda: caller.proxy.relays == 1)
        ((session,),) = [(await caller.get("/sessions")).json()["sessions"]]
        assert not session["inspected"]
        refusal = (await caller.post(path_of(session["id"]), expect=409)).json()["error"]
        assert "inspect = yes" in refusal
        await caller.post(path_of("websocket.99"), expect=404)
        for written in ("0s", "-1", "1h30", "forever", ""):
            await caller.post(f"{path_of(session['id'])}?for={written}", expect=400)
        assert (await caller.client.delete(path_of(session["id"]))).status_code == 405
    async with chat(1, "inspect = yes") as (caller, _):
        await eventually(lambda: caller.proxy.relays == 1)
        ((session,),) = [(await caller.get("/sessions")).json()["sessions"]]
        assert 599 < (await caller.post(f"{path_of(session['id'])}?for=60m")).json()["left_s"] <= 600
        assert 29 < (await caller.post(path_of(session["id"]))).json()["left_s"] <= 30
