"""The clocks of a WebSocket through the product: pings of ours, silence, idleness and age."""

from __future__ import annotations

import asyncio

from tests.integration.harness import LOST, Wire, in_loop
from tests.integration.websocket_pair import Pair, frames_until_end, relayed, within
from tests.integration.websocket_wire import (
    BINARY,
    PING,
    PONG,
    TEXT,
    Received,
    close,
    closing,
    frame,
    receive_frame,
)

QUICK = "ping_interval = 200ms\nping_timeout = 500ms\n"
PATIENT = "ping_interval = 200ms\nping_timeout = 60s\n"
"""For peers that do answer, each in its time."""


async def answer_pings(wire: Wire, masked: bool, count: int) -> list[Received]:
    """Answer so many pings, which are all that comes; their frames."""
    pings = []
    for _ in range(count):
        opcode, payload = await receive_frame(wire)
        pings.append((opcode, payload))
        await wire.send(frame(PONG, payload, masked))
    return pings


@in_loop
async def test_both_legs_are_pinged_when_silent_and_the_pongs_are_ours_alone() -> None:
    async with relayed(PATIENT) as pair:
        started = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks:
            legs = [
                tasks.create_task(answer_pings(wire, masked, 2))
                for wire, masked in ((pair.client, True), (pair.upstream, False))
            ]
        pings = [ping for leg in legs for ping in leg.result()]
        assert {opcode for opcode, _ in pings} == {PING}
        assert len({payload for _, payload in pings}) == 1, "the marker stays the same"
        await pair.client.send(frame(TEXT, b"still there", masked=True))
        while (received := await receive_frame(pair.upstream))[0] == PING:
            await pair.upstream.send(frame(PONG, received[1]))
        assert received == (TEXT, b"still there"), "no pong has passed"
        assert pair.totals.round_trips >= 4
        # Of several, each within the time that this took.
        passed_s = asyncio.get_running_loop().time() - started
        assert 0 < pair.totals.round_trip_s < pair.totals.round_trips * passed_s
        await pair.client.close()


@in_loop
async def test_pings_to_the_upstream_are_masked_and_those_to_the_client_are_not() -> None:
    async with relayed(PATIENT) as pair:
        assert (await pair.client.exactly(2))[1] & 0x80 == 0
        assert (await pair.upstream.exactly(2))[1] & 0x80 == 0x80
        await pair.client.close()


@in_loop
async def test_others_pings_and_pongs_pass() -> None:
    async with relayed("ping_interval = none\n") as pair:
        await pair.client.send(frame(PING, b"mine", masked=True))
        assert await receive_frame(pair.upstream) == (PING, b"mine")
        await pair.upstream.send(frame(PONG, b"mine"))
        assert await receive_frame(pair.client) == (PONG, b"mine")
        await pair.upstream.send(frame(PONG, b"unasked"))
        assert await receive_frame(pair.client) == (PONG, b"unasked")
        await pair.client.close()


@in_loop
async def test_a_client_that_stays_silent_is_cut_and_the_server_told() -> None:
    async with relayed(QUICK) as pair:
        assert await receive_frame(pair.upstream) is not None
        frames = []
        while True:
            try:
                opcode, payload = await receive_frame(pair.upstream)
            except LOST:
                break
            frames.append((opcode, payload))
            if opcode == PING:
                await pair.upstream.send(frame(PONG, payload))
            else:
                await pair.upstream.send(close(1001))
        assert frames[-1] == closing(1001)
        assert [opcode for opcode, _ in await frames_until_end(pair.client)] == [PING]
    assert pair.totals.closes == {("client", 1006): 1}


@in_loop
async def test_a_server_that_stays_silent_is_cut_and_the_client_told() -> None:
    async with relayed(QUICK) as pair:
        frames = []
        while True:
            try:
                opcode, payload = await receive_frame(pair.client)
            except LOST:
                break
            frames.append((opcode, payload))
            if opcode == PING:
                await pair.client.send(frame(PONG, payload, masked=True))
        assert frames[-1] == closing(1011)
        assert [opcode for opcode, _ in await frames_until_end(pair.upstream)] == [PING]
    assert pair.totals.closes == {("upstream", 1006): 1}


@in_loop
async def test_bytes_of_an_unfinished_message_are_signs_of_life_and_no_ping_lands_inside_it() -> None:
    async with relayed("ping_interval = 1500ms\nping_timeout = 60s\n") as pair:
        message = frame(BINARY, b"x" * 60, masked=True)
        await pair.client.send(message[:6])
        for index in range(6, len(message)):  # 3 s in all, and far less than one clock between any two
            await pair.client.send(message[index : index + 1])
            assert await within(0.05, receive_frame, pair.client) is None, "it is not silent, and so not pinged"
        while (received := await receive_frame(pair.upstream))[0] == PING:
            await pair.upstream.send(frame(PONG, received[1]))
        assert received == (BINARY, b"x" * 60)
        await pair.client.close()


@in_loop
async def test_a_session_without_messages_is_idle_whoever_pings() -> None:
    async with relayed("ping_interval = none\nidle_timeout = 600ms\n") as pair:
        assert (await keep_pinging(pair))[1][:2] == closing(1001)[1]
        assert await receive_frame(pair.client) == (closing(1001)[0], closing(1001)[1] + b"idle")
        await pair.client.send(close(1001, masked=True))
        await pair.upstream.send(close(1001))
        await pair.upstream.close()
    assert pair.totals.closes == {("proxy", 1001): 1}


async def keep_pinging(pair: Pair) -> Received:
    """Ping from the client without end; what comes to the upstream that is no ping."""
    while True:
        await pair.client.send(frame(PING, b"hello?", masked=True))
        received = await within(0.1, receive_frame, pair.upstream)
        if received is not None and received[0] != PING:
            return received


@in_loop
async def test_an_old_session_is_asked_to_come_back() -> None:
    async with relayed("max_lifetime = 700ms\n") as pair:
        opcode, payload = await receive_frame(pair.client)
        assert (opcode, payload[:2]) == closing(1012)
        assert payload[2:] == b"maximum lifetime"
        assert (await receive_frame(pair.upstream))[1][:2] == closing(1001)[1]
        await pair.client.close()
