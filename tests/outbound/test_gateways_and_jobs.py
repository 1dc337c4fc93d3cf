"""Whole calls through gateways, of jobs that are asked after, and of Ollama: what the events say."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from answers import openai_usage
from exchanges import Watched

from payi_middleware import instrument
from payi_middleware.events import CallEvent

USAGE = openai_usage(1_000_000, 0)


@pytest.fixture
def gateways() -> Any:
    """A meter that knows a LiteLLM proxy and a server of one's own."""
    watched = Watched(hosts={"llm.internal:4000": "litellm", "gpu.internal:8000": "vllm"})
    instrument(watched.meter)
    yield watched
    watched.meter.close()


def call(
    watched: Watched,
    url: str,
    answer: Any,
    *,
    method: str = "POST",
    sent: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    status: int = 200,
) -> list[CallEvent]:
    """All events after a call that is answered so."""
    content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def handle(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=content, headers=headers)

    with httpx2.Client(transport=httpx2.MockTransport(handle)) as client:
        client.request(method, url, json=sent)
    return watched.events


def test_litellm_s_statement_is_the_cost(gateways: Watched) -> None:
    """The header of the proxy, whatever the model is called."""
    answer = {"id": "c", "model": "fast", "choices": [], "usage": USAGE}

    told = call(
        gateways,
        "http://llm.internal:4000/v1/chat/completions",
        answer,
        sent={"model": "fast"},
        headers={"x-litellm-response-cost": "0.0125"},
    )[-1]

    assert (told.provider, told.resource, told.cost_source) == ("litellm", "fast", "provider")
    assert told.cost is not None
    assert told.cost.total == Decimal("0.0125")


@pytest.mark.parametrize(
    ("model", "headers", "usd"),
    [
        ("openai/gpt-4o-mini", {}, "0.15"),
        ("llama-3.3-70b-versatile", {"x-litellm-model-api-base": "https://api.groq.com/openai/v1"}, "0.59"),
    ],
)
def test_what_is_not_stated_is_priced_as_the_provider_behind(
    gateways: Watched, model: str, headers: dict[str, str], usd: str
) -> None:
    """By the model's prefix, or by whom the proxy says it asked."""
    answer = {"id": "c", "model": model, "choices": [], "usage": USAGE}

    told = call(gateways, "http://llm.internal:4000/v1/chat/completions", answer, sent={"model": "x"}, headers=headers)[
        -1
    ]

    assert (told.provider, told.cost_source) == ("litellm", "usage")
    assert told.cost is not None
    assert told.cost.total == Decimal(usd)
    assert told.unpriced == ()


def test_a_video_is_one_event_however_often_it_is_asked_after(gateways: Watched) -> None:
    """The order is one, which costs nothing yet; of all the answers to questions only the last, once."""
    url = "https://api.x.ai/v1/videos"
    done = {
        "status": "done",
        "model": "grok-imagine-video",
        "video": {"duration": 8},
        "usage": {"cost_in_usd_ticks": 4_000_000_000},
    }

    call(gateways, f"{url}/generations", {"request_id": "v-1"}, sent={"model": "grok-imagine-video"})
    call(gateways, f"{url}/v-1", {"status": "pending"}, method="GET", status=202)
    call(gateways, f"{url}/v-1", done, method="GET")
    events = call(gateways, f"{url}/v-1", done, method="GET")

    assert [event.cost_source for event in events] == ["none", "provider"]
    assert events[0].reason == "billed when the job is done, which a later answer tells"
    assert events[1].cost is not None
    assert events[1].cost.total == Decimal("0.4")


@pytest.mark.parametrize(
    ("url", "provider"),
    [("http://localhost:11434/api/chat", "ollama"), ("http://gpu.internal:8000/v1/chat/completions", "vllm")],
)
def test_machines_of_one_s_own_are_free(gateways: Watched, url: str, provider: str) -> None:
    """And have their units; Ollama's stream is lines of JSON."""
    answer: Any = {"id": "c", "model": "m", "choices": [], "usage": openai_usage(10, 3)}
    if provider == "ollama":
        lines = (
            {"model": "m", "message": {"content": "hi"}},
            {"model": "m", "done": True, "prompt_eval_count": 10, "eval_count": 3},
        )
        answer = "\n".join(map(json.dumps, lines)).encode()

    told = call(gateways, url, answer, sent={"model": "m", "messages": []})[-1]

    assert (told.provider, told.outcome, told.units) == (provider, "ok", {"text": (10, 3)})
    assert told.cost is not None
    assert (told.cost.total, told.unpriced) == (0, ())


def test_each_model_of_a_compound_has_its_lines(gateways: Watched) -> None:
    """The parts are priced by themselves, and the event shows them."""
    models = [
        {"model": "llama-3.3-70b-versatile", "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0}},
        {"model": "openai/gpt-oss-120b", "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0}},
    ]
    choices = [{"message": {"executed_tools": [{"index": 0, "type": "search"}]}}]
    answer = {"model": "groq/compound", "choices": choices, "usage": USAGE, "usage_breakdown": {"models": models}}

    told = call(gateways, "https://api.groq.com/openai/v1/chat/completions", answer, sent={"model": "groq/compound"})[
        -1
    ]

    assert told.cost is not None
    assert told.cost.total == Decimal("0.745")
    assert told.unpriced == ()
    assert [part.model for part in told.parts] == [*(model["model"] for model in models), models[0]["model"]]
    assert told.to_dict()["parts"][0]["provider"] is None
