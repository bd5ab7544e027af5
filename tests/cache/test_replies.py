"""What is sent of a kept answer."""

from __future__ import annotations

import pytest

from tests.cache.answers import NOW, PLAIN, asked, stored
from wsproxy.cache.freshness import Terms
from wsproxy.cache.replies import encoded_hit, lines_of_hit, reply
from wsproxy.http.messages import field_values

ANSWER = stored(
    'ETag: "a"', "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT", "Content-Type: text/plain", "Content-Location: /x"
)


def test_the_whole() -> None:
    head, body = reply(ANSWER, b"GET", PLAIN, b"Age: 1\r\n")
    assert (head.status, head.length, body) == (200, 10, b"0123456789")
    assert head.fields.endswith(b"Content-Length: 10\r\nAge: 1\r\n")


def test_head_has_the_fields_of_get() -> None:
    head, body = reply(ANSWER, b"HEAD", PLAIN, b"")
    assert (head.length, body) == (0, b"")
    assert b"Content-Length: 10\r\n" in head.fields


def test_no_body_has_no_length() -> None:
    head, _ = reply(stored(status=204, body=b""), b"GET", PLAIN, b"")
    assert b"Content-Length" not in head.fields


@pytest.mark.parametrize("line", ['If-None-Match: W/"a"', "If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT"])
def test_what_the_client_has_already(line: str) -> None:
    head, body = reply(ANSWER, b"GET", asked(line), b"")
    assert (head.status, head.length, body) == (304, 0, b"")
    assert b"ETag" in head.fields
    assert b"Content-Location" in head.fields
    assert b"Content-Type" not in head.fields
    assert b"Content-Length" not in head.fields


def test_conditions_are_for_good_answers_only() -> None:
    head, _ = reply(stored('ETag: "a"', status=404), b"GET", asked('If-None-Match: "a"'), b"")
    assert head.status == 404


@pytest.mark.parametrize(
    ("lines", "status", "body", "told"),
    [
        (["Range: bytes=2-3"], 206, b"23", b"bytes 2-3/10"),
        (["Range: bytes=-2", 'If-Range: "a"'], 206, b"89", b"bytes 8-9/10"),
        (["Range: bytes=-2", 'If-Range: "b"'], 200, b"0123456789", b""),
        (["Range: bytes=0-9,3-4"], 200, b"0123456789", b""),
        (["Range: lines=0-1"], 200, b"0123456789", b""),
        (["Range: bytes=10-"], 416, b"", b"bytes */10"),
    ],
)
def test_parts(lines: list[str], status: int, body: bytes, told: bytes) -> None:
    head, sent = reply(ANSWER, b"GET", asked(*lines), b"")
    assert (head.status, sent, head.length) == (status, body, len(body))
    assert (b"Content-Range: %b\r\n" % told in head.fields) is bool(told)
    assert head.fields.count(b"Content-Length: ") == 1


def test_several_parts() -> None:
    head, sent = reply(ANSWER, b"GET", asked("Range: bytes=0-1, -2"), b"")
    (media_type,) = field_values(head.fields, b"content-type")
    boundary = media_type.removeprefix(b"multipart/byteranges; boundary=")
    part = b"--%b\r\nContent-Type: text/plain\r\nContent-Range: bytes %b/10\r\n\r\n%b\r\n"
    assert sent == part % (boundary, b"0-1", b"01") + part % (boundary, b"8-9", b"89") + b"--%b--\r\n" % boundary
    assert (head.status, head.length) == (206, len(sent))


def test_a_head_is_written_once_a_second() -> None:
    answer = stored(on=Terms(60.0, age_s=5.0))
    written = encoded_hit(answer, NOW + 1.0)
    assert b"\r\nAge: 6\r\nCache-Status: wsproxy; hit; ttl=54\r\n\r\n" in written
    assert encoded_hit(answer, NOW + 1.9) is written
    assert b"Age: 7\r\n" in encoded_hit(answer, NOW + 2.0)


def test_a_stale_hit_says_since_when() -> None:
    assert b"ttl=-5\r\n" in lines_of_hit(stored(), NOW + 65.0)
