"""Fields, redirects and fixed answers as they are written, and what is refused of them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from wsproxy.config import templates
from wsproxy.config.model import FixedAnswer, HeaderSetting, Redirect, Template
from wsproxy.config.templates import (
    ANSWER_HEADERS,
    ANSWER_NAMES,
    MEDIA_TYPE,
    REDIRECT,
    REQUEST_HEADERS,
    REQUEST_NAMES,
    RESPOND,
)
from wsproxy.config.values import Parser, PartError
from wsproxy.http.headers import HOP_BY_HOP
from wsproxy.http.variables import VALUES


def plain(text: str) -> Template:
    return Template((text,))


@pytest.mark.parametrize(
    ("parser", "written", "value"),
    [
        (ANSWER_HEADERS, "X-A: b: c", (HeaderSetting("X-A", plain("b: c")),)),
        (ANSWER_HEADERS, "X-A:{host}", (HeaderSetting("X-A", Template(("", ""), ("host",))),)),
        (ANSWER_HEADERS, "X-A: {backend}.", (HeaderSetting("X-A", Template(("", "."), ("backend",))),)),
        (ANSWER_HEADERS, 'Report-To: {"group": {}}', (HeaderSetting("Report-To", plain('{"group": {}}')),)),
        (REQUEST_HEADERS, "A: {header:X-B}", (HeaderSetting("A", Template(("", ""), ("header:x-b",))),)),
        (REQUEST_HEADERS, "Host: {host}", (HeaderSetting("Host", Template(("", ""), ("host",))),)),
        (REQUEST_HEADERS, "Host: a.b:80", (HeaderSetting("Host", plain("a.b:80")),)),
        (ANSWER_NAMES, "Server, X-Powered-By", ("server", "x-powered-by")),
        (REQUEST_NAMES, "Sec-WebSocket-Extensions", ("sec-websocket-extensions",)),
        (REDIRECT, "https://a/{path}", Redirect(302, Template(("https://a/", ""), ("path",)))),
        (REDIRECT, "301   /a", Redirect(301, plain("/a"))),
        (REDIRECT, "308 {scheme}://a", Redirect(308, Template(("", "://a"), ("scheme",)))),
        (RESPOND, "404", FixedAnswer(404, plain(""))),
        (RESPOND, "200 a  {b c", FixedAnswer(200, plain("a  {b c"))),
        (RESPOND, "200 {host}", FixedAnswer(200, Template(("", ""), ("host",)))),
        (MEDIA_TYPE, "text/html; charset=utf-8", "text/html; charset=utf-8"),
    ],
)
def test_value(parser: Parser, written: str, value: Any) -> None:
    assert parser(written, "/") == value


_BEYOND = "holds characters beyond ASCII, which a field cannot be relied on to carry"
_NO_EDIT = "cannot be edited (it belongs to the connection or to the framing of a message)"


@pytest.mark.parametrize(
    ("parser", "written", "message"),
    [
        (ANSWER_HEADERS, "X-A", "'X-A' is not a header (write 'Name: value')"),
        (ANSWER_HEADERS, "X A: b", "'X A: b' is not a header (write 'Name: value')"),
        (ANSWER_HEADERS, "X-A:", "'X-A:' has no value after ':' (a key remove_… takes fields away)"),
        (ANSWER_HEADERS, "content-length: 1", f"'content-length' {_NO_EDIT}"),
        (ANSWER_HEADERS, "Sec-WebSocket-Accept: 1", f"'Sec-WebSocket-Accept' {_NO_EDIT}"),
        (ANSWER_HEADERS, "A: \u00e4", f"'\u00e4' {_BEYOND}"),
        (ANSWER_HEADERS, "A: {hots}", "'{hots}' is not a variable (did you mean '{host}'?)"),
        (ANSWER_HEADERS, "A: {cookie:a}", "'{cookie:a}' is not a variable (write {header:a} for a field)"),
        (ANSWER_NAMES, "Server; Date", "'Server;' is not the name of a field (write Server, X-Powered-By)"),
        (ANSWER_NAMES, "Transfer-Encoding", f"'Transfer-Encoding' {_NO_EDIT}"),
        (REQUEST_HEADERS, "Expect: x", f"'Expect' {_NO_EDIT}"),
        (REQUEST_HEADERS, "Host: a b", "'a b' is not a Host (write name, name:port, {host} or {hostport})"),
        (REQUEST_HEADERS, "Host: {path}", "'{path}' is not a Host (write name, name:port, {host} or {hostport})"),
        (
            REQUEST_HEADERS,
            "A: {backend}",
            "'{backend}' has no value before a server has answered (it can stand in add_header)",
        ),
        (REQUEST_NAMES, "Host", f"'Host' {_NO_EDIT}"),
        (REQUEST_NAMES, "Sec-WebSocket-Key", f"'Sec-WebSocket-Key' {_NO_EDIT}"),
        (REDIRECT, "300 /a", "'300' is not a redirect (301, 302, 303, 307, 308)"),
        (REDIRECT, "301", "'' is not where a redirect can lead (write https://host/path or /path)"),
        (REDIRECT, "//a", "'//a' is not where a redirect can lead (write https://host/path or /path)"),
        (REDIRECT, "ftp://a/", "'ftp://a/' is not where a redirect can lead (write https://host/path or /path)"),
        (REDIRECT, "301 /a b", "'/a b' holds white space (write %20)"),
        (REDIRECT, "/{backend}", "'{backend}' has no value before a server has answered (it can stand in add_header)"),
        (RESPOND, "hello", "'hello' is not an answer (write 200 text, or a status alone)"),
        (RESPOND, "101", "'101' is not the status of an answer (200 to 599)"),
        (RESPOND, "302 x", "'302' leads elsewhere (write redirect = 302 https://…)"),
        (RESPOND, "204 x", "an answer with 204 has no text"),
        (MEDIA_TYPE, "text", "'text' is not a media type (write text/html; charset=utf-8)"),
        (MEDIA_TYPE, "text/html;", "'text/html;' is not a media type (write text/html; charset=utf-8)"),
    ],
)
def test_refused_value(parser: Parser, written: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parser(written, "/")


@pytest.mark.parametrize(
    ("parser", "written", "offset"),
    [
        (ANSWER_HEADERS, "X-A:   {hots}", 7),
        (REDIRECT, "301 /{hots}", 5),
        (RESPOND, "200 a {hots}", 6),
    ],
)
def test_place_of_what_is_no_variable(parser: Parser, written: str, offset: int) -> None:
    with pytest.raises(PartError) as raised:
        parser(written, "/")
    assert raised.value.offset == offset


def test_no_field_of_a_connection_can_be_edited() -> None:
    assert {name.decode() for name in HOP_BY_HOP} <= templates.PROTECTED


def test_every_variable_has_a_value() -> None:
    assert set(VALUES) == set(templates.VARIABLES)
