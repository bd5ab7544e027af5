"""The opening handshake: requests refused, answers refused, origins."""

from __future__ import annotations

import pytest

from wsproxy.http.messages import RequestHead, ResponseHead
from wsproxy.ws.handshake import accept_value, check_request, check_response, mismatch, origin_allowed

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455 section 1.3
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def request(
    *extra: bytes,
    method: bytes = b"GET",
    minor_version: int = 1,
    key: bytes = b"Sec-WebSocket-Key: " + KEY,
    version: bytes = b"Sec-WebSocket-Version: 13",
    length: int = 0,
    upgrade: bytes = b"websocket",
) -> RequestHead:
    fields = b"".join(line + b"\r\n" for line in (b"Host: a.example", key, version, *extra) if line)
    return RequestHead(method, b"/chat", minor_version, b"a.example", fields, length, True, upgrade=upgrade)


def response(*extra: bytes, accept: bytes = ACCEPT, upgrade: bytes = b"websocket") -> ResponseHead:
    fields = b"".join(line + b"\r\n" for line in (b"Sec-WebSocket-Accept: " + accept, *extra))
    return ResponseHead(101, b"Switching Protocols", 1, fields, 0, True, upgrade=upgrade)


def test_a_right_handshake_passes() -> None:
    assert check_request(request()) is None
    assert accept_value(KEY) == ACCEPT
    assert check_response(response()) is None
    assert mismatch(request(), response()) is None


@pytest.mark.parametrize(
    "head",
    [
        request(method=b"POST"),
        request(minor_version=0),
        request(upgrade=b""),
        request(upgrade=b"h2c"),
        request(length=5),
        request(key=b""),
        request(key=b"Sec-WebSocket-Key: short"),
        request(key=b"Sec-WebSocket-Key: " + KEY + b"x"),
        request(key=b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"),
        request(b"Sec-WebSocket-Key: " + KEY),
    ],
)
def test_a_wrong_one_is_a_bad_request(head: RequestHead) -> None:
    refusal = check_request(head)
    assert refusal is not None
    assert (refusal.status, refusal.fields) == (400, b"")
    assert refusal.message


@pytest.mark.parametrize(
    "head",
    [
        request(version=b""),
        request(version=b"Sec-WebSocket-Version: 8"),
        request(version=b"Sec-WebSocket-Version: 13, 8"),
        request(b"Sec-WebSocket-Version: 13"),
    ],
)
def test_another_version_is_told_ours(head: RequestHead) -> None:
    refusal = check_request(head)
    assert refusal is not None
    assert refusal.status == 426
    assert b"Sec-WebSocket-Version: 13\r\n" in refusal.fields


@pytest.mark.parametrize(
    "answer",
    [
        response(accept=b"s3pPLMBiTxaQ9kYGzzhZRbK+xOO="),
        response(b"Sec-WebSocket-Accept: " + ACCEPT),
        response(b"Sec-WebSocket-Protocol: chat"),
        response(b"Sec-WebSocket-Extensions: permessage-deflate"),
    ],
)
def test_an_answer_that_does_not_fit_is_named(answer: ResponseHead) -> None:
    assert check_response(answer) is None, "it opens a WebSocket all the same"
    assert mismatch(request(), answer)


@pytest.mark.parametrize("answer", [response(upgrade=b"h2c"), response(upgrade=b""), response(accept=b"")])
def test_an_answer_that_opens_no_websocket_is_named(answer: ResponseHead) -> None:
    assert check_response(answer)


@pytest.mark.parametrize(
    ("chosen", "fits"),
    [
        ((b"Sec-WebSocket-Protocol: chat",), True),
        ((b"Sec-WebSocket-Protocol: mqtt",), True),
        ((b"Sec-WebSocket-Protocol: Chat",), False),
        ((b"Sec-WebSocket-Protocol: chat, mqtt",), False),
        ((b"Sec-WebSocket-Protocol: chat", b"Sec-WebSocket-Protocol: mqtt"), False),
        ((), True),
    ],
)
def test_one_offered_subprotocol_or_none(chosen: tuple[bytes, ...], fits: bool) -> None:
    head = request(b"Sec-WebSocket-Protocol: chat, superchat", b"Sec-WebSocket-Protocol: mqtt")
    assert (mismatch(head, response(*chosen)) is None) == fits


@pytest.mark.parametrize(
    ("chosen", "fits"),
    [
        (b"permessage-deflate; server_no_context_takeover", True),
        (b"Permessage-Deflate", True),
        (b"x-other, permessage-deflate", True),
        (b"x-hidden", False),
        (b"permessage-deflate, x-unknown", False),
    ],
)
def test_every_extension_was_offered(chosen: bytes, fits: bool) -> None:
    offers = b'permessage-deflate; client_max_window_bits, , x-other; note="a, x-hidden; \\" b"'
    head = request(b"Sec-WebSocket-Extensions: " + offers)
    assert (mismatch(head, response(b"Sec-WebSocket-Extensions: " + chosen)) is None) == fits


@pytest.mark.parametrize(
    ("origin", "authority", "allowed", "may"),
    [
        (b"https://evil.example", b"a.example", (), True),
        (None, b"a.example", ("same-host",), True),
        (b"https://a.example", b"a.example", ("same-host",), True),
        (b"https://A.example", b"a.EXAMPLE:443", ("same-host",), True),
        (b"http://a.example:8080", b"a.example:8080", ("same-host",), True),
        (b"http://a.example:8080", b"a.example", ("same-host",), False),
        (b"https://evil.example", b"a.example", ("same-host",), False),
        (b"https://b.example", b"a.example", ("same-host", "https://b.example"), True),
        (b"http://b.example", b"a.example", ("https://b.example",), False),
        (b"https://b.example:443", b"a.example", ("https://b.example",), True),
        (b"https://b.example:8443", b"a.example", ("https://b.example",), False),
        (b"https://x.b.example", b"a.example", ("https://*.b.example",), True),
        (b"https://x.y.b.example", b"a.example", ("https://*.b.example",), True),
        (b"https://b.example", b"a.example", ("https://*.b.example",), False),
        (b"https://.b.example", b"a.example", ("https://*.b.example",), False),
        (b"https://evilb.example", b"a.example", ("https://*.b.example",), False),
        (b"https://x.b.example:8443", b"a.example", ("https://*.b.example",), False),
        (b"https://x.b.example:8443", b"a.example", ("https://*.b.example:8443",), True),
        (b"chrome-extension://abc", b"a.example", ("chrome-extension://abc",), True),
        (b"null", b"a.example", ("same-host",), False),
        (b"null", b"a.example", ("null",), True),
        (b"", b"", ("same-host",), False),
    ],
)
def test_origins(origin: bytes | None, authority: bytes, allowed: tuple[str, ...], may: bool) -> None:
    assert origin_allowed(origin, authority, allowed) is may
