"""What upstreams answer to a handshake: a good 101 is passed on, a bad one is a 502, the rest are ordinary answers."""

from __future__ import annotations

import pytest

from tests.conformance_ws.bench import ACCEPT, SWITCH, SWITCHING, UPGRADE, Bench, answer, request
from tests.conformance_ws.wire import BINARY, MASK, TEXT, Head, Wire, close, frame

OFFER = (
    "Sec-WebSocket-Protocol: chat, superchat",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
)


@pytest.mark.parametrize(
    "lines",
    [
        ("Sec-WebSocket-Protocol: chat",),
        ("Sec-WebSocket-Protocol: superchat",),
        ("Sec-WebSocket-Extensions: permessage-deflate",),
        ("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=12; server_no_context_takeover",),
        ('Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits="12"', "sec-websocket-protocol: chat"),
    ],
)
def test_choice_of_what_was_offered(bench: Bench, lines: tuple[str, ...]) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path, (*UPGRADE, *OFFER)))
    upstream, head = bench.switched(client, path, (*SWITCHING, *lines))
    for name in ("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"):
        assert head.values(name) == Head.parse("\r\n".join(("", *lines, "", "")).encode()).values(name)
    compressed = frame(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", MASK, first=0xC)
    client.send(compressed)
    assert upstream.read(len(compressed)) == compressed


def test_choice_of_nothing(bench: Bench) -> None:
    """RFC 6455 section 4.2.2: a server may accept none of it."""
    client, path = bench.connect(), bench.path()
    client.send(request(path, (*UPGRADE, *OFFER)))
    _, head = bench.switched(client, path)
    assert not head.values("Sec-WebSocket-Protocol")
    assert not head.values("Sec-WebSocket-Extensions")


UPGRADED, CONNECTION, ACCEPTED = SWITCHING
BAD_SWITCHES = {
    "no accept": (UPGRADED, CONNECTION),
    "an empty accept": (UPGRADED, CONNECTION, "Sec-WebSocket-Accept:"),
    "no Upgrade": (CONNECTION, ACCEPTED),
    "another Upgrade": ("Upgrade: h2c", CONNECTION, ACCEPTED),
    "no Connection": (UPGRADED, ACCEPTED),
    "another Connection": (UPGRADED, "Connection: keep-alive", ACCEPTED),
}
MISFITS = {
    "a wrong accept": (UPGRADED, CONNECTION, "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    "an accept in another case": (UPGRADED, CONNECTION, f"Sec-WebSocket-Accept: {ACCEPT.lower()}"),
    "two accepts": (*SWITCHING, ACCEPTED),
    "a subprotocol that was not offered": (*SWITCHING, "Sec-WebSocket-Protocol: other"),
    "a subprotocol in another case": (*SWITCHING, "Sec-WebSocket-Protocol: Chat"),
    "two subprotocols": (*SWITCHING, "Sec-WebSocket-Protocol: chat, superchat"),
    "two lines of subprotocols": (*SWITCHING, "Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: superchat"),
    "an extension that was not offered": (*SWITCHING, "Sec-WebSocket-Extensions: x-webkit-deflate-frame"),
    "an extension too much": (*SWITCHING, "Sec-WebSocket-Extensions: permessage-deflate, x-other"),
}


@pytest.mark.promise
@pytest.mark.parametrize("name", BAD_SWITCHES)
def test_bad_switch_is_502(bench: Bench, name: str) -> None:
    """What opens no WebSocket at all (RFC 6455 section 4.2.2) is not relayed as one."""
    client, path = bench.connect(), bench.path()
    client.send(request(path, (*UPGRADE, *OFFER)))
    upstream = bench.take(path)
    upstream.send(answer("101 Switching Protocols", BAD_SWITCHES[name], frame(TEXT, b"not for the client")))
    head = client.read_final_head()
    assert head.status == 502
    assert b"not for the client" not in client.read_body(head)
    assert upstream.read_to_end(2) == b""
    if "close" in head.elements("Connection"):
        assert client.read_to_end() == b""
    else:
        assert bench.is_served(client)


def assert_passes_unchanged(bench: Bench, offer: tuple[str, ...], lines: tuple[str, ...]) -> None:
    """The client gets these fields as they are, and is the one to judge them: then frames go both ways."""
    client, path = bench.connect(), bench.path()
    client.send(request(path, (*UPGRADE, *offer)))
    upstream = bench.take(path)
    sent = frame(TEXT, b"hello")
    upstream.send(answer("101 Switching Protocols", lines, sent))
    head = client.read_final_head()
    assert head.status == 101
    expected = Head.parse("\r\n".join(("", *lines, "", "")).encode())
    for name in ("Sec-WebSocket-Accept", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"):
        assert head.values(name) == expected.values(name)
    assert client.read(len(sent)) == sent
    client.send(close(1002, b"", MASK))
    assert upstream.read_frame().close_code == 1002


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_for_the_client_to_judge(bench: Bench, name: str) -> None:
    """RFC 6455 section 4.1 has the client fail the connection: it gets the verdict it would get without a proxy."""
    assert_passes_unchanged(bench, OFFER, MISFITS[name])


@pytest.mark.parametrize("line", ["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: permessage-deflate"])
def test_choice_where_nothing_was_offered_is_too(bench: Bench, line: str) -> None:
    assert_passes_unchanged(bench, (), (*SWITCHING, line))


@pytest.mark.promise
def test_switch_in_http_1_0_is_502(bench: Bench) -> None:
    """RFC 6455 section 4.1 wants an HTTP/1.1 status line; RFC 9110 section 7.8 has no upgrade in 1.0."""
    client, path = bench.connect(), bench.path()
    client.send(request(path))
    bench.take(path).send(SWITCH.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert client.read_final_head().status == 502


@pytest.mark.promise
@pytest.mark.parametrize("line", ["Content-Length: 0", "Content-Length: 4", "Transfer-Encoding: chunked"])
def test_switch_with_a_length(bench: Bench, line: str) -> None:
    """RFC 9112 section 6.3: a 101 has no body whatever it says; the frames are frames, or it is refused."""
    client, path = bench.connect(), bench.path()
    client.send(request(path))
    upstream = bench.take(path)
    sent = frame(TEXT, b"hello")
    upstream.send(answer("101 Switching Protocols", (*SWITCHING, line), sent))
    head = client.read_final_head()
    assert head.status in {101, 502}
    if head.status == 101:
        assert not head.values(line.partition(":")[0])
        assert client.read(len(sent)) == sent


@pytest.mark.promise
def test_switch_to_an_ordinary_request_is_502(bench: Bench) -> None:
    client, path = bench.connect(), bench.path("/plain")
    bench.upstream.on_each(path, lambda wire: wire.send(SWITCH))
    client.send(request(path, ()))
    assert client.read_final_head().status == 502


@pytest.mark.parametrize("interim", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_interim_answer_before_the_switch(bench: Bench, interim: str) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path))
    upstream = bench.take(path)
    upstream.send(answer(interim, ["Link: </style.css>; rel=preload"]))
    upstream.send(SWITCH)
    assert client.read_final_head().status == 101
    sent = frame(TEXT, b"hello", MASK)
    client.send(sent)
    assert upstream.read(len(sent)) == sent


ANSWERS = {
    "200": answer("200 OK", ["Content-Length: 5"], b"hello"),
    "200 chunked": answer("200 OK", ["Transfer-Encoding: chunked"], b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
    "204": answer("204 No Content"),
    "302": answer("302 Found", ["Location: https://other.example/ws", "Content-Length: 0"]),
    "304": answer("304 Not Modified", ['ETag: "1"']),
    "400": answer("400 Bad Request", ["Content-Length: 5"], b"hello"),
    "401": answer("401 Unauthorized", ['WWW-Authenticate: Basic realm="x"', "Content-Length: 5"], b"hello"),
    "403 empty": answer("403 Forbidden", ["Content-Length: 0"]),
    "404 chunked": answer("404 Not Found", ["Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\n\r\n"),
    "426": answer("426 Upgrade Required", ["Sec-WebSocket-Version: 8, 7", "Content-Length: 5"], b"hello"),
    "429": answer("429 Too Many Requests", ["Retry-After: 7", "Content-Length: 5"], b"hello"),
    "500": answer("500 Internal Server Error", ["Content-Length: 5", "Set-Cookie: a=1"], b"hello"),
    "503": answer("503 Service Unavailable", ["Retry-After: 7", "Content-Length: 5"], b"hello"),
}
KEPT = ("Location", "WWW-Authenticate", "Sec-WebSocket-Version", "Retry-After", "Set-Cookie", "ETag")


@pytest.mark.parametrize("name", ANSWERS)
def test_other_answer_passes_whole(bench: Bench, name: str) -> None:
    """RFC 6455 section 4.2.2: any other status means that HTTP goes on, on the same connection."""
    client, path = bench.connect(), bench.path()
    client.send(request(path))
    upstream = bench.take(path)
    upstream.send(ANSWERS[name])
    sent = Head.parse(ANSWERS[name].partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    head = client.read_final_head()
    assert head.status == sent.status
    assert [head.values(field) for field in KEPT] == [sent.values(field) for field in KEPT]
    assert client.read_body(head) == (b"hello" if b"lo" in ANSWERS[name].partition(b"\r\n\r\n")[2] else b"")
    bench.hand_back(upstream)
    assert bench.is_served(client)


def test_answer_delimited_by_its_end(bench: Bench) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path))
    upstream = bench.take(path)
    upstream.send(answer("403 Forbidden", ["Content-Type: text/plain"], b"hel"))
    upstream.send(b"lo")
    upstream.close()
    head = client.read_final_head()
    assert (head.status, client.read_body(head)) == (403, b"hello")


def test_big_answer_passes_whole(bench: Bench) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path))
    body = bytes(range(256)) * 8192
    sending = bench.take(path).send_aside(answer("500 Oops", [f"Content-Length: {len(body)}"], body))
    head = client.read_final_head()
    assert (head.status, client.read_body(head)) == (500, body)
    sending.join()


def test_handshake_again_after_401(bench: Bench) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path))
    upstream = bench.take(path)
    upstream.send(ANSWERS["401"])
    bench.hand_back(upstream)
    head = client.read_final_head()
    assert (head.status, client.read_body(head)) == (401, b"hello")
    client.send(request(path, (*UPGRADE, "Authorization: Basic eDp5")))
    upstream, _ = bench.switched(client, path)
    assert upstream.request.values("Authorization") == ["Basic eDp5"]


