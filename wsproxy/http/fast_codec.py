"""The quick reader of message heads: one strict regular expression judges a whole head, one scan finds what matters.

Knows a subset of what `h11_codec` accepts and agrees with it to the byte (a property test holds them together). It
never refuses: None means doubt, and the untouched bytes go to the judge. Only heads already in canonical shape pass
(`Name: value`, one space, no white space at the end), so the fields are forwarded as the slice they came in.
"""

from __future__ import annotations

import re
from typing import Final

from wsproxy.http.h11_codec import keep_alive_timeout
from wsproxy.http.messages import CHUNKED, UNTIL_CLOSE, HeadLimits, RequestHead, ResponseHead

# Possessive repeats (++, *+) and atomic groups (?>…) keep the match linear on hostile input; a group is not repeated
# possessively, which Python before 3.11.5 does wrongly. Requests leave names with an underscore to the judge, who drops
# them.
_VALUE: Final = rb": [\x21-\x7e\x80-\xff][\t\x20-\x7e\x80-\xff]*+(?<![\t ])\r\n"
_REQUEST_FIELDS: Final = rb"(?>(?:[!#$%&'*+\-.^`|~0-9A-Za-z]++" + _VALUE + rb")*)"
_RESPONSE_FIELDS: Final = rb"(?>(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++" + _VALUE + rb")*)"
_request: Final = re.compile(
    rb"((?!CONNECT )[A-Z]++) (/[\x21\x22\x24-\x7e]*+) HTTP/1\.1\r\n" + _REQUEST_FIELDS + rb"\r\n"
).fullmatch
_response: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*+)\r\n" + _RESPONSE_FIELDS + rb"\r\n"
).fullmatch

# Each alternative is a field that needs a decision, with the values that need no second thought; the last one is any
# other value of the same fields. A match runs from the CRLF before its line, so cutting it out leaves a whole block.
# 18 digits stay below 2^63 without a comparison. The look-ahead rejects most lines by their first letter.
_LENGTH: Final = rb"(?i:content-length): (0|[1-9][0-9]{0,17}+)"
_CODING: Final = rb"(?i:transfer-encoding): ((?i:chunked))"
_request_decisions: Final = re.compile(
    rb"\r\n(?=[CcEeFfHhKkMmPpTtUuXx])(?:"
    rb"(?i:host): ([A-Za-z0-9._~\-]++(?::[1-5]?[0-9]{1,4})?)"
    rb"|(?i:connection): ((?i:keep-alive(?:, ?upgrade)?|close|upgrade(?:, ?keep-alive)?))"
    rb"|" + _LENGTH + rb"|" + _CODING + rb"|(?i:upgrade): ([^\r]++)"
    rb"|((?i:x-forwarded-(?:for|proto|host)|forwarded|x-request-id): [^\r]++)"
    rb"|(?i:expect): ((?i:100-continue))"
    rb"|((?i:keep-alive|te|proxy-(?:connection|authenticate|authorization)|http2-settings): [^\r]++)"
    rb"|((?i:host|connection|content-length|transfer-encoding|expect|trailer|max-forwards): [^\r]++)"
    rb")(?=\r)"
).finditer
_HOST, _CONNECTION, _CONTENT_LENGTH, _TRANSFER_ENCODING, _UPGRADE, _CLAIM, _EXPECT, _DROPPED = range(1, 9)

_response_decisions: Final = re.compile(
    rb"\r\n(?=[CcDdHhKkPpTtUu])(?:" + _LENGTH + rb"|(?i:connection): ((?i:keep-alive|close))"
    rb"|" + _CODING + rb"|(?i:keep-alive): ([^\r]++)"
    rb"|((?i:te|proxy-(?:connection|authenticate|authorization)|http2-settings): [^\r]++)"
    rb"|((?i:connection|content-length|transfer-encoding|trailer|upgrade): [^\r]++)"
    rb"|((?i:date)): [^\r]++"
    rb")(?=\r)"
).finditer
_R_LENGTH, _R_CONNECTION, _R_TRANSFER_ENCODING, _R_KEEP_ALIVE, _R_DROPPED, _, _R_DATE = range(1, 8)


