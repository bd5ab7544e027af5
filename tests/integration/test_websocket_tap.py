"""A look at the last frames of one session, for a while, on routes of every kind."""

from __future__ import annotations

import pytest

from tests.integration.harness import RawServer, Wire, eventually, http_route, in_loop, proxy
from tests.integration.websocket_pair import Pair, relayed, relays_of
from tests.integration.websocket_wire import PING, TEXT, accept, close, echo, frame, open_websocket, receive_frame
from wsproxy.ws.tap import LONGEST_TAP_S, TAP_ENTRIES, Tap


def shown(tap: Tap) -> list[tuple[str, int, bytes]]:
    return [(entry.side, entry.opcode, entry.preview) for entry in tap.entries]


async def say(pair: Pair, text: bytes) -> None:
    """From the client to the upstream and back."""
    await pair.client.send(frame(TEXT, text, masked=True))
    assert await receive_frame(pair.upstream) == (TEXT, text)
    await pair.upstream.send(frame(TEXT, text.upper()))
    assert await receive_frame(pair.client) == (TEXT, text.upper())


async def part(pair: Pair) -> None:
    await pair.client.close()
    await pair.upstream.close()


@pytest.mark.parametrize("lines", ["", "inspect = yes", "message_rate = 1000/s", "on_backend_loss = reconnect"])
@in_loop
async def test_a_tap_shows_what_passes_from_now_on(lines: str) -> None:
    async with relayed(lines) as pair:
        await say(pair, b"before")
        (relay,) = relays_of(pair.running).open
        tap = relay.tap(60)
        await say(pair, b"seen")
        await pair.upstream.send(frame(PING, b"?"))
        await receive_frame(pair.client)
        assert shown(tap) == [("client", TEXT, b"seen"), ("upstream", TEXT, b"SEEN"), ("upstream", PING, b"?")]
        for number in range(TAP_ENTRIES):
            await say(pair, b"%d" % number)
        assert len(tap.entries) == TAP_ENTRIES
        await part(pair)


@pytest.mark.parametrize("lines", ["", "inspect = yes"])
@in_loop
async def test_a_tap_ends_by_itself(lines: str) -> None:
    async with relayed(lines) as pair:
        (relay,) = relays_of(pair.running).open
        over = relay.tap(0)
        await say(pair, b"too late")
        assert not over.entries
        tap = relay.tap(1e9)
        assert tap.is_over(pair.running.application.frontends[0].deadlines.now + LONGEST_TAP_S + 1)
        await say(pair, b"in time")
        assert len(tap.entries) == 2
        await part(pair)


@in_loop
async def test_a_tap_goes_on_with_another_backend() -> None:
    served = 0

    async def script(wire: Wire) -> None:
        nonlocal served
        served += 1
        if served > 1:
            await echo(wire)
            return
        await accept(wire)
        await receive_frame(wire)
        await wire.send(close(1012))
        await receive_frame(wire)

    async with RawServer(script) as server:
        text = http_route(server.port, lines="on_backend_loss = reconnect", section="websocket")
        async with proxy(text) as running, await open_websocket(running.port) as client:
            await eventually(lambda: running.relays == 1)
            (relay,) = relays_of(running).open
            tap = relay.tap(60)
            await client.send(frame(TEXT, b"one", masked=True))
            await eventually(lambda: relays_of(running).totals.reconnects == 1)
            await client.send(frame(TEXT, b"two", masked=True))
            assert await receive_frame(client) == (TEXT, b"two")
            # The Close of the first backend is nobody's business but the proxy's.
            assert shown(tap) == [("client", TEXT, b"one"), ("client", TEXT, b"two"), ("upstream", TEXT, b"two")]
