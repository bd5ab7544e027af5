"""The judge of message heads: h11 as the parser, and in front of it our own refusals where h11 is too lax.

The only file that imports h11. Slow (20 to 40 microseconds) and complete: every rule of RFC 9110 and 9112 about a head
that wsproxy holds is here, and `fast_codec` may only agree. The principle is that what two readers could take
differently is refused: h11 0.16 alone lets pass Content-Length beside Transfer-Encoding, Transfer-Encoding on HTTP/1.0,
bare LF line ends, obs-fold, control characters in values, lengths beyond 2^63 and any target.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final

import h11

from wsproxy.http.headers import CLAIMS, HOP_BY_HOP, announced_trailers, may_be_nominated
from wsproxy.http.last_hop import max_forwards
from wsproxy.http.messages import (
    CHUNKED,
    UNTIL_CLOSE,
    UPGRADE_LINES,
    HeadLimits,
    MalformedRequestError,
    MalformedResponseError,
    RequestHead,
    ResponseHead,
)

Fields = list[tuple[bytes, bytes]]

LENGTH_LIMIT: Final = 2**63
"""Lengths from here on overflow the signed 64-bit integer most servers count in, so two readers could disagree."""

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_is_token: Final = re.compile(_TOKEN).fullmatch
_request_line: Final = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])").fullmatch
_status_line: Final = re.compile(rb"HTTP/1\.([0-9]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?").fullmatch
_unsafe_bytes: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n").search
_absolute_form: Final = re.compile(rb"(?i:https?)://([^/?]*)(.*)").fullmatch
_length_value: Final = re.compile(rb"[0-9]{1,19}").fullmatch  # 2^63 has 19 digits
# RFC 3986 lets a host name hold sub-delims and percent escapes too; no DNS name has them and readers differ on them.
_authority: Final = re.compile(rb"(?:[A-Za-z0-9._~\-]+|\[([0-9A-Fa-f:.]+)\])(?::([0-9]*))?").fullmatch
_space_before_colon: Final = re.compile(rb"(?m)^(" + _TOKEN + rb")[ \t]+(?=:)").sub
_framing_lines: Final = re.compile(rb"(?im)^(content-length|transfer-encoding):([^\r]*)").findall
_keep_alive_timeout: Final = re.compile(rb"(?i)(?:^|[,;\s])timeout=([0-9]{1,6})(?![0-9])").search


def judge_request(raw_head: bytes, limits: HeadLimits) -> RequestHead:
    """Read one whole request head (its final empty line included) as RFC 9112 sections 2 to 6 demand.

    Raises MalformedRequestError: 400, 414, 417, 431, 501 or 505.
    """
    if _unsafe_bytes(raw_head):
        raise MalformedRequestError(400, "bare CR or LF, or a control character, in the request head")
    line, _, block = raw_head.partition(b"\r\n")
    method, target, minor_version = check_request_line(line, limits)
    if len(raw_head) > limits.head_bytes or block.count(b"\r\n") - 1 > limits.fields:
        raise MalformedRequestError(431, "request header fields too large")
    if block.startswith((b" ", b"\t")) or b"\r\n " in block or b"\r\n\t" in block:
        raise MalformedRequestError(400, "folded header line")
    length = _request_length(block, minor_version)
    items = _usable_fields(_ask_h11_for_request(raw_head), limits)
    nominated = _connection_options(items)
    target, authority = _resolve_target(method, target, _host(items, minor_version))
    expect_continue = _expects_continue(items, minor_version, length)
    upgrade = b""
    if method == b"GET" and minor_version == 1 and length == 0 and b"upgrade" in nominated:
        upgrade = b"websocket" if b"websocket" in _options(items, b"upgrade") else b""  # among others: RFC 9110 7.8
    hops = max_forwards(items, method)
    fields = _forwarded_request_fields(items, nominated, authority, minor_version == 1 and length != 0, hops)
    return RequestHead(
        method=method,
        target=target,
        minor_version=minor_version,
        authority=authority,
        fields=fields,
        length=length,
        keep_alive=_is_persistent(nominated, minor_version),
        expect_continue=expect_continue,
        upgrade=upgrade,
        claims=_claims(items),
        trailer=announced_trailers(value for name, value in items if name.lower() == b"trailer"),
        max_forwards=hops,
    )


def judge_response(raw_head: bytes, method: bytes) -> ResponseHead:
    """Read one whole response head to a request with `method`; interim ones (1xx) come back like any other.

    Raises MalformedResponseError. RFC 9112 sections 4 and 6.3.
    """
    if _unsafe_bytes(raw_head):
        raise MalformedResponseError("bare CR or LF, or a control character, in the response head")
    line, _, block = raw_head.partition(b"\r\n")
    match = _status_line(line)
    if match is None:
        raise MalformedResponseError(f"illegal status line {line[:64]!r}")
    if block.startswith((b" ", b"\t")) or b"\r\n " in block or b"\r\n\t" in block:
        raise MalformedResponseError("folded header line")
    # RFC 9110 section 2.5: a higher minor version is read as the highest we know
    minor_version = min(int(match[1]), 1)
    status = int(match[2])
    # RFC 9112 section 5.1 has a proxy take out the white space before the colon, in answers only
    items = _ask_h11_for_response(_space_before_colon(rb"\1", raw_head), method)
    length, is_framed = _response_length(items, status, method, minor_version)
    nominated = _connection_options(items)
    upgrade = b""
    if status == 101 and minor_version == 1 and b"upgrade" in nominated:  # RFC 9110 section 7.8, RFC 6455 section 4.1
        upgrade = b", ".join(value.lower() for name, value in items if name.lower() == b"upgrade")
    fields = _forwarded_response_fields(items, nominated, has_length=status != 204 and status >= 200)
    if status == 426 and b"websocket" in _options(items, b"upgrade"):
        fields += UPGRADE_LINES  # hop-by-hop, but a 426 has to have it (RFC 9110 section 15.5.22), and we speak it too
    return ResponseHead(
        status=status,
        reason=match[3] or b"",
        minor_version=minor_version,
        fields=fields,
        length=length,
        keep_alive=is_framed and _is_persistent(nominated, minor_version),
        keep_alive_timeout_s=keep_alive_timeout(b",".join(v for name, v in items if name.lower() == b"keep-alive")),
        upgrade=upgrade,
        trailer=announced_trailers(value for name, value in items if name.lower() == b"trailer"),
    )


def check_request_line(line: bytes, limits: HeadLimits) -> tuple[bytes, bytes, int]:
    """Judge a request line without its CRLF (RFC 9112 section 3); returns method, target and minor version (0 or 1).

    Raises MalformedRequestError: 400, 414, 501 for CONNECT, 505 for another major version.
    """
    match = _request_line(line)
    if match is None:
        raise MalformedRequestError(400, "illegal request line")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise MalformedRequestError(505, "HTTP version not supported")
    if len(target) > limits.target_bytes:
        raise MalformedRequestError(414, "request target too long")
    if method == b"CONNECT":
        raise MalformedRequestError(501, "CONNECT is not supported")
    is_known_form = target.startswith(b"/") or (target == b"*" and method == b"OPTIONS") or _absolute_form(target)
    if not is_known_form or b"#" in target:
        raise MalformedRequestError(400, "illegal request target")
    # RFC 9110 section 2.5: a higher minor version is read as the highest we know
    return method, target, min(int(minor), 1)


def keep_alive_timeout(value: bytes) -> float | None:
    """Seconds of `timeout=N` in a Keep-Alive value, or None when it says nothing usable."""
    match = _keep_alive_timeout(value)
    return float(match[1]) if match else None


def is_authority(value: bytes) -> bool:
    """Whether a value is `host[:port]`: a name (underscores are legal), an IPv4 or a bracketed IPv6 literal."""
    match = _authority(value)
    if match is None:
        return False
    literal, port = match.groups()
    if port and (len(port) > 5 or int(port) > 65535):
        return False
    if literal is not None:
        try:
            IPv6Address(literal.decode("ascii"))
        except ValueError:
            return False
    return True


def _ask_h11_for_request(raw_head: bytes) -> Fields:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(raw_head))
    connection.receive_data(raw_head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        # What h11 says quotes the message in Python's own spelling: not for the client. Its traceback holds a frame
        # that holds the error: a cycle, with all that led here in it, until the collector comes.
        error.__traceback__ = None
        raise MalformedRequestError(400, "a header field is illegal, repeated or missing") from error
    if not isinstance(event, h11.Request):
        raise MalformedRequestError(400, "incomplete request head")
    return event.headers.raw_items()


def _ask_h11_for_response(raw_head: bytes, method: bytes) -> Fields:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=len(raw_head))
    # h11 reads an answer in the light of the request; an offered upgrade lets it read a 101 without hindering others
    asked: Fields = [(b"Host", b"upstream"), (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    connection.send(h11.Request(method=b"HEAD" if method == b"HEAD" else b"GET", target=b"/", headers=asked))
    connection.send(h11.EndOfMessage())
    connection.receive_data(raw_head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        error.__traceback__ = None  # as above
        raise MalformedResponseError(str(error)) from None
    if not isinstance(event, (h11.Response, h11.InformationalResponse)):
        raise MalformedResponseError("incomplete response head")
    return event.headers.raw_items()


def _request_length(block: bytes, minor_version: int) -> int:
    """Decide the framing from the untouched lines, before h11 collapses equal lengths (RFC 9112 section 6.3)."""
    lines = _framing_lines(block)
    lengths = [value.strip(b" \t") for name, value in lines if name.lower() == b"content-length"]
    codings = [value.strip(b" \t") for name, value in lines if name.lower() == b"transfer-encoding"]
    if codings:
        if lengths:
            raise MalformedRequestError(400, "both Content-Length and Transfer-Encoding")
        if minor_version == 0:
            raise MalformedRequestError(400, "Transfer-Encoding in an HTTP/1.0 request")
        if len(codings) > 1:
            raise MalformedRequestError(400, "more than one Transfer-Encoding")
        _check_coding(codings[0].lower())
        return CHUNKED
    if not lengths:
        return 0
    # "5, 5" and two equal lines may be collapsed or refused (RFC 9110 section 8.6); a reader that takes only one of
    # them would see another length in a cleverer case, so they are refused
    if len(lengths) > 1 or not _length_value(lengths[0]) or int(lengths[0]) >= LENGTH_LIMIT:
        raise MalformedRequestError(400, "illegal Content-Length")
    return int(lengths[0])


def _check_coding(value: bytes) -> None:
    names = [name.strip(b" \t") for name in value.split(b",")]
    if names == [b"chunked"]:
        return
    # chunked not last: the end of the body cannot be known, which RFC 9112 section 6.3 answers with 400, never 501
    if names[-1] == b"chunked" and all(map(_is_token, names)) and any(name != b"chunked" for name in names):
        raise MalformedRequestError(501, "unknown transfer coding")
    raise MalformedRequestError(400, "illegal Transfer-Encoding")


def _response_length(items: Fields, status: int, method: bytes, minor_version: int) -> tuple[int, bool]:
    """The body's length, and whether its end leaves the connection in a known state (RFC 9112 section 6.3)."""
    # h11 has refused differing lengths and any coding but one `chunked`, and collapsed equal lengths into one
    lengths = [value for name, value in items if name.lower() == b"content-length"]
    is_chunked = any(name.lower() == b"transfer-encoding" for name, _ in items)
    if is_chunked and (lengths or minor_version == 0 or status < 200):
        raise MalformedResponseError("Transfer-Encoding beside Content-Length, on HTTP/1.0 or on an interim answer")
    length = int(lengths[0]) if lengths else 0
    if length >= LENGTH_LIMIT:
        raise MalformedResponseError("illegal Content-Length")
    if status < 200 or status == 304 or method == b"HEAD":
        return 0, True
    if status == 204:
        # a server that frames a body that cannot be there may also send it: do not read on from this connection
        return 0, not is_chunked and length == 0
    if is_chunked:
        return CHUNKED, True
    return (length, True) if lengths else (UNTIL_CLOSE, False)


