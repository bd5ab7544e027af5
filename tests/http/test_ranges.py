"""Ranges: which bytes, and how several parts make one body."""

from __future__ import annotations

import pytest

from wsproxy.http.ranges import MAX_RANGES, Multipart, Part, wanted_parts


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes=0-0", [(0, 1)]),
        (b"bytes=0-9", [(0, 10)]),
        (b"bytes=0-", [(0, 10)]),
        (b"bytes=3-5", [(3, 6)]),
        (b"Bytes = 3-5", [(3, 6)]),
        (b"bytes=-3", [(7, 10)]),
        (b"bytes=-99", [(0, 10)]),
        (b"bytes=8-99999999999", [(8, 10)]),
        (b"bytes=0-1, 4-5 ,,\t-1", [(0, 2), (4, 6), (9, 10)]),
        (b"bytes=9-9,0-0", [(9, 10), (0, 1)]),  # in the order that is asked for
        (b"bytes=0-1,50-60", [(0, 2)]),  # what there is of it
        (b"bytes=10-", []),
        (b"bytes=-0", []),
        (b"bytes=50-60,70-", []),
        (b"bytes=5-4", None),
        (b"bytes=", None),
        (b"bytes=,", None),
        (b"bytes=-", None),
        (b"bytes=a-b", None),
        (b"bytes=1", None),
        (b"bytes=1-2-3", None),
        (b"bytes=+1-2", None),
        (b"bytes 0-1", None),
        (b"lines=0-1", None),
        (b"bytes=0-9,0-0", None),  # more than there is
        (b"bytes=" + b"9" * 20 + b"-", None),
        (b"bytes=0-" + b"9" * 20, None),
        (b"bytes=" + b",".join(b"%d-%d" % (n % 10, n % 10) for n in range(MAX_RANGES + 1)), None),
    ],
)
def test_parts_of_ten_bytes(value: bytes, expected: list[tuple[int, int]] | None) -> None:
    parts = wanted_parts(value, 10)
    assert (None if parts is None else [(part.start, part.end) for part in parts]) == expected


def test_as_many_parts_as_are_allowed() -> None:
    value = b"bytes=" + b",".join(b"%d-%d" % (n * 2, n * 2) for n in range(MAX_RANGES))
    assert len(wanted_parts(value, 100) or ()) == MAX_RANGES


@pytest.mark.parametrize("value", [b"bytes=0-", b"bytes=0-0", b"bytes=-1"])
def test_nothing_has_no_parts(value: bytes) -> None:
    assert wanted_parts(value, 0) == ()


@pytest.mark.parametrize("content_type", [b"text/plain", b""])
def test_body_of_several_parts(content_type: bytes) -> None:
    content = b"0123456789"
    body = Multipart((Part(0, 2), Part(5, 9)), 10, b"XX", content_type)
    written = b"".join(head + content[part.start : part.end] for head, part in body.pieces) + body.end
    line = b"Content-Type: text/plain\r\n" if content_type else b""
    assert written == (
        b"--XX\r\n" + line + b"Content-Range: bytes 0-1/10\r\n\r\n01"
        b"\r\n--XX\r\n" + line + b"Content-Range: bytes 5-8/10\r\n\r\n5678\r\n--XX--\r\n"
    )
    assert len(written) == body.length
    assert body.media_type == b"multipart/byteranges; boundary=XX"
