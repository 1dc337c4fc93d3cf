"""Requests that the server's OpenAPI document allows."""

from __future__ import annotations

from typing import Any

from made import call
from servers import Server

__all__ = ["an_example", "asked", "body_of"]


def asked(server: Server, http: Any, method: str, path: str, theirs: dict[str, str]) -> Any:
    """The answer to an operation on what is the first application's, with a body that its schema allows."""
    if path.endswith("/events"):
        return http.request(method, path, content=call().to_json())
    return http.request(method, path.format(**theirs), json=body_of(server, method, path))


def body_of(server: Server, method: str, path: str) -> Any:
    """The least body that an operation takes; None if it takes none."""
    document = server.app.openapi()
    bodies = document["paths"][path][method.lower()].get("requestBody")
    if bodies is None or "application/json" not in bodies["content"]:
        return None
    return an_example(bodies["content"]["application/json"]["schema"], document["components"]["schemas"])


def an_example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """The least that a schema allows."""
    if "$ref" in schema:
        return an_example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "anyOf" in schema:
        return an_example(schema["anyOf"][0], schemas)
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "object":
        required = {name: an_example(schema["properties"][name], schemas) for name in schema.get("required", ())}
        if schema.get("minProperties") or not schema.get("properties"):
            more = schema.get("additionalProperties")
            required["a"] = an_example(more, schemas) if isinstance(more, dict) else None
        return required
    if schema["type"] == "array":
        return [an_example(schema["items"], schemas)]
    return {"string": "a", "boolean": True, "null": None}.get(schema["type"], max(1, schema.get("minimum", 1)))
