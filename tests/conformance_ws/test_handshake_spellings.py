"""Every spelling of a good handshake reaches the upstream as one good handshake (RFC 6455 4.2.1, RFC 9110 7.8)."""

from __future__ import annotations

import pytest

from tests.conformance_ws.bench import ACCEPT, KEY, OK, SWITCH, SWITCHING, UPGRADE, Bench, accept_of, request
from tests.conformance_ws.wire import MASK, PING, TEXT, Head, Wire, frame

KEY_LINE = f"Sec-WebSocket-Key: {KEY}"
VERSION_LINE = "Sec-WebSocket-Version: 13"


def assert_one_good_handshake(head: Head) -> None:
    """What every upstream has to see, and exactly once."""
    assert head.start.startswith("GET ")
    assert head.start.endswith(" HTTP/1.1")
    assert [value.lower() for value in head.values("Upgrade")] == ["websocket"]
    assert len(head.values("Connection")) == 1
    assert "upgrade" in head.elements("Connection")
    assert len(head.values("Host")) == 1
    assert head.values("Sec-WebSocket-Key") == [KEY]
    assert head.values("Sec-WebSocket-Version") == ["13"]


def assert_one_good_switch(head: Head) -> None:
    """What every client has to see, and exactly once."""
    assert head.status == 101
    assert [value.lower() for value in head.values("Upgrade")] == ["websocket"]
    assert len(head.values("Connection")) == 1
    assert "upgrade" in head.elements("Connection")
    assert head.values("Sec-WebSocket-Accept") == [ACCEPT]
    assert not head.values("Content-Length")
    assert not head.values("Transfer-Encoding")


def assert_relays(client: Wire, upstream: Wire) -> None:
    """A frame each way passes."""
    ours, theirs = frame(TEXT, b"to the upstream", MASK), frame(PING, b"to the client")
    client.send(ours)
    upstream.send(theirs)
    assert upstream.read(len(ours)) == ours
    assert client.read(len(theirs)) == theirs


SPELLINGS = {
    "plain": UPGRADE,
    "keep-alive, Upgrade": ("Connection: keep-alive, Upgrade", *UPGRADE[:1], *UPGRADE[2:]),
    "lower case values": ("Connection: upgrade", *UPGRADE[:1], *UPGRADE[2:]),
    "upper case values": ("Connection: UPGRADE", "Upgrade: WEBSOCKET", *UPGRADE[2:]),
    "mixed case values": ("Connection: uPgRaDe", "Upgrade: WebSocket", *UPGRADE[2:]),
    "lower case names": tuple(":".join((n.lower(), v)) for n, _, v in (line.partition(":") for line in UPGRADE)),
    "upper case names": tuple(":".join((n.upper(), v)) for n, _, v in (line.partition(":") for line in UPGRADE)),
    "Connection on two lines": ("Connection: keep-alive", *UPGRADE),
    "Connection on two lines, Upgrade first": (*UPGRADE, "Connection: keep-alive"),
    "Upgrade named twice in Connection": (*UPGRADE, "Connection: upgrade"),
    "empty elements in Connection": (*UPGRADE[:1], "Connection: ,, Upgrade ,", *UPGRADE[2:]),
    "no space in Connection": (*UPGRADE[:1], "Connection: keep-alive,Upgrade,x-nobody", *UPGRADE[2:]),
    "tabs around values": ("Upgrade:\twebsocket\t", "Connection:\t Upgrade \t", *UPGRADE[2:]),
    "no space behind colons": tuple(line.replace(": ", ":") for line in UPGRADE),
    "white space behind key and version": (*UPGRADE[:2], KEY_LINE + " \t ", VERSION_LINE + "  "),
    "another order": tuple(reversed(UPGRADE)),
    "far apart": (UPGRADE[0], *(f"X-Filler-{n}: {n}" for n in range(60)), *UPGRADE[1:]),
    "long values": (*UPGRADE, "Cookie: " + "c=" + "v" * 6000),
    "bytes beyond ASCII": (*UPGRADE, "X-Name: caf\xe9 \xc3\xa9"),
}  # fmt: skip


@pytest.mark.parametrize("lines", SPELLINGS.values(), ids=list(SPELLINGS))
def test_spelling(bench: Bench, lines: tuple[str, ...]) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path, lines))
    upstream, head = bench.switched(client, path)
    assert_one_good_handshake(upstream.request)
    assert_one_good_switch(head)
    assert_relays(client, upstream)


@pytest.mark.parametrize("at_a_time", [1, 2, 7])
def test_head_comes_in_pieces(bench: Bench, at_a_time: int) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path), at_a_time=at_a_time)
    upstream, _ = bench.switched(client, path)
    assert_one_good_handshake(upstream.request)
    assert_relays(client, upstream)