def parse_request(raw_head: bytes, limits: HeadLimits) -> RequestHead | None:
    """Read a whole request head (its final empty line included), or None when it needs the judge."""
    match = _request(raw_head)
    if match is None or len(raw_head) > limits.head_bytes:
        return None
    method, target = match.groups()
    if len(target) > limits.target_bytes or raw_head.count(b"\n") - 2 > limits.fields:
        return None
    authority = connection = upgrade = expect = b""
    length: int | None = None
    claims: dict[bytes, bytes] | None = None
    kept = []
    position = match.end(2) + 9  # behind " HTTP/1.1", at the CRLF before the first field
    for field in _request_decisions(raw_head, position):
        kind = field.lastindex
        if kind == _HOST:
            if authority:
                return None
            authority = field[_HOST]
            continue
        if kind == _CONTENT_LENGTH:
            if length is not None:
                return None
            length = int(field[_CONTENT_LENGTH])
            continue
        if kind == _EXPECT:
            if expect:
                return None
            expect = field[_EXPECT]
            continue
        if kind == _CONNECTION:
            if connection:
                return None
            connection = field[_CONNECTION].lower()
        elif kind == _TRANSFER_ENCODING:
            if length is not None:
                return None
            length = CHUNKED
        elif kind == _UPGRADE:
            if upgrade or b"," in field[_UPGRADE]:
                return None
            upgrade = field[_UPGRADE].lower()
        elif kind == _CLAIM:
            name, _, value = field[_CLAIM].partition(b": ")
            claims = _with_claim(claims, name.lower(), value)
        elif kind != _DROPPED:
            return None
        kept.append(raw_head[position : field.start()])
        position = field.end()
    if not authority or (expect and not length):
        return None
    return RequestHead(
        method,
        target,
        1,
        authority,
        _joined(kept, raw_head, position),
        length or 0,
        connection != b"close",
        expect != b"",
        upgrade if upgrade == b"websocket" and b"upgrade" in connection and method == b"GET" and not length else b"",
        claims,
    )


def parse_response(raw_head: bytes, method: bytes) -> ResponseHead | None:
    """Read a whole final response head to a request with `method`, or None when it needs the judge (1xx always do)."""
    match = _response(raw_head)
    if match is None:
        return None
    status = int(match[1])
    connection = b""
    timeout_s: float | None = None
    length: int | None = None
    has_date = False
    kept = []
    position = match.end(2)
    for field in _response_decisions(raw_head, position):
        kind = field.lastindex
        if kind == _R_LENGTH:
            if length is not None:
                return None
            length = int(field[_R_LENGTH])
            continue
        if kind == _R_DATE:
            has_date = True
            continue
        if kind == _R_CONNECTION:
            if connection:
                return None
            connection = field[_R_CONNECTION].lower()
        elif kind == _R_TRANSFER_ENCODING:
            if length is not None:
                return None
            length = CHUNKED
        elif kind == _R_KEEP_ALIVE:
            if timeout_s is not None:
                return None
            timeout_s = keep_alive_timeout(field[_R_KEEP_ALIVE])
        elif kind != _R_DROPPED:
            return None
        kept.append(raw_head[position : field.start()])
        position = field.end()
    keep_alive = connection != b"close"
    if status == 204:
        if length is not None:
            return None
        length = 0
    elif method == b"HEAD" or status == 304:
        length = 0
    elif length is None:
        length = UNTIL_CLOSE
        keep_alive = False
    fields = _joined(kept, raw_head, position)
    return ResponseHead(status, match[2], 1, fields, length, keep_alive, timeout_s, has_date=has_date)


def _joined(kept: list[bytes], raw_head: bytes, position: int) -> bytes:
    """The block of fields: what was kept before `position`, and all behind it, but for the ends of its lines."""
    if not kept:  # nothing was cut out, which is usual
        return raw_head[position + 2 : -2]
    kept.append(raw_head[position:])
    return b"".join(kept)[2:-2]


def _with_claim(claims: dict[bytes, bytes] | None, name: bytes, value: bytes) -> dict[bytes, bytes]:
    if claims is None:
        return {name: value}
    claims[name] = claims[name] + b", " + value if name in claims else value
    return claims
