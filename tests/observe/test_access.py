"""Access lines: their shape, their batches, and files that cannot be written."""

from __future__ import annotations

import asyncio
import io
import re

import pytest

from tests.fakes import Client, run, until
from wsproxy.errors import NO_BACKEND, bad_answer
from wsproxy.http.messages import ResponseHead
from wsproxy.observe import access as access_module
from wsproxy.observe.access import AccessLog

STAMP = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{4} "


def make_log(out: io.StringIO) -> AccessLog:
    return AccessLog(out, clock=lambda: 1_700_000_000.0)


def answered(client: Client, status: int) -> None:
    client.exchange.answered = True
    client.exchange.answered_bytes = 123
    client.exchange.backend_name = "server1"
    client.exchange.request_id = b"id-1"
    client.exchange.response = ResponseHead(status, b"", 1, b"", 0, True)


def line_of(client: Client) -> str:
    out = io.StringIO()
    log = make_log(out)
    log.record(client.exchange, "192.0.2.1")
    assert not out.getvalue(), "lines are collected"
    log.flush()
    return out.getvalue()


def test_a_line_says_who_asked_what_and_what_became_of_it() -> None:
    async def main() -> None:
        client = Client(b"/a?b=c")
        answered(client, 201)
        assert re.fullmatch(
            STAMP + r'192\.0\.2\.1 "GET /a\?b=c HTTP/1\.1" 201 123 [0-9]+\.[0-9]ms server1 id-1\n', line_of(client)
        )

    run(main)


def test_the_status_is_what_the_client_saw() -> None:
    async def main() -> None:
        failed = Client()
        failed.exchange.failure = NO_BACKEND
        assert '" 503 0 ' in line_of(failed)
        assert "ms - " in line_of(failed), "no backend had it"
        broken_off = Client()
        answered(broken_off, 200)
        broken_off.exchange.failure = bad_answer("truncated")
        assert '" 200 123 ' in line_of(broken_off)
        assert '" 0 0 ' in line_of(Client())

    run(main)


def test_a_target_cannot_forge_a_line() -> None:
    async def main() -> None:
        assert '"GET /a%22b\xe9 HTTP/1.1"' in line_of(Client(b'/a"b\xe9'))

    run(main)


def test_a_refused_request_has_a_line_too() -> None:
    out = io.StringIO()
    log = make_log(out)
    log.refused(400, "illegal header line", "192.0.2.1", b"id-2")
    log.flush()
    assert re.fullmatch(STAMP + r'192\.0\.2\.1 "-" 400 0 0\.0ms - id-2 \(illegal header line\)\n', out.getvalue())


def test_the_buffer_is_bounded_and_what_is_lost_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "MAX_BUFFERED_LINES", 2)
    out = io.StringIO()
    log = make_log(out)
    for _ in range(5):
        log.refused(400, "x", "p", b"")
    assert log.dropped == 3
    log.flush()
    assert out.getvalue().count("\n") == 2
    log.refused(400, "x", "p", b"")
    log.flush()
    log.flush()
    assert (out.getvalue().count("\n"), log.dropped) == (3, 3)


class Full(io.StringIO):
    """A disk without room."""

    def flush(self) -> None:
        raise OSError("No space left on device")


def closed() -> io.StringIO:
    out = io.StringIO()
    out.close()
    return out


def ascii_only() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="ascii")


@pytest.mark.parametrize("make", [Full, closed, ascii_only])
def test_a_file_that_cannot_be_written_loses_lines_and_nothing_else(make: type[io.StringIO]) -> None:
    log = make_log(make())
    log.refused(400, "caf\xe9", "p", b"")
    log.flush()
    assert log.dropped == 1


def test_lines_are_written_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "FLUSH_EVERY_S", 0.001)

    async def main() -> None:
        out = io.StringIO()
        log = AccessLog(out)
        task = asyncio.ensure_future(log.run())
        log.refused(400, "first", "p", b"")
        await until(lambda: "first" in out.getvalue())
        log.refused(400, "last", "p", b"")
        task.cancel()
        await asyncio.wait([task])
        assert "last" in out.getvalue()

    run(main)
