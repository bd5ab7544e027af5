"""PURE: a configuration as JSON can hold it, with what nobody should read in a browser masked."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import Any, Final

from wsproxy.config.group_settings import Address
from wsproxy.config.model import Config, HeaderMatch, HeaderSetting, Template

MASK: Final = "***"

_SECRET: Final = frozenset({"token", "sticky_secret", "environment", "redis_url", "password"})
"""Fields of settings whose values are secrets, or often hold some."""

_secret_field: Final = re.compile(r"(?i)auth|cookie|key|password|secret|token").search
"""Names of message fields whose values are likewise: what a route asks of a request, or tells its servers."""

_PLACES: Final = ("place", "key_place", "tls_place")
"""Where in the file a setting stands: for messages."""


def shown(config: Config) -> dict[str, Any]:
    """Every setting by its name in the model, durations in seconds (`_s`), sizes in bytes (`_bytes`)."""
    content: dict[str, Any] = _plain(config)
    return content


def _plain(value: Any) -> Any:
    if isinstance(value, Address | Template):
        return str(value)
    if isinstance(value, HeaderMatch | HeaderSetting):
        is_masked = value.value is not None and _secret_field(value.name) is not None
        return {"name": value.name, "value": MASK if is_masked else _plain(value.value)}
    if is_dataclass(value):
        return {
            each.name: _masked(each.name, getattr(value, each.name))
            for each in fields(value)
            if each.name not in _PLACES
        }
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)  # networks


def _masked(name: str, value: Any) -> Any:
    if name not in _SECRET or not value:
        return _plain(value)
    if name == "environment":
        return [[variable, MASK] for variable, _ in value]
    return MASK
