"""Heads with fields set, added and removed: whole lines of one name, in any case, and no other."""

from __future__ import annotations

from functools import partial

from wsproxy.config.model import HeaderSetting, RouteSettings, Template
from wsproxy.http.head_edits import RequestEdits, ResponseEdits, uses_variables
from wsproxy.http.messages import RequestHead, ResponseHead
from wsproxy.http.variables import Variables

settings = partial(RouteSettings, name="http", kind="http", group="g")
IDENTITY = b"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: http\r\n"
FIELDS = b"Host: a\r\nx-mine: 1\r\nX-Mine-Too: x-mine: 2\r\nX-MINE: 3\r\n"


def header(name: str, *parts: str) -> HeaderSetting:
    """A field whose value is these literals with `{host}` between them."""
    return HeaderSetting(name, Template(parts, ("host",) * (len(parts) - 1)))


def head(authority: bytes = b"a") -> RequestHead:
    return RequestHead(b"GET", b"/api/x", 1, authority, FIELDS, 0, True)


def edited(authority: bytes = b"a", **wanted: object) -> tuple[RequestHead, bytes]:
    route = settings(**wanted)  # type: ignore[arg-type]
    assert RequestEdits.are_needed(route)
    asked = head(authority)
    sent = RequestEdits(route).apply(asked, IDENTITY, Variables(asked, "9.9.9.9", "http", b"", "/api"))
    assert asked == head(authority), "a head may be remembered"
    return sent


def answered(fields: bytes, **wanted: object) -> ResponseHead:
    route = settings(**wanted)  # type: ignore[arg-type]
    assert ResponseEdits.are_needed(route)
    got = ResponseHead(200, b"OK", 1, fields, 0, True)
    shown = ResponseEdits(route).apply(got, Variables(head(), "9.9.9.9", "http", b"", "/"))
    assert got.fields == fields
    return shown


def test_routes_without_edits_need_none() -> None:
    assert not RequestEdits.are_needed(settings())
    assert not ResponseEdits.are_needed(settings())


def test_request_fields_are_replaced_wherever_they_stand() -> None:
    wanted = (header("X-Mine", "new"), header("x-forwarded-proto", "https"))
    sent, identity = edited(set_request_headers=wanted)
    assert sent.fields == b"Host: a\r\nX-Mine-Too: x-mine: 2\r\nX-Mine: new\r\nx-forwarded-proto: https\r\n"
    assert identity == b"X-Forwarded-For: 9.9.9.9\r\n"


def test_request_fields_are_removed() -> None:
    sent, identity = edited(remove_request_headers=("x-mine", "x-forwarded-for"))
    assert sent.fields == b"Host: a\r\nX-Mine-Too: x-mine: 2\r\n"
    assert identity == b"X-Forwarded-Proto: http\r\n"


def test_field_that_turns_out_empty_is_gone() -> None:
    sent, _ = edited(b"", set_request_headers=(header("X-Mine", "", ""), header("X-Kept", "h", "")))
    assert sent.fields.endswith(b"X-Kept: h\r\n")
    assert b"X-Mine: " not in sent.fields


def test_host_is_set_once_and_first() -> None:
    sent, _ = edited(set_request_headers=(header("host", "b"), header("Host", "c.", "")))
    assert sent.fields.startswith(b"Host: c.a\r\nx-mine: 1\r\n")
    assert sent.fields.count(b"Host: ") == 1
    assert sent.authority == b"c.a"


def test_host_that_turns_out_empty_stays() -> None:
    sent, _ = edited(b"", set_request_headers=(header("Host", "", ""),))
    assert (sent.authority, sent.fields) == (b"", FIELDS)


def test_prefix_is_taken_off_and_told() -> None:
    sent, _ = edited(path_prefix="/api/", strip_prefix=True)
    assert sent.target == b"/x"
    assert sent.fields == FIELDS + b"X-Forwarded-Prefix: /api\r\n"


def test_prefix_is_told_as_the_route_says() -> None:
    sent, _ = edited(path_prefix="/api", strip_prefix=True, set_request_headers=(header("x-forwarded-prefix", "/z"),))
    assert sent.fields == FIELDS + b"x-forwarded-prefix: /z\r\n"
    sent, _ = edited(path_prefix="/api", strip_prefix=True, remove_request_headers=("x-forwarded-prefix",))
    assert sent.fields == FIELDS


def test_answer_fields_are_removed_before_others_are_added() -> None:
    shown = answered(
        b"server: a\r\nX-Server: b\r\nSERVER: c\r\n",
        remove_headers=("server",),
        add_headers=(header("Server", "mine"), header("X-Empty", ""), header("X-Host", "", ".")),
    )
    assert shown.fields == b"X-Server: b\r\nServer: mine\r\nX-Host: a.\r\n"
    assert not shown.has_date


def test_answer_knows_whether_it_has_a_date() -> None:
    assert not answered(b"Date: x\r\n", remove_headers=("date",)).has_date
    assert answered(b"", add_headers=(header("Date", "x"),)).has_date
    assert answered(b"Date: x\r\n", remove_headers=("server",)).has_date


def test_variables_are_used_where_there_is_one() -> None:
    assert uses_variables((header("A", "b"), header("A", "", "")))
    assert not uses_variables((header("A", "b"),))