def play_against(bench: Bench, path: str, act: bytes | None) -> int:
    """The status that comes of an upstream that sends this and ends (None: it resets at once)."""

    def end(wire: Wire) -> None:
        if act is None:
            wire.reset()
        else:
            wire.send(act)
            wire.close()

    bench.upstream.on_each(path, end)
    client = bench.connect()
    client.send(request(path))
    head = client.read_final_head()
    client.read_body(head)
    return head.status


BROKEN = {
    "closes at once": b"",
    "closes inside the head": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n",
    "closes behind an interim answer": answer("103 Early Hints"),
    "speaks something else": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "resets": None,
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_upstream_is_502(bench: Bench, name: str) -> None:
    assert play_against(bench, bench.path(), BROKEN[name]) == 502


@pytest.mark.promise
def test_silent_upstream_is_504(bench: Bench) -> None:
    client, path = bench.connect(), bench.path("/slow")
    client.send(request(path))
    upstream = bench.take(path)
    head = client.read_final_head()
    assert head.status == 504
    assert upstream.read_to_end(2) == b""


@pytest.mark.promise
def test_upstream_silent_inside_its_head_is_504(bench: Bench) -> None:
    client, path = bench.connect(), bench.path("/slow")
    client.send(request(path))
    bench.take(path).send(SWITCH[:40])
    assert client.read_final_head().status in {502, 504}


@pytest.mark.promise
def test_slow_route_holds_an_open_websocket(bench: Bench) -> None:
    """The time to the first byte of the answer is none to the first frame."""
    pair = bench.open("/slow")
    sent = frame(TEXT, b"still there")
    assert pair.client.is_silent(1.3)
    pair.upstream.send(sent)
    assert pair.client.read(len(sent)) == sent


@pytest.mark.promise
def test_refused_connection_goes_to_the_next_backend(bench: Bench) -> None:
    for _ in range(4):
        pair = bench.open("/spare")
        sent = frame(TEXT, b"hello", MASK)
        pair.client.send(sent)
        assert pair.upstream.read(len(sent)) == sent


def test_all_backends_refuse(bench: Bench) -> None:
    client = bench.connect()
    client.send(request(bench.path("/refused")))
    assert client.read_final_head().status in {502, 503}


EARLY = b"".join(frame(TEXT, f"early {n}".encode(), MASK) for n in range(3)) + frame(BINARY, bytes(100_000), MASK)
GREETING = b"".join(frame(TEXT, f"greeting {n}".encode()) for n in range(3)) + frame(BINARY, bytes(100_000))


def test_frames_right_behind_the_answer(bench: Bench) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path))
    bench.take(path).send(SWITCH + GREETING)
    assert client.read_final_head().status == 101
    assert client.read(len(GREETING)) == GREETING


