"""Accept-Encoding against what there is."""

from __future__ import annotations

import pytest

from tests.yardstick import cost_s
from wsproxy.http.accept import IDENTITY, MAX_CODINGS, preferred_coding

OFFERS = ("gzip", "zstd", "br")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], IDENTITY),
        ([b""], IDENTITY),
        ([b"gzip"], "gzip"),
        ([b"GZip"], "gzip"),
        ([b"x-gzip"], "gzip"),
        ([b"br"], "br"),
        ([b"br, zstd, gzip"], "gzip"),  # all the same to the client: our order
        ([b"gzip, deflate, br;q=1.000"], "gzip"),
        ([b"gzip;q=0.8, br;q=0.9"], "br"),
        ([b"gzip; q=0.8 ,\tbr ; q = 0.9"], "br"),
        ([b"gzip;q=0.8", b"br;q=0.9"], "br"),
        ([b"gzip;q=0"], IDENTITY),
        ([b"gzip;q=0, *"], "zstd"),
        ([b"*"], "gzip"),
        ([b"*;q=0"], IDENTITY),
        ([b"deflate, compress"], IDENTITY),
        ([b"identity, gzip;q=0.5"], IDENTITY),
        ([b"identity;q=0.5, gzip"], "gzip"),
        ([b"identity;q=0.5, gzip;q=0.5"], "gzip"),
        ([b"identity;q=0"], IDENTITY),  # better than nothing at all
        ([b"gzip;q=2"], IDENTITY),
        ([b"gzip;level=9"], IDENTITY),
        ([b"gzip;;;, br"], "br"),
        ([b"\xff\xfe, gzip"], "gzip"),
        ([b"a," * MAX_CODINGS + b"gzip"], IDENTITY),
    ],
)
def test_the_coding_of_an_answer(values: list[bytes], expected: str) -> None:
    assert preferred_coding(values, OFFERS) == expected


def test_nothing_is_offered() -> None:
    assert preferred_coding([b"gzip, *"], ()) == IDENTITY


@pytest.mark.parametrize("value", [b"gzip" + b" " * 16_000 + b"x", b"gzip ;" + b" \t" * 8_000, b"a" * 16_000 + b"("])
def test_a_client_cannot_hold_the_loop_up_with_white_space(value: bytes) -> None:
    assert preferred_coding([value], ["gzip"]) == ""
    # Well below 1 ms; a second where spaces are looked at again and again.
    assert cost_s(lambda: preferred_coding([value], ["gzip"]), limit_s=0.2) < 0.2
