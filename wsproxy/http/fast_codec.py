"""The quick reader of message heads: each line is looked up among those judged before, or judged by a strict pattern.

Knows a subset of what `h11_codec` accepts and agrees with it to the byte (a property test holds them together). It
never refuses: None means doubt, and the untouched bytes go to the judge. Only heads already in canonical shape pass
(`Name: value`, one space, no white space at the end), so the fields are forwarded as the slice they came in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from wsproxy.http.h11_codec import keep_alive_timeout
from wsproxy.http.headers import CLAIMS
from wsproxy.http.known_lines import DoubtError, KnownLines, Meaning
from wsproxy.http.messages import CHUNKED, UNTIL_CLOSE, HeadLimits, RequestHead, ResponseHead

Decision = tuple[int, Callable[[bytes], object]]
"""The number of a field, and whether a value of it needs no second thought."""

# Possessive repeats (++, *+) keep a match linear on hostile input; a group is not repeated so, which Python before
# 3.11.5 does wrongly. Requests leave names with an underscore to the judge, who drops them.
_VALUE: Final = rb"([\x21-\x7e\x80-\xff][\t\x20-\x7e\x80-\xff]*+(?<![\t ]))\r"
_request_field: Final = re.compile(rb"([!#$%&'*+\-.^`|~0-9A-Za-z]++): " + _VALUE).fullmatch
_response_field: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++): " + _VALUE).fullmatch
_request_line: Final = re.compile(rb"((?!CONNECT )[A-Z]++) (/[\x21\x22\x24-\x7e]*+) HTTP/1\.1\r").fullmatch
_status_line: Final = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*+)\r").fullmatch

# Fields that differ from head to head, some of them secrets: remembering their lines would only push others out. In the
# usual spellings alone, which are found in half the time; in others they are remembered.
_varying_of_requests: Final = re.compile(
    rb"(?:[Cc]ookie|[Aa]uthorization|[Ii]f-(?:[Nn]one-[Mm]atch|[Mm]odified-[Ss]ince)): " + _VALUE
).fullmatch
_varying_of_responses: Final = re.compile(
    rb"(?:[Ss]et-[Cc]ookie|E[Tt]ag|etag|[Ll]ast-[Mm]odified|[Ll]ocation|[Xx]-[Rr]equest-I[Dd]): " + _VALUE
).fullmatch

_HOST, _LENGTH, _EXPECT, _DATE, _CONNECTION, _CODING, _UPGRADE, _CLAIM, _KEEP_ALIVE, _DROPPED = range(1, 11)
_STATUS, _REFERER, _USER_AGENT, _TRACE = range(11, 15)

_NOTHING: Final = 0, b"", 0, b""
"""A meaning that is none."""

KEPT_REQUEST_LINES: Final = 1024
"""Clients differ: User-Agents, languages, pages they come from."""
KEPT_RESPONSE_LINES: Final = 256
"""One server says mostly the same, and there may be hundreds of them."""

_END: Final = [b"\r", b""]
"""What the lines of a head end with."""


def _any(_: bytes) -> bool:
    return True


def _none(_: bytes) -> bool:
    return False


# Fields that need a decision, and which of their values need no second thought.
_BOTH: Final[dict[bytes, Decision]] = {
    b"content-length": (_LENGTH, re.compile(rb"0|[1-9][0-9]{0,17}+").fullmatch),  # below 2^63 without a comparison
    b"transfer-encoding": (_CODING, re.compile(rb"(?i:chunked)").fullmatch),
    b"te": (_DROPPED, _any),
    b"proxy-connection": (_DROPPED, _any),
    b"proxy-authenticate": (_DROPPED, _any),
    b"proxy-authorization": (_DROPPED, _any),
    b"http2-settings": (_DROPPED, _any),
    b"trailer": (_DROPPED, _none),
}
_OF_REQUESTS: Final[dict[bytes, Decision]] = _BOTH | {
    b"host": (_HOST, re.compile(rb"[A-Za-z0-9._~\-]++(?::[1-5]?[0-9]{1,4})?").fullmatch),
    b"connection": (
        _CONNECTION,
        re.compile(rb"(?i:keep-alive(?:, ?upgrade)?|close|upgrade(?:, ?keep-alive)?)").fullmatch,
    ),
    b"upgrade": (_UPGRADE, re.compile(rb"[^,]++").fullmatch),
    b"expect": (_EXPECT, re.compile(rb"(?i:100-continue)").fullmatch),
    b"keep-alive": (_DROPPED, _any),
    b"max-forwards": (_DROPPED, _none),
    b"referer": (_REFERER, _any),
    b"user-agent": (_USER_AGENT, _any),
    b"traceparent": (_TRACE, _any),
    **dict.fromkeys(CLAIMS, (_CLAIM, _any)),
}
_OF_RESPONSES: Final[dict[bytes, Decision]] = _BOTH | {
    b"connection": (_CONNECTION, re.compile(rb"(?i:keep-alive|close)").fullmatch),
    b"keep-alive": (_KEEP_ALIVE, _any),
    b"date": (_DATE, _any),
    b"upgrade": (_DROPPED, _none),
}


def known_request_lines() -> KnownLines:
    """For the field lines of requests, to be shared by all connections of a frontend."""
    return KnownLines(KEPT_REQUEST_LINES, _varying_of_requests, _judged_of_request)


def known_response_lines() -> KnownLines:
    """For the lines of responses, to be shared by all connections to a server."""
    return KnownLines(KEPT_RESPONSE_LINES, _varying_of_responses, _judged_of_response)


def _judged_of_request(line: bytes) -> Meaning:
    """What a line means. Raises DoubtError."""
    return _judged(_request_field(line), _OF_REQUESTS)


def _judged_of_response(line: bytes) -> Meaning:
    """What a line means, which may be the status line. Raises DoubtError."""
    status = _status_line(line)
    if status is not None:
        return _STATUS, status[2], int(status[1]), line
    return _judged(_response_field(line), _OF_RESPONSES)


def _judged(line: re.Match[bytes] | None, decisions: dict[bytes, Decision]) -> Meaning:
    """What a line means. Raises DoubtError."""
    if line is None:
        raise DoubtError
    name, value = line[1].lower(), line[2]
    decision = decisions.get(name)
    if decision is None:
        return None
    kind, is_clear = decision
    if not is_clear(value):
        raise DoubtError
    if kind in {_CONNECTION, _UPGRADE}:
        value = value.lower()
    elif kind == _CLAIM:
        value = b"%b: %b" % (name, value)
    return kind, value, int(value) if kind == _LENGTH else CHUNKED, line[0]


def parse_request_line(line: bytes) -> tuple[bytes, bytes] | None:
    """Method and target of a whole request line, its CR included but not its LF; None when it needs the judge."""
    match = _request_line(line)
    return None if match is None else (match[1], match[2])


def parse_request(raw_head: bytes, limits: HeadLimits, known: KnownLines) -> RequestHead | None:
    """Read a whole request head (its final empty line included), or None when it needs the judge."""
    lines = raw_head.split(b"\n", limits.fields + 2)  # one more line, and the end would not be the last
    line = _request_line(lines[0])
    if line is None or lines[-2:] != _END or len(raw_head) > limits.head_bytes:
        return None
    method, target = line.groups()
    if len(target) > limits.target_bytes:
        return None
    authority = connection = upgrade = expect = referer = user_agent = trace = b""
    length: int | None = None
    claims: dict[bytes, bytes] | None = None
    cut = []
    try:
        for kind, value, number, whole in filter(None, map(known.__getitem__, lines[1:-2])):
            if kind == _HOST:
                if authority:
                    return None
                authority = value
            elif kind == _USER_AGENT:
                user_agent = user_agent or value
            elif kind == _REFERER:
                referer = referer or value
            elif kind == _TRACE:
                trace = trace or value
            elif kind == _LENGTH:
                if length is not None:
                    return None
                length = number
            elif kind == _EXPECT:
                if expect:
                    return None
                expect = value
            else:
                cut.append(whole)
                if kind == _CONNECTION:
                    if connection:
                        return None
                    connection = value
                elif kind == _CODING:
                    if length is not None:
                        return None
                    length = CHUNKED
                elif kind == _UPGRADE:
                    if upgrade:
                        return None
                    upgrade = value
                elif kind == _CLAIM:
                    claims = _with_claim(claims, value)
    except DoubtError:
        return None
    if not authority or (expect and not length):
        return None
    return RequestHead(
        method,
        target,
        1,
        authority,
        _without(cut, lines, raw_head),
        length or 0,
        connection != b"close",
        expect != b"",
        upgrade if upgrade == b"websocket" and b"upgrade" in connection and method == b"GET" and not length else b"",
        claims,
        told=(referer, user_agent, trace),
    )


def parse_response(raw_head: bytes, method: bytes, known: KnownLines) -> ResponseHead | None:
    """Read a whole final response head to a request with `method`, or None when it needs the judge (1xx always do)."""
    lines = raw_head.split(b"\n")
    if lines[-2:] != _END:
        return None
    connection = b""
    timeout_s: float | None = None
    length: int | None = None
    has_date = False
    cut = []
    try:
        kind, reason, status, _ = known[lines[0]] or _NOTHING
        if kind != _STATUS:
            return None
        for kind, value, number, whole in filter(None, map(known.__getitem__, lines[1:-2])):
            if kind == _LENGTH:
                if length is not None:
                    return None
                length = number
            elif kind == _DATE:
                has_date = True
            else:
                cut.append(whole)
                if kind == _CONNECTION:
                    if connection:
                        return None
                    connection = value
                elif kind == _CODING:
                    if length is not None:
                        return None
                    length = CHUNKED
                elif kind == _KEEP_ALIVE:
                    if timeout_s is not None:
                        return None
                    timeout_s = keep_alive_timeout(value)
                elif kind == _STATUS:
                    return None
    except DoubtError:
        return None
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
    fields = _without(cut, lines, raw_head)
    return ResponseHead(status, reason, 1, fields, length, keep_alive, timeout_s, has_date=has_date)


def _without(cut: list[bytes], lines: list[bytes], raw_head: bytes) -> bytes:
    """The block of fields in the `lines` of a head, without those in `cut`."""
    if not cut:
        return raw_head[len(lines[0]) + 1 : -2]
    for line in cut:
        lines.remove(line)
    lines[-2] = b""
    return b"\n".join(lines[1:-1])


def _with_claim(claims: dict[bytes, bytes] | None, claim: bytes) -> dict[bytes, bytes]:
    name, _, value = claim.partition(b": ")
    if claims is None:
        return {name: value}
    claims[name] = claims[name] + b", " + value if name in claims else value
    return claims
