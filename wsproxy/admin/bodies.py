"""Whether a value fits a schema of the endpoint table: the few words of JSON Schema that it uses.

Pure. Says what is wrong in words for a person, with the name of the property.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from wsproxy.admin.endpoints import Schema
from wsproxy.admin.messages import RefusalError

_KINDS: Final[Mapping[str, tuple[type, ...]]] = {"string": (str,), "integer": (int,), "boolean": (bool,)}


def check_body(content: Mapping[str, Any], schema: Schema) -> None:
    """Raises RefusalError(400) for a property that is missing, unknown or of the wrong kind."""
    properties = schema["properties"]
    for name in schema["required"]:
        if name not in content:
            raise RefusalError(400, f"'{name}' is missing")
    for name, value in content.items():
        if name not in properties:
            known = ", ".join(properties) or "none"
            raise RefusalError(400, f"there is no property '{name[:64]}' (known: {known})")
        problem = _problem(value, properties[name])
        if problem is not None:
            raise RefusalError(400, f"'{name}' {problem}")


def read_query(written: Mapping[str, str], schemas: Mapping[str, Schema]) -> dict[str, Any]:
    """The parameters with their values. Raises RefusalError(400)."""
    values: dict[str, Any] = {}
    for name, text in written.items():
        schema = schemas.get(name)
        if schema is None:
            raise RefusalError(400, f"there is no parameter '{name[:64]}' (known: {', '.join(schemas) or 'none'})")
        is_number = schema["type"] == "integer" and text.isascii() and text.isdigit() and len(text) < 10
        value: Any = int(text) if is_number else text
        problem = _problem(value, schema)
        if problem is not None:
            raise RefusalError(400, f"'{name}' {problem}")
        values[name] = value
    return values


def _problem(value: Any, schema: Schema) -> str | None:
    kind = schema["type"]
    if not _is_a(kind, value):
        return f"must be {'an' if kind == 'integer' else 'a'} {kind}"
    if "enum" in schema and value not in schema["enum"]:
        return f"must be one of {', '.join(schema['enum'])}"
    if kind == "string" and not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return f"must have {schema.get('minLength', 0)} to {schema['maxLength']} characters"
    if "pattern" in schema and re.fullmatch(schema["pattern"], value) is None:
        return f"must fit {schema['pattern']}"
    if kind == "integer" and not schema["minimum"] <= value <= schema["maximum"]:
        return f"must be {schema['minimum']} to {schema['maximum']}"
    return None


def _is_a(kind: str, value: Any) -> bool:
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()  # to JSON 1.0 is an integer
    return isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))
