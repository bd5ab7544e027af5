"""The way to a real Redis: what a question gets, what an outage costs, and that it is two lines without a secret."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest
from redis.asyncio import Redis

from tests.integration.harness import eventually, in_loop, logged, refused_port
from tests.limiting.redis_server import client_of, hasten, redis_server
from wsproxy.net.redis_link import (
    MOST_REASON,
    TIMEOUT_S,
    RedisFaultError,
    RedisLink,
    RedisLinkSettings,
    reason_of,
    shown_url,
)


@asynccontextmanager
async def linked(url: str, **more: float) -> AsyncIterator[RedisLink]:
    """A link that is looked after inside the block."""
    settings = RedisLinkSettings(url, "redis_url", "nothing is known", more.get("timeout_s", TIMEOUT_S), 2)
    link = RedisLink(settings)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(link.run)
        try:
            yield link
        finally:
            tasks.cancel_scope.cancel()


async def ping(client: Redis) -> bool:
    return bool(await client.ping())


async def echo(word: bytes, client: Redis) -> object:
    return await client.echo(word)


async def store(client: Redis) -> bool:
    return bool(await client.set("session-4711", "page"))


@in_loop
async def test_a_server_that_is_killed_is_two_lines_and_is_found_again() -> None:
    async with redis_server() as server, linked(server.url) as link:
        with logged() as log:
            assert await link.ask(ping)
            await server.stop()
            for _ in range(100):
                with pytest.raises(RedisFaultError, match="Redis does not answer"):
                    await link.ask(ping)
            assert not link.is_open
            assert link.faults == 1
            await server.start()
            await eventually(lambda: link.is_open)
            assert await link.ask(ping)
            await eventually(lambda: len(log.of("INFO")) == 1)
        (warning,) = log.of("WARNING")
        named = f"the Redis of redis_url ({server.url}) "
        assert warning.startswith(f"{named}does not answer (")
        assert warning.endswith("): nothing is known until it does")
        assert log.of("INFO")[0].startswith(f"{named}answers again, after ")


@in_loop
async def test_a_server_that_hangs_holds_nobody_up_for_longer_than_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)
    async with redis_server() as server, linked(server.url) as link:
        with logged() as log:
            assert await link.ask(ping)
            server.process.send_signal(signal.SIGSTOP)
            started = anyio.current_time()
            asked = [link.ask(ping) for _ in range(20)]  # more than there are connections
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert anyio.current_time() - started < TIMEOUT_S + 1
            assert all(isinstance(answer, RedisFaultError) for answer in answers)
            assert f"(nothing came in {TIMEOUT_S:g} s)" in log.of("WARNING")[0]
            server.process.send_signal(signal.SIGCONT)
            await eventually(lambda: len(log.of("INFO")) == 1)
            for word in (b"a", b"b", b"c"):
                assert await link.ask(partial(echo, word)) == word, "no answer of before"
        assert len(log.of("WARNING")) == 1


@in_loop
async def test_a_server_that_closes_idle_connections_is_no_outage() -> None:
    async with redis_server() as server, linked(server.url) as link, client_of(server) as client:
        assert await link.ask(ping)
        assert await client.client_kill_filter(_type="normal", skipme=True) >= 1
        assert await link.ask(ping)
        assert link.faults == 0


@in_loop
async def test_a_server_that_answers_but_does_not_do_its_work_is_one_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)
    async with redis_server() as server, linked(server.url) as link, client_of(server) as client:
        with logged() as log:
            await client.config_set("maxmemory", "1")
            failed = 0
            while failed < 5:  # it answers each look, and is asked again and again on trial
                await eventually(lambda: link.is_open)
                with pytest.raises(RedisFaultError, match="maxmemory"):
                    await link.ask(store)
                failed += 1
            assert len(log.of("WARNING")) == 1
            assert log.of("INFO") == []
            await client.config_set("maxmemory", "0")
            await eventually(lambda: len(log.of("INFO")) == 1)
            assert await link.ask(store)


@in_loop
async def test_a_server_that_is_down_is_not_hammered(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)
    came = 0

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        came += 1
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, linked(f"redis://127.0.0.1:{port}/0") as link:
        with pytest.raises(RedisFaultError):
            await link.ask(ping)
        before = came
        for _ in range(1000):
            with pytest.raises(RedisFaultError):
                await link.ask(ping)
        assert came == before, "nobody asks in an outage"
        await eventually(lambda: came > before)  # but it is looked after


@in_loop
async def test_an_operator_is_answered_in_an_outage_too() -> None:
    async with redis_server() as server, linked(server.url, timeout_s=0.1) as link:
        await server.stop()
        with pytest.raises(RedisFaultError):
            await link.ask(ping)
        await server.start()
        assert not link.is_open, "it has not been looked after yet"
        assert await link.insist(ping, 5.0)
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(RedisFaultError, match=r"nothing came in 0\.1 s"):
            await link.insist(ping, 0.1)
        assert link.faults == 2


@in_loop
async def test_that_an_operator_waits_in_vain_begins_no_outage() -> None:
    async with linked(f"redis://127.0.0.1:{await refused_port()}/0") as link:
        with logged() as log, pytest.raises(RedisFaultError):
            await link.insist(ping, 5.0)
        assert link.is_open
        assert log.lines == []


@in_loop
async def test_the_library_is_loaded_before_anybody_waits_for_an_answer() -> None:
    async with linked("redis://127.0.0.1:1/0") as link:
        await eventually(lambda: link._client is not None)
        assert link.faults == 0


@in_loop
async def test_a_url_that_the_client_cannot_use_is_an_outage() -> None:
    async with linked("redis://127.0.0.1:6379/0?db=two") as link:
        with logged() as log, pytest.raises(RedisFaultError, match="db"):
            await link.ask(ping)
        assert len(log.of("WARNING")) == 1


@in_loop
async def test_no_secret_is_in_a_line_or_an_error() -> None:
    async with redis_server() as server, client_of(server) as client:
        await client.config_set("requirepass", "another")
        url = f"redis://user:s3cr%40t@127.0.0.1:{server.port}/0?client_name=hidden"
        with logged() as log:
            async with linked(url) as link:
                with pytest.raises(RedisFaultError) as raised:
                    await link.ask(ping)
        said = f"{log.lines} {raised.value}"
        assert f"redis://127.0.0.1:{server.port}/0" in said
        assert "does not answer" in said
        for secret in ("s3cr", "another", "hidden"):
            assert secret not in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "ValueError"),
        ("Command # 1 (SET session-4711 (a) page EX 3600) of pipeline caused error: OOM no\nmore", "OOM no more"),
        ("ERR unknown command 'GETEX', with args beginning with: 'session-4711' 'EX' ", "ERR unknown command 'GETEX'"),
        ("no s3cr@t, no s3cr%40t", "no ***, no ***"),
        ("x" * 1000, "x" * MOST_REASON),
    ],
)
def test_reasons(text: str, expected: str) -> None:
    assert reason_of(ValueError(text), "redis://:s3cr%40t@host") == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://host:6379/1", "redis://host:6379/1"),
        ("rediss://user:p@ss@[::1]:6379?password=x", "rediss://[::1]:6379"),
        ("unix://:word@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_shown_urls(url: str, expected: str) -> None:
    assert shown_url(url) == expected
