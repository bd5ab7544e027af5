"""What a route does to the heads that pass it: a prefix taken off, fields set, added and removed.

Pure. Made once from a route's settings; works on whole canonical blocks, each line of which is `Name: value\r\n`. A
head may be remembered by its connection, so what is changed is a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from typing import Final

from wsproxy.config.model import HeaderSetting, RouteSettings
from wsproxy.http.codec import with_host
from wsproxy.http.headers import CLAIMS
from wsproxy.http.messages import RequestHead, ResponseHead, field_values, remover
from wsproxy.http.variables import Render, Variables, render_field, without_prefix

PREFIX_FIELD: Final = "X-Forwarded-Prefix"
"""Tells a server which part of the path was taken off, as Traefik and the frameworks behind it have it."""


_IDENTITY: Final = {name.decode("ascii") for name in CLAIMS} | {"via"}
"""What the lines that tell of the client may hold."""


class RequestEdits:
    """What servers get instead of a request's own head."""

    def __init__(self, settings: RouteSettings) -> None:
        self._prefix = settings.path_prefix if settings.strip_prefix else ""
        headers = [header for header in settings.set_request_headers if header.name.lower() != "host"]
        hosts = [header for header in settings.set_request_headers if header.name.lower() == "host"]
        self._host = render_field(hosts[-1].value) if hosts else None
        self._set = _rendering(headers)
        taken = {*settings.remove_request_headers, *(header.name.lower() for header in headers)}
        self._fixed = b""
        if self._prefix and PREFIX_FIELD.lower() not in taken:
            taken.add(PREFIX_FIELD.lower())
            self._fixed = f"{PREFIX_FIELD}: {self._prefix.rstrip('/')}\r\n".encode("ascii")
        self._taken = _remover(taken)
        self._taken_of_identity = _remover(taken & _IDENTITY)

    @staticmethod
    def are_needed(settings: RouteSettings) -> bool:
        """Whether a route has any."""
        return settings.strip_prefix or bool(settings.set_request_headers or settings.remove_request_headers)

    def apply(self, head: RequestHead, identity: bytes, variables: Variables) -> tuple[RequestHead, bytes]:
        """The head, and the lines that tell of the client, as servers get them.

        A field whose value turns out empty is removed and not set.
        """
        sent = copy(head)
        if self._prefix:
            sent.target = without_prefix(head.target, self._prefix)
        if self._taken is not None:
            sent.fields = self._taken(sent.fields)
        if self._taken_of_identity is not None:
            identity = self._taken_of_identity(identity)
        sent.fields += self._fixed
        for name, render in self._set:
            if value := render(variables):
                sent.fields += b"%b: %b\r\n" % (name, value)
        if self._host is not None and (host := self._host(variables)):
            with_host(sent, host)
            sent.authority = host
        return sent, identity


class ResponseEdits:
    """What clients get instead of a final answer's own head: some fields less, then some more."""

    def __init__(self, settings: RouteSettings) -> None:
        self._taken = _remover(settings.remove_headers)
        self._added = _rendering(settings.add_headers)
        touched = {*settings.remove_headers, *(header.name.lower() for header in settings.add_headers)}
        self._touches_date = "date" in touched

    @staticmethod
    def are_needed(settings: RouteSettings) -> bool:
        """Whether a route has any."""
        return bool(settings.remove_headers or settings.add_headers)

    def apply(self, head: ResponseHead, variables: Variables) -> ResponseHead:
        """A copy; a field whose value turns out empty is not added."""
        shown = copy(head)
        if self._taken is not None:
            shown.fields = self._taken(shown.fields)
        for name, render in self._added:
            if value := render(variables):
                shown.fields += b"%b: %b\r\n" % (name, value)
        if self._touches_date:
            shown.has_date = bool(field_values(shown.fields, b"date"))
        return shown


def uses_variables(headers: Iterable[HeaderSetting]) -> bool:
    """Whether any value has to be filled in."""
    return any(header.value.names for header in headers)


def _rendering(headers: Iterable[HeaderSetting]) -> list[tuple[bytes, Render]]:
    return [(header.name.encode("ascii"), render_field(header.value)) for header in headers]


def _remover(names: Iterable[str]) -> Callable[[bytes], bytes] | None:
    """What takes all lines of fields with these names away, where there are names."""
    wanted = [name.encode("ascii") for name in sorted(names)]
    return remover(wanted) if wanted else None