def _connection_options(items: Fields) -> frozenset[bytes]:
    """All options of all Connection lines, lower case."""
    return _options(items, b"connection")


def _options(items: Fields, field: bytes) -> frozenset[bytes]:
    """All elements of all lines of a field, lower case."""
    lists = [value for name, value in items if name.lower() == field]
    return frozenset(option.strip(b" \t").lower() for option in b",".join(lists).split(b","))


def _is_persistent(options: frozenset[bytes], minor_version: int) -> bool:
    """RFC 9112 section 9.3: `close` wins, HTTP/1.1 persists, HTTP/1.0 only when it asks to."""
    return b"close" not in options and (minor_version == 1 or b"keep-alive" in options)


def _usable_fields(items: Fields, limits: HeadLimits) -> Fields:
    """Without names that hold an underscore, which CGI-like servers cannot tell from the name with a dash.

    Even with `limits.underscores` the look-alikes of a field that frames, routes or identifies a message are dropped.
    """
    return [item for item in items if b"_" not in item[0] or (limits.underscores and not _is_look_alike(item[0]))]


def _is_look_alike(name: bytes) -> bool:
    dashed = name.lower().replace(b"_", b"-")
    return dashed in HOP_BY_HOP or not may_be_nominated(dashed)


def _host(items: Fields, minor_version: int) -> bytes:
    """The Host field's value, b"" where HTTP/1.0 has none (RFC 9112 section 3.2)."""
    hosts = [value for name, value in items if name.lower() == b"host"]
    host = hosts[0] if hosts else b""
    if len(hosts) > 1 or ((host or minor_version == 1) and not is_authority(host)):
        raise MalformedRequestError(400, "illegal Host")
    return host


