"""What FastAPI cannot write of the OpenAPI document: plain routes, by the schemas of their decoders, and all answers."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI

from ..manual.items import BulkItem, Item
from .answers import ANSWERS, REFUSALS, ApiError

__all__ = ["described"]

_REF = "#/components/schemas/{name}"

_SECURITY = {
    "xProxy-api-key": {"type": "apiKey", "in": "header", "name": "xProxy-api-key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}

_HEADERS = (
    "xProxy-Limit-IDs",
    "xProxy-Request-Tags",
    "xProxy-User-ID",
    "xProxy-Account-Name",
    "xProxy-UseCase-Name",
    "xProxy-UseCase-ID",
    "xProxy-UseCase-Version",
    "xProxy-UseCase-Step",
    "xProxy-UseCase-Properties",
    "xProxy-Request-Properties",
    "xProxy-Resource-Scope",
)


def described(app: FastAPI) -> None:
    """Have the document of an application tell of its plain routes, of keys, and of errors as they are."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            _complete(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> None:
    components, paths = document.setdefault("components", {}), document["paths"]
    kinds = [Item, BulkItem, ApiError, *ANSWERS.values(), *REFUSALS.values()]
    (single, bulk, error, *answers), schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    theirs = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        theirs.pop(name, None)
    assert not theirs.keys() & schemas.keys(), "one name would be two schemas"
    theirs.update(schemas)
    components["securitySchemes"] = _SECURITY
    document["security"] = [{name: []} for name in _SECURITY]
    _plain_routes(paths, single, bulk)
    for path, methods in paths.items():
        for operation in methods.values():
            _with_errors(operation, path, error)
    for (method, path), schema in zip(ANSWERS, answers[: len(ANSWERS)], strict=True):
        paths[path][method.lower()]["responses"]["200"]["content"] = _json(schema)
    for (method, path), schema in zip(REFUSALS, answers[len(ANSWERS) :], strict=True):
        paths[path][method.lower()]["responses"]["400"]["content"] = _json({"anyOf": [schema, error]})


def _plain_routes(paths: dict[str, Any], single: dict[str, Any], bulk: dict[str, Any]) -> None:
    array = {"type": "array", "items": bulk}
    headers = [{"name": name, "in": "header", "schema": {"type": "string"}} for name in _HEADERS]
    paths["/api/v1/ingest"] = _post(
        "One event; for whom stands in headers.", "application/json", single, _ITEM, headers
    )
    paths["/api/v1/ingest/bulk"] = _post("Many events; errors are told by index.", "application/json", array, [_ITEM])
    paths["/api/v1/ingest/bulk-upsert"] = _post(
        "Many events; those that are there already are corrected.", "application/json", array, [_ITEM]
    )
    lines = "Events of payi-middleware, one a line; errors are told by line."
    paths["/api/v1/events"] = _post(lines, "application/x-ndjson", {"type": "string"}, _LINE)


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _post(
    summary: str,
    media_type: str,
    schema: dict[str, Any],
    example: object,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "tags": ["ingest"],
            "parameters": parameters or [],
            "requestBody": {"content": {media_type: {"schema": schema, "example": example}}},
            "responses": {"200": {"description": "Stored."}},
        }
    }


def _with_errors(operation: dict[str, Any], path: str, error: dict[str, Any]) -> None:
    """Pay-i's errors in place of FastAPI's 422, which is never answered. Only what a path names can be missing."""
    responses = operation["responses"]
    responses.pop("422", None)
    for status, description in _ERRORS.items():
        if status != "404" or "{" in path:
            responses[status] = {"description": description, "content": _json(error)}
    for status in ("429", "503"):
        responses[status]["headers"] = {"Retry-After": _RETRY_AFTER}


_ITEM = {"category": "system.openai", "resource": "gpt-4o", "units": {"text": {"input": 1000, "output": 100}}}

_LINE = (
    '{"schema": 1, "event_id": "01a0c450-6c00-7001-8000-000000000000", "application": "shop", "origin": "request", '
    '"started_at": "2026-09-21T14:13:20Z", "ended_at": "2026-09-21T14:13:21Z", "provider": "openai", '
    '"category": "system.openai", "resource": "gpt-4o", "outcome": "ok", "units": {"text": {"input": 1000, "output": 100}}, '
    '"cost_source": "none"}\n'
)

_ERRORS = {
    "400": "The request is wrong; the code tells how.",
    "401": "No key, or one that is unknown or revoked.",
    "403": "The key's role may not do this.",
    "404": "There is no such thing.",
    "413": "The body is too large, or unpacks to too much.",
    "415": "The body's Content-Encoding cannot be undone here.",
    "429": "The key asks for more, or brings more events, than it may in a second.",
    "503": "The store cannot be written now.",
}

_RETRY_AFTER = {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
