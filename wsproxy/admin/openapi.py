"""The OpenAPI document of the admin API, made of the endpoint table."""

from __future__ import annotations

from typing import Any

import wsproxy
from wsproxy.admin.endpoints import ENDPOINTS, ERROR, NAMED, Access, Endpoint, Schema
from wsproxy.http.replies import REASONS


def document() -> dict[str, Any]:
    """As OpenAPI 3.1 wants it."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "wsproxy admin API", "version": wsproxy.__version__},
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    answers = sorted({**_usual(endpoint), **endpoint.gives}.items())
    operation: dict[str, Any] = {
        "operationId": endpoint.action,
        "summary": endpoint.summary,
        "responses": {str(status): _response(status, schema) for status, schema in answers},
    }
    if endpoint.access is not Access.OPEN:
        operation["security"] = [{"token": []}]
    if endpoint.takes is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": endpoint.takes}}}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": NAMED} for name in endpoint.names
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": schema} for name, schema in endpoint.query.items()
    ]
    if parameters:
        operation["parameters"] = parameters
    return operation


def _usual(endpoint: Endpoint) -> dict[int, Schema | None]:
    """What every endpoint of a kind may answer."""
    usual: dict[int, Schema | None] = {}
    if endpoint.access is not Access.OPEN:
        usual.update({401: ERROR, 403: ERROR})
    if endpoint.takes is not None:
        usual.update({400: ERROR, 413: ERROR, 415: ERROR})
    else:
        usual.update({400: ERROR, 414: ERROR})  # parameters that are none, or too long
    return usual


def _response(status: int, schema: Schema | None) -> dict[str, Any]:
    media_type, content = ("text/plain", {"type": "string"}) if schema is None else ("application/json", schema)
    return {"description": REASONS.get(status, ""), "content": {media_type: {"schema": content}}}
