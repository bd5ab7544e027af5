"""Via: what is written, and whose names are found."""

from __future__ import annotations

import pytest

from wsproxy.http.via import has_passed, via_line


def test_the_line_says_what_the_message_came_as() -> None:
    assert via_line(1, b"edge") == b"Via: 1.1 edge\r\n"
    assert via_line(0, b"edge") == b"Via: 1.0 edge\r\n"


@pytest.mark.parametrize(
    ("fields", "passed"),
    [
        (b"Host: edge\r\n", False),
        (b"Via: 1.1 edge\r\n", True),
        (b"via: 1.0 fred, HTTP/1.1 EDGE (wsproxy)\r\n", True),
        (b"Via: 1.1 a\r\nX-A: b\r\nVia: 1.1 edge\r\n", True),
        (b"Via: 1.1 edges, 1.1 an-edge, 1.1 edge:80\r\n", False),
        (b"Via: 1.1 a (b, 1.1 edge)\r\n", False),
        (b"Via: edge 1.1\r\n", False),
        (b"Via: , ,edge,\r\n", False),
        (b"X-Via: 1.1 edge\r\n", False),
    ],
)
def test_a_name_is_found_as_a_whole_and_in_any_case(fields: bytes, passed: bool) -> None:
    assert has_passed(fields, b"Edge") is passed
