"""Where a request that came in plain text is sent instead: the same host and target over https.

Pure. The parts come from a request head that the codec has let through, so they hold no space and no control character,
and the host is `host[:port]` or empty; nothing else of the client goes into the answer.
"""

from __future__ import annotations

from typing import Final

from wsproxy.http.messages import MalformedRequestError, RequestHead

HTTPS_PORT: Final = 443
_KEEP_THEIR_METHOD: Final = frozenset({b"GET", b"HEAD"})  # a 301 may turn any other into GET (RFC 9110 section 15.4.2)


class HttpsRequiredError(MalformedRequestError):
    """The request has to come over https; `status` is the answer and `fields` its Location line."""

    def __init__(self, status: int, fields: bytes) -> None:
        super().__init__(status, "this site is served over https", fields)


def https_required(head: RequestHead, port: int) -> HttpsRequiredError:
    """The redirect of a request to the frontend on `port`. Raises MalformedRequestError when it names no host."""
    if not head.authority:
        raise MalformedRequestError(400, "no Host to redirect to")
    host = head.authority
    if (colon := host.rfind(b":")) > host.rfind(b"]"):  # an IPv6 address keeps its own colons in brackets
        host = host[:colon]
    if port != HTTPS_PORT:
        host = b"%b:%d" % (host, port)
    target = head.target if head.target.startswith(b"/") else b"/"  # `OPTIONS *`
    status = 301 if head.method in _KEEP_THEIR_METHOD else 308
    return HttpsRequiredError(status, b"Location: https://%b%b\r\n" % (host, target))
