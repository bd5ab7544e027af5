"""The proxy's own answers: small, whole, in the form the client prefers, and saying nothing about the inside.

Pure. Knows status codes and media types; the caller decides when to answer and what may be said.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import Final

CONTINUE_100: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
"""The interim answer that a client which sent `Expect: 100-continue` waits for."""

REASONS: Final = {
    100: "Continue",
    101: "Switching Protocols",
    200: "OK",
    201: "Created",
    204: "No Content",
    206: "Partial Content",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    426: "Upgrade Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    499: "Client Closed Request",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    508: "Loop Detected",
}

_OFFERS: Final = ("application/json", "text/plain", "text/html")
"""What we can answer with, best first when the client does not care."""
_RANGES: Final = 16
"""Media ranges of an Accept that are looked at; browsers send seven."""
_quality: Final = re.compile(r"(?i);\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|$)").search

_PAGE: Final = (
    "<!doctype html>\n<html lang=en><meta charset=utf-8><title>{title}</title>\n"
    "<h1>{title}</h1>\n<p>{message}</p>\n<p><small>Request {request_id}</small></p>\n</html>\n"
)


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """An operator's own page."""

    media_type: str
    body: bytes


def error_reply(
    status: int,
    message: str,
    request_id: str,
    accept: bytes,
    close: bool,
    retry_after_s: int | None = None,
    head_only: bool = False,
    fields: bytes = b"",
    page: ErrorPage | None = None,
) -> bytes:
    """A whole response with an error body: JSON, or text or HTML when `accept` (an Accept value) prefers it.

    page: what a client gets that accepts its type and prefers no other of ours.

    close: say that the connection ends. head_only: the answer to a HEAD, with the length but not the body.
    fields: more lines for its head, each with its line end.
    A 426 carries what RFC 9110 section 15.5.22 and RFC 6455 section 4.4 ask for.
    """
    media_type = preferred_type(accept, "" if page is None else page.media_type)
    if page is not None and media_type == page.media_type:
        body = page.body
    else:
        body = _body(media_type, status, message, request_id)
    lines = [
        f"HTTP/1.1 {status} {REASONS.get(status, '')}",
        f"Content-Type: {media_type}" + ("" if media_type == "application/json" else "; charset=utf-8"),
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",  # 404, 414 and 501 may be cached otherwise (RFC 9110 section 15.1)
    ]
    if retry_after_s is not None:
        lines.append(f"Retry-After: {retry_after_s}")
    options = ["close"] if close else []
    if status == 426:
        lines += ["Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        options.append("Upgrade")
    if options:
        lines.append("Connection: " + ", ".join(options))
    head = ("\r\n".join(lines) + "\r\n").encode("ascii") + fields + b"\r\n"
    return head if head_only else head + body


def strict_transport_security(max_age_s: float) -> bytes:
    """The line that has browsers use https only, for so long (RFC 6797 section 6.1)."""
    return b"Strict-Transport-Security: max-age=%d\r\n" % max_age_s


def preferred_type(accept: bytes, first: str = "") -> str:
    """The offered media type with the highest weight in an Accept value (RFC 9110 section 12.5.1).

    The most specific range decides a type's weight; equal weights leave the choice to us: `first`, if there is one,
    then JSON. So do ranges that fit nothing we have.
    """
    offers = (first, *_OFFERS) if first else _OFFERS
    if not accept or accept == b"*/*":
        return offers[0]
    weights: dict[str, float] = {}
    for media_range in accept.decode("latin-1").split(",", _RANGES)[:_RANGES]:
        name = media_range.partition(";")[0].strip().lower()
        match = _quality(media_range)
        weights[name] = min(float(match[1]), 1.0) if match else 1.0

    def weight(offer: str) -> float:
        return weights.get(offer, weights.get(offer.partition("/")[0] + "/*", weights.get("*/*", 0.0)))

    return max(offers, key=weight)


def _body(media_type: str, status: int, message: str, request_id: str) -> bytes:
    if media_type == "application/json":
        return (json.dumps({"error": message, "request_id": request_id}) + "\n").encode("ascii")
    if media_type == "text/plain":
        return f"{message}\nrequest {request_id}\n".encode()
    title = f"{status} {REASONS.get(status, 'Error')}"
    page = _PAGE.format(title=title, message=html.escape(message), request_id=html.escape(request_id))
    return page.encode()
