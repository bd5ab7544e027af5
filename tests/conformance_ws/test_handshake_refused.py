"""What is no good handshake: refused here, or an ordinary request; never a tunnel (RFC 6455 4.2.1, RFC 9110 7.8).

A tunnel opened for a handshake that the upstream takes for something else is request smuggling; so the upstream's end
says 101 to whatever comes, and the client must not get it.
"""

from __future__ import annotations

import pytest

from tests.conformance_ws.bench import KEY, SWITCH, UPGRADE, Bench, answer, request
from tests.conformance_ws.wire import Head, Wire

KEY_LINE = f"Sec-WebSocket-Key: {KEY}"
VERSION_LINE = "Sec-WebSocket-Version: 13"


def with_key(*keys: str) -> tuple[str, ...]:
    """The handshake's lines with these keys."""
    return (*UPGRADE[:2], *(f"Sec-WebSocket-Key:{key}" for key in keys), VERSION_LINE)


def with_version(*versions: str) -> tuple[str, ...]:
    """The handshake's lines with these versions."""
    return (*UPGRADE[:3], *(f"Sec-WebSocket-Version:{version}" for version in versions))


BAD_KEYS = {
    "no key": with_key(),
    "an empty key": with_key(""),
    "15 bytes": with_key(" c2hvcnQgYnkgb25lISEh"),
    "17 bytes": with_key(" bG9uZ2VyIGJ5IG9uZSEhIQo="),
    "no padding": with_key(" dGhlIHNhbXBsZSBub25jZQ"),
    "too much padding": with_key(f" {KEY}="),
    "not base64": with_key(" dGhlIHNhbXBsZSBub25j*Q=="),
    "URL-safe base64": with_key(" dGhlIHNhbXBsZSBub_-jZQ=="),
    "white space inside": with_key(" dGhlIHNhbXBs ZSBub25jZQ=="),
    "two keys": with_key(f" {KEY}", " x3JJHMbDL1EzLkh9GBhXDw=="),
    "the same key twice": with_key(f" {KEY}", f" {KEY}"),
    "two keys on one line": with_key(f" {KEY}, x3JJHMbDL1EzLkh9GBhXDw=="),
}


def assert_refused(bench: Bench, client: Wire, path: str, statuses: set[int]) -> Head:
    """The client got one of these answers, whole, and the upstream nothing; the connection goes on or ends in order."""
    head = client.read_final_head()
    assert head.status in statuses, head
    client.read_body(head)
    assert not bench.upstream.has_seen(path)
    if "close" in head.elements("Connection"):
        assert client.read_to_end() == b""
    else:
        assert bench.is_served(client)
    return head


@pytest.mark.promise
@pytest.mark.parametrize("name", BAD_KEYS)
def test_bad_key(bench: Bench, name: str) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path, BAD_KEYS[name]))
    assert_refused(bench, client, path, {400})


BAD_VERSIONS = {
    "no version": with_version(),
    "an empty version": with_version(""),
    "a list": with_version(" 13, 8"),
    "13 and 8": with_version(" 13", " 8"),
    "13 twice": with_version(" 13", " 13"),
    "a leading zero": with_version(" 013"),
    "a sign": with_version(" +13"),
    "a word": with_version(" thirteen"),
}


@pytest.mark.promise
@pytest.mark.parametrize("name", BAD_VERSIONS)
def test_malformed_version(bench: Bench, name: str) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path, BAD_VERSIONS[name]))
    head = assert_refused(bench, client, path, {400, 426})
    assert head.values("Sec-WebSocket-Version") in (["13"], []), head
    assert head.status != 426 or head.values("Sec-WebSocket-Version")


@pytest.mark.promise
@pytest.mark.parametrize("version", ["0", "7", "8", "12", "14", "255"])
def test_other_version(bench: Bench, version: str) -> None:
    """RFC 6455 section 4.4: 426 with the versions that are understood; RFC 9110 15.5.22: with Upgrade."""
    client, path = bench.connect(), bench.path()
    client.send(request(path, with_version(f" {version}")))
    head = assert_refused(bench, client, path, {426})
    assert head.values("Sec-WebSocket-Version") == ["13"]
    assert "websocket" in head.elements("Upgrade")
    assert "upgrade" in head.elements("Connection")


@pytest.mark.parametrize(
    "lines",
    [
        (*UPGRADE[:1], "Connection: Upgrade,\r\n keep-alive", *UPGRADE[2:]),
        ("Upgrade : websocket", *UPGRADE[1:]),
        (*UPGRADE, "Host: other.example"),
    ],
    ids=["a folded line", "a space before the colon", "two Hosts"],
)
@pytest.mark.promise
def test_bad_field_line(bench: Bench, lines: tuple[str, ...]) -> None:
    """RFC 9112 sections 5.1, 5.2 and 3.2."""
    client, path = bench.connect(), bench.path()
    client.send(request(path, lines))
    assert_refused(bench, client, path, {400})


def test_no_host(bench: Bench) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path).replace(b"Host: service.example\r\n", b""))
    assert client.read_final_head().status == 400
    assert not bench.upstream.has_seen(path)