def test_answer_comes_in_pieces(bench: Bench) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path))
    upstream = bench.take(path)
    upstream.send("\r\n".join(("HTTP/1.1 101 Switching Protocols", *SWITCHING, "", "")).encode(), at_a_time=1)
    assert_one_good_switch(client.read_head())
    assert_relays(client, upstream)


def test_empty_line_before_the_request(bench: Bench) -> None:
    """RFC 9112 section 2.2: at least one of them is to be ignored."""
    client, path = bench.connect(), bench.path()
    client.send(b"\r\n" + request(path))
    upstream, _ = bench.switched(client, path)
    assert_one_good_handshake(upstream.request)


@pytest.mark.parametrize(
    "query", ["?", "?a=1&b=%2F&b=%c3%a9", "?token=" + "t" * 4000, "?a=http://x/y?z", "?%7e=~&+;,'!*()"]
)
def test_query_passes_unchanged(bench: Bench, query: str) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path + query))
    upstream, _ = bench.switched(client, path)
    assert upstream.request.target == path + query


def test_absolute_target(bench: Bench) -> None:
    """RFC 9112 section 3.2.2: its authority replaces Host; an origin is sent the origin form."""
    client, path = bench.connect(), bench.path()
    client.send(request(f"http://other.example{path}?q=1"))
    upstream, _ = bench.switched(client, path)
    assert_one_good_handshake(upstream.request)
    assert upstream.request.target == f"{path}?q=1"
    assert upstream.request.values("Host") == ["other.example"]


@pytest.mark.parametrize("host", ["service.example:8080", "[::1]:8080", "127.0.0.1", "under_score.example"])
def test_host_passes_unchanged(bench: Bench, host: str) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path).replace(b"Host: service.example", f"Host: {host}".encode()))
    upstream, _ = bench.switched(client, path)
    assert upstream.request.values("Host") == [host]


END_TO_END = (
    "Origin: https://page.example:8443",
    "Cookie: session=abc; theme=dark",
    "Cookie: second=line",
    "Authorization: Bearer a.b-c_d==",
    "User-Agent: conformance/1",
    "Accept-Language: de, en;q=0.5",
    "Sec-WebSocket-Protocol: chat.v2",
    "Sec-WebSocket-Protocol: chat.v1, superchat",
    'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; server_max_window_bits="10"',
    "Sec-WebSocket-Extensions: x-other",
    "X-Empty:",
    "X-Many: 1",
    "X-Many: 2",
)


def test_end_to_end_fields_pass_in_order(bench: Bench) -> None:
    """RFC 9110 section 5.3: fields of one name keep their order; that all keep theirs is what intermediaries do."""
    client, path = bench.connect(), bench.path()
    client.send(request(path, (*UPGRADE, *END_TO_END)))
    upstream, _ = bench.switched(client, path)
    names = {line.partition(":")[0].lower() for line in END_TO_END}
    came = [f"{name}: {value}".rstrip() for name, value in upstream.request.fields if name.lower() in names]
    assert [each.lower() for each in came] == [each.lower() for each in END_TO_END]


ANSWER_FIELDS = (
    "Server: upstream/1",
    "Date: Mon, 01 Jan 2024 00:00:00 GMT",
    "Set-Cookie: a=1; Path=/",
    "Set-Cookie: b=2",
    "X-Session: caf\xe9",
)


def test_fields_of_the_answer_pass(bench: Bench) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path))
    _, head = bench.switched(client, path, (*SWITCHING, *ANSWER_FIELDS))
    assert head.values("Set-Cookie") == ["a=1; Path=/", "b=2"]
    assert head.values("X-Session") == ["caf\xe9"]
    assert len(head.values("Date")) == 1


HOP_BY_HOP = {
    "Keep-Alive": ("Keep-Alive: timeout=5",),
    "Proxy-Connection": ("Proxy-Connection: keep-alive",),
    "TE": ("TE: trailers", "Connection: TE"),
    "Trailer": ("Trailer: X-Sum",),
    "X-Nominated": ("X-Nominated: secret", "Connection: X-Nominated"),
    "x-also-nominated": ("X-Also-Nominated: secret", "Connection: keep-alive, x-ALSO-nominated"),
    "HTTP2-Settings": ("HTTP2-Settings: AAMAAABkAAQAAP__", "Connection: HTTP2-Settings"),
    "Proxy-Authorization": ("Proxy-Authorization: Basic eDp5",),
}


