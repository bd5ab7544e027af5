"""Whatever a client sends, what a route writes of it stays one field, one Host, one path: never a line of its own."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from wsproxy.config.build import load
from wsproxy.http.codec import encode_request, read_request_head
from wsproxy.http.head_edits import RequestEdits, ResponseEdits
from wsproxy.http.messages import HeadLimits, MalformedRequestError, ResponseHead, field_values
from wsproxy.http.target import normal_path
from wsproxy.http.variables import Variables, without_prefix

EDITS = """[frontend]
port = 80
[http]
server1 = a:1
path_prefix = /api
strip_prefix = yes
set_request_header = X-All: {method} {path} {query} {uri} {rest} {hostport} {header:X-Mine} {client_ip} {request_id}
  Host: {host}
remove_request_header = X-Gone
add_header = X-All: {uri} {header:X-Mine} {backend}
"""
ROUTE = load(EDITS, "a.ini", {}, "/").routes[0]
CANONICAL = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [^\r\n\0]*\r\n)*").fullmatch

targets = st.one_of(
    st.binary(max_size=30),
    st.text(alphabet="/.%25eE0aAdDapi?\r\n\t \\", max_size=30).map(str.encode),
    st.sampled_from([b"", b"/x", b"/../api/y", b"?q", b"//evil.example", b"/%0d%0aX: y", b"%2e%2e/"]),
)
values = st.binary(max_size=30)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(target=targets, value=values, host=st.one_of(st.just(b"a.example:81"), values))
def test_edited_heads_are_canonical(target: bytes, value: bytes, host: bytes) -> None:
    raw = b"GET /api%b HTTP/1.1\r\nHost: %b\r\nX-Mine: %b\r\nX-Gone: 1\r\n\r\n" % (target, host, value)
    try:
        read = read_request_head(raw, HeadLimits())
        if read is None or not (normal_path(read[0].target) + "/").startswith("/api/"):
            return
    except MalformedRequestError:
        return
    head, _ = read
    variables = Variables(head, "127.0.0.1", "http", b"id", "/api")
    sent, identity = RequestEdits(ROUTE).apply(head, b"X-Forwarded-For: 127.0.0.1\r\n", variables)
    assert CANONICAL(sent.fields)
    assert len(field_values(sent.fields, b"x-all")) == len(field_values(sent.fields, b"host")) == 1
    assert not field_values(sent.fields, b"x-gone")
    again = read_request_head(encode_request(sent, identity), HeadLimits(head_bytes=2**16, target_bytes=2**16))
    assert again is not None
    assert again[0].target == sent.target
    answer = ResponseEdits(ROUTE).apply(ResponseHead(200, b"OK", 1, b"A: b\r\n", 0, True), variables)
    assert CANONICAL(answer.fields)
    assert len(answer.fields.split(b"\r\n")) <= 3


@settings(max_examples=500, deadline=None, derandomize=True)
@given(targets)
def test_prefix_that_was_matched_is_all_that_is_taken_off(target: bytes) -> None:
    whole = b"/api/" + target
    try:
        path = normal_path(whole)
    except MalformedRequestError:
        return
    if path.startswith("/api/"):
        forwarded = without_prefix(whole, "/api")
        assert forwarded.startswith(b"/")
        assert "/api" + normal_path(forwarded) == path
