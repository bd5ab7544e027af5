"""HTTP/1.1 messages read from raw bytes, by a strict reader that shares nothing with the product.

Pure. A reader is handed all bytes of one direction of a connection so far and returns the messages in them. It does not
refuse: what RFC 9112 forbids a sender to generate goes on the message's list of faults, which the judge reads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

Framing = Literal["none", "length", "chunked", "close"]
Ended = Literal["", "eof", "reset"]

TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
REQUEST_LINE: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [^\x00-\x20\x7f]+ HTTP/1\.[01]")
STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] [1-9][0-9][0-9] [\t\x20-\x7e\x80-\xff]*")
CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?)")


@dataclass
class Message:
    """A request or response as far as it came. Field names are in lower case."""

    start: bytes
    fields: list[tuple[bytes, bytes]]
    framing: Framing = "none"
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    complete: bool = False
    faults: list[str] = field(default_factory=list)

    def values(self, name: str) -> list[bytes]:
        """All values of one field, in order."""
        return [value for known, value in self.fields if known == name.lower().encode()]

    @property
    def target(self) -> bytes:
        """Of a request."""
        return [*self.start.split(b" "), b"", b""][1]

    @property
    def status(self) -> int:
        """Of a response; 0 if its status line holds none."""
        found = re.match(rb"HTTP/\S+ ([0-9]{3})(?![0-9])", self.start)
        return int(found[1]) if found else 0


def read_requests(data: bytes, ended: Ended = "") -> tuple[list[Message], bytes]:
    """The requests in `data`, the last perhaps incomplete, and what is left behind them."""
    messages: list[Message] = []
    while (end := data.find(b"\r\n\r\n")) >= 0:
        message = _head(data[:end], REQUEST_LINE)
        messages.append(message)
        _check_request(message)
        data = _body(message, data[end + 4 :], _framing(message, "none"), ended)
        if not message.complete:
            return messages, b""
    return messages, data


def read_responses(data: bytes, methods: Sequence[str], ended: Ended = "") -> tuple[list[Message], bytes]:
    """The responses in `data`, interim ones among them, and what is left; methods: those of the requests."""
    messages: list[Message] = []
    finals = 0
    while (end := data.find(b"\r\n\r\n")) >= 0:
        message = _head(data[:end], STATUS_LINE)
        messages.append(message)
        method = methods[finals] if finals < len(methods) else "GET"
        bodiless = message.status < 200 or message.status in (204, 304) or method == "HEAD"
        if message.status < 200 or message.status == 204:
            for name in ("content-length", "transfer-encoding"):
                if message.values(name):
                    message.faults.append(f"{name} in a {message.status}")
        framing: Framing = _framing(message, "close")
        data = _body(message, data[end + 4 :], "none" if bodiless else framing, ended)
        finals += message.status >= 200
        if not message.complete:
            return messages, b""
    return messages, data


def _head(data: bytes, start: re.Pattern[bytes]) -> Message:
    first, *lines = data.split(b"\r\n")
    message = Message(first, [])
    if start.fullmatch(first) is None:
        message.faults.append(f"start line {first[:80]!r}")
    message.fields = _fields(lines, message.faults)
    return message


def _fields(lines: list[bytes], faults: list[str]) -> list[tuple[bytes, bytes]]:
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or TOKEN.fullmatch(name) is None or VALUE.fullmatch(value) is None:
            faults.append(f"field line {line[:80]!r}")
        fields.append((name.lower(), value.strip(b" \t")))
    return fields


def _check_request(message: Message) -> None:
    """What RFC 9112 3.2 and 7.6.1 of RFC 9110 ask of every request that a proxy sends."""
    hosts = message.values("host")
    if len(hosts) > 1 or (not hosts and message.start.endswith(b"1.1")):
        message.faults.append(f"Host fields: {hosts}")
    for name in ("keep-alive", "proxy-connection", "upgrade"):
        if message.values(name):
            message.faults.append(f"hop-by-hop field {name}")
    if message.values("te") not in ([], [b"trailers"]):
        message.faults.append(f"TE: {message.values('te')}")


def _framing(message: Message, without: Framing) -> Framing:
    lengths, codings = message.values("content-length"), message.values("transfer-encoding")
    if lengths and codings:
        message.faults.append("Content-Length and Transfer-Encoding")
    if len(lengths) > 1 or not all(re.fullmatch(rb"[0-9]+", value) for value in lengths):
        message.faults.append(f"Content-Length: {lengths}")
    if codings and (len(codings) > 1 or codings[0].lower() != b"chunked"):
        message.faults.append(f"Transfer-Encoding: {codings}")
    if codings:
        return "chunked"
    return "length" if lengths else without


def _body(message: Message, data: bytes, framing: Framing, ended: Ended) -> bytes:
    """Fill in the body; what is left of `data`."""
    message.framing = framing
    if framing == "none":
        message.complete = True
        return data
    if framing == "close":
        message.body, message.complete = data, ended == "eof"
        return b""
    if framing == "chunked":
        return _chunked(message, data)
    digits = message.values("content-length")[0]
    length = int(digits) if re.fullmatch(rb"[0-9]{1,18}", digits) else 0
    message.body, message.complete = data[:length], len(data) >= length
    return data[length:]


def _chunked(message: Message, data: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while (end := data.find(b"\r\n", at)) >= 0:
        line = CHUNK_LINE.fullmatch(data[at:end])
        if line is None:
            message.faults.append(f"chunk line {data[at:end][:80]!r}")
            break
        size = int(line[1], 16)
        at = end + 2
        if size == 0:
            message.body = b"".join(parts)
            return _trailers(message, data[at:])
        parts.append(data[at : at + size])
        mark = data[at + size : at + size + 2]
        if mark != b"\r\n":
            if mark not in (b"", b"\r"):
                message.faults.append("no CRLF behind a chunk")
            break
        at += size + 2
    message.body = b"".join(parts)
    return b""


def _trailers(message: Message, data: bytes) -> bytes:
    if data.startswith(b"\r\n"):
        message.complete = True
        return data[2:]
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return b""
    message.trailers = _fields(data[:end].split(b"\r\n"), message.faults)
    for name, _ in message.trailers:
        if name in (b"content-length", b"transfer-encoding", b"host", b"trailer"):
            message.faults.append(f"trailer {name.decode()}")
    message.complete = True
    return data[end + 4 :]
