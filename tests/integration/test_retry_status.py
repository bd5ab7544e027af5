"""`retry_status`: an error answer that another server may make up for never reaches the client."""

from __future__ import annotations

import pytest

from tests.integration.harness import RawServer, connect, fetch, http_route, in_loop, ok, proxied, proxy

OOPS = b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops"
LINES = "retry_status = 500, 503\nalgorithm = round-robin\n"


@pytest.mark.parametrize(
    ("method", "body", "expected"),
    [(b"GET", b"", {200}), (b"PUT", b"data", {200}), (b"POST", b"data", {200, 500})],
)
@in_loop
async def test_what_may_be_repeated_goes_to_another_server(method: bytes, body: bytes, expected: set[int]) -> None:
    async with (
        RawServer(OOPS) as ill,
        RawServer(ok()) as well,
        proxy(http_route(ill.port, well.port, lines=LINES)) as it,
        await connect(it.port) as client,
    ):
        statuses = set()
        for _ in range(6):
            await client.send(b"%b / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (method, len(body), body))
            statuses.add((await client.response()).status)
        assert statuses == expected
        assert it.application.routes["http"].totals.retries == (3 if expected == {200} else 0)


@in_loop
async def test_the_servers_own_answer_passes_where_nobody_is_left_to_ask() -> None:
    async with proxied(OOPS, LINES) as (_, it):
        assert (await fetch(it.port)).body == b"oops"
    async with (
        RawServer(OOPS) as one,
        RawServer(OOPS) as two,
        proxy(http_route(one.port, two.port, lines=LINES)) as it,
    ):
        assert (await fetch(it.port)).body == b"oops"
        assert len(one.requests) + len(two.requests) == 2


@in_loop
async def test_other_statuses_pass() -> None:
    gone = b"HTTP/1.1 502 Gone\r\nContent-Length: 0\r\n\r\n"
    async with (
        RawServer(gone) as ill,
        RawServer(gone) as too,
        proxy(http_route(ill.port, too.port, lines=LINES)) as it,
    ):
        assert (await fetch(it.port)).status == 502
        assert it.application.routes["http"].totals.retries == 0