@pytest.mark.promise
@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_hop_by_hop_fields_stay_here(bench: Bench, name: str) -> None:
    """RFC 9110 section 7.6.1: what concerns one connection, and what Connection nominates, is not forwarded."""
    client, path = bench.connect(), bench.path()
    client.send(request(path, (*UPGRADE, *HOP_BY_HOP[name])))
    upstream, _ = bench.switched(client, path)
    assert_one_good_handshake(upstream.request)
    assert not upstream.request.values(name)
    assert upstream.request.elements("Connection") == ["upgrade"]


def test_connection_close_beside_upgrade(bench: Bench) -> None:
    """The client's word on its own connection; the handshake is good (RFC 9112 section 9.6)."""
    client, path = bench.connect(), bench.path()
    client.send(request(path, (*UPGRADE, "Connection: close")))
    upstream, head = bench.switched(client, path)
    assert_one_good_handshake(upstream.request)
    assert_one_good_switch(head)
    assert_relays(client, upstream)


@pytest.mark.promise
@pytest.mark.parametrize("nominated", ["Sec-WebSocket-Key", "Sec-WebSocket-Version", "Host", "Upgrade"])
def test_nominating_what_the_handshake_needs(bench: Bench, nominated: str) -> None:
    """A client cannot have the proxy send half a handshake: it is whole or refused."""
    client, path = bench.connect(), bench.path()
    seen: list[Head] = []

    def switch(wire: Wire) -> None:
        seen.append(wire.request)
        wire.send(SWITCH)

    bench.upstream.on_each(path, switch)
    client.send(request(path, (*UPGRADE, f"Connection: {nominated}")))
    status = client.read_head().status
    assert status in {101, 400, 426}
    assert len(seen) == (status == 101)
    for head in seen:
        assert_one_good_handshake(head)


@pytest.mark.promise
def test_hop_by_hop_fields_of_the_answer_stay_here(bench: Bench) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path))
    extra = ("Keep-Alive: timeout=5", "X-Secret: 1", "Connection: X-Secret, keep-alive", "Proxy-Connection: x")
    _, head = bench.switched(client, path, (*SWITCHING, *extra))
    assert_one_good_switch(head)
    for name in ("Keep-Alive", "X-Secret", "Proxy-Connection"):
        assert not head.values(name)


ANSWER_SPELLINGS = {
    "no reason phrase": ("101 ", SWITCHING),
    "another reason phrase": ("101 Web Socket Protocol Handshake", SWITCHING),
    "lower case names": ("101 Switching Protocols", tuple(line[0].lower() + line[1:] for line in SWITCHING)),
    "mixed case values": ("101 OK", ("Upgrade: WebSocket", "Connection: upgrade", SWITCHING[2])),
    "keep-alive, Upgrade": ("101 OK", (SWITCHING[0], "Connection: keep-alive, Upgrade", SWITCHING[2])),
    "white space behind accept": ("101 OK", (*SWITCHING[:2], SWITCHING[2] + " \t")),
}


@pytest.mark.parametrize("name", ANSWER_SPELLINGS)
def test_spelling_of_the_answer(bench: Bench, name: str) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path))
    upstream = bench.take(path)
    status, lines = ANSWER_SPELLINGS[name]
    upstream.send("\r\n".join((f"HTTP/1.1 {status}", *lines, "", "")).encode())
    assert_one_good_switch(client.read_head())
    assert_relays(client, upstream)


@pytest.mark.parametrize("before", [1, 3])
def test_handshake_behind_ordinary_requests(bench: Bench, before: int) -> None:
    client, path = bench.connect(), bench.path()
    for _ in range(before):
        assert bench.is_served(client)
    client.send(request(path))
    upstream, _ = bench.switched(client, path)
    assert_relays(client, upstream)


def test_handshake_pipelined_behind_an_ordinary_request(bench: Bench) -> None:
    client, first, path = bench.connect(), bench.path(), bench.path()
    client.send(request(first, ()) + request(path))
    ordinary = bench.take(first)
    ordinary.send(OK)
    bench.hand_back(ordinary)
    head = client.read_head()
    assert (head.status, client.read_body(head)) == (200, b"ok")
    upstream, _ = bench.switched(client, path)
    assert_relays(client, upstream)


def test_any_key_of_sixteen_bytes(bench: Bench) -> None:
    for key in ("AAAAAAAAAAAAAAAAAAAAAA==", "/////////////////////w==", "x3JJHMbDL1EzLkh9GBhXDw=="):
        client, path = bench.connect(), bench.path()
        client.send(request(path, (*UPGRADE[:2], f"Sec-WebSocket-Key: {key}", VERSION_LINE)))
        accept = f"Sec-WebSocket-Accept: {accept_of(key)}"
        upstream, head = bench.switched(client, path, (*SWITCHING[:2], accept))
        assert upstream.request.values("Sec-WebSocket-Key") == [key]
        assert head.values("Sec-WebSocket-Accept") == [accept_of(key)]
