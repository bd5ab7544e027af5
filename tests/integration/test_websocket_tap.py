"""A look at the last frames of one session, for a while, on routes that inspect."""

from __future__ import annotations

import anyio
import pytest

from tests.integration.harness import in_loop
from tests.integration.websocket_pair import Pair, relayed, relays_of
from tests.integration.websocket_wire import PING, TEXT, frame, receive_frame
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


@pytest.mark.parametrize("lines", ["inspect = yes", "inspect = yes\nmessage_rate = 1000/s"])
@in_loop
async def test_a_tap_shows_what_passes_from_now_on(lines: str) -> None:
    async with relayed(lines) as pair:
        await say(pair, b"before")
        (relay,) = relays_of(pair.running).open
        tap = relay.tap(60, anyio.current_time())
        await say(pair, b"seen")
        await pair.upstream.send(frame(PING, b"?"))
        await receive_frame(pair.client)
        assert shown(tap) == [("client", TEXT, b"seen"), ("upstream", TEXT, b"SEEN"), ("upstream", PING, b"?")]
        for number in range(TAP_ENTRIES):
            await say(pair, b"%d" % number)
        assert len(tap.entries) == TAP_ENTRIES
        await part(pair)


@in_loop
async def test_a_tap_ends_by_itself() -> None:
    async with relayed("inspect = yes") as pair:
        (relay,) = relays_of(pair.running).open
        over = relay.tap(0, anyio.current_time())
        await say(pair, b"too late")
        assert not over.entries
        tap = relay.tap(1e9, anyio.current_time())
        assert tap.is_over(pair.running.application.listeners.frontends[0].service.deadlines.now + LONGEST_TAP_S + 1)
        await say(pair, b"in time")
        assert len(tap.entries) == 2
        await part(pair)
