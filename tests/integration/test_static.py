"""Files through the whole product: what a name means, what is said of a file, and how its bytes come."""

from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
import html
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest

from tests.certificates import Authority
from tests.integration.harness import (
    Message,
    Proxy,
    RawServer,
    connect,
    eventually,
    get,
    http_route,
    in_loop,
    logged,
    ok,
    proxy,
)
from tests.integration.sites import connect_tls, site
from tests.integration.sites import frontend as tls_frontend
from tests.programs import program
from wsproxy.app import Application
from wsproxy.config.build import load

PAGE = b"<h1>Hello</h1>\n"
BIG = 3 * 1024 * 1024 + 17


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with something of everything, beside something that is nobody's business."""
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "www"
    for name in ("docs", "empty", ".git", ".well-known/acme-challenge"):
        (root / name).mkdir(parents=True)
    (root / "index.html").write_bytes(PAGE)
    (root / "app.js").write_text("let x = 1;\n" * 500)
    (root / "ten.txt").write_text("0123456789")
    (root / "docs/index.html").write_text("docs")
    (root / ".git/config").write_text("secret")
    (root / ".htpasswd").write_text("secret")
    (root / ".well-known/acme-challenge/token").write_text("token")
    (root / "big.bin").write_bytes(os.urandom(BIG))
    return root


@asynccontextmanager
async def serving(root: Path, lines: str = "", more: str = "", frontend: str = "") -> AsyncIterator[Proxy]:
    async with proxy(f"[static:site]\ndirectory = {root}\n{lines}\n{more}", frontend) as running:
        yield running


async def ask(port: int, target: bytes = b"/", *lines: bytes, method: bytes = b"GET") -> Message:
    """One request, whose connection stays usable behind it."""
    async with await connect(port) as client:
        await client.send(get(target, *lines).replace(b"GET", method, 1))
        return await client.response(method)


# What a name means.


@pytest.mark.parametrize(
    ("target", "body", "content_type"),
    [
        (b"/", PAGE, b"text/html; charset=utf-8"),
        (b"/?x=1", PAGE, b"text/html; charset=utf-8"),
        (b"/index.html", PAGE, b"text/html; charset=utf-8"),
        (b"//index.html", PAGE, b"text/html; charset=utf-8"),
        (b"/ten.txt", b"0123456789", b"text/plain; charset=utf-8"),
        (b"/docs/", b"docs", b"text/html; charset=utf-8"),
        (b"/docs/../ten.txt", b"0123456789", b"text/plain; charset=utf-8"),
        (b"/%74en.txt", b"0123456789", b"text/plain; charset=utf-8"),
        (b"/.well-known/acme-challenge/token", b"token", b"application/octet-stream"),
    ],
)
@in_loop
async def test_file_is_found(files: Path, target: bytes, body: bytes, content_type: bytes) -> None:
    async with serving(files) as running:
        for _ in range(3):  # the first look-up, one that is warm, one that is remembered
            answer = await ask(running.port, target)
            assert (answer.status, answer.body, answer.field(b"content-type")) == (200, body, content_type)
            assert answer.field(b"accept-ranges") == b"bytes"
            assert len(answer.values(b"date")) == 1


@pytest.mark.parametrize(
    "target",
    [
        b"/nothing",
        b"/ten.txt/",
        b"/ten.txt/x",
        b"/.htpasswd",
        b"/.git/config",
        b"/%2egit/config",
        b"/docs/.well-known/x",
        b"/..%2fsecret.txt",
        b"/%2e%2e%2fsecret.txt",
        b"/docs/..%2f..%2fsecret.txt",
        b"/..%5csecret.txt",
        b"/..\\secret.txt",
        b"/%c0%ae%c0%ae/secret.txt",
        b"/%252e%252e/secret.txt",
        b"/" + b"x" * 300,
    ],
)
@in_loop
async def test_name_that_is_not_served(files: Path, target: bytes) -> None:
    async with serving(files) as running:
        answer = await ask(running.port, target)
        assert answer.status == 404
        assert b"secret\n" not in answer.body


@pytest.mark.parametrize("target", [b"/../secret.txt", b"/%2e%2e/secret.txt", b"/docs/../../secret.txt", b"/a%00b"])
@in_loop
async def test_climbing_is_refused_before_any_file_is_looked_for(files: Path, target: bytes) -> None:
    async with serving(files) as running:
        assert (await ask(running.port, target)).status == 400


