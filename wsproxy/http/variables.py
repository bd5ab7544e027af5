"""What the templates of a route may say of a request, and templates made ready to be filled in.

Pure. Values come from heads that a codec has let through, so they hold no line end; a template for a field takes what
could end a line out once more, so that no value of a client can ever become a field of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from wsproxy.config.model import Template
from wsproxy.http.messages import RequestHead, field_values
from wsproxy.http.target import normal_path

_LINE_ENDS: Final = b"\r\n\0"
_FIELD: Final = "header:"


class Variables:
    """One request, as templates see it. backend: the server that has answered, once one has."""

    __slots__ = ("backend", "client_ip", "head", "path_prefix", "request_id", "scheme")

    def __init__(self, head: RequestHead, client_ip: str, scheme: str, request_id: bytes, path_prefix: str) -> None:
        self.head = head
        self.client_ip = client_ip
        self.scheme = scheme
        self.request_id = request_id
        self.path_prefix = path_prefix
        self.backend = ""


Value = Callable[[Variables], bytes]
Render = Callable[[Variables], bytes]
Escape = Callable[[bytes], bytes]


def host_of(authority: bytes) -> bytes:
    """A Host value without its port; an IPv6 address keeps its brackets."""
    colon = authority.rfind(b":")
    return authority[:colon] if colon > authority.rfind(b"]") else authority


def rest_of(target: bytes, path_prefix: str) -> bytes:
    """The path of a target behind a prefix that it matches: b"", or it begins with a slash; never with the query.

    Spelled as routes see it, which is as it came but for needless escapes and dot segments: no `..` that was resolved
    for the match goes on without what it led out of.
    """
    path = normal_path(target)
    if path == "*":
        return b""
    return path[len(path_prefix.rstrip("/")) :].encode("latin-1")


def without_prefix(target: bytes, path_prefix: str) -> bytes:
    """A target without the prefix that its path matches; `/` where nothing is left."""
    if target == b"*":
        return target
    _, mark, query = target.partition(b"?")
    return (rest_of(target, path_prefix) or b"/") + mark + query


def render_with(template: Template, escape: Escape | None = None) -> Render:
    """Ready to be filled in. escape: for values, where what they stand in gives characters a meaning."""
    literals = [literal.encode("utf-8") for literal in template.literals]
    if not template.names:
        return lambda _: literals[0]
    values = [_value(name) for name in template.names]
    if escape is not None:
        values = [_escaped(value, escape) for value in values]
    pairs = list(zip(values, literals[1:], strict=True))

    def render(variables: Variables) -> bytes:
        return literals[0] + b"".join(value(variables) + literal for value, literal in pairs)

    return render


def render_field(template: Template) -> Render:
    """The same for the value of a field: one line, without white space around it."""
    render = render_with(template)
    if not template.names:
        return render
    return lambda variables: render(variables).translate(None, _LINE_ENDS).strip(b" \t")


def _escaped(value: Value, escape: Escape) -> Value:
    return lambda variables: escape(value(variables))


def _value(name: str) -> Value:
    if name.startswith(_FIELD):
        field = name.removeprefix(_FIELD).encode("ascii")
        return lambda variables: b", ".join(field_values(variables.head.fields, field))
    return VALUES[name]


def _path(variables: Variables) -> bytes:
    path = variables.head.target.partition(b"?")[0]
    return path if path.startswith(b"/") else b"/"  # `OPTIONS *`


def _uri(variables: Variables) -> bytes:
    target = variables.head.target
    return target if target.startswith(b"/") else b"/"


VALUES: Final[Mapping[str, Value]] = {
    "client_ip": lambda variables: variables.client_ip.encode("latin-1", "replace"),
    "host": lambda variables: host_of(variables.head.authority),
    "hostport": lambda variables: variables.head.authority,
    "scheme": lambda variables: variables.scheme.encode("ascii"),
    "method": lambda variables: variables.head.method,
    "path": _path,
    "query": lambda variables: variables.head.target.partition(b"?")[2],
    "uri": _uri,
    "rest": lambda variables: rest_of(variables.head.target, variables.path_prefix),
    "request_id": lambda variables: variables.request_id,
    "backend": lambda variables: variables.backend.encode("latin-1", "replace"),
}
"""Where the value of each name comes from; the names are those of `config.templates`."""
