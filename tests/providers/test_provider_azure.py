"""Azure: what its headers tell, and other makers' models behind it."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, events, exchanged, openai_usage

from payi_middleware.events import Part

HOST = "contoso.openai.azure.com"
CHAT = "/openai/deployments/janes-own/chat/completions"


def answer(**more: Any) -> bytes:
    return body({"id": "c", "model": "gpt-4.1-2025-04-14", "usage": openai_usage()} | more)


@pytest.mark.parametrize(
    ("header", "told", "tier"),
    [
        ("priority", None, "priority"),
        ("default", "priority", "default"),
        (None, "default", "default"),
        ("x" * 99, None, None),
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/openai/v1/chat/completions", "/openai/v1/responses"])
def test_the_tier_as_it_was_served(header: str | None, told: str | None, tier: str | None, path: str) -> None:
    """A header tells the tier as served, whatever was asked for."""
    headers = {"azureai-requested-tier": "priority"} | ({"azureai-processed-tier": header} if header else {})

    reading = exchanged(HOST, path, answer(service_tier=told), headers=headers)

    assert reading.service_tier == tier


def test_the_tier_of_several_models() -> None:
    """The tier is that of the model that answered, not of its tools' own."""
    tool = {"type": "image_generation", "model": "gpt-image-1"}
    drawn = {"image_gen": {"input_tokens": 5, "output_tokens": 9, "total_tokens": 14}}
    raw = answer(tools=[tool], tool_usage=drawn, output=[])

    reading = exchanged(HOST, "/openai/v1/responses", raw, headers={"azureai-processed-tier": "priority"})

    assert reading.parts == (
        Part(None, {"text": (100, 30)}, "priority"),
        Part("gpt-image-1", {"text": (5, 0), "image": (0, 9)}),
    )


def test_a_charge_of_nothing_is_none() -> None:
    """xAI's usage passes through with a charge of zero, which is not what Azure asks; any other is a gateway's word."""
    free = answer(usage=openai_usage() | {"cost_in_usd_ticks": 0})
    charged = answer(usage=openai_usage() | {"cost_in_usd_ticks": 70})

    assert exchanged(HOST, CHAT, free).stated_ticks is None
    assert exchanged(HOST, CHAT, charged).stated_ticks == 70


def test_a_refused_call_has_no_tier() -> None:
    """Where nothing was served, there is no tier."""
    assert exchanged(HOST, CHAT, b"{}", headers={"azureai-processed-tier": "priority"}).service_tier is None


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("contoso.services.ai.azure.com", "/models/chat/completions"),
        ("grok-3.eastus2.models.ai.azure.com", "/v1/chat/completions"),
        ("grok-3.eastus2.models.ai.azure.com", "/chat/completions"),
        ("grok-3.eastus2.inference.ml.azure.com", "/v1/chat/completions"),
    ],
)
def test_more_cached_than_prompt(host: str, path: str) -> None:
    """xAI's models on Azure tell cached tokens on top of the prompt."""
    usage = openai_usage(10, 5, cached=161)

    reading = exchanged(host, path, answer(model="grok-3", usage=usage))

    assert (reading.units, reading.reason) == ({"text": (10, 5), "text_cache_read": (161, 0)}, None)


def test_a_first_chunk_without_a_model() -> None:
    """The first chunk of a stream names no model; a later one does."""
    first = {"choices": [], "id": "", "model": "", "prompt_filter_results": [{}]}
    last = {"id": "c", "model": "gpt-4.1-2025-04-14", "choices": [], "usage": openai_usage()}

    reading = exchanged(HOST, CHAT, events(first, last), {"stream": True})

    assert (reading.model, reading.units) == ("gpt-4.1-2025-04-14", {"text": (100, 30)})


def test_no_ticks_are_no_cost() -> None:
    """Streams of xAI's models tell a charge of 0, which Azure makes by its own list; a charge that is one is believed."""
    told = openai_usage(205, 18)

    free = exchanged(HOST, CHAT, answer(model="grok-4-1-fast-non-reasoning", usage={**told, "cost_in_usd_ticks": 0}))
    paid = exchanged(HOST, CHAT, answer(model="grok-4-1-fast-non-reasoning", usage={**told, "cost_in_usd_ticks": 7}))

    assert (free.stated_ticks, free.units) == (None, {"text": (205, 18)})
    assert paid.stated_ticks == 7
