"""Lines that the proxy adds to an answer: once, and to nobody else's head."""

from __future__ import annotations

import pytest

from wsproxy.http.codec import with_fields
from wsproxy.http.messages import ResponseHead
from wsproxy.http.replies import error_reply, strict_transport_security

HSTS = b"Strict-Transport-Security: max-age=86400\r\n"


def test_how_long_browsers_are_told_to_use_https() -> None:
    assert strict_transport_security(86400.0) == HSTS


def test_a_copy_gets_the_line() -> None:
    head = ResponseHead(200, b"OK", 1, b"Content-Length: 5\r\n", 5, True, keep_alive_timeout_s=7.0)
    more = with_fields(head, HSTS)
    assert head.fields == b"Content-Length: 5\r\n", "a head may be handed out again"
    assert more == ResponseHead(200, b"OK", 1, b"Content-Length: 5\r\n" + HSTS, 5, True, keep_alive_timeout_s=7.0)


@pytest.mark.parametrize("name", [b"Strict-Transport-Security", b"strict-transport-security"])
def test_a_field_that_is_there_stays_alone(name: bytes) -> None:
    head = ResponseHead(200, b"OK", 1, b"A: b\r\n%b: max-age=1\r\n" % name, 0, True)
    assert with_fields(head, HSTS) is head


def test_our_own_answers_get_lines_too() -> None:
    reply = error_reply(404, "no", "id", b"", close=False, fields=b"A: 1\r\nB: 2\r\n")
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.endswith(b"\r\nA: 1\r\nB: 2")
    assert body == b'{"error": "no", "request_id": "id"}\n'