ORDINARY = {
    "Upgrade without Connection": ("Upgrade: websocket", KEY_LINE, VERSION_LINE),
    "Connection without Upgrade": ("Connection: Upgrade", KEY_LINE, VERSION_LINE),
    "keep-alive instead of Upgrade": ("Upgrade: websocket", "Connection: keep-alive", KEY_LINE, VERSION_LINE),
    "a longer token": ("Upgrade: websocket", "Connection: upgrade-insecure", KEY_LINE, VERSION_LINE),
    "two words": ("Upgrade: websocket", "Connection: keep-alive upgrade", KEY_LINE, VERSION_LINE),
    "h2c": ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"),
    "TLS": ("Upgrade: TLS/1.0", "Connection: Upgrade"),
    "another protocol, with a key": ("Upgrade: websocketx", *UPGRADE[1:]),
    "connect-udp": ("Upgrade: connect-udp", "Connection: Upgrade", "Capsule-Protocol: ?1"),
}


def play_against_eager_upstream(bench: Bench, head: bytes, path: str) -> tuple[Head, list[Head]]:
    """Send it to an upstream that says 101 to what has an Upgrade and 200 to the rest; the answer, and what it saw."""
    client = bench.connect()
    seen: list[Head] = []

    def answer_eagerly(wire: Wire) -> None:
        seen.append(wire.request)
        wire.read_body(wire.request)
        wire.send(SWITCH if wire.request.values("Upgrade") else answer("200 OK", ["Content-Length: 0"]))
        bench.upstream.serve(wire)

    bench.upstream.on_each(path, answer_eagerly)
    client.send(head)
    return client.read_final_head(), seen


def assert_ordinary(seen: list[Head]) -> None:
    """Whatever the upstream saw asks for no upgrade at all."""
    for head in seen:
        assert not head.values("Upgrade")
        assert "upgrade" not in head.elements("Connection")
        assert not head.values("HTTP2-Settings")


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_request(bench: Bench, name: str) -> None:
    path = bench.path()
    head, seen = play_against_eager_upstream(bench, request(path, ORDINARY[name]), path)
    assert head.status == 200
    assert len(seen) == 1
    assert_ordinary(seen)


@pytest.mark.parametrize("version", ["HTTP/1.0"])
@pytest.mark.parametrize("extra", [(), ("Connection: keep-alive",)], ids=["plain", "keep-alive"])
def test_upgrade_in_http_1_0_is_ignored(bench: Bench, version: str, extra: tuple[str, ...]) -> None:
    """RFC 9110 section 7.8: a server must ignore an Upgrade that it receives in an HTTP/1.0 request."""
    path = bench.path()
    head, seen = play_against_eager_upstream(bench, request(path, (*UPGRADE, *extra), version=version), path)
    assert head.status in {200, 400, 426, 505}
    assert_ordinary(seen)


BODIES = {
    "POST": ("POST", ("Content-Length: 0",), b""),
    "POST with a body": ("POST", ("Content-Length: 5",), b"hello"),
    "POST without a length": ("POST", (), b""),
    "PUT": ("PUT", ("Content-Length: 0",), b""),
    "HEAD": ("HEAD", (), b""),
    "OPTIONS": ("OPTIONS", (), b""),
    "get": ("get", (), b""),
    "GET with a body": ("GET", ("Content-Length: 5",), b"hello"),
    "GET with a chunked body": ("GET", ("Transfer-Encoding: chunked",), b"5\r\nhello\r\n0\r\n\r\n"),
}


@pytest.mark.promise
@pytest.mark.parametrize("name", BODIES)
def test_no_get_or_a_body(bench: Bench, name: str) -> None:
    """RFC 6455 section 4.2.1: a GET. With a body, two servers could differ on where the frames begin."""
    method, lines, body = BODIES[name]
    path = bench.path()
    head, seen = play_against_eager_upstream(bench, request(path, (*UPGRADE, *lines), method) + body, path)
    assert head.status in {200, 400, 405, 411, 426}
    assert_ordinary(seen)


@pytest.mark.parametrize(
    "upgrade",
    [("Upgrade: websocket, h2c",), ("Upgrade: h2c, websocket",), ("Upgrade: h2c", "Upgrade: websocket")],
    ids=["websocket first", "websocket last", "two lines"],
)
@pytest.mark.promise
def test_a_choice_of_protocols(bench: Bench, upgrade: tuple[str, ...]) -> None:
    """RFC 9110 section 7.8: the one that is spoken is taken; the upstream is never asked for h2c."""
    path = bench.path()
    head, seen = play_against_eager_upstream(bench, request(path, (*upgrade, *UPGRADE[1:])), path)
    assert head.status == 101
    for each in seen:
        assert [value.lower() for value in each.values("Upgrade")] in ([], ["websocket"])


@pytest.mark.promise
def test_no_tunnel_through_a_bad_version(bench: Bench) -> None:
    """A proxy that forwards this and tunnels on anything lets the second request past its rules."""
    client, path, hidden = bench.connect(), bench.path(), bench.path("/hidden")
    client.send(request(path, with_version(" 777")) + request(hidden, ()))
    head = client.read_final_head()
    assert head.status == 426
    client.read_body(head)
    assert not bench.upstream.has_seen(path)
    if "close" not in head.elements("Connection"):
        upstream = bench.take(hidden)
        assert upstream.request.target == hidden


def test_ordinary_request_may_ask_for_an_empty_body(bench: Bench) -> None:
    """`Content-Length: 0` is no body: served either way, and framed either way."""
    path = bench.path()
    head, seen = play_against_eager_upstream(bench, request(path, (*UPGRADE, "Content-Length: 0")), path)
    assert head.status in {101, 200, 400}
    assert head.status != 101 or seen[0].values("Upgrade")
