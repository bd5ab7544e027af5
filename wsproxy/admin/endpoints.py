"""The table of the API: every method and path, what it takes and gives, and who may ask.

Data alone: the one source of routing, of what a body may hold, and of the OpenAPI document.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, get_args

from wsproxy.observe.snapshot import BackendState

Schema = Mapping[str, Any]
"""As JSON Schema has it."""

_TEXT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 1024}
_URL: Final[Schema] = {**_TEXT, "pattern": r"^https?://[!-.0-~]+(/[!-~]*)?$", "examples": ["http://host/path"]}
_NAME: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 256}
_WEIGHT: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": 1000}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_SECONDS: Final[Schema] = {"type": "number", "minimum": 0}
_FLAG: Final[Schema] = {"type": "boolean"}
_LINES: Final[Schema] = {"type": "array", "items": {"type": "string"}}


class Access(Enum):
    """Who may ask."""

    OPEN = "anybody"
    METRICS = "whom metrics_allow names, and callers"
    CALLER = "callers with the token or a session"


def obj(properties: Mapping[str, Schema], *needed: str) -> Schema:
    """A JSON object with these properties and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(needed),
        "additionalProperties": False,
    }


def full(properties: Mapping[str, Schema]) -> Schema:
    """An object that has all of these."""
    return obj(properties, *properties)


def listed(item: Schema) -> Schema:
    """An array."""
    return {"type": "array", "items": item}


CARRIED: Final = full(
    {"messages": _COUNT, "texts": _COUNT, "data_bytes": _COUNT, "pings": _COUNT, "pongs": _COUNT},
)

BACKEND: Final = full(
    {
        "url": {"type": "string"},
        "alive": _FLAG,
        "current_connections": _COUNT,
        "group": {"type": "string"},
        "name": {"type": "string"},
        "state": {"type": "string", "enum": list(get_args(BackendState))},
        "weight": _COUNT,
        "websockets": _COUNT,
        "tcp_connections": _COUNT,
        "workers": _COUNT,
        "idle_workers": _COUNT,
        "max_workers": _COUNT,
        "queue": _COUNT,
        "queue_size": _COUNT,
        "requests": _COUNT,
        "failures": _COUNT,
        "probes": full({"good": _COUNT, "bad": _COUNT, "flips": _COUNT, "reason": {"type": "string"}}),
        "ejections": _COUNT,
        "breaker_opened": _COUNT,
        "unreachable": _FLAG,
        "added": _FLAG,
    }
)

SESSION: Final = full(
    {
        "id": {"type": "string"},
        "route": {"type": "string"},
        "backend": {"type": "string"},
        "peer": {"type": "string"},
        "age_s": _SECONDS,
        "idle_s": _SECONDS,
        "closing": _FLAG,
        "client": CARRIED,
        "upstream": CARRIED,
        "round_trip_s": {"type": ["number", "null"]},
        "inspected": _FLAG,
    }
)

TAPPED: Final = full(
    {
        "id": {"type": "string"},
        "left_s": _SECONDS,
        "frames": listed(
            full(
                {
                    "at": _SECONDS,
                    "sender": {"type": "string", "enum": ["client", "upstream"]},
                    "kind": {"type": "string"},
                    "size_bytes": _COUNT,
                    "preview": {"type": "string"},
                    "is_text": _FLAG,
                }
            )
        ),
    }
)

ERROR: Final = full({"error": {"type": "string"}})

SERVER: Final = full(
    {
        "group": {"type": "string"},
        "name": {"type": "string"},
        "state": {"type": "string", "enum": ["starting", "ready", "waiting", "failed", "leaving"]},
        "pid": _COUNT,
        "restarts": _COUNT,
        "cpu_s": _SECONDS,
        "memory_bytes": _COUNT,
    }
)

FOUND: Final = full(
    {"source": {"type": "string"}, "servers": _COUNT, "at": {"type": "number"}, "errors": _COUNT},
)

TCP: Final = full(
    {
        "name": {"type": "string"},
        "group": {"type": "string"},
        "open": _COUNT,
        "ended": {"type": "object", "additionalProperties": _COUNT},
        "client_bytes": _COUNT,
        "upstream_bytes": _COUNT,
    }
)

