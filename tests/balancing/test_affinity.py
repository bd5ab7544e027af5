"""What binds a client: cookies that only the proxy can make, and what each request has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.balancing.candidates import Server, servers
from tests.balancing.test_request_key import head
from wsproxy.balancing.affinity import Affinity
from wsproxy.balancing.named_sessions import NamedSessions
from wsproxy.config.model import RequestKey, RouteSettings

SECRET = b"s" * 32
COOKIE = RouteSettings("http", "http", "app", sticky=RequestKey("cookie", "sid"))
ABC = servers("a b c")


def set_cookie(affinity: Affinity, backend: str, *shown: bytes, is_secure: bool = False) -> bytes:
    """What an answer of this backend to a request with these cookies says."""
    preference = affinity.preference(head(b"/", *shown), "192.0.2.7", is_secure)
    assert preference.cookie is not None
    return preference.cookie(backend)


def shown(affinity: Affinity, backend: str) -> bytes:
    """The line of a client that has been there."""
    return b"Cookie: " + set_cookie(affinity, backend).removeprefix(b"Set-Cookie: ").partition(b";")[0]


def bound(affinity: Affinity, candidates: tuple[Server, ...], *lines: bytes, tried: tuple[str, ...] = ()) -> str:
    """Where a request with these fields is bound to, "" for anywhere."""
    preference = affinity.preference(head(b"/?room=%d" % len(lines), *lines), "192.0.2.7", is_secure=False)
    narrowed = affinity.narrow(preference, candidates, tried)
    assert [server.name for server in narrowed] == ([preference.bound_to] if preference.bound_to else list("abc"))
    return preference.bound_to


@pytest.mark.parametrize(
    ("ttl_s", "is_secure", "attributes"),
    [
        (None, False, b"; Path=/; HttpOnly; SameSite=Lax"),
        (3600.0, False, b"; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"),
        (0.5, True, b"; Path=/; Max-Age=1; HttpOnly; SameSite=Lax; Secure"),
    ],
)
def test_the_cookies_attributes(ttl_s: float | None, is_secure: bool, attributes: bytes) -> None:
    line = set_cookie(Affinity(replace(COOKIE, sticky_ttl_s=ttl_s), SECRET), "a", is_secure=is_secure)
    name, _, rest = line.partition(b"=")
    assert name == b"Set-Cookie: sid"
    value, _, _ = rest.partition(b";")
    assert len(bytes.fromhex(value.decode())) == 16
    assert rest == value + attributes + b"\r\n"


def test_a_cookie_leads_back_and_is_not_given_twice() -> None:
    affinity = Affinity(COOKIE, SECRET)
    for name in "abc":
        assert bound(affinity, ABC, shown(affinity, name)) == name
        assert set_cookie(affinity, name, shown(affinity, name)) == b""
    assert set_cookie(affinity, "b", shown(affinity, "a")).startswith(b"Set-Cookie: sid=")


def test_who_has_none_or_a_forged_one_goes_anywhere_and_gets_one() -> None:
    affinity = Affinity(COOKIE, SECRET)
    stranger = Affinity(COOKIE, b"another")
    for lines in ((), (b"Cookie: sid=a",), (b"Cookie: sid=",), (shown(stranger, "a"),)):
        assert bound(affinity, ABC, *lines) == ""
        assert set_cookie(affinity, "a", *lines)


def test_who_is_bound_to_one_that_is_not_there_or_has_failed_goes_anywhere() -> None:
    affinity = Affinity(COOKIE, SECRET)
    assert bound(affinity, ABC, shown(affinity, "gone")) == ""
    assert bound(affinity, ABC, shown(affinity, "b"), tried=("b",)) == ""


def test_nobody_there_is_nobody_to_be_bound_to() -> None:
    for sticky in (RequestKey("cookie", "sid"), RequestKey("ip")):
        affinity = Affinity(replace(COOKIE, sticky=sticky), SECRET)
        preference = affinity.preference(head(b"/", b"Cookie: sid=x"), "192.0.2.7", is_secure=False)
        assert affinity.narrow(preference, (), ()) == ()


def test_a_secret_of_the_file_outlives_the_process() -> None:
    written = replace(COOKIE, sticky_secret="correct horse battery")
    assert bound(Affinity(written, b"one"), ABC, shown(Affinity(written, b"other"), "c")) == "c"


def test_groups_do_not_believe_each_others_cookies() -> None:
    other = Affinity(replace(COOKIE, group="other"), SECRET)
    assert bound(Affinity(COOKIE, SECRET), ABC, shown(other, "a")) == ""


def test_each_group_has_a_default_name_of_its_own() -> None:
    names = {
        set_cookie(Affinity(replace(COOKIE, group=group, sticky=RequestKey("cookie")), SECRET), "a").partition(b"=")[0]
        for group in ("app", "http", "app")
    }
    assert len(names) == 2
    assert all(name.startswith(b"Set-Cookie: wsproxy_") for name in names)


@pytest.mark.parametrize("sticky", [RequestKey("ip"), RequestKey("header", "x-user"), RequestKey("query", "room")])
def test_without_cookies_the_ring_says_who(sticky: RequestKey) -> None:
    affinity = Affinity(replace(COOKIE, sticky=sticky), SECRET)
    line = b"X-User: 7"
    home = bound(affinity, ABC, line)
    assert home
    assert bound(Affinity(replace(COOKIE, sticky=sticky), b"after a restart"), ABC[::-1], line) == home
    second = bound(affinity, ABC, line, tried=(home,))
    assert second not in ("", home)
    without_home = tuple(server for server in ABC if server.name != home)
    assert (
        affinity.narrow(affinity.preference(head(b"/?room=1", line), "192.0.2.7", False), without_home, ())[0].name
        == second
    )
    assert affinity.preference(head(b"/", line), "192.0.2.7", is_secure=True).cookie is None
    assert bound(affinity, ABC, line, tried=("a", "b", "c")) == ""


def test_a_request_without_the_value_goes_anywhere() -> None:
    affinity = Affinity(replace(COOKIE, sticky=RequestKey("header", "x-user")), SECRET)
    assert bound(affinity, ABC) == ""


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (replace(COOKIE, algorithm="ip-hash"), b"192.0.2.7"),
        (replace(COOKIE, algorithm="hash", hash_key=RequestKey("path")), b"/a"),
        (COOKIE, b""),
        (replace(COOKIE, algorithm="hash", sticky=None, hash_key=RequestKey("query", "b")), b"c"),
    ],
)
def test_the_key_for_the_policy(settings: RouteSettings, key: bytes) -> None:
    assert Affinity(settings, SECRET).preference(head(b"/a?b=c"), "192.0.2.7", is_secure=False).key == key


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        (RouteSettings("http", "http", "app"), False),
        (RouteSettings("http", "http", "app", algorithm="least-connections"), False),
        (RouteSettings("http", "http", "app", algorithm="ip-hash"), True),
        (RouteSettings("http", "http", "app", algorithm="hash"), True),
        (COOKIE, True),
    ],
)
def test_who_asks_nothing_needs_none(settings: RouteSettings, needed: bool) -> None:
    assert Affinity.is_needed(settings) is needed


NAMED = RouteSettings("http", "http", "app", sticky=RequestKey("query", "sid"))


def led(affinity: Affinity, target: bytes, now: float = 0.0, tried: tuple[str, ...] = ()) -> str:
    """Where a request for this target is bound to."""
    preference = affinity.preference(head(target), "192.0.2.7", is_secure=False, now=now)
    affinity.narrow(preference, ABC, tried)
    return preference.bound_to


def test_a_session_leads_to_the_server_that_named_it() -> None:
    sessions = NamedSessions(ttl_s=10.0)
    affinity = Affinity(NAMED, SECRET, sessions)
    hashed = led(affinity, b"/?sid=one")
    other = next(name for name in "abc" if name != hashed)
    sessions.note(b"one", other, now=0.0)
    assert led(affinity, b"/?sid=one") == other
    assert led(Affinity(NAMED, SECRET, sessions), b"/?sid=one") == other, "after a reload"
    assert led(affinity, b"/?sid=one", tried=(other,)) != other
    assert led(affinity, b"/?EIO=4") == ""
    assert led(affinity, b"/?sid=one", now=11.0) == hashed


def test_a_session_whose_server_is_gone_is_hashed() -> None:
    sessions = NamedSessions()
    affinity = Affinity(NAMED, SECRET, sessions)
    hashed = led(affinity, b"/?sid=one")
    sessions.note(b"one", "gone", now=0.0)
    assert led(affinity, b"/?sid=one") == hashed


def test_other_parameters_are_hashed() -> None:
    sessions = NamedSessions()
    affinity = Affinity(replace(NAMED, sticky=RequestKey("query", "room")), SECRET, sessions)
    assert affinity.sessions is None
    hashed = led(affinity, b"/?room=one")
    sessions.note(b"one", next(name for name in "abc" if name != hashed), now=0.0)
    assert led(affinity, b"/?room=one") == hashed
