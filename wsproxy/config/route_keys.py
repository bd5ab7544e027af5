"""The keys of a route that change messages on their way, or answer in place of servers.

Pure, and data alone: a part of `schema`.
"""

from __future__ import annotations

from typing import Final

from wsproxy.config import model
from wsproxy.config.keys import Key, Table
from wsproxy.config.templates import (
    ANSWER_HEADERS,
    ANSWER_NAMES,
    MEDIA_TYPE,
    REDIRECT,
    REQUEST_HEADERS,
    REQUEST_NAMES,
    RESPOND,
)
from wsproxy.config.values import BOOLEAN, METHODS

ROUTE_EDITS: Final = (
    Key("strip_prefix", BOOLEAN, "no", "take path_prefix off the forwarded path"),
    Key("add_header", ANSWER_HEADERS, None, "fields to add to answers, {variables} in them", field="add_headers"),
    Key("remove_header", ANSWER_NAMES, None, "fields to take off answers, before any is added", field="remove_headers"),
    Key(
        "set_request_header",
        REQUEST_HEADERS,
        None,
        "fields that forwarded requests get instead of what they have",
        field="set_request_headers",
    ),
    Key(
        "remove_request_header",
        REQUEST_NAMES,
        None,
        "fields to take off forwarded requests",
        field="remove_request_headers",
    ),
    Key("rewrite_redirects", BOOLEAN, "no", "servers' own URLs in Location and the like become the client's"),
    Key("rewrite_cookies", BOOLEAN, "no", "Domain and Path of servers' cookies become the client's"),
)
"""On requests and answers of every kind of route, handshakes included."""

ANSWER_EDITS: Final = tuple(key for key in ROUTE_EDITS if key.name in {"add_header", "remove_header"})
"""Those that mean something without a server."""

HTTP_ROUTE: Final = Table(
    model.RouteSettings,
    (
        Key("method", METHODS, None, "matches requests with these methods; GET stands for HEAD too", field="methods"),
        Key("redirect", REDIRECT, None, "sends clients elsewhere, {variables} in it; such a route has no servers"),
        Key("respond", RESPOND, None, "answers by itself, {variables} in the text; such a route has no servers"),
        Key("respond_type", MEDIA_TYPE, "text/plain; charset=utf-8", "Content-Type of that answer"),
    ),
)
"""What only `[http…]` routes have."""
