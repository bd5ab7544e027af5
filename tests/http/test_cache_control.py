from __future__ import annotations

import pytest

from tests.yardstick import cost_s
from wsproxy.http.cache_control import LONGEST_S, named_fields, parse_directives, parse_targeted, seconds


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"max-age=3600"], {b"max-age": b"3600"}),
        ([b"MaX-aGe=3600, No-StOrE"], {b"max-age": b"3600", b"no-store": None}),
        ([b'max-age="3600"'], {b"max-age": b"3600"}),
        ([b"max-age='3600'"], {b"max-age": b"'3600'"}),
        ([b'extension="max-age=3600", max-age=1'], {b"extension": b"max-age=3600", b"max-age": b"1"}),
        ([b'no-cache="a, b", max-age=1'], {b"no-cache": b"a, b", b"max-age": b"1"}),
        ([b'a="b\\"c, d"'], {b"a": b'b"c, d'}),
        ([b"max-age=1, max-age=1800"], {b"max-age": b"1"}),
        ([b"max-age=1", b"max-age=1800, public"], {b"max-age": b"1", b"public": None}),
        ([b"max-age =3600"], {}),
        ([b"max-age= 3600"], {}),
        ([b" , ,public,, "], {b"public": None}),
        ([b"public;max-age=3"], {}),
        ([b"max-age="], {b"max-age": b""}),
        ([b'a="unfinished, max-age=3'], {}),
        ([b"&&& &&, max-age=3"], {b"max-age": b"3"}),
        ([b""], {}),
        ([], {}),
    ],
)
def test_directives(lines: list[bytes], expected: dict[bytes, bytes | None]) -> None:
    assert parse_directives(lines) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"max-age=3600"], {b"max-age": b"3600"}),
        ([b"foobar, max-age=3600"], {b"foobar": None, b"max-age": b"3600"}),
        ([b"max-age=60", b"private"], {b"max-age": b"60", b"private": None}),
        ([b"no-store=?0, max-age=5"], {b"max-age": b"5"}),
        ([b"no-store=?1"], {b"no-store": None}),
        ([b'max-age=5;a=1;b, x="a, b"'], {b"max-age": b"5", b"x": b'"a, b"'}),
        ([b"max-age=10000, &&&&&"], None),
        ([b'max-age="10000"'], None),
        ([b"max-age"], None),
        ([b"MaX-aGe=3600"], None),
        ([b"max-age =3600"], None),
        ([b"max-age=3,"], None),
        ([b""], None),
        ([], None),
    ],
)
def test_targeted_directives(lines: list[bytes], expected: dict[bytes, bytes | None] | None) -> None:
    assert parse_targeted(lines) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"0", 0),
        (b"003600", 3600),
        (b"2147483647", 2147483647),
        (b"2147483649", LONGEST_S),
        (b"9" * 5000, LONGEST_S),
        (b"-1", None),
        (b"1.0", None),
        (b"a1", None),
        (b"1a", None),
        (b"", None),
        (None, None),
    ],
)
def test_seconds(value: bytes | None, expected: int | None) -> None:
    assert seconds(value) == expected


def test_named_fields() -> None:
    assert named_fields(b"Set-Cookie, , X-A ") == (b"set-cookie", b"x-a")


def test_hostile_values_are_read_in_linear_time() -> None:
    assert parse_directives([b'a="' + b"\\" * 60000]) == {}
    assert parse_directives([b"a=b " * 15000]) == {}
    assert parse_targeted([b'a="' * 500]) is None


@pytest.mark.parametrize("value", [b"," * 60_000, b"a=1, " * 12_000 + b"a", b'a="', b"a=1;" * 15_000 + b"="])
def test_a_server_cannot_hold_the_loop_up_with_directives(value: bytes) -> None:
    # Milliseconds; ten seconds where each comma looks at all the rest.
    assert cost_s(lambda: parse_targeted([value]), limit_s=1.0) < 1.0
