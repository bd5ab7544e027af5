"""What may be kept and for how long: the laws of RFC 9111, one case each."""

from __future__ import annotations

import pytest

from tests.cache.answers import NOW, head, terms
from wsproxy.cache.freshness import HEURISTIC_LONGEST_S, Defaults, terms_of
from wsproxy.http.cache_control import LONGEST_S

DAY = 86400
ETAG = 'ETag: "a"'


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Cache-Control: max-age=3600"], 3600),
        (["Cache-Control: max-age=99999999999"], LONGEST_S),
        (["Cache-Control: max-age=60, s-maxage=3600"], 3600),
        (["Cache-Control: s-maxage=1", "Cache-Control: max-age=3600"], 1),
        (["Cache-Control: max-age=3600", "Expires: {-100}"], 3600),
        (["Cache-Control: max-age=3600", "Expires: 0"], 3600),
        (["Expires: {100}", "Date: {0}"], 100),
        (["Expires: {100}", "Date: {-50}"], 150),
        (["Expires: {100}"], 100),
        (["Cache-Control: max-age=3600", "Pragma: no-cache"], 3600),
        (["Cache-Control: foobar, max-age=3600"], 3600),
        (["CDN-Cache-Control: max-age=5", "Cache-Control: max-age=3600"], 5),
        (["CDN-Cache-Control: max-age=5", "Cache-Control: no-store"], 5),
        (["CDN-Cache-Control: max-age=5", "Expires: {-100}"], 5),
        (['CDN-Cache-Control: max-age="5"', "Cache-Control: max-age=60"], 60),
        (["Surrogate-Control: max-age=5;wsproxy", "Cache-Control: max-age=60"], 5),
        (["Surrogate-Control: content=ESI/1.0", "Cache-Control: max-age=60"], 60),
    ],
)
def test_lifetime(lines: list[str], expected: float) -> None:
    found = terms(*lines)
    assert found is not None
    assert found.lifetime_s == expected


@pytest.mark.parametrize(
    "lines",
    [
        ["Cache-Control: max-age=0"],
        ["Cache-Control: max-age=-3600"],
        ["Cache-Control: max-age='3600'"],
        ["Cache-Control: max-age=3600.5"],
        ["Cache-Control: max-age=1, max-age=3600", "Age: 1"],
        ["Cache-Control: max-age=0", "Expires: {3600}"],
        ["Expires: {-1}"],
        ["Expires: 0"],
        ["Expires: never", "Date: {0}"],
        ["Cache-Control: max-age=3600", "Age: 7200"],
        ["Cache-Control: max-age=3600", "Date: {-7200}"],
        ["CDN-Cache-Control: max-age=0", "Expires: {3600}"],
    ],
)
def test_stale_from_the_start(lines: list[str]) -> None:
    """Kept only where the server can be asked whether it still holds."""
    assert terms(*lines) is None
    found = terms(*lines, ETAG)
    assert found is not None
    assert found.lifetime_s <= found.age_s


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [ETAG],
        ["Last-Modified: {-86400}"],
        ["Cache-Control: max-age =3600"],
        ['Cache-Control: extension="max-age=3600"'],
        ["Cache-Control: no-store", "Expires: {3600}"],
        ["Cache-Control: max-age=3600, No-StOrE"],
        ["Cache-Control: private, max-age=3600"],
        ["CDN-Cache-Control: no-store", "Cache-Control: max-age=3600"],
        ["CDN-Cache-Control: private", "Cache-Control: max-age=3600"],
        ["Surrogate-Control: no-store", "Cache-Control: max-age=3600"],
        ["Cache-Control: max-age=3600", "Set-Cookie: a=b"],
        ["Cache-Control: no-cache, max-age=3600"],
    ],
)
def test_never_kept(lines: list[str]) -> None:
    assert terms(*lines) is None


@pytest.mark.parametrize("status", [200, 203, 204, 299, 301, 302, 404, 410, 500, 503, 599])
def test_any_final_status_with_a_lifetime_is_kept(status: int) -> None:
    assert terms("Cache-Control: max-age=60", status=status) is not None


@pytest.mark.parametrize("status", [206, 304])
def test_parts_and_confirmations_are_not(status: int) -> None:
    assert terms("Cache-Control: max-age=60", status=status) is None


def test_must_understand() -> None:
    assert terms("Cache-Control: max-age=60, must-understand", status=599) is None
    assert terms("Cache-Control: max-age=60, must-understand, no-store", status=200) is not None


