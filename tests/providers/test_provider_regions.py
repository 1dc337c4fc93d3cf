"""Processing in a region, whose surcharge no answer tells."""

from __future__ import annotations

import pytest
from answers import body, exchanged, openai_usage


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
