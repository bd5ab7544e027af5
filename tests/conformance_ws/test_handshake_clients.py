"""Handshakes as clients in use send them, byte for byte, and clients that do not wait or do not stay for the answer."""

from __future__ import annotations

import socket

import pytest

from tests.conformance_ws.bench import OK, SWITCH, SWITCHING, Bench, accept_of, answer, request
from tests.conformance_ws.wire import BINARY, MASK, TEXT, close, frame

CHROME = """GET {path}?room=1 HTTP/1.1
Host: localhost:8080
Connection: Upgrade
Pragma: no-cache
Cache-Control: no-cache
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36
Upgrade: websocket
Origin: http://localhost:8080
Sec-WebSocket-Version: 13
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9
Cookie: _xsrf=2|8c7b; username-localhost-8080="2|1:0|10:17|44:MTA=|ab"
Sec-WebSocket-Key: gSqKm2vfxC2OXK1bWzBVYg==
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
Sec-WebSocket-Protocol: v1.kernel.websocket.jupyter.org

"""
FIREFOX = """GET {path} HTTP/1.1
Host: 127.0.0.1:8080
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
Accept: */*
Accept-Language: en-US,en;q=0.5
Accept-Encoding: gzip, deflate, br, zstd
Sec-WebSocket-Version: 13
Origin: http://127.0.0.1:8080
Sec-WebSocket-Extensions: permessage-deflate
Sec-WebSocket-Key: 0lLqGcZyLxR0xPSZxZz5Tw==
DNT: 1
Connection: keep-alive, Upgrade
Sec-Fetch-Dest: empty
Sec-Fetch-Mode: websocket
Sec-Fetch-Site: same-origin
Pragma: no-cache
Cache-Control: no-cache
Upgrade: websocket

"""
SAFARI = """GET {path} HTTP/1.1
Sec-WebSocket-Key: kWsCxkhNLUVKwvzQCWD1ww==
Upgrade: websocket
Host: 127.0.0.1:8080
Origin: http://127.0.0.1:8080
Sec-WebSocket-Version: 13
Sec-WebSocket-Extensions: permessage-deflate
Connection: Upgrade

"""
GORILLA = """GET {path} HTTP/1.1
Host: 127.0.0.1:8080
User-Agent: Go-http-client/1.1
Connection: Upgrade
Sec-WebSocket-Key: nO0Ft5nTMTVzXY1gVlmM1g==
Sec-WebSocket-Version: 13
Upgrade: websocket

"""
NODE = """GET {path} HTTP/1.1
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: bX0wYzl1c3NlbWVudHM0MQ==
Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
Host: 127.0.0.1:8080

"""
NAMES = {"Chrome": CHROME, "Firefox": FIREFOX, "Safari": SAFARI, "Go": GORILLA, "Node": NODE}
ADDED = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-request-id", "via"}
"""What a proxy may add; Connection and Upgrade it sets itself."""


@pytest.mark.parametrize("name", NAMES)
def test_client_in_use(bench: Bench, name: str) -> None:
    """All that it says of itself arrives, in its order, and nothing else does but what proxies add."""
    client, path = bench.connect(), bench.path()
    text = NAMES[name].format(path=path)
    key = text.partition("Sec-WebSocket-Key: ")[2].partition("\n")[0]
    client.send(text.replace("\n", "\r\n").encode())
    upstream, head = bench.switched(client, path, (*SWITCHING[:2], f"Sec-WebSocket-Accept: {accept_of(key)}"))
    assert head.values("Sec-WebSocket-Accept") == [accept_of(key)]
    own = {"connection", "upgrade", "host"}
    sent = [line.partition(": ")[::2] for line in text.strip().split("\n")[1:]]
    came = [(name, value) for name, value in upstream.request.fields if name.lower() not in ADDED | own]
    assert [(name.lower(), value) for name, value in came] == [
        (name.lower(), value) for name, value in sent if name.lower() not in own
    ]


EARLY_LIMIT_BYTES = 48 << 20
"""What kernels hold of two loopback connections, and a little for the proxy."""


