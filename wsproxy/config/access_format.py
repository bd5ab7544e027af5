"""The form of access lines: the fields there are, the two forms that come ready-made, and templates of one's own.

Pure. Knows the names of fields, not where their values come from. A template is text with `$field` in it; `json` alone
is an object with every field, `json $status $total_ms` one with those.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from wsproxy.config.model import AccessFormat, LineTemplate
from wsproxy.config.values import Parser, PartError

FIELDS: Final[Mapping[str, str]] = {
    "time": "when the line was made: `21/Nov/2026:06:39:21 +0000`",
    "time_iso": "the same as `2026-11-21T06:39:21+0000`",
    "event": "`request`, `ws_open`, `ws_close`, or `tcp` for a connection of `[tcp:NAME]` that is over",
    "client": "the client's address, as `trusted_proxies` tell it where they stand in between",
    "request": "method, target and protocol: `GET /a?b=c HTTP/1.1`",
    "method": "the method",
    "target": "path and query as they came; values of parameters that look like secrets are `***`",
    "protocol": "`HTTP/1.1` or `HTTP/1.0`",
    "host": "the host that was asked for, with its port if it was named",
    "referer": "the Referer field, masked like the target",
    "user_agent": "the User-Agent field",
    "status": "what the client was answered; 499: it had left; 0: it got nothing",
    "sent_bytes": "bytes sent to the client, heads and chunk framing included",
    "request_bytes": "bytes of the request's body, as far as it was read",
    "route": "the section that matched",
    "backend": "the server that had the request last",
    "attempts": "servers that had it, the last one included",
    "termination": "who ended it, and when: two letters",
    "queue_ms": "milliseconds of waiting for a worker, over all attempts",
    "connect_ms": "milliseconds of connecting; nothing when a connection was open already",
    "first_byte_ms": "milliseconds from the request's first byte to the head of the answer, over all attempts",
    "total_ms": "milliseconds from the request's head to the answer's end; for `ws_close`, the WebSocket's life",
    "request_id": "the id that the server got as X-Request-ID",
    "trace_id": "the trace id of the request's traceparent field",
    "cache": "what the cache did: `hit`, `miss`, `expired`, `revalidated`, `stale`, `collapsed` or `bypass`",
    "reason": "what went wrong, in words that the client may read too",
    "client_messages": "messages that the client has sent (`ws_close` only, like all that follow but bytes)",
    "client_bytes": "bytes of payload in them; for `tcp`, all that the client has sent",
    "upstream_messages": "messages that the server has sent",
    "upstream_bytes": "bytes of payload in them; for `tcp`, all that the server has sent",
    "closed_by": "`client`, `upstream` or `proxy`: who closed, or was lost, first",
    "close_code": "the code it closed with: 1005 without one, 1006 when it was lost",
    "client_close_code": "the code of the client's own Close, be it an echo",
    "upstream_close_code": "the code of the server's own Close, be it an echo",
}
"""Name and meaning of every field; the manual is made from it."""

NUMBERS: Final = frozenset(
    {"status", "sent_bytes", "request_bytes", "attempts", "queue_ms", "connect_ms", "first_byte_ms", "total_ms"}
    | {"client_messages", "client_bytes", "upstream_messages", "upstream_bytes"}
    | {"close_code", "client_close_code", "upstream_close_code"}
)
"""Fields that JSON holds as numbers, null where there is nothing to say."""

_OF_WEBSOCKETS: Final = tuple(FIELDS)[tuple(FIELDS).index("client_messages") :]
_OF_REQUESTS: Final = tuple(name for name in FIELDS if name not in {*_OF_WEBSOCKETS, "time", "request"})

# Combined, so that what reads the logs of other servers reads these, and behind that what only a proxy knows.
_TEXT: Final = (
    '$client - - [$time] "$request" $status $sent_bytes "$referer" "$user_agent" '
    "$event $route $backend $attempts $termination $queue_ms/$connect_ms/$first_byte_ms/$total_ms "
    '$request_id $trace_id "$reason"'
)
_TEXT_CLOSE: Final = (
    " $closed_by $close_code $client_close_code/$upstream_close_code "
    "$client_messages/$client_bytes $upstream_messages/$upstream_bytes"
)

_FIELD: Final = re.compile(r"\$(?:(?P<dollar>\$)|(?P<name>[a-z_]+)?)")


def parse_format(written: str) -> AccessFormat:
    """A template, or `text` or `json`. Raises PartError with the place of what cannot be understood."""
    word, _, rest = written.partition(" ")
    if word == "json":
        return _json_fields(rest, len(word) + 1) if rest.strip() else JSON
    if written == "text":
        return TEXT
    template = _template(written)
    return AccessFormat(template, template)


def _template(written: str) -> LineTemplate:
    literals, fields, end = [""], [], 0
    for match in _FIELD.finditer(written):
        literals[-1] += written[end : match.start()]
        end = match.end()
        if match["dollar"]:
            literals[-1] += "$"
        else:
            fields.append(_known(match["name"], match.start()))
            literals.append("")
    literals[-1] += written[end:]
    if not fields:
        raise PartError(f"'{written}' names no field (write text, json, or a template such as $client $status)", 0)
    return LineTemplate(tuple(literals), tuple(fields))


def _known(name: str | None, offset: int) -> str:
    if name is None:
        raise PartError("'$' stands before no field (write $status, or $$ for a dollar sign)", offset)
    if name not in FIELDS:
        close = get_close_matches(name, FIELDS, n=1)
        hint = f" (did you mean '${close[0]}'?)" if close else f" (there are {', '.join(FIELDS)})"
        raise PartError(f"'${name}' is not a field of access lines{hint}", offset)
    return name


def _json_fields(written: str, offset: int) -> AccessFormat:
    fields = []
    for match in re.finditer(r"\S+", written):
        word = match[0]
        place = offset + match.start()
        if not word.startswith("$"):
            raise PartError(f"'{word}' is not a field (behind json stand fields only: json $status $total_ms)", place)
        name = _known(word[1:], place)
        if name in fields:
            raise PartError(f"'{word}' stands twice", place)
        fields.append(name)
    template = _json(fields)
    return AccessFormat(template, template)


def _json(fields: Iterable[str]) -> LineTemplate:
    """An object on one line. Values of fields hold nothing that JSON would have to escape."""
    names = tuple(fields)
    literals, before = [], "{"
    for name in names:
        quote = "" if name in NUMBERS else '"'
        literals.append(f'{before}"{name}":{quote}')
        before = f"{quote},"
    literals.append(before[:-1] + "}")
    return LineTemplate(tuple(literals), names, is_json=True)


TEXT: Final = AccessFormat(_template(_TEXT), _template(_TEXT + _TEXT_CLOSE))
JSON: Final = AccessFormat(_json(_OF_REQUESTS), _json((*_OF_REQUESTS, *_OF_WEBSOCKETS)))

ACCESS_FORMAT: Final = Parser("text | json | json $field… | template with $field", parse_format)
