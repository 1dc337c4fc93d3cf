"""The OpenAPI document: every operation, with what it answers."""

from __future__ import annotations

from typing import Any

import pytest

from payi_middleware.server.answers import ANSWERS
from payi_middleware.server.app import create_app


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return create_app(f"sqlite:///{tmp_path_factory.mktemp('document') / 'payi.db'}").openapi()


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_operation_tells_what_it_answers(document: dict[str, Any]) -> None:
    """A closed schema for 200, Pay-i's error for each other status, and a sentence that says what it does."""
    found = operations(document)
    assert found.keys() == ANSWERS.keys()
    for which, operation in found.items():
        responses = operation["responses"]
        answer = responses["200"]["content"]["application/json"]["schema"]
        assert "$ref" in (answer["items"] if answer.get("type") == "array" else answer), which
        assert ("404" in responses) == ("{" in which[1]), which
        assert {"400", "401", "403", "413", "415", "429", "503"} < responses.keys()
        assert operation.get("summary") or operation.get("description"), which


def test_schemas_are_closed_and_whole(document: dict[str, Any]) -> None:
    """No object of a known shape takes other members, and what is referred to is there."""
    schemas = document["components"]["schemas"]
    answers = {name for name, schema in schemas.items() if "properties" in schema}
    assert {name for name in answers if schemas[name].get("additionalProperties") is not False} == set()

    def names(value: Any) -> set[str]:
        if isinstance(value, dict):
            here = {value["$ref"].rpartition("/")[2]} if "$ref" in value else set()
            return here.union(*map(names, value.values()))
        return set().union(*map(names, value)) if isinstance(value, list) else set()

    assert names(document) == schemas.keys()
