"""The plain routes in the OpenAPI document, by hand: their schemas are those that their decoders use."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI

from ..manual.items import BulkItem, Item

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
    (single, bulk), schemas = msgspec.json.schema_components((Item, BulkItem), ref_template=_REF)
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas, ApiError=_API_ERROR)
    components["securitySchemes"] = _SECURITY
    document["security"] = [{name: []} for name in _SECURITY]
    paths = document["paths"]
    array = {"type": "array", "items": bulk}
    headers = [{"name": name, "in": "header", "schema": {"type": "string"}} for name in _HEADERS]
    paths["/api/v1/ingest"] = _post(
        "One event; for whom stands in headers.", "application/json", single, _ITEM, headers
    )
    paths["/api/v1/ingest/bulk"] = _post(
        "Many events; errors are told by index.", "application/json", array, [_ITEM], answer=_BULK
    )
    paths["/api/v1/ingest/bulk-upsert"] = _post(
        "Many events; those that are there already are corrected.", "application/json", array, [_ITEM], answer=_BULK
    )
    lines = "Events of payi-middleware, one a line; errors are told by line."
    paths["/api/v1/events"] = _post(lines, "application/x-ndjson", {"type": "string"}, _LINE, answer=_LINES)
    for methods in paths.values():
        for operation in methods.values():
            _with_errors(operation)


def _post(
    summary: str,
    media_type: str,
    schema: dict[str, Any],
    example: object,
    parameters: list[dict[str, Any]] | None = None,
    *,
    answer: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "tags": ["ingest"],
            "parameters": parameters or [],
            "requestBody": {"content": {media_type: {"schema": schema, "example": example}}},
            "responses": {"200": {"description": "Stored.", "content": {"application/json": {"schema": answer or {}}}}},
        }
    }


def _with_errors(operation: dict[str, Any]) -> None:
    """Pay-i's errors in place of FastAPI's 422, which is never answered."""
    operation["responses"].pop("422", None)
    error = {"application/json": {"schema": {"$ref": _REF.format(name="ApiError")}}}
    for status, description in _ERRORS.items():
        operation["responses"].setdefault(status, {"description": description, "content": error})


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
    "413": "The body is too large.",
    "503": "The store cannot be written now.",
}

_API_ERROR = {
    "type": "object",
    "required": ["message", "statusCode"],
    "properties": {
        "message": {"type": "string"},
        "statusCode": {"type": "integer"},
        "xproxy_error": {
            "type": "object",
            "properties": {"code": {"type": ["string", "null"]}, "message": {"type": "string"}},
        },
        "xproxy_result": {"type": "object"},
    },
}

_COUNT = {"type": "integer", "minimum": 0}

_BULK = {
    "type": "object",
    "required": ["request_id", "ingest_timestamp", "ingest_count", "error_count", "item_error_count", "total_count"],
    "properties": {
        "request_id": {"type": "string"},
        "ingest_timestamp": {"type": "string", "format": "date-time"},
        "ingest_count": _COUNT,
        "error_count": _COUNT,
        "item_error_count": _COUNT,
        "total_count": _COUNT,
        "errors": {
            "type": ["array", "null"],
            "items": {
                "type": "object",
                "required": ["item_index", "xproxy_result"],
                "properties": {"item_index": _COUNT, "xproxy_result": {"$ref": _REF.format(name="ApiError")}},
            },
        },
    },
}

_LINES = {
    "type": "object",
    "required": ["request_id", "stored", "duplicates", "error_count", "errors"],
    "properties": {
        "request_id": {"type": "string"},
        "stored": _COUNT,
        "duplicates": _COUNT,
        "error_count": _COUNT,
        "errors": {
            "type": "array",
            "items": {
                "allOf": [{"$ref": _REF.format(name="ApiError")}],
                "required": ["line"],
                "properties": {"line": {"type": "integer", "minimum": 1}},
            },
        },
    },
}
