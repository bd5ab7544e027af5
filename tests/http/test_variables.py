"""Templates filled in from a request, and targets without their prefix."""

from __future__ import annotations

import pytest

from wsproxy.config.model import Template
from wsproxy.http.messages import RequestHead
from wsproxy.http.variables import Variables, host_of, render_field, render_with, rest_of, without_prefix


def variables(target: bytes = b"/old/a?b=c", authority: bytes = b"site.example:81") -> Variables:
    fields = b"Host: site.example:81\r\nX-Mine: 1\r\nx-mine: 2\r\n"
    head = RequestHead(b"PUT", target, 1, authority, fields, 0, True)
    return Variables(head, "9.9.9.9", "https", b"id-1", "/old")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_ip", b"9.9.9.9"),
        ("host", b"site.example"),
        ("hostport", b"site.example:81"),
        ("scheme", b"https"),
        ("method", b"PUT"),
        ("path", b"/old/a"),
        ("query", b"b=c"),
        ("uri", b"/old/a?b=c"),
        ("rest", b"/a"),
        ("request_id", b"id-1"),
        ("backend", b""),
        ("header:x-mine", b"1, 2"),
        ("header:x-other", b""),
    ],
)
def test_value(name: str, value: bytes) -> None:
    assert render_with(Template(("<", ">"), (name,)))(variables()) == b"<%b>" % value


def test_target_of_the_server_as_a_whole_is_its_root() -> None:
    whole = variables(b"*")
    values = [render_with(Template(("", ""), (name,)))(whole) for name in ("path", "uri", "rest", "query")]
    assert values == [b"/", b"/", b"", b""]


def test_template_without_variables() -> None:
    assert render_with(Template(("caf\u00e9",)))(variables()) == "caf\u00e9".encode()
    assert render_field(Template(("a",)))(variables()) == b"a"


def test_values_are_escaped_and_literals_are_not() -> None:
    render = render_with(Template(("<", ">"), ("host",)), lambda value: value.upper())
    assert render(variables()) == b"<SITE.EXAMPLE>"


def test_no_value_ends_a_field() -> None:
    evil = variables(b"/a\r\nX-Evil: 1\0")
    assert render_field(Template((" ", " "), ("uri",)))(evil) == b"/aX-Evil: 1"


@pytest.mark.parametrize(
    ("authority", "host"),
    [(b"a", b"a"), (b"a:80", b"a"), (b"[::1]", b"[::1]"), (b"[::1]:80", b"[::1]"), (b"", b"")],
)
def test_host(authority: bytes, host: bytes) -> None:
    assert host_of(authority) == host


@pytest.mark.parametrize(
    ("target", "prefix", "forwarded"),
    [
        (b"/api/x", "/api", b"/x"),
        (b"/api/x", "/api/", b"/x"),
        (b"/api/", "/api/", b"/"),
        (b"/api", "/api", b"/"),
        (b"/api?x", "/api", b"/?x"),
        (b"/api/a%2fb/%7Ec", "/api", b"/a%2Fb/~c"),
        (b"/api/\xff", "/api", b"/\xff"),
        (b"*", "/", b"*"),
        (b"/x", "/", b"/x"),
    ],
)
def test_prefix(target: bytes, prefix: str, forwarded: bytes) -> None:
    assert without_prefix(target, prefix) == forwarded


def test_rest_of_a_path_that_is_its_prefix_is_nothing() -> None:
    assert rest_of(b"/api?x", "/api") == b""