@in_loop
async def test_links_lead_to_what_is_inside_only(files: Path) -> None:
    (files / "inside.txt").symlink_to("ten.txt")
    (files / "outside.txt").symlink_to("../secret.txt")
    (files / "up").symlink_to("..")
    (files / "loop").symlink_to("loop")
    async with serving(files, "listing = yes") as running:
        assert (await ask(running.port, b"/inside.txt")).body == b"0123456789"
        for target in (b"/outside.txt", b"/up/secret.txt", b"/up/", b"/loop"):
            assert (await ask(running.port, target)).status == 404
        (files / "index.html").unlink()
        listed = (await ask(running.port, b"/")).body
        assert b"inside.txt" in listed
        assert b"outside.txt" not in listed
        assert b"up/" not in listed


@in_loop
async def test_directory_that_is_itself_a_link_may_be_pointed_elsewhere(files: Path, tmp_path: Path) -> None:
    current = tmp_path / "current"
    current.symlink_to("www")
    (tmp_path / "next").mkdir()
    (tmp_path / "next/index.html").write_text("next")
    async with serving(current) as running:
        assert (await ask(running.port, b"/")).body == PAGE
        current.unlink()
        current.symlink_to("next")
        assert (await ask(running.port, b"/")).body == b"next"


@in_loop
async def test_special_files_are_refused_without_waiting(files: Path) -> None:
    os.mkfifo(files / "fifo")
    (files / "null").symlink_to("/dev/null")
    async with serving(files) as running:
        assert (await ask(running.port, b"/fifo")).status == 404
        assert (await ask(running.port, b"/null")).status == 404


@in_loop
async def test_directory_without_its_slash(files: Path) -> None:
    (files / "a b").mkdir()
    async with serving(files, more=f"[static:sub]\npath_prefix = /sub\ndirectory = {files}\n") as running:
        for target, location in (
            (b"/docs", b"/docs/"),
            (b"/docs?a=b", b"/docs/?a=b"),
            (b"//docs", b"/docs/"),  # never `//docs/`, which is another site
            (b"/a%20b", b"/a%20b/"),
            (b"/sub", b"/sub/"),
            (b"/sub/docs", b"/sub/docs/"),
        ):
            answer = await ask(running.port, target)
            assert (answer.status, answer.field(b"location")) == (301, location)


@in_loop
async def test_directory_without_index_is_listed_only_if_asked(files: Path) -> None:
    awkward = files / "empty" / '<b>&"x y#?.txt'
    awkward.write_text("awkward")
    (files / "empty" / "deep").mkdir()
    (files / "empty" / ".hidden").write_text("x")
    async with serving(files) as running:
        assert (await ask(running.port, b"/empty/")).status == 403
    async with serving(files, "listing = yes") as running:
        page = await ask(running.port, b"/empty/")
        assert page.field(b"content-type") == b"text/html; charset=utf-8"
        assert b"&lt;b&gt;&amp;&quot;x y#?.txt" in page.body
        assert b"<b>" not in page.body
        assert b".hidden" not in page.body
        assert page.body.index(b"deep/") < page.body.index(b"&lt;b&gt;")
        link = html.unescape(page.body.split(b'href="./')[2].split(b'"')[0].decode())
        assert (await ask(running.port, b"/empty/" + link.encode())).body == b"awkward"
        head = await ask(running.port, b"/empty/", method=b"HEAD")
        assert head.field(b"content-length") == b"%d" % len(page.body)


@in_loop
async def test_index_may_be_another_and_the_first_that_is_there(files: Path) -> None:
    async with serving(files, "index = main.html ten.txt") as running:
        assert (await ask(running.port, b"/")).body == b"0123456789"
        (files / "main.html").write_text("main")
        assert (await ask(running.port, b"/?new")).body == b"main"


@in_loop
async def test_fallback_is_shown_for_what_is_not_there(files: Path) -> None:
    async with serving(files, "fallback = /index.html") as running:
        for target in (b"/some/view", b"/empty/"):
            answer = await ask(running.port, target)
            assert (answer.status, answer.body) == (200, PAGE)
        assert (await ask(running.port, b"/ten.txt")).body == b"0123456789"
        (files / "later").write_text("later")
        assert (await ask(running.port, b"/some/view")).body == PAGE
        assert (await ask(running.port, b"/later")).body == b"later"