STATUS: Final = full(
    {
        "total_backends": _COUNT,
        "active_backends": _COUNT,
        "backends": listed(BACKEND),
        "version": {"type": "string"},
        "phase": {"type": "string", "enum": ["starting", "running", "stopping"]},
        "uptime_s": _SECONDS,
        "connections": _COUNT,
        "websockets": _COUNT,
        "cache": {"type": ["object", "null"]},
        "requests": _COUNT,
        "servers": listed(SERVER),
        "processes": listed(full({"pid": _COUNT, "uptime_s": _SECONDS, "memory_bytes": _COUNT})),
        "process_deaths": _COUNT,
        "trouble": {"type": "string"},
        "tcp": listed(TCP),
        "discovery": {"type": "object", "additionalProperties": FOUND},
        "scaling": {"type": "object", "additionalProperties": {"type": "number"}},
    }
)

CHANGED: Final = full({"backend": BACKEND, "note": {"type": "string"}})

_RELOAD: Final = full(
    {"done": _FLAG, "kept": _LINES, "changed": _LINES, "added": _LINES, "removed": _LINES, "problems": _LINES}
)
_HEALTH: Final = full({"status": {"type": "string"}})
_SWITCHES: Final = full({"monitoring": _FLAG, "scaling": {"type": ["boolean", "null"]}})
_ONE_BACKEND: Final = obj({"backend": _TEXT, "group": _NAME}, "backend")
_SELECTION: Final = {"route": _NAME, "group": _NAME, "backend": _TEXT}


NAMED: Final = _NAME
"""What stands for a `{name}` in a path."""

