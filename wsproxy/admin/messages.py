"""A request to the admin listener and what answers it, whole and in memory.

Knows HTTP's shapes, not who asks or what is done.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, unquote

from wsproxy.http.messages import RequestHead, field_values
from wsproxy.http.replies import REASONS

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""RFC 9110 section 9.2.1: no side effects."""


MOST_PARAMETERS: Final = 16

_OF_TOOLS: Final = ("", "application/x-www-form-urlencoded")
_OF_BROWSERS: Final = (b"origin", b"referer", b"cookie", b"sec-fetch-site", b"sec-fetch-mode")
"""One of these comes with each request of a page that is not a plain visit."""


class RefusalError(Exception):
    """The request is answered with `status` and a reason; `fields` are more lines of the answer."""

    def __init__(self, status: int, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.fields = dict(fields or {})


@dataclass(frozen=True, slots=True)
class Request:
    """One request with its body. path: decoded, without the query. peer: the caller's address."""

    head: RequestHead
    body: bytes
    peer: str

    @property
    def method(self) -> str:
        """In the caller's own letters."""
        return self.head.method.decode("latin-1")

    @property
    def path(self) -> str:
        """Decoded."""
        return unquote(self.head.target.decode("latin-1").partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        """The parameters. Raises RefusalError for one that comes twice, or for more than anybody needs."""
        written = self.head.target.decode("latin-1").partition("?")[2]
        try:
            pairs = parse_qsl(written, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
        except ValueError:
            raise RefusalError(400, "too many parameters") from None
        values = dict(pairs)
        if len(values) < len(pairs):
            raise RefusalError(400, "a parameter comes twice")
        return values

    def field(self, name: bytes) -> str | None:
        """The value of a field; the first where there are several."""
        values = field_values(self.head.fields, name)
        return values[0].decode("latin-1") if values else None

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises RefusalError.

        Its media type has to be JSON's: pages of other sites cannot send that unasked (Fetch standard, 3.2.2). A tool
        that is no browser may say nothing, or what `curl -d` says, as with the proxies that had this API first.
        """
        media_type = (self.field(b"content-type") or "").partition(";")[0].strip().lower()
        if media_type != "application/json" and (media_type not in _OF_TOOLS or self._may_be_a_browsers):
            raise RefusalError(415, "the body must be application/json")
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError):
            raise RefusalError(400, "the body is not JSON") from None
        if not isinstance(content, dict):
            raise RefusalError(400, "the body is not a JSON object")
        return content

    @property
    def _may_be_a_browsers(self) -> bool:
        return any(self.field(name) is not None for name in _OF_BROWSERS)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. fields: besides Content-Type and Content-Length."""

    status: int
    body: bytes = b""
    media_type: str = "application/json"
    fields: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, content: object, status: int = 200, fields: Mapping[str, str] | None = None) -> Answer:
        """An answer in JSON."""
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        return cls(status, body, fields=dict(fields or {}))

    @classmethod
    def refusal(cls, error: RefusalError) -> Answer:
        """What a refused caller gets."""
        return cls.json({"error": str(error)}, error.status, error.fields)

    def encoded(self, close: bool, head_only: bool) -> bytes:
        """As HTTP/1.1 has it."""
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, '')}"]
        lines += [f"Content-Type: {self.media_type}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.fields.items()]
        if close:
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        return head if head_only else head + self.body


class Channel(Protocol):
    """A WebSocket with a caller, as text messages."""

    async def send(self, text: str) -> None:
        """Send a message, waiting while the caller reads slowly. Raises BrokenResourceError when it is gone."""
        ...

    async def receive(self) -> str | None:
        """The next message; None when the caller has gone."""
        ...


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The request becomes a WebSocket, which `talk` uses until either side has had enough."""

    talk: Callable[[Channel], Awaitable[None]]
