"""Processing in a region, whose surcharge no answer tells."""

from __future__ import annotations

import pytest
from answers import body, endpoint, exchanged, openai_usage

VERTEX = "/v1/projects/p/locations/{}/publishers/anthropic/models/{}:{}"


@pytest.mark.parametrize(
    ("host", "model", "dearer"),
    [
        ("eu.api.openai.com", "gpt-5.6-sol", True),
        ("us.api.openai.com", "gpt-6-luna-2026-10-01", True),
        ("eu.api.openai.com", "gpt-5.4-mini", True),
        ("eu.api.openai.com", "o7", True),
        ("eu.api.openai.com", "gpt-5.2", False),
        ("eu.api.openai.com", "gpt-5-2025-08-07", False),
        ("eu.api.openai.com", "gpt-4o-mini", False),
        ("eu.api.openai.com", "o3-mini", False),
        ("api.openai.com", "gpt-5.6-sol", False),
    ],
)
def test_openai_s_regional_hosts(host: str, model: str, dearer: bool) -> None:
    """At a host that keeps the processing in a region newer models cost more, and a term says so."""
    answer = body({"model": model, "usage": openai_usage()})

    reading = exchanged(host, "/v1/chat/completions", answer)

    assert (reading.terms, reading.unpriced) == (("scope:region",) if dearer else (), ())


def test_a_region_adds_to_what_an_endpoint_knows() -> None:
    """The region is one more term, and where no answer names a model the request's counts."""
    asked = {"model": "dall-e-9", "size": "512x512", "prompt": "a fox"}

    reading = exchanged("eu.api.openai.com", "/v1/images/generations", body({"data": [{}, {}]}), asked)

    assert reading.units == {"generated_image": (0, 2)}
    assert reading.terms == ("quality:standard", "size:512x512", "scope:region")


@pytest.mark.parametrize(
    ("location", "model", "dearer"),
    [
        ("us-east5", "claude-sonnet-4-5@20250929", True),
        ("eu", "claude-opus-5-5", True),
        ("us-east5", "claude-haiku-4-5", True),
        ("global", "claude-sonnet-4-5@20250929", False),
        ("us-east5", "claude-sonnet-4@20250514", False),
        ("us-east5", "claude-3-7-sonnet@20250219", False),
        ("us-east5", "claude-opus-4-1-20250805", False),
    ],
)
@pytest.mark.parametrize("method", ["rawPredict", "streamRawPredict"])
def test_claude_on_vertex(location: str, model: str, dearer: bool, method: str) -> None:
    """Outside of Vertex's global location newer Claudes cost more, and that is said."""
    host = "aiplatform.googleapis.com" if location == "global" else f"{location}-aiplatform.googleapis.com"
    asked = endpoint(host, VERTEX.format(location, model, method))

    reading = asked.read(body({"model": model, "usage": {"input_tokens": 1, "output_tokens": 1}}))

    assert [u.unit for u in reading.unpriced] == ["region"] * dearer
