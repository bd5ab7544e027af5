"""The edges of an ending: who may still speak when one side has closed and gone, and what a lost side sent last."""

from __future__ import annotations

import anyio
import pytest

from tests.integration.harness import eventually, in_loop
from tests.integration.websocket_pair import frames_until_end, relayed
from tests.integration.websocket_wire import BINARY, TEXT, close, closing, frame, receive_frame
from wsproxy.frontend import pair as websocket_pair


@in_loop
async def test_a_server_that_closes_and_goes_at_once_leaves_the_client_its_time_to_answer() -> None:
    async with relayed() as pair:
        await pair.upstream.send(frame(TEXT, b"last"), close(1001, b"bye"))
        await pair.upstream.close()
        assert await receive_frame(pair.client) == (TEXT, b"last")
        assert await receive_frame(pair.client) == (8, closing(1001)[1] + b"bye")
        assert pair.running.relays == 1
        await pair.client.send(close(1001, masked=True))
        assert await frames_until_end(pair.client) == []
    assert pair.totals.closes == {("upstream", 1001): 1}


@in_loop
async def test_a_client_that_closes_and_goes_at_once_leaves_the_server_its_time_to_answer() -> None:
    async with relayed() as pair:
        await pair.client.send(frame(TEXT, b"last", True), close(1000, masked=True))
        await pair.client.close()
        assert await receive_frame(pair.upstream) == (TEXT, b"last")
        assert await receive_frame(pair.upstream) == closing(1000)
        await pair.upstream.send(frame(TEXT, b"too late for you"), close(1000))
        assert await frames_until_end(pair.upstream) == []
    assert pair.totals.closes == {("client", 1000): 1}


@in_loop
async def test_the_clients_connection_ends_as_soon_as_both_closes_have_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLOSE_TIMEOUT_S", "END_TIMEOUT_S"):  # nothing but the two Closes ends it
        monkeypatch.setattr(websocket_pair, name, 600.0)
    async with relayed() as pair:
        await pair.client.send(close(1000, masked=True))
        assert await receive_frame(pair.upstream) == closing(1000)
        await pair.upstream.send(close(1000))
        assert await frames_until_end(pair.client) == [closing(1000)]
        await pair.upstream.close()


@in_loop
async def test_two_closes_that_cross_are_each_passed() -> None:
    async with relayed() as pair:
        await pair.client.send(close(4001, masked=True))
        await pair.upstream.send(close(4002))
        assert await frames_until_end(pair.client) == [closing(4002)]
        assert await receive_frame(pair.upstream) == closing(4001)
        await pair.upstream.close()


@in_loop
async def test_a_half_closed_client_hears_what_its_server_still_has_to_say() -> None:
    async with relayed() as pair:
        await pair.client.send(frame(BINARY, b"x" * 200_000, True))
        pair.client.end()
        assert await receive_frame(pair.upstream) == (BINARY, b"x" * 200_000)
        assert await frames_until_end(pair.upstream) == [closing(1001)]
        await pair.upstream.send(frame(BINARY, b"y" * 200_000), close(1001))
        await pair.upstream.close()
        assert await frames_until_end(pair.client) == [(BINARY, b"y" * 200_000), closing(1001)]
        assert pair.totals.closes == {("client", 1006): 1}


@in_loop
async def test_a_half_closed_server_is_a_lost_one_once_its_last_message_has_passed() -> None:
    async with relayed() as pair:
        await pair.upstream.send(frame(BINARY, b"x" * 2_000_000))
        pair.upstream.end()
        assert await receive_frame(pair.client) == (BINARY, b"x" * 2_000_000)
        assert await frames_until_end(pair.client) == [closing(1011)]
        assert await frames_until_end(pair.upstream) == []


@in_loop
async def test_a_half_closed_client_is_served_as_long_as_its_server_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_pair, "CLOSE_TIMEOUT_S", 1.0)
    async with relayed() as pair:
        pair.client.end()
        assert await frames_until_end(pair.upstream) == [closing(1001)]
        started = anyio.current_time()
        while anyio.current_time() < started + 2.5:
            await pair.upstream.send(frame(TEXT, b"more"))
            assert await receive_frame(pair.client) == (TEXT, b"more")
        assert await frames_until_end(pair.client) == [], "it had no more to say"
        assert await frames_until_end(pair.upstream) == []


@in_loop
async def test_a_half_closed_client_is_not_served_while_the_proxy_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_pair, "CLOSE_TIMEOUT_S", 0.5)
    async with relayed() as pair:
        pair.client.end()
        assert await frames_until_end(pair.upstream) == [closing(1001)]
        pair.running.application.listeners.frontends[0].service.stopping = True
        await pair.upstream.send(frame(TEXT, b"more"))
        assert await receive_frame(pair.client) == (TEXT, b"more")
        assert await frames_until_end(pair.client) == []


@in_loop
async def test_a_client_that_ends_inside_a_frame_hears_what_its_server_still_has_to_say() -> None:
    async with relayed() as pair:
        await pair.client.send(frame(BINARY, b"x" * 100, True)[:50])
        await pair.upstream.exactly(50)
        pair.client.end()
        await pair.upstream.send(frame(TEXT, b"an answer"))
        assert await receive_frame(pair.client) == (TEXT, b"an answer")
        await pair.upstream.close()
        assert await frames_until_end(pair.client) == []


@pytest.mark.parametrize("side", ["client", "upstream"])
@in_loop
async def test_the_end_behind_a_close_passes_with_it(side: str) -> None:
    async with relayed() as pair:
        masked = side == "client"
        closer, other = (pair.client, pair.upstream) if masked else (pair.upstream, pair.client)
        await closer.send(close(1000, masked=masked))
        closer.end()
        assert await frames_until_end(other) == [closing(1000)], "long before its time to answer is over"
        await other.send(frame(TEXT, b"in time", not masked), close(1000, masked=not masked))
        assert await receive_frame(closer) == (TEXT, b"in time")
        assert await receive_frame(closer) == closing(1000)
        await other.close()


@pytest.mark.parametrize("side", ["client", "upstream"])
@in_loop
async def test_bytes_behind_a_close_reach_nobody_who_has_gone(side: str) -> None:
    async with relayed() as pair:
        masked = side == "client"
        speaker, listener = (pair.client, pair.upstream) if masked else (pair.upstream, pair.client)
        await listener.send(close(1000, masked=not masked))
        assert await receive_frame(speaker) == closing(1000)
        await speaker.send(close(1000, masked=masked))
        assert await receive_frame(listener) == closing(1000)
        await listener.close()
        await speaker.close()
        await eventually(lambda: pair.running.relays == 0)