def test_flood_before_the_answer(bench: Bench) -> None:
    """A client that does not wait for its 101 is stopped by backpressure, not kept in memory; nothing of it is lost."""
    client, path = bench.connect(), bench.path()
    before = bench.proxy.resident_bytes
    client.send(request(path))
    upstream = bench.take(path)
    chunk = frame(BINARY, bytes(range(256)) * 1024, MASK)
    sent = client.push_until_blocked(chunk, 256 << 20, patience_s=0.3)
    assert sent < EARLY_LIMIT_BYTES
    assert bench.proxy.resident_bytes - before < 8 << 20
    upstream.send(SWITCH)
    assert client.read_final_head().status == 101
    assert upstream.read(sent) == (chunk * (sent // len(chunk) + 1))[:sent]


def test_upstream_floods_behind_its_answer(bench: Bench) -> None:
    client, path = bench.connect(), bench.path()
    before = bench.proxy.resident_bytes
    client.send(request(path))
    upstream = bench.take(path)
    chunk = frame(BINARY, bytes(range(256)) * 1024)
    upstream.send(SWITCH)
    sent = upstream.push_until_blocked(chunk, 256 << 20, patience_s=0.3)
    assert sent < EARLY_LIMIT_BYTES
    assert bench.proxy.resident_bytes - before < 8 << 20
    assert client.read_final_head().status == 101
    assert client.read(sent) == (chunk * (sent // len(chunk) + 1))[:sent]


@pytest.mark.promise
@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
def test_client_does_not_stay_for_the_answer(bench: Bench, how: str) -> None:
    """Taken as gone: the upstream's connection ends, and is not used for anybody else."""
    client, path = bench.connect(), bench.path("/one")
    client.send(request(path))
    upstream = bench.take(path)
    assert client.is_silent(0.05)
    {"close": client.close, "reset": client.reset, "half_close": client.half_close}[how]()
    assert upstream.read_to_end(2) == b""
    pair = bench.open("/one")
    pair.client.send(close(1000, b"", MASK))
    assert pair.upstream.read_frame().close_code == 1000


def test_client_that_ends_its_side_with_its_request(bench: Bench) -> None:
    """It has said all it had to say, and hears the answer and what follows it."""
    client, path = bench.connect(), bench.path("/one")
    early, greeting = frame(TEXT, b"early", MASK), frame(TEXT, b"greeting")
    client.socket.send(request(path) + early, socket.MSG_MORE)  # goes with the end, in one packet
    client.half_close()
    upstream = bench.take(path)
    upstream.send(SWITCH + greeting)
    assert client.read_final_head().status == 101
    assert client.read(len(greeting)) == greeting
    assert upstream.read(len(early)) == early
    upstream.close()
    client.read_to_end(2)


def test_late_answer_goes_to_nobody_else(bench: Bench) -> None:
    """The 101 for a client that has left must not open a WebSocket for the next one."""
    first, path = bench.connect(), bench.path("/one")
    first.send(request(path))
    late = bench.take(path)
    first.reset()
    late.send_as_far_as_it_goes(SWITCH + frame(TEXT, b"not for you"))
    client, path = bench.connect(), bench.path("/one")
    client.send(request(path))
    upstream = bench.take(path)
    upstream.send(answer("403 Forbidden", ["Content-Length: 2"], b"no"))
    head = client.read_final_head()
    assert (head.status, client.read_body(head)) == (403, b"no")


def test_connection_of_a_websocket_serves_nobody_else(bench: Bench) -> None:
    """Bytes that an upstream sends behind its Close do not become the answer to another request."""
    pair = bench.open("/one")
    pair.client.send(close(1000, b"", MASK))
    pair.upstream.read_frame()
    pair.upstream.send(close(1000) + OK + OK)
    assert pair.client.read_frame().close_code == 1000
    client, path = bench.connect(), bench.path("/one")
    client.send(request(path))
    upstream, _ = bench.switched(client, path)
    assert upstream is not pair.upstream
