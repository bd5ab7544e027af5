"""Sessions that move to a server that has come later."""

from __future__ import annotations

from tests.integration.harness import RawServer, eventually, http_route, in_loop, proxy
from tests.integration.websocket_pair import relays_of
from tests.integration.websocket_wire import closing, echo, open_websocket, receive_frame
from wsproxy.config.group_settings import Address, ServerSettings


@in_loop
async def test_sessions_are_asked_to_move_to_a_server_that_has_come_later() -> None:
    async with RawServer(echo) as first, RawServer(echo) as second:
        lines = "rebalance = yes\nidle_timeout = 1h\nmax_workers = 30"
        async with proxy(http_route(first.port, lines=lines, section="websocket")) as running:
            clients = [await open_websocket(running.port) for _ in range(25)]
            await eventually(lambda: running.relays == 25)
            group = running.application.groups["websocket"].group
            await group.add(ServerSettings("second", Address("127.0.0.1", second.port)))
            await eventually(lambda: relays_of(running).totals.drained == 1)
            told = [relay for relay in relays_of(running).open if relay.is_closing]
            assert [relay.state.close_code for relay in told] == [1012]
            for client in clients:
                if client is not clients[-1]:
                    await client.close()
            await eventually(lambda: running.relays <= 1)
            await clients[-1].close()


@in_loop
async def test_an_even_share_is_left_alone() -> None:
    async with RawServer(echo) as first, RawServer(echo) as second:
        lines = "rebalance = yes\nidle_timeout = 200ms\nalgorithm = round-robin"
        async with proxy(http_route(first.port, second.port, lines=lines, section="websocket")) as running:
            clients = [await open_websocket(running.port) for _ in range(6)]
            for client in clients:  # nothing but their idleness ends them
                assert (await receive_frame(client))[1][:2] == closing(1001)[1]
                await client.close()