_place: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path.

    path: `{name}` in it stands for anything that is not empty. action: the name of what answers. takes: the schema of
    the JSON body, None for none. query: of the parameters. gives: status -> schema of the answer, None where it is no
    JSON; errors besides those that all have.
    """

    method: str
    path: str
    action: str
    summary: str
    gives: Mapping[int, Schema | None]
    takes: Schema | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)
    access: Access = Access.CALLER

    @property
    def names(self) -> list[str]:
        """Those that stand as `{name}` in the path."""
        return _place.findall(self.path)

    def named(self, path: str) -> dict[str, str] | None:
        """What a path has in their places; None where it is another path."""
        if "{" not in self.path:
            return {} if path == self.path else None
        found = re.fullmatch(_place.sub(r"(?P<\1>[^/]+)", self.path), path)
        return None if found is None else found.groupdict()


def _change(verb: str, summary: str) -> Endpoint:
    gives = {200: CHANGED, 400: ERROR, 404: ERROR}
    return Endpoint("POST", f"/backends/{verb}", f"{verb}_backend", summary, gives, _ONE_BACKEND)


ENDPOINTS: Final = (
    Endpoint("GET", "/status", "status", "Every backend, and sums of the whole", {200: STATUS}),
    Endpoint("GET", "/backends", "backends", "Every backend", {200: full({"backends": listed(BACKEND)})}),
    Endpoint(
        "POST",
        "/backends",
        "add_backend",
        "Take a server in; without a group into `http`, else into the only one",
        {201: CHANGED, 400: ERROR, 404: ERROR, 409: ERROR},
        obj({"url": _TEXT, "group": _NAME, "weight": _WEIGHT}, "url"),
    ),
    Endpoint(
        "DELETE",
        "/backends",
        "remove_backend",
        "Drain a server and let it go; the answer says what it still holds",
        {
            200: full(
                {
                    "removed": {"type": "string"},
                    "left": full({"requests": _COUNT, "websockets": _COUNT}),
                    "backends": listed(BACKEND),
                    "note": {"type": "string"},
                }
            ),
            400: ERROR,
            404: ERROR,
        },
        obj({"url": _TEXT, "group": _NAME}, "url"),
    ),
    _change("enable", "Let a backend have work again"),
    _change("disable", "Give a backend nothing new; its WebSockets stay"),
    _change("drain", "Give a backend nothing new, and close its WebSockets with 1012 at their route's pace"),
    Endpoint(
        "POST",
        "/backends/weight",
        "weigh_backend",
        "Change a backend's share",
        {200: CHANGED, 400: ERROR, 404: ERROR},
        obj({"backend": _TEXT, "group": _NAME, "weight": _WEIGHT}, "backend", "weight"),
    ),
    Endpoint(
        "GET",
        "/sessions",
        "sessions",
        "WebSockets, the longest idle first",
        {200: full({"sessions": listed(SESSION)}), 400: ERROR},
        query={**_SELECTION, "limit": {"type": "integer", "minimum": 1, "maximum": 10_000}},
    ),
    Endpoint(
        "POST",
        "/sessions/close",
        "close_session",
        "Close a WebSocket, with 1008 unless another code is asked for",
        {200: full({"closed": {"type": "string"}}), 400: ERROR, 404: ERROR, 503: ERROR},
        obj(
            {
                "id": _TEXT,
                "code": {"type": "integer", "minimum": 1000, "maximum": 4999},
                "reason": {"type": "string", "maxLength": 40},
            },
            "id",
        ),
    ),
    Endpoint(
        "POST",
        "/sessions/drain",
        "drain_sessions",
        "Close WebSockets with 1012 at their route's pace: all that fit each name given",
        {200: full({"draining": _COUNT}), 400: ERROR, 503: ERROR},
        obj(_SELECTION),
    ),
    Endpoint(
        "POST",
        "/websockets/{id}/tap",
        "tap_session",
        "Note the last 100 frames of a WebSocket for a while (10m at most), where its route has inspect = yes",
        {200: TAPPED, 404: ERROR, 409: ERROR, 503: ERROR},
        query={"for": {"type": "string", "pattern": "^[1-9][0-9]{0,4}(ms|s|m)?$", "maxLength": 8}},
    ),
    Endpoint(
        "GET",
        "/websockets/{id}/tap",
        "tapped_session",
        "What a tap has noted, until ten minutes after its end",
        {200: TAPPED, 404: ERROR, 503: ERROR},
    ),
    Endpoint(
        "POST",
        "/cache/purge",
        "purge_cache",
        "Forget the answers of a URL and those with a tag (Cache-Tag, Surrogate-Key); without either all that are kept",
        {200: full({"purged": _COUNT}), 400: ERROR, 409: ERROR, 503: ERROR},
        obj({"url": _URL, "tag": _TEXT}),
    ),
    Endpoint("GET", "/switches", "switches", "What is switched on; null: there is no such thing", {200: _SWITCHES}),
    Endpoint(
        "POST",
        "/switches",
        "switch",
        "Switch monitoring or scaling on or off",
        {200: _SWITCHES, 400: ERROR, 409: ERROR},
        obj({"monitoring": _FLAG, "scaling": _FLAG}),
    ),
    Endpoint(
        "POST",
        "/reload",
        "reload",
        "Read the configuration again; with dry_run only say what that would change",
        {200: _RELOAD, 400: ERROR, 409: _RELOAD},
        query={"dry_run": {"type": "string", "enum": ["0", "1"]}},
    ),
    Endpoint("GET", "/config", "config", "The running configuration, secrets masked", {200: {"type": "object"}}),
    Endpoint("GET", "/healthz", "healthz", "Whether the process lives", {200: _HEALTH}, access=Access.OPEN),
    Endpoint(
        "GET",
        "/readyz",
        "readyz",
        "Whether it wants traffic; with while_accepting whether it takes it, which is longer by drain_delay",
        {200: _HEALTH, 503: _HEALTH},
        query={"while_accepting": {"type": "string", "enum": ["0", "1"]}},
        access=Access.OPEN,
    ),
    Endpoint("GET", "/metrics", "metrics", "The metrics, for prometheus", {200: None}, access=Access.METRICS),
    Endpoint("GET", "/openapi.json", "openapi", "This document", {200: {"type": "object"}}),
)
"""Besides: `GET /live` (a WebSocket), for browsers `POST /login` and `POST /logout`, and the dashboard's files."""