@pytest.mark.parametrize(
    ("directives", "is_kept"),
    [("max-age=60", False), ("max-age=60, public", True), ("s-maxage=60", True), ("max-age=60, must-revalidate", True)],
)
def test_answers_to_who_has_credentials(directives: str, is_kept: bool) -> None:
    assert (terms(f"Cache-Control: {directives}", authorized=True) is not None) is is_kept


@pytest.mark.parametrize("directives", ["public, max-age=60", "s-maxage=60", 'max-age=60, no-cache="Set-Cookie"'])
def test_an_answer_with_a_cookie_is_kept_where_it_says_so(directives: str) -> None:
    assert terms(f"Cache-Control: {directives}", "Set-Cookie: a=b") is not None


def test_fields_that_are_named_are_left_out() -> None:
    found = terms('Cache-Control: max-age=60, no-cache="A, b", private="C"')
    assert found is not None
    assert found.omitted == (b"a", b"b", b"c")
    assert not found.validates_always


def test_no_cache_is_kept_to_be_confirmed() -> None:
    found = terms("Cache-Control: no-cache", ETAG)
    assert found is not None
    assert found.validates_always
    assert found.never_stale


@pytest.mark.parametrize("directive", ["must-revalidate", "proxy-revalidate", "s-maxage=60"])
def test_never_stale(directive: str) -> None:
    found = terms(f"Cache-Control: max-age=60, stale-if-error=60, stale-while-revalidate=60, {directive}")
    assert found is not None
    assert (found.never_stale, found.stale_while_s, found.stale_error_s) == (True, 0.0, 0.0)


def test_windows_of_staleness() -> None:
    defaults = Defaults(stale_while_revalidate_s=7.0, stale_if_error_s=8.0)
    own = terms("Cache-Control: max-age=1, stale-while-revalidate=2, stale-if-error=3", defaults=defaults)
    assert own is not None
    assert (own.stale_while_s, own.stale_error_s) == (2.0, 3.0)
    lent = terms("Cache-Control: max-age=1", defaults=defaults)
    assert lent is not None
    assert (lent.stale_while_s, lent.stale_error_s) == (7.0, 8.0)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], 0),
        (["Age: 30"], 30),
        (["Age: 30, 7200"], 30),
        (["Age: 30", "Age: 7200"], 30),
        (["Age: abc"], 0),
        (["Age: -7200"], 0),
        (["Age: 7200.0"], 0),
        (["Age: 7200;foo=bar"], 0),
        (["Age: 2147483649"], LONGEST_S),
        (["Age: " + "9" * 4000], LONGEST_S),
        (["Date: {-40}"], 40),
        (["Date: {-40}", "Age: 50"], 50),
        (["Date: {40}"], 0),
        (["Date: now"], 0),
    ],
)
def test_age(lines: list[str], expected: float) -> None:
    found = terms("Cache-Control: max-age=99999999999", ETAG, *lines)
    assert found is not None
    assert found.age_s == expected


def test_the_time_of_asking_counts() -> None:
    found = terms_of(head("Cache-Control: max-age=60"), False, NOW - 5.0, NOW)
    assert found is not None
    assert found.age_s == 5.0


def test_a_default_is_for_answers_that_state_nothing() -> None:
    defaults = Defaults(ttl_s=30.0)
    stated = terms("Cache-Control: max-age=5", defaults=defaults)
    silent = terms(defaults=defaults)
    assert stated is not None
    assert silent is not None
    assert (stated.lifetime_s, silent.lifetime_s) == (5.0, 30.0)
    assert terms("Cache-Control: private", defaults=defaults) is None
    assert terms(status=403, defaults=defaults) is None
    assert terms("Set-Cookie: a=b", defaults=defaults) is None


@pytest.mark.parametrize(
    ("status", "lines", "expected"),
    [
        (200, ["Last-Modified: {-1000}"], 100.0),
        (404, ["Last-Modified: {-1000}"], 100.0),
        (200, ["Last-Modified: {-99999999}"], HEURISTIC_LONGEST_S),
        (599, ["Last-Modified: {-1000}", "Cache-Control: public"], 100.0),
    ],
)
def test_a_guess(status: int, lines: list[str], expected: float) -> None:
    found = terms(*lines, status=status, defaults=Defaults(heuristic=True))
    assert found is not None
    assert found.lifetime_s == expected


@pytest.mark.parametrize(
    ("status", "lines"),
    [(201, ["Last-Modified: {-1000}"]), (503, ["Last-Modified: {-1000}"]), (200, []), (200, ["Last-Modified: old"])],
)
def test_nothing_to_guess_from(status: int, lines: list[str]) -> None:
    assert terms(*lines, status=status, defaults=Defaults(heuristic=True)) is None
