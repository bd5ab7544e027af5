"""One look at one server: does it take a connection, and does it say that it is well?

Knows how to dial and what an HTTP answer says; what follows from the outcome is the verdict's matter. A probe uses a
connection of its own: one taken from the pool could be well while the server accepts nobody new.
"""

from __future__ import annotations

import json
import re
from typing import Final

import anyio

from wsproxy.config.group_settings import Address, HealthSettings
from wsproxy.health.asking import ask
from wsproxy.health.websocket_probe import ask_websocket
from wsproxy.http.chunked import ChunkedDecoder
from wsproxy.http.messages import (
    CHUNKED,
    UNTIL_CLOSE,
    MalformedBodyError,
    MalformedResponseError,
    ResponseHead,
)
from wsproxy.net.dial import Dialer, DialError, OutOfDescriptorsError
from wsproxy.net.stream import Stream

BODY_BYTES: Final = 64 * 1024
"""What is read of a body: a longer one is no status report, and its 2xx alone counts."""
SHOWN_CHARACTERS: Final = 64
"""How much of a server's own words goes into a reason, and so into a log line."""

_FIELDS: Final = ("Accept: application/json, */*", "Connection: close")


async def probe(address: Address, settings: HealthSettings) -> str | None:
    """Return None when the server is healthy, else why not, in words for a log line ("connection refused").

    Without a path a connection is enough. With one, `GET path` must answer 2xx, and if the body is a JSON object with
    a `status`, that must be 2xx too, as number or string; the kind `websocket` wants a 101 and a Pong instead. All of
    it within `timeout_s`.
    Raises OutOfDescriptorsError when nobody could be asked.
    """
    with anyio.move_on_after(settings.timeout_s):
        try:
            stream = await Dialer(address).dial(settings.timeout_s)
        except OutOfDescriptorsError:
            raise  # says nothing of the server
        except DialError as error:
            if not error.timed_out:
                return str(error).removeprefix(f"{address}: ")
        else:
            try:
                if settings.path is None:
                    return None
                look = ask_websocket if settings.kind == "websocket" else _ask_http
                return await look(stream, address, settings.path)
            finally:
                stream.abort()  # nothing is owed to either side any more
    return f"timed out after {settings.timeout_s:g} s"


async def _ask_http(stream: Stream, address: Address, path: str) -> str | None:
    asked = f"GET {path}"
    try:
        head = await ask(stream, address, path, _FIELDS)
        if not 200 <= head.status <= 299:
            return f"{asked} answered {head.status}"
        body = await _read_body(stream, head)
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return f"{asked}: the connection ended before the answer did"
    except (MalformedResponseError, MalformedBodyError) as error:
        return f"{asked} answered what is not HTTP: {error}"
    status = _status_in(body)
    if status is None or re.fullmatch("2[0-9][0-9]", status):
        return None
    return f"{asked} answered {head.status}, but its body says status {status[:SHOWN_CHARACTERS]!r}"


async def _read_body(stream: Stream, head: ResponseHead) -> bytes:
    """Read the body, as far as BODY_BYTES. Raises EndOfStream when it is cut off, MalformedBodyError."""
    decoder = ChunkedDecoder() if head.length == CHUNKED else None
    body = b""
    while len(body) <= BODY_BYTES:
        if decoder.complete if decoder else 0 <= head.length <= len(body):
            break
        try:
            data = await stream.receive()
        except anyio.EndOfStream:
            if head.length == UNTIL_CLOSE:
                break
            raise
        body += decoder.feed(data) if decoder else data
    return body if head.length < 0 else body[: head.length]


def _status_in(body: bytes) -> str | None:
    """The `status` of a JSON object as text, or None when there is none."""
    if len(body) > BODY_BYTES:
        return None
    try:
        report = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return str(report["status"]) if isinstance(report, dict) and "status" in report else None
