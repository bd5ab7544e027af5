"""How the process ends: what is idle at once, what is in flight in its own time, WebSockets with a Close."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.integration.harness import RawServer, Wire, connect, get, http_route, in_loop, ok
from tests.integration.websocket_wire import acceptance, close, closing, handshake, receive_frame
from tests.system.harness import spawned


class Slow:
    """A server's script: WebSockets that echo a Close, requests that are answered on demand."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, wire: Wire) -> None:
        while True:
            request = await wire.request()
            if request.field(b"upgrade"):
                await wire.send(acceptance(request.head))
                opcode, payload = await receive_frame(wire)
                assert (opcode, payload) == closing(1001)
                await wire.send(close(1001))
                return
            if request.target == b"/slow":
                self.asked.set()
                await self.release.wait()
            await wire.send(ok())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@in_loop
async def test_a_signal_ends_everything_in_order(number: int, tmp_path: Path) -> None:
    slow = Slow()
    async with RawServer(slow) as server:
        routes = http_route(server.port) + http_route(server.port, section="websocket")
        async with (
            spawned(tmp_path, routes, "shutdown_timeout = 20s") as running,
            await connect(running.port) as idle,
            await connect(running.port) as silent,
            await connect(running.port) as busy,
            await connect(running.port) as talker,
        ):
            await idle.send(get())
            assert (await idle.response()).status == 200
            await talker.send(handshake())
            assert (await talker.response()).status == 101
            await busy.send(get(b"/slow"))
            await slow.asked.wait()

            running.signal(number)
            assert await idle.rest() == b""
            assert await silent.rest() == b""
            assert await receive_frame(talker) == closing(1001)
            with pytest.raises(ConnectionError):
                await connect(running.port)
            await talker.send(close(1001, masked=True))
            assert await talker.rest() == b""
            slow.release.set()
            answer = await busy.response()
            assert (answer.status, answer.field(b"connection")) == (200, b"close")
            assert await busy.rest() == b""
            assert await running.exit_code(within_s=5) == 0


@in_loop
async def test_what_does_not_end_in_time_is_cut(tmp_path: Path) -> None:
    slow = Slow()
    async with (
        RawServer(slow) as server,
        spawned(tmp_path, http_route(server.port), "shutdown_timeout = 300ms") as running,
        await connect(running.port) as busy,
    ):
        await busy.send(get(b"/slow"))
        await slow.asked.wait()
        running.signal(signal.SIGTERM)
        assert await running.exit_code(within_s=5) == 0
        assert b" 200 " not in await busy.rest()
        assert any("did not end in time" in line for line in running.log)


@in_loop
async def test_what_is_cut_stands_in_the_access_log(tmp_path: Path) -> None:
    slow = Slow()
    async with RawServer(slow) as server:
        text = "[frontend]\nhost = 127.0.0.1\nport = 0\nshutdown_timeout = 300ms\n" + http_route(server.port)
        log = "[log]\naccess = access.log\naccess_format = $method $target $status\n"
        async with spawned(tmp_path, "", whole=text + log) as running, await connect(running.port) as client:
            await client.send(get(b"/slow"))
            await slow.asked.wait()
            running.signal(signal.SIGTERM)
            assert await running.exit_code(within_s=5) == 0
    assert (tmp_path / "access.log").read_text() == "GET /slow 499\n"


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
@in_loop
async def test_a_second_signal_ends_at_once(second: int, tmp_path: Path) -> None:
    slow = Slow()
    async with (
        RawServer(slow) as server,
        spawned(tmp_path, http_route(server.port), "shutdown_timeout = 1h") as running,
        await connect(running.port) as busy,
        await connect(running.port) as idle,
    ):
        await busy.send(get(b"/slow"))
        await slow.asked.wait()
        running.signal(signal.SIGTERM)
        assert await idle.rest() == b""
        running.signal(second)
        assert await running.exit_code(within_s=5) == 0
        assert b" 200 " not in await busy.rest()


@in_loop
async def test_a_request_half_sent_is_still_answered(tmp_path: Path) -> None:
    async with (
        RawServer(ok()) as server,
        spawned(tmp_path, http_route(server.port), "shutdown_timeout = 20s") as running,
        await connect(running.port) as idle,
        await connect(running.port) as late,
    ):
        await late.send(get())
        await late.response()
        await late.send(get()[:20])
        await idle.send(get())
        await idle.response()  # so the half before it has arrived
        running.signal(signal.SIGTERM)
        assert await idle.rest() == b""
        await late.send(get()[20:])
        answer = await late.response()
        assert (answer.status, answer.field(b"connection")) == (200, b"close")
        assert await running.exit_code(within_s=5) == 0
