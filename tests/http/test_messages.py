"""Canonical blocks of fields, searched and thinned out, and heads copied."""

from __future__ import annotations

from copy import copy

import pytest

from wsproxy.http.messages import RequestHead, ResponseHead, field_values, remover

FIELDS = b"Host: a\r\nX-Mine: 1\r\nX-Mine-Too: x-mine: 2\r\nx-mine: \r\nX-MINE: 3\r\n"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (b"host", [b"a"]),
        (b"X-Mine", [b"1", b"", b"3"]),
        (b"x-mine-too", [b"x-mine: 2"]),
        (b"mine", []),
        (b"x.mine", []),
        (b"x-min", []),
    ],
)
def test_field_values(name: bytes, values: list[bytes]) -> None:
    assert field_values(FIELDS, name) == values
    assert field_values(b"", name) == []


@pytest.mark.parametrize(
    ("names", "rest"),
    [
        ((b"host",), b"X-Mine: 1\r\nX-Mine-Too: x-mine: 2\r\nx-mine: \r\nX-MINE: 3\r\n"),
        ((b"x-mine",), b"Host: a\r\nX-Mine-Too: x-mine: 2\r\n"),
        ((b"X-Mine", b"HOST"), b"X-Mine-Too: x-mine: 2\r\n"),
        ((b"mine", b"too", b"x.mine"), FIELDS),
        ((b"host", b"x-mine", b"x-mine-too"), b""),
    ],
)
def test_lines_of_some_names_are_removed(names: tuple[bytes, ...], rest: bytes) -> None:
    assert remover(names)(FIELDS) == rest
    assert remover(names)(b"") == b""


def test_copies_are_equal_and_apart() -> None:
    request = RequestHead(b"GET", b"/", 0, b"a", b"", 3, True, True, b"websocket", {b"forwarded": b""}, b"x", 5)
    response = ResponseHead(200, b"OK", 0, b"", 3, True, 2.5, b"websocket", b"x", True)
    for head in (request, response):
        other = copy(head)
        assert other == head
        assert len({str(getattr(head, name)) for name in head.__slots__}) > 6, "else equal by chance"
        other.fields = b"A: b\r\n"
        assert head.fields == b""


def test_response_finds_its_date() -> None:
    assert ResponseHead(200, b"OK", 1, b"A: b\r\ndate: x\r\n", 0, True).has_date
    assert ResponseHead(200, b"OK", 1, b"Date: x\r\n", 0, True).has_date
    assert not ResponseHead(200, b"OK", 1, b"X-Date: x\r\n", 0, True).has_date


def test_what_a_head_tells_of_its_sender_is_found_in_its_fields() -> None:
    fields = b"Host: a\r\nuser-agent: x/1\r\nReferer: http://a/\r\nUser-Agent: y\r\nTraceparent: 00-1\r\n"
    head = RequestHead(b"GET", b"/", 1, b"a", fields, 0, True)
    assert head.told == (b"http://a/", b"x/1", b"00-1")
    assert RequestHead(b"GET", b"/", 1, b"a", b"", 0, True).told == (b"", b"", b"")
