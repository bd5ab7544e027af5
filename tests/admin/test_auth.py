"""Who comes in: by address, page, token and session."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from tests.fakes import make_head
from wsproxy.admin.auth import COOKIE, SESSION_S, SESSIONS, Gatekeeper
from wsproxy.admin.messages import RefusalError, Request
from wsproxy.config.model import AdminSettings

TOKEN = "0123456789abcdef"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def request(
    *lines: str, method: str = "GET", host: str = "127.0.0.1:8081", upgrade: bool = False, peer: str = "127.0.0.1"
) -> Request:
    head = make_head(method.encode(), b"/status")
    head.authority = host.encode()
    head.fields = f"Host: {host}\r\n".encode() + b"".join(line.encode() + b"\r\n" for line in lines)
    head.upgrade = b"websocket" if upgrade else b""
    return Request(head, b"", peer)


def gate(clock: Clock | None = None, token: str | None = TOKEN, **options: object) -> Gatekeeper:
    return Gatekeeper(AdminSettings(token=token, **options), clock or Clock())  # type: ignore[arg-type]


def status(check: object, asked: Request) -> int:
    try:
        check(asked)  # type: ignore[operator]
    except RefusalError as error:
        return error.status
    return 200


def session(it: Gatekeeper, token: str = TOKEN) -> str:
    cookie = it.log_in(token)
    assert cookie is not None
    return "Cookie: theme=dark; " + cookie.partition(";")[0]


# Tokens and sessions.


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((f"Authorization: Bearer {TOKEN}",), 200),
        ((f"authorization: bearer   {TOKEN}",), 200),
        ((), 401),
        (("Authorization: Bearer",), 401),
        ((f"Authorization: Basic {TOKEN}",), 401),
        ((f"Authorization: Bearer {TOKEN}x",), 401),
        (("Authorization: Bearer 0123456789abcdeg",), 401),
        ((f"Cookie: {COOKIE}={TOKEN}",), 401),
        (("Cookie: \x7f; nonsense=;=",), 401),
    ],
)
def test_a_caller_presents_the_token(lines: tuple[str, ...], expected: int) -> None:
    assert status(gate().check_caller, request(*lines)) == expected


def test_without_a_token_every_caller_is_one() -> None:
    assert status(gate(token=None).check_caller, request()) == 200


def test_a_session_takes_the_tokens_place_until_it_ends() -> None:
    clock = Clock()
    it = gate(clock)
    cookie = session(it)
    assert status(it.check_caller, request(cookie)) == 200
    clock.now += SESSION_S - 1
    assert status(it.check_caller, request(cookie)) == 200
    clock.now += 1
    assert status(it.check_caller, request(cookie)) == 401


def test_a_session_is_ended_by_its_owner_and_by_another_token() -> None:
    it = gate()
    first, second = session(it), session(it)
    assert "Max-Age=0" in it.log_out(request(first))
    assert status(it.check_caller, request(first)) == 401
    assert status(it.check_caller, request(second)) == 200
    it.use(AdminSettings(token=TOKEN, dashboard=False))
    assert status(it.check_caller, request(second)) == 200
    it.use(AdminSettings(token=TOKEN + "x"))
    assert status(it.check_caller, request(second)) == 401


def test_sessions_are_few_and_the_oldest_goes_first() -> None:
    it = gate()
    cookies = [session(it) for _ in range(SESSIONS + 1)]
    assert status(it.check_caller, request(cookies[0])) == 401
    assert status(it.check_caller, request(cookies[1])) == 200


def test_a_cookie_is_not_for_scripts_and_not_for_other_sites() -> None:
    cookie = gate().log_in(TOKEN) or ""
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert gate().log_in("wrong") is None
    assert gate(token=None).log_in("") is None


# Pages of other sites.


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:8081", 200),
        ("localhost:8081", 200),
        ("LOCALHOST", 200),
        ("[::1]:8081", 200),
        ("[::1]", 200),
        ("10.0.0.1", 200),
        ("rebound.example:8081", 403),
        ("localhost.rebound.example", 403),
        ("", 403),
        ("a:b:c", 403),
    ],
)
def test_without_a_token_a_name_that_was_rebound_gets_nothing(host: str, expected: int) -> None:
    assert status(gate(token=None).check_page, request(host=host)) == expected


def test_with_a_token_any_name_may_lead_here() -> None:
    assert status(gate().check_page, request(host="proxy.example")) == 200


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("Origin: http://127.0.0.1:8081",), 200),
        (("Origin: https://evil.example",), 403),
        (("Origin: http://127.0.0.1:9999",), 403),
        (("Origin: null",), 403),
        ((), 200),
        (("Sec-Fetch-Site: same-origin",), 200),
        (("Sec-Fetch-Site: cross-site",), 403),
        (("Sec-Fetch-Site: same-site",), 403),
    ],
)
def test_pages_of_other_sites_change_nothing_and_watch_nothing(lines: tuple[str, ...], expected: int) -> None:
    for token in (TOKEN, None):
        it = gate(token=token)
        assert status(it.check_page, request(*lines, method="POST")) == expected
        assert status(it.check_page, request(*lines, method="DELETE")) == expected
        assert status(it.check_page, request(*lines, upgrade=True)) == expected
        assert status(it.check_page, request(*lines)) == 200, "what other sites read of an answer browsers decide"


def test_a_browser_with_a_session_says_its_origin() -> None:
    it = gate()
    cookie = session(it)
    assert status(it.check_page, request(cookie, method="POST")) == 403
    assert status(it.check_page, request(cookie, "Origin: http://127.0.0.1:8081", method="POST")) == 200


# Addresses.


def test_addresses() -> None:
    it = gate(allow=(ip_network("10.0.0.0/8"),), metrics_allow=(ip_network("10.1.0.0/16"),))
    assert status(it.check_peer, request(peer="10.9.9.9")) == 200
    assert status(it.check_peer, request(peer="127.0.0.1")) == 403
    assert it.may_read_metrics(request(peer="10.1.2.3"))
    assert not it.may_read_metrics(request(peer="10.9.9.9"))
    assert status(gate().check_peer, request(peer="203.0.113.7")) == 200
    assert not gate().may_read_metrics(request()), "unset, it opens nothing"
