"""Parsers of what a route says of fields and of answers of its own: `Name: value`, names, redirects, fixed answers.

Pure; knows which variables there are, not where their values come from. What could break the framing of a message is
refused here, so that nothing at run time has to look at names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Final

from wsproxy.config.model import FixedAnswer, HeaderSetting, Redirect, Template
from wsproxy.config.values import Parser, PartError

VARIABLES: Final = {
    "client_ip": "the client's address, as `trusted_proxies` tell it where they stand in between",
    "host": "the host that the client asked for, without its port",
    "hostport": "the same with its port, if it was named",
    "scheme": "`http` or `https`: what the client uses",
    "method": "the request's method",
    "path": "the path as it came, without the query",
    "query": "what stands behind `?`, maybe nothing",
    "uri": "path and query as they came",
    "rest": "the path behind `path_prefix`: nothing, or it begins with `/`",
    "request_id": "the id that the server gets as X-Request-ID",
    "backend": "the server that answered (in `add_header` only)",
}
"""Name and meaning of every variable; besides them there is `{header:NAME}`, a field of the request."""

PROTECTED: Final = frozenset(
    {
        *("connection", "content-length", "http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-key", "sec-websocket-protocol"),
        *("sec-websocket-version",),
    }
)
"""What frames a message, belongs to one connection, or is a handshake's own: no edit may touch it."""

_OF_REQUESTS: Final = PROTECTED | {"expect"}
_REMOVABLE: Final = {"sec-websocket-extensions", "sec-websocket-protocol"}  # offers, which need not be passed on
_REDIRECTS: Final = ("301", "302", "303", "307", "308")
_WITHOUT_BODY: Final = (204, 205, 304)
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_VARIABLE: Final = re.compile(r"\{(?P<name>[a-z_]+)(?::(?P<field>[!#$%&'*+\-.^_`|~0-9A-Za-z]+))?\}")
_STATUS: Final = re.compile(r"([0-9]{3})(?:\s+(.*))?")
_TARGET: Final = re.compile(r"/|https?://|\{(?:path|uri|rest|scheme)\}")
_HOST: Final = re.compile(r"[A-Za-z0-9._~\-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?|\{host(port)?\}")


def template(written: str, offset: int = 0, answered: bool = False) -> Template:
    """Text with `{variables}`; braces around anything else are text. `answered`: a server has answered already.

    offset: where the text begins in its line. Raises PartError.
    """
    literals, names, end = [""], [], 0
    for match in _VARIABLE.finditer(written):
        literals[-1] += written[end : match.start()]
        end = match.end()
        names.append(_known(match, offset, answered))
        literals.append("")
    literals[-1] += written[end:]
    return Template(tuple(literals), tuple(names))


def _known(match: re.Match[str], offset: int, answered: bool) -> str:
    name, field = match["name"], match["field"]
    place = offset + match.start()
    if field is not None:
        if name != "header":
            raise PartError(f"'{match[0]}' is not a variable (write {{header:{field}}} for a field)", place)
        return f"header:{field.lower()}"
    if name not in VARIABLES:
        close = get_close_matches(name, VARIABLES, n=1)
        hint = f" (did you mean '{{{close[0]}}}'?)" if close else f" (there are {', '.join(VARIABLES)}, header:NAME)"
        raise PartError(f"'{match[0]}' is not a variable{hint}", place)
    if name == "backend" and not answered:
        raise PartError("'{backend}' has no value before a server has answered (it can stand in add_header)", place)
    return name


def _header(protected: frozenset[str], answered: bool) -> Callable[[str], tuple[HeaderSetting]]:
    def parse(written: str) -> tuple[HeaderSetting]:
        name, colon, value = (part.strip() for part in written.partition(":"))
        if not colon or _TOKEN.fullmatch(name) is None:
            raise ValueError(f"'{written}' is not a header (write 'Name: value')")
        if not value:
            raise ValueError(f"'{written}' has no value after ':' (a key remove_… takes fields away)")
        _check_name(name, protected)
        _check_text(value)
        if name.lower() == "host" and not answered and _HOST.fullmatch(value) is None:
            raise ValueError(f"'{value}' is not a Host (write name, name:port, {{host}} or {{hostport}})")
        offset = len(written) - len(written.partition(":")[2].lstrip())
        return (HeaderSetting(name, template(value, offset, answered)),)

    return parse


def _names(protected: frozenset[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(written: str) -> tuple[str, ...]:
        names = tuple(written.replace(",", " ").split())
        for name in names:
            if _TOKEN.fullmatch(name) is None:
                raise ValueError(f"'{name}' is not the name of a field (write Server, X-Powered-By)")
            _check_name(name, protected)
        return tuple(name.lower() for name in names)

    return parse


def _check_name(name: str, protected: frozenset[str]) -> None:
    if name.lower() in protected:
        raise ValueError(f"'{name}' cannot be edited (it belongs to the connection or to the framing of a message)")


def _check_text(value: str) -> None:
    if not (value.isascii() and value.replace("\t", " ").isprintable()):
        raise ValueError(f"'{value}' holds characters beyond ASCII, which a field cannot be relied on to carry")


def _redirect(written: str) -> Redirect:
    match = _STATUS.fullmatch(written)
    status, target = ("302", written) if match is None else (match[1], match[2] or "")
    if status not in _REDIRECTS:
        raise ValueError(f"'{status}' is not a redirect ({', '.join(_REDIRECTS)})")
    if _TARGET.match(target) is None or target.startswith("//"):
        raise ValueError(f"'{target}' is not where a redirect can lead (write https://host/path or /path)")
    if re.search(r"\s", target):
        raise ValueError(f"'{target}' holds white space (write %20)")
    _check_text(target)
    return Redirect(int(status), template(target, len(written) - len(target)))


def _respond(written: str) -> FixedAnswer:
    match = _STATUS.fullmatch(written)
    if match is None:
        raise ValueError(f"'{written}' is not an answer (write 200 text, or a status alone)")
    status, text = int(match[1]), match[2] or ""
    if not 200 <= status <= 599:
        raise ValueError(f"'{status}' is not the status of an answer (200 to 599)")
    if match[1] in _REDIRECTS:
        raise ValueError(f"'{status}' leads elsewhere (write redirect = {status} https://…)")
    if text and status in _WITHOUT_BODY:
        raise ValueError(f"an answer with {status} has no text")
    return FixedAnswer(status, template(text, len(written) - len(text)))


def _media_type(written: str) -> str:
    if re.fullmatch(r"[\w.+\-]+/[\w.+\-]+(\s*;\s*[\w\-]+=(\"[^\"]*\"|[^\s;]+))*", written, re.ASCII) is None:
        raise ValueError(f"'{written}' is not a media type (write text/html; charset=utf-8)")
    return written


ANSWER_HEADERS: Final = Parser("Name: value, one a line", _header(PROTECTED, answered=True), many=True)
ANSWER_NAMES: Final = Parser("names", _names(PROTECTED), many=True)
REQUEST_HEADERS: Final = Parser("Name: value, one a line", _header(_OF_REQUESTS, answered=False), many=True)
REQUEST_NAMES: Final = Parser("names", _names((_OF_REQUESTS | {"host"}) - _REMOVABLE), many=True)
REDIRECT: Final = Parser("[301 | 302 | 303 | 307 | 308] URL", _redirect)
RESPOND: Final = Parser("status [text]", _respond)
MEDIA_TYPE: Final = Parser("type/subtype", _media_type)
