"""Where Vertex runs a model, which no answer tells."""

from __future__ import annotations

import pytest
from answers import body, endpoint, facts

from payi_middleware.events import Part
from payi_middleware.providers import Reading

PATH = "/v1/projects/p/locations/{}/publishers/{}/models/{}:{}"


def read(location: str, publisher: str, model: str, method: str, raw: bytes) -> Reading:
    host = "aiplatform.googleapis.com" if location == "global" else f"{location}-aiplatform.googleapis.com"
    path = PATH.format(location, publisher, model, method)
    asked = endpoint(host, path)
    reading = asked.read(raw)
    return reading if asked.refine is None else asked.refine(reading, facts(path=path))


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
def test_claude(location: str, model: str, dearer: bool, method: str) -> None:
    """Outside of Vertex's global location newer Claudes cost more."""
    raw = body({"model": model, "usage": {"input_tokens": 1, "output_tokens": 1}})

    assert read(location, "anthropic", model, method, raw).terms == ("scope:region",) * dearer


@pytest.mark.parametrize(
    ("location", "model", "dearer"),
    [
        ("us-central1", "gemini-3.5-flash", True),
        ("eu", "gemini-4-argon", True),
        ("global", "gemini-3.5-flash", False),
        ("us-central1", "gemini-2.5-pro", False),
        ("us-central1", "gemini-embedding-2", False),
        ("us-central1", "medlm", False),
    ],
)
def test_gemini(location: str, model: str, dearer: bool) -> None:
    """Outside of the global location Gemini costs more since its third generation, also if only the path names it."""
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1}

    for version in (model, None):
        raw = body({"modelVersion": version, "usageMetadata": usage})
        assert read(location, "google", model, "generateContent", raw).terms == ("scope:region",) * dearer


def test_a_tuned_model() -> None:
    """A tuned model is an endpoint without a publisher, and answers with the name of its base."""
    path = "/v1/projects/p/locations/us-central1/endpoints/7:generateContent"
    tuned = endpoint("us-central1-aiplatform.googleapis.com", path)
    assert tuned.refine is not None

    reading = tuned.read(body({"modelVersion": "gemini-3.5-flash", "usageMetadata": {"promptTokenCount": 1}}))

    assert tuned.refine(reading, facts(path=path)).terms == ("scope:region",)


def test_each_pass_by_its_own_model() -> None:
    """Where several models answered, those that cost more in a region do."""
    passes = [
        {"type": "message", "input_tokens": 1, "output_tokens": 1},
        {"type": "advisor_message", "model": "claude-opus-4-1", "input_tokens": 2, "output_tokens": 2},
    ]
    usage = {"input_tokens": 1, "output_tokens": 1, "iterations": passes}

    reading = read(
        "eu", "anthropic", "claude-sonnet-5", "rawPredict", body({"model": "claude-sonnet-5", "usage": usage})
    )

    assert reading.parts == (
        Part(None, {"text": (1, 1)}, None, ("scope:region",)),
        Part("claude-opus-4-1", {"text": (2, 2)}),
    )
    assert reading.terms == ()