@in_loop
async def test_methods(files: Path) -> None:
    async with serving(files) as running:
        for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS"):
            answer = await ask(running.port, b"/", method=method)
            assert (answer.status, answer.field(b"allow")) == (405, b"GET, HEAD")
        head = await ask(running.port, b"/ten.txt", method=b"HEAD")
        shown = await ask(running.port, b"/ten.txt")
        assert [field for field in head.fields if field[0] != b"date"] == [f for f in shown.fields if f[0] != b"date"]


@in_loop
async def test_body_of_a_request_is_not_taken_for_the_next_one(files: Path) -> None:
    async with serving(files) as running, await connect(running.port) as client:
        body = b"GET /index.html HTTP/1.1\r\n\r\n"
        with_body = get(b"/ten.txt", b"Content-Length: %d" % len(body))
        for _ in range(2):  # one that comes with its head need not end the connection
            await client.send(with_body + body)
            answer = await client.response()
            assert (answer.body, answer.field(b"connection")) == (b"0123456789", None)
        await client.send(with_body)
        answer = await client.response()
        assert (answer.body, answer.field(b"connection")) == (b"0123456789", b"close")
        await client.send(body)
        assert await client.rest() == b""


@in_loop
async def test_errors_are_the_frontends(files: Path, tmp_path: Path) -> None:
    (tmp_path / "lost.html").write_text("<h1>Lost</h1>")
    page = f"error_page = 404 = {tmp_path / 'lost.html'}"
    async with serving(files, frontend=page) as running:
        answer = await ask(running.port, b"/nothing", b"Accept: text/html")
        assert (answer.status, answer.body) == (404, b"<h1>Lost</h1>")


@in_loop
async def test_stands_beside_routes_to_servers(files: Path) -> None:
    async with RawServer(ok(b"api")) as server:
        more = http_route(server.port, section="http:api", lines="path_prefix = /api")
        async with serving(files, more=more) as running, await connect(running.port) as client:
            for target, body in ((b"/api/x", b"api"), (b"/", PAGE), (b"/api/y", b"api"), (b"/ten.txt", b"0123456789")):
                await client.send(get(target))
                assert (await client.response()).body == body


@in_loop
async def test_answers_are_counted_and_have_the_frontends_fields(files: Path) -> None:
    async with serving(files, frontend="via = gate") as running:
        answer = await ask(running.port, b"/ten.txt")
        assert answer.field(b"via") == b"1.1 gate"
        assert (await ask(running.port, b"/nothing")).status == 404
        totals = running.application.routes["static:site"].totals
        assert {(each.backend, each.code): each.total.count for each in totals.answered()} == {
            ("", 200): 1,
            ("", 404): 1,
        }


# What is said of a file.


@in_loop
async def test_conditions(files: Path) -> None:
    async with serving(files, "cache_control = public, max-age=60") as running:
        first = await ask(running.port, b"/ten.txt")
        tag, modified = first.field(b"etag"), first.field(b"last-modified")
        assert tag is not None
        assert modified is not None
        assert first.field(b"cache-control") == b"public, max-age=60"
        for line, status in (
            (b"If-None-Match: " + tag, 304),
            (b"If-None-Match: W/" + tag, 304),
            (b'If-None-Match: "other"', 200),
            (b"If-Modified-Since: " + modified, 304),
            (b"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", 200),
            (b"If-Match: " + tag, 200),
            (b'If-Match: "other"', 412),
            (b"If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT", 412),
        ):
            answer = await ask(running.port, b"/ten.txt", line)
            assert answer.status == status, line
            if status == 304:
                assert (answer.body, answer.field(b"content-length")) == (b"", None)
                assert (answer.field(b"etag"), answer.field(b"cache-control")) == (tag, b"public, max-age=60")


@in_loop
async def test_changed_file_is_seen_at_once(files: Path) -> None:
    os.utime(files / "ten.txt", (1_000_000_000, 1_000_000_000))
    async with serving(files) as running:
        tags = set()
        for body in (b"0123456789", b"abcdefghij", b"more than ten"):
            for _ in range(3):
                answer = await ask(running.port, b"/ten.txt")
                assert answer.body == body
                tags.add(answer.field(b"etag"))
            new = files / "new"
            new.write_bytes(b"abcdefghij" if body == b"0123456789" else b"more than ten")
            os.utime(new, (1_000_000_000, 1_000_000_000))  # as some tools that deploy set them
            new.rename(files / "ten.txt")
        (files / "ten.txt").unlink()
        assert (await ask(running.port, b"/ten.txt")).status == 404
    assert len(tags) == 2  # two of the three have their size and time in common, which is all that a tag tells


