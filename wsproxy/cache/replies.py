"""What a client is sent of a kept answer: the whole, a part of it, or that it has it already (RFC 9111 section 4).

Pure. Every reply says how old it is (Age) and what the cache did (Cache-Status, RFC 9211).
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from wsproxy.cache.asked import Asked
from wsproxy.cache.stored import StoredAnswer
from wsproxy.http.codec import encode_response, with_line
from wsproxy.http.messages import ResponseHead, field_values
from wsproxy.http.ranges import Multipart, wanted_parts

NAME: Final = b"wsproxy"
"""Who speaks, in Cache-Status."""

_content_type: Final = re.compile(rb"(?im)^content-type: [^\r]*\r\n").sub
_about_the_body: Final = re.compile(rb"(?im)^content-(?!location:|security-policy)[^\r]*\r\n").sub


def status_line(what: bytes) -> bytes:
    """`Cache-Status: wsproxy; hit`, with its line end."""
    return b"Cache-Status: %b; %b\r\n" % (NAME, what)


@lru_cache(maxsize=256)  # statuses, and four ways to get one
def forwarded_line(is_stale: bool, status: int, is_stored: bool) -> bytes:
    """`Cache-Status: wsproxy; fwd=uri-miss; fwd-status=200; stored`: what a server has answered."""
    why = b"stale" if is_stale else b"uri-miss"
    return status_line(b"fwd=%b; fwd-status=%d%b" % (why, status, b"; stored" if is_stored else b""))


def encoded_hit(answer: StoredAnswer, now: float) -> bytes:
    """The head of a fresh answer for a client that speaks HTTP/1.1 and stays; made once a second."""
    second = int(now)
    if answer.encoded_at != second:
        answer.encoded_at = second
        answer.encoded = encode_response(with_line(answer.head, lines_of_hit(answer, now)), False, False, 1)
    return answer.encoded


def lines_of_hit(answer: StoredAnswer, now: float) -> bytes:
    """Age, and that it came from here; a negative ttl says for how long it has been stale."""
    return b"Age: %d\r\n%b" % (answer.age_s(now), status_line(b"hit; ttl=%d" % (answer.fresh_until - now)))


def reply(answer: StoredAnswer, method: bytes, asked: Asked, lines: bytes) -> tuple[ResponseHead, bytes]:
    """The head and body that answer a GET or HEAD with a kept answer; lines: to add to the head."""
    if answer.status != 200:
        return _whole(answer, method, lines)
    if asked.has(answer.validators):
        return _not_modified(answer, lines), b""
    if method == b"GET" and asked.wants_part(answer.validators):
        return _part(answer, asked.range, lines)
    return _whole(answer, method, lines)


def _whole(answer: StoredAnswer, method: bytes, lines: bytes) -> tuple[ResponseHead, bytes]:
    head = with_line(answer.head, lines)
    if method == b"HEAD":
        head.length = 0
        return head, b""
    return head, answer.body


def _not_modified(answer: StoredAnswer, lines: bytes) -> ResponseHead:
    """RFC 9110 section 15.4.5: what may be of use without the body."""
    fields = _about_the_body(b"", answer.fields)
    return ResponseHead(304, b"Not Modified", 1, fields + lines, 0, True, has_date=True)


def _part(answer: StoredAnswer, asked_range: bytes, lines: bytes) -> tuple[ResponseHead, bytes]:
    body, size = answer.body, len(answer.body)
    parts = wanted_parts(asked_range, size)
    if parts is None:
        return _whole(answer, b"GET", lines)
    if not parts:
        told = b"Content-Range: bytes */%d\r\nContent-Length: 0\r\n" % size
        fields = _about_the_body(b"", answer.fields) + told + lines
        return ResponseHead(416, b"Range Not Satisfiable", 1, fields, 0, True, has_date=True), b""
    if len(parts) == 1:
        sent = body[parts[0].start : parts[0].end]
        fields = answer.fields + b"Content-Range: %b\r\n" % parts[0].content_range(size)
    else:
        types = field_values(answer.fields, b"content-type")
        several = Multipart(parts, size, _boundary(body), types[0] if types else b"")
        sent = b"".join(head + body[part.start : part.end] for head, part in several.pieces) + several.end
        fields = _content_type(b"", answer.fields) + b"Content-Type: %b\r\n" % several.media_type
    fields += b"Content-Length: %d\r\n" % len(sent) + lines
    return ResponseHead(206, b"Partial Content", 1, fields, len(sent), True, has_date=True), sent


def _boundary(body: bytes) -> bytes:
    """What is not found in the body but by a chance of one in 2^128."""
    return blake2b(body, digest_size=16).hexdigest().encode("ascii")
