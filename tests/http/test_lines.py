"""Whole and broken line ends."""

from __future__ import annotations

import pytest

from wsproxy.http.lines import has_broken_line_end


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        (b"", False),
        (b"a", False),
        (b"\r", False),
        (b"a\r\n\r\nb\r", False),
        (b"\n", True),
        (b"a\n\r\n", True),
        (b"\r\r", True),
        (b"\r\r\n", True),
        (b"a\rb\r\n", True),
        (b"\n\r", True),
    ],
)
def test_line_ends(text: bytes, broken: bool) -> None:
    assert has_broken_line_end(text) is broken