@pytest.mark.parametrize(
    ("wanted", "status", "body", "content_range"),
    [
        (b"bytes=0-3", 206, b"0123", b"bytes 0-3/10"),
        (b"bytes=4-", 206, b"456789", b"bytes 4-9/10"),
        (b"bytes=-3", 206, b"789", b"bytes 7-9/10"),
        (b"bytes=2-2", 206, b"2", b"bytes 2-2/10"),
        (b"bytes=5-99", 206, b"56789", b"bytes 5-9/10"),
        (b"bytes=0-9", 206, b"0123456789", b"bytes 0-9/10"),
        (b"bytes=10-", 416, None, b"bytes */10"),
        (b"bytes=-0", 416, None, b"bytes */10"),
        (b"bytes=5-4", 200, b"0123456789", None),
        (b"lines=1-2", 200, b"0123456789", None),
        (b"bytes=0-" + b"," * 20 + b"0-", 200, b"0123456789", None),
    ],
)
@in_loop
async def test_range(files: Path, wanted: bytes, status: int, body: bytes | None, content_range: bytes | None) -> None:
    async with serving(files) as running:
        answer = await ask(running.port, b"/ten.txt", b"Range: " + wanted)
        assert (answer.status, answer.field(b"content-range")) == (status, content_range)
        assert body is None or answer.body == body


@in_loop
async def test_several_ranges(files: Path) -> None:
    async with serving(files) as running:
        answer = await ask(running.port, b"/ten.txt", b"Range: bytes=0-1, 4-5,-1")
        kind = answer.field(b"content-type") or b""
        assert answer.status == 206
        assert kind.startswith(b"multipart/byteranges; boundary=")
        parts = answer.body.split(b"--" + kind.partition(b"=")[2])
        assert parts[0] == b""
        assert parts[-1] == b"--\r\n"
        found = [part.strip(b"\r\n").split(b"\r\n\r\n") for part in parts[1:-1]]
        assert [body for _, body in found] == [b"01", b"45", b"9"]
        assert found[1][0] == b"Content-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 4-5/10"


@in_loop
async def test_range_only_of_the_state_that_is_known(files: Path) -> None:
    async with serving(files) as running:
        first = await ask(running.port, b"/ten.txt")
        known = (first.field(b"etag") or b"", first.field(b"last-modified") or b"")
        for validator, status in ((known[0], 206), (known[1], 206), (b'"other"', 200), (b"W/" + known[0], 200)):
            answer = await ask(running.port, b"/ten.txt", b"Range: bytes=0-0", b"If-Range: " + validator)
            assert answer.status == status


@in_loop
async def test_compressed_file_beside_a_file(files: Path) -> None:
    plain = (files / "app.js").read_bytes()
    (files / "app.js.gz").write_bytes(gzip.compress(plain))
    (files / "app.js.br").write_bytes(b"brotli")
    async with serving(files) as running:
        for accept, coding in (
            (b"gzip", b"gzip"),
            (b"gzip, br", b"br"),
            (b"br;q=0.5, gzip", b"gzip"),
            (b"zstd", None),
            (b"gzip;q=0", None),
        ):
            answer = await ask(running.port, b"/app.js", b"Accept-Encoding: " + accept)
            assert answer.field(b"content-encoding") == coding
            assert answer.field(b"vary") == b"Accept-Encoding"
            assert answer.field(b"content-type") == b"text/javascript; charset=utf-8"
        coded = await ask(running.port, b"/app.js", b"Accept-Encoding: gzip")
        assert gzip.decompress(coded.body) == plain
        assert coded.field(b"etag") != (await ask(running.port, b"/app.js")).field(b"etag")
        assert (await ask(running.port, b"/app.js")).body == plain
        assert (await ask(running.port, b"/ten.txt", b"Accept-Encoding: gzip")).field(b"vary") is None
        own = await ask(running.port, b"/app.js.gz", b"Accept-Encoding: gzip")
        assert (own.field(b"content-type"), own.field(b"content-encoding")) == (b"application/gzip", None)
    async with serving(files, "precompressed = off") as running:
        assert (await ask(running.port, b"/app.js", b"Accept-Encoding: gzip")).body == plain


# How it comes.


