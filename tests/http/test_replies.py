"""The proxy's own answers, as h11 reads them."""

from __future__ import annotations

import json

import h11
import pytest

from wsproxy.http.replies import REASONS, ErrorPage, error_reply, preferred_type


def read(reply: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(reply)
    response = connection.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert connection.trailing_data == (b"", False)
    return response, body


def test_json_by_default() -> None:
    response, body = read(error_reply(502, 'not "reachable"', "id-1", b"", close=False))
    assert json.loads(body) == {"error": 'not "reachable"', "request_id": "id-1"}
    assert (response.status_code, response.reason) == (502, b"Bad Gateway")
    fields = dict(response.headers)
    assert fields[b"content-type"] == b"application/json"
    assert b"connection" not in fields
    assert b"retry-after" not in fields


def test_text_and_html() -> None:
    _, body = read(error_reply(404, "no <route>", "id-1", b"text/plain", close=True))
    assert body == b"no <route>\nrequest id-1\n"
    response, body = read(error_reply(404, "no <route>", "id-1", b"text/html", close=True))
    assert b"no &lt;route&gt;" in body
    assert b"404 Not Found" in body
    assert dict(response.headers)[b"connection"] == b"close"


def test_retry_after_and_head() -> None:
    whole = error_reply(503, "busy", "id-1", b"", close=False, retry_after_s=7)
    head = error_reply(503, "busy", "id-1", b"", close=False, retry_after_s=7, head_only=True)
    assert whole.startswith(head)
    response, body = read(head, "HEAD")
    assert dict(response.headers)[b"retry-after"] == b"7"
    assert body == b""


def test_upgrade_required() -> None:
    response, _ = read(error_reply(426, "version 13 only", "id-1", b"", close=True))
    fields = dict(response.headers)
    assert fields[b"sec-websocket-version"] == b"13"
    assert (fields[b"upgrade"], fields[b"connection"]) == (b"websocket", b"close, Upgrade")


@pytest.mark.parametrize("status", REASONS.keys() - {100, 101, 204, 304} | {418})
@pytest.mark.parametrize("accept", [b"", b"text/html"])
def test_every_status_is_a_valid_response(status: int, accept: bytes) -> None:
    response, _ = read(error_reply(status, "x", "id-1", accept, close=False))
    assert response.status_code == status


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (b"", "application/json"),
        (b"*/*", "application/json"),
        (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        (b"text/plain", "text/plain"),
        (b"text/*", "text/plain"),
        (b"TEXT/HTML", "text/html"),
        (b"text/*;q=0.5, application/json;q=0.4", "text/plain"),
        (b"text/html;q=0.2, application/json; q=0.7", "application/json"),
        (b"*/*;q=0.1, text/html;level=1;q=0.5", "text/html"),
        (b"application/json;q=0, */*", "text/plain"),
        (b"image/png", "application/json"),
        (b"text/html;q=9", "text/html"),
        (b"text/html;q=x,;;,=,\xff", "text/html"),
        (b"a/b," * 40 + b"text/html", "application/json"),
    ],
)
def test_preferred_type(accept: bytes, media_type: str) -> None:
    assert preferred_type(accept) == media_type


def test_a_page_takes_the_place_of_the_body() -> None:
    page = ErrorPage("text/html", b"<h1>caf\xc3\xa9</h1>")
    response, body = read(error_reply(404, "x", "id-1", b"*/*", close=False, page=page))
    assert body == page.body
    assert dict(response.headers)[b"content-type"] == b"text/html; charset=utf-8"
    _, body = read(error_reply(404, "x", "id-1", b"application/json", close=False, page=page))
    assert json.loads(body)["error"] == "x"


def test_the_first_of_equal_types_is_the_callers() -> None:
    assert preferred_type(b"", "text/plain") == preferred_type(b"*/*", "text/plain") == "text/plain"
    assert preferred_type(b"text/html, text/plain", "text/plain") == "text/plain"
    assert preferred_type(b"text/html, text/plain;q=0.9", "text/plain") == "text/html"