def _resolve_target(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """Reduce an absolute-form target to origin-form; its authority wins over Host (RFC 9112 section 3.2.2)."""
    match = None if target.startswith(b"/") else _absolute_form(target)
    if match is None:
        return target, host
    authority, rest = match.groups()
    if not is_authority(authority):
        raise MalformedRequestError(400, "illegal authority in the request target")
    if not rest and method == b"OPTIONS":
        return b"*", authority
    return rest if rest.startswith(b"/") else b"/" + rest, authority


def _expects_continue(items: Fields, minor_version: int, length: int) -> bool:
    """RFC 9110 section 10.1.1: only 100-continue exists, and HTTP/1.0 cannot ask for it."""
    expectations = [value.lower() for name, value in items if name.lower() == b"expect"]
    if minor_version == 0 or not expectations:
        return False
    if expectations != [b"100-continue"]:
        raise MalformedRequestError(417, "unknown expectation")
    return length != 0


def _claims(items: Fields) -> dict[bytes, bytes] | None:
    claims: dict[bytes, bytes] = {}
    for raw_name, value in items:
        name = raw_name.lower()
        if name in CLAIMS:
            claims[name] = claims[name] + b", " + value if name in claims else value
    return claims or None


def _forwarded_request_fields(
    items: Fields, nominated: frozenset[bytes], authority: bytes, may_expect: bool, hops: int | None
) -> bytes:
    """The canonical block; an Expect without a body to wait for, or on HTTP/1.0, goes too. We are one of the hops."""
    lines = []
    has_host = False
    for raw_name, value in items:
        name = raw_name.lower()
        if name in HOP_BY_HOP or name in CLAIMS or (name in nominated and may_be_nominated(name)):
            continue
        if name == b"host":
            if not authority:
                continue
            has_host = True
            value = authority
        elif name == b"content-length":
            value = b"%d" % int(value)  # without leading zeros
        elif name == b"expect" and not may_expect:
            continue
        elif name == b"max-forwards" and hops:
            value = b"%d" % (hops - 1)
        lines.append(b"%b: %b\r\n" % (raw_name, value))
    if authority and not has_host:
        lines.insert(0, b"Host: %b\r\n" % authority)
    return b"".join(lines)


def _forwarded_response_fields(items: Fields, nominated: frozenset[bytes], has_length: bool) -> bytes:
    lines = []
    for raw_name, value in items:
        name = raw_name.lower()
        if name in HOP_BY_HOP or (name in nominated and may_be_nominated(name)):
            continue
        if name == b"content-length":
            if not has_length:
                continue
            value = b"%d" % int(value)
        lines.append(b"%b: %b\r\n" % (raw_name, value))
    return b"".join(lines)
