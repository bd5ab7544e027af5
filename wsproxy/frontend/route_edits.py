"""What a route does to requests and answers besides choosing a server: made from its settings, at start and at reload.

Knows exchanges and groups; what an edit does to a head is in `http`.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Final

from wsproxy.backend.group import Group
from wsproxy.config.model import RouteSettings
from wsproxy.exchange import Exchange, HeadEdit
from wsproxy.frontend.route import Preparation
from wsproxy.http.head_edits import RequestEdits, ResponseEdits, uses_variables
from wsproxy.http.messages import ResponseHead
from wsproxy.http.rewriting import OwnUrls, may_hold_urls, with_own_cookies, with_own_redirects
from wsproxy.http.variables import Variables

_PLAIN_HTTP: Final = "http"


def preparation(settings: RouteSettings) -> Preparation | None:
    """What a route needs to have done to its requests, or None."""
    edits = RequestEdits(settings) if RequestEdits.are_needed(settings) else None
    answers_itself = settings.redirect is not None or settings.respond is not None
    if edits is None and not answers_itself and not uses_variables(settings.add_headers):
        return None

    def prepare(exchange: Exchange, client_ip: str, scheme: str) -> None:
        exchange.variables = variables = Variables(
            exchange.head, client_ip, scheme, exchange.request_id, settings.path_prefix
        )
        if edits is not None:
            exchange.sent, exchange.identity = edits.apply(exchange.head, exchange.identity, variables)

    return prepare


def answer_edits(settings: RouteSettings, group: Group) -> Iterator[HeadEdit]:
    """What a route does to the heads of answers, in order: servers' URLs first, then what the operator says."""
    if settings.rewrite_redirects or settings.rewrite_cookies:
        yield _rewriting(settings, group)
    if ResponseEdits.are_needed(settings):
        edits = ResponseEdits(settings)

        def edit(response: ResponseHead, exchange: Exchange) -> ResponseHead:
            variables = _variables(exchange)
            variables.backend = exchange.backend_name
            return edits.apply(response, variables)

        yield edit


def _variables(exchange: Exchange) -> Variables:
    """Those of the exchange; what nobody has prepared knows the peer alone."""
    variables = exchange.variables
    if variables is None:
        peer = exchange.client.peer
        variables = Variables(exchange.head, peer, _PLAIN_HTTP, exchange.request_id, exchange.route.path_prefix)
    return variables


def _rewriting(settings: RouteSettings, group: Group) -> HeadEdit:
    prefix = settings.path_prefix.rstrip("/").encode("ascii") if settings.strip_prefix else b""

    def rewrite(response: ResponseHead, exchange: Exchange) -> ResponseHead:
        backend = group.backends.get(exchange.backend_name)
        if backend is None or not may_hold_urls(response):
            return response
        address = backend.settings.address
        authority = (address.authority or ("" if address.unix_path else str(address))).encode("ascii")
        asked = authority if address.authority and not settings.preserve_host else exchange.sent.authority
        scheme = b"https" if address.tls else b"http"
        urls = OwnUrls(scheme, authority, address.base_path.encode("ascii"), prefix, asked)
        shown = copy(response)
        if settings.rewrite_redirects:
            shown.fields = with_own_redirects(shown, urls)
        if settings.rewrite_cookies:
            shown.fields = with_own_cookies(shown, urls)
        return shown

    return rewrite
