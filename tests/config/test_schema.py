"""The schema against the model and against itself."""

from __future__ import annotations

from dataclasses import MISSING, fields

import pytest

from wsproxy.config import content_keys, schema, server_keys
from wsproxy.config.budget_settings import OverloadSettings
from wsproxy.config.content_settings import CompressionSettings, StaticSettings
from wsproxy.config.group_settings import HealthSettings, ManagedSettings, ServerSettings
from wsproxy.config.keys import Key, SectionKind, Table
from wsproxy.config.model import FrontendSettings, LogSettings, RateLimitSettings, RouteSettings, WebSocketSettings
from wsproxy.config.route_keys import HTTP_ROUTE
from wsproxy.config.schema import SECTIONS

_TABLES = (
    schema.FRONTEND,
    schema.ROUTE,
    HTTP_ROUTE,
    schema.RATE_LIMIT,
    schema.OVERLOAD,
    schema.WEBSOCKET,
    server_keys.POOL,
    server_keys.SERVER,
    server_keys.HEALTH,
    server_keys.MANAGED,
    schema.LOG,
    content_keys.STATIC,
    content_keys.COMPRESSION,
)

# Fields that no key fills as it stands: build sets them, or their key is still to come.
_FILLED_BY_BUILD = {
    FrontendSettings: {"name", "place", "certificates", "error_pages"},
    RouteSettings: {
        *("name", "kind", "group", "frontend", "body_timeout_s", "rate_limit", "websocket", "compression", "static"),
    },
    RateLimitSettings: {"limits", "place"},
    OverloadSettings: set[str](),
    WebSocketSettings: set[str](),
    ServerSettings: {"tls_place", "pool_keys"},
    HealthSettings: set[str](),
    ManagedSettings: set[str](),
    LogSettings: {"access_place"},
    StaticSettings: {"place"},
    CompressionSettings: set[str](),
}


# What the model leaves to its builder: a listener's host, and a path that is None without enable_health_check.
_WITHOUT_MODEL_DEFAULT = {"0.0.0.0", "/healthCheck"}
_FILLING = [(table, key) for table in _TABLES for key in table.keys if key.target]


@pytest.mark.parametrize(
    ("table", "key"),
    [(table, key) for table, key in _FILLING if key.default not in _WITHOUT_MODEL_DEFAULT],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_schemas_defaults_are_the_models(table: Table, key: Key) -> None:
    assert table.settings is not None
    default = {field.name: field for field in fields(table.settings)}[key.target].default
    if key.default is not None:
        assert key.parse(key.default, "/") == default
    elif key.needed or key.name in {"name", "command"}:
        assert default is MISSING
    else:
        assert default in (None, ())


@pytest.mark.parametrize("settings", list(_FILLED_BY_BUILD))
def test_every_field_of_the_model_has_a_key(settings: type) -> None:
    filled = {key.target for table in _TABLES if table.settings is settings for key in table.keys}
    assert {field.name for field in fields(settings)} - filled == _FILLED_BY_BUILD[settings]


@pytest.mark.parametrize("kind", SECTIONS, ids=lambda kind: kind.name)
def test_a_key_stands_once_in_a_section_and_its_default_can_be_read(kind: SectionKind) -> None:
    names = [key.name for key in kind.every_key()]
    assert len(names) == len(set(names))
    for key in (*kind.every_key(), *kind.server_keys):
        assert key.help
        if key.default is not None:
            key.parse(key.default, "/")


def test_how_a_sections_head_is_written() -> None:
    forms = {kind.name: kind.form for kind in SECTIONS}
    assert (forms["log"], forms["http"], forms["group"]) == ("[log]", "[http], [http:NAME]", "[group:NAME]")