@pytest.mark.parametrize("line", [b"X-A: b", b"Range: bytes=1-", b"Range: bytes=0-99999,200000-2999999"])
@in_loop
async def test_large_file_comes_whole_and_the_connection_goes_on(files: Path, line: bytes) -> None:
    content = (files / "big.bin").read_bytes()
    expected = {b"X-A: b": content, b"Range: bytes=1-": content[1:]}.get(line)
    async with serving(files) as running, await connect(running.port) as client:
        for _ in range(2):
            await client.send(get(b"/big.bin", line), get(b"/ten.txt"))
            answer = await client.response()
            if expected is None:
                assert content[:100_000] in answer.body
                assert content[200_000:3_000_000] in answer.body
            else:
                assert answer.body == expected
            assert (await client.response()).body == b"0123456789"


@in_loop
async def test_large_file_behind_an_answer_that_is_not_read_yet(files: Path) -> None:
    """What is still unsent in the transport goes first."""
    content = (files / "big.bin").read_bytes()
    async with serving(files) as running, await connect(running.port, ahead_bytes=1024) as client:
        await client.send(b"".join(get(b"/big.bin") for _ in range(3)))
        for _ in range(3):
            assert (await client.response()).body == content


@in_loop
async def test_client_that_leaves_costs_nothing(files: Path) -> None:
    async with serving(files) as running:
        assert (await ask(running.port, b"/ten.txt")).status == 200
        await eventually(lambda: running.sessions == 0)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            async with await connect(running.port, ahead_bytes=1024) as client:
                await client.send(get(b"/big.bin"))
                await client.exactly(1000)
                client.reset()
        await eventually(lambda: running.sessions == 0)
        await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)
        totals = running.application.routes["static:site"].totals
        assert [(each.code, each.total.count) for each in totals.answered()] == [(200, 1), (499, 5)]


@in_loop
async def test_client_that_does_not_read_is_given_up(files: Path) -> None:
    huge = files / "huge.bin"
    with huge.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    async with (
        serving(files, frontend="body_timeout = 500ms") as running,
        await connect(running.port, ahead_bytes=1024) as client,
    ):
        await client.send(get(b"/huge.bin"))
        await client.exactly(1)
        await eventually(lambda: running.sessions == 0)


@in_loop
async def test_file_that_is_cut_short_ends_the_connection(files: Path) -> None:
    huge = files / "huge.bin"
    with huge.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    async with serving(files) as running, await connect(running.port, ahead_bytes=1024) as client:
        await client.send(get(b"/huge.bin"))
        head = Message(await client.until(b"\r\n\r\n"))
        os.truncate(huge, 1024 * 1024)
        assert head.field(b"content-length") == b"%d" % (64 * 1024 * 1024)
        with logged() as log:
            assert len(await client.rest()) < 64 * 1024 * 1024
        assert log.of("WARNING") == [f"static:site: '{huge}' was cut short while it was sent"]


@in_loop
async def test_stop_ends_a_transfer_that_takes_too_long(files: Path) -> None:
    huge = files / "huge.bin"
    with huge.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    async with serving(files) as running, await connect(running.port, ahead_bytes=1024) as client:
        await client.send(get(b"/huge.bin"))
        await client.exactly(1)
        for frontend in running.application.listeners.frontends:
            frontend.abort()
        await eventually(lambda: running.sessions == 0)