def test_frames_right_behind_the_request(bench: Bench) -> None:
    """Too early by RFC 6455 section 4.1, seen with eager clients all the same: kept, in order, not lost."""
    client, path = bench.connect(), bench.path()
    client.send_aside(request(path) + EARLY)
    upstream = bench.take(path)
    upstream.send(SWITCH)
    assert client.read_final_head().status == 101
    assert upstream.read(len(EARLY)) == EARLY
    late = frame(TEXT, b"late", MASK)
    client.send(late)
    assert upstream.read(len(late)) == late


def test_frames_while_the_answer_is_awaited(bench: Bench) -> None:
    client, path = bench.connect(), bench.path()
    client.send(request(path))
    upstream = bench.take(path)
    client.send(EARLY[:9])
    upstream.send(SWITCH[:50])
    client.send(EARLY[9:40])
    upstream.send(SWITCH[50:] + GREETING[:13])
    client.send_aside(EARLY[40:])
    upstream.send_aside(GREETING[13:])
    assert client.read_final_head().status == 101
    assert client.read(len(GREETING)) == GREETING
    assert upstream.read(len(EARLY)) == EARLY


@pytest.mark.promise
def test_early_frames_behind_a_refused_handshake_are_no_tunnel(bench: Bench) -> None:
    """Without a 101, what follows is HTTP: the upstream must not get it as it is."""
    client, path = bench.connect(), bench.path()
    client.send(request(path) + EARLY[:40])
    upstream = bench.take(path)
    upstream.send(ANSWERS["403 empty"])
    assert client.read_final_head().status == 403
    client.half_close()
    client.read_to_end()
    upstream.half_close()
    assert upstream.read_to_end() == b""
