"""What a route's own keys must say of each other, from the file to the settings."""

from __future__ import annotations

import pytest

from tests.config.test_crosscheck import problems
from wsproxy.config.build import load
from wsproxy.config.model import RouteSettings
from wsproxy.config.shown import MASK, shown

_FRONTEND = "[frontend]\nport = 80\n"  # lines 1 and 2


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (
            "[http]\nredirect = /a\nserver1 = a:1",
            ["5:1: [http] has 'server1' beside 'redirect' of line 4 (keep one)"],
        ),
        (
            "[http]\nrespond = 200\nredirect = /a",
            ["5:1: [http] has 'redirect' beside 'respond' of line 4 (keep one)"],
        ),
        (
            "[http]\nredirect = /a\nstrip_prefix = yes\npath_prefix = /b\nmax_workers = 3",
            [
                "5:1: 'strip_prefix' has no effect beside 'redirect': no server is asked",
                "7:1: 'max_workers' has no effect beside 'redirect': no server is asked",
            ],
        ),
        ("[http]\nredirect = /a\nrespond_type = a/b", ["5:1: 'respond_type' has no effect without 'respond'"]),
        ("[http]\nserver1 = a:1\nstrip_prefix = yes", ["5:1: 'strip_prefix' has no effect without a 'path_prefix'"]),
        ("[websocket]\nserver1 = a:1\nredirect = /a", ["5:1: unknown key 'redirect' in [websocket]"]),
        ("[http]\nserver1 = a:1\nadd_header = A: b\n  Connection: x", ["6:3: 'Connection' cannot be edited"]),
    ],
)
def test_problems(routes: str, expected: list[str]) -> None:
    found = problems(_FRONTEND + routes)
    assert len(found) == len(expected)
    for problem, start in zip(found, expected, strict=True):
        assert problem.startswith(f"a.ini:{start}")


def route(lines: str) -> RouteSettings:
    return load(f"{_FRONTEND}[http]\n{lines}", "a.ini", {}, "/").routes[0]


def test_route_that_answers_by_itself_has_no_group() -> None:
    assert route("redirect = /a").group == ""
    assert load(f"{_FRONTEND}[http]\nrespond = 200", "a.ini", {}, "/").groups == ()


def test_route_that_sets_the_host_keeps_it_for_servers_written_as_urls() -> None:
    assert route("server1 = http://a\nset_request_header = host: b").preserve_host
    assert not route("server1 = http://a\nset_request_header = X-Host: b").preserve_host


@pytest.mark.parametrize(
    "lines", ["respond = 200\nrespond_type = text/html\nadd_header = A: b", "server1 = a:1\nstrip_prefix = no"]
)
def test_what_goes_together(lines: str) -> None:
    assert route(lines).path_prefix == "/"


def test_lists_have_several_lines() -> None:
    settings = route("server1 = a:1\nadd_header = A: b\n  A: c\nremove_request_header = B\n  C D")
    assert [header.value.literals for header in settings.add_headers] == [("b",), ("c",)]
    assert settings.remove_request_headers == ("b", "c", "d")


def test_secrets_in_fields_are_masked_where_settings_are_shown() -> None:
    lines = "server1 = a:1\nset_request_header = Authorization: Bearer sesame\n  X-Real-IP: <{client_ip}>"
    text = f"{_FRONTEND}[http]\n{lines}\nheader = X-Api-Key: sesame\n  X-Version: 2\n  X-Token"
    content = shown(load(text, "a.ini", {}, "/"))["routes"][0]
    assert content["set_request_headers"] == [
        {"name": "Authorization", "value": MASK},
        {"name": "X-Real-IP", "value": "<{client_ip}>"},
    ]
    assert content["headers"] == [
        {"name": "x-api-key", "value": MASK},
        {"name": "x-version", "value": "2"},
        {"name": "x-token", "value": None},
    ]


def test_redirect_is_shown_as_it_was_written() -> None:
    content = shown(load(f"{_FRONTEND}[http]\nredirect = 301 https://{{host}}/a{{rest}}", "a.ini", {}, "/"))
    assert content["routes"][0]["redirect"] == {"status": 301, "target": "https://{host}/a{rest}"}