@in_loop
async def test_memory_stays_flat(files: Path) -> None:
    """256 MiB to a client that reads at its leisure: what is held in between is a few pieces."""
    huge = files / "huge.bin"
    with huge.open("wb") as file:
        file.truncate(256 * 1024 * 1024)
    async with serving(files) as running:
        before = peak_bytes()
        process = await asyncio.create_subprocess_exec(
            *(
                program("curl"),
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{size_download}",
                f"http://127.0.0.1:{running.port}/huge.bin",
            ),
            stdout=subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert int(out) == 256 * 1024 * 1024
        assert peak_bytes() - before < 16 * 1024 * 1024


def peak_bytes() -> int:
    """The most memory that this process has had."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


@in_loop
async def test_old_client_gets_the_whole_and_the_end(files: Path) -> None:
    async with serving(files) as running, await connect(running.port) as client:
        await client.send(b"GET /big.bin HTTP/1.0\r\n\r\n")
        data = await client.rest()
        assert (
            hashlib.sha256(data.partition(b"\r\n\r\n")[2]).digest()
            == hashlib.sha256((files / "big.bin").read_bytes()).digest()
        )


@in_loop
async def test_interrupted_download_goes_on_with_curl(files: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.write_bytes((files / "big.bin").read_bytes()[:100_000])
    async with serving(files) as running:
        process = await asyncio.create_subprocess_exec(
            *(program("curl"), "-sS", "-C", "-", "-o", str(half), f"http://127.0.0.1:{running.port}/big.bin")
        )
        assert await process.wait() == 0
    assert half.read_bytes() == (files / "big.bin").read_bytes()


@in_loop
async def test_httpx_reads_what_was_compressed_beforehand(files: Path) -> None:
    (files / "app.js.gz").write_bytes(gzip.compress((files / "app.js").read_bytes()))
    async with serving(files) as running, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{running.port}/app.js", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.text == (files / "app.js").read_text()


@in_loop
async def test_why_a_file_is_not_served_is_in_the_log(files: Path) -> None:
    (files / "outside.txt").symlink_to("../secret.txt")
    async with serving(files) as running:
        with logged() as log:
            await ask(running.port, b"/outside.txt")
            await ask(running.port, b"/nothing")
        assert log.of("INFO") == ["static:site: 'outside.txt' is not served: it leads out of the directory"]


@in_loop
async def test_over_tls(files: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("site.example")
    text = tls_frontend(pair) + f"[static:site]\ndirectory = {files}\n"
    content = (files / "big.bin").read_bytes()
    async with site(text) as running:
        client = await connect_tls(running.port, authority.client_context())
        for target, body in ((b"/ten.txt", b"0123456789"), (b"/big.bin", content), (b"/ten.txt", b"0123456789")):
            await client.send(get(target))
            assert (await client.response()).body == body
        await client.close()


@in_loop
async def test_reload_changes_what_is_served_and_keeps_connections_and_counters(files: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_text("other")
    ini = "[frontend]\nhost = 127.0.0.1\nport = 0\n[log]\naccess = off\n[static:site]\ndirectory = {}\n{}"
    texts = [ini.format(files, ""), ini.format(other, "cache_control = no-store\n")]
    application = Application(load(texts[0], "a.ini", {}, "/"), lambda: load(texts[1], "a.ini", {}, "/"))
    async with anyio.create_task_group() as tasks:
        (address,) = await tasks.start(application.run)
        async with await connect(int(address.rpartition(":")[2])) as client:
            await client.send(get())
            assert (await client.response()).body == PAGE
            plan = await application.reload()
            assert plan.routes.changed == ("static:site",)
            await client.send(get())
            answer = await client.response()
            assert (answer.body, answer.field(b"cache-control")) == (b"other", b"no-store")
        totals = application.routes["static:site"].totals
        assert sum(each.total.count for each in totals.answered()) == 2
        tasks.cancel_scope.cancel()


@in_loop
async def test_fields_are_added_to_and_taken_off_answers(files: Path) -> None:
    async with serving(files, "add_header = X-Frame-Options: DENY\nremove_header = Last-Modified") as running:
        for _ in range(2):
            answer = await ask(running.port, b"/ten.txt")
            assert answer.field(b"x-frame-options") == b"DENY"
            assert answer.field(b"last-modified") is None


@pytest.mark.parametrize("reason", [errno.EINVAL, errno.ENOSYS])
@in_loop
async def test_file_system_without_sendfile(files: Path, monkeypatch: pytest.MonkeyPatch, reason: int) -> None:
    def refuse(*_: int) -> int:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "sendfile", refuse)
    async with serving(files) as running:
        assert (await ask(running.port, b"/big.bin")).body == (files / "big.bin").read_bytes()


@in_loop
async def test_disk_that_fails_ends_the_connection(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> int:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(os, "sendfile", fail)
    async with serving(files) as running, await connect(running.port) as client:
        await client.send(get(b"/big.bin"))
        assert len((await client.rest()).partition(b"\r\n\r\n")[2]) < BIG


@in_loop
async def test_file_system_that_cannot_tell_what_is_in_memory(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Overlays of containers and network file systems: threads do the reading."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "preadv", refuse)
    async with serving(files) as running:
        for _ in range(3):
            assert (await ask(running.port, b"/ten.txt")).body == b"0123456789"
            assert (await ask(running.port, b"/big.bin")).body == (files / "big.bin").read_bytes()
        assert (await ask(running.port, b"/big.bin", b"Range: bytes=5-9,20-29")).status == 206
