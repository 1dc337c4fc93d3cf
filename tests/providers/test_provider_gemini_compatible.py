"""Gemini in OpenAI's shape."""

from __future__ import annotations

import pytest
from answers import body, endpoint, facts, openai_usage

from payi_middleware.providers import Asked, Reading
from payi_middleware.providers._gemini_compatible import compatible

PATH = "/v1/projects/p/locations/{}/endpoints/openapi/chat/completions"


def read(location: str, model: str | None, tier: str | None = None, asked: str | None = None) -> Reading:
    path = PATH.format(location)
    chat = endpoint("aiplatform.googleapis.com", path)
    assert chat.refine is not None
    known = facts(path=path, headers={"x-gemini-service-tier": tier} if tier else None)
    reading = chat.read(body({"model": model, "usage": openai_usage()}))
    return chat.refine(reading, known._replace(asked=Asked(asked)))


@pytest.mark.parametrize(
    ("location", "model", "named", "terms"),
    [
        ("global", "google/gemini-3.5-flash", "gemini-3.5-flash", ()),
        ("us-central1", "google/gemini-3.5-flash", "gemini-3.5-flash", ("scope:region",)),
        ("us-central1", "google/gemini-2.5-flash", "gemini-2.5-flash", ()),
        ("us-central1", "meta/llama-4", "meta/llama-4", ()),
    ],
)
def test_names_and_places(location: str, model: str, named: str, terms: tuple[str, ...]) -> None:
    """A name's maker is taken off where it is Google, and the place is a term where it is dearer."""
    reading = read(location, model)

    assert (reading.model, reading.terms, reading.units) == (named, terms, {"text": (100, 30)})


def test_what_the_answer_leaves_out() -> None:
    """The tier stands in a header, the model in the request."""
    reading = read("global", None, "FLEX", "google/gemini-3.5-flash")

    assert (reading.model, reading.service_tier) == ("gemini-3.5-flash", "flex")


def test_what_the_endpoint_completes_itself() -> None:
    """Its own completion comes first."""
    completed = compatible(lambda reading, facts: reading._replace(model="google/m"), False)

    assert completed(Reading(), facts()).model == "m"
