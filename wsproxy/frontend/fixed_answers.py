"""Routes that answer by themselves: a redirect, or a fixed status and text.

Knows exchanges and the clock that writes Date; what the answer says was compiled from the configuration.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from anyio import BrokenResourceError

from wsproxy.config.model import FixedAnswer, Redirect, RouteSettings
from wsproxy.errors import CLIENT_LEFT, Failure, Side
from wsproxy.exchange import BodyError, Exchange, ResponseFilter
from wsproxy.frontend.route import Handler, Route
from wsproxy.http.codec import encode_response, with_line
from wsproxy.http.messages import ResponseHead
from wsproxy.http.variables import Escape, Variables, render_field, render_with
from wsproxy.net.deadlines import Deadlines

NO_HOST: Final = Failure(Side.CLIENT, 400, "no Host to redirect to")
_NAMES_OF_HOST: Final = frozenset({"host", "hostport"})
_WITHOUT_LENGTH: Final = (204, 304)
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}

Compose = Callable[[Variables], tuple[ResponseHead, bytes] | Failure]
"""The answer to a request: its head and its body; a failure stands for the frontend's own page of that status."""


def handler(settings: RouteSettings, deadlines: Deadlines) -> Handler | None:
    """Who answers the requests of a route that needs no servers; None for other routes."""
    if settings.redirect is not None:
        return _answering(_redirect(settings.redirect), deadlines)
    if settings.respond is not None:
        return _answering(_fixed(settings.respond, settings.respond_type), deadlines)
    return None


def _answering(compose: Compose, deadlines: Deadlines) -> Handler:
    async def answer(exchange: Exchange, _: Route) -> None:
        variables = exchange.variables
        if variables is None:
            raise RuntimeError("the route did not prepare its exchange")
        composed = compose(variables)
        if isinstance(composed, Failure):
            exchange.failure = composed
            return
        body = exchange.body
        try:
            while body is not None and not body.complete and body.take_buffered():
                pass  # what has come already need not end the connection
        except BodyError as error:
            exchange.failure = error.failure
            return
        if body is not None and not body.complete:
            exchange.keep_alive = False
        head, text = composed
        head = exchange.edited(head)
        if exchange.filter is not None:
            head, text = _filtered(exchange.filter, head, text)
        exchange.response = head
        date = b"" if head.has_date else deadlines.date_line
        out = encode_response(head, False, not exchange.keep_alive, exchange.head.minor_version, date)
        if exchange.head.method != b"HEAD":
            out += text
        try:
            exchange.client.write(out)
        except BrokenResourceError:
            exchange.failure = CLIENT_LEFT
            return
        exchange.answered = True
        exchange.answered_bytes = len(out)

    return answer


def _filtered(through: ResponseFilter, head: ResponseHead, text: bytes) -> tuple[ResponseHead, bytes]:
    """The answer as it comes out of a filter, with the length that it has then."""
    shown = through.begin(head)
    if shown is None:
        raise RuntimeError("a filter that shows nothing has nothing to do here")
    text = (through.feed(text) if text else b"") + through.end()
    if shown.length < 0:
        shown = with_line(shown, b"Content-Length: %d\r\n" % len(text))
        shown.length = len(text)
    return shown, text


def _redirect(settings: Redirect) -> Compose:
    render = render_field(settings.target)
    names_host = not _NAMES_OF_HOST.isdisjoint(settings.target.names)
    is_local = settings.target.literals[0][:1] in ("", "/")

    def compose(variables: Variables) -> tuple[ResponseHead, bytes] | Failure:
        if names_host and not variables.head.authority:
            return NO_HOST
        target = render(variables).removesuffix(b"?")
        if is_local and target[1:2] in (b"/", b"\\"):  # `//host` would lead wherever the client says
            target = b"/" + target.lstrip(b"/\\")
        return _head(settings.status, b"Location: %b\r\n" % target, b""), b""

    return compose


def _fixed(settings: FixedAnswer, media_type: str) -> Compose:
    status = settings.status
    if settings.text.literals == ("",) and status >= 400:
        failure = Failure(Side.PROXY, status, _reason(status).lower() or "refused")
        return lambda _: failure
    render = render_with(settings.text, _escape_for(media_type))
    content_type = f"Content-Type: {media_type}\r\n".encode("ascii")

    def compose(variables: Variables) -> tuple[ResponseHead, bytes]:
        text = render(variables)
        return _head(status, content_type if text else b"", text), text

    return compose


def _head(status: int, fields: bytes, body: bytes) -> ResponseHead:
    if status not in _WITHOUT_LENGTH:
        fields += b"Content-Length: %d\r\n" % len(body)
    return ResponseHead(status, _reason(status).encode("ascii"), 1, fields, len(body), True)


def _reason(status: int) -> str:
    return _REASONS.get(status, "")


def _escape_for(media_type: str) -> Escape | None:
    """What a client says must stay text in a page, and a string in JSON."""
    name = media_type.partition(";")[0].strip().lower()
    if name.endswith(("html", "xml")):
        return lambda value: html.escape(value.decode("latin-1")).encode("latin-1")
    if name.endswith("json"):
        return lambda value: json.dumps(value.decode("latin-1"))[1:-1].encode("ascii")
    return None
