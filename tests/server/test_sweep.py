"""Whatever stands in whatever place of whatever operation: an answer of the document's, and never a fault.

Each place that the document names is filled with each of some values that somebody may send by mistake or on purpose. That
an answer is as the document says, refusals too, the server of the tests sees to itself.
"""

from __future__ import annotations

import json
import secrets
from typing import Any
from urllib.parse import quote

import pytest
from documented import body_of
from servers import Server

from payi_middleware.server.answers import ANSWERS

DEEP = "[" * 5_000 + "]" * 5_000
VALUES = [
    "null",
    "true",
    "-1",
    "1.5",
    "2147483648",
    "-2147483649",
    "18446744073709551616",
    "1e400",
    "-0.0",
    "1" * 400,
    "NaN",
    '""',
    '" "',
    '"a\\u0000b"',
    '"\\ud800"',
    '"a\\nb"',
    '"\\u202e"',
    json.dumps("a" * 100_000),
    '"0000-00-00"',
    '"2026-02-30T00:00:00Z"',
    '"9999-12-31T23:59:59.999999-23:59"',
    '"0001-01-01T00:00:00+23:59"',
    "[]",
    "{}",
    "[[[]]]",
    '{"a": {"b": {"c": null}}}',
    '{"": ""}',
    '{"a\\u0000": "a\\u0000"}',
    '{"\\ud800": 1}',
    '{"a": 1, "a": 2}',
    DEEP,
    '{"a":' * 5_000 + "1" + "}" * 5_000,
]
"""JSON, or nearly so: wrong types, numbers that fit nowhere, texts that are none, times far off, what is nested for ever."""

SEGMENTS = [
    "%00",
    "%2F",
    "%25",
    "%252F",
    "%ff%fe",
    "%ed%a0%80",
    "%E2%80%AE",
    "%0a",
    "%20",
    "%2e%2e",
    "a" * 4_000,
    "%zz",
    "%F0%9F%92%A5",
]
TEXTS = [
    "",
    "%00",
    "-1",
    "0",
    "1.5",
    "1e5",
    "2147483648",
    "9" * 400,
    "null",
    "%ff",
    "%ed%a0%80",
    "a" * 8_000,
    "a&{name}=b",
    "cAAA",
    "2999-01-01",
]


KPI = {"name": "kpi_name", "description": "A.", "goal": 1, "kpi_type": "number"}
BARE = ("/api/v1/capabilities",)
"""Nothing is told to it."""


@pytest.mark.parametrize(("method", "path"), sorted(ANSWERS))
def test_bad_input(server: Server, method: str, path: str) -> None:
    """In the body and each of its members, in each segment of the path, in each parameter of the query."""
    tried = [*bodies(server, method, path), *((at, None) for at in [*paths(path), *queries(server, method, path)])]
    assert tried or path in BARE
    with server.http(server.key("admin", secrets.token_hex(4)), headers={"Content-Type": "application/json"}) as http:
        made(http)
        for at, body in tried:
            answer = http.request(method, at, content=body)
            assert answer.status_code < 500, (at[:200], body and body[:200], answer.text)
            assert answer.status_code < 400 or answer.json()["message"], (at[:200], body and body[:200])


def made(http: Any) -> None:
    """Something under each name that `filled` puts in: what is nowhere is refused before it is looked at."""
    for path, body in (
        ("limits", {"limit_name": "A", "max": 1, "limit_id": "limit_id"}),
        ("categories/category/resources/resource", {"units": {"a": {"input_price": 1}}}),
        ("use_cases/definitions", {"name": "use_case_name", "description": "A."}),
        ("use_cases/definitions/use_case_name/kpis", KPI),
        ("ingest", {"category": "category", "units": {}, "provider_response_id": "provider_response_id"}),
    ):
        http.post(f"/api/v1/{path}", json=body).raise_for_status()
    http.put(
        "/api/v1/use_cases/instances/use_case_name/use_case_id/properties", json={"properties": {}}
    ).raise_for_status()


def bodies(server: Server, method: str, path: str) -> list[tuple[str, bytes | None]]:
    """The path as it is, with the body or one of its members replaced; and with a member too many."""
    at = filled(path)
    if path.endswith("/events"):
        return [(at, value.encode()) for value in VALUES]
    body = body_of(server, method, path)
    if body is None:
        return []
    made = [value if not isinstance(body, list) else f"[{value}]" for value in VALUES] + VALUES
    item = body[0] if isinstance(body, list) else body
    named = [*members(server, method, path), "no_such_member"]
    for n, name in enumerate(named):
        rest = {other: value for other, value in item.items() if other != name}
        for value in VALUES[n % 3 :: 3] if len(named) > 2 else VALUES:  # of many members the next takes the others
            told = json.dumps(rest)[:-1] + (", " if rest else "") + f"{json.dumps(name)}: {value}}}"
            made.append(f"[{told}, {json.dumps(item)}]" if isinstance(body, list) else told)
    return [(at, told.encode()) for told in made]


def members(server: Server, method: str, path: str) -> list[str]:
    """The names of what a body may have."""
    document = server.app.openapi()
    schema = document["paths"][path][method.lower()]["requestBody"]["content"]["application/json"]["schema"]
    named = schema.get("items", schema)["$ref"].rpartition("/")[2]
    return list(document["components"]["schemas"][named]["properties"])


def paths(path: str) -> list[str]:
    """The path with each segment replaced."""
    parts = path.split("/")
    return [
        filled("/".join([*parts[:n], segment, *parts[n + 1 :]]))
        for n, part in enumerate(parts)
        for segment in SEGMENTS
        if part.startswith("{")
    ]


def queries(server: Server, method: str, path: str) -> list[str]:
    """The path with each parameter that the document names, and one that it does not."""
    told = server.app.openapi()["paths"][path][method.lower()].get("parameters", [])
    names = [one["name"] for one in told if one["in"] == "query"]
    return [
        f"{filled(path)}?{quote(name)}={text.replace('{name}', name)}"
        for name in [*names, *["no_such_parameter"][: len(names)]]
        for text in TEXTS
    ]


def filled(path: str) -> str:
    """The path with the names of its own parameters."""
    return path.replace("{", "").replace("}", "")
