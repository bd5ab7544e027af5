"""What a pool has counted, while it is counted."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.harness import RawServer, connect, eventually, get, http_route, in_loop, ok, proxy
from wsproxy.backend.totals import PoolTotals
from wsproxy.net.dial import Dialer
from wsproxy.net.stream import Stream


def test_what_was_said_of_reuse_is_not_taken_back() -> None:
    totals = PoolTotals()
    said = []
    for exchanges, dials, stale in ((0, 0, 0), (1, 1, 0), (3, 1, 0), (4, 1, 0), (4, 2, 0), (5, 3, 1), (9, 3, 1)):
        totals.dials, totals.stale = dials, stale
        said.append(totals.reused(exchanges))
    assert said == [0, 0, 2, 3, 3, 3, 7]


@in_loop
async def test_a_request_that_waits_for_its_connection_has_reused_none(monkeypatch: pytest.MonkeyPatch) -> None:
    may_dial = asyncio.Event()
    dial = Dialer.dial

    async def late(self: Dialer, timeout_s: float) -> Stream:
        await may_dial.wait()
        return await dial(self, timeout_s)

    monkeypatch.setattr(Dialer, "dial", late)
    async with (
        RawServer(ok()) as server,
        proxy(http_route(server.port)) as running,
        await connect(running.port) as wire,
    ):
        pool = running.pool()
        said = []
        for count in (1, 2):
            await wire.send(get())
            await eventually(lambda count=count: pool.exchanges == count)  # type: ignore[misc]
            said.append(pool.totals.reused(pool.exchanges))
            may_dial.set()
            assert (await wire.response()).status == 200
        assert said == [0, 1]
