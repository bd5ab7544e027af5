"""Discovery through the product, with several processes too: asked once, told to all, and no WebSocket lost by it."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from tests.discovery.api_server import ApiServer, serving
from tests.discovery.test_endpoint_slices import LEAVING, endpoint, slice_of
from tests.integration.harness import RawServer, Wire, connect, eventually, fetch, in_loop, ok
from tests.integration.websocket_wire import CLOSE, TEXT, close, echo, frame, handshake, receive_frame
from tests.system.harness import Spawned, spawned

LIMIT_S = 20.0


def slice_at(server: RawServer, name: str, conditions: dict[str, bool | None] | None = None) -> dict[str, object]:
    """A slice of one pod; each has its own number for the port `http`."""
    return slice_of(
        endpoint("127.0.0.1", name=name, conditions=conditions), ports=[{"name": "http", "port": server.port}]
    )


async def speaks(client: Wire) -> None:
    """The WebSocket is still the one it was."""
    await client.send(frame(TEXT, b"still here", masked=True))
    assert await receive_frame(client) == (TEXT, b"still here")


async def answers(running: Spawned, body: bytes) -> None:
    """Wait until ten requests in a row get that answer, so every process knows."""
    row = 0
    with anyio.fail_after(LIMIT_S):
        while row < 10:
            row = row + 1 if (await fetch(running.port)).body == body else 0
            await anyio.sleep(0.01)


@pytest.mark.parametrize("processes", [1, 2])
def test_what_happens_to_slices_and_to_the_api_cuts_no_websocket(tmp_path: Path, processes: int) -> None:
    @in_loop
    async def run() -> None:
        api = ApiServer()
        async with RawServer(echo) as kept, RawServer(ok(b"first")) as first, RawServer(ok(b"second")) as second:
            api.put("ws-1", slice_at(kept, "ws-1"), service="ws")
            api.put("web-1", slice_at(first, "web-1"))
            async with serving(api), spawned(tmp_path, routes(api), f"processes = {processes}\n") as running:
                clients = [await connect(running.port) for _ in range(6)]
                for client in clients:
                    await client.send(handshake())
                    assert (await client.response()).status == 101
                await answers(running, b"first")

                api.put("web-2", slice_at(second, "web-2"))  # a rollout of another service
                api.put("web-1", slice_at(first, "web-1", LEAVING))
                await answers(running, b"second")
                api.delete("web-1")

                api.put("ws-2", slice_at(kept, "ws-1"), service="ws")  # from slice to slice, the new one first
                api.delete("ws-1")
                api.delete("ws-2")  # the service is made anew
                await running.wait_for("websocket: kubernetes://shop/ws:http: 1 servers; requests get 503")
                api.put("ws-3", slice_at(kept, "ws-1"), service="ws")
                known = len(running.log)
                await eventually(
                    lambda: "websocket: kubernetes://shop/ws:http: 1 servers" in " ".join(running.log[known:])
                )
                for client in clients:
                    await speaks(client)
                api.cut(b'{"type": "DELE')
                await api.stop()
                api.compact()
                api.put("web-2", slice_at(first, "web-2"))
                await api.start()  # 410 Gone, and all is listed anew
                await answers(running, b"first")
                running.signal(1)
                await running.wait_for("reloaded")
                for client in clients:
                    await speaks(client)

                api.delete("ws-3")  # and when it is gone for good, they are told
                for client in clients:
                    assert await receive_frame(client) == (CLOSE, close(1012)[2:4])
                    await client.close()
        watching = [asked for asked in api.asked if "watch" in asked]
        assert len({each["labelSelector"] for each in watching}) == 2
        assert len(watching) <= 2 * 5  # one for each service at a time, however many processes there are

    run()


def routes(api: ApiServer) -> str:
    lines = f":http\ndiscover_api = {api.url}\nhealth_check_interval = 1h\n"
    return (
        f"[http]\ndiscover = kubernetes://shop/web{lines}"
        f"[websocket]\ndiscover = kubernetes://shop/ws{lines}drain_rate = 1000\n"
    )
